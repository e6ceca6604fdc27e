// Through the agent's connection to a broker, beside a bare client of the same library on the same broker.
import { connectAsync } from "mqtt";

import { createBroker, type OpenBroker } from "../../agent/mqtt/broker.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { measureClones } from "./mqtt/clone.ts";
import { mqttOptionsSchema } from "../../agent/mqtt/options.ts";
import { quantile, row, type Row, type SuiteOptions } from "../report.ts";
import { startMosquitto } from "../../test/helpers/mosquitto.ts";
import type { Log } from "../../agent/contract/log.ts";

/** What is measured of either. */
interface Subject {
  readonly name: string;
  publish(topic: string, payload: string, qos: 0 | 1): Promise<void>;
  /** Listens on a topic from now on. */
  listen(topic: string, listener: () => void): Promise<void>;
  close(): Promise<void>;
}

const MESSAGES = { full: 50_000, quick: 5000 };
const TRIPS = { full: 5000, quick: 500 };
const TABLES = { full: 2000, quick: 200 };
const ROUNDS = 3;

/** As many as may wait for the broker at once. */
const AT_ONCE = 500;

const QUIET: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const TABLE = `scan=[${Array.from({ length: 360 }, (_, i) => ((300 + i) / 100).toFixed(2)).join(" ")}]\n`;

function nothing(): void {
  return undefined;
}

async function agentsBroker(url: string, node: string): Promise<Subject> {
  const options = mqttOptionsSchema.parse({ url });
  const broker: OpenBroker = createBroker(options, {
    node,
    clock: createSystemClock(),
    log: QUIET,
    readSecrets: () => Promise.resolve({}),
  });
  const connected = new Promise<void>((resolve) => broker.onConnect(resolve));
  broker.start();
  await connected;
  return {
    name: "agent",
    publish: (topic, payload, qos) => broker.publish(topic, payload, { qos }),
    async listen(topic, listener) {
      broker.subscribe(topic, listener, 1);
      // Acknowledged after the subscription, which was sent before.
      await broker.publish("settled", "", { qos: 1 });
    },
    close: () => broker.close(),
  };
}

async function bareClient(url: string): Promise<Subject> {
  const client = await connectAsync(url, { protocolVersion: 5 });
  if ("setNoDelay" in client.stream) (client.stream as unknown as { setNoDelay(on: boolean): void }).setNoDelay(true);
  const listeners = new Map<string, () => void>();
  client.on("message", (topic) => listeners.get(topic)?.());
  return {
    name: "bare mqtt.js",
    async publish(topic, payload, qos) {
      await client.publishAsync(topic, payload, { qos });
    },
    async listen(topic, listener) {
      listeners.set(topic, listener);
      await client.subscribeAsync(topic, { qos: 1 });
    },
    close: () => client.endAsync(true),
  };
}

/** Messages each second until the last one is acknowledged. */
async function throughput(subject: Subject, count: number, payload: string, qos: 0 | 1): Promise<number> {
  const startedMs = performance.now();
  for (let done = 0; done < count; done += AT_ONCE) {
    const some = Array.from({ length: Math.min(AT_ONCE, count - done) }, () => subject.publish("bench/data", payload, qos));
    await Promise.all(some);
  }
  if (qos === 0) await subject.publish("bench/data", "", 1);
  return (count * 1000) / (performance.now() - startedMs);
}

/** Measures from request to answer, with an answering client of the same kind. */
async function prepareTrips(subject: Subject, other: Subject): Promise<(count: number) => Promise<number>> {
  const [ask, answer] = [`bench/${subject.name}/ask`, `bench/${subject.name}/answer`];
  let arrived: () => void = nothing;
  await other.listen(ask, () => void other.publish(answer, "1", 1));
  await subject.listen(answer, () => {
    arrived();
  });
  return async (count) => {
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      const startedMs = performance.now();
      const answered = new Promise<void>((resolve) => {
        arrived = resolve;
      });
      await Promise.all([subject.publish(ask, "1", 1), answered]);
      times.push(performance.now() - startedMs);
    }
    return quantile(times, 0.5);
  };
}

/** The middle of several, taken in turns so that a busy machine is busy for both. */
async function inTurns(
  subjects: readonly [Subject, Subject],
  measure: (subject: Subject) => Promise<number>,
): Promise<readonly [number, number]> {
  const taken: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    taken[0].push(await measure(subjects[0]));
    taken[1].push(await measure(subjects[1]));
  }
  return [quantile(taken[0], 0.5), quantile(taken[1], 0.5)];
}

export async function run(options: SuiteOptions): Promise<readonly Row[]> {
  const { quick, progress } = options;
  const pick = ({ full, quick: few }: { readonly full: number; readonly quick: number }): number => (quick ? few : full);
  // Without set_tcp_nodelay mosquitto holds back the second of two small packets for 40 ms, for any client: then a round trip with quality of service 1 takes 44 ms.
  const server = await startMosquitto({ lines: ["set_tcp_nodelay true", "max_inflight_messages 1000", "max_queued_messages 100000"] });
  const agent = await agentsBroker(server.url, "subject");
  const agentsOther = await agentsBroker(server.url, "other");
  const bare = await bareClient(server.url);
  const bareOther = await bareClient(server.url);
  const both = [agent, bare] as const;
  const rows: Row[] = [];
  const compare = async (name: string, unit: string, goal: string, measure: (subject: Subject) => Promise<number>): Promise<void> => {
    progress(name);
    const [value, peer] = await inTurns(both, measure);
    rows.push(row({ name, value, unit, peer: { name: bare.name, value: peer }, goal }));
  };
  try {
    await compare("publish, quality of service 0", "messages/s", "≥ 0.8 ×", (subject) => throughput(subject, pick(MESSAGES), "value=1", 0));
    await compare("publish, quality of service 1", "messages/s", "≥ 0.8 ×", (subject) => throughput(subject, pick(MESSAGES), "value=1", 1));
    await compare("publish tables of 360 distances", "tables/s", "≥ 0.8 ×", (subject) => throughput(subject, pick(TABLES), TABLE, 1));
    const trips = new Map([
      [agent, await prepareTrips(agent, agentsOther)],
      [bare, await prepareTrips(bare, bareOther)],
    ]);
    await compare(
      "request and answer, median",
      "ms",
      "≤ 1.2 ×",
      (subject) => trips.get(subject)?.(pick(TRIPS)) ?? Promise.resolve(Infinity),
    );
    return [...rows, ...(await measureClones(server.url, options))];
  } finally {
    for (const subject of [agent, agentsOther, bare, bareOther]) await subject.close();
    await server.close();
  }
}
