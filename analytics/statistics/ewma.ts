export interface Ewma {
  /** Takes a value; returns the average with it. The first one is the average. */
  readonly push: (value: number, atMs: number) => number;
}

/**
 * Exponentially weighted moving average of values at any times: what was known counts half as much after `halfLifeMs`, so that the result does not depend on
 * how often values come. A value stands for the time since the one before it; one that is not later than that counts nothing.
 */
export function createEwma(halfLifeMs: number): Ewma {
  let average = 0;
  let lastMs: number | undefined;
  return {
    push(value, atMs) {
      if (lastMs === undefined) average = value;
      else if (atMs > lastMs) {
        const kept = 2 ** ((lastMs - atMs) / halfLifeMs);
        // Two products instead of a difference: values of opposite signs near the largest number do not overflow.
        average = average * kept + value * (1 - kept);
      }
      lastMs = lastMs === undefined ? atMs : Math.max(lastMs, atMs);
      return average;
    },
  };
}
