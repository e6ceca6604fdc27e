import { AgentError } from "../../contract/errors.ts";
import { OK, PRIORITY, refusal, valueReply } from "../../contract/request.ts";
import { expectArgs, permit, wordsOf } from "./arguments.ts";
import { createGlob } from "./glob.ts";
import { shown, wholeNumber } from "./integer.ts";
import type { ByteString, Caller, Reply, VerbDoc } from "../../contract/request.ts";
import type { Eventually } from "../../contract/value.ts";
import type { VerbHandler, VerbSet } from "./key-verbs.ts";
import type { Keyspace } from "./keyspace.ts";
import type { MemoryOptions } from "./options.ts";

const DOCS: readonly VerbDoc[] = [
  { verb: "KEYS", usage: "pattern", summary: "keys that match; LIMIT when there are too many: SCAN" },
  { verb: "SCAN", usage: "cursor [MATCH pattern] [COUNT n]", summary: "some keys and where to go on; from 0 to 0" },
  { verb: "DBSIZE", usage: "", summary: "how many keys there are" },
  { verb: "FLUSHDB", usage: "", summary: "delete all keys; for operators" },
  { verb: "SELECT", usage: "0", summary: "for client libraries: there is one database" },
  { verb: "CONFIG", usage: "GET name [name …]", summary: "for client libraries: save, appendonly, maxmemory, databases" },
];

/** Scans that were begun and not ended; the oldest is forgotten. */
const MAX_CURSORS = 1024;

const SCAN_USAGE = "cursor [MATCH pattern] [COUNT n]";
const DEFAULT_COUNT = 10;

/** Longer patterns mean nothing, and would take long. */
const MAX_PATTERN_BYTES = 256;

/** KEYS looks at so many keys for each it may list: other requests wait for as long as that takes. */
const LOOKED_AT_PER_LISTED = 10;

/** Keys deleted before others have their turn. */
const FLUSHED_AT_ONCE = 5000;

export interface SpaceVerbsOptions {
  readonly keyspace: Keyspace;
  readonly options: Pick<MemoryOptions, "maxListed" | "maxReplyBytes">;
  /** What CONFIG GET answers. */
  readonly config: Readonly<Record<string, string>>;
}

/** The verbs about all keys together. */
export function createSpaceVerbs({ keyspace, options, config }: SpaceVerbsOptions): VerbSet {
  const { maxListed, maxReplyBytes } = options;
  const cursors = new Map<number, Iterator<ByteString>>();
  let lastCursor = 0;

  function* everyKey(): Generator<ByteString, undefined> {
    for (const space of keyspace.spaces.all) yield* space.entries.keys();
  }

  function isSeen(key: ByteString, matches: (key: ByteString) => boolean, caller: Caller): boolean {
    return matches(key) && refusal(caller, "memory", key) === undefined && keyspace.find(key) !== undefined;
  }

  function keys(args: readonly ByteString[], caller: Caller): Reply {
    expectArgs("KEYS", args, 1);
    const matches = pattern("KEYS", args[0] as ByteString);
    const most = LOOKED_AT_PER_LISTED * maxListed;
    if (keyspace.size > most) {
      throw new AgentError("LIMIT", `KEYS looks at ${most} keys (10 × memory.maxListed), and there are ${keyspace.size}: use SCAN`);
    }
    const found: Buffer[] = [];
    let bytes = 0;
    for (const key of everyKey()) {
      if (!isSeen(key, matches, caller)) continue;
      bytes += key.length;
      if (found.length === maxListed || bytes > maxReplyBytes) throw tooMany(found.length === maxListed);
      found.push(Buffer.from(key, "latin1"));
    }
    return valueReply(found);
  }

  function tooMany(isCount: boolean): AgentError {
    const limit = isCount
      ? `more than ${maxListed} keys match; memory.maxListed is ${maxListed}`
      : `memory.maxReplyBytes is ${maxReplyBytes}`;
    return new AgentError("LIMIT", `KEYS: ${limit}: use SCAN`);
  }

  /** Takes the cursor, so that none is used twice: whoever asks again after a lost answer must not miss what was in it. */
  function takeCursor(text: ByteString): Iterator<ByteString> {
    if (text === "0") return everyKey();
    const id = wholeNumber(text, "SCAN: the cursor", 0, Number.MAX_SAFE_INTEGER);
    const cursor = cursors.get(id);
    if (cursor === undefined) throw new AgentError("ARGUMENT", `SCAN: cursor ${id} is not known, or was used before; begin again with 0`);
    cursors.delete(id);
    return cursor;
  }

  function keepCursor(cursor: Iterator<ByteString>): number {
    const [oldest] = cursors.keys();
    if (cursors.size === MAX_CURSORS && oldest !== undefined) cursors.delete(oldest);
    lastCursor += 1;
    cursors.set(lastCursor, cursor);
    return lastCursor;
  }

  function scan(args: readonly ByteString[], caller: Caller): Reply {
    expectArgs("SCAN", args, 1, 5);
    let matches = (_key: ByteString): boolean => true;
    let count = Math.min(DEFAULT_COUNT, maxListed);
    const words = wordsOf("SCAN", args, 1, SCAN_USAGE);
    for (let word = words.next(); word !== undefined; word = words.next()) {
      if (word === "MATCH") matches = pattern("SCAN", words.value());
      else if (word === "COUNT") count = wholeNumber(words.value(), "SCAN: COUNT", 1, maxListed);
      else words.unknown();
    }
    const cursor = takeCursor(args[0] as ByteString);
    const found: Buffer[] = [];
    let bytes = 0;
    for (let looked = 0; looked < count && bytes < maxReplyBytes; looked++) {
      const { value, done } = cursor.next() as IteratorResult<ByteString, undefined>;
      if (done === true) return valueReply(["0", found]);
      if (!isSeen(value, matches, caller)) continue;
      bytes += value.length;
      found.push(Buffer.from(value, "latin1"));
    }
    return valueReply([String(keepCursor(cursor)), found]);
  }

  function flush(args: readonly ByteString[], caller: Caller): Eventually<Reply> {
    expectArgs("FLUSHDB", args, 0, 1);
    permit(caller, "*");
    if ((caller.maxPriority ?? caller.priority) < PRIORITY.operator) {
      throw new AgentError("DENIED", `FLUSHDB is for operators: priority ${PRIORITY.operator}, ${caller.name} has ${caller.priority}`);
    }
    return flushAll([...everyKey()]);
  }

  /** Keys that are set while it goes on may stay. */
  async function flushAll(all: readonly ByteString[]): Promise<Reply> {
    for (let at = 0; at < all.length; at += FLUSHED_AT_ONCE) {
      const some = all.slice(at, at + FLUSHED_AT_ONCE);
      const reply = await keyspace.run(some, () => ({ changes: some.map((key) => ({ key, value: undefined })), reply: OK }));
      if (reply.kind === "error") return reply;
      await turn();
    }
    return OK;
  }

  function select(args: readonly ByteString[]): Reply {
    expectArgs("SELECT", args, 1);
    if (args[0] === "0") return OK;
    throw new AgentError("ARGUMENT", `SELECT: there is database 0 only, not ${shown(args[0] as ByteString)}`);
  }

  function configure(args: readonly ByteString[]): Reply {
    const [what = "", ...names] = args;
    if (what.toUpperCase() !== "GET" || names.length === 0) {
      throw new AgentError("ARGUMENT", "CONFIG GET name is understood; what is configured is in the agent's file");
    }
    const patterns = names.map((name) => createGlob(name.toLowerCase()));
    const found = Object.entries(config).filter(([name]) => patterns.some((matches) => matches(name)));
    return valueReply(Object.fromEntries(found));
  }

  const handlers: Record<string, VerbHandler> = {
    KEYS: keys,
    SCAN: scan,
    DBSIZE(args) {
      expectArgs("DBSIZE", args, 0);
      return valueReply(keyspace.size);
    },
    FLUSHDB: flush,
    SELECT: select,
    CONFIG: configure,
  };
  return { docs: DOCS, handlers };
}

function pattern(verb: string, text: ByteString): (key: ByteString) => boolean {
  if (text.length <= MAX_PATTERN_BYTES) return createGlob(text);
  throw new AgentError("LIMIT", `${verb}: a pattern of ${text.length} bytes is refused; it may have ${MAX_PATTERN_BYTES}`);
}

/** Lets timers and other connections have their turn. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
