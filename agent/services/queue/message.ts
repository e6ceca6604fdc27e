import type { ByteString } from "../../contract/request.ts";

/** Higher first. */
export const PRIORITIES = 10;

/** As in JMS. */
export const DEFAULT_PRIORITY = 4;

/**
 * Where a message is: `writing` until it is on disk, then `ready`; `held` by who was delivered it, `delayed` after it was given back.
 */
export type MessageState = "writing" | "ready" | "held" | "delayed";

/** What is known of a message when it comes. */
export interface Envelope {
  /** Rises with every message of this node; never used twice. */
  readonly id: number;
  readonly topic: ByteString;
  /** 0 to 9. */
  readonly priority: number;
  /** The sender's own mark; empty for none. */
  readonly correlation: ByteString;
  /** When it was taken, by the wall clock. */
  readonly wallMs: number;
  /** The sender's IPv4 address as the original's header has it: host-order hexadecimal; `0` when it has none. */
  readonly ip: string;
  /** The sender's name. */
  readonly from: ByteString;
  readonly payload: ByteString;
}

/** A message from when it is taken until it is acknowledged or answered. */
export interface Message extends Envelope {
  /** Where it is now: its dead-letter topic once it has failed too often. */
  topic: ByteString;
  /** The topic it was sent to when that is no longer where it is; empty otherwise. */
  origin: ByteString;
  /** How often it was delivered. */
  deliveries: number;
  /** Why it was given back the last time; empty when nobody said. */
  reason: ByteString;
  state: MessageState;
  /** Whether a lane holds it. */
  queued: boolean;
  /** An acknowledgement is being written: it is delivered no more. */
  leaving: boolean;
  /** Acknowledged or answered, and that is on disk. */
  gone: boolean;
  /** When its delivery or delay ends, if it does. */
  due: Due | undefined;
  /** The segment of the log that holds its newest record, and that record's bytes; -1 while it is written. */
  segment: number;
  bytes: number;
}

/** A time at which a message is looked at again. It stands as long as it is the message's `due`. */
export interface Due {
  readonly atMs: number;
  readonly message: Message;
}

export function createMessage(envelope: Envelope): Message {
  const { id, topic, priority, correlation, wallMs, ip, from, payload } = envelope;
  return {
    id,
    topic,
    priority,
    correlation,
    wallMs,
    ip,
    from,
    payload,
    origin: "",
    deliveries: 0,
    reason: "",
    state: "writing",
    queued: false,
    leaving: false,
    gone: false,
    due: undefined,
    segment: -1,
    bytes: 0,
  };
}
