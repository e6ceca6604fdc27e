import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import t from "tap";

import type { Caller } from "../../agent/contract/request.ts";
import type { Value } from "../../agent/contract/value.ts";
import { eventsGrammar } from "../../agent/wire/classic-events.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { eventually } from "../helpers/start-agent.ts";
import { createListener, eventsBench, testFolder, type EventsBench } from "./events/events-bench.ts";

interface Page {
  readonly vertices: readonly {
    readonly id: string;
    readonly partakers: readonly string[];
    readonly lamport: number;
    readonly born: number;
  }[];
  readonly edges: readonly { readonly from: string; readonly to: string; readonly lamport: number }[];
  readonly next: number | null;
}

async function graphOf({ ask }: EventsBench, ...words: readonly (string | number)[]): Promise<Page> {
  return JSON.parse((await ask("EVENT.GRAPH", "JSON", ...words)) as string) as Page;
}

const edgesOf = (page: Page) => page.edges.map(({ from, to }) => `${from},${to}`);

const permits = (...allowed: readonly string[]): Caller["permits"] => ({
  allows: (kind, name) => kind === "events" && allowed.includes(name),
});

const START_MS = 1_700_000_000_000;

/** A message of the original, as the codec hands it on. */
async function classic({ service }: EventsBench, text: string): Promise<string> {
  const request = eventsGrammar.request(text);
  return eventsGrammar.payload(await service.handle(request, createListener().caller), request);
}

t.test("the recorded session: every message is answered, and the edges are in the file by then", async (t) => {
  const bench = await eventsBench(t);
  const { ask, file } = bench;
  await ask("EVENT.VERTEX", 1, 11, 12);
  await classic(bench, "eventnet_edgemsg#1#2#");
  await classic(bench, "eventnet_edgemsg#5#8#");
  t.equal(await classic(bench, "eventnet_edgemsg#5#7#"), "EventNet updated");
  t.equal(file("EventNetEdges.txt"), "1,2\n5,8\n5,7\n");
  t.equal(await classic(bench, "eventnet_edgemsg#7#8#"), "EventNet updated");
  t.equal(await classic(bench, "eventnet_vertexmsg#1#15#19#"), "EventNet updated");
  t.equal(await classic(bench, "eventnet_edgemsg#5#8#"), "EventNet updated");
  t.equal(await classic(bench, "eventnet_vertexmsg#1#18#12#"), "EventNet updated");
  t.equal(file("EventNetEdges.txt"), "1,2\n5,8\n5,7\n7,8\n5,8\n", "duplicates as the original keeps them, without its NULs");
  await bench.service.close();
  t.equal(file("EventNetVertices.txt"), "1 - 11,12,15,19,18 - (11,12)#(15,19)#(18,12)\n2 -  - \n5 -  - \n8 -  - \n7 -  - \n");
  t.equal(file("EventNetOrdering.txt"), "0 - 1 \n1 - 5 \n2 - 2 \n3 - 7 \n4 - 8 \n");
});

t.test("a message that cannot be kept is answered with an empty payload", async (t) => {
  const bench = await eventsBench(t, { options: { maxEdges: 1 } });
  t.equal(await classic(bench, "eventnet_edgemsg#1#2#"), "EventNet updated");
  t.equal(await classic(bench, "eventnet_edgemsg#1#3#"), "", "FULL");
  t.equal(await classic(bench, "eventnet_edgemsg#\xff#3#"), "", "no UTF-8");
  t.equal(await classic(bench, "eventnet_vertexmsg#@5#a#b#"), "", "an entry of the journal is no event");
});

t.test("every event has a Lamport time of its own that rises, also past one it is told of, also over restarts", async (t) => {
  const folder = testFolder(t);
  const clock = createFakeClock();
  const first = await eventsBench(t, { folder, clock });
  t.equal(await first.ask("EVENT.EDGE", "a", "b"), 1);
  t.equal(await first.ask("EVENT.VERTEX", "a", "op"), 2);
  t.equal(await first.ask("event.edge".toUpperCase(), "b", "c", "lamport", 41), 42);
  t.equal(await first.ask("EVENT.EDGE", "b", "c", "LAMPORT", 7), 43, "one that is past already");
  clock.advanceNow(5);
  t.strictSame(await Promise.all([first.ask("EVENT.EDGE", "c", "d"), first.ask("EVENT.VERTEX", "d", "x")]), [44, 45]);
  await first.service.close();
  const second = await eventsBench(t, { folder, clock });
  t.equal(await second.ask("EVENT.EDGE", "d", "e"), 46);
  const { vertices, edges } = await graphOf(second);
  t.strictSame(
    edges.map(({ lamport }) => lamport),
    [1, 42, 43, 44, 46],
  );
  t.match(vertices, [
    { id: "a", partakers: ["op"], conversations: [["op"]], born: 1, lamport: 2, wallMs: START_MS },
    { id: "b", partakers: [], born: 1, lamport: 1 },
    { id: "c", born: 42 },
    { id: "d", partakers: ["x"], born: 44, lamport: 45, wallMs: START_MS + 5 },
    { id: "e", born: 46 },
  ]);
  t.equal(await second.ask("EVENT.EDGE", "e", "f", "LAMPORT", 2 ** 52), 2 ** 52 + 1, "the greatest there may be");
  t.equal(await second.ask("EVENT.EDGE", "e", "f"), 2 ** 52 + 2);
});

t.test("a vertex takes partakers once and each conversation; whole numbers are compared as numbers", async (t) => {
  const bench = await eventsBench(t);
  await bench.ask("EVENT.VERTEX", "007", 11, 12, 11);
  await bench.ask("EVENT.VERTEX", 7, " 12 ", "front left");
  await bench.ask("EVENT.EDGE", "0", "00");
  const { vertices, edges } = await graphOf(bench);
  t.match(vertices, [
    {
      id: "7",
      partakers: ["11", "12", "front left"],
      conversations: [
        ["11", "12", "11"],
        ["12", "front left"],
      ],
    },
    { id: "0" },
  ]);
  t.match(edges, [{ from: "0", to: "0" }]);
});

t.test("what is no name, no number and no word is refused by name, and changes nothing", async (t) => {
  const { ask } = await eventsBench(t);
  t.equal(await ask("EVENT.EDGE", "a"), "ARGUMENT EVENT.EDGE takes two events, got 1 words");
  t.equal(await ask("EVENT.VERTEX", "a"), "ARGUMENT EVENT.VERTEX takes an event and who takes part, got 1 words");
  t.equal(await ask("EVENT.VERTEX"), "ARGUMENT EVENT.VERTEX takes an event and who takes part, got 0 words");
  t.equal(await ask("EVENT.EDGE", " ", "b"), "ARGUMENT an event's id has 1 to 128 bytes, got 0");
  t.equal(await ask("EVENT.EDGE", "a", "b".repeat(129)), "ARGUMENT an event's id has 1 to 128 bytes, got 129");
  t.equal(await ask("EVENT.EDGE", "a", "b\tc"), 'ARGUMENT an event\'s id has no control characters, got "b\\tc"');
  t.equal(await ask("EVENT.EDGE", "@12", "b"), "ARGUMENT @12 stands for an entry of the journal; an event's id is something else");
  t.equal(await ask("EVENT.VERTEX", "a", ""), "ARGUMENT a partaker's name has 1 to 128 bytes, got 0");
  t.equal(await ask("EVENT.EDGE", "a", "b", "LAMPORT"), `ARGUMENT EVENT.EDGE LAMPORT takes a whole number up to ${2 ** 52}, got nothing`);
  t.equal(
    await ask("EVENT.EDGE", "a", "b", "LAMPORT", 2 ** 53),
    `ARGUMENT EVENT.EDGE LAMPORT takes a whole number up to ${2 ** 52}, got ${2 ** 53}`,
  );
  t.equal(await ask("EVENT.EDGE", "a", "b", "constructor", 1), "ARGUMENT EVENT.EDGE knows LAMPORT, not constructor");
  t.equal(await ask("EVENT.GRAPH", "SVG"), "ARGUMENT EVENT.GRAPH knows FROM and COUNT, not SVG");
  t.equal(await ask("EVENT.GRAPH", "DOT", "COUNT", "x"), `ARGUMENT EVENT.GRAPH COUNT takes a whole number up to ${2 ** 53 - 1}, got x`);
  t.equal(await ask("EVENT.WHY"), "ARGUMENT EVENT.WHY takes an event, a device or @ and the number of an entry");
  t.equal(await ask("EVENT.WHY", "a", "COUNT", 1001), "ARGUMENT EVENT.WHY COUNT takes a whole number up to 1000, got 1001");
  t.equal(await ask("EVENT.STAT", "x"), "ARGUMENT EVENT.STAT takes nothing, got 1 words");
  t.equal(await ask("EVENT.TAIL", "off"), "ARGUMENT EVENT.TAIL takes STOP or nothing, got off");
  t.equal(await ask("EVENT.NOPE"), "UNKNOWN eventnet has no verb EVENT.NOPE");
  t.match(await ask("EVENT.STAT"), { node: "pi", vertices: 0, edges: 0, lamport: 0, tails: 0 });
});

t.test("limits name themselves, also for what is not on disk yet", async (t) => {
  const { ask } = await eventsBench(t, { options: { maxVertices: 3, maxEdges: 4, maxVertexBytes: 256 } });
  const asked = [
    ["a", "b"],
    ["a", "b"],
    ["a", "c"],
    ["d", "a"],
    ["c", "c"],
    ["c", "a"],
  ] as const;
  t.strictSame(await Promise.all(asked.map(([from, to]) => ask("EVENT.EDGE", from, to))), [
    1,
    2,
    3,
    "FULL no room for another vertex: 3 are kept at most (events.maxVertices)",
    4,
    "FULL no room for another edge: 4 are kept at most (events.maxEdges)",
  ]);
  t.equal(await ask("EVENT.VERTEX", "d", "x"), "FULL no room for another vertex: 3 are kept at most (events.maxVertices)");
  const long = "x".repeat(60);
  t.strictSame(await Promise.all([1, 2, 3].map((n) => ask("EVENT.VERTEX", "a", `${n}${long}`))), [
    5,
    6,
    "FULL no room for more partakers and conversations: 256 bytes are kept of one event (events.maxVertexBytes)",
  ]);
  t.equal(await ask("EVENT.VERTEX", "b", long), 7, "another event has room");
});

t.test("names have room together, and edges between known events go on when they have none", async (t) => {
  const { ask } = await eventsBench(t, { options: { maxTextBytes: 1024 } });
  const id = (n: number) => `${n}`.padStart(128, "x");
  for (let n = 0; n < 4; n++) t.equal(await ask("EVENT.EDGE", id(2 * n), id(2 * n + 1)), n + 1);
  t.equal(await ask("EVENT.EDGE", id(0), "y"), "FULL no room for another name: 1024 bytes are kept at most (events.maxTextBytes)");
  t.equal(await ask("EVENT.VERTEX", id(0), "y"), "FULL no room for another name: 1024 bytes are kept at most (events.maxTextBytes)");
  t.equal(await ask("EVENT.EDGE", id(0), id(7)), 5);
});

t.test("duplicates: ignore answers an edge that is there, or on its way, with its own time", async (t) => {
  const folder = testFolder(t);
  const bench = await eventsBench(t, { folder, options: { duplicates: "ignore" } });
  const { ask } = bench;
  t.strictSame(await Promise.all([ask("EVENT.EDGE", "a", "b"), ask("EVENT.EDGE", "a", "b"), ask("EVENT.EDGE", "b", "a")]), [1, 1, 2]);
  t.equal(await ask("EVENT.EDGE", "a", "b", "LAMPORT", 100), 1);
  t.equal(await ask("EVENT.EDGE", "b", "b"), 3, "time went on by new edges only");
  t.strictSame(edgesOf(await graphOf(bench)), ["a,b", "b,a", "b,b"]);
  await bench.service.close();
  const again = await eventsBench(t, { folder, options: { duplicates: "ignore" } });
  t.equal(await again.ask("EVENT.EDGE", "b", "a"), 2, "also after a restart");
});

t.test("what cannot be written is refused with the reason, also to who asked for it again, and nothing of it is there", async (t) => {
  const { ask, clock, folder, file } = await eventsBench(t, { options: { duplicates: "ignore", maxVertices: 3, maxTextBytes: 1024 } });
  rmSync(join(folder, "log"), { recursive: true });
  const asked = [ask("EVENT.EDGE", "a", "b"), ask("EVENT.EDGE", "a", "b"), ask("EVENT.VERTEX", "c", "x")];
  for (const answer of await Promise.all(asked)) t.match(answer, /^IO eventnet: cannot make room for more records in .+log: ENOENT/);
  t.match(await ask("EVENT.STAT"), { vertices: 0, edges: 0, text_bytes: 0, waiting_edges: 0 });
  t.equal(file("EventNetEdges.txt"), "");
  mkdirSync(join(folder, "log"));
  clock.advanceNow(1000);
  await eventually(async () => typeof (await ask("EVENT.EDGE", "a", "b")) === "number");
  t.equal(typeof (await ask("EVENT.VERTEX", "c", "x")), "number", "what was refused takes no room");
  t.equal(file("EventNetEdges.txt"), "a,b\n");
});

t.test("DOT is as the original writes it, with what would end a name escaped", async (t) => {
  const { ask } = await eventsBench(t);
  await ask("EVENT.VERTEX", 5, 11, 12);
  await ask("EVENT.EDGE", 5, 7);
  await ask("EVENT.EDGE", 7, 'say "hi\\');
  await ask("EVENT.EDGE", "node", "low-beam");
  await ask("EVENT.EDGE", "größer", "lamp");
  const dot = `digraph D {
  rankdir=LR
  size="4,3"
  ratio="fill"
  edge[style="bold"]
  node[shape="circle"]
"5 " [Label="11,12"]
"7 " [Label=""]
"say \\"hi\\\\ " [Label=""]
"node " [Label=""]
"low-beam " [Label=""]
"größer " [Label=""]
"lamp " [Label=""]
5  -> 7[label="1", color="grey"]
7  -> "say \\"hi\\\\"[label="1", color="grey"]
"node"  -> "low-beam"[label="1", color="grey"]
"größer"  -> lamp[label="1", color="grey"]
}
`;
  t.equal(await ask("EVENT.GRAPH"), dot);
  t.equal(await ask("EVENT.GRAPH", "dot"), dot);
});

t.test("parts of the graph say where the next one begins, and together are all of it", async (t) => {
  const bench = await eventsBench(t);
  const { ask } = bench;
  for (let n = 0; n < 30; n++) await ask("EVENT.EDGE", n, (n * 7) % 30);
  await ask("EVENT.VERTEX", "last", "x");
  const all = await graphOf(bench);
  t.equal(all.next, null);
  const parts: Page[] = [];
  for (let from: number | null = 0; from !== null; from = parts.at(-1)!.next) parts.push(await graphOf(bench, "FROM", from, "COUNT", 7));
  t.ok(parts.length > 4);
  t.ok(parts.slice(0, -1).every(({ vertices, edges }) => vertices.length + edges.length >= 7 && vertices.length + edges.length < 10));
  t.strictSame(
    parts.flatMap(({ vertices }) => vertices),
    all.vertices,
  );
  t.strictSame(
    parts.flatMap(({ edges }) => edges),
    all.edges,
  );
  t.match(await ask("EVENT.GRAPH", "DOT", "FROM", 30, "COUNT", 1), /^digraph D \{\n.+\n29 {2}-> 23\[.+\n\/\/ next: FROM 31\n\}\n$/s);
  t.strictSame((await graphOf(bench, "FROM", 1000)).vertices, []);
});

t.test("a graph that does not fit is refused whole, and given in parts", async (t) => {
  const bench = await eventsBench(t, { options: { maxReplyBytes: 1024 * 1024, maxVertexBytes: 262_144 } });
  for (let n = 0; n < 6; n++) await bench.ask("EVENT.VERTEX", n, ...Array.from({ length: 900 }, (_, i) => `${i}`.padStart(120, "x")));
  const refused =
    "LIMIT the graph takes more than 1048576 bytes (events.maxReplyBytes); ask for parts: EVENT.GRAPH JSON FROM 0 COUNT 10000";
  t.equal(await bench.ask("EVENT.GRAPH", "JSON"), refused);
  t.match(await bench.ask("EVENT.GRAPH", "DOT"), /^digraph D/, "DOT has no conversations and fits");
  const first = await graphOf(bench, "COUNT", 10_000);
  t.equal(first.vertices.length, 5);
  t.strictSame(
    (await graphOf(bench, "FROM", first.next!, "COUNT", 10_000)).vertices.map(({ id }) => id),
    ["5"],
  );
});

t.test("WHY answers what an event follows from, newest first, up to a count", async (t) => {
  const { ask } = await eventsBench(t);
  await ask("EVENT.VERTEX", "press", "operator", "button");
  await ask("EVENT.EDGE", "press", "request");
  await ask("EVENT.EDGE", "battery low", "request");
  await ask("EVENT.EDGE", "request", "lamp off");
  await ask("EVENT.EDGE", "lamp off", "log");
  t.strictSame(await ask("EVENT.WHY", "lamp off"), {
    id: "lamp off",
    vertex: { id: "lamp off", partakers: [], conversations: [], born: 4, lamport: 4, wallMs: START_MS },
    causes: [
      { from: "request", to: "lamp off", lamport: 4, wallMs: START_MS, partakers: [] },
      { from: "battery low", to: "request", lamport: 3, wallMs: START_MS, partakers: [] },
      { from: "press", to: "request", lamport: 2, wallMs: START_MS, partakers: ["operator", "button"] },
    ],
    more: false,
    journal: [],
  });
  t.match(await ask("EVENT.WHY", "lamp off", "COUNT", 1), { causes: [{ from: "request" }], more: true });
  t.match(await ask("EVENT.WHY", "press"), { causes: [], more: false });
  t.equal(
    await ask("EVENT.WHY", "lamp of"),
    "UNKNOWN no event and no device lamp of (did you mean lamp off?); EVENT.GRAPH and DEVICES list them",
  );
  t.equal(await ask("EVENT.WHY", "zzz"), "UNKNOWN no event and no device zzz; EVENT.GRAPH and DEVICES list them");
});

t.test("WHY answers why a device is as it is, and what an entry of the journal follows from", async (t) => {
  const { ask, journal } = await eventsBench(t);
  const rule = journal.record("rule", "night", "rule night", "dark is true");
  const on = journal.record("actuate", "lamp", "rule night", "beam(low)", rule);
  journal.record("refuse", "lamp", "pat", "off: IN_USE");
  for (let i = 0; i < 900; i++) journal.record("actuate", "pump", "pat", "on()");
  const entries = [
    { id: on, wallMs: START_MS, kind: "actuate", subject: "lamp", caller: "rule night", detail: "beam(low)", cause: rule },
    { id: rule, wallMs: START_MS, kind: "rule", subject: "night", caller: "rule night", detail: "dark is true", cause: 0 },
  ];
  t.strictSame(
    await ask("EVENT.WHY", "lamp"),
    { id: "lamp", vertex: null, causes: [], more: false, journal: entries },
    "a refusal changed nothing",
  );
  t.strictSame(await ask("EVENT.WHY", "@1"), { id: "@1", vertex: null, causes: [], more: false, journal: entries.slice(1) });
  t.match(await ask("EVENT.WHY", "lamp", "COUNT", 1), { journal: [{ id: on }] });
  t.match(((await ask("EVENT.WHY", "lamp", "COUNT", 1)) as { journal: Value[] }).journal, { length: 1 });
  t.equal(
    await ask("EVENT.WHY", "@5000"),
    "UNKNOWN the journal has no entry @5000; it keeps the newest, up to @903, and starts anew with the agent",
  );
  t.match(await ask("EVENT.WHY", "lmap"), /^UNKNOWN no event and no device lmap \(did you mean lamp\?\)/);
  await ask("EVENT.EDGE", "dusk", "lamp");
  t.match(
    await ask("EVENT.WHY", "lamp"),
    { vertex: { id: "lamp" }, causes: [{ from: "dusk" }], journal: entries },
    "both, where an event is called as a device",
  );
});

t.test("ORDER answers places, and a cycle when there is one", async (t) => {
  const { ask } = await eventsBench(t);
  for (const [from, to] of ["ab", "bc", "cd"]) await ask("EVENT.EDGE", String(from), String(to));
  const acyclic = { vertices: 4, edges: 3, components: 4, onCycles: 0, cycle: [], cycleLength: 0 };
  t.strictSame(await ask("EVENT.ORDER"), { ...acyclic, from: 0, order: ["a", "b", "c", "d"], next: null });
  t.strictSame(await ask("EVENT.ORDER", "FROM", 1, "COUNT", 2), { ...acyclic, from: 1, order: ["b", "c"], next: 3 });
  t.strictSame(await ask("EVENT.ORDER", "FROM", 9), { ...acyclic, from: 9, order: [], next: null });
  await ask("EVENT.EDGE", "c", "b");
  t.strictSame(await ask("EVENT.ORDER"), {
    ...{ vertices: 4, edges: 4, components: 3, onCycles: 2, cycle: ["b", "c"], cycleLength: 2 },
    ...{ from: 0, order: ["a", "b", "c", "d"], next: null },
  });
});

t.test("TAIL pushes events when they are on disk and entries of the journal as they come, until STOP or the end", async (t) => {
  const { ask, askAs, journal } = await eventsBench(t);
  const { caller, pushed, leave } = createListener();
  t.equal(await askAs(caller, "EVENT.TAIL"), "OK");
  t.equal(await askAs(caller, "EVENT.TAIL"), "OK", "twice is once");
  await ask("EVENT.EDGE", 1, 2);
  await ask("EVENT.VERTEX", 1, "a", "b");
  journal.record("actuate", "lamp", "pat", "on()");
  t.strictSame(pushed, [
    ["event", "edge", { from: "1", to: "2", lamport: 1, wallMs: START_MS }],
    ["event", "vertex", { id: "1", partakers: ["a", "b"], conversations: [["a", "b"]], lamport: 2, wallMs: START_MS }],
    ["event", "journal", { id: 1, wallMs: START_MS, kind: "actuate", subject: "lamp", caller: "pat", detail: "on()", cause: 0 }],
  ]);
  t.match(await ask("EVENT.STAT"), { tails: 1 });
  t.equal(await askAs(caller, "EVENT.TAIL", "stop"), "OK");
  await ask("EVENT.EDGE", 2, 3);
  journal.record("actuate", "lamp", "pat", "off()");
  t.equal(pushed.length, 3);
  t.equal(await askAs(caller, "EVENT.TAIL", "STOP"), "OK", "also when it was over");
  await askAs(caller, "EVENT.TAIL");
  leave();
  await ask("EVENT.EDGE", 3, 4);
  t.equal(pushed.length, 3, "who is gone is not pushed to");
  t.match(await ask("EVENT.STAT"), { tails: 0 });
  t.equal(await askAs(caller, "EVENT.TAIL"), "NOT_READY pat is gone");
  t.equal(await ask("EVENT.TAIL"), "ARGUMENT this connection cannot be pushed to; ask with EVENT.GRAPH");
  t.equal(await askAs(caller, "EVENT.GRAPH"), "NOT_READY pat is gone", "nothing long is done for who is gone");
});

t.test("permits are asked for every event by name, and for * where all are shown", async (t) => {
  const { ask, askAs, journal } = await eventsBench(t);
  const { caller, pushed } = createListener(permits("a", "b", "lamp"));
  t.equal(await askAs(caller, "EVENT.EDGE", "a", "b"), 1);
  t.equal(await askAs(caller, "EVENT.EDGE", "a", "c"), "DENIED pat may not use events:c; its user's allow list does not cover it");
  t.equal(await askAs(caller, "EVENT.EDGE", "c", "a"), "DENIED pat may not use events:c; its user's allow list does not cover it");
  t.equal(await askAs(caller, "EVENT.VERTEX", "c", "x"), "DENIED pat may not use events:c; its user's allow list does not cover it");
  t.equal(
    await askAs(caller, "EVENTNET.VERTEX", "c", "x", "x"),
    "DENIED pat may not use events:c; its user's allow list does not cover it",
  );
  t.match(await askAs(caller, "EVENT.WHY", "b"), { causes: [{ from: "a" }] });
  t.match(await askAs(caller, "EVENT.WHY", "c"), /^DENIED /);
  for (const verb of ["EVENT.GRAPH", "EVENT.ORDER"]) {
    t.equal(await askAs(caller, verb), "DENIED pat may not use events:*; its user's allow list does not cover it");
  }
  await askAs(caller, "EVENT.TAIL");
  await ask("EVENT.EDGE", "b", "a");
  await ask("EVENT.EDGE", "a", "secret");
  await ask("EVENT.VERTEX", "secret", "x");
  journal.record("actuate", "lamp", "pat", "on()");
  journal.record("actuate", "pump", "pat", "on()");
  t.match(pushed, [
    ["event", "edge", { from: "b", to: "a" }],
    ["event", "journal", { subject: "lamp" }],
  ]);
  t.equal(pushed.length, 2);
  t.match(await askAs(caller, "EVENT.WHY", "@2"), /^DENIED pat may not use events:pump/);
});

t.test("after the end events are refused, and a folder that cannot be used is named", async (t) => {
  const { ask, service } = await eventsBench(t);
  await service.close();
  t.equal(await ask("EVENT.EDGE", 1, 2), "IO eventnet: the log is closed");
  const folder = testFolder(t);
  writeFileSync(join(folder, "file"), "");
  await t.rejects(eventsBench(t, { folder: join(folder, "file", "eventnet") }), {
    code: "IO",
    message: /^eventnet: cannot make the folder .+file.eventnet: /,
  });
  mkdirSync(join(folder, "net"));
  writeFileSync(join(folder, "net", "log"), "");
  await t.rejects(eventsBench(t, { folder: join(folder, "net") }), { code: "IO", message: /eventnet: cannot open the log in/ });
});

t.test("every verb is listed with its usage", async (t) => {
  const { service } = await eventsBench(t);
  t.strictSame(
    service.verbs.map(({ verb }) => verb),
    ["EVENT.VERTEX", "EVENT.EDGE", "EVENT.GRAPH", "EVENT.WHY", "EVENT.ORDER", "EVENT.STAT", "EVENT.TAIL"],
  );
});
