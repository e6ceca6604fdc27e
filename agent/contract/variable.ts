import type { Value } from "./value.ts";
import type { Cancel } from "./clock.ts";

/** What a variable holds: the latest analytics value. */
export type VariableValue = number | boolean | string | readonly number[];

/** The latest value of one name, as it was when asked for. */
export interface Variable {
  readonly name: string;
  readonly value: VariableValue;
  readonly unit: string | undefined;
  /** Milliseconds since it arrived. */
  readonly ageMs: number;
  /** Older than its declared `staleMs`: nothing may be decided on it. */
  readonly stale: boolean;
  /** Who set it last: `tcp 127.0.0.1:64000`, `lamp`, `127.0.0.1`. */
  readonly source: string;
  /** How often it was set. */
  readonly updates: number;
}

/** What rules and drivers see of the variable store. */
export interface VariableReader {
  get(name: string): Variable | undefined;
  names(): readonly string[];
  /** Called at most once per turn with the names that were set since, each once, whatever their number of updates. */
  onChange(listener: (names: ReadonlySet<string>) => void): Cancel;
}

/** What devices, sources and VAR.SET do to it. Throws ARGUMENT for a bad name or value, FULL when no slot is free: nothing is changed then. */
export interface VariableWriter {
  set(name: string, value: VariableValue, source: string): void;
}

export type Variables = VariableReader & VariableWriter;

/** A variable on the wire and in JSON. */
export function variableToValue(variable: Variable): { readonly [name: string]: Value } {
  return {
    name: variable.name,
    value: variable.value,
    unit: variable.unit ?? null,
    ageMs: Math.round(variable.ageMs),
    stale: variable.stale,
    source: variable.source,
    updates: variable.updates,
  };
}
