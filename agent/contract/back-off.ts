/** How long to wait between attempts. */
export interface BackOffOptions {
  /** After the first failure, milliseconds. */
  readonly minMs: number;
  /** It doubles up to this, milliseconds. */
  readonly maxMs: number;
}

export interface BackOff {
  /** The time to wait after one more failure: between half and all of the current step, so that many who failed together do not come back together. */
  next(): number;
  /** It went well: begin with the first step again. */
  reset(): void;
}

/** `random`: from 0 to below 1. */
export function createBackOff({ minMs, maxMs }: BackOffOptions, random: () => number): BackOff {
  let stepMs = minMs;
  return {
    next() {
      const waitMs = (stepMs * (1 + random())) / 2;
      stepMs = Math.min(maxMs, stepMs * 2);
      return waitMs;
    },
    reset() {
      stepMs = minMs;
    },
  };
}
