import { z } from "zod";

import { AgentError } from "../../agent/contract/errors.ts";
import type { Variable } from "../../agent/contract/variable.ts";

export const feedbackSchema = z.strictObject({
  variable: z.string().min(1).describe("variable that says where the horn is, degrees"),
  toleranceDeg: z.number().min(1).max(180).default(15).describe("how far it may be from where it is driven, degrees"),
  withinMs: z.int().min(50).max(10_000).default(1000).describe("for how long it may be further, or not known, milliseconds"),
});

export type FeedbackOptions = z.output<typeof feedbackSchema>;

/** Compares where a horn is with where it is driven. */
export interface HornWatch {
  /** What is wrong, once it has been for too long. `reading` is the variable now. */
  check(nowMs: number, drivenDeg: number, reading: Variable | undefined): AgentError | undefined;
  /** Nothing was driven: what was wrong does not count any more. */
  rest(): void;
}

export function createHornWatch(id: string, { variable, toleranceDeg, withinMs }: FeedbackOptions): HornWatch {
  let wrongSinceMs: number | undefined;

  function problem(drivenDeg: number, reading: Variable | undefined): AgentError | undefined {
    if (reading === undefined || reading.stale || typeof reading.value !== "number") {
      const why = reading === undefined ? "is not there" : reading.stale ? "is stale" : `is ${String(reading.value)}, which is no number`;
      return new AgentError("STALE", `${id}: ${variable}, which says where the horn is, ${why}`);
    }
    if (Math.abs(reading.value - drivenDeg) <= toleranceDeg) return undefined;
    const where = `it is at ${reading.value.toFixed(1)} degrees by ${variable}, driven to ${drivenDeg.toFixed(1)} for ${withinMs} ms`;
    return new AgentError("FAULTED", `${id}: the horn is blocked: ${where}; free it`);
  }

  return {
    check(nowMs, drivenDeg, reading) {
      const wrong = problem(drivenDeg, reading);
      if (wrong === undefined) wrongSinceMs = undefined;
      else wrongSinceMs ??= nowMs;
      return wrongSinceMs !== undefined && nowMs - wrongSinceMs >= withinMs ? wrong : undefined;
    },
    rest() {
      wrongSinceMs = undefined;
    },
  };
}
