import { createFloat64Column, createInt32Column, firstAtLeast } from "./column.ts";
import { createEdgeIndex } from "./edge-index.ts";
import { createIdTable } from "./id-table.ts";
import type { ByteString } from "../../contract/request.ts";

/** Who takes part in an event, each once, and who of them spoke with whom. */
export interface Details {
  readonly partakers: readonly ByteString[];
  readonly conversations: readonly (readonly ByteString[])[];
}

/** Lamport time, which only rises, and wall time, which is for people. */
export interface Stamp {
  readonly lamport: number;
  readonly wallMs: number;
}

/** What is found of a graph: vertices and edges have numbers in the order in which they came, and keep them. */
export interface GraphView {
  readonly vertices: number;
  readonly edges: number;
  /** Bytes of ids, partakers and conversations. */
  readonly textBytes: number;
  /** The vertex of that id, or -1. */
  find(id: ByteString): number;
  idOf(vertex: number): ByteString;
  detailsOf(vertex: number): Details;
  /** Bytes of the vertex's partakers and conversations. */
  detailBytesOf(vertex: number): number;
  /** Lamport time of the vertex's first event; never falls from one vertex to the next. */
  bornOf(vertex: number): number;
  /** Of the latest event that created or extended the vertex. */
  stampOf(vertex: number): Stamp;
  fromOf(edge: number): number;
  toOf(edge: number): number;
  edgeStampOf(edge: number): Stamp;
  edgeLamportOf(edge: number): number;
  /** An edge with these ends, or -1. Only where the graph was made with `findEdges`. */
  findEdge(from: number, to: number): number;
  /** The newest edge that leads to the vertex, or -1. */
  newestInto(vertex: number): number;
  /** The edge to the same vertex that came before this one, or -1. */
  olderInto(edge: number): number;
  /** The first vertex, and the first edge, that came at `lamport` or later. */
  firstSince(lamport: number): { readonly vertex: number; readonly edge: number };
}

/** Stamps must not fall from one call to the next. */
export interface Graph extends GraphView {
  /** The vertex of that id, made if it is not there. */
  vertex(id: ByteString, lamport: number, wallMs: number): number;
  /** The same for the id that stands in `bytes` from `start` up to `end`. */
  vertexOfBytes(bytes: Buffer, start: number, end: number, lamport: number, wallMs: number): number;
  addEdge(from: number, to: number, lamport: number, wallMs: number): void;
  /** Makes the vertex if it is not there; partakers it has already are not added again, conversations always are. */
  extend(id: ByteString, details: Details, lamport: number, wallMs: number): void;
}

interface MutableDetails extends Details {
  readonly partakers: ByteString[];
  readonly conversations: (readonly ByteString[])[];
  bytes: number;
}

const NO_DETAILS: Details = { partakers: [], conversations: [] };

/** Bytes the names take, each with what separates it from the next. */
export function textBytesOf(names: readonly ByteString[]): number {
  let bytes = 0;
  for (const name of names) bytes += name.length + 1;
  return bytes;
}

/**
 * Edges in columns of numbers, 32 bytes each; those to one vertex are linked from the newest to the oldest. Adding takes the same time however many there
 * are. `findEdges` adds 5 to 11 bytes per edge.
 */
export function createGraph({ findEdges }: { readonly findEdges: boolean }): Graph {
  const ids = createIdTable();
  const details = new Map<number, MutableDetails>();
  const born = createFloat64Column();
  const lamports = createFloat64Column();
  const wallMs = createFloat64Column();
  const newestInto = createInt32Column();
  const from = createInt32Column();
  const to = createInt32Column();
  const olderInto = createInt32Column();
  const edgeLamports = createFloat64Column();
  const edgeWallMs = createFloat64Column();
  const index = findEdges ? createEdgeIndex(from.at, to.at) : undefined;
  let textBytes = 0;

  function makeVertex(id: ByteString, lamport: number, atMs: number): number {
    born.push(lamport);
    lamports.push(lamport);
    wallMs.push(atMs);
    newestInto.push(-1);
    textBytes += id.length;
    return ids.add(id);
  }

  function vertex(id: ByteString, lamport: number, atMs: number): number {
    const known = ids.find(id);
    return known < 0 ? makeVertex(id, lamport, atMs) : known;
  }

  function vertexOfBytes(bytes: Buffer, start: number, end: number, lamport: number, atMs: number): number {
    const known = ids.findBytes(bytes, start, end);
    return known < 0 ? makeVertex(bytes.toString("latin1", start, end), lamport, atMs) : known;
  }

  function addEdge(source: number, target: number, lamport: number, atMs: number): void {
    const edge = from.length;
    from.push(source);
    to.push(target);
    olderInto.push(newestInto.at(target));
    edgeLamports.push(lamport);
    edgeWallMs.push(atMs);
    newestInto.set(target, edge);
    if (index?.find(source, target) === -1) index.add(source, target, edge);
  }

  return {
    get vertices() {
      return ids.length;
    },
    get edges() {
      return from.length;
    },
    get textBytes() {
      return textBytes;
    },
    find: (id) => ids.find(id),
    idOf: (number) => ids.at(number),
    detailsOf: (number) => details.get(number) ?? NO_DETAILS,
    detailBytesOf: (number) => details.get(number)?.bytes ?? 0,
    bornOf: born.at,
    stampOf: (number) => ({ lamport: lamports.at(number), wallMs: wallMs.at(number) }),
    fromOf: from.at,
    toOf: to.at,
    edgeStampOf: (edge) => ({ lamport: edgeLamports.at(edge), wallMs: edgeWallMs.at(edge) }),
    edgeLamportOf: edgeLamports.at,
    findEdge: (source, target) => index?.find(source, target) ?? -1,
    newestInto: newestInto.at,
    olderInto: olderInto.at,
    firstSince: (lamport) => ({ vertex: firstAtLeast(born, lamport), edge: firstAtLeast(edgeLamports, lamport) }),
    vertex,
    vertexOfBytes,
    addEdge,
    extend(id, added, lamport, atMs) {
      const number = vertex(id, lamport, atMs);
      lamports.set(number, lamport);
      wallMs.set(number, atMs);
      const held = details.get(number) ?? { partakers: [], conversations: [], bytes: 0 };
      details.set(number, held);
      const before = held.bytes;
      const known = new Set(held.partakers);
      for (const partaker of added.partakers) {
        if (known.has(partaker)) continue;
        known.add(partaker);
        held.partakers.push(partaker);
        held.bytes += partaker.length + 1;
      }
      for (const conversation of added.conversations) {
        held.conversations.push(conversation);
        held.bytes += textBytesOf(conversation);
      }
      textBytes += held.bytes - before;
    },
  };
}
