import { join } from "node:path";

import t from "tap";

import { createSystemClock } from "../../agent/clock.ts";
import { createBroker, type OpenBroker } from "../../agent/mqtt/broker.ts";
import { createBrokerSize } from "../../agent/mqtt/broker-size.ts";
import { createOutbox } from "../../agent/mqtt/outbox.ts";
import { mqttOptionsSchema } from "../../agent/mqtt/options.ts";
import { eventually } from "../helpers/eventually.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { startMosquitto } from "../helpers/mosquitto.ts";

const clock = createSystemClock();
const TOO_LARGE = Buffer.alloc(5000, "x");

interface Teardown {
  teardown(handler: () => unknown): void;
  testdir(): string;
}

/** A broker that takes 2000 bytes, a node, and somebody who hears everything but what is said of nodes. */
async function limited(t: Teardown, protocol: 4 | 5, maxLosses = 3) {
  const server = await startMosquitto({ lines: ["max_packet_size 2000"] });
  t.teardown(() => server.close());
  const open = async (node: string) => {
    const log = createFakeLog();
    const options = mqttOptionsSchema.parse({ url: server.url, protocol, maxLosses, retryMinMs: 10, retryMaxMs: 20 });
    const broker: OpenBroker = createBroker(options, { node, clock, log, readSecrets: () => Promise.resolve({}) });
    t.teardown(() => broker.close());
    const connected = new Promise<void>((resolve) => broker.onConnect(resolve));
    return { broker, log, options, connected };
  };
  const watcher = await open("watcher");
  const heard: string[] = [];
  watcher.broker.subscribe("s/#", ({ topic, payload }) => heard.push(`${topic} ${payload.length}`), 1);
  watcher.broker.start();
  await watcher.connected;
  const node = await open("n1");
  const outbox = createOutbox({
    ...{ folder: join(t.testdir(), "outbox"), options: node.options.outbox, maxMessageBytes: node.options.maxMessageBytes },
    ...{ broker: node.broker, clock, log: node.log },
  });
  t.teardown(() => outbox.close());
  return { node, outbox, heard };
}

t.test(
  "what a broker of MQTT 3.1.1 ends every connection for is given up, said and counted, and what waits behind it arrives",
  async (t) => {
    const { node, outbox, heard } = await limited(t, 4);
    outbox.send({ topic: "s/1", payload: "before", policy: "queue" });
    outbox.send({ topic: "s/2", payload: TOO_LARGE, policy: "queue" });
    for (let i = 0; i < 5; i++) outbox.send({ topic: "s/3", payload: `behind ${i}`, policy: "queue" });
    outbox.start();
    node.broker.start();
    await eventually(() => heard.filter((line) => line.startsWith("s/3")).length >= 5);
    await eventually(() => outbox.figures()["waiting"] === 0);
    t.ok(heard.includes("s/1 6"));
    t.notOk(heard.some((line) => line.startsWith("s/2")));
    t.match(outbox.figures(), { sent: 6, refused: 1, waiting: 0 });
    t.match(node.broker.figures(), { losses: 3, connections: 4, topics_too_large: 1 });
    const said = node.log.lines.filter((line) => line.includes("s/2"));
    t.match(said, [/warn .* ended 3 connections in a row before 5003 bytes on s\/2 /, /warn .* s\/2 is given up: .*at most 4999 /]);
    await t.rejects(node.broker.publish("s/2", TOO_LARGE, { qos: 1 }), { code: "LIMIT" }, "nor is it sent by anybody else");
    await node.broker.publish("s/2", "small", { qos: 1 });
    t.match(node.broker.figures(), { losses: 3 }, "and the connection stays");
  },
);

t.test("the newest of a topic that is too large is given up likewise, and several topics one after the other", async (t) => {
  const { node, outbox, heard } = await limited(t, 4);
  node.broker.start();
  outbox.start();
  await node.connected;
  for (const topic of ["s/a", "s/b"]) outbox.send({ topic, payload: TOO_LARGE, policy: "latest", qos: 1, retain: true });
  outbox.send({ topic: "s/c", payload: "fine", policy: "latest", qos: 1 });
  await eventually(() => outbox.figures()["refused"] === 2 && outbox.figures()["latest_waiting"] === 0);
  await eventually(() => heard.includes("s/c 4"));
  t.match(node.broker.figures(), { topics_too_large: 2 });
});

t.test("a broker of MQTT 5 says how much it takes, and no connection is lost", async (t) => {
  const { node, outbox, heard } = await limited(t, 5);
  outbox.send({ topic: "s/2", payload: TOO_LARGE, policy: "queue" });
  outbox.send({ topic: "s/3", payload: "behind", policy: "queue" });
  outbox.start();
  node.broker.start();
  await eventually(() => heard.includes("s/3 6"));
  await eventually(() => outbox.figures()["waiting"] === 0);
  t.match(outbox.figures(), { sent: 1, refused: 1 });
  t.match(node.broker.figures(), { losses: 0, topics_too_large: 0 });
});

t.test("a message is taken for too large only when the broker ends one connection after the other with it", (t) => {
  const size = createBrokerSize(3);
  const loseWith = (topic: string, bytes: number, byBroker = true) => {
    size.acknowledged(10);
    size.sent(topic, bytes);
    return size.lost(byBroker);
  };
  t.equal(loseWith("a", 500), undefined);
  t.equal(loseWith("a", 500), undefined);
  t.equal(loseWith("a", 500, false), undefined, "a network that is silent says nothing");
  t.equal(size.maxBytes("a"), Infinity);
  t.equal(loseWith("b", 600), undefined, "another one was under way");
  t.equal(loseWith("a", 500), undefined, "not in a row any more");
  t.equal(loseWith("a", 500), undefined);
  t.strictSame(loseWith("a", 500), { topic: "a", bytes: 500, losses: 3 });
  t.equal(size.maxBytes("a"), 499);
  t.equal(size.maxBytes("b"), Infinity, "other topics are not concerned");
  t.equal(size.topics, 1);
  size.acknowledged(700);
  for (let i = 0; i < 9; i++) t.equal(loseWith("b", 700), undefined, "one as large was acknowledged: it is something else");
  t.end();
});

t.test("what is suspected is sent alone, and not before the connection has carried something", (t) => {
  const size = createBrokerSize(3);
  t.ok(size.maySend(1000), "nothing is suspected");
  size.sent("a", 500);
  size.lost(true);
  t.notOk(size.maySend(500), "nothing was acknowledged on this connection");
  size.acknowledged(20);
  t.ok(size.maySend(500));
  size.sent("a", 500);
  t.ok(size.maySend(20), "as large as what was acknowledged");
  t.notOk(size.maySend(21), "not beside it");
  size.acknowledged(500);
  t.ok(size.maySend(5000), "it was taken: nothing is suspected any more");
  t.end();
});
