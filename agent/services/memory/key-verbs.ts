import { AgentError } from "../../contract/errors.ts";
import { bytesReply, OK, textOf, valueReply } from "../../contract/request.ts";
import { anyTtlMs, expectArgs, permit, ttlMs, wrongCount } from "./arguments.ts";
import { parseInt64, shown, sumInt64 } from "./integer.ts";
import { flat } from "./part.ts";
import { parseSetOptions, SET_USAGE, type SetOptions } from "./set-options.ts";
import type { Clock } from "../../contract/clock.ts";
import type { ByteString, Caller, Reply, VerbDoc } from "../../contract/request.ts";
import type { Eventually } from "../../contract/value.ts";
import type { Change, Keyspace, Plan } from "./keyspace.ts";
import type { MemoryOptions } from "./options.ts";
import type { Entry } from "./space.ts";

export type VerbHandler = (args: readonly ByteString[], caller: Caller) => Eventually<Reply>;

export interface VerbSet {
  readonly docs: readonly VerbDoc[];
  readonly handlers: Readonly<Record<string, VerbHandler>>;
}

const NOTHING = valueReply(null);
const ZERO = valueReply(0);
const ONE = valueReply(1);

const DOCS: readonly VerbDoc[] = [
  { verb: "SET", usage: SET_USAGE, summary: "store a value; null when NX or XX does not hold, STALE when IFREV does not" },
  { verb: "SETNX", usage: "key value", summary: "SET with NX; 1 when it was stored" },
  { verb: "SETEX", usage: "key s value", summary: "SET with EX" },
  { verb: "PSETEX", usage: "key ms value", summary: "SET with PX" },
  { verb: "GET", usage: "key", summary: "the value, null when there is none" },
  { verb: "GETREV", usage: "key", summary: "the value and its revision, for SET with IFREV" },
  { verb: "GETDEL", usage: "key", summary: "the value, which is deleted" },
  { verb: "DEL", usage: "key [key …]", summary: "delete; how many there were" },
  { verb: "UNLINK", usage: "key [key …]", summary: "DEL" },
  { verb: "EXISTS", usage: "key [key …]", summary: "how many there are" },
  { verb: "TYPE", usage: "key", summary: "string, or none" },
  { verb: "STRLEN", usage: "key", summary: "bytes of the value" },
  { verb: "APPEND", usage: "key value", summary: "put it behind the value; the new length" },
  { verb: "MGET", usage: "key [key …]", summary: "the values, null for each that is not there" },
  { verb: "MSET", usage: "key value [key value …]", summary: "store all or none" },
  { verb: "MSETNX", usage: "key value [key value …]", summary: "store all if none is there; 1 when they were stored" },
  { verb: "INCR", usage: "key", summary: "add 1 to a 64-bit integer" },
  { verb: "DECR", usage: "key", summary: "subtract 1" },
  { verb: "INCRBY", usage: "key number", summary: "add" },
  { verb: "DECRBY", usage: "key number", summary: "subtract" },
  { verb: "TTL", usage: "key", summary: "seconds until it expires; -1: never; -2: not there" },
  { verb: "PTTL", usage: "key", summary: "the same in milliseconds" },
  { verb: "EXPIRE", usage: "key s", summary: "let it expire; 1 when it is there" },
  { verb: "PEXPIRE", usage: "key ms", summary: "the same in milliseconds" },
  { verb: "PERSIST", usage: "key", summary: "let it not expire; 1 when it would have" },
];

export interface KeyVerbsOptions {
  readonly keyspace: Keyspace;
  readonly clock: Clock;
  /** Counted by whatever reads values. */
  readonly counts: { hits: number; misses: number };
  readonly options: Pick<MemoryOptions, "maxValueBytes" | "maxReplyBytes">;
}

/** The verbs about single keys, with the replies of Redis. */
export function createKeyVerbs({ keyspace, clock, counts, options }: KeyVerbsOptions): VerbSet {
  const spaceOf = keyspace.spaces.of;
  const { find, put, run } = keyspace;

  function get(args: readonly ByteString[], caller: Caller): Eventually<Reply> {
    const [key] = args;
    if (key === undefined || args.length !== 1) throw wrongCount("GET", args, 1);
    if (caller.permits !== undefined) permit(caller, key);
    if (spaceOf(key).durable) return run(args, () => ({ reply: valueOf(find(key)) }));
    return valueOf(find(key));
  }

  function valueOf(entry: Entry | undefined): Reply {
    if (entry === undefined) {
      counts.misses += 1;
      return NOTHING;
    }
    counts.hits += 1;
    return bytesReply(entry.value);
  }

  function set(args: readonly ByteString[], caller: Caller): Eventually<Reply> {
    const [key, value] = args;
    if (key === undefined || value === undefined) throw wrongCount("SET", args, 2, Infinity);
    if (caller.permits !== undefined) permit(caller, key);
    if (value.length > options.maxValueBytes) throw tooLong("SET", value.length);
    if (args.length > 2) return setWith(key, value, parseSetOptions(args, clock));
    const space = spaceOf(key);
    if (space.durable) return run([key], () => ({ changes: [{ key, value }], reply: OK }));
    put(space, key, value, false);
    return OK;
  }

  function setWith(key: ByteString, value: ByteString, options: SetOptions): Eventually<Reply> {
    return run([key], (): Plan => {
      const entry = find(key);
      const before = options.answer === "GET" ? bytesOrNull(entry) : undefined;
      if (options.ifRevision !== undefined) expectRevision(key, entry, options.ifRevision);
      if ((options.condition === "NX" && entry !== undefined) || (options.condition === "XX" && entry === undefined)) {
        return { reply: before ?? NOTHING };
      }
      const deadlineMs = options.deadlineMs === "keep" ? keyspace.deadlineOf(key) : options.deadlineMs;
      return { changes: [{ key, value, deadlineMs }], reply: options.answer === "REV" ? valueReply : (before ?? OK) };
    });
  }

  function setFor(verb: string, unitMs: number): VerbHandler {
    return (args, caller) => {
      expectArgs(verb, args, 3);
      const [key, ttl, value] = args as [ByteString, ByteString, ByteString];
      permit(caller, key);
      if (value.length > options.maxValueBytes) throw tooLong(verb, value.length);
      const deadlineMs = clock.monotonicMs() + ttlMs(verb, ttl, unitMs);
      return run([key], () => ({ changes: [{ key, value, deadlineMs }], reply: OK }));
    };
  }

  /** A verb about one key and what is kept under it. */
  function one(verb: string, count: number, plan: (key: ByteString, entry: Entry | undefined, more: ByteString) => Plan): VerbHandler {
    return (args, caller) => {
      expectArgs(verb, args, count);
      const [key, more = ""] = args as [ByteString, ByteString?];
      permit(caller, key);
      return run([key], () => plan(key, find(key), more));
    };
  }

  /** A verb about any number of keys. */
  function many(verb: string, plan: (keys: readonly ByteString[]) => Plan): VerbHandler {
    return (args, caller) => {
      expectArgs(verb, args, 1, Infinity);
      for (const key of args) permit(caller, key);
      return run(args, () => plan(args));
    };
  }

  function pairs(verb: string, plan: (keys: readonly ByteString[], changes: readonly Change[]) => Plan): VerbHandler {
    return (args, caller) => {
      if (args.length === 0 || args.length % 2 !== 0) {
        throw new AgentError("ARGUMENT", `${verb} takes pairs of key and value, got ${args.length} words`);
      }
      const changes: Change[] = [];
      for (let i = 0; i < args.length; i += 2) changes.push({ key: args[i] as ByteString, value: args[i + 1] });
      const keys = changes.map(({ key }) => key);
      for (const { key, value = "" } of changes) {
        permit(caller, key);
        if (value.length > options.maxValueBytes) throw tooLong(verb, value.length);
      }
      return run(keys, () => plan(keys, changes));
    };
  }

  function increment(verb: string, sign: 1 | -1, hasAmount: boolean): VerbHandler {
    return (args, caller) => {
      expectArgs(verb, args, hasAmount ? 2 : 1);
      const [key, amount = "1"] = args as [ByteString, ByteString?];
      permit(caller, key);
      const given = parseInt64(amount);
      if (given === undefined) throw new AgentError("ARGUMENT", `${verb}: ${shown(amount)} is not an integer or out of range`);
      const by = sign === 1 ? given : negative(given);
      const space = spaceOf(key);
      if (space.durable) {
        return run([key], () => {
          const sum = added(verb, key, find(key), by);
          return { changes: [{ key, value: String(sum), deadlineMs: keyspace.deadlineOf(key) }], reply: valueReply(sum) };
        });
      }
      const sum = added(verb, key, find(key), by);
      put(space, key, String(sum), true);
      return valueReply(sum);
    };
  }

  function remainingMs(key: ByteString, entry: Entry | undefined): number {
    if (entry === undefined) return -2;
    const deadlineMs = keyspace.deadlineOf(key);
    return deadlineMs === undefined ? -1 : Math.max(0, deadlineMs - clock.monotonicMs());
  }

  function expireIn(verb: string, unitMs: number): VerbHandler {
    return one(verb, 2, (key, entry, ttl) => {
      const inMs = anyTtlMs(verb, ttl, unitMs);
      if (entry === undefined) return { reply: ZERO };
      const value = inMs <= 0 ? undefined : entry.value;
      return { changes: [{ key, value, deadlineMs: clock.monotonicMs() + inMs }], reply: ONE };
    });
  }

  function remove(keys: readonly ByteString[]): Plan {
    const there = [...new Set(keys)].filter((key) => find(key) !== undefined);
    return { changes: there.map((key) => ({ key, value: undefined })), reply: valueReply(there.length) };
  }

  function tooLong(verb: string, length: number): AgentError {
    return new AgentError("LIMIT", `${verb}: a value of ${length} bytes is refused; memory.maxValueBytes is ${options.maxValueBytes}`);
  }

  /** The values of many keys; of what is too much for one answer nothing is copied. */
  function listed(keys: readonly ByteString[]): Plan {
    const entries = keys.map((key) => find(key));
    const bytes = entries.reduce((sum, entry) => sum + (entry?.value.length ?? 0), 0);
    if (bytes > options.maxReplyBytes) {
      throw new AgentError("LIMIT", `MGET: an answer of ${bytes} bytes is refused; memory.maxReplyBytes is ${options.maxReplyBytes}`);
    }
    const found = entries.filter((entry) => entry !== undefined).length;
    counts.hits += found;
    counts.misses += entries.length - found;
    return { reply: valueReply(entries.map((entry) => (entry === undefined ? null : Buffer.from(entry.value, "latin1")))) };
  }

  const setAllAbsent = pairs("MSETNX", (keys, changes) =>
    keys.some((key) => find(key) !== undefined) ? { reply: ZERO } : { changes, reply: ONE },
  );

  const handlers: Record<string, VerbHandler> = {
    GET: get,
    SET: set,
    SETNX(args, caller) {
      expectArgs("SETNX", args, 2);
      return setAllAbsent(args, caller);
    },
    SETEX: setFor("SETEX", 1000),
    PSETEX: setFor("PSETEX", 1),
    GETREV: one("GETREV", 1, (_key, entry) => ({
      reply: entry === undefined ? NOTHING : valueReply([Buffer.from(entry.value, "latin1"), entry.revision]),
    })),
    GETDEL: one("GETDEL", 1, (key, entry) =>
      entry === undefined ? { reply: NOTHING } : { changes: [{ key, value: undefined }], reply: bytesReply(entry.value) },
    ),
    DEL: many("DEL", remove),
    UNLINK: many("UNLINK", remove),
    EXISTS: many("EXISTS", (keys) => ({ reply: valueReply(keys.filter((key) => find(key) !== undefined).length) })),
    TYPE: one("TYPE", 1, (_key, entry) => ({ reply: { kind: "status", text: entry === undefined ? "none" : "string" } })),
    STRLEN: one("STRLEN", 1, (_key, entry) => ({ reply: valueReply(entry?.value.length ?? 0) })),
    APPEND: one("APPEND", 2, (key, entry, more) => {
      const length = (entry?.value.length ?? 0) + more.length;
      if (length > options.maxValueBytes) throw tooLong("APPEND", length);
      const value = flat((entry?.value ?? "") + more);
      return { changes: [{ key, value, deadlineMs: keyspace.deadlineOf(key) }], reply: valueReply(value.length) };
    }),
    MGET: many("MGET", listed),
    MSET: pairs("MSET", (_keys, changes) => ({ changes, reply: OK })),
    MSETNX: setAllAbsent,
    INCR: increment("INCR", 1, false),
    DECR: increment("DECR", -1, false),
    INCRBY: increment("INCRBY", 1, true),
    DECRBY: increment("DECRBY", -1, true),
    TTL: one("TTL", 1, (key, entry) => {
      const leftMs = remainingMs(key, entry);
      return { reply: valueReply(leftMs < 0 ? leftMs : Math.round(leftMs / 1000)) };
    }),
    PTTL: one("PTTL", 1, (key, entry) => ({ reply: valueReply(Math.ceil(remainingMs(key, entry))) })),
    EXPIRE: expireIn("EXPIRE", 1000),
    PEXPIRE: expireIn("PEXPIRE", 1),
    PERSIST: one("PERSIST", 1, (key, entry) =>
      entry === undefined || keyspace.deadlineOf(key) === undefined
        ? { reply: ZERO }
        : { changes: [{ key, value: entry.value }], reply: ONE },
    ),
  };
  return { docs: DOCS, handlers };
}

function bytesOrNull(entry: Entry | undefined): Reply {
  return entry === undefined ? NOTHING : bytesReply(entry.value);
}

function expectRevision(key: ByteString, entry: Entry | undefined, revision: number): void {
  const has = entry?.revision ?? 0;
  if (has === revision) return;
  const now = entry === undefined ? "is not there" : `has revision ${has}`;
  throw new AgentError("STALE", `${textOf(key.slice(0, 64))} ${now}, not revision ${revision}; read it again`);
}

function negative(value: number | bigint): number | bigint {
  return typeof value === "number" ? 0 - value : -value;
}

function added(verb: string, key: ByteString, entry: Entry | undefined, by: number | bigint): number | bigint {
  const value = entry === undefined ? 0 : parseInt64(entry.value);
  const sum = value === undefined ? undefined : sumInt64(value, by);
  if (sum !== undefined) return sum;
  const reason = value === undefined ? "is not an integer or out of range" : "would be beyond 64 bits";
  throw new AgentError("ARGUMENT", `${verb}: the value of ${textOf(key.slice(0, 64))} ${reason}`);
}
