import type { Broker } from "../contract/broker.ts";

/** Publishes what is retained: the newest of a topic is all anybody needs, so what could not be published is given again later, not kept. */
export interface RetainedPublisher {
  /** Nothing is published twice in a row unless `again`. */
  put(topic: string, text: string, again?: boolean): void;
  /** Nothing is known to be with the broker any more. */
  forget(): void;
  /** Messages that did not get to the broker. */
  readonly missing: number;
  readonly published: number;
}

export function createRetainedPublisher(broker: Broker): RetainedPublisher {
  const sent = new Map<string, string>();
  let missing = 0;
  let published = 0;

  return {
    put(topic, text, again = false) {
      if (!broker.connected || (!again && sent.get(topic) === text)) return;
      sent.set(topic, text);
      broker.publish(topic, text, { retain: true, qos: 1 }).then(
        () => published++,
        () => {
          missing++;
          if (sent.get(topic) === text) sent.delete(topic);
        },
      );
    },
    forget() {
      sent.clear();
    },
    get missing() {
      return missing;
    },
    get published() {
      return published;
    },
  };
}
