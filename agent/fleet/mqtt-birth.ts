import { abilitiesOf, type Abilities } from "./abilities.ts";
import type { Value } from "../contract/value.ts";

/** What a node may call itself. */
export const NODE_NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** What a node says of itself to everybody, retained by the broker. */
export interface Birth {
  readonly node: string;
  readonly version: string;
  /** Told from every other start of the node. */
  readonly boot: string;
  /** Rises with every announcement of one start. */
  readonly number: number;
  /** When it was started, milliseconds since 1970. */
  readonly since: number;
  readonly load: number;
  /** Where it can be reached without the broker. */
  readonly addresses: readonly string[];
  /** As DEVICES has them, without what only people read. */
  readonly devices: readonly Value[];
}

/** A birth as another node takes it. */
export interface KnownBirth extends Omit<Birth, "devices"> {
  readonly abilities: Abilities;
  /** Functions that only read: asking for them twice does no harm. */
  readonly reads: ReadonlySet<string>;
}

/** The devices of an answer to DEVICES as a birth has them. */
export function announcedDevices(value: Value): readonly Value[] {
  return recordsIn(value).map(({ id = null, state = null, functions = null }) => ({
    ...{ id, state },
    functions: recordsIn(functions).map(({ name = null, effect = null }) => ({ name, effect })),
  }));
}

/** Undefined for what is no birth of `node`. What it says too much is left out. */
export function parseBirth(node: string, payload: Uint8Array): KnownBirth | undefined {
  const birth = objectIn(payload);
  const { version, boot, number, since, load, addresses, devices } = birth ?? {};
  if (birth?.["node"] !== node || !NODE_NAME.test(node) || typeof boot !== "string" || typeof number !== "number") return undefined;
  const listed = Array.isArray(devices) ? (devices as Value) : [];
  return {
    ...{ node, boot, number, version: typeof version === "string" ? version : "", since: typeof since === "number" ? since : 0 },
    load: typeof load === "number" && load >= 0 ? load : 0,
    addresses: Array.isArray(addresses) ? addresses.filter((address) => typeof address === "string") : [],
    abilities: abilitiesOf(listed),
    reads: readsIn(listed),
  };
}

function readsIn(devices: Value): ReadonlySet<string> {
  const reads = new Set<string>();
  for (const { functions = null } of recordsIn(devices)) {
    for (const { name, effect } of recordsIn(functions)) if (effect === "read" && typeof name === "string") reads.add(name);
  }
  return reads;
}

type Fields = Readonly<Record<string, Value>>;

function recordsIn(value: Value): readonly Fields[] {
  return Array.isArray(value)
    ? value.filter((item): item is Fields => typeof item === "object" && item !== null && !Array.isArray(item))
    : [];
}

/** The JSON object that the bytes are; undefined for anything else. */
export function objectIn(payload: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString("utf8")) as unknown;
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
