import type { Clock } from "../../contract/clock.ts";

/** Long work takes the event loop for so long at a time. */
const SLICE_MS = 4;

/** Steps between two looks at the clock. */
export const STEPS_PER_LOOK = 2048;

/** Work that can be interrupted wherever it yields. */
export type Steps<T> = Generator<undefined, T, undefined>;

/** Does the work in slices, between which requests and timers have their turn. */
export async function inSlices<T>(steps: Steps<T>, clock: Clock): Promise<T> {
  for (;;) {
    const untilMs = clock.monotonicMs() + SLICE_MS;
    do {
      const step = steps.next();
      if (step.done === true) return step.value;
    } while (clock.monotonicMs() < untilMs);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Does things one after the other, in the order in which they were asked for. */
export type Turns = <T>(work: () => Promise<T>) => Promise<T>;

/** What takes long is done once at a time: ten at once would take as long, and ten times the memory. */
export function createTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const turn = last.then(work);
    last = turn.catch(() => undefined);
    return turn;
  };
}
