import { z } from "zod";

import { VARIABLE_NAME } from "../../agent/contract/variable.ts";
import { WINDOW_STATISTICS } from "./window.ts";

const variableName = z
  .string()
  .regex(VARIABLE_NAME, { error: "a variable is named by 1 to 128 characters without blanks, = , and quotes" });

const DAY_MS = 86_400_000;

const halfLife = z.number().min(1).max(DAY_MS);

const ewmaSchema = z.strictObject({
  halfLifeMs: halfLife.describe("after this a value weighs half, milliseconds"),
});

const windowSchema = z.strictObject({
  show: z.enum(WINDOW_STATISTICS).describe("what of the window is published"),
  overMs: z
    .number()
    .min(1)
    .max(DAY_MS)
    .optional()
    .describe("older values leave the window, milliseconds; by their number alone where absent"),
  maxValues: z.int().min(2).max(10_000).default(1000).describe("values kept at the most; the oldest leaves for the newest"),
  percent: z.number().min(0).max(100).default(95).describe("for percentile: the share of values below, percent"),
});

const rateSchema = z.strictObject({
  overMs: z.number().min(1).max(DAY_MS).default(1000).describe("the change is measured over about this time, milliseconds"),
  counter: z.boolean().default(false).describe("the value only rises: a fall is a restart, not a negative rate"),
  maxValues: z.int().min(2).max(10_000).default(1000).describe("values kept at the most; more in overMs shorten it"),
});

const anomalySchema = z.strictObject({
  threshold: z.number().min(0.1).max(1000).default(3).describe("standard deviations from the mean beyond which a value is anomalous"),
  warmUp: z.int().min(2).max(1_000_000).default(30).describe("values that are only learned from at first"),
  memory: z.int().min(10).max(100_000_000).default(100_000).describe("the past weighs as much as this number of values"),
  minDeviation: z
    .number()
    .min(1e-12)
    .max(1e12)
    .default(1e-9)
    .describe("smallest standard deviation that is assumed, in the variable's unit"),
});

const topSchema = z.strictObject({
  counters: z.int().min(2).max(4096).default(64).describe("keys counted at once: what has more than one in so many is among them"),
  halfLifeMs: halfLife.default(60_000).describe("after this what was counted weighs half, milliseconds"),
});

const modelFields = {
  features: z.array(variableName).min(1).max(64).describe("variables the prediction is made from: numbers, true or false"),
  label: variableName.describe("variable that says what was true (true or false, 1 or 0); each time it is set, it is learned from"),
  standardise: z.boolean().default(true).describe("bring the features to mean 0 and standard deviation 1 of what was seen"),
  saveMs: z.int().min(100).max(DAY_MS).default(10_000).describe("weights that changed are saved so often, milliseconds"),
};

const logisticSchema = z.strictObject({
  ...modelFields,
  learningRate: z.number().min(1e-6).max(1).default(0.05).describe("how far one example moves the weights"),
  l2: z.number().min(0).max(1).default(1e-4).describe("how strongly weights are drawn towards 0"),
});

const perceptronSchema = z.strictObject({
  ...modelFields,
  learningRate: z.number().min(1e-6).max(1).default(1).describe("how far one example moves the weights"),
});

/** Kinds that are made of one variable, with the names of what they publish after the derived variable's own. */
const SIMPLE_KINDS = {
  ewma: [""],
  window: [""],
  rate: [""],
  anomaly: [".score", ".anomalous"],
  top: [".key", ".share"],
} as const;

/** Kinds that are made of several. */
const MODEL_KINDS = {
  logistic: [".probability", ".examples"],
  perceptron: [".predicted", ".examples"],
} as const;

const KINDS = { ...SIMPLE_KINDS, ...MODEL_KINDS };

export type DerivedKind = keyof typeof KINDS;

const derivedSchema = z
  .strictObject({
    of: variableName.optional().describe("the variable it is made from; not for logistic and perceptron"),
    staleMs: z
      .int()
      .min(1)
      .max(DAY_MS)
      .optional()
      .describe("how long it may be relied on, milliseconds; as long as what it is made from where absent"),
    ewma: ewmaSchema.optional().describe("average that forgets"),
    window: windowSchema.optional().describe("a figure of the last values"),
    rate: rateSchema.optional().describe("change per second"),
    anomaly: anomalySchema.optional().describe("how far from what is usual: NAME.score, NAME.anomalous"),
    top: topSchema.optional().describe("the most prominent of the texts a variable takes: NAME.key, NAME.share"),
    logistic: logisticSchema.optional().describe("learns how likely the label is: NAME.probability, NAME.examples"),
    perceptron: perceptronSchema.optional().describe("learns to tell the label: NAME.predicted, NAME.examples"),
  })
  .superRefine((fields, context) => {
    const message = kindProblem(fields);
    if (message !== undefined) context.addIssue({ code: "custom", message });
  });

export type DerivedOptions = z.output<typeof derivedSchema>;

const derivedName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, { error: "a derived variable is named by letters, digits and _, not starting with a digit" });

export const derivedVariablesSchema = z.record(derivedName, derivedSchema).superRefine((all, context) => {
  for (const [name, circle] of circlesOf(all)) {
    context.addIssue({ code: "custom", path: [name], message: `it is made from itself: ${circle}` });
  }
});

function kindProblem(fields: Readonly<Record<string, unknown>>): string | undefined {
  const said = Object.keys(KINDS).filter((kind) => fields[kind] !== undefined);
  if (said.length !== 1) return `say one of ${Object.keys(KINDS).join(", ")}${said.length === 0 ? "" : `, not ${said.join(" and ")}`}`;
  const isModel = Object.hasOwn(MODEL_KINDS, said[0] as string);
  if (isModel && fields["of"] !== undefined) return `${said[0] as string} has features and a label; take away of`;
  return isModel || fields["of"] !== undefined ? undefined : "of names the variable it is made from, for example of: cpu_load";
}

/** Which kind it is. */
export function kindOf(options: DerivedOptions): DerivedKind {
  return (Object.keys(KINDS) as DerivedKind[]).find((kind) => options[kind] !== undefined) ?? "ewma";
}

/** The variables it is made from. */
export function inputsOf(options: DerivedOptions): readonly string[] {
  const model = options.logistic ?? options.perceptron;
  if (model !== undefined) return [...model.features, model.label];
  return options.of === undefined ? [] : [options.of];
}

/** The variables that a derived variable called `name` publishes. */
export function outputsOf(name: string, kind: DerivedKind): readonly string[] {
  return KINDS[kind].map((suffix) => `${name}${suffix}`);
}

/** What `analytics.derived` publishes, as far as it can be told from a file that may have mistakes. */
export function derivedNames(raw: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.entries(raw).flatMap(([name, fields]) => {
    if (typeof fields !== "object" || fields === null) return [];
    return (Object.keys(KINDS) as DerivedKind[]).filter((kind) => Object.hasOwn(fields, kind)).flatMap((kind) => outputsOf(name, kind));
  });
}

/** Each name that is reached from itself, with the way round. */
function circlesOf(all: Readonly<Record<string, DerivedOptions>>): readonly (readonly [string, string])[] {
  const makers = new Map(
    Object.entries(all).flatMap(([name, options]) => outputsOf(name, kindOf(options)).map((output) => [output, name])),
  );
  const madeFrom = (name: string): string[] => inputsOf(all[name] as DerivedOptions).flatMap((input) => makers.get(input) ?? []);
  return Object.keys(all).flatMap((name) => {
    const way = wayBack(name, madeFrom);
    return way === undefined ? [] : [[name, way.join(" from ")] as const];
  });
}

/** The shortest way from `start` back to it. */
function wayBack(start: string, madeFrom: (name: string) => readonly string[]): readonly string[] | undefined {
  const seen = new Set<string>();
  let ways: readonly (readonly string[])[] = [[start]];
  while (ways.length > 0) {
    const further = ways.flatMap((way) => madeFrom(way.at(-1) as string).map((next) => [...way, next]));
    const back = further.find((way) => way.at(-1) === start);
    if (back !== undefined) return back;
    ways = further.filter((way) => {
      const last = way.at(-1) as string;
      return seen.has(last) ? false : seen.add(last);
    });
  }
  return undefined;
}
