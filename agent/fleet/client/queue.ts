import { bytesIn, optionWords, wordOf, type Argument } from "./words.ts";
import type { Value } from "../../contract/value.ts";
import type { Hub } from "./hub.ts";

/** A message, on the node that keeps it. */
export interface Ticket {
  readonly node: string;
  readonly id: number;
}

export interface Message extends Ticket {
  readonly topic: string;
  readonly payload: Buffer;
  /** How often it was delivered, this time included. */
  readonly deliveries: number;
  readonly priority: number;
  /** The sender's own mark. */
  readonly correlation: string | null;
  readonly from: string;
  readonly wallMs: number;
  /** The topic it was sent to, when it is in a dead-letter topic. */
  readonly origin: string | null;
  /** Why it was given back the last time. */
  readonly reason: string | null;
}

export interface EnqueueOptions {
  readonly topic?: string;
  /** 0 to 9, higher first. */
  readonly priority?: number;
  readonly correlation?: string;
  readonly node?: string;
}

export interface DequeueOptions {
  readonly topic?: string;
  /** How long to wait for a message, milliseconds. Nothing else that is asked waits behind it. */
  readonly waitMs?: number;
  /** It is delivered again unless acknowledged by then, milliseconds. */
  readonly visibilityMs?: number;
  readonly node?: string;
}

export interface QueueVerbs {
  /** Resolves once the message is on disk. */
  enqueue(payload: Argument, options?: EnqueueOptions): Promise<Ticket>;
  /** Undefined when none came in time. */
  dequeue(options?: DequeueOptions): Promise<Message | undefined>;
  ack(message: Ticket): Promise<void>;
  /** Gives it back: it is delivered again, or put aside after too many times. */
  nack(message: Ticket, options?: { readonly delayMs?: number; readonly reason?: string }): Promise<void>;
  /** Acknowledges with an answer for whoever sent it. */
  reply(message: Ticket, payload: Argument): Promise<void>;
  /** The answer to a message; undefined when none came in time. */
  await(ticket: Ticket, options?: { readonly waitMs?: number }): Promise<Buffer | undefined>;
  /** Topics, or one of them, with what is ready and in flight. */
  stat(topic?: string, options?: { readonly node?: string }): Promise<Value>;
}

export function createQueueVerbs(hub: Hub): QueueVerbs {
  return {
    async enqueue(payload, { topic, priority, correlation, node } = {}) {
      const options = optionWords({ TOPIC: topic, PRIORITY: priority, CORRELATION: correlation });
      const answer = await hub.ask("ENQUEUE", [wordOf(payload), ...options], { node });
      return { node: answer.node, id: Number(answer.value) };
    },
    async dequeue({ topic, waitMs, visibilityMs, node } = {}) {
      const options = optionWords({ TOPIC: topic, WAIT: waitMs, VISIBILITY: visibilityMs });
      const { value, node: from } = await hub.ask("DEQUEUE", options, { node, waitMs });
      if (value === null) return undefined;
      const message = value as unknown as Omit<Message, "payload" | "node"> & { readonly payload: Value };
      return { ...message, payload: bytesIn(message.payload), node: from };
    },
    async ack({ node, id }) {
      await hub.ask("ACK", [String(id)], { node });
    },
    async nack({ node, id }, { delayMs, reason } = {}) {
      await hub.ask("NACK", [String(id), ...optionWords({ DELAY: delayMs, REASON: reason })], { node });
    },
    async reply({ node, id }, payload) {
      await hub.ask("REPLY", [String(id), wordOf(payload)], { node });
    },
    async await({ node, id }, { waitMs } = {}) {
      const { value } = await hub.ask("AWAIT", [String(id), ...optionWords({ WAIT: waitMs })], { node, waitMs });
      return value === null ? undefined : bytesIn(value);
    },
    async stat(topic, { node } = {}) {
      return (await hub.ask("QSTAT", topic === undefined ? [] : [topic], { node })).value;
    },
  };
}
