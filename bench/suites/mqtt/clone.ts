// A device's function called over the broker, beside the least that can answer there.
import { connectAsync, type MqttClient } from "mqtt";

import { FREE_PORTS, startAgentWith, startPrintingPort, type Measured } from "../../processes.ts";
import { median, row, type Row, type SuiteOptions } from "../../report.ts";

const TRIPS = { full: 1000, quick: 200 };
const ROUNDS = { full: 15, quick: 5 };
const ANSWERER_TOPIC = "bench/ask";
const ANSWERS = "bench/answers";
/** What the agent answers to `lamp.on`, so that the same bytes go over the broker. */
const ANSWER = `{"status":"ok","data":100}`;

function configOf(url: string, isolation: "none" | "process"): string {
  return `node: ${isolation}
board: sim
isolation: ${isolation}
${FREE_PORTS}
log: { level: error }
mqtt: { url: "${url}" }
devices:
  lamp: { driver: light, line: GPIO17 }
`;
}

function nextMessage(client: MqttClient): Promise<Buffer> {
  return new Promise((resolve) => client.once("message", (_topic, payload) => resolve(payload)));
}

/** Microseconds from request to answer, one after the other. */
async function roundUs(client: MqttClient, topic: string, qos: 0 | 1, count: number): Promise<number> {
  const startedMs = performance.now();
  for (let i = 0; i < count; i++) {
    const answered = nextMessage(client);
    client.publish(topic, "lamp.on", { qos, properties: { responseTopic: ANSWERS, correlationData: Buffer.from("1") } });
    await answered;
  }
  return ((performance.now() - startedMs) * 1000) / count;
}

/** Rejects when the answer is another: then something else than a clone would be measured. */
async function checkAnswer(client: MqttClient, topic: string): Promise<void> {
  const answered = nextMessage(client);
  client.publish(topic, "lamp.on", { qos: 1, properties: { responseTopic: ANSWERS } });
  const payload = await answered;
  if (payload.toString() !== ANSWER) throw new Error(`${topic} answered ${payload.toString()}`);
}

/** The agent is ready for orders when it says so on its status topic. */
async function online(client: MqttClient, node: string): Promise<void> {
  const status = `virgo/${node}/status`;
  const said = nextMessage(client);
  await client.subscribeAsync(status, { qos: 1 });
  await said;
  await client.unsubscribeAsync(status);
}

export async function measureClones(url: string, { quick, progress }: SuiteOptions): Promise<readonly Row[]> {
  const started: Measured[] = [];
  const client = await connectAsync(url, { protocolVersion: 5 });
  if ("setNoDelay" in client.stream) (client.stream as unknown as { setNoDelay(on: boolean): void }).setNoDelay(true);
  try {
    const topics = [ANSWERER_TOPIC];
    started.push(await startPrintingPort(process.execPath, ["bench/peers/mqtt-answerer.mjs", url, ANSWERER_TOPIC, ANSWER]));
    for (const isolation of ["none", "process"] as const) {
      started.push(await startAgentWith(configOf(url, isolation)));
      await online(client, isolation);
      topics.push(`virgo/${isolation}/clone`);
    }
    await client.subscribeAsync(ANSWERS, { qos: 1 });
    for (const topic of topics) await checkAnswer(client, topic);
    const rows: Row[] = [];
    for (const qos of [0, 1] as const) {
      progress(`CLONE over the broker, quality of service ${qos}, in turns with a bare client that answers`);
      const measured: number[][] = topics.map(() => []);
      const trips = quick ? TRIPS.quick : TRIPS.full;
      for (const topic of topics) await roundUs(client, topic, qos, trips);
      for (let round = 0; round < (quick ? ROUNDS.quick : ROUNDS.full); round++) {
        for (const [index, topic] of topics.entries()) measured[index]?.push(await roundUs(client, topic, qos, trips));
      }
      const [bare = Number.NaN, one = Number.NaN, both = Number.NaN] = measured.map(median);
      const peer = { name: "bare mqtt.js answering", value: bare };
      rows.push(
        row({ name: `CLONE over the broker, quality of service ${qos}`, value: one, unit: "µs", peer, goal: "≤ 1.2 ×" }),
        row({ name: `through both processes, quality of service ${qos}`, value: both, unit: "µs", peer }),
      );
    }
    return rows;
  } finally {
    await client.endAsync(true);
    for (const process of started) await process.stop();
  }
}
