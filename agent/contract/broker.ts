import type { Cancel } from "./clock.ts";
import type { Figures } from "./request.ts";

/** One message as the broker delivered it. */
export interface BrokerMessage {
  readonly topic: string;
  /** Valid during the call only. */
  readonly payload: Uint8Array;
  /** It was stored by the broker, and may be as old as it likes. */
  readonly retained: boolean;
  /** It may have come before (quality of service 1). */
  readonly duplicate: boolean;
  readonly qos: 0 | 1 | 2;
  /** MQTT 5: where the answer goes, and what it carries so that it is known by whoever asked. */
  readonly responseTopic?: string | undefined;
  readonly correlation?: Uint8Array | undefined;
  /** MQTT 5: user properties; empty with 3.1.1. */
  readonly properties: Readonly<Record<string, string>>;
}

export interface PublishOptions {
  /** 0 when absent. */
  readonly qos?: 0 | 1;
  readonly retain?: boolean;
  /** MQTT 5: seconds after which the broker drops it; left out with 3.1.1. */
  readonly expiryS?: number;
  readonly responseTopic?: string;
  readonly correlation?: Uint8Array;
  readonly properties?: Readonly<Record<string, string>>;
}

/**
 * The connection to one MQTT broker, kept through every loss of it. What is published while there is none is refused, never kept: who wants it kept has an
 * outbox, and an order that waits is a stale order.
 */
export interface Broker {
  readonly connected: boolean;
  /** 5, or 4 for 3.1.1: without MQTT 5 there are no properties. */
  readonly protocol: 4 | 5;
  /** Resolves when it was handed to the connection and that has room for more (0) or acknowledged by the broker (1). Rejects NOT_READY without connection, FULL when too much waits, IO when it is lost before. */
  publish(topic: string, payload: string | Uint8Array, options?: PublishOptions): Promise<void>;
  /** Messages on topics that the filter covers, in order; subscribed again with every connection. What the listener throws is logged. */
  subscribe(filter: string, listener: (message: BrokerMessage) => void, qos?: 0 | 1): Cancel;
  /** Called with every connection, after what was subscribed is subscribed again; at once when there is one. */
  onConnect(listener: () => void): Cancel;
  /** Called when the connection is lost, with the reason. */
  onDisconnect(listener: (reason: string) => void): Cancel;
  figures(): Figures;
  /** Says goodbye: availability is published as offline before. */
  close(): Promise<void>;
}

/** What happens to a message that cannot be sent now: only the newest of its topic waits, in memory; it waits on disk, in order; it is dropped. */
export type StreamPolicy = "latest" | "queue" | "drop";

export interface OutboxMessage {
  readonly topic: string;
  readonly payload: string | Uint8Array;
  readonly policy: StreamPolicy;
  /** 0 when absent; what is queued is sent with 1. */
  readonly qos?: 0 | 1;
  readonly retain?: boolean;
}

/**
 * Messages to the broker that may have to wait for it. What is queued is on disk before it is sent, is sent in order, and stays until the broker has it, through every
 * restart of either; it carries the user property `id` (MQTT 5), by which a receiver knows what comes twice.
 */
export interface Outbox {
  /** Never blocks. Throws ARGUMENT for what is no topic, LIMIT for a message that is too large, FULL when too much waits for the disk. What is dropped later is counted. */
  send(message: OutboxMessage): void;
  figures(): Figures;
}
