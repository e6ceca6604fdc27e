import { AgentError, messageOf, toAgentError, type ErrorCode } from "../contract/errors.ts";
import { createBrokerSize, type BrokerSize } from "./broker-size.ts";
import { openConnection, type BrokerConnection, type BrokerSecrets } from "./broker-connection.ts";
import { createSubscriptions } from "./broker-subscriptions.ts";
import { checkTopic } from "./broker-topics.ts";
import type { Broker, PublishOptions } from "../contract/broker.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";
import type { MqttOptions } from "./options.ts";

export interface BrokerDependencies {
  /** Name of this node. */
  readonly node: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Read again for every connection, so that what has expired may be replaced. */
  readonly readSecrets: () => Promise<BrokerSecrets>;
  /** 0 to 1; spreads the attempts of many nodes. */
  readonly random?: () => number;
}

/** A broker that is not connected to before it is told to. */
export interface OpenBroker extends Broker {
  /** Begins to connect, and goes on until closed. */
  start(): void;
}

/** A message that is not acknowledged yet. */
interface Waiting {
  readonly topic: string;
  readonly payload: string | Uint8Array;
  /** Of topic and payload. */
  readonly bytes: number;
  readonly options: PublishOptions;
  readonly resolve: () => void;
  readonly reject: (error: AgentError) => void;
}

/** Whoever does not take the goodbye in this time does not get it; then the broker publishes the will, which says the same. */
const GOODBYE_MS = 1000;

/** Topic and properties beside the payload, at least. */
const BYTES_BESIDE = 64;

/** Two clients of one name throw each other off the broker (MQTT 5, section 3.1.4), each as soon as it has tried again. */
const BRIEF_CONNECTIONS = 3;
const BRIEF_MS = 30_000;

/**
 * One broker at a time out of `url` and `fallbackUrls`. Connects again after every loss, with pauses that double up to `retryMaxMs` once all were tried, each between half
 * of it and all; a connection that lasted `retryMaxMs` starts them anew. Says `online` on `<base>/<node>/status`, retained, with each connection, and has the broker say
 * `offline` when it is lost.
 */
export function createBroker(options: MqttOptions, dependencies: BrokerDependencies): OpenBroker {
  const { node, clock, log, readSecrets, random = Math.random } = dependencies;
  const { base, protocol, retryMinMs, retryMaxMs, maxLosses, maxWaiting, maxMessageBytes, maxBacklogBytes } = options;
  const urls = [options.url, ...options.fallbackUrls];
  const statusTopic = `${base}/${node}/status`;
  const clientId = options.clientId ?? `virgo-${node}`;
  const subscriptions = createSubscriptions(log);
  const connectListeners = new Set<() => void>();
  const disconnectListeners = new Set<(reason: string) => void>();
  const waiting: Waiting[] = [];
  const inFlight = new Set<Waiting>();
  const sizes = new Map(urls.map((url) => [url, createBrokerSize(maxLosses)] as const));
  const counts = { attempts: 0, connections: 0, losses: 0, published: 0, refused: 0, lost: 0 };
  let connection: BrokerConnection | undefined;
  /** Of the broker there is, or was, a connection to. */
  let size = sizes.get(options.url) as BrokerSize;
  /** Subscribed again, and said to be online. */
  let ready = false;
  let openedMs = 0;
  /** Connections in a row that the broker ended soon after it had taken them. */
  let brief = 0;
  let at = 0;
  let pauseMs = retryMinMs;
  let cancelRetry: Cancel | undefined;
  let giveUp: AbortController | undefined;
  let opening: Promise<void> | undefined;
  let reported = false;
  let lastError = "";
  let lastCode: ErrorCode = "IO";
  /** Why a connection was ended from here. */
  let late: string | undefined;
  let onGone: (() => void) | undefined;
  let closing: Promise<void> | undefined;

  function start(): void {
    if (closing === undefined) opening ??= attempt();
  }

  async function attempt(): Promise<void> {
    const url = urls[at % urls.length] as string;
    counts.attempts += 1;
    giveUp = new AbortController();
    let opened: BrokerConnection;
    try {
      opened = await openConnection({
        url,
        options,
        clientId,
        secrets: await readSecrets(),
        will: { topic: statusTopic, payload: "offline" },
        onMessage: (message, numbers) => subscriptions.deliver(message, numbers),
        onClose: (reason, byBroker) => lose(url, reason, byBroker),
        signal: giveUp.signal,
      });
    } catch (error) {
      fail(messageOf(error), toAgentError(error).code);
      return;
    }
    await welcome(url, opened);
  }

  async function welcome(url: string, opened: BrokerConnection): Promise<void> {
    connection = opened;
    size = sizes.get(url) as BrokerSize;
    openedMs = clock.monotonicMs();
    counts.connections += 1;
    const cancelLimit = clock.after(options.connectMs, () => {
      late = `subscriptions were not acknowledged within ${options.connectMs} ms`;
      opened.drop();
    });
    await subscriptions.renew(opened);
    cancelLimit();
    if (connection !== opened) return;
    opened.publish(statusTopic, "online", { qos: 1, retain: true }, noteStatus);
    ready = true;
    reported = false;
    lastError = "";
    log.info({ broker: url }, `mqtt: connected to ${url}`);
    for (const listener of connectListeners) tell(listener);
  }

  function noteStatus(refused: AgentError | undefined): void {
    size.acknowledged(0);
    sendWaiting();
    if (refused === undefined) return;
    lastError = refused.message;
    lastCode = refused.code;
    log.warn({ topic: statusTopic }, `${refused.message}; nobody is told that this node is there`);
  }

  /** The opened connection has ended. */
  function lose(url: string, why: string, byBroker: boolean): void {
    brief = byBroker && late === undefined && clock.monotonicMs() - openedMs < BRIEF_MS ? brief + 1 : 0;
    const reason = (late ?? why) + (brief >= BRIEF_CONNECTIONS ? `; is another client called ${clientId}? One name is connected once` : "");
    const tooLarge = size.lost(byBroker && late === undefined && closing === undefined);
    late = undefined;
    const wasReady = ready;
    if (clock.monotonicMs() - openedMs >= retryMaxMs) pauseMs = retryMinMs;
    connection = undefined;
    ready = false;
    counts.losses += 1;
    if (tooLarge !== undefined) {
      const { topic, bytes, losses } = tooLarge;
      log.warn(
        { broker: url, topic, bytes },
        `mqtt: ${url} has ended ${losses} connections in a row before ${bytes} bytes on ${topic} were acknowledged; ` +
          "nothing as large is sent there on this topic any more: raise the broker's limit, then start the agent anew",
      );
    }
    rejectAll(url, reason);
    onGone?.();
    if (wasReady) for (const listener of disconnectListeners) tell(() => listener(reason));
    fail(`mqtt: ${url}: ${reason}`, "IO");
  }

  function rejectAll(url: string, reason: string): void {
    const unanswered = [...inFlight, ...waiting];
    inFlight.clear();
    waiting.length = 0;
    counts.lost += unanswered.length;
    for (const { topic, reject } of unanswered) {
      reject(
        new AgentError("IO", `mqtt: the connection to ${url} was lost before ${topic} was acknowledged: ${reason}; it may have arrived`),
      );
    }
  }

  /** Goes on with the next broker after a pause. */
  function fail(reason: string, code: ErrorCode): void {
    opening = undefined;
    lastError = reason;
    lastCode = code;
    if (closing !== undefined) return;
    // One line per loss, not one per attempt.
    if (!reported) log.warn({ broker: urls[at % urls.length], code }, `${reason}; trying again until it is there`);
    reported = true;
    at += 1;
    const delayMs = pauseMs * (0.5 + random() / 2);
    if (at % urls.length === 0) pauseMs = Math.min(pauseMs * 2, retryMaxMs);
    cancelRetry = clock.after(delayMs, start);
  }

  function tell(listener: () => void): void {
    try {
      listener();
    } catch (error) {
      log.error({ err: error }, "mqtt: what follows from a connection failed");
    }
  }

  /** Throws when it cannot be sent. */
  function admit(topic: string, payload: string | Uint8Array, qos: 0 | 1): BrokerConnection {
    checkTopic(topic);
    const byteLength = byteLengthOf(payload);
    const topicBytes = Buffer.byteLength(topic);
    const largest = Math.min(
      maxMessageBytes,
      (connection?.maxPacketBytes ?? Infinity) - BYTES_BESIDE - topicBytes,
      size.maxBytes(topic) - topicBytes,
    );
    if (byteLength > largest) {
      throw new AgentError("LIMIT", `mqtt: ${byteLength} bytes on ${topic} are refused; at most ${largest} are sent as one message`);
    }
    if (connection === undefined || closing !== undefined) {
      throw new AgentError("NOT_READY", `mqtt: not connected to a broker${lastError === "" ? "" : `: ${lastError}`}; try again later`);
    }
    if (connection.backlogBytes > maxBacklogBytes) {
      throw new AgentError(
        "FULL",
        `mqtt: ${connection.backlogBytes} bytes wait for the network, at most ${maxBacklogBytes} may; try again later`,
      );
    }
    if (qos === 1 && inFlight.size + waiting.length >= maxWaiting) {
      throw new AgentError("FULL", `mqtt: ${maxWaiting} messages wait for the broker's acknowledgement, no more may; try again later`);
    }
    return connection;
  }

  async function publish(topic: string, payload: string | Uint8Array, publishing: PublishOptions = {}): Promise<void> {
    const { qos = 0 } = publishing;
    let admitted: BrokerConnection;
    try {
      admitted = admit(topic, payload, qos);
    } catch (error) {
      counts.refused += 1;
      throw error;
    }
    if (qos === 0) {
      counts.published += 1;
      admitted.publish(topic, payload, publishing, nothing);
      await admitted.drained();
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const bytes = Buffer.byteLength(topic) + byteLengthOf(payload);
      waiting.push({ topic, payload, bytes, options: publishing, resolve, reject });
      sendWaiting();
    });
  }

  /** As many as the broker lets be unacknowledged. */
  function sendWaiting(): void {
    while (connection !== undefined && inFlight.size < connection.receiveMaximum) {
      const [next] = waiting;
      if (next === undefined || !size.maySend(next.bytes)) return;
      waiting.shift();
      send(connection, next);
    }
  }

  function send(over: BrokerConnection, message: Waiting): void {
    inFlight.add(message);
    size.sent(message.topic, message.bytes);
    over.publish(message.topic, message.payload, message.options, (refused) => {
      if (!inFlight.delete(message)) return;
      size.acknowledged(message.bytes);
      if (refused === undefined) {
        counts.published += 1;
        message.resolve();
      } else {
        counts.refused += 1;
        message.reject(refused);
      }
      sendWaiting();
    });
  }

  async function close(): Promise<void> {
    cancelRetry?.();
    const last = connection;
    if (last === undefined || !ready) giveUp?.abort();
    else {
      await within(GOODBYE_MS, (done) => {
        onGone = done;
        last.publish(statusTopic, "offline", { qos: 1, retain: true }, done);
      });
      await within(GOODBYE_MS, (done) => {
        onGone = done;
        if (connection === undefined) done();
        else last.end();
      });
    }
    connection?.drop();
    await opening;
  }

  function within(limitMs: number, begin: (done: () => void) => void): Promise<void> {
    return new Promise((resolve) => {
      const cancel = clock.after(limitMs, resolve);
      begin(() => {
        cancel();
        resolve();
      });
    });
  }

  return {
    get connected() {
      return connection !== undefined && closing === undefined;
    },
    protocol,
    start,
    publish,
    subscribe(filter, listener, qos = 0) {
      return subscriptions.add(filter, listener, qos, () => connection);
    },
    onConnect(listener) {
      connectListeners.add(listener);
      if (ready) tell(listener);
      return () => {
        connectListeners.delete(listener);
      };
    },
    onDisconnect(listener) {
      disconnectListeners.add(listener);
      return () => {
        disconnectListeners.delete(listener);
      };
    },
    figures: () => ({
      connected: ready ? 1 : 0,
      broker: urls[at % urls.length] as string,
      protocol,
      ...counts,
      waiting: inFlight.size + waiting.length,
      topics_too_large: size.topics,
      ...subscriptions.figures(),
      ...(lastError === "" ? {} : { last_error_code: lastCode, last_error: lastError }),
    }),
    close: () => (closing ??= close()),
  };
}

function byteLengthOf(payload: string | Uint8Array): number {
  return typeof payload === "string" ? Buffer.byteLength(payload) : payload.length;
}

function nothing(): void {
  // Nobody waits for what is not acknowledged.
}
