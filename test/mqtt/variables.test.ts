import t from "tap";

import { createSystemClock } from "../../agent/clock.ts";
import { loadConfig } from "../../agent/config/load.ts";
import { limitsSchema } from "../../agent/contract/limits.ts";
import { createBroker, type OpenBroker } from "../../agent/mqtt/broker.ts";
import { mqttOptionsSchema } from "../../agent/mqtt/options.ts";
import { mqttSinkSchema } from "../../analytics/sinks/options.ts";
import { startMqttSink } from "../../analytics/sinks/mqtt.ts";
import { startMqttSource } from "../../analytics/sources/mqtt.ts";
import { createVariableStore } from "../../analytics/store.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { startMosquitto, type Mosquitto } from "../helpers/mosquitto.ts";
import { eventually, startAgent } from "../helpers/start-agent.ts";
import type { Broker, BrokerMessage, OutboxMessage } from "../../agent/contract/broker.ts";

function createScripted() {
  const takers: ((message: BrokerMessage) => void)[] = [];
  const onConnect = new Set<() => void>();
  const published: { topic: string; text: string; done: () => void; fail: () => void }[] = [];
  let connected = true;
  const broker: Broker = {
    get connected() {
      return connected;
    },
    protocol: 5,
    publish: (topic, payload) =>
      new Promise((resolve, reject) => {
        published.push({ topic, text: String(payload), done: resolve, fail: () => reject(new Error("lost")) });
      }),
    subscribe(_filter, listener) {
      takers.push(listener);
      return () => takers.splice(takers.indexOf(listener), 1);
    },
    onConnect(listener) {
      onConnect.add(listener);
      if (connected) listener();
      return () => onConnect.delete(listener);
    },
    onDisconnect: () => () => undefined,
    figures: () => ({}),
    close: () => Promise.resolve(),
  };
  return {
    broker,
    published,
    deliver: (topic: string, payload: string, more: Partial<BrokerMessage> = {}) => {
      const message = { topic, payload: Buffer.from(payload), retained: false, duplicate: false, qos: 0, properties: {}, ...more } as const;
      for (const take of takers) take(message);
    },
    connect: (to: boolean) => {
      connected = to;
      if (to) for (const listener of onConnect) listener();
    },
  };
}

function sourceWith(options: { readonly filter?: string; readonly retained?: boolean } = {}) {
  const clock = createFakeClock();
  const log = createFakeLog();
  const limits = limitsSchema.parse({});
  const variables = createVariableStore({ clock, limits, declared: { rpm: { staleMs: 1000, min: 0, max: 9000 } }, defaultStaleMs: 2000 });
  const scripted = createScripted();
  const source = startMqttSource({
    variables,
    limits,
    clock,
    log,
    broker: scripted.broker,
    filter: "virgo/analytics/#",
    qos: 0,
    retained: false,
    ...options,
  });
  return { ...scripted, clock, variables, source, value: (name: string) => variables.get(name)?.value };
}

t.test("a payload is a value named by its topic, pairs, or a JSON object", (t) => {
  const { deliver, value, source } = sourceWith();
  deliver("virgo/analytics/speed", "11.2");
  deliver("virgo/analytics/gps/fix", " true \n");
  deliver("virgo/analytics/scan", "[1 2 3]");
  deliver("virgo/analytics/text", '"a=b, c"');
  deliver("virgo/analytics", "a=1,b=[4 5]\nc=x");
  deliver("virgo/analytics/any", '{"temperature": 21.5, "lit": false, "gear": "D", "list": [1, 2], "none": null, "deep": {"a": 1}}');
  t.same(["speed", "gps_fix", "scan", "text", "a", "b", "c", "temperature", "lit", "gear", "list"].map(value), [
    11.2,
    true,
    [1, 2, 3],
    "a=b, c",
    1,
    [4, 5],
    "x",
    21.5,
    false,
    "D",
    [1, 2],
  ]);
  t.match(source.state(), { messages: 6, pairs: 11, refused: 1, malformed: 0, connected: true });
  t.end();
});

t.test("a filter without wildcards, or with one in the middle, names what it stands for", (t) => {
  const plain = sourceWith({ filter: "site/outside/temperature" });
  plain.deliver("site/outside/temperature", "3");
  t.equal(plain.value("temperature"), 3);
  const middle = sourceWith({ filter: "site/+/temperature" });
  middle.deliver("site/kitchen/temperature", "20");
  t.equal(middle.value("kitchen_temperature"), 20);
  t.end();
});

t.test("what cannot be understood or is out of range is counted, and changes nothing", (t) => {
  const { deliver, value, source } = sourceWith();
  deliver("virgo/analytics/rpm", "100");
  deliver("virgo/analytics/rpm", "100000");
  deliver("virgo/analytics/rpm", "nan");
  deliver("virgo/analytics/x", '{"rpm": ');
  deliver("virgo/analytics/x", "=1,rpm=");
  deliver("virgo/analytics/rpm", "");
  deliver("virgo/analytics/a b", "1");
  t.equal(value("rpm"), 100);
  t.match(source.state(), { malformed: 2, refused: 4 });
  t.match(source.state().lastRefusal, /a b/);
  t.end();
});

t.test("what the broker had stored is ignored unless it is asked for", (t) => {
  const careful = sourceWith();
  careful.deliver("virgo/analytics/speed", "1", { retained: true });
  t.equal(careful.value("speed"), undefined);
  t.match(careful.source.state(), { retainedIgnored: 1 });
  const asked = sourceWith({ retained: true });
  asked.deliver("virgo/analytics/speed", "1", { retained: true });
  t.equal(asked.value("speed"), 1);
  t.end();
});

t.test("what has expired is ignored and counted", async (t) => {
  const { deliver, value, source, clock } = sourceWith();
  const nowMs = clock.wallMs();
  deliver("virgo/analytics/a", "1", { properties: { exp: String(nowMs + 100) } });
  deliver("virgo/analytics/b", "1", { properties: { exp: String(nowMs) } });
  deliver("virgo/analytics/b", "1", { properties: { exp: "soon" } });
  deliver("virgo/analytics/x", `{"c": 1, "exp": ${nowMs + 1}}`);
  deliver("virgo/analytics/x", `{"b": 1, "exp": ${nowMs - 1}}`);
  t.same([value("a"), value("b"), value("c"), value("exp")], [1, undefined, 1, undefined]);
  t.match(source.state(), { expired: 3 });
  await source.close();
  deliver("virgo/analytics/late", "1");
  t.equal(value("late"), undefined);
});

function sinkWith(options: object) {
  const clock = createFakeClock();
  const log = createFakeLog();
  const variables = createVariableStore({ clock, limits: limitsSchema.parse({}), declared: {}, defaultStaleMs: 60_000 });
  const scripted = createScripted();
  const queued: OutboxMessage[] = [];
  let full = false;
  const outbox = {
    send(message: OutboxMessage) {
      if (full) throw new Error("full");
      queued.push(message);
    },
    figures: () => ({}),
  };
  const spec = mqttSinkSchema.parse({ mqtt: "site/v", ...options });
  const sink = startMqttSink({ ...spec, topic: spec.mqtt, selected: spec, variables, clock, log, broker: scripted.broker, outbox });
  return {
    ...scripted,
    clock,
    log,
    variables,
    queued,
    sink,
    texts: () => scripted.published.map(({ text }) => text),
    setFull: (to: boolean) => (full = to),
  };
}

t.test("a table of 360 distances is one short message", async (t) => {
  const { variables, clock, texts } = sinkWith({});
  variables.set(
    "scan",
    Array.from({ length: 360 }, (_, i) => (100 + i) / 100),
    "test",
  );
  await clock.advance(1);
  t.equal(texts().length, 1);
  t.match(texts()[0], /^scan=\[1 1\.01 1\.02 .* 4\.59\]\n$/);
  t.ok((texts()[0]?.length ?? 0) < 360 * 6);
});

t.test("latest: one message is under way, what changes meanwhile goes with the next, and everything once after a loss", async (t) => {
  const { variables, clock, texts, published, connect, sink } = sinkWith({});
  variables.set("a", 1, "test");
  await clock.advance(1);
  variables.set("a", 2, "test");
  await clock.advance(1);
  variables.set("a", 3, "test");
  variables.set("b", 1, "test");
  await clock.advance(1);
  t.same(texts(), ["a=1\n"]);
  published[0]?.done();
  await clock.advance(1);
  t.same(texts(), ["a=1\n", "a=3\nb=1\n"]);
  connect(false);
  published[1]?.fail();
  variables.set("a", 4, "test");
  await clock.advance(1000);
  t.equal(texts().length, 2);
  connect(true);
  await clock.advance(1);
  t.same(texts()[2], "a=4\nb=1\n");
  published[2]?.done();
  await clock.advance(1000);
  t.equal(texts().length, 3);
  t.match(sink.state(), { lines: 2, errors: 1, connected: true });
  await sink.close();
  t.equal(clock.pending(), 0);
});

t.test("queue and drop hand every message on; a message for each variable has its name in the topic", async (t) => {
  const all = sinkWith({ policy: "queue", qos: 1 });
  all.variables.set("a", 1, "test");
  all.variables.set("b", "x y", "test");
  await all.clock.advance(1);
  t.match(all.queued, [{ topic: "site/v", payload: "a=1\nb=x y\n", policy: "queue", qos: 1, retain: false }]);
  all.setFull(true);
  all.variables.set("a", 2, "test");
  await all.clock.advance(1);
  t.match(all.sink.state(), { dropped: 1, errors: 1, lines: 1 });
  const each = sinkWith({ mqtt: "site/{name}/value", policy: "drop", retain: true });
  each.variables.set("a", 1.5, "test");
  each.variables.set("t+1", "7", "test");
  await each.clock.advance(1);
  t.same(
    each.queued.map(({ topic, payload }) => [topic, payload]),
    [
      ["site/a/value", "1.5"],
      ["site/t_1/value", '"7"'],
    ],
  );
  const json = sinkWith({ policy: "drop", format: "json" });
  json.variables.set("scan", [1, 2], "test");
  await json.clock.advance(1);
  t.same(JSON.parse(String(json.queued[0]?.payload)), { time: json.clock.wallMs() - 1, scan: [1, 2] });
});

async function mosquitto(t: { teardown(handler: () => unknown): void }): Promise<Mosquitto> {
  const server = await startMosquitto();
  t.teardown(() => server.close());
  return server;
}

t.test("two agents: what one publishes the other has as variables, also what was queued while the broker was away", async (t) => {
  const server = await mosquitto(t);
  const mqtt = `mqtt: { url: "${server.url}", retryMinMs: 10, retryMaxMs: 20 }\n`;
  const sink = `analytics: { sinks: [{ mqtt: "site/{name}", variables: ["n*"], policy: queue }] }\n`;
  const from = await startAgent(t, `node: one\n${mqtt}${sink}`);
  const to = await startAgent(t, `node: two\n${mqtt}analytics: { sources: [{ mqtt: site/#, qos: 1 }] }\n`);
  const connected = async (): Promise<boolean> =>
    (await Promise.all([from.ask("INFO mqtt"), to.ask("INFO mqtt")])).every((info) => info.includes("connected:1"));
  await eventually(connected);
  from.agent.variables.set("n1", 7, "test");
  await eventually(() => to.agent.variables.get("n1")?.value === 7);
  await server.stop();
  await eventually(async () => (await from.ask("INFO mqtt")).includes("connected:0"));
  from.agent.variables.set("n1", 8, "test");
  await eventually(async () => (await from.ask("INFO outbox")).includes("waiting:1"));
  await server.start();
  const subscriber: OpenBroker = createBroker(mqttOptionsSchema.parse({ url: server.url }), {
    node: "s",
    clock: createSystemClock(),
    log: createFakeLog(),
    readSecrets: () => Promise.resolve({}),
  });
  t.teardown(() => subscriber.close());
  subscriber.start();
  await eventually(connected);
  from.agent.variables.set("n2", 9, "test");
  await eventually(() => to.agent.variables.get("n2")?.value === 9);
  t.equal(to.agent.variables.get("n2")?.source, "mqtt site/#");
  t.match(await from.ask("INFO"), /sink mqtt site\/\{name\}/);
});

t.test("a source or sink on a broker needs one, and a filter that is one", (t) => {
  const folder = t.testdir({
    "none.yaml": "analytics: { sources: [{ mqtt: a/# }], sinks: [{ mqtt: b }] }\n",
    "bad.yaml": "mqtt: { url: 'mqtt://b' }\nanalytics: { sources: [{ mqtt: a/#/b }] }\n",
  });
  const reasons = (file: string): string[] => loadConfig(`${folder}/${file}`, [], {}).problems.map(({ reason }) => reason);
  t.same(reasons("none.yaml"), [
    "analytics.sources[0] is on a broker, but none is configured",
    "analytics.sinks[0] is on a broker, but none is configured",
  ]);
  t.equal(reasons("bad.yaml").length, 1);
  t.end();
});
