import type { ByteString } from "../contract/request.ts";

/** A message on disk. */
export interface OutboxRecord {
  /** Rises by one with every message. */
  readonly sequence: number;
  /** When it was taken, wall clock. */
  readonly takenMs: number;
  /** By which a receiver knows it again. */
  readonly id: string;
  readonly topic: string;
  readonly payload: Buffer;
  readonly retain: boolean;
}

const MESSAGE = "M";
const DONE = "D";
const LINE_FEED = 0x0a;

/** `M1 1700000000000 r-1 0 12` and a line feed, then 12 bytes of topic, then the payload. */
export function messageRecord({ sequence, takenMs, id, topic, payload, retain }: OutboxRecord): ByteString {
  const topicBytes = Buffer.from(topic).toString("latin1");
  const head = `${MESSAGE}${sequence} ${takenMs} ${id} ${retain ? 1 : 0} ${topicBytes.length}\n`;
  return head + topicBytes + payload.toString("latin1");
}

export function doneRecord(sequence: number): ByteString {
  return `${DONE}${sequence}\n`;
}

/** The number of a message, or up to which everything is done, without reading the rest. Undefined for what is neither. */
export function readSequence(record: Buffer): { readonly sequence: number; readonly done: boolean } | undefined {
  const kind = record[0];
  if (kind !== MESSAGE.charCodeAt(0) && kind !== DONE.charCodeAt(0)) return undefined;
  let sequence = 0;
  for (let i = 1; i < record.length; i++) {
    const digit = (record[i] as number) - 0x30;
    if (digit < 0 || digit > 9) break;
    sequence = sequence * 10 + digit;
  }
  return { sequence, done: kind === DONE.charCodeAt(0) };
}

/** A message with a copy of its payload; undefined for what is none. */
export function readMessage(record: Buffer): OutboxRecord | undefined {
  const end = record.indexOf(LINE_FEED);
  if (end < 0 || record[0] !== MESSAGE.charCodeAt(0)) return undefined;
  const [sequence, takenMs, id = "", retain, topicLength] = record.toString("latin1", 1, end).split(" ");
  const payloadAt = end + 1 + Number(topicLength);
  if (!(payloadAt <= record.length)) return undefined;
  return {
    sequence: Number(sequence),
    takenMs: Number(takenMs),
    id,
    topic: record.toString("utf8", end + 1, payloadAt),
    payload: Buffer.from(record.subarray(payloadAt)),
    retain: retain === "1",
  };
}
