import fc from "fast-check";
import t from "tap";

import { createGraph, type Graph } from "../../../agent/services/events/graph.ts";
import { createOrderings, orderingOf, type Ordering } from "../../../agent/services/events/order.ts";
import { inSlices, createTurns, type Steps } from "../../../agent/services/events/slices.ts";
import { createFakeClock, settled } from "../../helpers/fake-clock.ts";

type Pairs = readonly (readonly [number, number])[];

function graphOf(edges: Pairs): Graph {
  const graph = createGraph({ findEdges: false });
  for (const [i, [from, to]] of edges.entries())
    graph.addEdge(graph.vertex(String(from), i + 1, i), graph.vertex(String(to), i + 1, i), i + 1, i);
  return graph;
}

function done<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

function ordered(edges: Pairs): Ordering & { readonly ids: readonly string[]; readonly cycleIds: readonly string[] } {
  const graph = graphOf(edges);
  const ordering = done(orderingOf(graph));
  const idsOf = (numbers: Int32Array) => [...numbers].map((number) => graph.idOf(number));
  return { ...ordering, ids: idsOf(ordering.order), cycleIds: idsOf(ordering.cycle) };
}

/** Which vertices each one leads to, in any number of steps. */
function reachOf(edges: Pairs): Map<number, Set<number>> {
  const reach = new Map<number, Set<number>>();
  const of = (vertex: number) => reach.get(vertex) ?? reach.set(vertex, new Set()).get(vertex)!;
  for (const [from, to] of edges) {
    of(from).add(to);
    of(to);
  }
  for (const middle of reach.keys()) {
    for (const [, targets] of reach) if (targets.has(middle)) for (const target of of(middle)) targets.add(target);
  }
  return reach;
}

t.test("causes come before what follows from them; of several that could be next, the one that could for longest", (t) => {
  const edges: Pairs = [
    [0, 1],
    [0, 2],
    [2, 1],
    [1, 3],
    [2, 3],
    [2, 4],
    [4, 9],
    [5, 7],
    [4, 6],
    [6, 9],
    [6, 7],
    [7, 8],
    [8, 9],
    [9, 11],
  ];
  const { ids, components, onCycles, cycleIds } = ordered(edges);
  t.strictSame(ids, ["0", "5", "2", "1", "4", "3", "6", "7", "8", "9", "11"]);
  t.strictSame([components, onCycles, cycleIds], [11, 0, []]);
  t.strictSame(ordered([]).ids, []);
  t.end();
});

t.test("a cycle is named, and the rest is in order around it", (t) => {
  // 1 -> 2 -> 3 -> 1 with a way in and a way out.
  const { ids, components, onCycles, cycleIds } = ordered([
    [0, 1],
    [1, 2],
    [2, 3],
    [3, 1],
    [3, 4],
  ]);
  t.strictSame(ids, ["0", "1", "2", "3", "4"]);
  t.strictSame([components, onCycles], [3, 3]);
  t.strictSame(cycleIds, ["1", "2", "3"]);
  const self = ordered([
    [1, 2],
    [2, 2],
  ]);
  t.strictSame([self.components, self.onCycles, self.cycleIds], [2, 1, ["2"]], "an event that follows from itself");
  t.end();
});

t.test("orders, components and cycles are right for any graph", (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(9), fc.nat(9)), { maxLength: 25 }), (edges) => {
      const { ids, components, onCycles, cycleIds, vertices } = ordered(edges);
      const reach = reachOf(edges);
      const places = new Map(ids.map((id, place) => [Number(id), place]));
      t.equal(places.size, reach.size, "every vertex once");
      t.equal(vertices, reach.size);
      for (const [from, to] of edges) {
        if (!reach.get(to)!.has(from)) t.ok(places.get(from)! < places.get(to)!, `${from} before ${to}`);
      }
      const together = (a: number, b: number) => a === b || (reach.get(a)!.has(b) && reach.get(b)!.has(a));
      const oldest = [...reach.keys()].filter((a, i, all) => !all.slice(0, i).some((b) => together(a, b)));
      t.equal(components, oldest.length);
      t.equal(onCycles, [...reach].filter(([vertex, targets]) => targets.has(vertex)).length);
      t.equal(cycleIds.length > 0, onCycles > 0);
      for (const [i, id] of cycleIds.entries()) {
        const next = Number(cycleIds[(i + 1) % cycleIds.length]);
        t.ok(
          edges.some(([from, to]) => from === Number(id) && to === next),
          `${id} leads to ${next}`,
        );
      }
    }),
    { numRuns: 200 },
  );
  t.end();
});

t.test("a chain and a ring as long as no recursion could follow", (t) => {
  const count = 200_000;
  const chain = Array.from({ length: count }, (_, i) => [count - i - 1, count - i] as const);
  const { order, onCycles } = done(orderingOf(graphOf(chain)));
  t.equal(order.length, count + 1);
  t.equal(order[0], count, "the last one made is the first cause");
  t.equal(onCycles, 0);
  const ring = done(orderingOf(graphOf([...chain, [count, 0]])));
  t.strictSame([ring.components, ring.onCycles, ring.cycle.length], [1, count + 1, count + 1]);
  t.end();
});

t.test("who asks for an order shares it while the graph stays, and gets one of the graph as it is when it has changed", async (t) => {
  const graph = graphOf([[1, 2]]);
  const orderings = createOrderings(graph, createFakeClock());
  const first = orderings.current();
  t.equal(orderings.current(), first, "the one being made");
  graph.addEdge(graph.find("2"), graph.vertex("3", 2, 2), 2, 2);
  const second = orderings.current();
  graph.addEdge(graph.find("3"), graph.vertex("4", 3, 3), 3, 3);
  const third = orderings.current();
  t.equal(third, second, "all who ask meanwhile share the next");
  t.equal((await first).vertices, 2);
  t.equal((await second).vertices, 4);
  t.equal((await orderings.current()).edges, 3);
});

t.test("long work leaves room for others, and gives its value or its error", async (t) => {
  let nowMs = 0;
  const clock = { ...createFakeClock(), monotonicMs: () => nowMs };
  const turns: string[] = [];
  function* work(): Steps<string> {
    for (let i = 0; i < 3; i++) {
      turns.push(`work ${i}`);
      nowMs += 10;
      yield;
    }
    return "done";
  }
  setImmediate(() => turns.push("other"));
  const value = inSlices(work(), clock);
  t.equal(await value, "done");
  t.strictSame(turns.slice(0, 3), ["work 0", "other", "work 1"]);
  function* failing(): Steps<string> {
    yield;
    throw new Error("no");
  }
  await t.rejects(inSlices(failing(), clock), { message: "no" });
});

t.test("turns come one after the other, also after one that failed", async (t) => {
  const inTurn = createTurns();
  const log: string[] = [];
  const first = inTurn(async () => {
    log.push("first begins");
    await settled();
    log.push("first ends");
    throw new Error("no");
  });
  const second = inTurn(async () => log.push("second"));
  await t.rejects(first, { message: "no" });
  await second;
  t.strictSame(log, ["first begins", "first ends", "second"]);
});
