import { writeFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";

import t, { type Test } from "tap";

import { errorReply, valueReply } from "../../agent/contract/request.ts";
import { AgentError } from "../../agent/contract/errors.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { connectAgent } from "../../agent/fleet/connection.ts";
import { createNodesService } from "../../agent/fleet/nodes-service.ts";
import { openFleet, type OpenFleet } from "../../agent/fleet/nodes.ts";
import { fleetOptionsSchema } from "../../agent/fleet/options.ts";
import { parseTarget } from "../../agent/fleet/target.ts";
import { createFakeClock, settled, type FakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog, type FakeLog } from "../helpers/fake-log.ts";
import { eventually } from "../helpers/eventually.ts";
import { startFleetNode } from "../helpers/fleet-node.ts";
import { startScriptedNode, type Script, type ScriptedNode } from "../helpers/scripted-node.ts";
import type { Reply } from "../../agent/contract/request.ts";
import type { Value } from "../../agent/contract/value.ts";

const lamp = (state = "ready"): Value => [{ id: "lamp", state, functions: [{ name: "lamp.on" }] }];

interface Bench {
  readonly fleet: OpenFleet;
  readonly clock: FakeClock;
  readonly log: FakeLog;
  readonly own: { load: number; devices: Value };
}

async function bench(t: Test, options: object, own: Partial<Bench["own"]> = {}): Promise<Bench> {
  const clock = createFakeClock();
  const log = createFakeLog();
  const mine = { load: 0, devices: [] as Value, ...own };
  const fleet = await openFleet({
    options: fleetOptionsSchema.parse({ seed: 1, ...options }),
    node: "garage",
    devices: { verbs: [], handle: () => valueReply(mine.devices) },
    load: () => mine.load,
    clock,
    log,
  });
  t.teardown(() => fleet.close());
  return { fleet, clock, log, own: mine };
}

/** What a node with a lamp answers. */
function lampNode(figures: { load: number; state?: string }): Script {
  return (words) => {
    if (words[0] === "INFO") return bulk(`# load\r\nload1:0\r\nload:${figures.load}\r\n`);
    if (words[0] === "DEVICES") {
      const state = figures.state ?? "ready";
      return `*1\r\n%3\r\n${bulk("id")}${bulk("lamp")}${bulk("state")}${bulk(state)}${bulk("functions")}*1\r\n%1\r\n${bulk("name")}${bulk("lamp.on")}`;
    }
    return bulk(words.join(" "));
  };
}

function bulk(text: string): string {
  return `$${text.length}\r\n${text}\r\n`;
}

function nodesOf(nodes: Readonly<Record<string, ScriptedNode>>): object {
  return Object.fromEntries(Object.entries(nodes).map(([name, { address }]) => [name, { address }]));
}

function told(reply: Reply): Value {
  if (reply.kind === "error") return `-${reply.error.code} ${reply.error.message}`;
  return reply.kind === "value" ? reply.value : reply.text;
}

const clone = (...args: string[]) => ({ verb: "CLONE", args });

t.test("nodes are connected to when they are asked, bytes pass both ways, and a node's error is its answer", async (t) => {
  const shed = await startScriptedNode(t, (words) => (words[0] === "GETM" ? "-UNKNOWN no block\r\n" : bulk(words.at(-1) ?? "")), {
    name: "shed",
  });
  const { fleet } = await bench(t, { nodes: nodesOf({ shed }) });
  await settled();
  t.equal(shed.connections.length, 0);
  t.equal(fleet.self, "garage");
  t.strictSame(fleet.others, ["shed"]);
  t.strictSame(await fleet.ask("shed", { verb: "SETM", args: ["7", "\0\xff\x80"] }, 1000), valueReply(Uint8Array.of(0, 255, 128)));
  t.equal(told(await fleet.ask("shed", { verb: "GETM", args: ["8"] }, 1000)), "-UNKNOWN no block");
  t.match(fleet.known()[1], { node: "shed", health: "up", asked: 2, failed: 0 });
  t.equal(told(await fleet.ask("attic", clone("lamp.on"), 1000)), "-UNKNOWN no node attic is known here; NODES lists them");
});

t.test("a node that cannot be reached is IO at once and by name, and up again when it answers", async (t) => {
  const shed = await startScriptedNode(t, lampNode({ load: 0 }), { name: "shed" });
  const { fleet, log, clock } = await bench(t, { nodes: nodesOf({ shed }) });
  await shed.stop();
  const refused = told(await fleet.ask("shed", clone("lamp.on"), 60_000));
  t.equal(refused, `-IO node shed: nothing listens on ${shed.address}; is the agent running?`);
  t.match(fleet.known()[1], { health: "down", reason: /^nothing listens on/, failed: 1 });
  t.strictSame(fleet.figures(), {
    ...{ balancer: "capability", nodes: 1, up: 0, down: 1, unknown: 0 },
    ...{ asked: 1, failed: 1, in_flight: 0 },
  });
  await shed.start();
  t.equal(told(await fleet.ask("shed", clone("lamp.on"), 60_000)), "CLONE lamp.on", "whoever names it is not kept waiting by the back-off");
  t.strictSame(log.lines, ["warn a node is down", "info a node is up again"]);
  const unanswered = fleet.ask("shed", clone("lamp.on"), 60_000);
  shed.hangUp();
  t.match(told(await unanswered), /^-IO node shed: .* closed the connection$/, "what was asked when it went away");
  fleet.close();
  t.equal(clock.pending(), 0);
});

t.test("a node that does not answer is TIMEOUT by name at the deadline, connected or not", async (t) => {
  let answers = true;
  const shed = await startScriptedNode(t, (words) => (answers ? bulk(words.join(" ")) : undefined), { name: "shed" });
  const mute = await startScriptedNode(t, () => undefined, { hello: () => undefined });
  const { fleet, clock } = await bench(t, { nodes: { ...nodesOf({ shed }), mute: { address: mute.address } }, idleMs: 1000 });
  await fleet.ask("shed", clone("lamp.on"), 1000);
  answers = false;
  let late: Reply | undefined;
  void fleet.ask("shed", clone("lamp.on"), 300).then((reply) => (late = reply));
  await eventually(() => shed.asked.length === 2);
  await clock.advance(299);
  t.equal(late, undefined);
  await clock.advance(1);
  t.equal(told(late!), "-TIMEOUT node shed has not answered within 300 ms; it may still happen");
  let never: Reply | undefined;
  void fleet.ask("mute", clone("lamp.on"), 200).then((reply) => (never = reply));
  await clock.advance(200);
  t.equal(told(never!), `-IO node mute: cannot reach ${mute.address}; not sent within 200 ms`);
});

t.test("a device that takes its time does not hold up another, and the order on one device is kept", async (t) => {
  const sockets = new Map<string, unknown>();
  const shed = await startScriptedNode(
    t,
    (words, socket) => {
      sockets.set(words.slice(1).join(" "), socket);
      return words[1] === "arm.move" ? undefined : bulk("done");
    },
    { name: "shed" },
  );
  const { fleet } = await bench(t, { nodes: nodesOf({ shed }), connections: 8 });
  void fleet.ask("shed", clone("arm.move", "1"), 60_000);
  const lamps = Array.from({ length: 8 }, (_, i) => fleet.ask("shed", clone("LEASE", "500", `lamp${i}.on`), 60_000));
  const quick = await Promise.race(lamps);
  t.equal(told(quick), "done");
  void fleet.ask("shed", clone("PRIORITY", "5", "arm.move", "2"), 60_000);
  await eventually(() => sockets.has("PRIORITY 5 arm.move 2"));
  t.equal(sockets.get("PRIORITY 5 arm.move 2"), sockets.get("arm.move 1"), "the arm's requests share a connection");
  t.ok(new Set(sockets.values()).size > 2);
});

t.test("an unused connection is closed, and made again when it is needed", async (t) => {
  const shed = await startScriptedNode(t, (words) => bulk(words.join(" ")), { name: "shed" });
  const { fleet, clock } = await bench(t, { nodes: nodesOf({ shed }), idleMs: 1000 });
  await fleet.ask("shed", clone("lamp.on"), 60_000);
  await clock.advance(999);
  await fleet.ask("shed", clone("lamp.on"), 60_000);
  t.equal(shed.greetings.length, 1);
  await clock.advance(1000);
  await eventually(() => shed.connections[0]?.readableEnded === true || shed.connections[0]?.destroyed === true);
  t.equal(told(await fleet.ask("shed", clone("lamp.on"), 60_000)), "CLONE lamp.on");
  t.equal(shed.greetings.length, 2);
});

t.test("pick chooses among nodes that have the function, prefers those in order, and knows this node's own devices", async (t) => {
  const figures = { shed: { load: 3 }, attic: { load: 1, state: "faulted" } };
  const shed = await startScriptedNode(t, lampNode(figures.shed), { name: "shed" });
  const attic = await startScriptedNode(t, lampNode(figures.attic), { name: "attic" });
  const { fleet, clock, own } = await bench(t, { nodes: nodesOf({ shed, attic }), refreshMs: 1000 });
  t.equal(await fleet.pick("lamp.on"), "shed", "busy, but in order");
  t.equal(await fleet.pick("lamp.off"), undefined);
  t.equal(await fleet.pick(), "garage", "the least loaded where no function is meant");
  own.devices = lamp();
  own.load = 9;
  t.equal(await fleet.pick("lamp.on"), "shed", "what is known is believed for a while");
  await clock.advance(1001);
  own.load = 2;
  t.equal(await fleet.pick("lamp.on"), "garage");
  const asks = () => shed.asked.filter((words) => words === "DEVICES").length;
  await eventually(() => asks() === 2);
  figures.shed.load = 0;
  // The first may still be the one that was under way.
  await fleet.survey();
  await fleet.survey();
  t.equal(await fleet.pick("lamp.on"), "shed", "its new load is known by then");
  t.strictSame(
    fleet.known().map(({ node, abilities }) => [node, abilities?.devices]),
    [
      ["garage", [{ id: "lamp", state: "ready" }]],
      ["shed", [{ id: "lamp", state: "ready" }]],
      ["attic", [{ id: "lamp", state: "faulted" }]],
    ],
  );
});

t.test("what is in flight to a node counts as its load at once", async (t) => {
  const slow: Script = (words, socket) => (words[0] === "CLONE" ? undefined : lampNode({ load: 0 })(words, socket));
  const shed = await startScriptedNode(t, slow, { name: "shed" });
  const attic = await startScriptedNode(t, slow, { name: "attic" });
  const { fleet } = await bench(t, { nodes: nodesOf({ shed, attic }) });
  const chosen: (string | undefined)[] = [];
  for (let i = 0; i < 10; i++) {
    const node = await fleet.pick("lamp.on");
    chosen.push(node);
    void fleet.ask(node ?? "", clone("lamp.on"), 60_000);
  }
  t.equal(chosen.filter((node) => node === "shed").length, 5, chosen.join(" "));
});

t.test("nodes that are down are left out as long as others are up, and come back after the back-off", async (t) => {
  const shed = await startScriptedNode(t, lampNode({ load: 0 }), { name: "shed" });
  const { fleet, clock, own } = await bench(t, { nodes: nodesOf({ shed }), balancer: "prg", backOffMs: 500, refreshMs: 60_000 });
  const draws = async () => {
    const drawn = new Set<string | undefined>();
    for (let i = 0; i < 40; i++) drawn.add(await fleet.pick());
    return [...drawn].sort();
  };
  t.strictSame(await draws(), ["garage", "shed"], "a draw asks nobody");
  t.equal(shed.connections.length, 0);
  t.equal(await fleet.pick("lamp.on"), "shed");
  await shed.stop();
  await fleet.ask("shed", clone("lamp.on"), 1000);
  t.strictSame(await draws(), ["garage"]);
  t.equal(await fleet.pick("lamp.on"), "shed", "the only one that has it, though it is down");
  own.devices = lamp();
  await clock.advance(60_000);
  await eventually(async () => (await fleet.pick("lamp.on")) === "garage");
  await shed.start();
  await clock.advance(60_000);
  await eventually(async () => (await draws()).length === 2);
});

t.test("virgo_client.conf adds nodes by address and weighs those that are there", async (t) => {
  const shed = await startScriptedNode(t, (words) => bulk(words.join(" ")), { name: "shed" });
  const other = await startScriptedNode(t, (words) => bulk(words.join(" ")), { name: "whatever" });
  const folder = t.testdir({
    "virgo_client.conf": `127.0.0.1, 127.0.0.1,${shed.address},${shed.address},${other.address}\n`,
    "virgo_cloud.conf": "127.0.0.1,127.0.0.1\n",
  });
  const conf = { clientConf: join(folder, "virgo_client.conf"), cloudConf: join(folder, "virgo_cloud.conf") };
  const { fleet, log } = await bench(t, { nodes: nodesOf({ shed }), balancer: "prg", ...conf });
  t.strictSame(
    fleet.known().map(({ node, weight }) => [node, weight]),
    [
      ["garage", 2],
      ["shed", 2],
      [other.address, 1],
    ],
  );
  t.equal(told(await fleet.ask(other.address, clone("lamp.on"), 1000)), "CLONE lamp.on", "it may call itself what it likes");
  const counts = new Map<string, number>();
  for (let i = 0; i < 1000; i++) {
    const node = (await fleet.pick()) ?? "";
    counts.set(node, (counts.get(node) ?? 0) + 1);
  }
  t.ok(
    Math.abs((counts.get("shed") ?? 0) - 400) < 60 && Math.abs((counts.get(other.address) ?? 0) - 200) < 50,
    JSON.stringify([...counts]),
  );
  t.match(log.lines, ["info the original reads IPv4 addresses", "info virgo_client.conf was read", "info virgo_cloud.conf was read"]);
});

t.test("an address without a port means the node there, whatever its port, or this machine", async (t) => {
  const mine = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
  const own = mine.find((address) => isIPv4(address)) ?? "127.0.0.1";
  const folder = t.testdir({ "virgo_client.conf": `192.0.2.7,${own},192.0.2.7,192.0.2.8\n` });
  const nodes = { shed: { address: "192.0.2.7:7000" }, attic: { address: "/run/virgo.sock" } };
  const { fleet } = await bench(t, { nodes, clientConf: join(folder, "virgo_client.conf") });
  t.strictSame(
    fleet.known().map(({ node, address, weight }) => [node, address, weight]),
    [
      ["garage", "", 1],
      ["shed", "192.0.2.7:7000", 2],
      ["attic", "/run/virgo.sock", 1],
      ["192.0.2.8", "192.0.2.8:6390", 1],
    ],
  );
});

t.test("what cannot be is said when the fleet is opened", async (t) => {
  const folder = t.testdir({ "virgo_client.conf": "10.0.0.7,?:?\n" });
  await t.rejects(bench(t, { nodes: { garage: { address: "10.0.0.7:6390" } } }), {
    code: "ARGUMENT",
    message: "fleet.nodes.garage is this node itself; leave it out",
  });
  await t.rejects(bench(t, { nodes: { shed: { address: "10.0.0.7:port" } } }), {
    code: "ARGUMENT",
    message: /^fleet\.nodes\.shed\.address: an address is/,
  });
  await t.rejects(bench(t, { nodes: { shed: { address: "10.0.0.7:6391", tls: true } } }), { code: "ARGUMENT", message: /wants TLS/ });
  await t.rejects(bench(t, { nodes: { shed: { address: "10.0.0.7:6391", tokenFile: join(folder, "none") } } }), {
    code: "IO",
    message: /^cannot read the token of node shed: ENOENT/,
  });
  await t.rejects(bench(t, { clientConf: join(folder, "virgo_client.conf") }), {
    code: "ARGUMENT",
    message: /virgo_client\.conf: an address/,
  });
  await t.rejects(bench(t, { clientConf: join(folder, "none") }), { code: "IO" });
});

t.test("a token comes from its file at every connection; a node that refuses it, or is another, is named", async (t) => {
  const folder = t.testdir({ token: "swordfish\n" });
  const shed = await startScriptedNode(t, (words) => bulk(words.join(" ")), {
    name: "shed",
    hello: (words) =>
      words.at(-1) === "swordfish" ? `%1\r\n${bulk("node")}${bulk("shed")}` : "-DENIED no user has that name and token\r\n",
  });
  const file = join(folder, "token");
  const { fleet } = await bench(t, {
    nodes: {
      shed: { address: shed.address, user: "garage", tokenFile: file },
      attic: { address: shed.address, user: "garage", tokenFile: file },
    },
  });
  t.equal(told(await fleet.ask("shed", clone("lamp.on"), 1000)), "CLONE lamp.on");
  t.strictSame(shed.greetings, ["HELLO 3 AUTH garage swordfish"]);
  t.equal(told(await fleet.ask("attic", clone("lamp.on"), 1000)), `-IO node attic: ${shed.address} is node shed, not attic`);
  writeFileSync(file, "hunter2");
  shed.hangUp();
  await eventually(
    async () => told(await fleet.ask("shed", clone("lamp.on"), 1000)) === "-DENIED node shed: no user has that name and token",
  );
});

t.test("NODES lists what is known, or what is found out; whoever has permits sees the devices they are for", async (t) => {
  const shed = await startScriptedNode(t, lampNode({ load: 0.5 }), { name: "shed" });
  const { fleet } = await bench(t, { nodes: nodesOf({ shed }) }, { devices: lamp("faulted"), load: 1.5 });
  const service = createNodesService(fleet);
  const caller = { name: "ada", priority: 100, signal: new AbortController().signal };
  const ask = async (args: readonly string[], permits?: (name: string) => boolean) =>
    told(
      await service.handle(
        { verb: "NODES", args },
        permits === undefined ? caller : { ...caller, permits: { allows: (_kind, name) => permits(name) } },
      ),
    );
  const unknown = {
    node: "shed",
    self: false,
    weight: 1,
    address: shed.address,
    health: "unknown",
    reason: null,
    load: 0,
    asked: 0,
    failed: 0,
  };
  t.strictSame(((await ask(["known"])) as Value[])[1], { ...unknown, devices: [] });
  const [here, there] = (await ask([])) as Value[];
  t.match(here, { node: "garage", self: true, health: "up", load: 1.5, devices: [{ id: "lamp", state: "faulted" }] });
  t.strictSame(there, { ...unknown, health: "up", load: 0.5, devices: [{ id: "lamp", state: "ready" }] });
  t.match(((await ask([], (name) => name === "pump.on")) as Value[])[1], { node: "shed", devices: [] });
  t.match(((await ask([], (name) => name === "lamp.on")) as Value[])[1], { node: "shed", devices: [{ id: "lamp" }] });
  t.match(await ask(["ALL"]), "-ARGUMENT NODES takes nothing or KNOWN, not ALL");
  t.match(told(await service.handle({ verb: "NODE", args: [] }, caller)), "-UNKNOWN the fleet has no verb NODE");
  await shed.stop();
  t.match(((await ask([])) as Value[])[1], {
    node: "shed",
    health: "down",
    reason: /^nothing listens|closed the connection$/,
    devices: [{ id: "lamp" }],
  });
});

t.test("a fleet whose own devices fail to answer has none", async (t) => {
  const fleet = await openFleet({
    options: fleetOptionsSchema.parse({}),
    node: "garage",
    devices: { verbs: [], handle: () => errorReply(new AgentError("NOT_READY", "stopping")) },
    load: () => 0,
    clock: createFakeClock(),
    log: createFakeLog(),
  });
  t.equal(await fleet.pick("lamp.on"), undefined);
  t.equal(await fleet.pick(), "garage");
});

t.test("two nodes with devices: named, ANY, refused, gone", async (t) => {
  const shed = await startFleetNode(t, { name: "shed", relays: { pump: "GPIO4", fan: "GPIO5" } });
  const garage = await startFleetNode(t, {
    name: "garage",
    relays: { lamp: "GPIO17", fan: "GPIO6" },
    fleet: { nodes: { shed: { address: shed.address } }, refreshMs: 50, deadlineMs: 1000 },
  });
  const connection = await connectAgent({ target: parseTarget(garage.address), clock: createSystemClock() });
  t.teardown(() => connection.close());
  const ask = async (line: string) => {
    const [verb = "", ...args] = line.split(" ");
    return told(await connection.call(verb, args));
  };
  t.equal(await ask("CLONE NODE shed LEASE 5000 pump.on"), true);
  t.equal(shed.board.world.level("GPIO4"), true);
  t.equal(await ask("CLONE NODE ANY LEASE 60000 PRIORITY 110 pump.off"), false);
  t.equal(shed.board.world.level("GPIO4"), false);
  t.equal(await ask("CLONE NODE ANY lamp.on"), true);
  t.equal(garage.board.world.level("GPIO17"), true);
  t.match(await ask("CLONE NODE shed PRIORITY 120 lamp.on"), /^-UNKNOWN no function lamp\.on/);
  t.match(await ask("CLONE NODE ANY nothing.on"), /^-UNKNOWN no function nothing\.on/);
  t.match(await ask("CLONE NODE shed PRIORITY 110 LEASE 1 pump.on"), /^-LIMIT pump: a lease of 1 ms/);
  t.match(await ask("CLONE NODE shed pump.on"), /^-IN_USE pump is held by 127\.0\.0\.1 with priority 110/);
  const nodes = (await ask("NODES")) as { node: string; health: string; devices: { id: string }[] }[];
  t.strictSame(
    nodes.map(({ node, health, devices }) => [node, health, ...devices.map(({ id }) => id)]),
    [
      ["garage", "up", "lamp", "fan"],
      ["shed", "up", "pump", "fan"],
    ],
  );
  await shed.stop();
  t.match(await ask("CLONE NODE shed pump.on"), /^-IO node shed: /);
  for (let i = 0; i < 10; i++) t.equal(await ask("CLONE NODE ANY fan.on"), true, "the one that is left");
  t.equal(garage.board.world.level("GPIO6"), true);
});
