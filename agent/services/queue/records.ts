import { bytesOf, type ByteString } from "../../contract/request.ts";
import { createMessage, type Message } from "./message.ts";

/*
 * What the log holds: a letter and fields with tabs between them, and after a line feed the payload.
 *
 *   E  a message, as it was when the record was written; a later one of the same id replaces it
 *   D  it was delivered, so and so often
 *   M  it was moved to another topic
 *   A  it was acknowledged
 *   R  it was answered: that acknowledges it, and the payload is the reply
 *   I  no id from this one on has been given out
 */

const LF = 0x0a;

/** Longer names and reasons are cut. */
const MAX_TEXT = 256;

/** An answer to a message, kept for who asked. */
export interface QueueReply {
  readonly id: number;
  readonly topic: ByteString;
  readonly correlation: ByteString;
  /** When it was given, by the wall clock. */
  readonly wallMs: number;
  readonly payload: ByteString;
}

export type QueueRecord =
  | { readonly kind: "message"; readonly message: Message }
  | { readonly kind: "delivered"; readonly id: number; readonly deliveries: number }
  | { readonly kind: "moved"; readonly id: number; readonly deliveries: number; readonly topic: ByteString; readonly reason: ByteString }
  | { readonly kind: "acknowledged"; readonly id: number }
  | { readonly kind: "answered"; readonly reply: QueueReply }
  | { readonly kind: "ids"; readonly next: number };

export function messageRecord(message: Message): ByteString {
  const { id, wallMs, priority, deliveries, topic, origin, correlation, ip, from, reason, payload } = message;
  return `E\t${id}\t${wallMs}\t${priority}\t${deliveries}\t${topic}\t${origin}\t${correlation}\t${ip}\t${from}\t${reason}\n${payload}`;
}

export function deliveredRecord({ id, deliveries }: Message): ByteString {
  return `D\t${id}\t${deliveries}`;
}

export function movedRecord({ id, deliveries, topic, reason }: Message): ByteString {
  return `M\t${id}\t${deliveries}\t${topic}\t${reason}`;
}

export function acknowledgedRecord({ id }: Message): ByteString {
  return `A\t${id}`;
}

export function answeredRecord({ id, wallMs, topic, correlation, payload }: QueueReply): ByteString {
  return `R\t${id}\t${wallMs}\t${topic}\t${correlation}\n${payload}`;
}

export function idsRecord(next: number): ByteString {
  return `I\t${next}`;
}

/** Text as it fits between tabs. */
export function fieldOf(text: string): ByteString {
  return bytesOf(text.slice(0, MAX_TEXT).replaceAll(/\p{Cc}/gu, " "));
}

/** Undefined for what no version of the agent has written. */
export function readQueueRecord(record: Buffer): QueueRecord | undefined {
  const lineEnd = record.indexOf(LF);
  const fields = record.toString("latin1", 0, lineEnd < 0 ? record.length : lineEnd).split("\t");
  const payload = lineEnd < 0 ? "" : record.toString("latin1", lineEnd + 1);
  const id = Number(fields[1]);
  if (!Number.isSafeInteger(id) || id < 1) return undefined;
  switch (fields[0]) {
    case "E":
      return readMessage(id, fields, payload);
    case "D":
      return { kind: "delivered", id, deliveries: Number(fields[2]) };
    case "M":
      return { kind: "moved", id, deliveries: Number(fields[2]), topic: fields[3] ?? "", reason: fields[4] ?? "" };
    case "A":
      return { kind: "acknowledged", id };
    case "R":
      return {
        kind: "answered",
        reply: { id, wallMs: Number(fields[2]), topic: fields[3] ?? "", correlation: fields[4] ?? "", payload },
      };
    case "I":
      return { kind: "ids", next: id };
    default:
      return undefined;
  }
}

function readMessage(id: number, fields: readonly string[], payload: ByteString): QueueRecord {
  const [, , wallMs, priority, deliveries, topic = "", origin = "", correlation = "", ip = "", from = "", reason = ""] = fields;
  const message = createMessage({ id, topic, priority: Number(priority), correlation, wallMs: Number(wallMs), ip, from, payload });
  message.deliveries = Number(deliveries);
  message.origin = origin;
  message.reason = reason;
  return { kind: "message", message };
}
