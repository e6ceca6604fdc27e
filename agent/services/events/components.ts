import { STEPS_PER_LOOK, type Steps } from "./slices.ts";

/** Where vertex `v` leads to: `targets` from `start[v]` up to `start[v + 1]`. */
export interface Adjacency {
  readonly start: Int32Array;
  readonly targets: Int32Array;
}

export interface Components {
  /** Every vertex once, components in topological order, the vertices of one from the oldest to the newest. */
  readonly order: Int32Array;
  readonly components: number;
  readonly onCycles: number;
  /** A shortest cycle through the oldest vertex that is on one. */
  readonly cycle: Int32Array;
}

const UNSEEN = 0;

/** Strongly connected components by Tarjan's algorithm, its recursion kept in arrays. */
export function* findComponents(adjacency: Adjacency, vertices: number): Steps<Components> {
  const { componentOf, count } = yield* assignComponents(adjacency, vertices);
  // Tarjan finds a component after all it leads to.
  const sizes = new Int32Array(count);
  for (const component of componentOf) sizes[component] = (sizes[component] as number) + 1;
  yield;
  const order = groupByComponent(componentOf, sizes);
  yield;
  const loops = selfLoops(adjacency, vertices);
  let onCycles = 0;
  let first = -1;
  for (let vertex = vertices - 1; vertex >= 0; vertex--) {
    if ((sizes[componentOf[vertex] as number] as number) < 2 && loops[vertex] === 0) continue;
    onCycles += 1;
    first = vertex;
  }
  yield;
  return { order, components: count, onCycles, cycle: yield* shortestCycle(adjacency, componentOf, first) };
}

interface Search {
  /** When the vertex was met first, from 1. */
  readonly met: Int32Array;
  /** The earliest met that it leads back to. */
  readonly low: Int32Array;
  /** The next of its edges to follow. */
  readonly edge: Int32Array;
  /** The vertices on the way to the current one. */
  readonly path: Int32Array;
  /** Those met whose component is not complete. */
  readonly open: Int32Array;
  readonly componentOf: Int32Array;
  pathLength: number;
  openLength: number;
  time: number;
  count: number;
}

function* assignComponents(adjacency: Adjacency, vertices: number): Steps<{ readonly componentOf: Int32Array; readonly count: number }> {
  const column = () => new Int32Array(vertices);
  const search: Search = {
    ...{ met: column(), low: column(), edge: adjacency.start.slice(0, vertices), path: column(), open: column() },
    componentOf: column().fill(-1),
    ...{ pathLength: 0, openLength: 0, time: 0, count: 0 },
  };
  let steps = 0;
  for (let root = 0; root < vertices; root++) {
    if (search.met[root] !== UNSEEN) continue;
    enter(search, root);
    while (search.pathLength > 0) {
      advance(search, adjacency);
      if (++steps % STEPS_PER_LOOK === 0) yield;
    }
  }
  return { componentOf: search.componentOf, count: search.count };
}

function enter(search: Search, vertex: number): void {
  search.time += 1;
  search.met[vertex] = search.time;
  search.low[vertex] = search.time;
  search.path[search.pathLength++] = vertex;
  search.open[search.openLength++] = vertex;
}

/** Follows one edge of the current vertex, or leaves it when there is none. */
function advance(search: Search, { start, targets }: Adjacency): void {
  const { met, low, edge, path, componentOf } = search;
  const vertex = path[search.pathLength - 1] as number;
  const at = edge[vertex] as number;
  if (at === start[vertex + 1]) {
    leave(search, vertex);
    return;
  }
  edge[vertex] = at + 1;
  const target = targets[at] as number;
  if (met[target] === UNSEEN) enter(search, target);
  else if (componentOf[target] === -1) low[vertex] = Math.min(low[vertex] as number, met[target] as number);
}

function leave(search: Search, vertex: number): void {
  const { met, low, path, open, componentOf } = search;
  search.pathLength -= 1;
  if (search.pathLength > 0) {
    const before = path[search.pathLength - 1] as number;
    low[before] = Math.min(low[before] as number, low[vertex] as number);
  }
  if (low[vertex] !== met[vertex]) return;
  for (let member = -1; member !== vertex;) {
    member = open[--search.openLength] as number;
    componentOf[member] = search.count;
  }
  search.count += 1;
}

/** The component found last comes first; within one, vertices keep their order. */
function groupByComponent(componentOf: Int32Array, sizes: Int32Array): Int32Array {
  const next = new Int32Array(sizes.length);
  let at = 0;
  for (let component = sizes.length - 1; component >= 0; component--) {
    next[component] = at;
    at += sizes[component] as number;
  }
  const order = new Int32Array(componentOf.length);
  for (let vertex = 0; vertex < componentOf.length; vertex++) {
    const component = componentOf[vertex] as number;
    const place = next[component] as number;
    order[place] = vertex;
    next[component] = place + 1;
  }
  return order;
}

/** 1 for vertices that lead to themselves. */
function selfLoops({ start, targets }: Adjacency, vertices: number): Uint8Array {
  const loops = new Uint8Array(vertices);
  for (let vertex = 0; vertex < vertices; vertex++) {
    for (let edge = start[vertex] as number; edge < (start[vertex + 1] as number); edge++) if (targets[edge] === vertex) loops[vertex] = 1;
  }
  return loops;
}

/** Breadth first from `first` within its component, until an edge leads back to it. Some edge does. */
function* shortestCycle({ start, targets }: Adjacency, componentOf: Int32Array, first: number): Steps<Int32Array> {
  const cameFrom = new Int32Array(componentOf.length).fill(-1);
  const queue = [first];
  for (let at = 0; at < queue.length; at++) {
    const vertex = queue[at] as number;
    for (let edge = start[vertex] as number; edge < (start[vertex + 1] as number); edge++) {
      const target = targets[edge] as number;
      if (target === first) return pathTo(cameFrom, vertex);
      if (componentOf[target] !== componentOf[first] || cameFrom[target] !== -1) continue;
      cameFrom[target] = vertex;
      queue.push(target);
    }
    if (at % STEPS_PER_LOOK === 0) yield;
  }
  return new Int32Array(0);
}

/** From the vertex that came from nowhere to `last`. */
function pathTo(cameFrom: Int32Array, last: number): Int32Array {
  const path: number[] = [];
  for (let vertex = last; vertex !== -1; vertex = cameFrom[vertex] as number) path.push(vertex);
  return Int32Array.from(path.reverse());
}
