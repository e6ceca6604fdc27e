import type { Clock } from "../contract/clock.ts";
import type { Variable } from "../contract/variable.ts";
import type { SentVariable } from "./motion-messages.ts";

/** The motion thread's copy of the variables its devices read. */
export interface MotionVariables {
  set(variable: SentVariable): void;
  /** With the age it has now: it goes stale here also while nobody sends anything. */
  get(name: string): Variable | undefined;
}

export function createMotionVariables(clock: Pick<Clock, "monotonicMs">): MotionVariables {
  const byName = new Map<string, SentVariable>();
  return {
    set(variable) {
      byName.set(variable.name, variable);
    },
    get(name) {
      const sent = byName.get(name);
      if (sent === undefined) return undefined;
      const { value, unit, arrivedMs, staleMs, source, updates } = sent;
      const ageMs = clock.monotonicMs() - arrivedMs;
      return { name, value, unit, ageMs, stale: ageMs > staleMs, source, updates };
    },
  };
}
