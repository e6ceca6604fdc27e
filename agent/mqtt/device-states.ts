import { deviceState } from "./state.ts";
import type { Broker } from "../contract/broker.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import { variablesOf } from "../contract/entity.ts";
import type { EntityDevice } from "../contract/entity-device.ts";
import type { RetainedPublisher } from "./publisher.ts";
import type { Topics } from "./topics.ts";
import type { VariableReader } from "../contract/variable.ts";

export interface DeviceStatesOptions {
  readonly broker: Broker;
  readonly publisher: RetainedPublisher;
  readonly topics: Topics;
  readonly variables: VariableReader;
  readonly clock: Clock;
  readonly stateMs: number;
  readonly refreshMs: number;
}

/** Publishes what devices are like: at once when it changed, no more often than `stateMs`, and again every `refreshMs`. */
export interface DeviceStates {
  /** Which devices there are from now on. */
  show(devices: readonly EntityDevice[]): void;
  /** Now, whether or not it is with the broker already. */
  publish(device: string): void;
  publishAll(): void;
  /** Looks for values that have become too old, and for states that are due again. */
  look(): void;
  close(): void;
}

interface Shown {
  readonly device: EntityDevice;
  dirty: boolean;
  publishedMs: number;
}

/** An event entity, and the count it was last seen with. */
interface Counted {
  readonly topic: string;
  readonly type: string;
  readonly variable: string;
  count: number | undefined;
}

export function createDeviceStates(options: DeviceStatesOptions): DeviceStates {
  const { broker, publisher, topics, variables, clock, stateMs, refreshMs } = options;
  let shown: readonly Shown[] = [];
  const byVariable = new Map<string, Shown>();
  let counted: ReadonlyMap<string, Counted> = new Map();
  let cancelFlush: Cancel | undefined;

  function show(devices: readonly EntityDevice[]): void {
    const before = new Map(shown.map((entry) => [entry.device, entry] as const));
    shown = devices.map((device) => before.get(device) ?? { device, dirty: false, publishedMs: -Infinity });
    byVariable.clear();
    for (const entry of shown) {
      for (const name of entry.device.entities.flatMap(variablesOf)) byVariable.set(`${entry.device.id}.${name}`, entry);
    }
    const seen = counted;
    counted = new Map(devices.flatMap(countedOf).map((entry) => [entry.variable, seen.get(entry.variable) ?? entry] as const));
  }

  function countedOf({ id, entities }: EntityDevice): Counted[] {
    return entities.flatMap((entity): Counted[] => {
      if (entity.kind !== "event") return [];
      const variable = `${id}.${entity.state.count}`;
      return [{ topic: topics.event(id, entity.key), type: entity.type, variable, count: numberOf(variable) }];
    });
  }

  function numberOf(name: string): number | undefined {
    const value = variables.get(name)?.value;
    return typeof value === "number" ? value : undefined;
  }

  function put(entry: Shown, again: boolean): void {
    entry.dirty = false;
    entry.publishedMs = clock.monotonicMs();
    const state = deviceState(entry.device, (name) => variables.get(name));
    publisher.put(topics.state(entry.device.id), JSON.stringify(state), again);
  }

  /** Publishes what may be published now, and comes back for the rest. */
  function flush(): void {
    cancelFlush?.();
    cancelFlush = undefined;
    const nowMs = clock.monotonicMs();
    let dueMs = Infinity;
    for (const entry of shown) {
      if (!entry.dirty) continue;
      const nextMs = entry.publishedMs + stateMs;
      if (nextMs <= nowMs) put(entry, false);
      else dueMs = Math.min(dueMs, nextMs);
    }
    if (dueMs < Infinity) cancelFlush = clock.after(dueMs - nowMs, flush);
  }

  /** An event that nobody hears is over: it is neither retained nor kept. */
  function countEvents(entry: Counted): void {
    const before = entry.count;
    const count = numberOf(entry.variable);
    entry.count = count;
    if (before === undefined || count === undefined || count <= before || !broker.connected) return;
    broker.publish(entry.topic, JSON.stringify({ event_type: entry.type, count }), { qos: 1 }).catch(() => undefined);
  }

  function onChange(names: ReadonlySet<string>): void {
    for (const [name, entry] of byVariable) if (names.has(name)) entry.dirty = true;
    for (const [name, entry] of counted) if (names.has(name)) countEvents(entry);
    if (broker.connected) flush();
  }

  function lookAt(entry: Shown, nowMs: number): void {
    const before = entry.publishedMs;
    const due = nowMs - before >= refreshMs;
    put(entry, due);
    // A look is no message: how old the latest one is stays what it was.
    if (!due) entry.publishedMs = before;
  }

  const cancelChanges = variables.onChange(onChange);
  return {
    show,
    publish(device) {
      const entry = shown.find(({ device: { id } }) => id === device);
      if (entry !== undefined) put(entry, true);
    },
    publishAll() {
      for (const entry of shown) put(entry, true);
    },
    look() {
      const nowMs = clock.monotonicMs();
      for (const entry of shown) lookAt(entry, nowMs);
    },
    close() {
      cancelChanges();
      cancelFlush?.();
    },
  };
}
