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
  const texts: Texts = { vertices: [], edges: [] };
  const walk = walkFrom(graph, from, format === "DOT" ? dotStatement(graph) : jsonEntry(graph), texts);
  const most = count ?? NEVER;
  let bytes = 0;
  let items = 0;
  // Something is always given: who asks for the next part gets on.
  for (let steps = 1; walk.stamp() < NEVER && (items === 0 || (items < most && bytes < maxBytes)); steps++) {
    bytes += walk.take();
    items = texts.vertices.length + texts.edges.length;
    if (steps % STEPS_PER_LOOK === 0) yield;
  }
  const next = walk.stamp() < NEVER ? walk.stamp() : undefined;
  if (next !== undefined && count === undefined) throw tooLarge(options);
  return format === "DOT" ? dotPage(texts, next) : jsonPage(texts, next, options);
}

interface Texts {
  readonly vertices: ByteString[];
  readonly edges: ByteString[];
}

interface Walk {
  /** The Lamport time of what is next; NEVER when nothing is. */
  stamp(): number;
  /** Writes what came at that time: an edge, and the vertices that came with it. Returns bytes. */
  take(): number;
}

/** Through what is there now. */
function walkFrom(graph: GraphView, from: number, write: ItemWriter, texts: Texts): Walk {
  const { vertices, edges } = graph;
  let { vertex, edge } = graph.firstSince(from);
  const vertexStamp = () => (vertex < vertices ? graph.bornOf(vertex) : NEVER);
  const edgeStamp = () => (edge < edges ? graph.edgeLamportOf(edge) : NEVER);
  const stamp = () => Math.min(vertexStamp(), edgeStamp());
  return {
    stamp,
    take() {
      const now = stamp();
      let bytes = 0;
      for (; vertexStamp() === now; vertex++) bytes += added(texts.vertices, write.vertex(vertex));
      for (; edgeStamp() === now; edge++) bytes += added(texts.edges, write.edge(edge));
      return bytes;
    },
  };
}

function tooLarge({ format, maxBytes }: PageOptions): AgentError {
  return new AgentError(
    "LIMIT",
    `the graph takes more than ${maxBytes} bytes (events.maxReplyBytes); ask for parts: EVENT.GRAPH ${format} FROM 0 COUNT 10000`,
  );
}

/** Bytes of the text, with what separates it from the next. */
function added(texts: string[], text: ByteString): number {
  texts.push(text);
  return text.length + 1;
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

function dotPage({ vertices, edges }: Texts, next: number | undefined): Buffer {
  const more = next === undefined ? "" : `// next: FROM ${next}\n`;
  return Buffer.from(`${DOT_HEAD}${vertices.join("")}${edges.join("")}${more}${DOT_END}`, "latin1");
}

function jsonPage({ vertices, edges }: Texts, next: number | undefined, { node, lamport }: PageOptions): Buffer {
  const head = bytesOf(`{"node":${JSON.stringify(node)},"lamport":${lamport}`);
  const text = `${head},"vertices":[${vertices.join(",")}],"edges":[${edges.join(",")}],"next":${next ?? "null"}}`;
  return Buffer.from(text, "latin1");
}
