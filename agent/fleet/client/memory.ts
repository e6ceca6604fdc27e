import { bytesIn, optionWords, textIn, wordOf, type Argument } from "./words.ts";
import type { Value } from "../../contract/value.ts";
import type { Hub } from "./hub.ts";

/** A block of memory: `node:address`, so that it is found again wherever it was made. */
export type Vuid = string;

export interface SetOptions {
  /** Expires after this, milliseconds. */
  readonly ttlMs?: number;
  /** Only if there is none. */
  readonly ifAbsent?: boolean;
  /** Only if it still has this revision; STALE otherwise. */
  readonly ifRevision?: number;
}

export interface MemoryVerbs {
  /** A block of so many bytes; with `ttlMs` it is freed by itself. */
  malloc(bytes: number, options?: { readonly ttlMs?: number; readonly pool?: string; readonly node?: string }): Promise<Vuid>;
  /** Writes a block, only if it still has the revision that is named (STALE otherwise). Resolves with its new revision. */
  store(vuid: Vuid, data: Argument, options?: { readonly ifRevision?: number }): Promise<number>;
  load(vuid: Vuid): Promise<Buffer>;
  /** The same with its revision, for `store` with `ifRevision`. */
  loadRevision(vuid: Vuid): Promise<{ readonly data: Buffer; readonly revision: number }>;
  /** Lets a block live for its `ttlMs` from now on. Resolves with the milliseconds left. */
  touch(vuid: Vuid): Promise<number>;
  free(vuid: Vuid): Promise<void>;

  /** Keeps a value under a key. Resolves with false when `ifAbsent` was asked for and there was one. */
  set(key: string, value: Argument, options?: SetOptions): Promise<boolean>;
  /** Undefined when there is none. Text; `getBytes` for what is none. */
  get(key: string): Promise<string | undefined>;
  getBytes(key: string): Promise<Buffer | undefined>;
  /** How many there were. */
  del(...keys: string[]): Promise<number>;
  /** How many there are. */
  exists(...keys: string[]): Promise<number>;
  /** Adds 1. */
  incr(key: string): Promise<number | bigint>;
  mget(...keys: string[]): Promise<readonly (string | undefined)[]>;
  /** All or none. */
  mset(values: Readonly<Record<string, Argument>>): Promise<void>;
  /** Milliseconds until it expires; -1: never; -2: not there. */
  pttl(key: string): Promise<number>;
}

export function createMemoryVerbs(hub: Hub): MemoryVerbs {
  async function count(verb: string, keys: readonly string[]): Promise<number> {
    return Number((await hub.ask(verb, keys)).value);
  }

  return {
    async malloc(bytes, { ttlMs, pool, node } = {}) {
      const options = optionWords({ TTL: ttlMs, POOL: pool });
      const answer = await hub.ask("MALLOC", [String(bytes), ...options], { node, anywhere: true });
      const vuid = textIn(answer.value);
      return vuid.includes(":") ? vuid : `${answer.node}:${vuid}`;
    },
    async store(vuid, data, { ifRevision } = {}) {
      const words = [vuid, wordOf(data), ...optionWords({ IF: ifRevision })];
      return Number((await hub.ask("SETM", words, { node: nodeOf(vuid) })).value);
    },
    async load(vuid) {
      return bytesIn((await hub.ask("GETM", [vuid], { node: nodeOf(vuid) })).value);
    },
    async loadRevision(vuid) {
      const { value } = await hub.ask("GETM", [vuid, "REV"], { node: nodeOf(vuid) });
      const [data, revision] = Array.isArray(value) ? (value as readonly Value[]) : [];
      return { data: bytesIn(data), revision: Number(revision) };
    },
    async touch(vuid) {
      return Number((await hub.ask("TOUCHM", [vuid], { node: nodeOf(vuid) })).value);
    },
    async free(vuid) {
      await hub.ask("FREEM", [vuid], { node: nodeOf(vuid) });
    },
    async set(key, value, { ttlMs, ifAbsent, ifRevision } = {}) {
      const flags = ifAbsent === true ? ["NX"] : [];
      const { value: answer } = await hub.ask("SET", [key, wordOf(value), ...flags, ...optionWords({ IFREV: ifRevision, PX: ttlMs })]);
      return answer !== null;
    },
    async get(key) {
      const { value } = await hub.ask("GET", [key]);
      return value === null ? undefined : textIn(value);
    },
    async getBytes(key) {
      const { value } = await hub.ask("GET", [key]);
      return value === null ? undefined : bytesIn(value);
    },
    del: (...keys) => count("DEL", keys),
    exists: (...keys) => count("EXISTS", keys),
    async incr(key) {
      return (await hub.ask("INCR", [key])).value as number | bigint;
    },
    async mget(...keys) {
      const { value } = await hub.ask("MGET", keys);
      return Array.isArray(value) ? value.map((part: Value) => (part === null ? undefined : textIn(part))) : [];
    },
    async mset(values) {
      await hub.ask(
        "MSET",
        Object.entries(values).flatMap(([key, value]) => [key, wordOf(value)]),
      );
    },
    pttl: (key) => count("PTTL", [key]),
  };
}

function nodeOf(vuid: Vuid): string | undefined {
  const colon = vuid.lastIndexOf(":");
  return colon < 1 ? undefined : vuid.slice(0, colon);
}
