/** Mean and variance of all values so far, in constant memory. */
export interface Welford {
  readonly count: number;
  readonly mean: number;
  /** With n − 1 in the denominator; 0 for fewer than two values. */
  readonly variance: number;
  push(value: number): void;
}

/** What is remembered, as it is saved. */
export interface WelfordState {
  readonly count: number;
  readonly mean: number;
  /** Sum of the squared distances from the mean. */
  readonly squares: number;
}

/**
 * Welford's method ("Note on a Method for Calculating Corrected Sums of Squares and Products", Technometrics 4, 1962): stable where the difference of two sums
 * is not. `maxCount` bounds the weight of the past, so that it goes on learning when conditions change; Infinity for the plain method.
 */
export function createWelford(
  maxCount = Infinity,
  from: WelfordState = { count: 0, mean: 0, squares: 0 },
): Welford & { state(): WelfordState } {
  let { count, mean, squares } = from;
  return {
    get count() {
      return count;
    },
    get mean() {
      return mean;
    },
    get variance() {
      return count < 2 ? 0 : squares / (count - 1);
    },
    push(value) {
      if (count >= maxCount) {
        // The past weighs as one value less, with the same variance.
        squares *= (count - 2) / (count - 1);
        count -= 1;
      }
      count += 1;
      const distance = value - mean;
      mean += distance / count;
      squares += distance * (value - mean);
    },
    state: () => ({ count, mean, squares }),
  };
}
