import t, { type Test } from "tap";

import { createClient as createPublicClient, mayRepeat } from "../../agent/client.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { createClient, type Client, type ClientOptions } from "../../agent/fleet/client.ts";
import { createFakeClock, settled, type FakeClock } from "../helpers/fake-clock.ts";
import { eventually } from "../helpers/eventually.ts";
import { startAgent } from "../helpers/start-agent.ts";
import { startScriptedNode, type Script, type ScriptedNode } from "../helpers/scripted-node.ts";

const bulk = (text: string): string => `$${Buffer.byteLength(text, "latin1")}\r\n${text}\r\n`;

const map = (entries: Readonly<Record<string, string>>): string =>
  `%${Object.keys(entries).length}\r\n${Object.entries(entries)
    .map(([name, value]) => bulk(name) + value)
    .join("")}`;

const ECHO: Script = (words) => bulk(words.join(" "));

interface Rig {
  readonly client: Client;
  readonly clock: FakeClock;
}

function clientOf(t: Test, nodes: readonly ScriptedNode[], more: Partial<ClientOptions> = {}): Rig {
  const clock = createFakeClock();
  const client = createClient({ addresses: nodes.map(({ address }) => address), clock, random: () => 1, ...more });
  t.teardown(() => client.close());
  return { client, clock };
}

/** A client of one node that answers every request with what `answers` has for its verb. */
async function answering(t: Test, answers: Readonly<Record<string, string>>): Promise<Rig & { readonly node: ScriptedNode }> {
  const node = await startScriptedNode(t, ([verb = ""]) => answers[verb] ?? "-UNKNOWN no verb\r\n", { name: "garage" });
  return { ...clientOf(t, [node]), node };
}

t.test("devices and variables of a real agent", async (t) => {
  const { agent, board } = await startAgent(
    t,
    `devices:
  lamp: { driver: light, pwm: { chip: sim, channel: 0 }, beam: { low: 30, high: 100 } }
analytics: { variables: { battery_v: { unit: V, staleMs: 60000 } } }
`,
  );
  const client = createPublicClient({ address: agent.addresses["gateway"]! });
  t.teardown(() => client.close());
  t.equal(await client.clone("lamp.beam", ["low"], { leaseMs: 5000, deadlineMs: 1000, priority: 120, seq: 1 }), 30);
  t.equal(board.world.duty("pwm sim:0"), 0.3);
  await t.rejects(client.clone("lamp.on", [], { seq: 1, priority: 120 }), { code: "STALE" });
  await t.rejects(client.clone("lamp.on"), { code: "IN_USE", message: /^lamp is held by / });
  const [lamp] = await client.devices();
  t.match(lamp, { id: "lamp", driver: "light", state: "ready", holder: { priority: 120 } });
  t.ok(lamp?.functions.some(({ name, effect }) => name === "lamp.beam" && effect === "actuate"));
  t.match(await client.describe("lamp"), { id: "lamp", exclusive: false });
  await client.eStop();
  await t.rejects(client.clone("lamp.off", [], { priority: 120 }), { code: "FAULTED" });
  await client.clearEStop();
  await client.reset("lamp");
  await client.vars.set({ battery_v: 11.5, gear: "größer", ok: true, scan: [1, 2.5] });
  t.equal(await client.vars.get("battery_v"), 11.5);
  t.equal(await client.vars.get("gear"), "größer");
  t.equal(await client.vars.get("ok"), true);
  t.same(await client.vars.get("scan"), [1, 2.5]);
  t.match(await client.vars.list("batt*"), [{ name: "battery_v", value: 11.5, unit: "V", stale: false }]);
  t.equal((await client.vars.list()).length > 3, true);
  t.equal(await client.call("ping"), "PONG");
  t.equal(await client.call("ping", [Buffer.from("hé")]), "hé");
  const seen: unknown[] = [];
  const cancel = await client.vars.watch("b*", (change) => seen.push(change));
  t.strictSame(seen, [{ name: "battery_v", value: 11.5, unit: "V" }], "what is known already");
  await client.vars.set({ battery_v: 11, gear: "D" });
  await eventually(() => seen.length === 2);
  t.strictSame(seen[1], { name: "battery_v", value: 11, unit: "V" });
  cancel();
});

t.test("memory, files, queue and events of a real agent", async (t) => {
  const { agent } = await startAgent(t, "node: garage\n");
  const client = createPublicClient({ address: agent.addresses["gateway"]! });
  t.teardown(() => client.close());
  const { memory, files, queue, events } = client;

  const vuid = await memory.malloc(100, { ttlMs: 60_000 });
  t.match(vuid, /^garage:[0-9a-f]{16}$/);
  const revision = await memory.store(vuid, Buffer.of(1, 255, 0));
  t.strictSame(await memory.load(vuid), Buffer.of(1, 255, 0));
  t.strictSame(await memory.loadRevision(vuid), { data: Buffer.of(1, 255, 0), revision });
  await t.rejects(memory.store(vuid, "x", { ifRevision: revision + 1 }), { code: "STALE" });
  t.equal(await memory.touch(vuid), 60_000);
  await memory.free(vuid);
  await t.rejects(memory.load(vuid), { code: "UNKNOWN" });
  t.equal(await memory.set("k", "größer", { ttlMs: 60_000 }), true);
  t.equal(await memory.set("k", "other", { ifAbsent: true }), false);
  t.strictSame(await memory.mget("k", "l"), ["größer", undefined]);
  await memory.mset({ a: 1, b: 2 });
  t.equal(await memory.incr("a"), 2);
  const ttlMs = await memory.pttl("k");
  t.ok(ttlMs > 0 && ttlMs <= 60_000);
  t.equal(await memory.del("a", "zz"), 1);

  const data = Buffer.alloc(700_000, 7);
  await files.writeFile("dir/x.bin", data);
  t.ok((await files.readFile("dir/x.bin")).equals(data));
  t.match(await files.list("dir"), [{ name: "x.bin", kind: "file", size: 700_000 }]);
  const file = await files.open("y");
  t.equal(await files.write(file, "hello"), 5);
  t.equal((await files.read(file, 100, 1)).toString(), "ello");
  await files.close(file);
  await files.remove("y");
  await t.rejects(files.stat("y"), { code: "UNKNOWN" });

  const waiting = queue.dequeue({ topic: "orders", waitMs: 60_000 });
  const ticket = await queue.enqueue(Buffer.of(255), { topic: "orders", correlation: "c1" });
  const message = (await waiting)!;
  t.match(message, { ...ticket, topic: "orders", deliveries: 1, correlation: "c1" });
  t.strictSame(message.payload, Buffer.of(255));
  const answer = queue.await(ticket, { waitMs: 60_000 });
  await queue.reply(message, "done");
  t.equal((await answer)?.toString(), "done");

  const tailed: string[] = [];
  const stop = await events.tail(({ kind }) => tailed.push(kind));
  const born = await events.vertex("1", "a", "b");
  t.equal(await events.edge(1, 2), born + 1);
  const { vertices, edges } = await events.graph();
  t.match(vertices, [{ id: "1", partakers: ["a", "b"] }, { id: "2" }]);
  t.match(edges, [{ from: "1", to: "2", lamport: born + 1 }]);
  t.match(await events.dot(), /^digraph D \{\n/);
  t.match(await events.why(2), { id: "2", causes: [{ from: "1" }] });
  await eventually(() => tailed.length === 2);
  t.strictSame(tailed, ["vertex", "edge"]);
  stop();
});

t.test("memory: blocks carry their node, keys are as in Redis", async (t) => {
  const { client, node } = await answering(t, {
    MALLOC: bulk("garage:ffff880000000010"),
    SETM: ":7\r\n",
    GETM: bulk("\xff\0"),
    TOUCHM: ":5000\r\n",
    FREEM: "+OK\r\n",
    SET: "+OK\r\n",
    GET: bulk("gr\xc3\xb6\xc3\x9fer"),
    DEL: ":2\r\n",
    EXISTS: ":1\r\n",
    INCR: ":9007199254740993\r\n",
    MGET: `*2\r\n${bulk("a")}_\r\n`,
    MSET: "+OK\r\n",
    PTTL: ":-1\r\n",
  });
  const { memory } = client;
  const vuid = await memory.malloc(100, { ttlMs: 5000 });
  t.equal(vuid, "garage:ffff880000000010");
  t.equal(await memory.store(vuid, Uint8Array.of(255, 0), { ifRevision: 6 }), 7);
  t.strictSame(await memory.load(vuid), Buffer.of(255, 0));
  await memory.free(vuid);
  t.equal(await memory.set("k", 5, { ttlMs: 10, ifRevision: 3 }), true);
  t.equal(await memory.get("k"), "größer");
  t.strictSame(await memory.getBytes("k"), Buffer.from("größer"));
  t.equal(await memory.del("a", "b"), 2);
  t.equal(await memory.exists("a"), 1);
  t.equal(await memory.incr("n"), 9007199254740993n);
  t.strictSame(await memory.mget("a", "b"), ["a", undefined]);
  await memory.mset({ a: 1, b: true, c: "x" });
  t.equal(await memory.pttl("a"), -1);
  t.strictSame(node.asked, [
    "MALLOC 100 TTL 5000",
    "SETM garage:ffff880000000010 \xff\0 IF 6",
    "GETM garage:ffff880000000010",
    "FREEM garage:ffff880000000010",
    "SET k 5 IFREV 3 PX 10",
    "GET k",
    "GET k",
    "DEL a b",
    "EXISTS a",
    "INCR n",
    "MGET a b",
    "MSET a 1 b true c x",
    "PTTL a",
  ]);
  await memory.malloc(5, { pool: "maps" });
  t.equal(await memory.touch(vuid), 5000);
  t.strictSame(node.asked.slice(-2), ["MALLOC 5 POOL maps", "TOUCHM garage:ffff880000000010"]);
  const revised = await answering(t, { GETM: `*2\r\n${bulk("data")}:4\r\n` });
  t.strictSame(await revised.client.memory.loadRevision(vuid), { data: Buffer.from("data"), revision: 4 });
  t.strictSame(revised.node.asked, ["GETM garage:ffff880000000010 REV"]);
  const absent = await answering(t, { SET: "_\r\n", GET: "_\r\n", MALLOC: bulk("ffff880000000020") });
  t.equal(await absent.client.memory.set("k", "v", { ifAbsent: true }), false);
  t.equal(await absent.client.memory.get("k"), undefined);
  t.equal(await absent.client.memory.getBytes("k"), undefined);
  t.equal(await absent.client.memory.malloc(1), "garage:ffff880000000020", "an address alone gets the name of who answered");
  t.strictSame(absent.node.asked[0], "SET k v NX");
});

t.test("files: descriptors carry their node, whole files go part by part, and are replaced in one step", async (t) => {
  const files = new Map<string, Buffer>();
  const open: string[] = [];
  let most = 1000;
  const node = await startScriptedNode(
    t,
    ([verb, ...args]) => {
      const [first = "", second = "", third] = args;
      const path = open[Number(first)] ?? "";
      const content = files.get(path) ?? Buffer.alloc(0);
      switch (verb) {
        case "FOPEN":
          if (second === "R" && !files.has(first)) return "-UNKNOWN no file\r\n";
          if (!files.has(first)) files.set(first, Buffer.alloc(0));
          return `:${open.push(first) - 1}\r\n`;
        case "FREAD":
          if (Number(second) > most) return "-LIMIT too much in one read\r\n";
          return bulk(content.toString("latin1", Number(third), Number(third) + Number(second)));
        case "FWRITE":
          if (second.length > most) return "-LIMIT too much in one write\r\n";
          if (second.includes("poison")) return "-IO no space\r\n";
          files.set(path, Buffer.concat([content, Buffer.from(second, "latin1")]));
          return `:${second.length}\r\n`;
        case "FSTAT":
          return map({ name: bulk(first), kind: bulk("file"), size: `:${files.get(first)?.length ?? 0}\r\n`, modifiedMs: ":5\r\n" });
        case "FLIST": {
          const rest = [...files.keys()].sort().filter((name) => name > (third ?? ""));
          return `*${Math.min(2, rest.length)}\r\n${rest
            .slice(0, 2)
            .map((name) => map({ name: bulk(name) }))
            .join("")}`;
        }
        case "FRENAME":
          files.set(second, files.get(first)!);
          files.delete(first);
          return "+OK\r\n";
        case "FREMOVE":
          return files.delete(first) ? "+OK\r\n" : "-UNKNOWN no file\r\n";
        default:
          return "+OK\r\n";
      }
    },
    { name: "garage" },
  );
  const { client } = clientOf(t, [node]);
  const file = await client.files.open("a.txt");
  t.strictSame(file, { node: "garage", fd: 0 });
  t.equal(await client.files.write(file, "hello", 0), 5);
  t.equal((await client.files.read(file, 3, 1)).toString(), "ell");
  await client.files.close(file);
  t.strictSame(node.asked, ["FOPEN a.txt RW", "FWRITE 0 hello 0", "FREAD 0 3 1", "FCLOSE 0"]);

  const data = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7) % 256));
  const progress: string[] = [];
  await client.files.writeFile("big.bin", data, { onProgress: (done, total) => progress.push(`${done}/${total}`) });
  t.same(files.get("big.bin"), data);
  t.equal(files.size, 2, "nothing is left beside it");
  t.equal(progress.at(-1), "5000/5000");
  t.ok(progress.length >= 5, "in parts the agent takes");
  t.same(await client.files.readFile("big.bin", { onProgress: (done, total) => progress.push(`${done}/${total}`) }), data);
  t.equal(progress.at(-1), "5000/5000");
  await client.files.writeFile("empty", "");
  t.equal(files.get("empty")?.length, 0);
  t.match(await client.files.stat("big.bin"), { kind: "file", size: 5000, modifiedMs: 5 });
  t.same(
    (await client.files.list()).map(({ name }) => name),
    ["a.txt", "big.bin", "empty"],
    "page by page",
  );
  await t.rejects(client.files.readFile("none"), { code: "UNKNOWN" });
  await t.rejects(client.files.writeFile("bad", "some poison"), { code: "IO", message: "no space" });
  t.same([...files.keys()].sort(), ["a.txt", "big.bin", "empty"], "and what failed is cleared away");
  most = 100;
  await t.rejects(client.files.readFile("big.bin"), { code: "LIMIT" }, "there is an end to making parts smaller");
  await client.files.rename("empty", "void");
  await client.files.remove("void");
  await t.rejects(client.files.remove("void"), { code: "UNKNOWN" });
});

t.test("queue: tickets carry their node, waiting for a message holds up nothing", async (t) => {
  const delivery = map({ id: ":7\r\n", topic: bulk("orders"), payload: bulk("\xff"), deliveries: ":1\r\n", correlation: "_\r\n" });
  let deliver: (() => void) | undefined;
  const node = await startScriptedNode(
    t,
    (words, socket) => {
      if (words.join(" ") === "DEQUEUE TOPIC orders WAIT 60000 VISIBILITY 500") {
        deliver = () => socket.write(Buffer.from(delivery, "latin1"));
        return undefined;
      }
      const answers: Record<string, string> = { ENQUEUE: ":7\r\n", DEQUEUE: "_\r\n", AWAIT: bulk("done"), QSTAT: "*0\r\n" };
      return answers[words[0] ?? ""] ?? "+OK\r\n";
    },
    { name: "garage" },
  );
  const { client, clock } = clientOf(t, [node], { deadlineMs: 1000 });
  const { queue } = client;
  const ticket = await queue.enqueue("do it", { topic: "orders", priority: 9, correlation: "x" });
  t.strictSame(ticket, { node: "garage", id: 7 });
  t.equal(await queue.dequeue(), undefined);
  const waiting = queue.dequeue({ topic: "orders", waitMs: 60_000, visibilityMs: 500 });
  await eventually(() => deliver !== undefined);
  t.strictSame(await queue.stat(), [], "another question is answered meanwhile");
  await clock.advance(59_000);
  deliver?.();
  const message = (await waiting)!;
  t.match(message, { id: 7, node: "garage", topic: "orders", deliveries: 1 });
  t.strictSame(message.payload, Buffer.of(255));
  await queue.ack(message);
  await queue.nack(message, { delayMs: 5, reason: "later" });
  await queue.reply(message, "done");
  t.equal((await queue.await(ticket, { waitMs: 100 }))?.toString(), "done");
  t.equal((await queue.await(ticket))?.toString(), "done");
  await queue.stat("orders");
  t.strictSame(node.asked, [
    "ENQUEUE do it TOPIC orders PRIORITY 9 CORRELATION x",
    "DEQUEUE",
    "DEQUEUE TOPIC orders WAIT 60000 VISIBILITY 500",
    "QSTAT",
    "ACK 7",
    "NACK 7 DELAY 5 REASON later",
    "REPLY 7 done",
    "AWAIT 7 WAIT 100",
    "AWAIT 7",
    "QSTAT orders",
  ]);
  t.equal(node.greetings.length, 2, "one connection to ask and one to wait");
});

t.test("events", async (t) => {
  const { client, node } = await answering(t, {
    "EVENT.VERTEX": ":3\r\n",
    "EVENT.EDGE": ":4\r\n",
    "EVENT.GRAPH": bulk("digraph D {}"),
    "EVENT.WHY": "*0\r\n",
  });
  const other = await answering(t, { "EVENT.GRAPH": bulk('{"vertices":[{"id":"1"}],"next":null}') });
  t.equal(await client.events.vertex(1, "a", "b"), 3);
  t.equal(await client.events.edge(1, "2", { lamport: 9 }), 4);
  t.equal(await client.events.dot(), "digraph D {}");
  t.strictSame(await other.client.events.graph({ from: 3, count: 10 }), { vertices: [{ id: "1" }], next: null });
  t.strictSame(other.node.asked, ["EVENT.GRAPH JSON FROM 3 COUNT 10"]);
  t.strictSame(await client.events.why("lamp", { count: 5 }), []);
  t.strictSame(node.asked, ["EVENT.VERTEX 1 a b", "EVENT.EDGE 1 2 LAMPORT 9", "EVENT.GRAPH DOT", "EVENT.WHY lamp COUNT 5"]);
});

t.test("what was in flight is rejected and not repeated; what is asked afterwards goes over a new connection", async (t) => {
  const node = await startScriptedNode(t, (words, socket) => {
    if (words[0] !== "CLONE") return "+OK\r\n";
    socket.destroy();
    return undefined;
  });
  const { client } = clientOf(t, [node]);
  await t.rejects(client.clone("arm.move", [5]), { code: "IO", message: /closed the connection$/ });
  t.equal(await client.call("PING"), "OK");
  t.strictSame(node.asked, ["CLONE arm.move 5", "PING"]);
});

t.test("deadlines: per call, per client, and told to the agent", async (t) => {
  const node = await startScriptedNode(t, () => undefined, { name: "garage" });
  const { client, clock } = clientOf(t, [node], { deadlineMs: 700 });
  const results: unknown[] = [];
  for (const asked of [client.clone("lamp.on", [], { deadlineMs: 300 }), client.devices(), client.files.close({ node: "garage", fd: 1 })]) {
    asked.catch((thrown: unknown) => results.push((thrown as Error).message));
  }
  await eventually(() => node.asked.length === 3);
  t.equal(node.asked[0], "CLONE DEADLINE 300 lamp.on");
  await clock.advance(300);
  t.match(results, [/has not answered within 300 ms$/]);
  await clock.advance(400);
  t.match(results.slice(1), [/has not answered within 700 ms$/, /^node garage: .* has not answered within 700 ms$/]);
});

t.test("a node that is away is waited for until the deadline, unless the client does not reconnect", async (t) => {
  const node = await startScriptedNode(t, ECHO);
  await node.stop();
  const eager = clientOf(t, [node], { reconnect: false });
  await t.rejects(eager.client.call("PING"), { code: "IO", message: /^nothing listens on / });
  await t.rejects(
    eager.client.vars.watch("*", () => undefined),
    { code: "IO", message: /^nothing listens on / },
  );
  const patient = clientOf(t, [node], { reconnect: { minMs: 10 } });
  const asked = patient.client.call("PING");
  await node.start();
  await eventually(async () => {
    await patient.clock.advance(10);
    return node.asked.length > 0;
  });
  t.equal(await asked, "PING");
});

t.test("subscriptions come back after an interruption, with what is known by then", async (t) => {
  let value = 1;
  const node = await startScriptedNode(t, ([verb]) => {
    if (verb === "VAR.LIST") return `*1\r\n${map({ name: bulk("v"), value: `:${value}\r\n`, unit: "_\r\n" })}`;
    return verb === "VAR.GET" ? ":1\r\n" : "+OK\r\n";
  });
  const { client, clock } = clientOf(t, [node], { reconnect: { minMs: 100 } });
  const seen: unknown[] = [];
  const interruptions: string[] = [];
  const cancel = await client.vars.watch("v", (change) => seen.push(change.value), {
    onInterrupted: ({ code }) => interruptions.push(code),
  });
  t.strictSame(seen, [1]);
  node.connections[0]?.write(`>4\r\n${bulk("var")}${bulk("v")}:2\r\n_\r\n`);
  await eventually(() => seen.length === 2);
  value = 5;
  node.hangUp();
  await eventually(() => interruptions.length === 1);
  await clock.advance(100);
  await eventually(() => seen.length === 3);
  t.strictSame(seen, [1, 2, 5]);
  t.strictSame(interruptions, ["IO"]);
  const tailed: unknown[] = [];
  const stop = await client.events.tail((event) => tailed.push(event));
  node.connections.at(-1)?.write(`>3\r\n${bulk("event")}${bulk("edge")}${map({ from: bulk("1") })}>1\r\n${bulk("other")}`);
  await eventually(() => tailed.length === 1);
  t.same(tailed, [{ kind: "edge", event: { from: "1" } }]);
  cancel();
  stop();
  node.hangUp();
  await settled();
  t.equal(clock.pending(), 0);
  t.equal(interruptions.length, 1, "what was cancelled is not interrupted");
});

t.test("a subscription that is refused, or never holds, is rejected", async (t) => {
  const refusing = await startScriptedNode(t, () => "-DENIED not for you\r\n");
  await t.rejects(
    clientOf(t, [refusing]).client.vars.watch("*", () => undefined),
    { code: "DENIED", message: "not for you" },
  );
  const mute = await startScriptedNode(t, () => undefined);
  const { client, clock } = clientOf(t, [mute], { deadlineMs: 500 });
  let failure: unknown;
  client.events.tail(() => undefined).catch((thrown: unknown) => (failure = thrown));
  await eventually(() => mute.asked.length === 1);
  await clock.advance(1000);
  t.match(failure, { code: "TIMEOUT" });
  const away = await startScriptedNode(t, ECHO);
  await away.stop();
  const waiting = clientOf(t, [away], { deadlineMs: 500 });
  let refusal: unknown;
  waiting.client.events.tail(() => undefined).catch((thrown: unknown) => (refusal = thrown));
  await eventually(async () => {
    await waiting.clock.advance(50);
    return refusal !== undefined;
  });
  t.match(refusal, { code: "IO", message: /^nothing listens .* not sent within 500 ms$/ });
});

t.test("of several nodes the first that answers is home; what was made on one is asked for there", async (t) => {
  const script: Script = ([verb]) => (verb === "MALLOC" ? bulk("ffff880000000010") : "+OK\r\n");
  const garage = await startScriptedNode(t, script, { name: "garage" });
  const shed = await startScriptedNode(t, script, { name: "shed" });
  const { client } = clientOf(t, [garage, shed]);
  await client.call("PING");
  await client.memory.free("shed:1");
  await client.queue.ack({ node: "shed", id: 1 });
  await client.memory.free("garage:2");
  await client.clone("lamp.on", [], { node: "shed" });
  await client.clone("lamp.on", [], { node: "ANY" });
  await client.memory.free("attic:3");
  t.strictSame(
    garage.asked,
    ["PING", "FREEM garage:2", "CLONE NODE ANY lamp.on", "FREEM attic:3"],
    "one that is unknown is the agent's to know",
  );
  t.strictSame(shed.asked, ["FREEM shed:1", "ACK 1", "CLONE NODE shed lamp.on"]);
  t.equal(await client.memory.malloc(5, { node: "shed" }), "shed:ffff880000000010");
  await garage.stop();
  await eventually(async () => (await client.call("PING").catch(() => "gone")) === "OK");
  t.equal(shed.asked.at(-1), "PING", "home is where somebody answers");
  const { client: blind } = clientOf(t, [garage, shed], { reconnect: false });
  await t.rejects(
    blind.memory.free("attic:3"),
    { code: "IO", message: /^node attic: nothing listens on / },
    "it may be the one that is away",
  );
});

t.test("with prg every clone, malloc and open is drawn, and nodes that are away are left out", async (t) => {
  const script: Script = ([verb]) => (verb === "FOPEN" ? ":3\r\n" : bulk("x"));
  const nodes = [await startScriptedNode(t, script, { name: "a" }), await startScriptedNode(t, script, { name: "b" })] as const;
  const { client } = clientOf(t, nodes, { balancer: "prg", seed: 5 });
  for (let i = 0; i < 60; i++) await client.clone("lamp.on");
  const [ofA, ofB] = nodes.map(({ asked }) => asked.length) as [number, number];
  t.equal(ofA + ofB, 60);
  t.ok(ofA > 15 && ofB > 15, `${ofA} and ${ofB}`);
  const files = new Set<string>();
  for (let i = 0; i < 20; i++) files.add((await client.files.open("f")).node);
  t.same([...files].sort(), ["a", "b"]);
  t.match(await client.memory.malloc(4), /^[ab]:x$/);
  await nodes[0].stop();
  await eventually(async () => {
    const before = nodes[1].asked.length;
    for (let i = 0; i < 10; i++) await client.clone("lamp.on").catch(() => undefined);
    return nodes[1].asked.length - before === 10;
  });
  await nodes[1].stop();
  const { client: eager } = clientOf(t, nodes, { balancer: "prg", seed: 5, reconnect: false });
  await t.rejects(eager.clone("lamp.on"), { code: "IO", message: /^nothing listens/ });
});

t.test("a token is asked for at every connection, and a wrong one is DENIED at once", async (t) => {
  let good = "first";
  const node = await startScriptedNode(t, ECHO, {
    hello: (words) => (words.at(-1) === good ? map({ node: bulk("garage") }) : "-DENIED no user has that name and token\r\n"),
  });
  const { client } = clientOf(t, [node], { user: "ada", token: () => Promise.resolve(good) });
  await client.call("PING");
  good = "second";
  node.hangUp();
  await eventually(async () => (await client.call("PING").catch(() => "gone")) === "PING");
  t.strictSame(node.greetings.at(-1), "HELLO 3 AUTH ada second");
  await t.rejects(clientOf(t, [node], { token: "third" }).client.call("PING"), { code: "DENIED" });
});

t.test("a closed client asks nothing, and leaves nothing behind", async (t) => {
  const node = await startScriptedNode(t, () => undefined);
  const { client, clock } = clientOf(t, [node]);
  const asked: Promise<unknown>[] = [client.call("PING"), client.queue.dequeue({ waitMs: 1000 }), client.events.tail(() => undefined)];
  await eventually(() => node.asked.length === 3);
  client.close();
  for (const promise of asked) await t.rejects(promise, { code: "IO" });
  await t.rejects(client.call("PING"), { code: "IO", message: "the client is closed" });
  await t.rejects(
    client.vars.watch("*", () => undefined),
    { code: "IO", message: "the client is closed" },
  );
  t.equal(clock.pending(), 0);
});

t.test("an address is needed, and must be one", (t) => {
  const clock = createSystemClock();
  t.throws(() => createClient({ clock }), { code: "ARGUMENT", message: /needs an address/ });
  t.throws(() => createClient({ clock, addresses: [] }), { code: "ARGUMENT" });
  t.throws(() => createClient({ clock, address: "http://pi" }), { code: "ARGUMENT" });
  t.end();
});

t.test("what may be repeated is what changes nothing", (t) => {
  for (const [verb, args] of [
    ["vars.get", []],
    ["CLONE", ["lamp.on"]],
    ["ENQUEUE", []],
    ["INCR", []],
    ["ESTOP", ["RESET"]],
    ["FREAD", ["1", "2"]],
    ["DEQUEUE", []],
  ] as const) {
    t.equal(mayRepeat(verb, args), false, verb);
  }
  for (const [verb, args] of [
    ["var.get", ["x"]],
    ["ESTOP", []],
    ["FREAD", ["1", "2", "0"]],
    ["GET", ["k"]],
    ["DEVICES", []],
  ] as const) {
    t.equal(mayRepeat(verb, args), true, verb);
  }
  t.end();
});
