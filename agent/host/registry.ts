import { AgentError, messageOf, toAgentError } from "../contract/errors.ts";
import { createBinder, type Binder } from "./arguments.ts";
import { tickEvery } from "./ticker.ts";
import type { Board } from "../contract/board.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { DeviceFunction, DeviceSpec } from "../contract/device.ts";
import type { Log } from "../contract/log.ts";
import type { Variables, VariableValue } from "../contract/variable.ts";
import type { Slot, Supervisor } from "./supervisor.ts";

/** A function that can be called, found by `device.function`. */
export interface Target {
  readonly slot: Slot;
  /** `beam` */
  readonly name: string;
  readonly fn: DeviceFunction;
  readonly bind: Binder;
}

/** What became of one device of the configuration. */
export interface Entry {
  readonly spec: DeviceSpec;
  readonly outcome: "opened" | "skipped" | "failed";
  /** Why it was skipped or failed. */
  readonly reason: string | undefined;
  /** Present when opened. */
  readonly slot: Slot | undefined;
}

/** The devices of one node: opened, skipped or failed, with reasons. */
export interface Registry {
  /** Opens every device that is not open; one that fails does not keep the others from opening. */
  openAll(): Promise<void>;
  /** Tries a failed device again. */
  reopen(id: string): Promise<Entry>;
  entries(): readonly Entry[];
  entry(id: string): Entry | undefined;
  target(callName: string): Target | undefined;
  /** Every `device.function`, for suggestions. */
  callNames(): IterableIterator<string>;
}

export interface RegistryOptions {
  readonly specs: readonly DeviceSpec[];
  readonly board: Board;
  readonly clock: Clock;
  readonly variables: Variables;
  readonly supervisor: Supervisor;
  readonly log: Log;
}

export function createRegistry({ specs, board, clock, variables, supervisor, log }: RegistryOptions): Registry {
  const entries = new Map<string, Entry>();
  const targets = new Map<string, Target>();
  const unpublished = new Set<string>();

  /** A full store must not stop a device from working: what it publishes is lost, and said once per variable. */
  function publishOrLog(name: string, value: VariableValue, id: string, freshMs: number): void {
    try {
      variables.set(name, value, id, freshMs);
    } catch (error) {
      if (unpublished.has(name)) return;
      unpublished.add(name);
      log.warn({ device: id, variable: name }, `${name} cannot be published: ${messageOf(error)}`);
    }
  }

  async function open(spec: DeviceSpec): Promise<Entry> {
    const { id, driver, options, policy } = spec;
    if (!policy.enabled) return { spec, outcome: "skipped", reason: "enabled: false", slot: undefined };
    let slot: Slot | undefined;
    let early: unknown;
    const tickers = new Set<Cancel>();
    function fault(error: unknown): void {
      if (slot === undefined) early ??= error;
      else supervisor.fault(slot, error);
    }
    try {
      const device = await driver.open(
        {
          id,
          board,
          clock,
          publish(name, value, freshMs = Infinity) {
            publishOrLog(`${id}.${name}`, value, id, freshMs);
          },
          fault,
          variable: (name) => variables.get(name),
          every(periodMs, tick) {
            const cancel = tickEvery(clock, periodMs, (nowMs, missed) => {
              try {
                tick(nowMs, missed);
              } catch (error) {
                fault(error);
              }
            });
            tickers.add(cancel);
            return () => {
              cancel();
              tickers.delete(cancel);
            };
          },
        },
        options,
      );
      const closing = {
        ...device,
        close() {
          for (const cancel of tickers) cancel();
          return device.close();
        },
      };
      slot = supervisor.adopt({ id, device: closing, policy, lease: driver.lease });
      if (early !== undefined) supervisor.fault(slot, early);
      for (const [name, fn] of Object.entries(device.functions)) {
        const callName = `${id}.${name}`;
        targets.set(callName, { slot, name, fn, bind: createBinder(fn, callName) });
      }
      log.info({ device: id, driver: driver.name }, `${id} opened`);
      return { spec, outcome: "opened", reason: undefined, slot };
    } catch (thrown) {
      const error = toAgentError(thrown);
      log.error({ device: id, driver: driver.name, code: error.code }, `${id} did not open: ${error.message}`);
      return { spec, outcome: "failed", reason: `${error.code} ${error.message}`, slot: undefined };
    }
  }

  return {
    async openAll() {
      for (const spec of specs) entries.set(spec.id, await open(spec));
    },
    async reopen(id) {
      const entry = entries.get(id);
      if (entry === undefined) throw new AgentError("UNKNOWN", `no device ${id}; DEVICES lists them`);
      if (entry.outcome !== "failed") return entry;
      const reopened = await open(entry.spec);
      entries.set(id, reopened);
      return reopened;
    },
    entries: () => [...entries.values()],
    entry: (id) => entries.get(id),
    target: (callName) => targets.get(callName),
    callNames: () => targets.keys(),
  };
}
