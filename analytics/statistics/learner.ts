import { fresh, numberOf, type Derived } from "./derivation.ts";
import { readModel, modelText, type LinearState, type SavedModel } from "./linear-state.ts";
import { createLogistic } from "./logistic.ts";
import { createPerceptron } from "./perceptron.ts";
import { createScaling } from "./scaling.ts";
import type { VariableReader, VariableValue } from "../../agent/contract/variable.ts";
import type { DerivedOptions } from "./options.ts";

/** Learns a label from features and predicts it. */
export interface Learner {
  /** Learns when the label is among `changed`; predicts with the features there are. */
  take(changed: ReadonlySet<string>, variables: Pick<VariableReader, "get">): Derived | "ignored" | "nothing";
  /** Goes on from what `text` says. Throws ARGUMENT. */
  load(text: string): void;
  /** What was learned since the last time this was asked for; undefined when nothing was. */
  unsaved(): string | undefined;
  /** What `unsaved` gave could not be kept. */
  keepTrying(): void;
}

interface Model {
  predict(inputs: Float64Array): VariableValue;
  learn(inputs: Float64Array, label: boolean): boolean;
}

type ModelOptions = NonNullable<DerivedOptions["logistic"] | DerivedOptions["perceptron"]>;

/** Undefined for the kinds that learn nothing. */
export function createLearner({ logistic, perceptron }: DerivedOptions): Learner | undefined {
  if (logistic !== undefined) return createModelLearner("logistic", ".probability", logistic, (state) => createLogistic(state, logistic));
  if (perceptron === undefined) return undefined;
  return createModelLearner("perceptron", ".predicted", perceptron, (state) => createPerceptron(state, perceptron.learningRate));
}

function createModelLearner(
  kind: SavedModel["kind"],
  suffix: string,
  { features, label, standardise }: ModelOptions,
  createModel: (state: LinearState) => Model,
): Learner {
  const state: LinearState = { weights: new Float64Array(features.length), bias: 0 };
  const model = createModel(state);
  const read = new Float64Array(features.length);
  let scaling = standardise ? createScaling(features.length) : undefined;
  let examples = 0;
  let changedSinceSave = false;

  /** Fills `read`; false while a feature is missing, stale or no number. */
  function readFeatures(variables: Pick<VariableReader, "get">): boolean {
    return features.every((name, i) => {
      const number = numberOf(fresh(variables.get(name))?.value);
      read[i] = number ?? 0;
      return number !== undefined;
    });
  }

  function learn(variables: Pick<VariableReader, "get">): boolean {
    const truth = labelOf(fresh(variables.get(label))?.value);
    if (truth === undefined) return false;
    scaling?.learn(read);
    if (!model.learn(scaling?.scaled(read) ?? read, truth)) return false;
    examples += 1;
    changedSinceSave = true;
    return true;
  }

  return {
    take(changed, variables) {
      if (!readFeatures(variables)) return "ignored";
      const learned = !changed.has(label) || learn(variables);
      const predicted = examples === 0 ? undefined : model.predict(scaling?.scaled(read) ?? read);
      if (predicted === undefined || Number.isNaN(predicted)) return learned ? "nothing" : "ignored";
      return [
        [suffix, predicted],
        [".examples", examples],
      ];
    },
    load(text) {
      const saved = readModel(text, { kind, features, standardise });
      state.weights.set(saved.weights);
      state.bias = saved.bias;
      if (standardise) scaling = createScaling(features.length, saved.scaling);
      examples = saved.examples;
    },
    unsaved() {
      if (!changedSinceSave) return undefined;
      changedSinceSave = false;
      return modelText({ kind, features, weights: [...state.weights], bias: state.bias, scaling: scaling?.state() ?? [], examples });
    },
    keepTrying() {
      changedSinceSave = true;
    },
  };
}

/** True or false, 1 or 0; anything else is no label. */
function labelOf(value: VariableValue | undefined): boolean | undefined {
  if (value === true || value === 1) return true;
  return value === false || value === 0 ? false : undefined;
}
