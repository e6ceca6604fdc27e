import { AgentError } from "../../contract/errors.ts";
import { bytesOf } from "../../contract/request.ts";
import type { Clock } from "../../contract/clock.ts";
import type { ErrorCode } from "../../contract/errors.ts";
import type { Log } from "../../contract/log.ts";
import type { ByteString, Reply, Request } from "../../contract/request.ts";
import { flat } from "./part.ts";

/** A piece of a block on one node. */
interface Chunk {
  readonly node: string;
  /** As that node calls it. */
  readonly vuid: string;
  readonly size: number;
}

/** Chunks for all of a block's bytes. */
interface ChunkSet {
  readonly chunks: readonly Chunk[];
  /** Being read now. */
  readers: number;
  /** Told when nobody reads it any more. */
  onUnread: (() => void) | undefined;
}

/**
 * The bytes of a block that lies on several nodes. They are kept in whole sets of chunks: what is stored goes into the set that nobody reads, and only
 * when all of its chunks have taken it does that set become the one that is read. So a store that fails on the way leaves what was there before, and no
 * reader ever sees parts of two values. A set in which a store failed is given up: a late write to it must not meet a newer value.
 */
export interface Spread {
  readonly size: number;
  current: ChunkSet | undefined;
  spare: ChunkSet | undefined;
  /** Bytes of the value. */
  length: number;
  /** Ends when the stores that were asked for so far are done; each of them has its own deadline. */
  storing: Promise<unknown>;
}

export interface SpreadOptions {
  readonly self: string;
  readonly chunkBytes: number;
  readonly maxChunks: number;
  readonly chunkLeaseMs: number;
  readonly deadlineMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** The node for the next chunk. */
  readonly pick: () => Promise<string | undefined>;
  /** Asks a node, this one included, which has so long to answer; never rejects. */
  readonly ask: (node: string, request: Request, deadlineMs: number) => Promise<Reply>;
}

export interface Spreading {
  /** Lays out chunks on the nodes. Rejects with the first refusal, after what was laid out is freed again. */
  allocate(size: number): Promise<Spread>;
  /** Stores a whole value when `mayStore` does not throw, once it is its turn. Rejects IO naming the node that did not take its part. */
  store(spread: Spread, value: ByteString, mayStore: () => void): Promise<void>;
  /** The whole value. Rejects IO naming the node that did not give its part. */
  load(spread: Spread): Promise<ByteString>;
  /** Frees all chunks. Rejects IO naming a node that could not be reached; it drops them by itself when their lease ends. */
  free(spread: Spread): Promise<void>;
  /** Tells the nodes that these are still wanted. */
  renew(spreads: Iterable<Spread>): Promise<void>;
}

/** What of another node's refusal is said as it is; anything else is that the node cannot be used: IO. */
const PASSED_ON: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["FULL", "LIMIT", "DENIED", "ARGUMENT"]);

export function createSpreading(options: SpreadOptions): Spreading {
  const { self, chunkBytes, maxChunks, chunkLeaseMs, deadlineMs, clock, log, pick } = options;

  const inTime = (): number => clock.monotonicMs() + deadlineMs;

  function ask(node: string, request: Request, untilMs: number): Promise<Reply> {
    return options.ask(node, request, Math.max(1, untilMs - clock.monotonicMs()));
  }

  async function layOut(size: number, untilMs: number): Promise<ChunkSet> {
    const count = Math.ceil(size / chunkBytes);
    if (count > maxChunks) {
      throw new AgentError("LIMIT", `${size} bytes are ${count} chunks of ${chunkBytes}; memory.maxChunks is ${maxChunks}`);
    }
    const sizes = Array.from({ length: count }, (_, i) => Math.min(chunkBytes, size - i * chunkBytes));
    const laid = await Promise.allSettled(sizes.map((bytes) => layChunk(bytes, untilMs)));
    const chunks = laid.filter((one) => one.status === "fulfilled").map(({ value }) => value);
    const refused = laid.find((one) => one.status === "rejected");
    if (refused === undefined) return { chunks, readers: 0, onUnread: undefined };
    await Promise.allSettled(chunks.map((chunk) => freeChunk(chunk, untilMs)));
    throw refused.reason;
  }

  async function layChunk(size: number, untilMs: number): Promise<Chunk> {
    const node = (await pick()) ?? self;
    // The lease frees it when this node is gone, or when it cannot be told that the rest failed.
    const lease = node === self ? [] : ["TTL", String(chunkLeaseMs)];
    const reply = await ask(node, { verb: "MALLOC", args: [String(size), "HERE", ...lease] }, untilMs);
    const vuid = bytesIn(reply);
    if (vuid === undefined) throw failure(node, reply, "allocate");
    return { node, vuid, size };
  }

  async function freeChunk({ node, vuid }: Chunk, untilMs: number): Promise<void> {
    const reply = await ask(node, { verb: "FREEM", args: [vuid] }, untilMs);
    if (reply.kind === "error" && reply.error.code !== "UNKNOWN") throw failure(node, reply, "free");
  }

  function giveUp(set: ChunkSet): void {
    const untilMs = inTime();
    Promise.all(set.chunks.map((chunk) => freeChunk(chunk, untilMs))).catch((thrown: unknown) => {
      log.debug({ err: thrown }, "memory: a chunk could not be freed; its node drops it when its lease ends");
    });
  }

  async function fill(set: ChunkSet, value: ByteString, untilMs: number): Promise<void> {
    let at = 0;
    const asked: Promise<void>[] = [];
    for (const chunk of set.chunks) {
      if (at >= value.length) break;
      asked.push(fillChunk(chunk, flat(value.slice(at, at + chunk.size)), untilMs));
      at += chunk.size;
    }
    await allOrFirst(asked);
  }

  async function fillChunk({ node, vuid }: Chunk, bytes: ByteString, untilMs: number): Promise<void> {
    const reply = await ask(node, { verb: "SETM", args: [vuid, bytes] }, untilMs);
    if (reply.kind === "error") throw failure(node, reply, "store");
  }

  async function readChunk({ node, vuid }: Chunk, length: number, untilMs: number): Promise<ByteString> {
    const reply = await ask(node, { verb: "GETM", args: [vuid] }, untilMs);
    const bytes = bytesIn(reply);
    if (bytes === undefined) throw failure(node, reply, "read");
    if (bytes.length === length) return bytes;
    throw new AgentError("IO", `node ${node} holds ${bytes.length} bytes of ${vuid} where ${length} were stored`);
  }

  async function unread(set: ChunkSet): Promise<void> {
    if (set.readers === 0) return;
    await new Promise<void>((resolve) => {
      set.onUnread = resolve;
    });
  }

  async function storeNow(spread: Spread, value: ByteString, mayStore: () => void, untilMs: number): Promise<void> {
    mayStore();
    if (clock.monotonicMs() > untilMs)
      throw new AgentError("TIMEOUT", `what was stored before took longer than ${deadlineMs} ms; try again`);
    const target = spread.spare ?? (await layOut(spread.size, untilMs));
    spread.spare = undefined;
    await unread(target);
    try {
      await fill(target, value, untilMs);
      // It may have been freed, or stored to with a condition, in the meantime.
      mayStore();
    } catch (thrown) {
      giveUp(target);
      throw thrown;
    }
    spread.spare = spread.current;
    spread.current = target;
    spread.length = value.length;
  }

  return {
    async allocate(size) {
      const spare = await layOut(size, inTime());
      return { size, current: undefined, spare, length: 0, storing: Promise.resolve() };
    },
    store(spread, value, mayStore) {
      const untilMs = inTime();
      const stored = spread.storing.then(() => storeNow(spread, value, mayStore, untilMs));
      spread.storing = stored.catch(() => undefined);
      return stored;
    },
    async load({ current, length }) {
      if (current === undefined) return "";
      current.readers += 1;
      try {
        const untilMs = inTime();
        const asked: Promise<ByteString>[] = [];
        let left = length;
        for (const chunk of current.chunks) {
          if (left <= 0) break;
          asked.push(readChunk(chunk, Math.min(chunk.size, left), untilMs));
          left -= chunk.size;
        }
        return (await allOrFirst(asked)).join("");
      } finally {
        current.readers -= 1;
        if (current.readers === 0) current.onUnread?.();
      }
    },
    async free({ current, spare }) {
      const chunks = [...(current?.chunks ?? []), ...(spare?.chunks ?? [])];
      const untilMs = inTime();
      await allOrFirst(chunks.map((chunk) => freeChunk(chunk, untilMs)));
    },
    async renew(spreads) {
      const chunks = [...spreads].flatMap(({ current, spare }) => [...(current?.chunks ?? []), ...(spare?.chunks ?? [])]);
      const elsewhere = chunks.filter(({ node }) => node !== self);
      const untilMs = inTime();
      const replies = await Promise.all(elsewhere.map(({ node, vuid }) => ask(node, { verb: "TOUCHM", args: [vuid] }, untilMs)));
      const lost = replies.filter(({ kind }) => kind === "error").length;
      if (lost > 0) log.warn({ chunks: elsewhere.length, lost }, "memory: chunks on other nodes could not be renewed");
    },
  };
}

/** All results; the first failure only after all are done, so that nothing goes on behind the caller's back. */
async function allOrFirst<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return results.filter((result) => result.status === "fulfilled").map(({ value }) => value);
}

/** The bytes of an answer that has any. */
function bytesIn(reply: Reply): ByteString | undefined {
  if (reply.kind !== "value") return undefined;
  if (typeof reply.value === "string") return reply.raw === true ? reply.value : bytesOf(reply.value);
  return reply.value instanceof Uint8Array ? Buffer.from(reply.value).toString("latin1") : undefined;
}

function failure(node: string, reply: Reply, action: string): AgentError {
  if (reply.kind !== "error") return new AgentError("IO", `node ${node} answered something else when asked to ${action} a chunk`);
  const { code, message } = reply.error;
  const named = message.includes(node) ? message : `node ${node}: ${message}`;
  return new AgentError(PASSED_ON.has(code) ? code : "IO", `cannot ${action} a chunk on node ${node}: ${named}`, { cause: reply.error });
}
