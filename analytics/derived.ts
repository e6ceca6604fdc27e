import { messageOf } from "../agent/contract/errors.ts";
import { createDerivation, fresh, type Derived } from "./statistics/derivation.ts";
import { createLearner, type Learner } from "./statistics/learner.ts";
import { inputsOf, kindOf, type DerivedKind, type DerivedOptions } from "./statistics/options.ts";
import type { Cancel, Clock } from "../agent/contract/clock.ts";
import type { Log } from "../agent/contract/log.ts";
import type { Variables } from "../agent/contract/variable.ts";

/** Where what a model has learned is kept. */
export interface ModelShelf {
  /** Undefined when nothing is kept under that name. */
  read(name: string): Promise<string | undefined>;
  /** All of it or nothing. */
  write(name: string, text: string): Promise<void>;
}

export interface StartDerivedOptions {
  /** By name. */
  readonly derived: Readonly<Record<string, DerivedOptions>>;
  readonly variables: Variables & { staleMsOf(name: string): number };
  readonly shelf: ModelShelf;
  readonly clock: Clock;
  readonly log: Log;
}

/** How one derived variable goes, for the metrics. */
export interface DerivedState {
  readonly name: string;
  readonly kind: DerivedKind;
  /** Values of which something was made. */
  readonly published: number;
  /** Values of which nothing could be made yet: it warms up, or has one value where it takes two. */
  readonly silent: number;
  /** Values it cannot take: text where a number is expected, stale features, a label that is neither true nor false. */
  readonly ignored: number;
  readonly lastError: string | undefined;
}

export interface DerivedVariables {
  state(): readonly DerivedState[];
  /** Publishes nothing any more and saves what was learned. */
  close(): Promise<void>;
}

/** One that runs. */
interface Running {
  readonly inputs: readonly string[];
  take(changed: ReadonlySet<string>): void;
  state(): DerivedState;
  close(): Promise<void>;
}

/**
 * Publishes variables that are made of others, each time those are set: at most once per turn, with the latest value. What is published may be relied on as long
 * as what it is made of, and nobody else may set it. Nothing is made of stale values, and what is not finite is not published: the derived
 * variable goes stale. Models go on from what they had learned.
 */
export async function startDerived(options: StartDerivedOptions): Promise<DerivedVariables> {
  const running = await Promise.all(Object.entries(options.derived).map(([name, fields]) => startOne(name, fields, options)));
  const byInput = new Map<string, Running[]>();
  for (const one of running) {
    for (const input of one.inputs) byInput.set(input, [...(byInput.get(input) ?? []), one]);
  }
  const unsubscribe = options.variables.onChange((names) => {
    const concerned = new Set<Running>();
    for (const [input, ones] of byInput) if (names.has(input)) for (const one of ones) concerned.add(one);
    for (const one of concerned) one.take(names);
  });
  return {
    state: () => running.map((one) => one.state()),
    async close() {
      unsubscribe();
      await Promise.all(running.map((one) => one.close()));
    },
  };
}

async function startOne(name: string, fields: DerivedOptions, options: StartDerivedOptions): Promise<Running> {
  const { variables, log } = options;
  const inputs = inputsOf(fields);
  const source = `derived ${name}`;
  const learner = createLearner(fields);
  const derive =
    learner === undefined ? deriveFromOne(fields, options) : (changed: ReadonlySet<string>) => learner.take(changed, variables);
  const saver = learner === undefined ? undefined : await startSaving(name, learner, fields, options);
  let [published, silent, ignored] = [0, 0, 0];
  let lastError: string | undefined;

  function freshMs(): number {
    const { logistic, perceptron, staleMs } = fields;
    // The label need not be there for a prediction.
    const features = (logistic ?? perceptron)?.features ?? inputs;
    return staleMs ?? Math.min(...features.map((input) => variables.staleMsOf(input)));
  }

  function publish(values: Derived): void {
    try {
      for (const [suffix, value] of values) variables.set(`${name}${suffix}`, value, source, freshMs());
      published += 1;
      lastError = undefined;
    } catch (error) {
      if (lastError === undefined) log.error({ err: error }, `${source} cannot be published: ${messageOf(error)}`);
      lastError = messageOf(error);
    }
  }

  return {
    inputs,
    take(changed) {
      const made = derive(changed);
      if (made === "ignored") ignored += 1;
      else if (made === "nothing") silent += 1;
      else publish(made);
    },
    state: () => ({ name, kind: kindOf(fields), published, silent, ignored, lastError: lastError ?? saver?.lastError() }),
    close: async () => saver?.close(),
  };
}

function deriveFromOne(fields: DerivedOptions, { variables, clock }: StartDerivedOptions): () => Derived | "ignored" | "nothing" {
  const derivation = createDerivation(fields);
  const [input = ""] = inputsOf(fields);
  return () => {
    const variable = fresh(variables.get(input));
    if (variable === undefined || derivation === undefined) return "ignored";
    return derivation(variable.value, clock.monotonicMs() - variable.ageMs);
  };
}

interface Saver {
  lastError(): string | undefined;
  close(): Promise<void>;
}

/** Loads what was learned before, and saves regularly what is learned. */
async function startSaving(
  name: string,
  learner: Learner,
  { logistic, perceptron }: DerivedOptions,
  { shelf, clock, log }: StartDerivedOptions,
): Promise<Saver> {
  const saveMs = (logistic ?? perceptron)?.saveMs ?? 0;
  let lastError: string | undefined;
  let saving: Promise<void> = Promise.resolve();
  let cancel: Cancel = clock.after(saveMs, saveAndWait);

  async function save(): Promise<void> {
    const text = learner.unsaved();
    if (text === undefined) return;
    try {
      await shelf.write(name, text);
      lastError = undefined;
    } catch (error) {
      learner.keepTrying();
      if (lastError === undefined) log.error({ err: error }, `what ${name} has learned cannot be saved: ${messageOf(error)}`);
      lastError = messageOf(error);
    }
  }

  function saveAndWait(): void {
    cancel = clock.after(saveMs, saveAndWait);
    saving = saving.then(save);
  }

  try {
    const text = await shelf.read(name);
    if (text !== undefined) learner.load(text);
  } catch (error) {
    log.warn({ err: error }, `${name} begins to learn anew: ${messageOf(error)}`);
  }
  return {
    lastError: () => lastError,
    async close() {
      cancel();
      saving = saving.then(save);
      await saving;
    },
  };
}
