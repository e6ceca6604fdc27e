import type { Message } from "./message.ts";
import { readQueueRecord, type QueueRecord } from "./records.ts";
import type { KeptReply } from "./replies.ts";

/** What the records of the log come to. */
export interface Replay {
  readonly record: (bytes: Buffer, segment: number) => void;
  /** What was left, in the order of their ids; called once, at the end. */
  messages(): readonly Message[];
  /** By the time they were given. */
  replies(): readonly KeptReply[];
  /** The lowest id that was never given out. */
  nextId(): number;
  /** Where the newest record about ids is. */
  readonly ids: { readonly segment: number; readonly bytes: number } | undefined;
  /** Records that say nothing to this version. */
  readonly unknown: number;
}

export function createReplay(): Replay {
  const messages = new Map<number, Message>();
  const replies = new Map<number, KeptReply>();
  let highest = 0;
  let ids: { readonly segment: number; readonly bytes: number } | undefined;
  let unknown = 0;

  function apply(record: QueueRecord, segment: number, bytes: number): void {
    switch (record.kind) {
      case "message":
        messages.set(record.message.id, Object.assign(record.message, { segment, bytes }));
        saw(record.message.id);
        return;
      case "delivered":
        amend(record.id, { deliveries: record.deliveries });
        return;
      case "moved":
        move(record);
        return;
      case "acknowledged":
        messages.delete(record.id);
        saw(record.id);
        return;
      case "answered":
        messages.delete(record.reply.id);
        replies.set(record.reply.id, { ...record.reply, segment, bytes });
        saw(record.reply.id);
        return;
      case "ids":
        ids = { segment, bytes };
        saw(record.next - 1);
    }
  }

  function saw(id: number): void {
    highest = Math.max(highest, id);
  }

  function amend(id: number, change: Partial<Message>): void {
    saw(id);
    const message = messages.get(id);
    if (message !== undefined) Object.assign(message, change);
  }

  function move({ id, deliveries, topic, reason }: Extract<QueueRecord, { kind: "moved" }>): void {
    const origin = messages.get(id)?.topic ?? "";
    amend(id, { deliveries, topic, reason, origin });
  }

  return {
    record(bytes, segment) {
      const record = readQueueRecord(bytes);
      if (record === undefined) unknown += 1;
      else apply(record, segment, bytes.length);
    },
    messages: () => [...messages.values()].sort((a, b) => a.id - b.id),
    replies: () => [...replies.values()].sort((a, b) => a.wallMs - b.wallMs || a.id - b.id),
    nextId: () => highest + 1,
    get ids() {
      return ids;
    },
    get unknown() {
      return unknown;
    },
  };
}
