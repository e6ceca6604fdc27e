import { createAnomalyDetector } from "./anomaly.ts";
import { createEwma } from "./ewma.ts";
import { createHeavyHitters } from "./heavy-hitters.ts";
import { createRate } from "./rate.ts";
import { createWindow } from "./window.ts";
import type { Variable, VariableValue } from "../../agent/contract/variable.ts";
import type { DerivedOptions } from "./options.ts";

/** What is published: values by what is added to the derived variable's name. */
export type Derived = readonly (readonly [suffix: string, value: VariableValue])[];

/** Makes something of one variable's values. */
export type Derivation = (value: VariableValue, atMs: number) => Derived | "ignored" | "nothing";

/** For the kinds that are made of one variable. Undefined for the others. */
export function createDerivation(options: DerivedOptions): Derivation | undefined {
  const { ewma, window, rate, anomaly, top } = options;
  if (ewma !== undefined) return ofNumbers(createEwma(ewma.halfLifeMs).push);
  if (window !== undefined) return ofNumbers(createWindow(window).push);
  if (rate !== undefined) return ofNumbers(createRate(rate).push);
  if (anomaly !== undefined) return ofAnomalies(createAnomalyDetector(anomaly).push);
  return top === undefined ? undefined : ofKeys(top);
}

/** The number a value stands for: true is 1, false is 0. */
export function numberOf(value: VariableValue | undefined): number | undefined {
  if (typeof value === "boolean") return value ? 1 : 0;
  return typeof value === "number" ? value : undefined;
}

/** A variable that can be relied on, undefined otherwise. */
export function fresh(variable: Variable | undefined): Variable | undefined {
  return variable === undefined || variable.stale ? undefined : variable;
}

function ofNumbers(push: (value: number, atMs: number) => number | undefined): Derivation {
  return (value, atMs) => {
    const number = numberOf(value);
    if (number === undefined) return "ignored";
    const result = push(number, atMs);
    return result === undefined || !Number.isFinite(result) ? "nothing" : [["", result]];
  };
}

function ofAnomalies(push: ReturnType<typeof createAnomalyDetector>["push"]): Derivation {
  return (value) => {
    const number = numberOf(value);
    if (number === undefined) return "ignored";
    const found = push(number);
    if (found === undefined) return "nothing";
    return [
      [".score", found.score],
      [".anomalous", found.anomalous],
    ];
  };
}

function ofKeys(options: NonNullable<DerivedOptions["top"]>): Derivation {
  const hitters = createHeavyHitters(options);
  return (value, atMs) => {
    if (typeof value === "object") return "ignored";
    hitters.push(String(value), atMs);
    const top = hitters.top(atMs);
    if (top === undefined) return "nothing";
    return [
      [".key", top.key],
      [".share", top.share],
    ];
  };
}
