import { createPairCounts, createPairParser, type PairCounts, type PairParser } from "../pairs.ts";
import type { Intake, VariableStore } from "../store.ts";
import type { Clock } from "../../agent/contract/clock.ts";
import type { Limits } from "../../agent/contract/limits.ts";
import type { Log } from "../../agent/contract/log.ts";

/** Where variables come from, as `virgo vars` and the metrics show it. */
export interface SourceState extends Readonly<PairCounts> {
  /** Whether something can arrive now: a connection is open, the file is there. */
  readonly connected: boolean;
  readonly connections: number;
  /** Connections and reads that failed, and connections closed for their silence. */
  readonly errors: number;
  readonly lastError: string | undefined;
  /** Why the latest pair that was refused was refused. */
  readonly lastRefusal: string | undefined;
}

export interface Source {
  readonly name: string;
  state(): SourceState;
  /** Ends what it does; nothing is set afterwards. */
  close(): Promise<void>;
}

/** What every source needs. */
export interface SourceOptions {
  readonly variables: Pick<VariableStore, "intake">;
  readonly limits: Pick<Limits, "maxVariableBytes">;
  readonly clock: Clock;
  readonly log: Log;
}

/** The longest name, the `=` and blanks. */
const BYTES_BESIDE_VALUE = 256;

/** What a source counts, whatever it reads. */
export interface Meter {
  readonly counts: PairCounts;
  /** A parser for one connection or file called `name`, into the store. */
  openParser(name: string): PairParser;
  fail(message: string): void;
  state(connections: number): SourceState;
}

export function createMeter({ variables, limits }: SourceOptions): Meter {
  const counts = createPairCounts();
  let errors = 0;
  let lastError: string | undefined;
  let newest: Intake | undefined;
  return {
    counts,
    openParser(name) {
      newest = variables.intake(name, counts);
      return createPairParser({ sink: newest, counts, maxPairBytes: limits.maxVariableBytes + BYTES_BESIDE_VALUE });
    },
    fail(message) {
      errors += 1;
      lastError = message;
    },
    state: (connections) => ({ connected: connections > 0, connections, ...counts, errors, lastError, lastRefusal: newest?.lastRefusal() }),
  };
}
