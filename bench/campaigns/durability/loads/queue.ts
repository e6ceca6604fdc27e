import type { Value } from "../../../../agent/contract/value.ts";
import { bytesOfValue, type Client, valueOf, withClient } from "../client.ts";
import { createFindings, type Findings } from "../findings.ts";
import type { Random } from "../random.ts";
import { readRecord, recordText } from "../record.ts";
import { createSequence, type Sequence } from "../sequence.ts";
import { inParallel, type Load } from "./load.ts";

/** Requests under way on one connection. */
const WINDOW = 8;

/** A producer waits while so many are not consumed, so that looking at all of them stays quick. */
const MOST_WAITING = 400;

/** Longer than any check takes. */
const VISIBILITY_MS = "60000";

/** A message as it was delivered. */
interface Delivery {
  readonly id: string;
  /** Its number among those of its topic. */
  readonly number: number | "torn";
}

interface Topic {
  readonly name: string;
  readonly sequence: Sequence;
}

function deliveryOf(topic: string, value: Value): Delivery {
  const { id, payload } = value as { readonly id: number; readonly payload: Value };
  const record = readRecord(bytesOfValue(payload) ?? "");
  return { id: String(id), number: record === "torn" || record.name !== topic ? "torn" : record.number };
}

/** Payloads of all sizes, a few of them large. */
function payloadBytes(random: Random): number {
  return random.chance(0.02) ? 30_000 + random.below(60_000) : random.below(2500);
}

async function produce(client: Client, { name, sequence }: Topic, random: Random, stop: AbortSignal): Promise<void> {
  await inParallel(WINDOW, async () => {
    if (sequence.size > MOST_WAITING) {
      await client.ask("PING");
      return !client.isGone && !stop.aborted;
    }
    const number = sequence.ask();
    const outcome = await client.ask("ENQUEUE", recordText({ name, number }, payloadBytes(random)), "TOPIC", name);
    if (outcome.kind === "value") sequence.kept(number);
    else if (outcome.kind === "error") sequence.refused(number);
    return outcome.kind !== "gone" && !stop.aborted;
  });
}

async function acknowledge(client: Client, { id, number }: Delivery, sequence: Sequence): Promise<void> {
  if (number === "torn") return;
  sequence.take(number);
  const outcome = await client.ask("ACK", id);
  if (outcome.kind === "value") sequence.taken(number);
  else if (outcome.kind === "error") sequence.leave(number);
}

/** Takes what comes; leaves some of it without an acknowledgement, to be delivered again after the next start. */
async function consume(client: Client, { name, sequence }: Topic, random: Random, stop: AbortSignal, findings: Findings): Promise<void> {
  let last = 0;
  while (!stop.aborted) {
    const outcome = await client.ask("DEQUEUE", "TOPIC", name, "WAIT", "20", "VISIBILITY", VISIBILITY_MS);
    if (outcome.kind === "gone") return;
    if (outcome.kind === "error" || outcome.value === null) continue;
    const delivery = deliveryOf(name, outcome.value);
    if (delivery.number === "torn") findings.add("half-written", `a message delivered from ${name} after ${last}`);
    else if (delivery.number === last) findings.add("doubled", `message ${last} of ${name} was delivered twice`);
    else if (delivery.number < last) findings.add("out of order", `message ${delivery.number} of ${name} was delivered after ${last}`);
    if (delivery.number !== "torn") last = delivery.number;
    if (!random.chance(0.1)) void acknowledge(client, delivery, sequence);
  }
}

/** Everything of a topic, in the order of its delivery. */
async function drain(client: Client, name: string): Promise<readonly Delivery[]> {
  const deliveries: Delivery[] = [];
  for (;;) {
    const value = valueOf(await client.ask("DEQUEUE", "TOPIC", name, "VISIBILITY", VISIBILITY_MS), "DEQUEUE");
    if (value === null) return deliveries;
    deliveries.push(deliveryOf(name, value));
  }
}

/** Messages of several topics, each with one producer and one consumer. */
export function createQueueLoad(random: Random, topicCount = 3): Load {
  const topics = Array.from({ length: topicCount }, (_, i): Topic => ({
    name: `topic-${i}`,
    sequence: createSequence(`message of topic-${i}`),
  }));
  const findings = createFindings();

  async function checkTopic(client: Client, { name, sequence }: Topic): Promise<void> {
    const deliveries = await drain(client, name);
    sequence.check(
      deliveries.map(({ number }) => number),
      findings,
    );
    // Half of them are done with; the others are held by whoever looked, and must come back after the next start.
    await Promise.all(deliveries.filter(() => random.chance(0.5)).map((delivery) => acknowledge(client, delivery, sequence)));
  }

  return {
    name: "queue: messages and ACKs",
    findings,
    get acknowledged() {
      return topics.reduce((sum, { sequence }) => sum + sequence.acknowledged, 0);
    },
    async write(agent, stop) {
      await Promise.all(
        topics.flatMap((topic) => [
          withClient(agent.port("queue"), (client) => produce(client, topic, random, stop)),
          withClient(agent.port("queue"), (client) => consume(client, topic, random, stop, findings)),
        ]),
      );
    },
    check: (agent) =>
      withClient(agent.port("queue"), async (client) => {
        for (const topic of topics) await checkTopic(client, topic);
      }),
  };
}
