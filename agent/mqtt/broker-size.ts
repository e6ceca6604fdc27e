/** A message that was under way, larger than any the broker has acknowledged. */
interface Trial {
  readonly topic: string;
  readonly bytes: number;
}

/** Taken for too large after so many connections. */
export interface TooLarge extends Trial {
  readonly losses: number;
}

/**
 * How large a message one broker takes that does not say it: MQTT 3.1.1 has no words for it, so the broker ends the connection, and whoever sends the message again
 * ends the next one. Sizes are of topic and payload, bytes.
 */
export interface BrokerSize {
  /** What is larger on that topic is not to be sent. */
  maxBytes(topic: string): number;
  /** Whether a message of that size may be sent now: what may be too large is sent alone, once the connection is known to carry others. */
  maySend(bytes: number): boolean;
  sent(topic: string, bytes: number): void;
  acknowledged(bytes: number): void;
  /** The connection has ended; `byBroker`: the other side ended it. Returns what is taken for too large from now on, if this was once too often. */
  lost(byBroker: boolean): TooLarge | undefined;
  /** Topics on which something was too large. */
  readonly topics: number;
}

/** Topics that are remembered; beyond it the one known longest is tried again. */
const MAX_TOPICS = 1000;

/**
 * A message is taken for too large when the broker has ended `maxLosses` connections in a row with it unacknowledged, though it had never acknowledged one as large,
 * and, but for the first time, had acknowledged others on the same connection. A network that fails says nothing about a message, nor does a broker that is restarted.
 */
export function createBrokerSize(maxLosses: number): BrokerSize {
  const largestTaken = new Map<string, number>();
  let largest = 0;
  let suspect: TooLarge | undefined;
  /** The largest that is under way. */
  let trial: Trial | undefined;
  let carries = false;

  function convict({ topic, bytes }: Trial): void {
    const [oldest] = largestTaken.keys();
    if (oldest !== undefined && largestTaken.size >= MAX_TOPICS) largestTaken.delete(oldest);
    largestTaken.set(topic, bytes - 1);
  }

  return {
    maxBytes: (topic) => largestTaken.get(topic) ?? Infinity,
    maySend: (bytes) => suspect === undefined || bytes <= largest || (carries && trial === undefined),
    sent(topic, bytes) {
      if (bytes > largest && (trial === undefined || bytes > trial.bytes)) trial = { topic, bytes };
    },
    acknowledged(bytes) {
      carries = true;
      largest = Math.max(largest, bytes);
      if (trial !== undefined && trial.bytes <= largest) trial = undefined;
      if (suspect !== undefined && suspect.bytes <= largest) suspect = undefined;
    },
    lost(byBroker) {
      const tried = trial;
      trial = undefined;
      carries = false;
      if (!byBroker || tried === undefined) return undefined;
      const before = suspect?.topic === tried.topic && suspect.bytes === tried.bytes ? suspect.losses : 0;
      const found = { ...tried, losses: before + 1 };
      suspect = found.losses < maxLosses ? found : undefined;
      if (suspect !== undefined) return undefined;
      convict(found);
      return found;
    },
    get topics() {
      return largestTaken.size;
    },
  };
}
