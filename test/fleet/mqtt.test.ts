import fc from "fast-check";
import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { errorReply, valueReply, type Caller, type Reply, type Request, type Service } from "../../agent/contract/request.ts";
import { openBrokerFleet } from "../../agent/fleet/mqtt.ts";
import { announcedDevices, parseBirth } from "../../agent/fleet/mqtt-birth.ts";
import { brokerFleetOptionsSchema } from "../../agent/fleet/options.ts";
import { createFakeClock, settled } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { createFakeBroker } from "../mqtt/fake-broker.ts";

interface Sent {
  readonly id: string;
  readonly [name: string]: unknown;
}

const DEVICES = [
  { id: "lamp", driver: "relay", state: "ready", reason: null, functions: [{ name: "lamp.on", effect: "actuate", summary: "" }] },
];

/** Node garage with a broker in the test's hands. */
function rig(over: object = {}) {
  const clock = createFakeClock();
  const log = createFakeLog();
  const broker = createFakeBroker();
  const own: { asked: { request: Request; caller: Caller }[]; reply: (request: Request) => Reply | Promise<Reply>; load: number } = {
    asked: [],
    reply: () => valueReply(DEVICES),
    load: 0,
  };
  const devices: Service = {
    verbs: [],
    handle(request, caller) {
      if (request.verb !== "DEVICES") own.asked.push({ request, caller });
      return own.reply(request);
    },
  };
  const options = brokerFleetOptionsSchema.parse({ enabled: true, ...over });
  const fleet = openBrokerFleet({
    ...{ broker, base: "virgo", options, node: "garage", version: "1.2.3", devices, permits: undefined },
    ...{ load: () => own.load, clock, log },
  });
  let number = 0;
  return {
    ...{ clock, log, broker, own, fleet },
    /** What was published on the topic, as JSON. */
    sent: (topic: string) =>
      broker.published.filter((message) => message.topic === topic).map(({ payload }) => JSON.parse(payload) as Sent),
    birth: (node: string, birth: object = {}, retained = false): void => {
      number += 1;
      const functions = [
        { name: "lamp.on", effect: "actuate" },
        { name: "lamp.state", effect: "read" },
      ];
      const known = {
        node,
        version: "1",
        boot: "b",
        number,
        since: 0,
        load: 0,
        addresses: [],
        devices: [{ id: "lamp", state: "ready", functions }],
      };
      broker.deliver(`virgo/${node}/birth`, JSON.stringify({ ...known, ...birth }), { retained });
    },
    status: (node: string, status: string, retained = false) => broker.deliver(`virgo/${node}/status`, status, { retained }),
    answer: (id: string | undefined, answer: object) => broker.deliver("virgo/garage/fleet/answer", JSON.stringify({ id, ...answer })),
    order: (order: object) => broker.deliver("virgo/garage/fleet/clone", JSON.stringify(order)),
    names: () => fleet.candidates("lamp.on").map(({ name, down }) => (down ? `(${name})` : name)),
    text: (asked: Promise<Reply>) => asked.then(textOf),
    clone: (words: string, deadlineMs = 2000) => fleet.ask("shed", { verb: "CLONE", args: words.split(" ") }, deadlineMs),
  };
}

function textOf(reply: Reply): string {
  if (reply.kind === "error") return `${reply.error.code} ${reply.error.message}`;
  return reply.kind === "value" ? JSON.stringify(reply.value) : reply.text;
}

const GRANT = { status: "ok", data: { token: "run.1", leaseMs: 1000 } };

t.test(
  "a node announces itself with every connection, when something has changed, and regularly, each time with a higher number",
  async (t) => {
    const { clock, broker, own, fleet, sent } = rig({ addresses: ["10.0.0.1:6390"] });
    await clock.advance(5000);
    t.strictSame(broker.published, [], "not without a connection");
    broker.connect();
    await settled();
    t.match(broker.published, [{ topic: "virgo/garage/birth", options: { qos: 1, retain: true } }]);
    const [birth] = sent("virgo/garage/birth");
    t.match(birth, { node: "garage", version: "1.2.3", number: 1, load: 0, addresses: ["10.0.0.1:6390"] });
    t.strictSame(birth?.["devices"], [{ id: "lamp", state: "ready", functions: [{ name: "lamp.on", effect: "actuate" }] }]);
    own.load = 0.4;
    await clock.advance(1000);
    t.equal(sent("virgo/garage/birth").length, 1, "a small step is nothing to say");
    own.load = 0.5;
    await clock.advance(999);
    t.equal(sent("virgo/garage/birth").length, 1, "and none is said at once");
    await clock.advance(1);
    t.match(sent("virgo/garage/birth").at(-1), { number: 2, load: 0.5 });
    t.strictSame(broker.published.at(-1)?.options, { qos: 0 }, "what changes all the time is for those who are there, and is not stored");
    own.reply = () => valueReply([{ ...DEVICES[0], state: "faulted" }]);
    await clock.advance(1000);
    t.match(sent("virgo/garage/birth").at(-1), { number: 3, devices: [{ state: "faulted" }] });
    t.strictSame(broker.published.at(-1)?.options, { qos: 1, retain: true });
    own.reply = () => errorReply(new AgentError("NOT_READY", "the device host starts"));
    await clock.advance(30_000);
    t.equal(sent("virgo/garage/birth").length, 3, "whoever does not know what it has says nothing");
    own.reply = () => valueReply([]);
    await clock.advance(1000);
    await clock.advance(10_000);
    t.equal(sent("virgo/garage/birth").length, 5, "renewed");
    broker.lose("gone");
    broker.connect();
    await settled();
    t.equal(sent("virgo/garage/birth").length, 6);
    broker.deliver("virgo/garage/status", "offline");
    await settled();
    t.match(broker.published.at(-2), { topic: "virgo/garage/status", payload: "online", options: { retain: true } });
    t.match(broker.published.at(-1), { topic: "virgo/garage/birth" }, "the broker's word for an older connection is not left standing");
    fleet.close();
    t.equal(clock.pending(), 0);
  },
);

t.test("a node is chosen while it is online and renews itself, and by its last word only", async (t) => {
  const { clock, broker, birth, status, names, fleet } = rig();
  broker.connect();
  birth("shed", {}, true);
  t.strictSame(names(), ["shed"]);
  status("shed", "offline");
  t.strictSame(names(), []);
  birth("shed", { number: 1 }, true);
  t.strictSame(names(), [], "the broker repeats what it kept");
  status("shed", "online");
  t.strictSame(names(), ["shed"]);
  status("shed", "offline", true);
  birth("shed");
  t.strictSame(names(), ["shed"], "who speaks now is there, whatever was said of an older connection");
  await clock.advance(30_000);
  t.strictSame(names(), ["shed"]);
  await clock.advance(1);
  t.strictSame(names(), []);
  birth("shed", { number: 2 }, true);
  t.strictSame(names(), [], "what the broker repeats is no younger for it");
  t.match(fleet.states(), [{ node: "shed", health: "down", reason: "not heard of for 30 s", address: "mqtt" }]);
  birth("shed", { load: 2, addresses: ["10.0.0.7:6390"] });
  t.match(fleet.states(), [{ node: "shed", health: "up", reason: null, load: 2, address: "mqtt 10.0.0.7:6390" }]);
  birth("shed", { boot: "c", number: 1, devices: [] });
  t.strictSame(names(), [], "started again, without the lamp");
  birth("attic", { devices: [{ id: "lamp", state: "faulted", functions: [{ name: "lamp.on" }] }] });
  t.match(fleet.candidates("lamp.on"), [{ name: "attic", ready: false }]);
  broker.lose("gone");
  t.strictSame(names(), []);
  t.match(fleet.states()[1], { health: "down", reason: "this node has no connection to the broker" });
  fleet.close();
});

t.test("found nodes are asked whether they answer, and those that do not are told apart", async (t) => {
  const { clock, broker, birth, status, answer, sent, names, fleet } = rig();
  broker.connect();
  birth("shed", { version: "1.2.0", since: 5, load: 0.5 });
  birth("attic", {}, true);
  birth("barn");
  status("barn", "offline");
  await clock.advance(2000);
  const surveyed = fleet.survey(500);
  await settled();
  const [asked] = sent("virgo/shed/fleet/clone");
  t.strictSame(Object.keys(asked ?? {}), ["id", "controller"], "nothing is to be done");
  await clock.advance(30);
  answer(asked?.id, { status: "ok", data: "PONG" });
  await clock.advance(470);
  const reports = await surveyed;
  t.match(reports, [
    { node: "shed", health: "up", load: 0.5, broker: { version: "1.2.0", since: 5, heardS: 3, online: true, answeredMs: 30 } },
    { node: "attic", health: "down", reason: "it has not answered within 500 ms", broker: { online: true, answeredMs: null } },
    { node: "barn", health: "down", reason: "it is offline", broker: { online: false, answeredMs: null } },
  ]);
  t.strictSame(names(), ["shed", "(attic)"], "who does not answer is asked last");
  t.notOk("answeredMs" in (fleet.states()[0]?.broker ?? {}), "nobody was asked for that");
  broker.lose("gone");
  t.match(await fleet.survey(500), [{ node: "shed", reason: "this node has no connection to the broker", broker: { answeredMs: null } }]);
  fleet.close();
});

t.test("a survey of many nodes leaves room for orders", async (t) => {
  const { clock, broker, birth, sent, fleet } = rig({ maxOpen: 4 });
  broker.connect();
  for (let i = 0; i < 5; i++) birth(`n${i}`);
  const surveyed = fleet.survey(100);
  await settled();
  const askedNow = () => [0, 1, 2, 3, 4].filter((i) => sent(`virgo/n${i}/fleet/clone`).length > 0);
  t.strictSame(askedNow(), [0, 1]);
  await clock.advance(100);
  t.strictSame(askedNow(), [0, 1, 2, 3]);
  await clock.advance(200);
  t.equal((await surveyed).length, 5);
  fleet.close();
});

t.test("thousands of births are bounded: those that cannot be used make room, the rest is left out and counted", (t) => {
  const { broker, birth, status, names, fleet, log } = rig({ maxNodes: 100, maxBirthBytes: 512 });
  broker.connect();
  for (let i = 0; i < 3000; i++) birth(`n${i}`, {}, true);
  for (let i = 0; i < 3000; i++) status(`ghost${i}`, "offline", true);
  t.equal(names().length, 100);
  t.match(fleet.figures(), { broker_nodes: 100, births_ignored: 2900 });
  t.equal(log.lines.filter((line) => line.includes("more than 100 nodes")).length, 1);
  status("n7", "offline");
  birth("late");
  t.ok(names().includes("late"));
  t.notOk(fleet.names().includes("n7"));
  birth("n8", { devices: "x".repeat(512) });
  birth("garage");
  broker.deliver("virgo/n9/birth", "");
  broker.deliver("virgo/n9/birth", JSON.stringify({ node: "n10", boot: "b", number: 9999 }));
  t.match(fleet.figures(), { broker_nodes: 100, births_ignored: 2903 });
  fleet.close();
  t.end();
});

t.test("a device is claimed before the first order, the claim used until it has to be confirmed, and reading needs none", async (t) => {
  const { clock, broker, birth, sent, answer, clone, text, fleet } = rig();
  broker.connect();
  birth("shed");
  const asks = () => sent("virgo/shed/fleet/clone");
  const reply = clone("NODE shed LEASE 500 PRIORITY 30 SEQ 7 DEADLINE 900 lamp.on low 7");
  await settled();
  t.strictSame(asks(), [{ id: asks()[0]?.id, controller: "garage", claim: "lamp", leaseMs: 500, priority: 30 }]);
  t.match(
    broker.published.find(({ topic }) => topic === "virgo/shed/fleet/clone")?.options,
    { qos: 0 },
    "delivered once or not at all, never stored",
  );
  answer(asks()[0]?.id, GRANT);
  await settled();
  t.match(asks()[1], { call: "lamp.on", args: ["low", "7"], token: "run.1", leaseMs: 500, priority: 30, seq: 7, deadlineMs: 900 });
  answer(asks()[1]?.id, { status: "ok", data: true });
  t.equal(await text(reply), "true");

  await clock.advance(199);
  const second = clone("LEASE 500 lamp on");
  await settled();
  t.match(asks()[2], { call: "lamp.on", token: "run.1" }, "at once");
  answer(asks()[2]?.id, { status: "error", code: "LIMIT", error: "lamp: too much" });
  t.equal(await text(second), "LIMIT lamp: too much");
  await clock.advance(200);
  const third = clone("lamp.on");
  await settled();
  t.match(asks()[3], { claim: "lamp" }, "not confirmed for too long");
  answer(asks()[3]?.id, GRANT);
  await settled();
  answer(asks()[4]?.id, { status: "error", code: "STALE", error: "lamp: another has it" });
  t.match(await text(third), /^STALE/);
  const fourth = clone("lamp.on");
  await settled();
  t.match(asks()[5], { claim: "lamp" }, "a claim that was lost is not tried again");
  answer(asks()[5]?.id, { status: "error", code: "IN_USE", error: "lamp is claimed by attic" });
  const refused = await fourth;
  t.equal(textOf(refused), "IN_USE lamp is claimed by attic");
  t.equal(fleet.refused(refused), true);
  const read = clone("lamp.state");
  await settled();
  t.match(asks()[6], { call: "lamp.state", token: undefined });
  answer(asks()[6]?.id, { status: "ok" });
  t.equal(await text(read), "null");
  fleet.close();
});

t.test("what was not answered is not asked again: a claim has moved nothing, an order may have", async (t) => {
  const { clock, broker, birth, sent, answer, clone, names, fleet } = rig();
  broker.connect();
  birth("shed");
  const claim = clone("lamp.on", 600);
  await clock.advance(300);
  t.equal(
    textOf(await claim),
    "NOT_READY node shed has not answered within 300 ms; nothing was ordered",
    "half of the deadline at the most",
  );
  t.equal(fleet.refused(await claim), true);
  t.strictSame(names(), ["(shed)"], "others are asked before it");
  birth("shed");
  t.strictSame(names(), ["shed"]);

  const order = clone("lamp.on", 600);
  await settled();
  answer(sent("virgo/shed/fleet/clone").at(-1)?.id, GRANT);
  await clock.advance(600);
  t.equal(textOf(await order), "TIMEOUT node shed has not answered within 600 ms; it may still happen");
  t.equal(fleet.refused(await order), false);
  t.match(fleet.states(), [{ asked: 2, failed: 2, health: "down", reason: "it has left an order unanswered" }]);
  const count = sent("virgo/shed/fleet/clone").length;
  answer(sent("virgo/shed/fleet/clone").at(-1)?.id, { status: "ok", data: 1 });
  t.match(fleet.figures(), { broker_answers_unexpected: 1, broker_unanswered: 2, broker_open: 0 });
  t.equal(sent("virgo/shed/fleet/clone").length, count);

  for (const [code, isRefused] of [
    ["NOT_READY", true],
    ["UNKNOWN", true],
    ["DENIED", true],
    ["IN_USE", false],
    ["IO", false],
    ["bad", false],
  ] as const) {
    const asked = clone("lamp.state");
    await settled();
    answer(sent("virgo/shed/fleet/clone").at(-1)?.id, { status: "error", code, error: "no" });
    t.equal(fleet.refused(await asked), isRefused, code);
  }
  fleet.close();
});

t.test("what cannot be sent is refused, and nothing waits", async (t) => {
  const { broker, birth, status, clone, fleet, text, clock } = rig({ maxOpen: 1 });
  t.equal(await text(clone("lamp.on")), "UNKNOWN no node shed is known here; NODES lists them");
  broker.connect();
  birth("shed");
  t.match(await text(fleet.ask("shed", { verb: "MALLOC", args: ["8"] }, 100)), /^UNKNOWN node shed is known through the broker only/);
  t.match(await text(clone("lamp.on \xff")), /^ARGUMENT an argument is no UTF-8 text/);
  t.match(await text(clone("LEASE soon lamp.on")), /^ARGUMENT LEASE is soon; a whole number is expected/);
  const first = clone("lamp.on");
  const second = await clone("lamp.state");
  t.match(textOf(second), /^FULL node shed: 1 requests to other nodes have no answer/);
  t.equal(fleet.refused(second), true);
  status("shed", "offline");
  t.equal(await text(clone("lamp.on")), "NOT_READY node shed is not reached over the broker: it is offline");
  broker.lose("gone");
  t.match(await text(clone("lamp.on")), /^NOT_READY node shed is not reached over the broker: this node has no connection/);
  fleet.close();
  t.match(textOf(await first), /^NOT_READY/);
  t.equal(clock.pending(), 0);
});

t.test("orders of others are done once, in their order, as theirs, and answered", async (t) => {
  const { broker, own, order, sent, fleet } = rig({ priority: 40 });
  broker.connect();
  await settled();
  const answers = () => sent("virgo/shed/fleet/answer");
  own.reply = ({ verb }) => (verb === "CLAIM" ? valueReply({ token: "run.1", leaseMs: 500 }) : valueReply(5n));
  order({ id: "a.1", controller: "shed", claim: "lamp", leaseMs: 500, priority: 30 });
  order({
    id: "a.2",
    controller: "shed",
    call: "lamp.on",
    args: ["hü", "7"],
    token: "run.1",
    leaseMs: 400,
    priority: 30,
    seq: 9,
    deadlineMs: 800,
  });
  order({ id: "a.2", controller: "shed", call: "lamp.off", token: "run.1" });
  order({ id: "a.1", controller: "shed", call: "lamp.off", token: "run.1" });
  order({ id: "b.1", controller: "shed", call: "lamp.state" });
  await settled();
  t.strictSame(
    own.asked.map(({ request: { verb, args } }) => [verb, ...args].join(" ")),
    [
      "CLAIM LEASE 500 PRIORITY 30 lamp",
      `CLONE LEASE 400 PRIORITY 30 DEADLINE 800 SEQ 9 TOKEN run.1 lamp.on ${Buffer.from("hü").toString("latin1")} 7`,
      "CLONE TOKEN none lamp.state",
    ],
  );
  t.match(own.asked[0]?.caller, { name: "mqtt shed", priority: 40 });
  t.strictSame(answers(), [
    { id: "a.1", status: "ok", data: { token: "run.1", leaseMs: 500 } },
    { id: "a.2", status: "ok", data: 5 },
    { id: "b.1", status: "ok", data: 5 },
  ]);
  own.reply = () => errorReply(new AgentError("STALE", "lamp: too late"));
  order({ id: "b.2", controller: "shed", call: "lamp.on" });
  order({ id: "b.3", controller: "shed" });
  await settled();
  t.strictSame(answers().slice(3), [
    { id: "b.2", status: "error", code: "STALE", error: "lamp: too late" },
    { id: "b.3", status: "ok", data: "PONG" },
  ]);
  fleet.close();
  t.equal(own.asked[0]?.caller.signal.aborted, true);
});

t.test("what the broker had stored, and what is no order, moves nothing; controllers are bounded", async (t) => {
  const { broker, own, order, fleet } = rig({ maxNodes: 10 });
  broker.connect();
  const text = JSON.stringify({ id: "a.1", controller: "shed", call: "lamp.on" });
  broker.deliver("virgo/garage/fleet/clone", text, { retained: true });
  for (let end = 0; end < text.length; end++) broker.deliver("virgo/garage/fleet/clone", text.slice(0, end));
  order({ id: "a.1", controller: "sh/ed", call: "lamp.on" });
  order({ id: "a.1", controller: "shed", call: "lamp.on", extra: 1 });
  order({ id: "1", controller: "shed", call: "lamp.on" });
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (payload) => {
      broker.deliver("virgo/garage/fleet/clone", payload);
    }),
  );
  t.equal(own.asked.length, 0);
  for (let i = 0; i < 25; i++) order({ id: "a.1", controller: `n${i}`, call: "lamp.on" });
  await settled();
  t.equal(own.asked.length, 25);
  t.equal(own.asked[0]?.caller.signal.aborted, true, "callers that many others came after are gone");
  t.equal(own.asked[24]?.caller.signal.aborted, false);
  fleet.close();
});

t.test("births are read whole or not at all", (t) => {
  const birth = {
    node: "shed",
    version: "1",
    boot: "b",
    number: 3,
    since: 5,
    load: 0.25,
    addresses: ["a:1"],
    devices: announcedDevices(DEVICES),
  };
  const parse = (value: unknown) => parseBirth("shed", Buffer.from(typeof value === "string" ? value : JSON.stringify(value)));
  t.match(parse(birth), { node: "shed", boot: "b", number: 3, since: 5, load: 0.25, addresses: ["a:1"] });
  t.strictSame([...(parse(birth)?.abilities.functions ?? [])], [["lamp.on", true]]);
  t.match(parse({ ...birth, load: -1, addresses: [1, "b:1"], devices: [null, 7, { id: "x", functions: "?" }], version: 3, since: "?" }), {
    ...{ load: 0, addresses: ["b:1"], version: "", since: 0 },
  });
  for (const bad of ["", "[]", "7", "null", { ...birth, node: "attic" }, { ...birth, boot: 1 }, { ...birth, number: "1" }]) {
    t.equal(parse(bad), undefined, JSON.stringify(bad));
  }
  const text = JSON.stringify(birth);
  for (let end = 0; end < text.length; end++) if (parse(text.slice(0, end)) !== undefined) t.fail(`cut at ${end}`);
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (garbage) => {
      parse(garbage);
    }),
  );
  t.end();
});
