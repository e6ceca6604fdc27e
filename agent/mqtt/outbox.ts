import { AgentError, messageOf, toAgentError } from "../contract/errors.ts";
import { checkTopic } from "./broker-topics.ts";
import { createLatest } from "./outbox-latest.ts";
import { openBacklog, type Backlog, type NewMessage } from "./outbox-backlog.ts";
import type { Broker, Outbox, OutboxMessage } from "../contract/broker.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";
import type { OutboxRecord } from "./outbox-records.ts";
import type { OutboxOptions } from "./options.ts";

export interface CreateOutboxOptions {
  /** Where what is queued is kept; made when something is queued. */
  readonly folder: string;
  readonly options: OutboxOptions;
  /** Larger payloads are refused. */
  readonly maxMessageBytes: number;
  readonly broker: Broker;
  readonly clock: Clock;
  readonly log: Log;
}

export interface OpenOutbox extends Outbox {
  /** Begins to read what earlier runs left. */
  start(): void;
  /** What was queued is on disk then. */
  close(): Promise<void>;
}

const MS_PER_S = 1000;

/** What is paced is sent so often, milliseconds. */
const PACE_MS = 10;

/** After the broker could take no more, and after the disk could not be opened. */
const RETRY_MS = 250;

/** Acknowledgements are waited for so long at the end, milliseconds. */
const GOODBYE_MS = 500;

/** Bytes that may be queued while the files of earlier runs are opened. */
const EARLY_BYTES = 4 * 1024 * 1024;

/** Sending it again would be refused again. */
const FINAL: ReadonlySet<string> = new Set(["ARGUMENT", "LIMIT", "DENIED"]);

export function createOutbox({ folder, options, maxMessageBytes, broker, clock, log }: CreateOutboxOptions): OpenOutbox {
  const { maxBytes, maxAgeS, maxInFlight, maxPerS, maxTopics } = options;
  let backlog: Backlog | undefined;
  let opening: Promise<void> | undefined;
  let early: NewMessage[] = [];
  let earlyBytes = 0;
  let inFlight = 0;
  /** Rises whenever everything is to be sent again: answers to what was sent before are not counted any more. */
  let round = 0;
  let tokens = 1;
  let filledMs = clock.monotonicMs();
  let cancelTimer: Cancel | undefined;
  let onIdle: (() => void) | undefined;
  let closing: Promise<void> | undefined;
  const counts = { sent: 0, dropped_offline: 0, dropped_old: 0, refused: 0, repeated: 0 };
  let lastError = "";
  const latest = createLatest({ broker, maxTopics, clock, retryMs: RETRY_MS, onRefused: noteRefused });

  const unsubscribe = broker.onConnect(() => {
    pump();
  });

  function noteRefused(topic: string, error: AgentError): void {
    counts.refused += 1;
    if (lastError !== error.message) log.warn({ topic }, `mqtt: a message on ${topic} is given up: ${error.message}`);
    lastError = error.message;
  }

  async function open(): Promise<void> {
    try {
      const opened = await openBacklog({ folder, maxBytes, clock, log, onReady: pump });
      backlog = opened;
      for (const message of early) keep(opened, message);
      early = [];
      earlyBytes = 0;
      pump();
    } catch (error) {
      lastError = messageOf(error);
      log.error({ folder, err: error }, `mqtt: the outbox cannot be opened: ${lastError}`);
    }
  }

  function keep(to: Backlog, message: NewMessage): void {
    try {
      to.add(message);
    } catch (error) {
      noteRefused(message.topic, toAgentError(error));
    }
  }

  function queue(message: NewMessage): void {
    if (backlog !== undefined) {
      backlog.add(message);
      return;
    }
    if (earlyBytes + message.payload.length > EARLY_BYTES) {
      throw new AgentError(
        "FULL",
        `mqtt: the outbox is not open yet, and ${earlyBytes} bytes wait for it${lastError === "" ? "" : `: ${lastError}`}`,
      );
    }
    early.push(message);
    earlyBytes += message.payload.length;
  }

  /** Sends what may be sent now; goes on when something is acknowledged, written or allowed by its pace. */
  function pump(): void {
    if (backlog === undefined || closing !== undefined || cancelTimer !== undefined) return;
    while (broker.connected && inFlight < maxInFlight) {
      if (!allowed()) {
        later(PACE_MS);
        return;
      }
      const message = backlog.next();
      if (message === undefined) return;
      if (clock.wallMs() - message.takenMs > maxAgeS * MS_PER_S) {
        counts.dropped_old += 1;
        backlog.finish(message.sequence);
        continue;
      }
      tokens -= 1;
      send(backlog, message);
    }
  }

  /** Whether its pace allows one more. */
  function allowed(): boolean {
    if (tokens >= 1) return true;
    const nowMs = clock.monotonicMs();
    const most = Math.max(1, (maxPerS * 2 * PACE_MS) / MS_PER_S);
    tokens = Math.min(most, tokens + ((nowMs - filledMs) * maxPerS) / MS_PER_S);
    filledMs = nowMs;
    return tokens >= 1;
  }

  function later(delayMs: number): void {
    if (closing !== undefined) return;
    cancelTimer ??= clock.after(delayMs, () => {
      cancelTimer = undefined;
      pump();
    });
  }

  function send(from: Backlog, { sequence, topic, payload, retain, id }: OutboxRecord): void {
    const sentIn = round;
    inFlight += 1;
    broker.publish(topic, payload, { qos: 1, retain, properties: { id } }).then(
      () => {
        counts.sent += 1;
        answered(sentIn, () => from.finish(sequence));
      },
      (thrown: unknown) => {
        const error = toAgentError(thrown);
        if (FINAL.has(error.code)) {
          noteRefused(topic, error);
          answered(sentIn, () => from.finish(sequence));
        } else if (sentIn === round) again(from);
      },
    );
  }

  function answered(sentIn: number, finish: () => void): void {
    if (sentIn === round) inFlight -= 1;
    finish();
    if (inFlight === 0) onIdle?.();
    pump();
  }

  /** In order, from the oldest that is not acknowledged on. */
  function again(from: Backlog): void {
    counts.repeated += inFlight;
    round += 1;
    inFlight = 0;
    from.rewind();
    onIdle?.();
    later(RETRY_MS);
  }

  function drop(topic: string, payload: string | Uint8Array, publishing: { readonly qos: 0 | 1; readonly retain: boolean }): void {
    if (!broker.connected) {
      counts.dropped_offline += 1;
      return;
    }
    broker.publish(topic, payload, publishing).catch((thrown: unknown) => {
      const error = toAgentError(thrown);
      if (FINAL.has(error.code)) noteRefused(topic, error);
      else counts.dropped_offline += 1;
    });
  }

  function check({ topic, payload }: OutboxMessage): void {
    checkTopic(topic);
    const byteLength = typeof payload === "string" ? Buffer.byteLength(payload) : payload.length;
    if (byteLength <= maxMessageBytes) return;
    throw new AgentError("LIMIT", `mqtt: ${byteLength} bytes on ${topic} are refused; at most ${maxMessageBytes} are sent as one message`);
  }

  async function close(): Promise<void> {
    unsubscribe();
    latest.close();
    await opening;
    cancelTimer?.();
    // What the broker has is not to be sent again by the next run.
    if (inFlight > 0) {
      await new Promise<void>((resolve) => {
        const cancel = clock.after(GOODBYE_MS, resolve);
        onIdle = () => {
          cancel();
          resolve();
        };
      });
    }
    cancelTimer?.();
    await backlog?.close();
  }

  return {
    start() {
      if (closing === undefined) opening ??= open();
    },
    send(message) {
      const { topic, payload, policy, qos = 0, retain = false } = message;
      check(message);
      if (policy === "queue") queue({ topic, payload: copyOf(payload), retain });
      else if (policy === "latest") latest.set({ topic, payload, qos, retain });
      else drop(topic, payload, { qos, retain });
    },
    figures: () => ({
      ...counts,
      ...latest.figures(),
      in_flight: inFlight,
      ...backlog?.figures(),
      ...(lastError === "" ? {} : { last_error: lastError }),
    }),
    close: () => (closing ??= close()),
  };
}

function copyOf(payload: string | Uint8Array): Buffer {
  return typeof payload === "string" ? Buffer.from(payload) : Buffer.from(payload);
}
