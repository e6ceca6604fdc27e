import type { Clock } from "../../contract/clock.ts";
import { findComponents, type Adjacency } from "./components.ts";
import type { GraphView } from "./graph.ts";
import { inSlices, STEPS_PER_LOOK, type Steps } from "./slices.ts";

/** The vertices of a graph, causes before what follows from them. */
export interface Ordering {
  /** Of the graph it is about. */
  readonly vertices: number;
  readonly edges: number;
  /** Every vertex once. Where there are cycles, those of one strongly connected component stand together, oldest first. */
  readonly order: Int32Array;
  /** Strongly connected components: as many as vertices when there is no cycle. */
  readonly components: number;
  /** Vertices that are on a cycle. */
  readonly onCycles: number;
  /** One cycle, each vertex leading to the next and the last to the first; empty when there is none. */
  readonly cycle: Int32Array;
}

/**
 * A topological order, in linear time and without recursion: of vertices that could come next, the one that could for the longest time. The graph may grow
 * meanwhile; the ordering is that of the vertices and edges there were at the start.
 */
export function* orderingOf(graph: GraphView): Steps<Ordering> {
  const { vertices, edges } = graph;
  const adjacency = yield* adjacencyOf(graph, vertices, edges);
  const { order, placed } = yield* placeByCauses(adjacency, vertices);
  if (placed === vertices) return { vertices, edges, order, components: vertices, onCycles: 0, cycle: new Int32Array(0) };
  return { vertices, edges, ...(yield* findComponents(adjacency, vertices)) };
}

/** Where each vertex leads to: counted, summed up, then filled in. */
function* adjacencyOf(graph: GraphView, vertices: number, edges: number): Steps<Adjacency> {
  const start = new Int32Array(vertices + 1);
  for (let edge = 0; edge < edges; edge++) {
    const after = graph.fromOf(edge) + 1;
    start[after] = (start[after] as number) + 1;
    if (edge % STEPS_PER_LOOK === 0) yield;
  }
  for (let vertex = 0; vertex < vertices; vertex++) start[vertex + 1] = (start[vertex + 1] as number) + (start[vertex] as number);
  yield;
  const fill = start.slice();
  const targets = new Int32Array(edges);
  for (let edge = 0; edge < edges; edge++) {
    const source = graph.fromOf(edge);
    const at = fill[source] as number;
    targets[at] = graph.toOf(edge);
    fill[source] = at + 1;
    if (edge % STEPS_PER_LOOK === 0) yield;
  }
  return { start, targets };
}

/** Kahn's algorithm: whoever has no cause left is next. What is on a cycle, or follows from one, is never placed. */
function* placeByCauses({ start, targets }: Adjacency, vertices: number): Steps<{ readonly order: Int32Array; readonly placed: number }> {
  const causesLeft = new Int32Array(vertices);
  for (const target of targets) causesLeft[target] = (causesLeft[target] as number) + 1;
  yield;
  const order = new Int32Array(vertices);
  let placed = 0;
  for (let vertex = 0; vertex < vertices; vertex++) if (causesLeft[vertex] === 0) order[placed++] = vertex;
  yield;
  let steps = 0;
  for (let at = 0; at < placed; at++) {
    const vertex = order[at] as number;
    for (let edge = start[vertex] as number; edge < (start[vertex + 1] as number); edge++) {
      const target = targets[edge] as number;
      const left = (causesLeft[target] as number) - 1;
      causesLeft[target] = left;
      if (left === 0) order[placed++] = target;
      if (++steps % STEPS_PER_LOOK === 0) yield;
    }
  }
  return { order, placed };
}

/** Orderings of a graph that grows. */
export interface Orderings {
  /** One that was begun when this was asked, or later, or that still holds. */
  current(): Promise<Ordering>;
}

/** At most one is being made, whoever asks; those who ask meanwhile, and after a change, share the next. */
export function createOrderings(graph: GraphView, clock: Clock): Orderings {
  let latest: Ordering | undefined;
  let making: { readonly edges: number; readonly vertices: number; readonly done: Promise<Ordering> } | undefined;
  let following: Promise<Ordering> | undefined;

  const holds = (of: { readonly vertices: number; readonly edges: number }): boolean =>
    of.vertices === graph.vertices && of.edges === graph.edges;

  function make(): Promise<Ordering> {
    const { vertices, edges } = graph;
    const done = inSlices(orderingOf(graph), clock).then((ordering) => {
      latest = ordering;
      making = undefined;
      return ordering;
    });
    making = { vertices, edges, done };
    return done;
  }

  return {
    current() {
      if (latest !== undefined && holds(latest)) return Promise.resolve(latest);
      if (making === undefined) return make();
      if (holds(making)) return making.done;
      following ??= making.done.then(() => {
        following = undefined;
        return make();
      });
      return following;
    },
  };
}
