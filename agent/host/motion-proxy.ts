import { AgentError } from "../contract/errors.ts";
import { errorFrom, paramsOf, type DeviceOutline, type FunctionOutline, type ProxyMessage, type ToThread } from "./motion-messages.ts";
import type { Device, DeviceFunction, SafeTarget } from "../contract/device.ts";
import type { Value } from "../contract/value.ts";
import type { MotionMemory } from "./motion-memory.ts";

/** Reading calls of one device that may be under way in the thread; more are answered FULL, so that asking cannot fill it. */
const MAX_READS = 64;

/** A device of the motion thread, as the rest of the device host sees it. */
export interface MotionDevice extends Device {
  /** Until when whoever drives the device may be relied on, monotonic milliseconds; -Infinity for nobody. The thread ends it by itself if nobody else does. */
  showLease(untilMs: number): void;
}

export interface MotionProxy {
  readonly device: MotionDevice;
  receive(message: ProxyMessage): void;
  /** The thread or the device is gone: whatever is under way fails with `error`, and so does what is asked later. */
  lose(error: AgentError): void;
}

export interface MotionProxyOptions {
  readonly id: string;
  /** Its number in the thread. */
  readonly device: number;
  readonly memory: Pick<MotionMemory, "order" | "orders" | "setLease">;
  /** A number no other call has. */
  readonly nextCall: () => number;
  readonly outline: DeviceOutline;
  /** Sends, and wakes the thread. */
  readonly send: (message: ToThread) => void;
  readonly close: () => Promise<void>;
}

interface Pending<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: AgentError) => void;
}

interface PendingOrder extends Pending<void> {
  readonly order: number;
}

/** Stands in for a device of the motion thread. Reading calls reject FULL beyond 64 at a time, all calls FAULTED once the thread is gone. */
export function createMotionProxy({ id, device, memory, nextCall, outline, send, close }: MotionProxyOptions): MotionProxy {
  const calls = new Map<number, Pending<Value>>();
  let orders: readonly PendingOrder[] = [];
  let reads = 0;
  let watched: AbortSignal | undefined;
  let lost: AgentError | undefined;

  /** One listener for all calls that share the signal. */
  function watch(signal: AbortSignal): void {
    if (signal === watched) return;
    watched = signal;
    signal.addEventListener("abort", () => send({ kind: "abort", device }), { once: true });
  }

  function call(name: string, args: Record<string, unknown>, signal: AbortSignal): Promise<Value> {
    if (lost !== undefined) throw lost;
    watch(signal);
    const number = nextCall();
    return new Promise((resolve, reject) => {
      calls.set(number, { resolve, reject });
      send({ kind: "call", call: number, device, fn: name, args, order: memory.orders(device) });
    });
  }

  async function read(name: string, args: Record<string, unknown>, signal: AbortSignal): Promise<Value> {
    if (reads >= MAX_READS) throw new AgentError("FULL", `${id}: ${MAX_READS} reading calls are under way in the motion thread already`);
    reads += 1;
    try {
      return await call(name, args, signal);
    } finally {
      reads -= 1;
    }
  }

  function failsafe(to: SafeTarget): Promise<void> {
    if (lost !== undefined) return Promise.reject(lost);
    return new Promise((resolve, reject) => {
      const order = memory.order(device, to);
      orders = [...orders, { order, resolve, reject }];
      send({ kind: "order" });
    });
  }

  function functionOf(outlined: FunctionOutline): DeviceFunction {
    const { name, summary, effect } = outlined;
    const carry = effect === "read" ? read : call;
    return { summary, effect, params: paramsOf(outlined), call: (args, signal) => carry(name, args, signal) };
  }

  /** An order is carried out when a later one is: it asked for the same device to go safe. */
  function settleOrders(upTo: number, error: AgentError | undefined): void {
    const settled = orders.filter(({ order }) => order <= upTo);
    orders = orders.filter(({ order }) => order > upTo);
    for (const { resolve, reject } of settled) {
      if (error === undefined) resolve();
      else reject(error);
    }
  }

  const stood: MotionDevice = {
    functions: Object.fromEntries(outline.functions.map((outlined) => [outlined.name, functionOf(outlined)])),
    showLease: (untilMs) => memory.setLease(device, untilMs),
    close,
    restMs: outline.restMs,
  };

  return {
    device: outline.failsafe ? { ...stood, failsafe } : stood,
    receive(message) {
      if (message.kind === "safe") {
        settleOrders(message.order, message.error === undefined ? undefined : errorFrom(message.error));
        return;
      }
      const pending = calls.get(message.call);
      calls.delete(message.call);
      if (message.kind === "answer") pending?.resolve(message.value);
      else pending?.reject(errorFrom(message.error));
    },
    lose(error) {
      lost = error;
      for (const pending of calls.values()) pending.reject(error);
      calls.clear();
      settleOrders(Infinity, error);
    },
  };
}
