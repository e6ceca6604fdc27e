import { AgentError, messageOf, toAgentError } from "../../agent/contract/errors.ts";
import { isPending, type Eventually } from "../../agent/contract/value.ts";
import { createListeners } from "./listeners.ts";
import type { Cancel, Clock } from "../../agent/contract/clock.ts";
import type { SerialOptions, SerialState, SerialStream } from "../../agent/contract/serial.ts";

/** One opened port, until it is lost. */
export interface RawSerialPort {
  /** Hands over bytes, which stay as they are until it resolves. Throws or rejects when the port is lost. */
  write(bytes: Uint8Array): Eventually<void>;
  close(): Eventually<void>;
}

/** What a raw port tells. Nothing counts any more after `lost`. */
export interface RawSerialEvents {
  data(bytes: Uint8Array): void;
  lost(reason: string): void;
}

export interface SerialStreamSetup {
  readonly path: string;
  readonly options: SerialOptions;
  readonly clock: Clock;
  /** One attempt. Throws or rejects with why not: IN_USE when another device of this board has it. */
  open(events: RawSerialEvents): Eventually<RawSerialPort>;
}

/** How long closing waits for what is still to be sent; an instrument that does not take it keeps nobody from closing. */
const DRAIN_MS = 500;

/** Sends in order, what was written in one turn together. */
interface Sender {
  write(bytes: Uint8Array): void;
  /** Resolves when nothing waits any more. */
  drained(): Promise<void>;
}

function createSender(path: string, port: RawSerialPort, sendBytes: number, failed: (reason: string) => void): Sender {
  let queue: Uint8Array[] = [];
  let waitingBytes = 0;
  let sending: Promise<void> | undefined;

  async function send(): Promise<void> {
    try {
      // Not before the end of the turn: what it writes goes out together.
      await Promise.resolve();
      while (queue.length > 0) {
        const batch = queue.length === 1 ? (queue[0] as Uint8Array) : Buffer.concat(queue);
        queue = [];
        const written = port.write(batch);
        if (isPending(written)) await written;
        waitingBytes -= batch.length;
      }
      // Not later: what is written from now on needs a new one.
      sending = undefined;
    } catch (thrown) {
      failed(messageOf(thrown));
    }
  }

  return {
    write(bytes) {
      if (waitingBytes + bytes.length > sendBytes) {
        const room = `sendBytes allows ${sendBytes}`;
        throw new AgentError("FULL", `${path}: ${bytes.length} bytes more than the ${waitingBytes} that wait to be sent; ${room}`);
      }
      queue.push(Uint8Array.from(bytes));
      waitingBytes += bytes.length;
      sending ??= send();
    },
    drained: () => sending ?? Promise.resolve(),
  };
}

interface OpenPort {
  readonly raw: RawSerialPort;
  readonly sender: Sender;
  readonly sinceMs: number;
}

/**
 * A port through every loss and return of it: attempts with growing pauses, a fresh start after silence. Resolves after the first attempt, also when that
 * found nothing. Rejects IN_USE when another device of this board has the port.
 */
export async function openSerialStream(setup: SerialStreamSetup): Promise<SerialStream> {
  const { path, options, clock } = setup;
  const dataListeners = createListeners<[bytes: Uint8Array, atMs: number]>();
  const stateListeners = createListeners<[state: SerialState, reason: string]>();
  let state: SerialState = "waiting";
  let reason = `${path} was not opened yet`;
  let current: OpenPort | undefined;
  /** Of the attempt under way or the port that is open; events of an earlier one are no longer ours. */
  let generation = 0;
  let pauseMs = options.retryMinMs;
  let lastByteMs = 0;
  let cancelTimer: Cancel | undefined;
  let opening: Promise<unknown> = Promise.resolve();
  let closing: Promise<void> = Promise.resolve();
  let closed: Promise<void> | undefined;

  function setState(next: SerialState, why: string): void {
    reason = why;
    if (next === state) return;
    state = next;
    stateListeners.tell(next, why);
  }

  function arm(delayMs: number, run: () => void): void {
    cancelTimer?.();
    cancelTimer = clock.after(delayMs, run);
  }

  function arrived(bytes: Uint8Array): void {
    lastByteMs = clock.monotonicMs();
    pauseMs = options.retryMinMs;
    dataListeners.tell(bytes, lastByteMs);
  }

  /** One timer however many bytes arrive: it looks how old the last one is. */
  function watchSilence(): void {
    const { silentMs } = options;
    if (silentMs === 0) return;
    const leftMs = lastByteMs + silentMs - clock.monotonicMs();
    if (leftMs > 0) arm(leftMs, watchSilence);
    else lose(`${path} was silent for ${silentMs} ms`);
  }

  async function closeRaw({ raw }: OpenPort): Promise<void> {
    try {
      await raw.close();
    } catch (thrown) {
      reason = `${reason}; it did not close (${messageOf(thrown)})`;
    }
  }

  function lose(why: string): void {
    const lost = current;
    generation += 1;
    current = undefined;
    cancelTimer?.();
    if (lost !== undefined) {
      if (clock.monotonicMs() - lost.sinceMs > options.retryMaxMs) pauseMs = options.retryMinMs;
      closing = closeRaw(lost);
    }
    retryLater(why);
  }

  function retryLater(why: string): void {
    const delayMs = Math.min(pauseMs, options.retryMaxMs);
    pauseMs = Math.min(pauseMs * 2, options.retryMaxMs);
    arm(delayMs, () => {
      opening = attempt();
    });
    setState("waiting", `${why}; trying again within ${options.retryMaxMs} ms`);
  }

  /** Answers why it failed. */
  async function attempt(): Promise<AgentError | undefined> {
    generation += 1;
    const mine = generation;
    await closing;
    if (closed !== undefined) return undefined;
    let raw: RawSerialPort;
    try {
      raw = await setup.open({
        data(bytes) {
          if (mine === generation && current !== undefined) arrived(bytes);
        },
        lost(why) {
          if (mine === generation) lose(why);
        },
      });
    } catch (thrown) {
      const error = toAgentError(thrown);
      if (mine === generation) retryLater(error.message);
      return error;
    }
    const sender = createSender(path, raw, options.sendBytes, (why) => {
      if (mine === generation) lose(`${path} takes no bytes (${why})`);
    });
    const port = { raw, sender, sinceMs: clock.monotonicMs() };
    if (mine !== generation) {
      await closeRaw(port);
      return undefined;
    }
    current = port;
    lastByteMs = port.sinceMs;
    watchSilence();
    setState("open", `${path} is open`);
    return undefined;
  }

  function mustBeOpen(): void {
    if (closed !== undefined) throw new AgentError("IO", `${path} is closed`);
  }

  async function closeAll(last: OpenPort | undefined): Promise<void> {
    if (last !== undefined) {
      let cancelDrain: Cancel | undefined;
      await Promise.race([
        last.sender.drained(),
        new Promise<void>((resolve) => {
          cancelDrain = clock.after(DRAIN_MS, resolve);
        }),
      ]);
      cancelDrain?.();
      await last.raw.close();
    }
    await opening;
    await closing;
  }

  opening = attempt().then((error) => {
    if (error?.code !== "IN_USE") return;
    cancelTimer?.();
    throw error;
  });
  await opening;

  return {
    state: () => state,
    reason: () => reason,
    onState(listener) {
      mustBeOpen();
      return stateListeners.add(listener);
    },
    onData(listener) {
      mustBeOpen();
      return dataListeners.add(listener);
    },
    write(bytes) {
      mustBeOpen();
      if (current === undefined) throw new AgentError("NOT_READY", reason);
      if (bytes.length > 0) current.sender.write(bytes);
    },
    reopen(why) {
      mustBeOpen();
      if (current !== undefined) lose(`${path}: ${why}`);
    },
    close() {
      if (closed !== undefined) return closed;
      const last = current;
      generation += 1;
      current = undefined;
      cancelTimer?.();
      dataListeners.clear();
      stateListeners.clear();
      state = "waiting";
      reason = `${path} is closed`;
      closed = closeAll(last);
      return closed;
    },
  };
}
