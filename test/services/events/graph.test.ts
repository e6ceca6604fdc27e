import fc from "fast-check";
import t from "tap";

import { createFloat64Column, createInt32Column, firstAtLeast } from "../../../agent/services/events/column.ts";
import { createEdgeIndex } from "../../../agent/services/events/edge-index.ts";
import { createGraph, type Graph } from "../../../agent/services/events/graph.ts";
import { createIdTable } from "../../../agent/services/events/id-table.ts";
import { applyRecord, edgeRecord, vertexRecord } from "../../../agent/services/events/record.ts";
import { causesOf } from "../../../agent/services/events/why.ts";

/** Edges between numbered vertices, in order. */
function graphOf(edges: readonly (readonly [number, number])[]): Graph {
  const graph = createGraph({ findEdges: false });
  for (const [i, [from, to]] of edges.entries())
    graph.addEdge(graph.vertex(String(from), i + 1, 1000 + i), graph.vertex(String(to), i + 1, 1000 + i), i + 1, 1000 + i);
  return graph;
}

const someEdges = fc.array(fc.tuple(fc.nat(9), fc.nat(9)), { maxLength: 30 });

t.test("a column keeps numbers beyond its first piece, and finds the first that is large enough", (t) => {
  const column = createFloat64Column();
  const whole = createInt32Column();
  for (let i = 0; i < 40_000; i++) {
    column.push(Math.floor(i / 2) * 3);
    whole.push(-i);
  }
  t.equal(column.length, 40_000);
  t.equal(column.at(39_999), 59_997);
  t.equal(whole.at(20_000), -20_000);
  whole.set(20_000, 5);
  t.equal(whole.at(20_000), 5);
  t.equal(firstAtLeast(column, 0), 0);
  t.equal(firstAtLeast(column, 30), 20);
  t.equal(firstAtLeast(column, 31), 22);
  t.equal(firstAtLeast(column, 59_998), 40_000);
  t.end();
});

t.test("ids are found as a Map finds them, as text and as bytes", (t) => {
  const table = createIdTable();
  const map = new Map<string, number>();
  t.equal(table.find("7"), -1, "in an empty table");
  for (let i = 0; i < 20_000; i++) {
    const id = i % 3 === 0 ? `event ${(i * 7919) % 15_000}` : String((i * 7919) % 15_000);
    const known = map.get(id) ?? -1;
    if (table.find(id) !== known) t.fail(`${id} is ${table.find(id)}, not ${known}`);
    if (known >= 0) continue;
    map.set(id, table.add(id));
  }
  t.equal(table.length, map.size);
  for (const [id, number] of map) {
    const bytes = Buffer.from(`..${id}.`, "latin1");
    if (table.at(number) !== id || table.find(id) !== number) t.fail(`${id} is not ${number}`);
    if (table.findBytes(bytes, 2, bytes.length - 1) !== number) t.fail(`the bytes of ${id} are not ${number}`);
  }
  t.equal(table.findBytes(Buffer.from("no such"), 0, 7), -1);
  t.end();
});

t.test("edges are found by their ends as a Map finds them", (t) => {
  const from: number[] = [];
  const to: number[] = [];
  const index = createEdgeIndex(
    (edge) => from[edge]!,
    (edge) => to[edge]!,
  );
  const map = new Map<string, number>();
  for (let i = 0; i < 30_000; i++) {
    const [source, target] = [(i * 7919) % 113, (i * 104_729) % 211];
    const known = map.get(`${source} ${target}`) ?? -1;
    if (index.find(source, target) !== known) t.fail(`${source} ${target} is ${index.find(source, target)}, not ${known}`);
    if (known >= 0) continue;
    map.set(`${source} ${target}`, from.length);
    index.add(source, target, from.length);
    from.push(source);
    to.push(target);
  }
  t.ok(map.size > 10_000);
  t.end();
});

t.test("a graph links what leads to a vertex from the newest to the oldest", (t) => {
  const graph = graphOf([
    [1, 2],
    [3, 2],
    [2, 2],
    [2, 4],
  ]);
  t.equal(graph.vertices, 4);
  t.equal(graph.edges, 4);
  const two = graph.find("2");
  t.strictSame([two, graph.find("5"), graph.idOf(two)], [1, -1, "2"]);
  const into: string[] = [];
  for (let edge = graph.newestInto(two); edge >= 0; edge = graph.olderInto(edge)) into.push(graph.idOf(graph.fromOf(edge)));
  t.strictSame(into, ["2", "3", "1"]);
  t.strictSame(graph.edgeStampOf(2), { lamport: 3, wallMs: 1002 });
  t.strictSame(graph.firstSince(2), { vertex: 2, edge: 1 });
  t.equal(graph.bornOf(two), 1);
  t.end();
});

t.test("partakers are kept once, conversations as often as they come; both are counted", (t) => {
  const graph = createGraph({ findEdges: false });
  graph.extend("7", { partakers: ["a", "b"], conversations: [["a", "b"]] }, 4, 1);
  graph.extend("7", { partakers: ["b", "c"], conversations: [["a", "b"]] }, 9, 2);
  t.strictSame(
    { ...graph.detailsOf(0) },
    {
      partakers: ["a", "b", "c"],
      conversations: [
        ["a", "b"],
        ["a", "b"],
      ],
      bytes: 14,
    },
  );
  t.equal(graph.detailBytesOf(0), 14);
  t.equal(graph.textBytes, 15);
  t.equal(graph.bornOf(0), 4);
  t.strictSame(graph.stampOf(0), { lamport: 9, wallMs: 2 });
  t.end();
});

t.test("records do again what was done", (t) => {
  const graph = createGraph({ findEdges: true });
  const details = { partakers: ["caf\xc3\xa9 1", "b"], conversations: [["b"], ["caf\xc3\xa9 1", "b"]] };
  t.equal(applyRecord(graph, Buffer.from(vertexRecord("low beam", details, 3, 1_700_000_000_000), "latin1")), 3);
  t.equal(applyRecord(graph, Buffer.from(edgeRecord("low beam", "7", 2 ** 53 - 1, 5), "latin1")), 2 ** 53 - 1);
  t.match(graph.detailsOf(graph.find("low beam")), details);
  t.strictSame(graph.stampOf(0), { lamport: 3, wallMs: 1_700_000_000_000 });
  t.equal(graph.findEdge(0, graph.find("7")), 0);
  t.equal(graph.findEdge(graph.find("7"), 0), -1);
  for (const other of ["", "X1 2 a\tb", "E1 2", "E1 2 a", "E", "  "]) {
    t.equal(applyRecord(graph, Buffer.from(other, "latin1")), undefined, other);
  }
  t.equal(graph.edges, 1);
  t.end();
});

t.test("causes are every edge that leads to a vertex, newest first, and no others", (t) => {
  fc.assert(
    fc.property(someEdges, fc.nat(9), (edges, asked) => {
      const graph = graphOf(edges);
      const vertex = graph.find(String(asked));
      if (vertex < 0) return;
      const leading = new Set([asked]);
      for (let before = 0; before < leading.size;) {
        before = leading.size;
        for (const [from, to] of edges) if (leading.has(to)) leading.add(from);
      }
      const expected = edges.flatMap(([, to], edge) => (leading.has(to) ? [edge] : [])).reverse();
      t.strictSame(causesOf(graph, vertex, 100), { edges: expected, more: false });
      const some = causesOf(graph, vertex, 3);
      t.equal(some.edges.length, Math.min(3, expected.length));
      t.equal(some.more, expected.length > 3);
      t.ok(some.edges.every((edge) => expected.includes(edge)));
      t.equal(new Set(some.edges).size, some.edges.length);
    }),
  );
  t.end();
});

t.test("of more causes than asked for, the newest of those next in line are chosen", (t) => {
  const graph = graphOf([
    [1, 2],
    [2, 9],
    [3, 9],
    [4, 3],
  ]);
  t.strictSame(causesOf(graph, graph.find("9"), 2), { edges: [3, 2], more: true }, "3 -> 9, then 4 -> 3, which is newer than 2 -> 9");
  t.strictSame(causesOf(graph, graph.find("1"), 5), { edges: [], more: false });
  t.strictSame(causesOf(graph, graph.find("9"), 0), { edges: [], more: true });
  t.end();
});
