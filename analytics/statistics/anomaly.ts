import { createWelford } from "./welford.ts";

export interface AnomalyOptions {
  /** Standard deviations from the mean beyond which a value is anomalous. */
  readonly threshold: number;
  /** Values that are only learned from at first. */
  readonly warmUp: number;
  /** The past weighs as much as this number of values. */
  readonly memory: number;
  /** The smallest standard deviation that is assumed, in the variable's unit: a value that never changed makes no anomaly of its last digit. */
  readonly minDeviation: number;
}

export interface Anomaly {
  /** How many standard deviations above the mean of what came before; below: negative. */
  readonly score: number;
  readonly anomalous: boolean;
}

export interface AnomalyDetector {
  /** Takes a value; undefined while it warms up, and where the score is beyond what a number holds. */
  readonly push: (value: number) => Anomaly | undefined;
}

/** Compares each value with those before it (z-score), and learns from it afterwards. */
export function createAnomalyDetector({ threshold, warmUp, memory, minDeviation }: AnomalyOptions): AnomalyDetector {
  let known = createWelford(memory);
  return {
    push(value) {
      const { count, mean, variance } = known;
      known.push(value);
      // Values whose squares no number holds would leave nothing to compare with.
      if (!Number.isFinite(known.mean) || !Number.isFinite(known.variance)) known = createWelford(memory);
      if (count < warmUp) return undefined;
      const score = (value - mean) / Math.max(Math.sqrt(variance), minDeviation);
      return Number.isFinite(score) ? { score, anomalous: Math.abs(score) > threshold } : undefined;
    },
  };
}
