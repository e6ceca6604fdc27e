import { AgentError, messageOf, toAgentError } from "../contract/errors.ts";
import { isPending, type Eventually, type Value } from "../contract/value.ts";
import { explain } from "./arguments.ts";
import { createDeviceScope, type DeviceScope } from "./device-context.ts";
import { createMotionLoop, type MotionLoopOptions } from "./motion-loop.ts";
import {
  errorText,
  outlinesOf,
  type CallMessage,
  type FromThread,
  type FunctionOutline,
  type OpenMessage,
  type Published,
  type ToThread,
} from "./motion-messages.ts";
import { NO_MOTION_LEASE, sinceLeaseMs, type MotionMemory } from "./motion-memory.ts";
import { createMotionVariables } from "./motion-variables.ts";
import type { Board } from "../contract/board.ts";
import type { Clock } from "../contract/clock.ts";
import type { Device, Driver, LossAction, SafeTarget } from "../contract/device.ts";
import type { Log } from "../contract/log.ts";
import type { VariableValue } from "../contract/variable.ts";
import type { MotionLimits } from "./motion-limits.ts";

/** How often the thread at least looks for ended leases and shows that it runs. */
const BEAT_MS = 10;

/** What a dying thread waits for bus transfers that make devices safe. */
const LAST_WORDS_MS = 50;

export interface MotionWorkerOptions {
  readonly memory: MotionMemory;
  readonly board: Board;
  readonly clock: Clock;
  readonly limits: MotionLimits;
  readonly log: Log;
  /** By name. */
  readonly drivers: ReadonlyMap<string, Driver>;
  readonly post: (message: FromThread) => void;
  later: MotionLoopOptions["later"];
}

/** The devices of the motion thread. */
export interface MotionWorker {
  /** Takes a message; what it asks for is done when no tick is due. */
  receive(message: ToThread): void;
  /** Makes every device safe, says why the thread ends, and resolves when that is done or took too long. */
  die(error: unknown): Promise<void>;
  /** Nothing runs any more; devices that are still open are closed, and the board. */
  stop(): Promise<void>;
}

interface Mounted {
  readonly number: number;
  readonly id: string;
  readonly onLoss: LossAction;
  readonly device: Device;
  readonly scope: DeviceScope;
  abort: AbortController;
  /** The latest order carried out. */
  order: number;
  /** Faulted by itself and not ordered to go safe since: then nothing moves it. */
  faulted: boolean;
  /** The lease that was ended here. */
  endedLease: number;
}

export function startMotionWorker(options: MotionWorkerOptions): MotionWorker {
  const { memory, board, clock, limits, log, post } = options;
  const mounted = new Map<number, Mounted>();
  const variables = createMotionVariables(clock);
  const queue: ToThread[] = [];
  let published = new Map<string, Published>();
  let underWay = 0;
  let dying: Promise<void> | undefined;

  const loop = createMotionLoop({
    clock,
    memory,
    limits,
    later: options.later,
    urgent,
    work() {
      const message = queue.shift();
      if (message === undefined) return false;
      handle(message);
      return true;
    },
    settle: flush,
    busy: () => underWay > 0,
  });
  loop.every(BEAT_MS, () => undefined);

  function flush(): void {
    if (published.size === 0) return;
    const values = [...published.values()];
    published = new Map();
    try {
      post({ kind: "published", values });
    } catch (error) {
      log.error({ names: values.map(({ name }) => name) }, `what was published cannot leave the motion thread: ${messageOf(error)}`);
    }
  }

  /** Counts what ends by an event, so that the loop looks for it. */
  async function awaiting<T>(promise: Promise<T>): Promise<T> {
    underWay += 1;
    try {
      return await promise;
    } finally {
      underWay -= 1;
      loop.poke();
    }
  }

  function urgent(): void {
    memory.beat();
    const nowMs = clock.monotonicMs();
    for (const one of mounted.values()) {
      const order = memory.orders(one.number);
      if (order !== one.order) obey(one, order);
      const lease = memory.lease(one.number);
      if (lease !== NO_MOTION_LEASE && lease !== one.endedLease && sinceLeaseMs(lease, nowMs) > limits.graceMs) endLease(one, lease, nowMs);
    }
  }

  /** Drives the device to `to`, whatever it does; `done` is told how that ended. */
  function makeSafe(one: Mounted, to: SafeTarget, done: (error: unknown) => void): void {
    one.abort.abort();
    one.abort = new AbortController();
    try {
      const result = one.device.failsafe?.(to);
      if (isPending(result)) void awaiting(result).then(() => done(undefined), done);
      else done(undefined);
    } catch (error) {
      done(error);
    }
  }

  function makeSafeAlone(one: Mounted, to: SafeTarget): void {
    makeSafe(one, to, (error) => {
      if (error !== undefined) log.error({ device: one.id }, `${one.id} could not be made safe in the motion thread: ${messageOf(error)}`);
    });
  }

  function obey(one: Mounted, order: number): void {
    one.order = order;
    one.faulted = false;
    makeSafe(one, memory.target(one.number), (error) => {
      post({ kind: "safe", device: one.number, order, error: error === undefined ? undefined : errorText(error) });
    });
  }

  function endLease(one: Mounted, lease: number, nowMs: number): void {
    one.endedLease = lease;
    if (one.onLoss !== "hold") makeSafeAlone(one, one.onLoss);
    post({ kind: "lease-end", device: one.number, lateMs: sinceLeaseMs(lease, nowMs) });
  }

  /** The device is made safe here and at once; the supervisor is told, and will order it again. */
  function fault(one: Mounted, thrown: unknown): void {
    if (one.faulted) return;
    one.faulted = true;
    makeSafeAlone(one, "safe");
    post({ kind: "fault", device: one.number, error: errorText(thrown, "FAULTED") });
  }

  function publish(device: number, name: string, value: VariableValue, freshMs: number | undefined): void {
    published.set(`${device} ${name}`, { device, name, value: typeof value === "object" ? value.slice() : value, freshMs });
    loop.poke();
  }

  /** What the device works with: its own timers and ports as everywhere, ticks of this loop, and the variables it is sent. */
  function scopeFor({ device, id, reads }: OpenMessage, report: (error: unknown) => void): DeviceScope {
    const readable = new Set(reads);
    return createDeviceScope({
      id,
      board,
      clock,
      log,
      fault: report,
      variables: {
        get: (name) => (readable.has(name) ? variables.get(name) : undefined),
        set: (name, value, _source, freshMs) => publish(device, name.slice(id.length + 1), value, freshMs),
      },
      every: (periodMs, tick) =>
        loop.every(periodMs, tick, (text) => {
          // A device that nobody drives is safe already; one that boots on a busy machine is not to begin with a fault.
          if (memory.lease(device) !== NO_MOTION_LEASE) report(new AgentError("FAULTED", text));
        }),
    });
  }

  async function open(message: OpenMessage): Promise<void> {
    const { device: number, id, onLoss } = message;
    const early: unknown[] = [];
    let opened: Mounted | undefined;
    const scope = scopeFor(message, (error) => {
      if (opened === undefined) early.push(error);
      else fault(opened, error);
    });
    try {
      const driver = options.drivers.get(message.driver);
      if (driver === undefined) throw new AgentError("UNKNOWN", `${id}: the motion thread has no driver ${message.driver}`);
      const device = await driver.open(scope.context, message.options);
      const functions = await outlinesOrClose(device);
      const abort = new AbortController();
      const order = memory.orders(number);
      opened = { number, id, onLoss, device, scope, abort, order, faulted: false, endedLease: memory.lease(number) };
      mounted.set(number, opened);
      post({ kind: "opened", device: number, functions, failsafe: device.failsafe !== undefined, restMs: device.restMs });
      if (early.length > 0) fault(opened, early[0]);
    } catch (error) {
      await endScope(id, scope);
      post({ kind: "unopened", device: number, error: errorText(error) });
    }
  }

  /** Ends what the device left behind. */
  async function endScope(id: string, scope: DeviceScope): Promise<void> {
    const leaked = await scope.end();
    if (leaked.length > 0) log.error({ device: id, leaked }, `${id} leaked ${leaked.join(", ")}; closed by force`);
  }

  function call({ call: number, device, fn: name, args, order }: CallMessage): void {
    function failed(error: unknown): void {
      post({ kind: "failed", device, call: number, error: errorText(error, "FAULTED") });
    }
    function answer(value: Value): void {
      try {
        post({ kind: "answer", device, call: number, value });
      } catch (error) {
        failed(new AgentError("FAULTED", `what ${name} answers cannot leave the motion thread: ${messageOf(error)}`, { cause: error }));
      }
    }
    try {
      const result = perform(mounted.get(device), name, args, order);
      if (isPending(result)) void awaiting(result).then(answer, failed);
      else answer(result);
    } catch (error) {
      failed(error);
    }
  }

  function perform(one: Mounted | undefined, name: string, args: CallMessage["args"], order: number): Eventually<Value> {
    const fn = one?.device.functions[name];
    if (one === undefined || fn === undefined) throw new AgentError("NOT_READY", `${name}: the device is closed`);
    if (fn.effect === "actuate") {
      if (order !== one.order) throw new AgentError("NOT_READY", `${one.id} went safe before ${name} was carried out`);
      if (one.faulted) throw new AgentError("FAULTED", `${one.id} has just faulted`);
    }
    const checked = fn.params.safeParse(args);
    if (checked.success) return fn.call(checked.data, one.abort.signal);
    throw new AgentError("ARGUMENT", `${one.id}.${name}: ${explain(checked.error.issues[0], args)}`);
  }

  async function closeDevice(one: Mounted): Promise<void> {
    mounted.delete(one.number);
    // What its ticks still run into, now that its ports are gone, is no fault.
    one.faulted = true;
    try {
      await one.device.close();
    } finally {
      await endScope(one.id, one.scope);
    }
  }

  async function close(number: number): Promise<void> {
    const one = mounted.get(number);
    try {
      await one?.device.rest?.();
      if (one !== undefined) await closeDevice(one);
      post({ kind: "closed", device: number, error: undefined });
    } catch (error) {
      post({ kind: "closed", device: number, error: errorText(error) });
    }
  }

  function handle(message: ToThread): void {
    switch (message.kind) {
      case "open":
        void awaiting(open(message));
        break;
      case "call":
        call(message);
        break;
      case "abort": {
        const one = mounted.get(message.device);
        one?.abort.abort();
        if (one !== undefined) one.abort = new AbortController();
        break;
      }
      case "variables":
        for (const variable of message.variables) variables.set(variable);
        break;
      case "close":
        void awaiting(close(message.device));
        break;
      case "order":
        break;
      case "stop":
        void stop();
        break;
    }
  }

  async function stop(): Promise<void> {
    loop.stop();
    flush();
    for (const one of [...mounted.values()]) {
      await closeDevice(one).catch((error: unknown) => {
        log.error({ device: one.id }, `${one.id} did not close: ${messageOf(error)}`);
      });
    }
    await board.close();
    post({ kind: "stopped" });
  }

  return {
    receive(message) {
      queue.push(message);
      loop.poke();
    },
    die(error) {
      dying ??= die(error);
      return dying;
    },
    stop,
  };

  async function die(error: unknown): Promise<void> {
    loop.stop();
    const safe = [...mounted.values()].map(
      (one) =>
        new Promise<void>((resolve) => {
          makeSafe(one, "safe", () => resolve());
        }),
    );
    const limit = new Promise<void>((resolve) => {
      clock.after(LAST_WORDS_MS, resolve);
    });
    await Promise.race([Promise.all(safe), limit]);
    post({ kind: "dying", error: errorText(toAgentError(error, "FAULTED")) });
  }
}

/** Parameters that JSON Schema cannot say cannot be called from outside of the thread. */
async function outlinesOrClose(device: Device): Promise<readonly FunctionOutline[]> {
  try {
    return outlinesOf(device.functions);
  } catch (error) {
    await device.close();
    throw error;
  }
}
