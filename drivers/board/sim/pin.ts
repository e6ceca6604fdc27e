import { createRecorder, type History } from "./history.ts";
import type { Clock } from "../../../agent/contract/clock.ts";
import type { Pull } from "../../../agent/contract/board.ts";

/**
 * What happened on a pin: it was opened as an `output` or an `input`, its `level` changed, it was given back (`release`).
 * `level` is the one right after it.
 */
export interface PinEvent {
  readonly atMs: number;
  readonly event: "output" | "input" | "level" | "release";
  readonly level: boolean;
}

/**
 * One pin, seen from both sides. Its level is what the output drives; else what an output at the other end of a wire drives;
 * else what the world drives; else the input's pull; else the resistor on the board; else low.
 */
export interface Pin {
  readonly name: string;
  level(): boolean;
  /** The level it drives as an output. */
  drivenLevel(): boolean | undefined;
  history(): History<PinEvent>;

  openOutput(level: boolean): void;
  /** The pin must be open as an output. Costs nothing when the level stays. */
  output(level: boolean): void;
  /** `onLevel` is called with every new level, at once. */
  openInput(pull: Pull, onLevel: (level: boolean) => void): void;
  release(): void;

  /** The world drives the pin, or lets go of it (undefined). An output is stronger. */
  drive(level: boolean | undefined): void;
  /** A resistor on the board, there whoever has the pin. */
  resistor(pull: Pull): void;
  /** Soldered to `other`, for good: call it on both. */
  wire(other: Pin): void;
  /** Looks again, after something changed at the other end of a wire. */
  settle(): void;
  /** Forgets what the world does and what was recorded. */
  reset(): void;
}

export function createPin(name: string, clock: Clock, historyLimit: number): Pin {
  const recorder = createRecorder<PinEvent>(historyLimit);
  let role: "free" | "output" | "input" = "free";
  let level = false;
  let outputLevel = false;
  let inputPull: Pull = "none";
  let onLevel: ((level: boolean) => void) | undefined;
  let worldLevel: boolean | undefined;
  let boardPull: Pull = "none";
  const wired: Pin[] = [];

  function physicalLevel(): boolean {
    if (role === "output") return outputLevel;
    for (const other of wired) {
      const driven = other.drivenLevel();
      if (driven !== undefined) return driven;
    }
    if (worldLevel !== undefined) return worldLevel;
    if (role === "input" && inputPull !== "none") return inputPull === "up";
    return boardPull === "up";
  }

  /** Records a change of hands, and the level it brings in the same moment: a pin never shows one without the other. */
  function changeHands(event: PinEvent["event"]): void {
    level = physicalLevel();
    recorder.record({ atMs: clock.monotonicMs(), event, level });
    for (const other of wired) other.settle();
  }

  function settle(): void {
    const settled = physicalLevel();
    if (settled === level) return;
    level = settled;
    recorder.record({ atMs: clock.monotonicMs(), event: "level", level });
    onLevel?.(level);
  }

  return {
    name,
    level: () => level,
    drivenLevel: () => (role === "output" ? outputLevel : undefined),
    settle,
    history: () => recorder.history(),
    openOutput(initial) {
      role = "output";
      outputLevel = initial;
      changeHands("output");
    },
    output(next) {
      if (next === outputLevel) return;
      outputLevel = next;
      settle();
      for (const other of wired) other.settle();
    },
    openInput(pull, listener) {
      role = "input";
      inputPull = pull;
      onLevel = listener;
      changeHands("input");
    },
    release() {
      role = "free";
      onLevel = undefined;
      changeHands("release");
    },
    drive(next) {
      worldLevel = next;
      settle();
    },
    resistor(pull) {
      boardPull = pull;
      settle();
    },
    wire(other) {
      wired.push(other);
      settle();
    },
    reset() {
      worldLevel = undefined;
      boardPull = "none";
      settle();
      recorder.clear();
    },
  };
}
