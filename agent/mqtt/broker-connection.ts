import { Socket } from "node:net";

import { AgentError, messageOf, toAgentError } from "../contract/errors.ts";
import { codeOf, refusedAs } from "./broker-refusal.ts";
import type { IClientOptions, IConnackPacket, IPublishPacket, MqttClient } from "mqtt";
import type { BrokerMessage, PublishOptions } from "../contract/broker.ts";
import type { MqttOptions } from "./options.ts";

/** What a connection is secured with, as it was read just before. */
export interface BrokerSecrets {
  readonly password?: string | undefined;
  readonly ca?: string | undefined;
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
}

export interface ConnectionOptions {
  readonly url: string;
  readonly options: MqttOptions;
  readonly clientId: string;
  readonly secrets: BrokerSecrets;
  /** Published by the broker when the connection ends without a goodbye. */
  readonly will: { readonly topic: string; readonly payload: string };
  /** `subscriptions`: numbers of those that it is delivered for; undefined when the broker does not say. */
  readonly onMessage: (message: BrokerMessage, subscriptions: readonly number[] | undefined) => void;
  /** Once, when an opened connection has ended; `byBroker`: the other side has ended it, which is neither silence nor us. */
  readonly onClose: (reason: string, byBroker: boolean) => void;
  /** Gives up opening. */
  readonly signal: AbortSignal;
}

/** One connection to one broker, from its beginning to its end. */
export interface BrokerConnection {
  /** Messages with quality of service 1 that the broker lets wait for their acknowledgement. */
  readonly receiveMaximum: number;
  /** The largest packet the broker takes. */
  readonly maxPacketBytes: number;
  /** Bytes that were written and that the kernel has not taken yet. */
  readonly backlogBytes: number;
  /** Resolves when the kernel has taken what was written, or the connection has ended; undefined while there is room for more. */
  drained(): Promise<void> | undefined;
  /** `done` is told once: with quality of service 1 when it is acknowledged, undefined, or refused; not at all when the connection ends before. */
  publish(topic: string, payload: string | Uint8Array, options: PublishOptions, done: (refused: AgentError | undefined) => void): void;
  /** Rejects DENIED when the broker refuses it, IO when the connection ends before. */
  subscribe(filter: string, number: number, qos: 0 | 1): Promise<void>;
  unsubscribe(filter: string): void;
  /** Says goodbye: the broker does not publish the will. */
  end(): void;
  /** Ends at once: the broker publishes the will. */
  drop(): void;
}

/** MQTT 5, section 3.2.2.3.3: where the broker says nothing. */
const MAX_RECEIVE = 65_535;
/** MQTT 5, section 2.1.4: the largest remaining length, with the fixed header. */
const MAX_PACKET_BYTES = 268_435_460;
/** Beside its payload a message has a topic and properties. */
const BYTES_BESIDE_PAYLOAD = 131_072;

/** Rejects IO or DENIED, with what the broker or the network said. The library is loaded with the first one. */
export async function openConnection(from: ConnectionOptions): Promise<BrokerConnection> {
  const { url, options, onMessage, onClose, signal } = from;
  // Names of a CommonJS package are found in Node's own import of it, and not in that of the built program; its default is the package in both.
  const { connect } = (await import("mqtt")).default;
  if (signal.aborted) throw new AgentError("IO", `mqtt: ${url}: given up`);
  const client = connecting(() => connect(url, clientOptions(from)), url);
  quicken(client);
  let reason = "ended by the broker";
  let endedHere = false;
  let refused: unknown;
  client.on("error", (error) => {
    reason = messageOf(error);
    refused = error;
    endedHere = !PEER_ENDED.has(codeOf(error));
    client.end(true);
  });
  client.on("disconnect", (packet) => {
    reason = packet.properties?.reasonString ?? `ended by the broker with reason code ${packet.reasonCode ?? 0}`;
  });
  const giveUp = (): void => {
    reason = "given up";
    client.end(true);
  };
  signal.addEventListener("abort", giveUp, { once: true });
  const connack = await new Promise<IConnackPacket>((resolve, reject) => {
    client.once("connect", resolve);
    client.once("close", () => {
      reject(refusedAs(url, refused, reason));
    });
  }).finally(() => {
    signal.removeEventListener("abort", giveUp);
  });
  client.on("message", (topic, payload, packet) => {
    onMessage(messageFrom(topic, payload, packet), subscriptionsOf(packet));
  });
  client.once("close", () => {
    client.removeAllListeners("message");
    onClose(reason, !endedHere);
  });
  return connectionOf(client, url, options, connack);
}

/** What is wrong with a certificate or key is thrown at once. */
function connecting(begin: () => MqttClient, url: string): MqttClient {
  try {
    return begin();
  } catch (error) {
    throw refusedAs(url, error, messageOf(error));
  }
}

function clientOptions({ options, clientId, secrets, will }: ConnectionOptions): IClientOptions {
  const { protocol, keepAliveS, connectMs, user, maxMessageBytes } = options;
  return {
    protocolVersion: protocol,
    clientId,
    // Nothing is kept for this client while it is away: an order that waited is a stale order.
    clean: true,
    keepalive: keepAliveS,
    connectTimeout: connectMs,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    will: { ...will, payload: Buffer.from(will.payload), qos: 1, retain: true },
    ...(protocol === 5 ? { properties: { maximumPacketSize: maxMessageBytes + BYTES_BESIDE_PAYLOAD } } : {}),
    ...given({ username: user, password: secrets.password, ca: secrets.ca, cert: secrets.certificate, key: secrets.key }),
  };
}

function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** Small packets are sent at once: otherwise each waits for the other side's delayed acknowledgement, 40 ms with Linux. */
function quicken({ stream }: MqttClient): void {
  // Under a web socket there is no such thing: its library does it.
  if (stream instanceof Socket) stream.setNoDelay(true);
}

/** What the network says of a connection that the other side has ended while we wrote. */
const PEER_ENDED: ReadonlySet<unknown> = new Set(["ECONNRESET", "EPIPE", "ECONNABORTED"]);

const NO_PROPERTIES: Readonly<Record<string, string>> = Object.freeze({});

function messageFrom(topic: string, payload: Uint8Array, packet: IPublishPacket): BrokerMessage {
  const { retain, dup, qos, properties } = packet;
  return {
    topic,
    payload,
    retained: retain,
    duplicate: dup,
    qos,
    responseTopic: properties?.responseTopic,
    correlation: properties?.correlationData,
    properties: properties?.userProperties === undefined ? NO_PROPERTIES : firstOfEach(properties.userProperties),
  };
}

/** A property may be there several times; the first counts. */
function firstOfEach(properties: Readonly<Record<string, string | string[]>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [name, typeof value === "string" ? value : (value[0] ?? "")]),
  );
}

function subscriptionsOf({ properties }: IPublishPacket): readonly number[] | undefined {
  const numbers: number | readonly number[] | undefined = properties?.subscriptionIdentifier;
  return typeof numbers === "number" ? [numbers] : numbers;
}

function connectionOf(
  client: MqttClient,
  url: string,
  { protocol }: MqttOptions,
  { properties: server }: IConnackPacket,
): BrokerConnection {
  const numbered = protocol === 5 && server?.subscriptionIdentifiersAvailable !== false;
  let drained: Promise<void> | undefined;
  return {
    receiveMaximum: server?.receiveMaximum ?? MAX_RECEIVE,
    maxPacketBytes: server?.maximumPacketSize ?? MAX_PACKET_BYTES,
    get backlogBytes() {
      return client.stream.writableLength;
    },
    drained() {
      if (client.stream.writableNeedDrain) {
        drained ??= drainOf(client).then(() => {
          drained = undefined;
        });
      }
      return drained;
    },
    publish(topic, payload, options, done) {
      const { qos = 0, retain = false } = options;
      const bytes = typeof payload === "string" ? payload : asBuffer(payload);
      const packet = protocol === 5 ? { qos, retain, properties: propertiesOf(options) } : { qos, retain };
      if (qos === 0) {
        client.publish(topic, bytes, packet);
        done(undefined);
        return;
      }
      client.publish(topic, bytes, packet, (error) => {
        if (!(error instanceof Error)) done(undefined);
        // Without a code it is the connection that ended, which is told once for all.
        else if (typeof codeOf(error) === "number") {
          done(new AgentError("DENIED", `mqtt: ${url} refuses a message on ${topic}: ${messageOf(error)}`, { cause: error }));
        }
      });
    },
    subscribe: (filter, number, qos) =>
      new Promise((resolve, reject) => {
        const properties = numbered ? { properties: { subscriptionIdentifier: number } } : {};
        client.subscribe(filter, { qos, ...properties }, (error, granted) => {
          if (error === null && granted?.every((grant) => grant.qos < 128) !== false) resolve();
          else if (client.connected)
            reject(
              new AgentError(
                "DENIED",
                `mqtt: ${url} refuses to deliver ${filter}: ${error === null ? "no reason given" : messageOf(error)}`,
              ),
            );
          else reject(toAgentError(error));
        });
      }),
    unsubscribe(filter) {
      client.unsubscribe(filter);
    },
    end() {
      client.end();
    },
    drop() {
      client.end(true);
      // It does nothing when a goodbye is under way.
      client.stream.destroy();
    },
  };
}

/** One listener, however many wait. */
function drainOf({ stream }: MqttClient): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      stream.off("drain", settle).off("close", settle);
      resolve();
    };
    stream.on("drain", settle).on("close", settle);
  });
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function propertiesOf({ expiryS, responseTopic, correlation, properties }: PublishOptions): NonNullable<IPublishPacket["properties"]> {
  const given: NonNullable<IPublishPacket["properties"]> = {};
  if (expiryS !== undefined) given.messageExpiryInterval = expiryS;
  if (responseTopic !== undefined) given.responseTopic = responseTopic;
  if (correlation !== undefined) given.correlationData = asBuffer(correlation);
  if (properties !== undefined) given.userProperties = { ...properties };
  return given;
}
