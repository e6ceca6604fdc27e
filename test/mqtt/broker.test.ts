import t from "tap";

import { createSystemClock } from "../../agent/clock.ts";
import { createBroker, type OpenBroker } from "../../agent/mqtt/broker.ts";
import { mqttOptionsSchema } from "../../agent/mqtt/options.ts";
import { eventually } from "../helpers/eventually.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { freePort, startMosquitto, type Mosquitto } from "../helpers/mosquitto.ts";
import type { BrokerMessage } from "../../agent/contract/broker.ts";

const clock = createSystemClock();

interface Teardown {
  teardown(handler: () => unknown): void;
}

async function mosquitto(t: Teardown, lines: readonly string[] = []): Promise<Mosquitto> {
  const server = await startMosquitto({ lines });
  t.teardown(() => server.close());
  return server;
}

function brokerOf(t: Teardown, node: string, options: object) {
  const log = createFakeLog();
  const parsed = mqttOptionsSchema.parse({ retryMinMs: 10, retryMaxMs: 50, ...options });
  const broker = createBroker(parsed, { node, clock, log, readSecrets: () => Promise.resolve({}) });
  t.teardown(() => broker.close());
  return { broker, log };
}

/** Connected, and told of it. */
async function opened(t: Teardown, node: string, options: object): Promise<OpenBroker> {
  const { broker } = brokerOf(t, node, options);
  const connected = new Promise<void>((resolve) => broker.onConnect(resolve));
  broker.start();
  await connected;
  return broker;
}

/** What arrives, as text. */
async function heard(broker: OpenBroker, filter: string): Promise<readonly string[]> {
  const lines: string[] = [];
  broker.subscribe(filter, ({ topic, payload, retained }) => {
    lines.push(`${topic} ${Buffer.from(payload).toString()}${retained ? " retained" : ""}`);
  });
  await settledOn(broker);
  return lines;
}

let probes = 0;

/** Everything that was asked of the broker before has been done. */
async function settledOn(broker: OpenBroker): Promise<void> {
  const topic = `probe/${(probes += 1)}`;
  await new Promise<void>((resolve) => {
    const cancel = broker.subscribe(topic, () => {
      cancel();
      resolve();
    });
    const again = (): void => {
      broker.publish(topic, "").catch(() => undefined);
    };
    again();
    setTimeout(again, 50).unref();
  });
}

for (const protocol of [5, 4]) {
  t.test(`with MQTT ${protocol === 5 ? "5" : "3.1.1"} messages arrive, and nodes are known to be there or not`, async (t) => {
    const server = await mosquitto(t);
    const watcher = await opened(t, "watcher", { url: server.url, protocol });
    const lines = await heard(watcher, "virgo/+/status");
    await eventually(() => lines.includes("virgo/watcher/status online retained"));
    const node = await opened(t, "n1", { url: server.url, protocol });
    await eventually(() => lines.includes("virgo/n1/status online"));
    const messages: BrokerMessage[] = [];
    watcher.subscribe("a/b", (message) => messages.push({ ...message, payload: Buffer.from(message.payload) }), 1);
    await settledOn(watcher);
    await node.publish("a/b", Buffer.from("1"), {
      qos: 1,
      responseTopic: "r",
      correlation: Buffer.from("c"),
      properties: { id: "7" },
      expiryS: 5,
    });
    await eventually(() => messages.length === 1);
    const [message] = messages;
    t.match(message, { topic: "a/b", retained: false, duplicate: false, qos: 1 });
    t.same(message?.properties, protocol === 5 ? { id: "7" } : {});
    t.equal(message?.responseTopic, protocol === 5 ? "r" : undefined);
    await node.close();
    await eventually(() => lines.includes("virgo/n1/status offline"));
    t.equal(node.connected, false);
    await t.rejects(node.publish("a", "1"), { code: "NOT_READY" });
  });
}

t.test("a node that is lost is said to be offline by the broker", async (t) => {
  const server = await mosquitto(t);
  const watcher = await opened(t, "watcher", { url: server.url });
  const lines = await heard(watcher, "virgo/+/status");
  const first = await opened(t, "n1", { url: server.url });
  await eventually(() => lines.includes("virgo/n1/status online"));
  // The broker takes a second client of the same name for the first one, come back, and ends the first connection.
  const lost = new Promise<string>((resolve) => first.onDisconnect(resolve));
  const second = await opened(t, "n2", { url: server.url, clientId: "virgo-n1", retryMinMs: 60_000, retryMaxMs: 60_000 });
  t.match(await lost, /taken over|142|ended/i);
  await eventually(() => lines.includes("virgo/n1/status offline"));
  await second.close();
});

t.test("what is subscribed is subscribed again exactly once after the broker was gone, however often", async (t) => {
  const server = await mosquitto(t);
  const broker = await opened(t, "n1", { url: server.url });
  const lines = await heard(broker, "x/#");
  const more = await heard(broker, "x/#");
  const overlapping = await heard(broker, "x/1");
  for (let round = 1; round <= 3; round++) {
    const lost = new Promise<string>((resolve) => broker.onDisconnect(resolve));
    await server.stop(round === 2 ? "SIGKILL" : "SIGTERM");
    await lost;
    await t.rejects(broker.publish("x/1", "while gone"), { code: "NOT_READY" });
    await server.start();
    await eventually(() => broker.figures()["connected"] === 1);
    await broker.publish("x/1", `round ${round}`, { qos: 1 });
    await settledOn(broker);
    t.same(lines.slice(round - 1), [`x/1 round ${round}`]);
    t.same(more.slice(round - 1), [`x/1 round ${round}`]);
    t.same(overlapping.slice(round - 1), [`x/1 round ${round}`]);
  }
  t.match(broker.figures(), { losses: 3, connections: 4, subscriptions: 2 });
});

t.test("what was not acknowledged when the connection is lost is refused, and nothing is sent later", async (t) => {
  const server = await mosquitto(t);
  const broker = await opened(t, "n1", { url: server.url });
  await broker.publish("warm", "up", { qos: 1 });
  const outcomes = Array.from({ length: 50 }, (_, i) => broker.publish("y", String(i), { qos: 1 }));
  // In the same turn: nothing can have been acknowledged.
  const results = Promise.allSettled(outcomes);
  await server.stop("SIGKILL");
  const codes = (await results).map((result) => (result.status === "rejected" ? (result.reason as { code: string }).code : "fine"));
  for (const code of codes) t.ok(code === "IO" || code === "fine", code);
  await eventually(() => broker.figures()["waiting"] === 0);
});

t.test("no more are under way than the broker allows, and no more wait than is configured", async (t) => {
  const server = await mosquitto(t, ["max_inflight_messages 3"]);
  const broker = await opened(t, "n1", { url: server.url, maxWaiting: 20 });
  const lines = await heard(broker, "z");
  const outcomes = Array.from({ length: 25 }, (_, i) => broker.publish("z", String(i), { qos: 1 }));
  const results = await Promise.allSettled(outcomes);
  t.same(
    results.map(({ status }) => status),
    [...Array<string>(20).fill("fulfilled"), ...Array<string>(5).fill("rejected")],
  );
  await t.rejects(Promise.all(outcomes), { code: "FULL" });
  await eventually(() => lines.length === 20);
  t.same(
    lines,
    Array.from({ length: 20 }, (_, i) => `z ${i}`),
    "in order",
  );
});

t.test("who publishes without acknowledgement waits while the network takes nothing, and is refused beyond the backlog", async (t) => {
  const server = await mosquitto(t);
  const broker = await opened(t, "n1", { url: server.url, maxBacklogBytes: 1_048_576 });
  const payload = Buffer.alloc(262_144);
  server.pause();
  let sent = 0;
  let taken = 0;
  let refused: unknown;
  const publishings: Promise<unknown>[] = [];
  for (; refused === undefined && sent < 1000; sent++) {
    publishings.push(
      broker.publish("big", payload).then(
        () => (taken += 1),
        (error: unknown) => (refused = error),
      ),
    );
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  t.match(refused, { code: "FULL" });
  t.ok(taken < sent - 1, `${taken} of ${sent} taken`);
  server.goOn();
  await Promise.all(publishings);
  t.equal(taken, sent - 1, "all that was not refused");
});

t.test("another broker of the cluster is used when one is not there", async (t) => {
  const gone = await freePort();
  const server = await mosquitto(t);
  const { broker, log } = brokerOf(t, "n1", { url: `mqtt://127.0.0.1:${gone}`, fallbackUrls: [server.url] });
  const connected = new Promise<void>((resolve) => broker.onConnect(resolve));
  broker.start();
  await connected;
  t.match(broker.figures(), { broker: server.url, attempts: 2, connections: 1 });
  t.equal(log.lines.filter((line) => line.startsWith("warn")).length, 1, "one line for a loss");
});

t.test("a broker that is not there is asked again, with growing pauses, until closed", async (t) => {
  const { broker, log } = brokerOf(t, "n1", { url: `mqtt://127.0.0.1:${await freePort()}` });
  broker.start();
  await eventually(() => Number(broker.figures()["attempts"]) >= 4);
  await broker.close();
  const { attempts } = broker.figures();
  t.equal(log.lines.length, 1);
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  t.equal(broker.figures()["attempts"], attempts);
});

t.test("two nodes of one name are told what they do to each other", async (t) => {
  const server = await mosquitto(t);
  const [first, second] = [brokerOf(t, "n1", { url: server.url }), brokerOf(t, "n1", { url: server.url })];
  first.broker.start();
  await eventually(() => first.broker.connected);
  second.broker.start();
  for (const { log } of [first, second]) {
    await eventually(() => log.lines.some((line) => line.includes("is another client called virgo-n1? One name is connected once")));
  }
});

t.test("a user who may not connect is told so", async (t) => {
  const server = await mosquitto(t, ["allow_anonymous false"]);
  const { broker } = brokerOf(t, "n1", { url: server.url });
  broker.start();
  await eventually(() => /refuses the connection.*mqtt\.passwordFile/.test(String(broker.figures()["last_error"])));
  t.match(broker.figures(), { connected: 0, connections: 0 });
});

t.test("what cannot be sent is refused before", async (t) => {
  const server = await mosquitto(t);
  const broker = await opened(t, "n1", { url: server.url, maxMessageBytes: 256 });
  await t.rejects(broker.publish("a/#", "1"), { code: "ARGUMENT" });
  await t.rejects(broker.publish("", "1"), { code: "ARGUMENT" });
  await t.rejects(broker.publish("a", Buffer.alloc(257)), { code: "LIMIT" });
  t.throws(() => broker.subscribe("a/#/b", () => undefined), { code: "ARGUMENT" });
});

t.test("a listener that fails does not keep others from a message", async (t) => {
  const server = await mosquitto(t);
  const { broker, log } = brokerOf(t, "n1", { url: server.url });
  broker.start();
  broker.subscribe("a", () => {
    throw new Error("not today");
  });
  const lines = await heard(broker, "a");
  await broker.publish("a", "1", { qos: 1 });
  await eventually(() => lines.length === 1);
  t.ok(log.lines.includes("error mqtt: a message on a could not be taken"));
});
