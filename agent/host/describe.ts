import { z } from "zod";

import { isLive } from "./lease.ts";
import { driverNameOf, type Entry } from "./registry.ts";
import type { Clock } from "../contract/clock.ts";
import type { DeviceFunction, LossAction } from "../contract/device.ts";
import type { Journal } from "../contract/journal.ts";
import type { Value } from "../contract/value.ts";
import type { VariableReader } from "../contract/variable.ts";

/** Events shown of one device. */
const SHOWN_EVENTS = 8;

/** What a description is made from, beside the registry's entry. */
export interface View {
  readonly clock: Clock;
  readonly journal: Journal;
  readonly variables: VariableReader;
  eStopped(): boolean;
}

/** One device as DEVICES lists it. */
export function summaryOf(entry: Entry, view: View): Record<string, Value> {
  const { spec, slot } = entry;
  const nowMs = view.clock.monotonicMs();
  const held = slot !== undefined && isLive(slot.current, nowMs) ? slot.current : undefined;
  return {
    id: spec.id,
    driver: driverNameOf(spec),
    summary: "driver" in spec ? spec.driver.summary : "",
    state: stateOf(entry, view),
    reason: slot?.fault === undefined ? (entry.reason ?? null) : `${slot.fault.code} ${slot.fault.message}`,
    holder: held === undefined ? null : { name: held.holder, priority: held.priority, leaseLeftMs: Math.ceil(held.untilMs - nowMs) },
    functions: slot === undefined ? [] : Object.entries(slot.device.functions).map(([name, fn]) => describeFunction(spec.id, name, fn)),
  };
}

/** One device in full: options, policies, variables and the latest events with their causes, newest first. */
export function describe(entry: Entry, view: View): Record<string, Value> {
  const { spec, slot } = entry;
  const { policy } = spec;
  return {
    ...summaryOf(entry, view),
    options: JSON.parse(JSON.stringify("driver" in spec ? spec.options : spec.fields)) as Value,
    lease: "driver" in spec ? { ...spec.driver.lease, defaultMs: policy.leaseMs ?? spec.driver.lease.defaultMs } : null,
    onLoss: actionValue(policy.onLoss),
    onExit: actionValue(policy.onExit),
    exclusive: policy.exclusive,
    group: policy.group ?? null,
    variables: view.variables
      .names()
      .filter((name) => name.startsWith(`${spec.id}.`))
      .map((name) => ({ name, value: view.variables.get(name)?.value ?? null })),
    events:
      slot === undefined
        ? []
        : view.journal
            .chain(slot.event)
            .slice(0, SHOWN_EVENTS)
            .map((event) => ({ ...event })),
  };
}

function stateOf({ slot, outcome }: Entry, view: View): string {
  if (slot === undefined) return outcome;
  if (view.eStopped()) return "e-stopped";
  return slot.fault === undefined ? "ready" : "faulted";
}

function actionValue(action: LossAction): Value {
  return typeof action === "string" ? action : { value: action.value };
}

function describeFunction(id: string, name: string, fn: DeviceFunction): Value {
  const { properties } = z.toJSONSchema(fn.params, { io: "input" });
  const params = Object.entries(properties ?? {}).map(([param, schema]) => ({ name: param, ...(schema as Record<string, Value>) }));
  return { name: `${id}.${name}`, summary: fn.summary, effect: fn.effect, params };
}
