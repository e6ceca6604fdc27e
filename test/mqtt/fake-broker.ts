import { createTopicMatcher } from "../../agent/mqtt/broker-topics.ts";
import { AgentError } from "../../agent/contract/errors.ts";
import type { Broker, BrokerMessage, PublishOptions } from "../../agent/contract/broker.ts";

export interface Published {
  readonly topic: string;
  readonly payload: string;
  readonly options: PublishOptions;
}

/** A broker in the test's hands: what was published, what arrives, and whether it is there. */
export interface FakeBroker extends Broker {
  readonly published: Published[];
  /** The newest payload published on the topic. */
  last(topic: string): string | undefined;
  /** As the broker delivers it, to whoever subscribed. */
  deliver(topic: string, payload: string, more?: Partial<BrokerMessage>): void;
  connect(): void;
  lose(reason: string): void;
}

export function createFakeBroker(): FakeBroker {
  const subscriptions = new Set<{ readonly matches: (topic: string) => boolean; readonly listener: (message: BrokerMessage) => void }>();
  const connects = new Set<() => void>();
  const disconnects = new Set<(reason: string) => void>();
  const published: Published[] = [];
  let connected = false;
  return {
    protocol: 5,
    get connected() {
      return connected;
    },
    published,
    last: (topic) => published.findLast((message) => message.topic === topic)?.payload,
    async publish(topic, payload, options = {}) {
      if (!connected) throw new AgentError("NOT_READY", "the broker is not connected");
      published.push({ topic, payload: Buffer.from(payload).toString("utf8"), options });
    },
    subscribe(filter, listener) {
      const subscription = { matches: createTopicMatcher(filter), listener };
      subscriptions.add(subscription);
      return () => subscriptions.delete(subscription);
    },
    onConnect(listener) {
      connects.add(listener);
      if (connected) listener();
      return () => connects.delete(listener);
    },
    onDisconnect(listener) {
      disconnects.add(listener);
      return () => disconnects.delete(listener);
    },
    figures: () => ({}),
    close: async () => undefined,
    deliver(topic, payload, more = {}) {
      const message: BrokerMessage = {
        topic,
        payload: Buffer.from(payload),
        retained: false,
        duplicate: false,
        qos: 1,
        properties: {},
        ...more,
      };
      for (const { matches, listener } of subscriptions) if (matches(topic)) listener(message);
    },
    connect() {
      connected = true;
      for (const listener of connects) listener();
    },
    lose(reason) {
      connected = false;
      for (const listener of disconnects) listener(reason);
    },
  };
}
