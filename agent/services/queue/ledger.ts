import { AgentError } from "../../contract/errors.ts";
import { openRecordLog, type RecordLog, type RecordLogOptions } from "../../store/record-log.ts";
import type { Clock } from "../../contract/clock.ts";
import type { Log } from "../../contract/log.ts";
import { bytesOf, textOf, type ByteString, type Figures } from "../../contract/request.ts";
import { createMessage, type Envelope, type Message } from "./message.ts";
import type { QueueOptions } from "./options.ts";
import { createReplay } from "./replay.ts";
import { acknowledgedRecord, answeredRecord, deliveredRecord, idsRecord, messageRecord, movedRecord } from "./records.ts";
import { createReplies, type KeptReply } from "./replies.ts";
import { createTopics, type Topics } from "./topics.ts";

/** Told when something is on disk, or why it is not. */
export type Done<T> = (outcome: T | AgentError) => void;

export interface LedgerOptions {
  /** Where the log is. */
  readonly folder: string;
  readonly options: QueueOptions;
  readonly clock: Clock;
  readonly log: Log;
  /** The log on disk, unless something else is to stand for it. */
  readonly openLog?: (options: RecordLogOptions<Entry>) => Promise<RecordLog<Entry>>;
  /** Told every message once it is on disk, in order. */
  taken(message: Message): void;
  /** Told every reply that may be asked for. */
  answered(reply: KeptReply): void;
  /** Told every message that no reply will come to. */
  ended(message: Message): void;
}

/** Every message and reply, in memory as on disk. */
export interface Ledger {
  /** Who gets what; acknowledging goes through the ledger. */
  readonly topics: Topics;
  /** Throws LIMIT and FULL; `done` is called when it is on disk, or cannot be. */
  take(sent: Omit<Envelope, "id">, done: Done<Message>): void;
  find(id: number): Message | undefined;
  findReply(id: number): KeptReply | undefined;
  /** The newest message or reply with that mark. */
  idOf(correlation: ByteString): number | undefined;
  /** The ids of queued messages that end with those six digits. */
  idsEndingWith(digits: number): Iterable<number>;
  acknowledge(message: Message, done: Done<void>): void;
  answer(message: Message, payload: ByteString, done: Done<void>): void;
  /** It was not done: it is delivered again after `delayMs`, or goes to its dead-letter topic. `reason` may be empty. */
  giveBack(message: Message, delayMs: number, reason: ByteString): void;
  /** It was not even tried: the delivery does not count. */
  unsettle(message: Message, delayMs: number): void;
  /** Tells `done` when the delivery is on disk, or cannot be. */
  onDelivered(message: Message, done: () => void): void;
  isDeadTopic(topic: ByteString): boolean;
  figures(): Figures;
  close(): Promise<void>;
}

/** What a record of the log is about. */
export type Entry =
  | { readonly kind: "taken"; readonly message: Message; readonly done: Done<Message> }
  | { readonly kind: "copied"; readonly kept: Message | KeptReply; readonly bytes: number }
  | { readonly kind: "left"; readonly message: Message; readonly done: Done<void> }
  | { readonly kind: "answered"; readonly message: Message; readonly reply: KeptReply; readonly done: Done<void> }
  | { readonly kind: "ids"; readonly bytes: number }
  | { readonly kind: "note"; readonly done: () => void };

type Note = Extract<Entry, { kind: "note" }>;

const NOTE: Note = { kind: "note", done: () => undefined };

/** Six digits of an id are in a message's stamp. */
const STAMP_STEP = 1_000_000;

/** Opens the queue's log and takes up what is in it. Rejects IO when its folder cannot be used. */
export async function openLedger(ledgerOptions: LedgerOptions): Promise<Ledger> {
  const { folder, options, clock, log, openLog = openRecordLog<Entry> } = ledgerOptions;
  const { maxMessages, maxBytes, maxMessageBytes, maxDeliveries, replyMs, maxReplies, maxReplyBytes } = options;
  const deadLetter = bytesOf(options.deadLetter);
  const messages = new Map<number, Message>();
  /** Ids of the messages and replies with a mark of their sender's. */
  const marks = new Map<ByteString, number>();
  /** Those being written included. */
  const used = { messages: 0, bytes: 0 };
  const counts = { taken: 0, delivered: 0, redelivered: 0, acknowledged: 0, answered: 0, dead_lettered: 0, refused: 0, notes_lost: 0 };
  const ids = { next: 1, segment: -1, bytes: 0 };

  const replies = createReplies({
    clock,
    keepMs: replyMs,
    maxReplies,
    maxBytes: maxReplyBytes,
    dropped(reply) {
      records.release(reply.segment, reply.bytes);
      unmark(reply);
    },
  });

  const topics = createTopics({
    clock,
    delivered(message) {
      counts.delivered += 1;
      if (message.deliveries > 1) counts.redelivered += 1;
      note(deliveredRecord(message), NOTE);
    },
    expired(message) {
      giveBack(message, 0, message.reason);
    },
  });

  const replay = createReplay();
  const records: RecordLog<Entry> = await openLog({
    folder,
    name: "queue",
    clock,
    log,
    replay: replay.record,
    committed,
    failed,
    relocate,
  });
  recover();

  function recover(): void {
    ids.next = replay.nextId();
    if (replay.ids !== undefined) {
      Object.assign(ids, replay.ids);
      records.keep(ids.segment, ids.bytes);
    } else writeIds();
    if (replay.unknown > 0) log.warn({ records: replay.unknown }, "the queue's log holds records that this version does not know");
    for (const reply of replay.replies()) keepReply(reply);
    for (const message of replay.messages()) restore(message);
  }

  function restore(message: Message): void {
    used.messages += 1;
    used.bytes += message.payload.length;
    keepMessage(message);
    topics.add(message);
    if (isSpent(message)) bury(message);
  }

  function committed(entry: Entry, segment: number): void {
    switch (entry.kind) {
      case "taken":
        counts.taken += 1;
        entry.message.segment = segment;
        keepMessage(entry.message);
        entry.done(entry.message);
        topics.add(entry.message);
        ledgerOptions.taken(entry.message);
        return;
      case "copied":
        records.release(entry.kept.segment, entry.kept.bytes);
        entry.kept.segment = segment;
        entry.kept.bytes = entry.bytes;
        records.keep(segment, entry.bytes);
        return;
      case "left":
        counts.acknowledged += 1;
        remove(entry.message);
        unmark(entry.message);
        entry.done();
        ledgerOptions.ended(entry.message);
        return;
      case "answered":
        counts.answered += 1;
        remove(entry.message);
        entry.reply.segment = segment;
        keepReply(entry.reply);
        entry.done();
        ledgerOptions.answered(entry.reply);
        return;
      case "ids":
        if (ids.segment >= 0) records.release(ids.segment, ids.bytes);
        ids.segment = segment;
        ids.bytes = entry.bytes;
        records.keep(segment, entry.bytes);
        return;
      case "note":
        entry.done();
    }
  }

  function failed(entry: Entry, error: AgentError): void {
    switch (entry.kind) {
      case "taken":
        used.messages -= 1;
        used.bytes -= entry.message.payload.length;
        counts.refused += 1;
        entry.done(error);
        return;
      case "left":
      case "answered":
        topics.stay(entry.message);
        entry.done(error);
        return;
      case "note":
        counts.notes_lost += 1;
        entry.done();
        return;
      case "copied":
      case "ids":
        // The older record stands, and its segment stays.
        log.debug({ err: error }, "a record of the queue was not moved");
    }
  }

  /** What lives in that segment is written again, behind everything else. */
  function relocate(segment: number): void {
    try {
      if (ids.segment === segment) writeIds();
      for (const message of messages.values()) {
        if (message.segment === segment && !message.leaving) copy(message);
      }
      for (const reply of replies.all()) {
        if (reply.segment !== segment) continue;
        const record = answeredRecord(reply);
        records.append(record, { kind: "copied", kept: reply, bytes: record.length }, true);
      }
    } catch (thrown) {
      log.debug({ err: thrown, segment }, "the records of the queue's oldest segment cannot be moved yet");
    }
  }

  function copy(message: Message): void {
    const record = messageRecord(message);
    records.append(record, { kind: "copied", kept: message, bytes: record.length }, true);
  }

  /** No id below it is ever given out again, even when nothing else is left in the log. */
  function writeIds(): void {
    const record = idsRecord(ids.next);
    records.append(record, { kind: "ids", bytes: record.length }, true);
  }

  function keepMessage(message: Message): void {
    messages.set(message.id, message);
    if (message.correlation !== "") marks.set(message.correlation, message.id);
    records.keep(message.segment, message.bytes);
  }

  function keepReply(reply: KeptReply): void {
    if (reply.correlation !== "") marks.set(reply.correlation, reply.id);
    records.keep(reply.segment, reply.bytes);
    replies.add(reply);
  }

  function unmark({ correlation, id }: Message | KeptReply): void {
    if (correlation !== "" && marks.get(correlation) === id) marks.delete(correlation);
  }

  function remove(message: Message): void {
    messages.delete(message.id);
    used.messages -= 1;
    used.bytes -= message.payload.length;
    records.release(message.segment, message.bytes);
    topics.remove(message);
  }

  /** A record nobody waits for: without it, a delivery before a crash does not count. */
  function note(record: ByteString, entry: Note): void {
    try {
      records.append(record, entry);
    } catch {
      counts.notes_lost += 1;
      entry.done();
    }
  }

  function isDeadTopic(topic: ByteString): boolean {
    return topic.startsWith(deadLetter);
  }

  function isSpent({ deliveries, origin, topic }: Message): boolean {
    return deliveries >= maxDeliveries && origin === "" && !isDeadTopic(topic);
  }

  function giveBack(message: Message, delayMs: number, reason: ByteString): void {
    if (message.gone || message.state !== "held") return;
    message.reason = reason;
    if (isSpent(message)) bury(message);
    else topics.giveBack(message, delayMs);
  }

  function bury(message: Message): void {
    counts.dead_lettered += 1;
    message.origin = message.topic;
    if (message.reason === "") message.reason = `delivered ${message.deliveries} times and never acknowledged`;
    topics.move(message, deadLetter + message.topic);
    note(movedRecord(message), NOTE);
    const { id, origin, topic, deliveries, reason } = message;
    log.warn(
      { id, topic: textOf(origin), deliveries, reason: textOf(reason) },
      `message ${id} of ${textOf(origin)} was not acknowledged and is in ${textOf(topic)}`,
    );
    ledgerOptions.ended(message);
  }

  function refuseLeft({ id, gone, leaving }: Message): void {
    if (gone || leaving) throw new AgentError("UNKNOWN", `message ${id} was acknowledged already`);
  }

  function refuse(code: "FULL" | "LIMIT", message: string): AgentError {
    counts.refused += 1;
    return new AgentError(code, message);
  }

  function admit(payload: ByteString): void {
    checkLength(payload, "message");
    if (used.messages >= maxMessages) {
      throw refuse("FULL", `${used.messages} messages are queued already (queue.maxMessages); acknowledge some first`);
    }
    if (used.bytes + payload.length > maxBytes) {
      throw refuse("FULL", `${used.bytes} bytes are queued already, at most ${maxBytes} may be (queue.maxBytes); acknowledge some first`);
    }
  }

  function checkLength(payload: ByteString, what: string): void {
    if (payload.length <= maxMessageBytes) return;
    throw refuse("LIMIT", `a ${what} of ${payload.length} bytes is refused; it may have ${maxMessageBytes} (queue.maxMessageBytes)`);
  }

  return {
    topics,
    take(sent, done) {
      admit(sent.payload);
      const message = createMessage({ id: ids.next, ...sent });
      const record = messageRecord(message);
      message.bytes = record.length;
      records.append(record, { kind: "taken", message, done });
      ids.next += 1;
      used.messages += 1;
      used.bytes += sent.payload.length;
    },
    find: (id) => messages.get(id),
    findReply: (id) => replies.find(id),
    idOf: (correlation) => marks.get(correlation),
    *idsEndingWith(digits) {
      const [oldest = ids.next] = messages.keys();
      const newest = ids.next - 1;
      const first = newest - ((newest - digits) % STAMP_STEP);
      for (let id = first; id >= oldest; id -= STAMP_STEP) yield id;
    },
    acknowledge(message, done) {
      refuseLeft(message);
      records.append(acknowledgedRecord(message), { kind: "left", message, done }, true);
      topics.leave(message);
    },
    answer(message, payload, done) {
      refuseLeft(message);
      checkLength(payload, "reply");
      const { id, topic, correlation } = message;
      const reply = { id, topic, correlation, wallMs: Math.round(clock.wallMs()), payload, segment: -1, bytes: 0 };
      const record = answeredRecord(reply);
      reply.bytes = record.length;
      records.append(record, { kind: "answered", message, reply, done });
      topics.leave(message);
    },
    giveBack,
    unsettle(message, delayMs) {
      if (message.gone || message.state !== "held") return;
      message.deliveries -= 1;
      note(deliveredRecord(message), NOTE);
      topics.giveBack(message, delayMs);
    },
    onDelivered(message, done) {
      // Everything is written in order: when this is on disk, so is the delivery's own record.
      note(deliveredRecord(message), { kind: "note", done });
    },
    isDeadTopic,
    figures: () => ({
      depth: messages.size,
      bytes: used.bytes,
      ...counts,
      replies: replies.count,
      reply_bytes: replies.bytes,
      replies_evicted: replies.evicted,
      ...records.figures(),
    }),
    async close() {
      topics.close();
      replies.close();
      await records.close();
    },
  };
}
