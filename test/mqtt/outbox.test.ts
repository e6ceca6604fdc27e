import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import fc from "fast-check";
import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { createOutbox, type OpenOutbox } from "../../agent/mqtt/outbox.ts";
import { messageRecord, readMessage, readSequence } from "../../agent/mqtt/outbox-records.ts";
import { createOutboxWindow } from "../../agent/mqtt/outbox-window.ts";
import { mqttOptionsSchema } from "../../agent/mqtt/options.ts";
import { eventually } from "../helpers/eventually.ts";
import { createFakeClock, type FakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import type { Broker, PublishOptions } from "../../agent/contract/broker.ts";

interface Sent {
  readonly topic: string;
  readonly text: string;
  readonly options: PublishOptions;
  acknowledge(): void;
  refuse(code: "IO" | "FULL" | "DENIED"): void;
}

/** A broker that answers when the test says so. */
function createScriptedBroker() {
  const sent: Sent[] = [];
  const listeners = new Set<() => void>();
  let connected = false;
  const open = new Set<Sent>();
  const broker: Broker = {
    get connected() {
      return connected;
    },
    protocol: 5,
    publish(topic, payload, options = {}) {
      if (!connected) return Promise.reject(new AgentError("NOT_READY", "not connected"));
      return new Promise((resolve, reject) => {
        const one: Sent = {
          topic,
          text: Buffer.from(payload as string).toString(),
          options,
          acknowledge() {
            open.delete(one);
            resolve();
          },
          refuse(code) {
            open.delete(one);
            reject(new AgentError(code, "as the test says"));
          },
        };
        sent.push(one);
        open.add(one);
      });
    },
    subscribe: () => () => undefined,
    onConnect(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onDisconnect: () => () => undefined,
    figures: () => ({}),
    close: () => Promise.resolve(),
  };
  return {
    broker,
    sent,
    texts: () => sent.map(({ text }) => text),
    connect() {
      connected = true;
      for (const listener of listeners) listener();
    },
    lose() {
      connected = false;
      for (const one of open) one.refuse("IO");
    },
    acknowledgeAll() {
      for (const one of open) one.acknowledge();
    },
  };
}

function start(folder: string, broker: Broker, options: object = {}, clock: FakeClock = createFakeClock()) {
  const parsed = mqttOptionsSchema.parse({ url: "mqtt://b", outbox: options });
  const log = createFakeLog();
  const outbox = createOutbox({ folder, options: parsed.outbox, maxMessageBytes: parsed.maxMessageBytes, broker, clock, log });
  outbox.start();
  return { outbox, clock, log };
}

const queued = (outbox: OpenOutbox, ...texts: readonly string[]): void => {
  for (const payload of texts) outbox.send({ topic: "t", payload, policy: "queue" });
};

const waiting = (outbox: OpenOutbox): number => Number(outbox.figures()["waiting"]);

/** Lets time pass until it holds: acknowledgements are written, what is paced is sent. */
async function until(clock: FakeClock, check: () => boolean): Promise<void> {
  await eventually(async () => {
    await clock.advance(10);
    return check();
  });
}

t.test("what is queued without a connection is sent in order once there is one, each with an id of its own", async (t) => {
  const scripted = createScriptedBroker();
  const { outbox, clock } = start(t.testdir(), scripted.broker);
  queued(outbox, "1", "2", "3");
  await eventually(() => waiting(outbox) === 3);
  t.same(scripted.texts(), []);
  scripted.connect();
  await until(clock, () => scripted.sent.length === 3);
  t.same(scripted.texts(), ["1", "2", "3"]);
  const ids = scripted.sent.map(({ options }) => options.properties?.["id"]);
  t.equal(new Set(ids).size, 3);
  t.match(scripted.sent[0]?.options, { qos: 1, retain: false });
  scripted.acknowledgeAll();
  await until(clock, () => waiting(outbox) === 0);
  await outbox.close();
});

t.test("what was not acknowledged is sent again, from the oldest on and with the same id", async (t) => {
  const scripted = createScriptedBroker();
  const { outbox, clock } = start(t.testdir(), scripted.broker);
  scripted.connect();
  queued(outbox, "1", "2", "3");
  await until(clock, () => scripted.sent.length === 3);
  scripted.sent[0]?.acknowledge();
  await clock.advance(1);
  scripted.lose();
  await clock.advance(1);
  scripted.connect();
  await until(clock, () => scripted.sent.length === 5);
  t.same(scripted.texts(), ["1", "2", "3", "2", "3"]);
  t.equal(scripted.sent[1]?.options.properties?.["id"], scripted.sent[3]?.options.properties?.["id"]);
  scripted.acknowledgeAll();
  await until(clock, () => waiting(outbox) === 0);
  t.match(outbox.figures(), { sent: 3, repeated: 2 });
  await outbox.close();
});

t.test("a restart finds what was not acknowledged, and nothing else", async (t) => {
  const folder = t.testdir();
  const first = createScriptedBroker();
  const before = start(folder, first.broker);
  first.connect();
  queued(before.outbox, "1", "2", "3", "4");
  await until(before.clock, () => first.sent.length === 4);
  first.sent[0]?.acknowledge();
  first.sent[1]?.acknowledge();
  await before.clock.advance(200);
  first.lose();
  await before.outbox.close();
  const second = createScriptedBroker();
  const after = start(folder, second.broker);
  queued(after.outbox, "5");
  second.connect();
  await until(after.clock, () => second.sent.length === 3);
  t.same(second.texts(), ["3", "4", "5"]);
  second.acknowledgeAll();
  await until(after.clock, () => waiting(after.outbox) === 0);
  await after.outbox.close();
  const third = createScriptedBroker();
  const last = start(folder, third.broker);
  third.connect();
  await eventually(() => last.outbox.figures()["waiting"] === 0);
  t.same(third.sent, []);
  await last.outbox.close();
});

t.test("a crash loses nothing that was taken; what was acknowledged just before comes twice at most", async (t) => {
  const folder = t.testdir({ one: {}, copy: {} });
  const scripted = createScriptedBroker();
  const { outbox, clock } = start(join(folder, "one"), scripted.broker);
  queued(outbox, ...Array.from({ length: 100 }, (_, i) => String(i)));
  await eventually(() => waiting(outbox) === 100);
  // As the disk is found when the process was killed.
  for (const name of readdirSync(join(folder, "one"))) writeFileSync(join(folder, "copy", name), readFileSync(join(folder, "one", name)));
  const later = createScriptedBroker();
  const revived = start(join(folder, "copy"), later.broker);
  later.connect();
  await until(revived.clock, () => {
    later.acknowledgeAll();
    return later.sent.length >= 100;
  });
  t.same(
    later.texts(),
    Array.from({ length: 100 }, (_, i) => String(i)),
  );
  later.acknowledgeAll();
  await revived.outbox.close();
  await clock.advance(0);
  await outbox.close();
});

t.test("more than is in memory at once is read from disk, in order, while more is queued", async (t) => {
  const scripted = createScriptedBroker();
  const { outbox, clock } = start(t.testdir(), scripted.broker, { maxPerS: 100_000, maxInFlight: 1000 });
  const pad = "x".repeat(10_000);
  const total = 600;
  for (let i = 0; i < total / 2; i++) queued(outbox, `${i} ${pad}`);
  await eventually(() => waiting(outbox) === total / 2);
  scripted.connect();
  let queuedNext = total / 2;
  await until(clock, () => {
    if (queuedNext < total) queued(outbox, `${queuedNext++} ${pad}`);
    scripted.acknowledgeAll();
    return scripted.sent.length === total;
  });
  t.same(
    scripted.texts().map((text) => parseInt(text)),
    Array.from({ length: total }, (_, i) => i),
  );
  await until(clock, () => waiting(outbox) === 0);
  t.match(outbox.figures(), { dropped_full: 0, unreadable: 0, refused: 0 });
  await outbox.close();
});

t.test("beyond its bytes the oldest are dropped and counted", async (t) => {
  const scripted = createScriptedBroker();
  const { outbox, clock, log } = start(t.testdir(), scripted.broker, { maxBytes: 8 * 1024 * 1024, maxPerS: 100_000 });
  const pad = "x".repeat(100_000);
  for (let i = 0; i < 150; i++) {
    queued(outbox, `${i} ${pad}`);
    if (i % 20 === 0) await eventually(() => waiting(outbox) + Number(outbox.figures()["dropped_full"]) === i + 1);
  }
  await eventually(() => waiting(outbox) + Number(outbox.figures()["dropped_full"]) === 150);
  const dropped = Number(outbox.figures()["dropped_full"]);
  t.ok(dropped >= 66 && dropped <= 90, `${dropped} dropped`);
  t.ok(Number(outbox.figures()["bytes"]) <= 8 * 1024 * 1024);
  t.equal(log.lines.filter((line) => line.includes("oldest messages are dropped")).length, 1);
  scripted.connect();
  await until(clock, () => {
    scripted.acknowledgeAll();
    return waiting(outbox) === 0;
  });
  t.same(
    scripted.texts().map((text) => parseInt(text)),
    Array.from({ length: 150 - dropped }, (_, i) => i + dropped),
  );
  await outbox.close();
});

t.test("what has become too old is dropped and counted", async (t) => {
  const scripted = createScriptedBroker();
  const { outbox, clock } = start(t.testdir(), scripted.broker, { maxAgeS: 10 });
  queued(outbox, "old");
  await eventually(() => waiting(outbox) === 1);
  await clock.advance(11_000);
  queued(outbox, "new");
  await eventually(() => waiting(outbox) === 2);
  scripted.connect();
  await until(clock, () => scripted.sent.length === 1);
  t.same(scripted.texts(), ["new"]);
  t.match(outbox.figures(), { dropped_old: 1 });
  scripted.acknowledgeAll();
  await outbox.close();
});

t.test("no more are sent each second than its pace allows", async (t) => {
  const scripted = createScriptedBroker();
  const { outbox, clock } = start(t.testdir(), scripted.broker, { maxPerS: 100 });
  queued(outbox, ...Array.from({ length: 500 }, (_, i) => String(i)));
  await eventually(() => waiting(outbox) === 500);
  scripted.connect();
  for (let i = 0; i < 100; i++) {
    await clock.advance(10);
    scripted.acknowledgeAll();
  }
  t.ok(scripted.sent.length >= 95 && scripted.sent.length <= 105, `${scripted.sent.length} in a second`);
  scripted.acknowledgeAll();
  await outbox.close();
});

t.test("what the broker will never take is given up, the rest goes on", async (t) => {
  const scripted = createScriptedBroker();
  const { outbox, clock, log } = start(t.testdir(), scripted.broker, { maxInFlight: 1 });
  scripted.connect();
  queued(outbox, "1", "2");
  await until(clock, () => scripted.sent.length === 1);
  scripted.sent[0]?.refuse("DENIED");
  await until(clock, () => scripted.sent.length === 2);
  scripted.sent[1]?.refuse("FULL");
  await until(clock, () => scripted.sent.length === 3);
  scripted.acknowledgeAll();
  await until(clock, () => waiting(outbox) === 0);
  t.same(scripted.texts(), ["1", "2", "2"]);
  t.match(outbox.figures(), { refused: 1, sent: 1 });
  t.ok(log.lines.some((line) => line.includes("a message on t is given up")));
  await outbox.close();
});

t.test("of latest only the newest is sent, never an older one after it; of drop nothing waits", async (t) => {
  const scripted = createScriptedBroker();
  const { outbox, clock } = start(t.testdir(), scripted.broker, { maxTopics: 2 });
  const latest = (topic: string, payload: string): void => outbox.send({ topic, payload, policy: "latest", qos: 1, retain: true });
  latest("a", "1");
  latest("a", "2");
  latest("b", "1");
  t.throws(() => latest("c", "1"), { code: "FULL" });
  outbox.send({ topic: "d", payload: "gone", policy: "drop" });
  scripted.connect();
  t.same(
    scripted.sent.map(({ topic, text }) => `${topic} ${text}`),
    ["a 2", "b 1"],
  );
  latest("a", "3");
  latest("a", "4");
  t.equal(scripted.sent.length, 2, "one of a topic is under way at a time");
  scripted.sent[0]?.acknowledge();
  await clock.advance(0);
  t.equal(scripted.sent[2]?.text, "4");
  scripted.lose();
  await clock.advance(0);
  latest("a", "5");
  scripted.connect();
  await clock.advance(300);
  t.same(
    scripted.sent.slice(3).map(({ topic, text }) => `${topic} ${text}`),
    ["a 5", "b 1"],
  );
  scripted.acknowledgeAll();
  await clock.advance(0);
  t.match(outbox.figures(), { latest_waiting: 0, latest_sent: 3, latest_replaced: 4, dropped_offline: 1 });
  await outbox.close();
  t.equal(clock.pending(), 0);
});

t.test("what can never be sent is refused at once", async (t) => {
  const { outbox } = start(t.testdir(), createScriptedBroker().broker);
  t.throws(() => outbox.send({ topic: "a/#", payload: "", policy: "queue" }), { code: "ARGUMENT" });
  t.throws(() => outbox.send({ topic: "a", payload: Buffer.alloc(1_048_577), policy: "latest" }), { code: "LIMIT" });
  await outbox.close();
});

t.test("an outbox that cannot be opened says so, and takes only so much", async (t) => {
  const folder = t.testdir({ file: "not a folder" });
  const { outbox, log } = start(join(folder, "file"), createScriptedBroker().broker);
  await eventually(() => log.lines.some((line) => line.includes("the outbox cannot be opened")));
  const payload = Buffer.alloc(1_000_000);
  for (let i = 0; i < 4; i++) outbox.send({ topic: "a", payload, policy: "queue" });
  t.throws(() => outbox.send({ topic: "a", payload, policy: "queue" }), { code: "FULL" });
  await outbox.close();
});

t.test("records are read as they were written, and nothing else is taken for one", (t) => {
  fc.assert(
    fc.property(fc.nat(), fc.nat(), fc.string(), fc.uint8Array(), fc.boolean(), (sequence, takenMs, topic, bytes, retain) => {
      fc.pre(!/[\ud800-\udfff]/u.test(topic));
      const message = { sequence, takenMs, id: "r-1", topic, payload: Buffer.from(bytes), retain };
      const record = Buffer.from(messageRecord(message), "latin1");
      t.same(readMessage(record), message);
      t.same(readSequence(record), { sequence, done: false });
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      readMessage(Buffer.from(bytes));
      readSequence(Buffer.from(bytes));
    }),
  );
  t.equal(readMessage(Buffer.from("M1 2 id 0 9\nabc")), undefined);
  t.equal(readSequence(Buffer.from("X1")), undefined);
  t.end();
});

t.test("the window gives out what is not done with, whatever order it is finished in", (t) => {
  fc.assert(
    fc.property(fc.array(fc.nat(4), { maxLength: 200 }), (steps) => {
      const window = createOutboxWindow();
      const model: number[] = [];
      let made = 0;
      const out: number[] = [];
      for (const step of steps) {
        if (step <= 1) {
          made += 1;
          model.push(made);
          window.add({ sequence: made, takenMs: 0, id: "", topic: "t", payload: Buffer.alloc(0), retain: false });
        } else if (step === 2) {
          const next = window.next();
          if (next !== undefined) out.push(next.sequence);
        } else if (step === 3) {
          const [last] = out.splice(-1);
          if (last !== undefined) {
            window.finish(last);
            model.splice(model.indexOf(last), 1);
          }
        } else {
          window.rewind();
          out.length = 0;
        }
      }
      window.rewind();
      const left: number[] = [];
      for (let next = window.next(); next !== undefined; next = window.next()) left.push(next.sequence);
      t.same(left, model);
      for (const sequence of left) window.finish(sequence);
      t.equal(window.byteLength, 0);
    }),
    { numRuns: 200 },
  );
  t.end();
});
