import { TICK_MS, type Options } from "./rig.ts";
import type { Probe } from "./probe.ts";

/** Arms with a stream of commands every `periodMs` for `ms`; the code it answers, or true. */
type ArmAfter = (limits: Options, periodMs: number, ms: number, more?: Options) => Promise<unknown>;

/** What arming asks of the stream of commands: the same of pedals and steering. */
export function streamProbes(armAfter: ArmAfter): Readonly<Record<"armStreamMs" | "armStreamHz" | "armStreamRatio", Probe>> {
  return {
    armStreamMs: async (value) => [
      { what: "below", expected: "NOT_READY", actual: await armAfter({ armStreamMs: value }, TICK_MS, value - TICK_MS) },
      { what: "at", expected: true, actual: await armAfter({ armStreamMs: value }, TICK_MS, value) },
      { what: "above", expected: true, actual: await armAfter({ armStreamMs: value }, TICK_MS, value + TICK_MS) },
    ],
    armStreamHz: async (value) => {
      const slow = Math.ceil(((1000 / value) * 1.2) / TICK_MS) * TICK_MS;
      const fast = Math.max(TICK_MS, Math.floor(1000 / value / TICK_MS) * TICK_MS);
      return [
        {
          what: "below",
          expected: "NOT_READY",
          actual: await armAfter({ armStreamHz: value, armStreamMs: 10_000 }, slow, 12_000, { streamHz: 2 }),
        },
        { what: "at", expected: true, actual: await armAfter({ armStreamHz: value, armStreamMs: 10_000 }, fast, 12_000, { streamHz: 2 }) },
      ];
    },
    armStreamRatio: async (value) => {
      const answer = (hz: number): Promise<unknown> =>
        armAfter({ armStreamRatio: value, armStreamHz: 2, armStreamMs: 10_000 }, TICK_MS, 12_000, { streamHz: hz });
      // Commands come at 100 Hz.
      return [
        { what: "below", expected: "NOT_READY", actual: await answer((100 / value) * 1.02) },
        { what: "at", expected: true, actual: await answer(100 / value) },
      ];
    },
  };
}
