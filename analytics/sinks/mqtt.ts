import { messageOf } from "../../agent/contract/errors.ts";
import { linesText, pairText } from "./lines.ts";
import { createSelection } from "./selection.ts";
import { createSinkCounts, rulesOf, type Sink, type SinkOptions } from "./sink.ts";
import type { Broker, Outbox } from "../../agent/contract/broker.ts";
import type { Cancel } from "../../agent/contract/clock.ts";
import type { Variable } from "../../agent/contract/variable.ts";
import type { MqttSinkOptions } from "./options.ts";

export interface MqttSinkStart extends SinkOptions, Pick<MqttSinkOptions, "policy" | "qos" | "retain" | "format"> {
  /** `site/{name}`: a message for each variable; without `{name}` one message for all that is sent together. */
  readonly topic: string;
  readonly broker: Broker;
  readonly outbox: Outbox;
}

const PLACE_OF_NAME = "{name}";

/** What no topic may have. */
const WILDCARDS = /[#+\0]/g;

/** After the broker could take no more. */
const RETRY_MS = 250;

/**
 * Publishes variables. `latest`: after a time without connection everything is sent once as it is then, and while the network is slow values are replaced by later ones.
 * `queue`: every message is kept on disk until the broker has it. `drop`: what cannot be sent now is not sent.
 */
export function startMqttSink(options: MqttSinkStart): Sink {
  const { topic, policy, qos, retain, format, broker, outbox, variables, selected, clock, log } = options;
  const name = `mqtt ${topic}`;
  const counts = createSinkCounts();
  const each = topic.includes(PLACE_OF_NAME);
  const conflated = policy === "latest" && !each;
  const selection = createSelection({ variables, rules: rulesOf(selected), clock, emit });
  /** Names whose latest value is to be sent with the next message. */
  const unsent = new Set<string>();
  let busy = false;
  let cancelRetry: Cancel | undefined;
  let failing = false;

  function emit(batch: readonly Variable[]): void {
    if (conflated) {
      for (const variable of batch) {
        if (unsent.has(variable.name)) counts.dropped += 1;
        unsent.add(variable.name);
      }
      sendUnsent();
    } else if (each) for (const variable of batch) hand(topicOf(variable.name), valueOf(variable), 1);
    else hand(topic, textOf(batch), batch.length);
  }

  function hand(to: string, payload: string, values: number): void {
    try {
      outbox.send({ topic: to, payload, policy, qos, retain });
      count(payload);
    } catch (error) {
      counts.dropped += values;
      fail(error);
    }
  }

  /** One message is under way at a time; what changes meanwhile goes with the next. */
  function sendUnsent(): void {
    if (busy || unsent.size === 0 || !broker.connected || cancelRetry !== undefined) return;
    const names = [...unsent];
    unsent.clear();
    const batch = names.flatMap((variable) => selection.latest(variable) ?? []);
    if (batch.length === 0) return;
    const payload = textOf(batch);
    busy = true;
    broker
      .publish(topic, payload, { qos, retain })
      .then(
        () => {
          failing = false;
          count(payload);
        },
        (error: unknown) => {
          fail(error);
          for (const variable of names) unsent.add(variable);
          cancelRetry = clock.after(RETRY_MS, () => {
            cancelRetry = undefined;
            sendUnsent();
          });
        },
      )
      .finally(() => {
        busy = false;
        sendUnsent();
      });
  }

  function textOf(batch: readonly Variable[]): string {
    if (format === "pairs") return linesText(batch);
    return JSON.stringify({ time: clock.wallMs(), ...Object.fromEntries(batch.map(({ name: variable, value }) => [variable, value])) });
  }

  function valueOf({ name: variable, value }: Variable): string {
    return format === "pairs" ? pairText("", value).slice(1) : JSON.stringify({ time: clock.wallMs(), [variable]: value });
  }

  function topicOf(variable: string): string {
    return topic.replaceAll(PLACE_OF_NAME, () => variable.replace(WILDCARDS, "_"));
  }

  function count(payload: string): void {
    counts.lines += 1;
    counts.bytes += Buffer.byteLength(payload);
  }

  function fail(error: unknown): void {
    counts.errors += 1;
    counts.lastError = messageOf(error);
    if (!failing) log.warn({ sink: name }, `${name}: ${counts.lastError}`);
    failing = true;
  }

  const unsubscribe = broker.onConnect(() => {
    if (!conflated) return;
    for (const { name: variable } of selection.snapshot()) unsent.add(variable);
    cancelRetry?.();
    cancelRetry = undefined;
    sendUnsent();
  });
  return {
    name,
    state: () => ({ connected: broker.connected, connections: broker.connected ? 1 : 0, ...counts }),
    close() {
      selection.flush();
      selection.close();
      unsubscribe();
      cancelRetry?.();
      return Promise.resolve();
    },
  };
}
