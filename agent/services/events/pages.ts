import { AgentError } from "../../contract/errors.ts";
import { bytesOf, textOf, type ByteString } from "../../contract/request.ts";
import { DOT_END, DOT_HEAD, dotEdge, dotVertex } from "./dot.ts";
import type { GraphView } from "./graph.ts";
import { STEPS_PER_LOOK, type Steps } from "./slices.ts";

export type GraphFormat = "DOT" | "JSON";

export interface PageOptions {
  readonly format: GraphFormat;
  /** The node's name, and its Lamport time. */
  readonly node: string;
  readonly lamport: number;
  /** Vertices and edges that came at this Lamport time or later. */
  readonly from: number;
  /** At most so many of them, more only where they came together; all when absent. */
  readonly count: number | undefined;
  /** Bytes of the page. */
  readonly maxBytes: number;
}

/** Lamport time is rising, whole, and below this. */
const NEVER = Number.MAX_SAFE_INTEGER;

/**
 * The graph, or a part of it that says where the next one begins: vertices and edges in the order in which they came, each vertex as it is now. Throws LIMIT when
 * all is asked for and it does not fit.
 */
export function* pageOf(graph: GraphView, options: PageOptions): Steps<Buffer> {
  const { from, count, maxBytes, format } = options;
  const sections: Sections =
    format === "DOT"
      ? { vertices: createSection(""), edges: createSection("") }
      : { vertices: createSection(","), edges: createSection(",") };
  const walk = walkFrom(graph, from, format === "DOT" ? dotStatement(graph) : jsonEntry(graph), sections);
  const most = count ?? NEVER;
  let items = 0;
  // Something is always given: who asks for the next part gets on.
  for (let steps = 1; walk.stamp() < NEVER && (items === 0 || (items < most && bytesOfAll(sections) < maxBytes)); steps++) {
    items += walk.take();
    if (steps % STEPS_PER_LOOK === 0) yield;
  }
  const next = walk.stamp() < NEVER ? walk.stamp() : undefined;
  if (next !== undefined && count === undefined) throw tooLarge(options);
  return format === "DOT" ? dotPage(sections, next) : jsonPage(sections, next, options);
}

/** One part of the page. */
interface Section {
  readonly bytes: number;
  add(text: ByteString): void;
  take(): readonly Buffer[];
}

interface Sections {
  readonly vertices: Section;
  readonly edges: Section;
}

/** Characters that are turned into bytes at a time, so that the end of a large page takes no longer than its middle. */
const PIECE_CHARACTERS = 64 * 1024;

function createSection(separator: string): Section {
  const pieces: Buffer[] = [];
  let text = "";
  let bytes = 0;

  function flush(): void {
    pieces.push(Buffer.from(text, "latin1"));
    text = "";
  }

  return {
    get bytes() {
      return bytes;
    },
    add(item) {
      const added = bytes === 0 ? item : separator + item;
      bytes += added.length;
      text += added;
      if (text.length > PIECE_CHARACTERS) flush();
    },
    take() {
      flush();
      return pieces;
    },
  };
}

function bytesOfAll({ vertices, edges }: Sections): number {
  return vertices.bytes + edges.bytes;
}

interface Walk {
  /** The Lamport time of what is next; NEVER when nothing is. */
  stamp(): number;
  /** Writes what came at that time: an edge, and the vertices that came with it. Returns how many. */
  take(): number;
}

/** Through what is there now. */
function walkFrom(graph: GraphView, from: number, write: ItemWriter, sections: Sections): Walk {
  const { vertices, edges } = graph;
  let { vertex, edge } = graph.firstSince(from);
  const vertexStamp = () => (vertex < vertices ? graph.bornOf(vertex) : NEVER);
  const edgeStamp = () => (edge < edges ? graph.edgeLamportOf(edge) : NEVER);
  const stamp = () => Math.min(vertexStamp(), edgeStamp());
  return {
    stamp,
    take() {
      const now = stamp();
      const before = vertex + edge;
      for (; vertexStamp() === now; vertex++) sections.vertices.add(write.vertex(vertex));
      for (; edgeStamp() === now; edge++) sections.edges.add(write.edge(edge));
      return vertex + edge - before;
    },
  };
}

function tooLarge({ format, maxBytes }: PageOptions): AgentError {
  return new AgentError(
    "LIMIT",
    `the graph takes more than ${maxBytes} bytes (events.maxReplyBytes); ask for parts: EVENT.GRAPH ${format} FROM 0 COUNT 10000`,
  );
}

interface ItemWriter {
  vertex(vertex: number): ByteString;
  edge(edge: number): ByteString;
}

function dotStatement(graph: GraphView): ItemWriter {
  return {
    vertex: (vertex) => dotVertex(graph.idOf(vertex), graph.detailsOf(vertex).partakers),
    edge: (edge) => dotEdge(graph.idOf(graph.fromOf(edge)), graph.idOf(graph.toOf(edge))),
  };
}

function jsonEntry(graph: GraphView): ItemWriter {
  return {
    vertex: (vertex) => bytesOf(JSON.stringify(vertexValue(graph, vertex))),
    edge: (edge) => bytesOf(JSON.stringify(edgeValue(graph, edge))),
  };
}

/** A vertex as JSON and EVENT.WHY show it. */
export function vertexValue(graph: GraphView, vertex: number) {
  const { partakers, conversations } = graph.detailsOf(vertex);
  return {
    id: textOf(graph.idOf(vertex)),
    partakers: partakers.map(textOf),
    conversations: conversations.map((names) => names.map(textOf)),
    born: graph.bornOf(vertex),
    ...graph.stampOf(vertex),
  };
}

export function edgeValue(graph: GraphView, edge: number) {
  return { from: textOf(graph.idOf(graph.fromOf(edge))), to: textOf(graph.idOf(graph.toOf(edge))), ...graph.edgeStampOf(edge) };
}

function dotPage({ vertices, edges }: Sections, next: number | undefined): Buffer {
  const end = next === undefined ? DOT_END : `// next: FROM ${next}\n${DOT_END}`;
  return Buffer.concat([Buffer.from(DOT_HEAD), ...vertices.take(), ...edges.take(), Buffer.from(end)]);
}

function jsonPage({ vertices, edges }: Sections, next: number | undefined, { node, lamport }: PageOptions): Buffer {
  return Buffer.concat([
    Buffer.from(`{"node":${JSON.stringify(node)},"lamport":${lamport},"vertices":[`),
    ...vertices.take(),
    Buffer.from(`],"edges":[`),
    ...edges.take(),
    Buffer.from(`],"next":${next ?? "null"}}`),
  ]);
}
