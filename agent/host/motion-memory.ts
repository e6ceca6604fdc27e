import { createDurations, DURATION_WORDS, type DurationFigures, type Durations } from "./motion-durations.ts";
import type { SafeTarget } from "../contract/device.ts";

/** Devices one motion thread has at a time. */
export const MAX_MOTION_DEVICES = 64;

const WAKES = 0;
const BEATS = 1;
const OVERRUNS = 2;
const MISSED = 3;
const SLOTS = 4;

// Words of one device's slot.
const ORDERS = 0;
const TARGET = 1;
const LEASE = 2;
const SLOT_WORDS = 3;

const SAFE = 0;
const OFF = 1;
const NUMBER = 2;
const FALSE = 3;
const TRUE = 4;

const WORDS = SLOTS + MAX_MOTION_DEVICES * SLOT_WORDS;
const VALUES_AT = Math.ceil(WORDS / 2) * 8;
const LATENESS_AT = VALUES_AT + MAX_MOTION_DEVICES * 8;
const EXECUTION_AT = LATENESS_AT + DURATION_WORDS * 4;
const BYTES = EXECUTION_AT + DURATION_WORDS * 4;

/** `lease` of a device that nobody holds. */
export const NO_MOTION_LEASE = 0;

/** How the motion thread keeps time. */
export interface LoopFigures {
  /** From a tick's deadline to its start. */
  readonly lateness: DurationFigures;
  /** From a tick's start to its end. */
  readonly execution: DurationFigures;
  /** Ticks that had not ended by their next deadline. */
  readonly overruns: number;
  /** Deadlines that passed without a tick of their own. */
  readonly missed: number;
}

/**
 * What the host's main thread and its motion thread share, so that neither needs the other's event loop: orders to go safe, ends of leases, a beat,
 * figures. Leases are 32-bit words, so that none is ever seen half written.
 */
export interface MotionMemory {
  readonly buffer: SharedArrayBuffer;
  /** Ends the other thread's `sleep`, also one that is only about to begin. */
  wake(): void;
  /** Blocks for up to `ms`. True when there was a `wake` since the last `sleep` that said so: what was sent before it can be received within one turn. */
  sleep(ms: number): boolean;
  beat(): void;
  beats(): number;
  /** Orders a device to take the state `to`; the number of that order. */
  order(device: number, to: SafeTarget): number;
  /** The number of the latest order. */
  orders(device: number): number;
  /** What the latest order asks for. */
  target(device: number): SafeTarget;
  /** Until when whoever drives the device may be relied on, monotonic milliseconds; -Infinity when nobody drives it. */
  setLease(device: number, untilMs: number): void;
  /** Names the lease, `NO_MOTION_LEASE` for none. */
  lease(device: number): number;
  readonly lateness: Durations;
  readonly execution: Durations;
  addOverrun(): void;
  addMissed(deadlines: number): void;
  figures(): LoopFigures;
  /** Starts the figures anew; what is counted in that moment may be lost. */
  clearFigures(): void;
}

/** `buffer` is the one the other thread was given; a new one when absent. */
export function createMotionMemory(buffer: SharedArrayBuffer = new SharedArrayBuffer(BYTES)): MotionMemory {
  const words = new Int32Array(buffer, 0, WORDS);
  const values = new Float64Array(buffer, VALUES_AT, MAX_MOTION_DEVICES);
  const latenessWords = new Uint32Array(buffer, LATENESS_AT, DURATION_WORDS);
  const executionWords = new Uint32Array(buffer, EXECUTION_AT, DURATION_WORDS);
  const lateness = createDurations(latenessWords);
  const execution = createDurations(executionWords);
  let seenWakes = Atomics.load(words, WAKES);

  return {
    buffer,
    wake() {
      Atomics.add(words, WAKES, 1);
      Atomics.notify(words, WAKES);
    },
    sleep(ms) {
      if (Atomics.wait(words, WAKES, seenWakes, ms) === "timed-out") return false;
      seenWakes = Atomics.load(words, WAKES);
      return true;
    },
    beat() {
      Atomics.add(words, BEATS, 1);
    },
    beats: () => Atomics.load(words, BEATS),
    order(device, to) {
      const slot = SLOTS + device * SLOT_WORDS;
      if (typeof to === "object" && typeof to.value === "number") values[device] = to.value;
      Atomics.store(words, slot + TARGET, codeOf(to));
      return Atomics.add(words, slot + ORDERS, 1) + 1;
    },
    orders: (device) => Atomics.load(words, SLOTS + device * SLOT_WORDS + ORDERS),
    target(device) {
      switch (Atomics.load(words, SLOTS + device * SLOT_WORDS + TARGET)) {
        case OFF:
          return "off";
        case NUMBER:
          return { value: values[device] as number };
        case FALSE:
          return { value: false };
        case TRUE:
          return { value: true };
        default:
          return "safe";
      }
    },
    setLease(device, untilMs) {
      Atomics.store(words, SLOTS + device * SLOT_WORDS + LEASE, untilMs === -Infinity ? NO_MOTION_LEASE : wordOf(untilMs));
    },
    lease: (device) => Atomics.load(words, SLOTS + device * SLOT_WORDS + LEASE),
    lateness,
    execution,
    addOverrun() {
      Atomics.add(words, OVERRUNS, 1);
    },
    addMissed(deadlines) {
      Atomics.add(words, MISSED, deadlines);
    },
    figures: () => ({
      lateness: lateness.figures(),
      execution: execution.figures(),
      overruns: Atomics.load(words, OVERRUNS),
      missed: Atomics.load(words, MISSED),
    }),
    clearFigures() {
      latenessWords.fill(0);
      executionWords.fill(0);
      Atomics.store(words, OVERRUNS, 0);
      Atomics.store(words, MISSED, 0);
    },
  };
}

/** How long ago the lease ended; negative while it lasts. */
export function sinceLeaseMs(lease: number, nowMs: number): number {
  // Differences of wrapped words are right up to 24 days; a lease lasts a minute at the most.
  return (Math.floor(nowMs) - lease) | 0;
}

/** The millisecond that has begun by then, wrapped to 32 bits; never the word for none. */
function wordOf(untilMs: number): number {
  const word = Math.ceil(untilMs) | 0;
  return word === NO_MOTION_LEASE ? 1 : word;
}

function codeOf(to: SafeTarget): number {
  if (to === "safe") return SAFE;
  if (to === "off") return OFF;
  if (typeof to.value === "number") return NUMBER;
  return to.value ? TRUE : FALSE;
}
