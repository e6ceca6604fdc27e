import { AgentError } from "../contract/errors.ts";
import { createMotionMemory, MAX_MOTION_DEVICES, type LoopFigures } from "./motion-memory.ts";
import { errorFrom, type DeviceMessage, type FromThread, type SentVariable, type ToThread } from "./motion-messages.ts";
import { createMotionProxy, type MotionDevice, type MotionProxy } from "./motion-proxy.ts";
import { createThreadStart, type StartThread } from "./motion-start.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { DeviceContext, DeviceSpec } from "../contract/device.ts";
import type { Log } from "../contract/log.ts";
import type { VariableReader } from "../contract/variable.ts";
import type { MotionLimits } from "./motion-limits.ts";

/** What a thread that was told to stop has for closing its devices, milliseconds. */
const STOP_MS = 2000;

/** What devices of the motion thread may read. */
export interface MotionVariableSource extends VariableReader {
  /** How long a value of that name may be relied on. */
  staleMsOf(name: string): number;
}

export interface MotionOptions {
  /** Which board the thread opens for itself; crosses as plain data. */
  readonly board: unknown;
  /** File URLs of modules beside those that come with the agent. */
  readonly modules?: readonly string[];
  readonly limits: MotionLimits;
  readonly clock: Clock;
  readonly log: Log;
  readonly variables: MotionVariableSource;
  /** The thread itself; a worker thread when absent. */
  readonly start?: StartThread;
}

/** How the motion thread keeps time, since it began or `clearFigures`. Lateness is from a deadline to its tick, execution from a tick's start to its end. */
export interface MotionFigures {
  readonly devices: number;
  /** Of the thread (SCHED_FIFO); 0: it has none. */
  readonly realtimePriority: number;
  readonly ticks: number;
  readonly latenessP50Us: number;
  readonly latenessP99Us: number;
  readonly latenessP999Us: number;
  readonly latenessMaxUs: number;
  readonly executionP50Us: number;
  readonly executionP99Us: number;
  readonly executionP999Us: number;
  readonly executionMaxUs: number;
  /** Ticks that had not ended by their next deadline. */
  readonly overruns: number;
  /** Deadlines that were left out. */
  readonly missed: number;
}

/**
 * The devices whose drivers ask for the motion thread: a worker thread with a board of its own, started with the first of them. Calls, what is published
 * and faults cross as messages; orders to go safe and leases through shared memory, so that they hold while either side is busy.
 */
export interface Motion {
  /** Opens the device in the thread. What is returned stands in for it here. Rejects with the driver's error. */
  openDevice(spec: DeviceSpec, context: DeviceContext): Promise<MotionDevice>;
  /** Starts the thread, which the first device would do otherwise. Rejects when it cannot be. */
  prepare(): Promise<void>;
  /** Undefined before there is a thread. */
  figures(): MotionFigures | undefined;
  /** Counts from here on. */
  clearFigures(): void;
  /** Rises as long as the thread runs; 0 before there is one. */
  beats(): number;
  /**
   * Called once when the thread has died or stands still. Its devices are faulted, but its ports may still be open in this process, and nobody can drive
   * them from here: end the process with 70, so that the kernel closes them and whoever watches it makes the devices safe through fresh ones.
   */
  onLost(listener: (error: AgentError) => void): Cancel;
  /** Closes what is still open, and the thread. */
  close(): Promise<void>;
}

/** What openers and closers wait for. */
interface Waiting<T> {
  resolve(value: T): void;
  reject(error: AgentError): void;
}

export function createMotion(options: MotionOptions): Motion {
  const { limits, clock, log, variables } = options;
  const memory = createMotionMemory();
  const proxies = new Map<number, MotionProxy>();
  const contexts = new Map<number, DeviceContext>();
  const readers = new Map<number, readonly string[]>();
  const opening = new Map<number, Waiting<Extract<FromThread, { kind: "opened" }>>>();
  const closing = new Map<number, Waiting<void>>();
  const lostListeners = new Set<(error: AgentError) => void>();
  let started: Promise<void> | undefined;
  let post: ((message: ToThread) => void) | undefined;
  let stopThread: ((limitMs: number) => Promise<void>) | undefined;
  let ready: Waiting<void> | undefined;
  let lost: AgentError | undefined;
  let calls = 0;
  let realtimePriority = 0;
  let stopping = false;
  let cancelWatch: Cancel | undefined;
  let cancelChanges: Cancel | undefined;

  function send(message: ToThread): void {
    post?.(message);
    memory.wake();
  }

  function lose(error: AgentError): void {
    if (lost !== undefined || stopping) return;
    lost = error;
    cancelWatch?.();
    cancelChanges?.();
    log.error({ code: error.code }, error.message);
    ready?.reject(error);
    for (const waiting of [...opening.values(), ...closing.values()]) waiting.reject(error);
    opening.clear();
    closing.clear();
    for (const [device, proxy] of proxies) {
      proxy.lose(error);
      contexts.get(device)?.fault(error);
    }
    for (const listener of lostListeners) listener(error);
  }

  /** A thread that stands still is lost, unless this thread stood still as well and cannot know. */
  function watch(): void {
    const everyMs = limits.hangMs / 4;
    let beats = memory.beats();
    let seenMs = clock.monotonicMs();
    let lookedMs = seenMs;
    function look(): void {
      const nowMs = clock.monotonicMs();
      const late = nowMs - lookedMs > 2 * everyMs;
      lookedMs = nowMs;
      const latest = memory.beats();
      if (late || latest !== beats) {
        beats = latest;
        seenMs = nowMs;
      }
      const limitMs = ready === undefined && opening.size + closing.size === 0 ? limits.hangMs : limits.openMs;
      if (nowMs - seenMs >= limitMs) lose(new AgentError("FAULTED", `motion thread has stood still for ${limitMs} ms`));
      else cancelWatch = clock.after(everyMs, look);
    }
    cancelWatch = clock.after(everyMs, look);
  }

  async function start(): Promise<void> {
    const isReady = new Promise<void>((resolve, reject) => {
      ready = { resolve, reject };
    });
    const thread = (options.start ?? createThreadStart())(
      { memory: memory.buffer, board: options.board, modules: options.modules ?? [], limits },
      { receive, lost: lose },
    );
    post = (message) => thread.post(message);
    stopThread = (limitMs) => thread.stop(limitMs);
    watch();
    await isReady;
    ready = undefined;
    cancelChanges = variables.onChange(sendChanged);
  }

  function sendChanged(names: ReadonlySet<string>): void {
    const wanted = new Set<string>();
    for (const reads of readers.values()) for (const name of reads) if (names.has(name)) wanted.add(name);
    sendVariables(wanted);
  }

  function sendVariables(names: Iterable<string>): void {
    const nowMs = clock.monotonicMs();
    const sent: SentVariable[] = [];
    for (const name of names) {
      const variable = variables.get(name);
      if (variable === undefined) continue;
      const { value, unit, ageMs, source, updates } = variable;
      sent.push({ name, value, unit, arrivedMs: nowMs - ageMs, staleMs: variables.staleMsOf(name), source, updates });
    }
    if (sent.length > 0) send({ kind: "variables", variables: sent });
  }

  function receive(message: FromThread): void {
    switch (message.kind) {
      case "ready":
        realtimePriority = message.realtimePriority;
        ready?.resolve();
        break;
      case "opened":
        settle(opening, message.device)?.resolve(message);
        break;
      case "unopened":
        settle(opening, message.device)?.reject(errorFrom(message.error));
        break;
      case "closed":
        if (message.error === undefined) settle(closing, message.device)?.resolve();
        else settle(closing, message.device)?.reject(errorFrom(message.error));
        break;
      case "log":
        log[message.level](message.fields, message.message);
        break;
      case "dying":
        lose(new AgentError("FAULTED", `motion thread failed: ${message.error.message}`));
        break;
      case "stopped":
        break;
      default:
        receiveFromDevice(message);
    }
  }

  function receiveFromDevice(message: DeviceMessage): void {
    switch (message.kind) {
      case "published":
        for (const { device, name, value, freshMs } of message.values) contexts.get(device)?.publish(name, value, freshMs);
        break;
      case "fault":
        contexts.get(message.device)?.fault(errorFrom(message.error));
        break;
      case "lease-end":
        log.warn(
          { device: contexts.get(message.device)?.id, lateMs: message.lateMs },
          `motion thread ended the lease of ${contexts.get(message.device)?.id ?? "a closed device"}, ${message.lateMs} ms after its time`,
        );
        break;
      default:
        proxies.get(message.device)?.receive(message);
    }
  }

  function freeNumber(): number {
    for (let device = 0; device < MAX_MOTION_DEVICES; device++) if (!contexts.has(device)) return device;
    throw new AgentError("FULL", `${MAX_MOTION_DEVICES} devices are in the motion thread already`);
  }

  function forget(device: number): void {
    proxies.delete(device);
    contexts.delete(device);
    readers.delete(device);
    memory.setLease(device, -Infinity);
  }

  function begin(): Promise<void> {
    started ??= start();
    return started;
  }

  return {
    prepare: begin,
    async openDevice({ id, driver, options: deviceOptions, policy }, context) {
      if (stopping) throw new AgentError("NOT_READY", `${id}: the agent is stopping`);
      await begin();
      if (lost !== undefined) throw lost;
      const device = freeNumber();
      const reads = driver.reads?.(deviceOptions) ?? [];
      // Whoever made the device safe before it was opened here may have told what it drives.
      const said = variables.names().filter((name) => name.startsWith(`${id}.`));
      const onLoss = policy.onLoss === "hold" && driver.moves ? "safe" : policy.onLoss;
      memory.setLease(device, -Infinity);
      contexts.set(device, context);
      readers.set(device, reads);
      sendVariables([...reads, ...said]);
      const opened = new Promise<Extract<FromThread, { kind: "opened" }>>((resolve, reject) => {
        opening.set(device, { resolve, reject });
      });
      try {
        send({ kind: "open", device, id, driver: driver.name, options: deviceOptions, onLoss, reads: [...reads, ...said] });
        const proxy = createMotionProxy({
          id,
          device,
          memory,
          nextCall: () => ++calls,
          outline: await opened,
          send,
          close: () => closeDevice(id, device),
        });
        proxies.set(device, proxy);
        return proxy.device;
      } catch (error) {
        opening.delete(device);
        forget(device);
        throw error;
      }
    },
    figures: () => (started === undefined ? undefined : figuresOf(proxies.size, realtimePriority, memory.figures())),
    clearFigures: () => memory.clearFigures(),
    beats: () => memory.beats(),
    onLost(listener) {
      lostListeners.add(listener);
      return () => {
        lostListeners.delete(listener);
      };
    },
    async close() {
      cancelWatch?.();
      cancelChanges?.();
      if (started === undefined || stopping) return;
      stopping = true;
      if (lost === undefined) send({ kind: "stop" });
      await stopThread?.(lost === undefined ? STOP_MS : 0);
    },
  };

  async function closeDevice(id: string, device: number): Promise<void> {
    if (lost !== undefined || stopping) return;
    const closed = new Promise<void>((resolve, reject) => {
      closing.set(device, { resolve, reject });
    });
    send({ kind: "close", device });
    try {
      await closed;
    } finally {
      proxies.get(device)?.lose(new AgentError("NOT_READY", `${id} is closed`));
      forget(device);
    }
  }
}

function settle<T>(waiting: Map<number, Waiting<T>>, device: number): Waiting<T> | undefined {
  const found = waiting.get(device);
  waiting.delete(device);
  return found;
}

function figuresOf(devices: number, realtimePriority: number, { lateness, execution, overruns, missed }: LoopFigures): MotionFigures {
  return {
    devices,
    realtimePriority,
    ticks: lateness.count,
    latenessP50Us: lateness.p50Us,
    latenessP99Us: lateness.p99Us,
    latenessP999Us: lateness.p999Us,
    latenessMaxUs: lateness.maxUs,
    executionP50Us: execution.p50Us,
    executionP99Us: execution.p99Us,
    executionP999Us: execution.p999Us,
    executionMaxUs: execution.maxUs,
    overruns,
    missed,
  };
}
