import { z } from "zod";

import { AgentError, messageOf } from "../../agent/contract/errors.ts";
import type { WelfordState } from "./welford.ts";

/** What a linear model has learned. */
export interface LinearState {
  readonly weights: Float64Array;
  bias: number;
}

export interface SavedModel {
  readonly kind: "logistic" | "perceptron";
  /** The names of the inputs, in the order of the weights. */
  readonly features: readonly string[];
  readonly weights: readonly number[];
  readonly bias: number;
  /** Mean and spread of each input, where inputs are standardised; empty otherwise. */
  readonly scaling: readonly WelfordState[];
  /** Learned from so far. */
  readonly examples: number;
}

/** The version of the text below. */
const VERSION = 1;

const savedSchema = z.strictObject({
  version: z.literal(VERSION),
  kind: z.enum(["logistic", "perceptron"]),
  features: z.array(z.string()),
  weights: z.array(z.number()),
  bias: z.number(),
  scaling: z.array(z.strictObject({ count: z.int().min(0), mean: z.number(), squares: z.number().min(0) })),
  examples: z.int().min(0),
});

/** A model as it is kept on disk: one line of JSON. */
export function modelText(model: SavedModel): string {
  return `${JSON.stringify({ version: VERSION, ...model })}\n`;
}

/** Reads what `modelText` wrote. Throws ARGUMENT when it is damaged, of another version, or of a model with other inputs than `expected`. */
export function readModel(text: string, expected: Pick<SavedModel, "kind" | "features"> & { readonly standardise: boolean }): SavedModel {
  const model = parse(text);
  const { kind, features, standardise } = expected;
  const names = features.join(" ");
  if (model.kind !== kind || model.features.join(" ") !== names) {
    throw new AgentError(
      "ARGUMENT",
      `the weights are those of a ${model.kind} model of ${model.features.join(" ")}, not of a ${kind} model of ${names}`,
    );
  }
  if (model.weights.length !== features.length || model.scaling.length !== (standardise ? features.length : 0)) {
    throw new AgentError(
      "ARGUMENT",
      `the weights are ${model.weights.length} with ${model.scaling.length} scales for ${features.length} inputs`,
    );
  }
  return model;
}

function parse(text: string): SavedModel {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (error) {
    throw new AgentError("ARGUMENT", `the weights are not JSON: ${messageOf(error)}`, { cause: error });
  }
  const read = savedSchema.safeParse(data, { jitless: true });
  if (read.success) {
    const { kind, features, weights, bias, scaling, examples } = read.data;
    return { kind, features, weights, bias, scaling, examples };
  }
  const [issue] = read.error.issues;
  throw new AgentError("ARGUMENT", `the weights are not of version ${VERSION}: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`);
}
