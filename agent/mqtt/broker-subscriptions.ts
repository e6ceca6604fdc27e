import { AgentError } from "../contract/errors.ts";
import { checkFilter, createTopicMatcher } from "./broker-topics.ts";
import type { BrokerMessage } from "../contract/broker.ts";
import type { Cancel } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";
import type { Figures } from "../contract/request.ts";
import type { BrokerConnection } from "./broker-connection.ts";

type Listener = (message: BrokerMessage) => void;

/** One filter, however many listen. */
interface Subscription {
  readonly filter: string;
  readonly number: number;
  readonly covers: (topic: string) => boolean;
  readonly listeners: Set<{ readonly listener: Listener; readonly qos: 0 | 1 }>;
}

/** What is to be delivered, whichever connection there is. */
export interface Subscriptions {
  add(filter: string, listener: Listener, qos: 0 | 1, connection: () => BrokerConnection | undefined): Cancel;
  /** Subscribes everything once with a new connection. What the broker refuses is logged. Resolves also when the connection ends before. */
  renew(connection: BrokerConnection): Promise<void>;
  deliver(message: BrokerMessage, numbers: readonly number[] | undefined): void;
  figures(): Figures;
}

export function createSubscriptions(log: Log): Subscriptions {
  const byFilter = new Map<string, Subscription>();
  const byNumber = new Map<number, Subscription>();
  const counts = { received: 0, received_retained: 0, failures: 0 };
  let lastNumber = 0;

  function create(filter: string): Subscription {
    lastNumber += 1;
    const made = { filter, number: lastNumber, covers: createTopicMatcher(filter), listeners: new Set<never>() };
    byFilter.set(filter, made);
    byNumber.set(made.number, made);
    return made;
  }

  /** The highest that one of its listeners asks for. */
  function qosOf({ listeners }: Subscription): 0 | 1 {
    for (const { qos } of listeners) if (qos === 1) return 1;
    return 0;
  }

  async function subscribe(connection: BrokerConnection, subscription: Subscription): Promise<void> {
    try {
      await connection.subscribe(subscription.filter, subscription.number, qosOf(subscription));
    } catch (error) {
      // Otherwise the connection ended, and with the next one it is subscribed again.
      if (!(error instanceof AgentError) || error.code !== "DENIED") return;
      counts.failures += 1;
      log.warn({ filter: subscription.filter }, error.message);
    }
  }

  function hand(subscription: Subscription, message: BrokerMessage): void {
    for (const { listener } of subscription.listeners) {
      try {
        listener(message);
      } catch (error) {
        counts.failures += 1;
        log.error({ topic: message.topic, err: error }, `mqtt: a message on ${message.topic} could not be taken`);
      }
    }
  }

  return {
    add(filter, listener, qos, connection) {
      checkFilter(filter);
      const known = byFilter.get(filter);
      const subscription = known ?? create(filter);
      const before = known === undefined ? -1 : qosOf(subscription);
      const entry = { listener, qos };
      subscription.listeners.add(entry);
      const now = connection();
      if (now !== undefined && qosOf(subscription) > before) void subscribe(now, subscription);
      return () => {
        if (!subscription.listeners.delete(entry) || subscription.listeners.size > 0) return;
        byFilter.delete(filter);
        byNumber.delete(subscription.number);
        connection()?.unsubscribe(filter);
      };
    },
    async renew(connection) {
      await Promise.all([...byFilter.values()].map((subscription) => subscribe(connection, subscription)));
    },
    deliver(message, numbers) {
      counts.received += 1;
      if (message.retained) counts.received_retained += 1;
      if (numbers === undefined) {
        for (const subscription of byFilter.values()) if (subscription.covers(message.topic)) hand(subscription, message);
        return;
      }
      for (const number of numbers) {
        const subscription = byNumber.get(number);
        if (subscription !== undefined) hand(subscription, message);
      }
    },
    figures: () => ({ subscriptions: byFilter.size, ...counts }),
  };
}
