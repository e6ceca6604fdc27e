import { createRing } from "./window.ts";

export interface RateOptions {
  /** The change is measured over about this time, milliseconds: from the latest value that is at least so old, or the oldest there is. */
  readonly overMs: number;
  /** The value only rises, as counters do: a fall is a restart, and what was counted before it is forgotten. */
  readonly counter: boolean;
  /** The most values kept; more in `overMs` shorten it. */
  readonly maxValues: number;
}

export interface Rate {
  /** Takes a value; returns the change per second, undefined while there is nothing earlier to compare with. */
  readonly push: (value: number, atMs: number) => number | undefined;
}

const MS_PER_S = 1000;

/** Rate of change per second. */
export function createRate({ overMs, counter, maxValues }: RateOptions): Rate {
  const values = createRing(maxValues);

  function isRestart(value: number): boolean {
    return counter && values.count > 0 && value < values.valueAt(values.count - 1);
  }

  return {
    push(value, atMs) {
      if (isRestart(value)) while (values.count > 0) values.drop();
      if (values.count === maxValues) values.drop();
      values.add(value, atMs);
      while (values.count > 2 && values.timeAt(1) <= atMs - overMs) values.drop();
      const elapsedMs = atMs - values.timeAt(0);
      return elapsedMs > 0 ? ((value - values.valueAt(0)) / elapsedMs) * MS_PER_S : undefined;
    },
  };
}
