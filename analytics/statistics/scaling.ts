import { createWelford, type WelfordState } from "./welford.ts";

/** Brings inputs of different units to one size: weights then learn at one pace. */
export interface Scaling {
  /** Takes an example's inputs into account. */
  learn(inputs: Float64Array): void;
  /** The inputs with mean 0 and standard deviation 1 of what was learned; the returned array is used again by the next call. */
  scaled(inputs: Float64Array): Float64Array;
  state(): readonly WelfordState[];
}

/** An input further from its mean is taken for this many standard deviations: one outlier does not undo what was learned. */
const MAX_DEVIATIONS = 10;

/** Values after which the scale is as slow to move as it gets. */
const MEMORY = 10_000;

export function createScaling(size: number, saved: readonly WelfordState[] = []): Scaling {
  const spreads = Array.from({ length: size }, (_, i) => createWelford(MEMORY, saved[i]));
  const result = new Float64Array(size);
  return {
    learn(inputs) {
      for (let i = 0; i < size; i++) {
        spreads[i]?.push(inputs[i] as number);
        const { mean, variance } = spreads[i] as (typeof spreads)[number];
        // Squares that no number holds: begin again with what comes next.
        if (!Number.isFinite(mean) || !Number.isFinite(variance)) spreads[i] = createWelford(MEMORY);
      }
    },
    scaled(inputs) {
      for (const [i, { mean, variance }] of spreads.entries()) {
        const distance = (inputs[i] as number) - mean;
        const deviations = variance > 0 ? distance / Math.sqrt(variance) : 0;
        result[i] = Math.min(Math.max(deviations, -MAX_DEVIATIONS), MAX_DEVIATIONS);
      }
      return result;
    },
    state: () => spreads.map((spread) => spread.state()),
  };
}
