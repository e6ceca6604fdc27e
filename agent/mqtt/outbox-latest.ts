import { AgentError, toAgentError } from "../contract/errors.ts";
import type { Broker } from "../contract/broker.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { Figures } from "../contract/request.ts";

export interface LatestMessage {
  readonly topic: string;
  readonly payload: string | Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
}

export interface LatestOptions {
  readonly broker: Broker;
  readonly maxTopics: number;
  readonly clock: Clock;
  readonly retryMs: number;
  /** It will never be sent. */
  readonly onRefused: (topic: string, error: AgentError) => void;
}

/** The newest message of each topic until the broker has it. Not on disk: after a restart there are newer ones. */
export interface Latest {
  /** Throws FULL when too many topics wait. */
  set(message: LatestMessage): void;
  figures(): Figures;
  close(): void;
}

const FINAL: ReadonlySet<string> = new Set(["ARGUMENT", "LIMIT", "DENIED"]);

/** One message of a topic is under way at a time, so that an older one can never come after a newer. */
export function createLatest({ broker, maxTopics, clock, retryMs, onRefused }: LatestOptions): Latest {
  const waiting = new Map<string, LatestMessage>();
  const underWay = new Set<string>();
  const counts = { latest_sent: 0, latest_replaced: 0 };
  let cancelRetry: Cancel | undefined;
  let closed = false;
  const unsubscribe = broker.onConnect(sendAll);

  function sendAll(): void {
    for (const message of waiting.values()) send(message);
  }

  function send(message: LatestMessage): void {
    const { topic, payload, qos, retain } = message;
    if (underWay.has(topic) || !broker.connected || closed) return;
    underWay.add(topic);
    broker.publish(topic, payload, { qos, retain }).then(
      () => {
        counts.latest_sent += 1;
        conclude(message);
      },
      (thrown: unknown) => {
        const error = toAgentError(thrown);
        if (FINAL.has(error.code)) {
          onRefused(topic, error);
          conclude(message);
          return;
        }
        underWay.delete(topic);
        retry();
      },
    );
  }

  /** It is through; a newer one may have come meanwhile. */
  function conclude(message: LatestMessage): void {
    const { topic } = message;
    underWay.delete(topic);
    const newest = waiting.get(topic);
    if (newest === message) waiting.delete(topic);
    else if (newest !== undefined) send(newest);
  }

  function retry(): void {
    if (closed) return;
    cancelRetry ??= clock.after(retryMs, () => {
      cancelRetry = undefined;
      sendAll();
    });
  }

  return {
    set(message) {
      const { topic } = message;
      if (waiting.has(topic)) counts.latest_replaced += 1;
      else if (waiting.size >= maxTopics) {
        throw new AgentError(
          "FULL",
          `mqtt: the newest messages of ${maxTopics} topics wait for the broker, no more may; ${topic} is refused`,
        );
      }
      waiting.set(topic, message);
      send(message);
    },
    figures: () => ({ ...counts, latest_waiting: waiting.size }),
    close() {
      closed = true;
      cancelRetry?.();
      unsubscribe();
    },
  };
}
