import { scoreOf } from "./logistic.ts";
import type { LinearState } from "./linear-state.ts";

export interface Perceptron {
  predict(inputs: Float64Array): boolean;
  /** Moves the weights when the example is predicted wrongly; false, and nothing is changed, when they would leave what numbers hold. */
  learn(inputs: Float64Array, label: boolean): boolean;
}

/** Rosenblatt's perceptron (Psychological Review 65, 1958), learning from one example at a time. Works on `state` in place. */
export function createPerceptron(state: LinearState, learningRate: number): Perceptron {
  const next = new Float64Array(state.weights.length);
  const predict = (inputs: Float64Array): boolean => scoreOf(state, inputs) > 0;
  return {
    predict,
    learn(inputs, label) {
      if (predict(inputs) === label) return true;
      const step = label ? learningRate : -learningRate;
      for (let i = 0; i < next.length; i++) next[i] = (state.weights[i] as number) + step * (inputs[i] as number);
      if (!Number.isFinite(state.bias + step) || !next.every(Number.isFinite)) return false;
      state.weights.set(next);
      state.bias += step;
      return true;
    },
  };
}
