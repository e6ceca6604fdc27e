import type { Journal, JournalEvent } from "../../contract/journal.ts";
import { textOf } from "../../contract/request.ts";
import type { Value } from "../../contract/value.ts";
import type { GraphView } from "./graph.ts";
import { edgeValue } from "./pages.ts";

/** Edges that explain a vertex. */
export interface Causes {
  /** From the newest to the oldest. */
  readonly edges: readonly number[];
  /** There are more. */
  readonly more: boolean;
}

/**
 * The edges to the vertex, to what they come from, and so on, up to `count` of them, each vertex explained once. Which are chosen where there are more: the newest
 * of those next in line, again and again. Takes time by `count`, not by the size of the graph.
 */
export function causesOf(graph: GraphView, vertex: number, count: number): Causes {
  const explained = new Set([vertex]);
  const line = createNewestFirst();
  const edges: number[] = [];
  line.add(graph.newestInto(vertex));
  while (edges.length < count) {
    const edge = line.take();
    if (edge < 0) break;
    edges.push(edge);
    line.add(graph.olderInto(edge));
    const source = graph.fromOf(edge);
    if (!explained.has(source)) line.add(graph.newestInto(source));
    explained.add(source);
  }
  return { edges: edges.sort((a, b) => b - a), more: line.take() >= 0 };
}

interface NewestFirst {
  /** -1 is nothing. */
  add(edge: number): void;
  /** The greatest number, or -1. */
  take(): number;
}

/** A binary heap. */
function createNewestFirst(): NewestFirst {
  const heap: number[] = [];

  function rise(edge: number): void {
    let at = heap.length - 1;
    while (at > 0) {
      const above = (at - 1) >>> 1;
      if ((heap[above] as number) >= edge) break;
      heap[at] = heap[above] as number;
      at = above;
    }
    heap[at] = edge;
  }

  function sink(edge: number): void {
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if ((heap[below + 1] ?? -1) > (heap[below] as number)) below += 1;
      if ((heap[below] as number) <= edge) break;
      heap[at] = heap[below] as number;
      at = below;
    }
    heap[at] = edge;
  }

  return {
    add(edge) {
      if (edge < 0) return;
      heap.push(edge);
      rise(edge);
    },
    take() {
      const newest = heap[0] ?? -1;
      const last = heap.pop();
      if (last !== undefined && heap.length > 0) sink(last);
      return newest;
    },
  };
}

/** A cause as EVENT.WHY shows it: the edge, and who took part in where it comes from. */
export function causeValue(graph: GraphView, edge: number): Value {
  return { ...edgeValue(graph, edge), partakers: graph.detailsOf(graph.fromOf(edge)).partakers.map(textOf) };
}

/** Entries looked through at first; then eight times as many, until all were. */
const FIRST_LOOK = 64;

/** The latest entry about `subject` that is no refusal, which changes nothing, with what it follows from, newest first; empty when none is kept. */
export function latestChain(journal: Journal, subject: string): readonly JournalEvent[] {
  for (let count = FIRST_LOOK; ; count *= 8) {
    const entries = journal.latest(count);
    const found = entries.findLast((entry) => entry.subject === subject && entry.kind !== "refuse");
    if (found !== undefined) return journal.chain(found.id);
    if (entries.length < count) return [];
  }
}

/** An entry of the journal as EVENT.WHY and EVENT.TAIL show it. */
export function journalValue({ id, wallMs, kind, subject, caller, detail, cause }: JournalEvent): { readonly [name: string]: Value } {
  return { id, wallMs, kind, subject, caller, detail, cause };
}
