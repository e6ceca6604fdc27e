import type { Value } from "./value.ts";
import type { Cancel } from "./clock.ts";

/** What a variable holds: the latest analytics value. Numbers are finite. */
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
  /**
   * Called at most once per turn with the names that were set since, each once, whatever their number of updates. The set is only good during
   * the call: looking for one name costs no more when a thousand changed.
   */
  onChange(listener: (names: ReadonlySet<string>) => void): Cancel;
}

/**
 * What devices do to it. Throws ARGUMENT for a bad name or value (NaN and infinity, outside the declared range), LIMIT for a value of too
 * many bytes, FULL when no slot is free: nothing is changed then, and what was there goes on ageing.
 */
export interface VariableWriter {
  /**
   * With `freshMs` the value is a device's own: it may be relied on for that long where the configuration declares nothing, and neither streams nor
   * clients may set that name (DENIED): rules believe what devices say of themselves.
   */
  set(name: string, value: VariableValue, source: string, freshMs?: number): void;
}

export type Variables = VariableReader & VariableWriter;

/** A store that is kept the same as the one of another process. */
export interface MirroredVariables extends Variables {
  /**
   * As `set`, for a value that arrived elsewhere at `arrivedMs` of the monotonic clock: it is as old here as it is there. One that is older than what is
   * there is ignored. Throws as `set` does, ARGUMENT for a time that is none, and without `freshMs` DENIED for a device's own.
   */
  setAt(name: string, value: VariableValue, source: string, arrivedMs: number, freshMs?: number): void;
  /** How long a value may be relied on that was set with `freshMs`; undefined for what streams and clients set. */
  freshMsOf(name: string): number | undefined;
}

/** A name and the text of its value, as analytics write them. */
export interface VariablePair {
  readonly name: string;
  readonly text: string;
}

/** What the VAR verbs see of the variable store. */
export interface VariableStore extends Variables {
  /** Takes pairs as a stream would: `11.2` is a number, `true` a boolean, `[1 2 3]` a list, `"11.2"` and the rest text. All or none; throws as `set` does, and DENIED for a device's own. */
  setPairs(pairs: readonly VariablePair[], source: string): void;
  /** The positional view: 500 slots filled in order of arrival, the 501st pair into slot 0 again. Only those filled so far; devices' own values have no slot. */
  slots(): readonly VariablePair[];
}

/** 1 to 128 characters without blanks, control characters, `=`, `,`, quotes, and without U+FFFD, which bytes that are no UTF-8 turn into. */
export const VARIABLE_NAME = /^[^\s\p{Cc}=,"'\uFFFD]{1,128}$/u;

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
