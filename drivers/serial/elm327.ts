import { z } from "zod";

import { answerOf, PIDS, supportedIn, type Pid, type PidName } from "./elm327-pids.ts";
import { createReplyReader, type Reply } from "./elm327-replies.ts";
import { createTurns, type Turns } from "./elm327-poll.ts";
import { defineDriver, defineFunction, STILL_LEASE, type Device, type DeviceContext } from "../../agent/contract/device.ts";
import { serialOptionsShape, type SerialStream } from "../../agent/contract/serial.ts";
import type { Cancel } from "../../agent/contract/clock.ts";
import type { Entity } from "../../agent/contract/entity.ts";

/** A value may be relied on for so many periods. */
const FRESH_PERIODS = 3;

/** An adapter that was at work answers to the first byte that it stopped; then it has to be left alone for a moment. */
const SETTLE_MS = 200;

/** Requests in a row without a value until the vehicle is looked for again: its ignition is off. */
const SILENT_REQUESTS = 10;

const rateSchema = (hz: number, what: string) => z.number().min(0).max(50).default(hz).describe(`${what}, times a second; 0: not`);

// Its own time limits see silence sooner, and a search is silent for long.
const serialSchema = z.strictObject(serialOptionsShape(38_400)).omit({ silentMs: true });

const optionsSchema = serialSchema.extend({
  protocol: z
    .string()
    .regex(/^[0-9A-C]$/, { error: "one of 0 to 9, A, B, C; 0 looks for it" })
    .default("0")
    .describe("of the vehicle, as in the data sheet's list for AT SP; 0: found out"),
  ratesHz: z
    .strictObject({
      speed: rateSchema(5, "the vehicle's speed"),
      rpm: rateSchema(2, "revolutions a minute"),
      throttle: rateSchema(2, "throttle position"),
      coolant: rateSchema(0.2, "coolant temperature"),
      fuel: rateSchema(0.1, "fuel level"),
    })
    .prefault({})
    .describe("how often each is asked for; what the vehicle does not have is not asked for"),
  singleReply: z
    .boolean()
    .default(false)
    .describe("asks for one answer only, which is faster: for adapters that know it (1.3 and later) and one control unit"),
  replyMs: z.int().min(100).max(10_000).default(2000).describe("without a reply for so long the port is opened again, milliseconds"),
  searchMs: z.int().min(1000).max(60_000).default(15_000).describe("the same while the vehicle's protocol is looked for, milliseconds"),
  retryMs: z.int().min(100).max(600_000).default(5000).describe("pause before a vehicle that did not answer is asked again, milliseconds"),
});

/** How each is shown. */
const SHOWN = {
  speed: { unit: "m/s", deviceClass: "speed", digits: 1 },
  rpm: { unit: "rpm", digits: 0 },
  throttle: { digits: 2 },
  coolant: { unit: "°C", deviceClass: "temperature", digits: 0 },
  fuel: { digits: 2 },
} as const satisfies Readonly<Record<PidName, object>>;

type Elm327Options = z.output<typeof optionsSchema>;

/**
 * A vehicle's own figures through an ELM327 adapter. Publishes `connected` (whether the vehicle answers), and of `speed_mps`, `rpm`, `throttle_ratio`,
 * `coolant_c` and `fuel_ratio` what it has, as it was answered and no longer than it is fresh. Reads only: it sends service 01 alone.
 */
export const elm327Driver = defineDriver({
  name: "elm327",
  summary: "a vehicle's speed, engine and fuel by OBD-II through an ELM327 adapter",
  options: optionsSchema,
  moves: false,
  actuates: false,
  lease: STILL_LEASE,
  claims: ({ path }) => [`serial ${path}`],
  entities: ({ ratesHz }) => [
    { kind: "binary_sensor", key: "connected", category: "diagnostic", state: { on: "connected" }, deviceClass: "connectivity" },
    ...(Object.keys(PIDS) as PidName[])
      .filter((name) => ratesHz[name] > 0)
      .map((name): Entity => ({
        kind: "sensor",
        key: name,
        state: { value: PIDS[name].variable },
        stateClass: "measurement",
        ...SHOWN[name],
      })),
  ],
  async open(context, options) {
    const stream = await context.board.openSerial(context.id, options.path, { ...options, silentMs: 0 });
    return createElm327(context, stream, options);
  },
});

interface Asked {
  readonly name: PidName;
  readonly pid: Pid;
  readonly periodMs: number;
}

/** What is done with a reply. */
type Then = (reply: Reply) => void;

function createElm327(context: DeviceContext, stream: SerialStream, options: Elm327Options): Device {
  const { replyMs, searchMs, retryMs, ratesHz } = options;
  const setup = ["ATE0", "ATL0", "ATS0", "ATH0", `ATSP${options.protocol}`];
  const wanted: readonly Asked[] = (Object.keys(PIDS) as PidName[])
    .filter((name) => ratesHz[name] > 0)
    .map((name) => ({ name, pid: PIDS[name], periodMs: 1000 / ratesHz[name] }));
  const latest: Partial<Record<PidName, number>> = {};
  let turns: Turns<Asked> | undefined;
  let asked: readonly Asked[] = [];
  let waiting: Then | undefined;
  let cancelWait: Cancel | undefined;
  let connected: boolean | undefined;
  let silent = 0;
  let values = 0;
  let refused = 0;
  let lastError: string | undefined;
  const reader = createReplyReader((reply) => {
    const then = waiting;
    // A reply that nobody waits for is one that came too late.
    if (then === undefined) return;
    waiting = undefined;
    cancelWait?.();
    if (reply.kind === "error") lastError = reply.lines.join(" ");
    then(reply);
  });

  function showConnected(next: boolean): void {
    if (next === connected) return;
    connected = next;
    context.publish("connected", next);
  }

  function later(delayMs: number, run: () => void): void {
    cancelWait?.();
    waiting = undefined;
    cancelWait = context.clock.after(delayMs, run);
  }

  function send(command: string, limitMs: number, then: Then): void {
    stream.write(Buffer.from(`${command}\r`, "latin1"));
    later(limitMs, () =>
      stream.reopen(`${context.id}: no reply to ${command} within ${limitMs} ms; is it an ELM327, and is the baud rate right?`),
    );
    waiting = then;
  }

  function begin(): void {
    reader.restart();
    turns = undefined;
    silent = 0;
    showConnected(false);
    send("ATZ", replyMs, (reply) => {
      if (reply.kind === "restarted") configure(0);
      else later(SETTLE_MS, begin);
    });
  }

  function configure(at: number): void {
    const command = setup[at];
    if (command === undefined) {
      search();
      return;
    }
    send(command, replyMs, (reply) => {
      if (reply.kind === "ok") configure(at + 1);
      else later(SETTLE_MS, begin);
    });
  }

  /** Asks the vehicle what it has; the adapter finds its protocol meanwhile. */
  function search(): void {
    turns = undefined;
    showConnected(false);
    send("0100", searchMs, (reply) => {
      const supported = supportedIn(reply.lines, "00");
      if (reply.kind === "restarted") begin();
      else if (supported.size === 0) later(retryMs, search);
      else if (supported.has("20"))
        send("0120", replyMs, (more) => startPolling(new Set([...supported, ...supportedIn(more.lines, "20")])));
      else startPolling(supported);
    });
  }

  function startPolling(supported: ReadonlySet<string>): void {
    asked = wanted.filter(({ pid }) => supported.has(pid.code));
    turns = createTurns(asked, context.clock.monotonicMs());
    silent = 0;
    showConnected(true);
    poll();
  }

  function poll(): void {
    if (turns === undefined) return;
    const nowMs = context.clock.monotonicMs();
    const item = turns.next(nowMs);
    if (item !== undefined) send(`01${item.pid.code}${options.singleReply ? "1" : ""}`, replyMs, (reply) => take(item, reply));
    else if (asked.length > 0) later(turns.dueMs() - nowMs, poll);
  }

  function take({ name, pid, periodMs }: Asked, reply: Reply): void {
    const bytes = answerOf(reply.lines, pid.code, pid.bytes);
    if (bytes === undefined) {
      if (reply.kind !== "none") refused += 1;
      silent += 1;
    } else {
      const value = pid.value(bytes[0] ?? 0, bytes[1] ?? 0);
      values += 1;
      silent = 0;
      latest[name] = value;
      context.publish(pid.variable, value, periodMs * FRESH_PERIODS);
    }
    if (reply.kind === "restarted") begin();
    else if (silent >= SILENT_REQUESTS) later(retryMs, search);
    else poll();
  }

  function lose(): void {
    cancelWait?.();
    waiting = undefined;
    turns = undefined;
    showConnected(false);
  }

  showConnected(false);
  stream.onState((state) => {
    if (state === "open") begin();
    else lose();
  });
  stream.onData((bytes) => reader.push(bytes));
  if (stream.state() === "open") begin();
  return {
    functions: {
      state: defineFunction({
        summary: "whether the vehicle answers, what it is asked for, values received, replies that were none, the last of these",
        params: z.strictObject({}),
        effect: "read",
        call: () => ({
          connected: connected === true,
          asked: asked.map(({ name }) => name),
          latest: { ...latest },
          values,
          refused,
          overlong: reader.overlong,
          lastError: lastError ?? null,
          port: stream.reason(),
        }),
      }),
    },
    close() {
      cancelWait?.();
      return stream.close();
    },
  };
}
