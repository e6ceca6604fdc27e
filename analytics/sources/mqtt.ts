import { messageOf } from "../../agent/contract/errors.ts";
import { createPairCounts, createPairParser } from "../pairs.ts";
import { isBlank, readNumber, readValue } from "../value.ts";
import type { Source, SourceOptions, SourceState } from "./source.ts";
import type { Broker, BrokerMessage } from "../../agent/contract/broker.ts";
import type { VariableValue } from "../../agent/contract/variable.ts";

export interface MqttSourceOptions extends SourceOptions {
  readonly broker: Broker;
  /** `virgo/analytics/#` */
  readonly filter: string;
  readonly qos: 0 | 1;
  /** Takes what the broker has stored, however old it is. */
  readonly retained: boolean;
}

export interface MqttSourceState extends SourceState {
  readonly messages: number;
  /** Left alone since the broker had stored them: nobody knows how old they are. */
  readonly retainedIgnored: number;
  /** Left alone since their `exp` has passed. */
  readonly expired: number;
}

const QUOTES = new Set([0x22, 0x27]);
const BRACE = 0x7b;
const EQUALS = 0x3d;

/** The longest name, the `=` and blanks. */
const BYTES_BESIDE_VALUE = 256;

/**
 * Variables by topic. A payload is one value, named by what the wildcards of the filter stand for (`virgo/analytics/gps/speed` is `gps_speed` with `virgo/analytics/#`), or
 * `name=value` pairs, or a JSON object of numbers, booleans, texts and lists of numbers. With `exp`, Unix time in milliseconds, as a field of the object or a user
 * property (MQTT 5), it is ignored once that has passed.
 */
export function startMqttSource(options: MqttSourceOptions): Source & { state(): MqttSourceState } {
  const { broker, filter, qos, retained, variables, limits, clock } = options;
  const name = `mqtt ${filter}`;
  const counts = createPairCounts();
  const intake = variables.intake(name, counts);
  const parser = createPairParser({ sink: intake, counts, maxPairBytes: limits.maxVariableBytes + BYTES_BESIDE_VALUE });
  const nameFrom = createNamer(filter);
  const own = { messages: 0, retainedIgnored: 0, expired: 0 };
  let errors = 0;
  let lastError: string | undefined;

  function take(message: BrokerMessage): void {
    own.messages += 1;
    if (message.retained && !retained) {
      own.retainedIgnored += 1;
      return;
    }
    const { exp } = message.properties;
    if (exp !== undefined && isPast(exp)) {
      own.expired += 1;
      return;
    }
    const bytes = bufferOf(message.payload);
    let start = 0;
    while (start < bytes.length && isBlank(bytes[start] as number)) start += 1;
    if (start === bytes.length) return;
    if (bytes[start] === BRACE) takeObject(bytes);
    else if (bytes.includes(EQUALS) && !QUOTES.has(bytes[start] as number)) takePairs(bytes);
    else takeOne(nameFrom(message.topic), bytes, start);
  }

  /** A time that is none has passed: what cannot be understood is not believed. */
  function isPast(exp: unknown): boolean {
    const untilMs = typeof exp === "string" && exp !== "" ? Number(exp) : exp;
    return typeof untilMs !== "number" || !(untilMs > clock.wallMs());
  }

  function takePairs(bytes: Buffer): void {
    parser.push(bytes);
    parser.finish();
  }

  function takeOne(variable: string, bytes: Buffer, start: number): void {
    let end = bytes.length;
    while (end > start && isBlank(bytes[end - 1] as number)) end -= 1;
    counts.bytes += bytes.length;
    intake.begin();
    const called = Buffer.from(variable);
    const number = readNumber(bytes, start, end);
    if (Number.isNaN(number)) intake.takeValue(called, 0, called.length, readValue(bytes, start, end));
    else intake.takeNumber(called, 0, called.length, number);
  }

  function takeObject(bytes: Buffer): void {
    counts.bytes += bytes.length;
    let fields: object;
    try {
      fields = JSON.parse(bytes.toString()) as object;
    } catch (error) {
      counts.malformed += 1;
      lastError = messageOf(error);
      return;
    }
    const { exp, ...values } = fields as Readonly<Record<string, unknown>>;
    if (exp !== undefined && isPast(exp)) {
      own.expired += 1;
      return;
    }
    intake.begin();
    for (const [variable, value] of Object.entries(values)) takeField(variable, value);
  }

  function takeField(variable: string, value: unknown): void {
    const called = Buffer.from(variable);
    if (typeof value === "number") intake.takeNumber(called, 0, called.length, value);
    else if (isVariableValue(value)) intake.takeValue(called, 0, called.length, value);
    // A field without a value is no mistake.
    else if (value !== null) counts.refused += 1;
  }

  const unsubscribe = broker.subscribe(
    filter,
    (message) => {
      take(message);
    },
    qos,
  );
  const cancelDisconnect = broker.onDisconnect((reason) => {
    errors += 1;
    lastError = reason;
  });
  return {
    name,
    state: () => ({
      connected: broker.connected,
      connections: broker.connected ? 1 : 0,
      ...counts,
      ...own,
      errors,
      lastError,
      lastRefusal: intake.lastRefusal(),
    }),
    close() {
      unsubscribe();
      cancelDisconnect();
      return Promise.resolve();
    },
  };
}

/** What the wildcards stand for, levels joined by `_`; the last level where there are none. */
function createNamer(filter: string): (topic: string) => string {
  const levels = filter.split("/");
  const wild = levels.findIndex((level) => level === "+" || level === "#");
  const from = wild < 0 ? levels.length - 1 : wild;
  return (topic) => {
    const tail = topic.split("/").slice(from);
    return (tail.length === 0 ? topic.split("/").slice(-1) : tail).join("_");
  };
}

function isVariableValue(value: unknown): value is VariableValue {
  if (typeof value === "boolean" || typeof value === "string") return true;
  return Array.isArray(value) && value.every((entry) => typeof entry === "number");
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
