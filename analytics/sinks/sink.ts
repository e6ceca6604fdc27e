import type { Clock } from "../../agent/contract/clock.ts";
import type { Log } from "../../agent/contract/log.ts";
import type { VariableReader } from "../../agent/contract/variable.ts";
import type { Selected } from "./options.ts";
import type { SelectionRule } from "./selection.ts";

/** Where variables go, as the metrics show it. */
export interface SinkState {
  /** Whether something can be taken now: a connection is open, the file can be written to. */
  readonly connected: boolean;
  readonly connections: number;
  readonly lines: number;
  readonly bytes: number;
  /** Values that were replaced by later ones, or left out, because nobody took them in time. */
  readonly dropped: number;
  readonly errors: number;
  readonly lastError: string | undefined;
}

export interface Sink {
  readonly name: string;
  state(): SinkState;
  /** Sends what waits if it can be taken at once, and ends. */
  close(): Promise<void>;
}

/** What every sink needs. */
export interface SinkOptions {
  readonly variables: VariableReader;
  readonly selected: Selected;
  readonly clock: Clock;
  readonly log: Log;
}

/** What a sink counts. */
export interface SinkCounts {
  lines: number;
  bytes: number;
  dropped: number;
  errors: number;
  lastError: string | undefined;
}

export function createSinkCounts(): SinkCounts {
  return { lines: 0, bytes: 0, dropped: 0, errors: 0, lastError: undefined };
}

/** Those with a pace of their own first; what the sink leaves out is left out of these too. */
export function rulesOf({ paces, ...rest }: Selected): readonly SelectionRule[] {
  const excluded = rest.variables.filter((pattern) => pattern.startsWith("!"));
  return [...paces.map((pace) => ({ ...pace, variables: [...pace.variables, ...excluded] })), rest];
}
