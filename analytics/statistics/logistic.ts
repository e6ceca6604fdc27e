import type { LinearState } from "./linear-state.ts";

export interface LogisticOptions {
  /** How far one example moves the weights, above 0 to 1. */
  readonly learningRate: number;
  /** How strongly weights are drawn towards 0; the bias is not. */
  readonly l2: number;
}

export interface Logistic {
  /** Probability of the label being true, 0 to 1. */
  predict(inputs: Float64Array): number;
  /** Moves the weights towards an example; false, and nothing is changed, when they would leave what numbers hold. */
  learn(inputs: Float64Array, label: boolean): boolean;
}

/** Online logistic regression: one step of stochastic gradient descent per example on the log loss with an L2 penalty. Works on `state` in place. */
export function createLogistic(state: LinearState, { learningRate, l2 }: LogisticOptions): Logistic {
  const next = new Float64Array(state.weights.length);

  function predict(inputs: Float64Array): number {
    return sigmoid(scoreOf(state, inputs));
  }

  return {
    predict,
    learn(inputs, label) {
      const error = (label ? 1 : 0) - predict(inputs);
      for (let i = 0; i < next.length; i++) {
        const weight = state.weights[i] as number;
        next[i] = weight + learningRate * (error * (inputs[i] as number) - l2 * weight);
      }
      const bias = state.bias + learningRate * error;
      if (!Number.isFinite(bias) || !next.every(Number.isFinite)) return false;
      state.weights.set(next);
      state.bias = bias;
      return true;
    },
  };
}

/** Weighted sum of the inputs and the bias. */
export function scoreOf({ weights, bias }: LinearState, inputs: Float64Array): number {
  let score = bias;
  for (let i = 0; i < weights.length; i++) score += (weights[i] as number) * (inputs[i] as number);
  return score;
}

/** Neither form overflows on its side of 0. */
function sigmoid(score: number): number {
  if (score >= 0) return 1 / (1 + Math.exp(-score));
  const power = Math.exp(score);
  return power / (1 + power);
}
