import type { Cancel, Clock } from "../../contract/clock.ts";
import type { QueueReply } from "./records.ts";

/** A reply and where it is on disk. */
export interface KeptReply extends QueueReply {
  /** The segment of the log that holds its newest record, and that record's bytes. */
  segment: number;
  bytes: number;
}

export interface RepliesOptions {
  readonly clock: Clock;
  readonly keepMs: number;
  readonly maxReplies: number;
  readonly maxBytes: number;
  /** Told every reply that is kept no longer. */
  dropped(reply: KeptReply): void;
}

/** Answers to messages, kept for so long, or until there are too many newer ones. */
export interface Replies {
  /** In the order given; those of before a restart by their time. */
  add(reply: KeptReply): void;
  find(id: number): KeptReply | undefined;
  all(): Iterable<KeptReply>;
  readonly count: number;
  readonly bytes: number;
  /** How many were dropped before their time. */
  readonly evicted: number;
  close(): void;
}

export function createReplies({ clock, keepMs, maxReplies, maxBytes, ...told }: RepliesOptions): Replies {
  /** Oldest first. */
  const replies = new Map<number, { readonly reply: KeptReply; readonly dueMs: number }>();
  let bytes = 0;
  let evicted = 0;
  let timer: Cancel | undefined;

  function drop(reply: KeptReply): void {
    replies.delete(reply.id);
    bytes -= reply.payload.length;
    told.dropped(reply);
  }

  function evict(): void {
    for (const { reply } of replies.values()) {
      if (replies.size <= maxReplies && bytes <= maxBytes) return;
      evicted += 1;
      drop(reply);
    }
  }

  function expire(): void {
    timer = undefined;
    const nowMs = clock.monotonicMs();
    for (const { reply, dueMs } of replies.values()) {
      if (dueMs > nowMs) break;
      drop(reply);
    }
    arm();
  }

  function arm(): void {
    if (timer !== undefined) return;
    const [oldest] = replies.values();
    if (oldest !== undefined) timer = clock.after(Math.max(0, oldest.dueMs - clock.monotonicMs()), expire);
  }

  return {
    add(reply) {
      // The wall clock may have been set since: a reply is never kept longer than it would have been.
      const ageMs = Math.min(keepMs, Math.max(0, clock.wallMs() - reply.wallMs));
      replies.set(reply.id, { reply, dueMs: clock.monotonicMs() + keepMs - ageMs });
      bytes += reply.payload.length;
      evict();
      arm();
    },
    find: (id) => replies.get(id)?.reply,
    *all() {
      for (const { reply } of replies.values()) yield reply;
    },
    get count() {
      return replies.size;
    },
    get bytes() {
      return bytes;
    },
    get evicted() {
      return evicted;
    },
    close() {
      timer?.();
      timer = () => undefined;
    },
  };
}
