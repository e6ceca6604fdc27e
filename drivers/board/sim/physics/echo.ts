import type { Cancel, Clock } from "../../../../agent/contract/clock.ts";
import type { SimWorld } from "../sim-board.ts";

/** From the end of the trigger to the beginning of the echo pulse, milliseconds: eight cycles of 40 kHz and the sensor's own time. */
const BURST_MS = 0.45;

/** How long the echo pulse of an HC-SR04 is when nothing comes back, milliseconds. */
const NOTHING_MS = 38;

/** How often the trigger is looked at, milliseconds. */
const LOOK_MS = 0.25;

/** How long sound is on its way to something at `distanceM` and back, milliseconds. */
export function echoPulseMs(distanceM: number, temperatureC: number): number {
  return (2000 * distanceM) / (331.3 + 0.606 * temperatureC);
}

export interface SimEchoOptions {
  readonly trigger: string;
  readonly echo: string;
  readonly temperatureC?: number;
}

/** An HC-SR04 soldered to two lines of the simulated board. */
export interface SimEcho {
  /** What is in front of it, metres; undefined for nothing. */
  place(distanceM: number | undefined): void;
  /** `silent`: it does not answer. `stuck`: its echo stays high. */
  behave(as: "well" | "silent" | "stuck"): void;
  /** How often it was triggered. */
  triggered(): number;
  stop(): void;
}

/** It lives by the clock; with one that is not moved by hand its distances are only as good as timers are. */
export function attachEcho(world: SimWorld, clock: Clock, { trigger, echo, temperatureC = 20 }: SimEchoOptions): SimEcho {
  let distanceM: number | undefined;
  let silent = false;
  let triggered = 0;
  let wasHigh = false;
  let cancel: Cancel = clock.after(LOOK_MS, look);

  function sleepThen(ms: number, next: () => void): void {
    cancel = clock.after(ms, next);
  }

  function look(): void {
    const high = world.level(trigger);
    const ended = wasHigh && !high;
    wasHigh = high;
    if (!ended) {
      sleepThen(LOOK_MS, look);
      return;
    }
    triggered += 1;
    if (silent) sleepThen(LOOK_MS, look);
    else sleepThen(BURST_MS, listen);
  }

  function listen(): void {
    world.drive(echo, true);
    sleepThen(distanceM === undefined ? NOTHING_MS : echoPulseMs(distanceM, temperatureC), fall);
  }

  function fall(): void {
    world.drive(echo, false);
    look();
  }

  world.drive(echo, false);
  return {
    place(next) {
      distanceM = next;
    },
    behave(as) {
      cancel();
      silent = as === "silent";
      world.drive(echo, as === "stuck");
      wasHigh = false;
      if (as !== "stuck") sleepThen(LOOK_MS, look);
    },
    triggered: () => triggered,
    stop() {
      cancel();
    },
  };
}
