import { textIn, wordOf } from "./words.ts";
import type { Cancel } from "../../contract/clock.ts";
import type { AgentError } from "../../contract/errors.ts";
import type { Value } from "../../contract/value.ts";
import type { VariableValue } from "../../contract/variable.ts";
import type { Hub } from "./hub.ts";

export interface ListedVariable {
  readonly name: string;
  readonly value: VariableValue;
  readonly unit: string | null;
  readonly ageMs: number;
  readonly stale: boolean;
  readonly source: string;
  readonly updates: number;
}

export interface VariableChange {
  readonly name: string;
  readonly value: VariableValue;
  readonly unit: string | null;
}

export interface WatchOptions {
  /** Told when the connection was lost; it comes back by itself, and with it the values as they are then. */
  readonly onInterrupted?: (reason: AgentError) => void;
}

export interface VariableVerbs {
  /** Sets variables as a stream would: all or none. */
  set(values: Readonly<Record<string, VariableValue>>): Promise<void>;
  /** The latest value, however old. */
  get(name: string): Promise<VariableValue>;
  /** `*` stands for any letters, `?` for one. */
  list(pattern?: string): Promise<readonly ListedVariable[]>;
  /** Tells the values of what matches, now, at every change, and again after every interruption, until cancelled. */
  watch(pattern: string, listener: (change: VariableChange) => void, options?: WatchOptions): Promise<Cancel>;
}

export function createVariableVerbs(hub: Hub): VariableVerbs {
  return {
    async set(values) {
      await hub.ask(
        "VAR.SET",
        Object.entries(values).flatMap(([name, value]) => [name, settable(value)]),
      );
    },
    async get(name) {
      return (await hub.ask("VAR.GET", [name])).value as VariableValue;
    },
    async list(pattern) {
      return (await hub.ask("VAR.LIST", pattern === undefined ? [] : [pattern])).value as unknown as readonly ListedVariable[];
    },
    watch(pattern, listener, { onInterrupted } = {}) {
      const tell = (name: Value | undefined, value: Value | undefined, unit: Value | undefined): void =>
        listener({ name: textIn(name), value: value as VariableValue, unit: typeof unit === "string" ? unit : null });
      return hub.subscribe({
        verb: "VAR.WATCH",
        args: [pattern],
        onPush: ([kind, name, value, unit]) => {
          if (kind === "var") tell(name, value, unit);
        },
        async onEstablished(connection) {
          const known = await connection.call("VAR.LIST", [pattern]);
          if (known.kind === "error") throw known.error;
          const listed = (known.kind === "value" ? known.value : []) as unknown as readonly ListedVariable[];
          for (const { name, value, unit } of listed) tell(name, value, unit);
        },
        onInterrupted,
      });
    },
  };
}

/** A list as streams write it. */
function settable(value: VariableValue): string {
  return typeof value === "object" ? `[${value.join(",")}]` : (wordOf(value) as string);
}
