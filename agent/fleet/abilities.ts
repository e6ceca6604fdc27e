import type { Value } from "../contract/value.ts";

/** What a node can do, as its DEVICES say. */
export interface Abilities {
  /** Its functions, `lamp.on`, with whether their device is in order. */
  readonly functions: ReadonlyMap<string, boolean>;
  readonly devices: readonly DeviceState[];
}

export interface DeviceState {
  readonly id: string;
  /** `ready`, `faulted`, `e-stopped`, or why it is not open. */
  readonly state: string;
}

/** Reads an answer to DEVICES; what is not understood is left out. */
export function abilitiesOf(value: Value): Abilities {
  const functions = new Map<string, boolean>();
  const devices: DeviceState[] = [];
  for (const device of recordsOf(value)) {
    const id = textIn(device, "id");
    if (id === "") continue;
    const state = textIn(device, "state");
    devices.push({ id, state });
    for (const fn of recordsOf(device["functions"])) functions.set(textIn(fn, "name"), state === "ready");
  }
  return { functions, devices };
}

function textIn(record: { readonly [name: string]: Value }, name: string): string {
  const value = record[name];
  return typeof value === "string" ? value : "";
}

function recordsOf(value: Value | undefined): readonly { readonly [name: string]: Value }[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

function isRecord(value: Value): value is { readonly [name: string]: Value } {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}
