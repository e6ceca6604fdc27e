import { AgentError, toAgentError } from "../../agent/contract/errors.ts";
import { I2C_BLOCK_BYTES, type I2cDevice } from "../../agent/contract/i2c.ts";
import type { Cancel } from "../../agent/contract/clock.ts";

/** Transfers that may wait for one bus: far more than a bus at 400 kHz carries in the time limit of one. */
const MAX_WAITING = 256;

export interface I2cTiming {
  /** Time limit of one transfer, milliseconds. */
  readonly limitMs: number;
  /** How often a transfer that failed and may be repeated is tried again before its error counts. */
  readonly retries: number;
}

/** A byte takes 25 µs at 400 kHz and a block of 32 less than 1 ms; chips that stretch the clock (UM10204, 3.1.9) may take tens of milliseconds. */
export const DEFAULT_I2C_TIMING: I2cTiming = { limitMs: 100, retries: 1 };

/** The transfers of one bus, one at a time, in the order they were asked for. */
export interface I2cQueue {
  /**
   * Runs `transfer` when its turn comes; `name` is the chip's. Rejects TIMEOUT when it does not end in time: it is left to end by itself, and until then
   * whatever waits or comes is refused with TIMEOUT, so that a stuck bus holds up one thread and no more. Rejects FULL when too many wait.
   */
  run<T>(name: string, repeatable: boolean, transfer: () => Promise<T>): Promise<T>;
}

interface Job {
  readonly name: string;
  readonly retries: number;
  /** One try; settles when the bus is free again. */
  transfer(): Promise<void>;
  refuse(error: AgentError): void;
}

export function createI2cQueue(timing: I2cTiming, after: (delayMs: number, run: () => void) => Cancel): I2cQueue {
  const { limitMs } = timing;
  const waiting: Job[] = [];
  let working = false;
  /** The chip whose transfer is overdue and goes on. */
  let hung: string | undefined;

  function refusal(name: string, stuck: string): AgentError {
    const why = `a transfer to ${stuck} goes on for more than ${limitMs} ms; the bus may be held low, power its chips off and on`;
    return new AgentError("TIMEOUT", `${name} is not reached, ${why}`);
  }

  function giveUp(job: Job): void {
    hung = job.name;
    job.refuse(new AgentError("TIMEOUT", `${job.name} did not end a transfer within ${limitMs} ms; is its bus held low?`));
    for (const next of waiting.splice(0)) next.refuse(refusal(next.name, job.name));
  }

  /** The error that may be worth another try; undefined when the job is done with. */
  async function tryOnce(job: Job): Promise<AgentError | undefined> {
    const cancel = after(limitMs, () => {
      giveUp(job);
    });
    try {
      await job.transfer();
      return undefined;
    } catch (thrown) {
      return hung === undefined ? toAgentError(thrown) : undefined;
    } finally {
      cancel();
      hung = undefined;
    }
  }

  async function work(): Promise<void> {
    working = true;
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      let error = await tryOnce(job);
      for (let left = job.retries; error?.code === "IO" && left > 0; left--) error = await tryOnce(job);
      if (error !== undefined) job.refuse(error);
    }
    working = false;
  }

  return {
    run(name, repeatable, transfer) {
      if (hung !== undefined) return Promise.reject(refusal(name, hung));
      if (waiting.length >= MAX_WAITING) {
        return Promise.reject(new AgentError("FULL", `${name}: ${MAX_WAITING} transfers wait for its bus already; ask less often`));
      }
      return new Promise((resolve, refuse) => {
        const retries = repeatable ? timing.retries : 0;
        waiting.push({ name, retries, refuse, transfer: async () => resolve(await transfer()) });
        if (!working) void work();
      });
    },
  };
}

/** `raw` with its arguments checked and its transfers in the queue. `repeatWrites`: writing the same twice is the same as writing it once. */
export function queueI2c(name: string, raw: I2cDevice, queue: I2cQueue, repeatWrites: boolean): I2cDevice {
  let open = true;

  function check(register: number, value: number, most: number): void {
    if (!open) throw new AgentError("IO", `${name} is closed`);
    if (!isUpTo(register, 0xff)) throw new AgentError("ARGUMENT", `${name}: register ${register}; it is a whole number from 0 to 255`);
    if (!isUpTo(value, most)) throw new AgentError("ARGUMENT", `${name}: value ${value}; it is a whole number from 0 to ${most}`);
  }

  function checkLength(length: number): void {
    if (length > 0 && isUpTo(length, I2C_BLOCK_BYTES)) return;
    throw new AgentError("ARGUMENT", `${name}: a block of ${length} bytes; it is 1 to ${I2C_BLOCK_BYTES}`);
  }

  return {
    async readByte(register) {
      check(register, 0, 0);
      return queue.run(name, true, () => raw.readByte(register));
    },
    async writeByte(register, value) {
      check(register, value, 0xff);
      return queue.run(name, repeatWrites, () => raw.writeByte(register, value));
    },
    async readWord(register) {
      check(register, 0, 0);
      return queue.run(name, true, () => raw.readWord(register));
    },
    async writeWord(register, value) {
      check(register, value, 0xffff);
      return queue.run(name, repeatWrites, () => raw.writeWord(register, value));
    },
    async readBlock(register, length) {
      check(register, 0, 0);
      checkLength(length);
      return queue.run(name, true, () => raw.readBlock(register, length));
    },
    async writeBlock(register, bytes) {
      check(register, 0, 0);
      checkLength(bytes.length);
      // The caller may use its buffer again while the transfer waits.
      const copy = Uint8Array.from(bytes);
      return queue.run(name, repeatWrites, () => raw.writeBlock(register, copy));
    },
    close() {
      if (!open) return;
      open = false;
      raw.close();
    },
  };
}

function isUpTo(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= most;
}
