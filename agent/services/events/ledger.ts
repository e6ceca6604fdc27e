import { AgentError } from "../../contract/errors.ts";
import { openRecordLog, type RecordLog } from "../../store/record-log.ts";
import type { Clock } from "../../contract/clock.ts";
import type { Log } from "../../contract/log.ts";
import { errorReply, valueReply, type ByteString, type Figures, type Reply } from "../../contract/request.ts";
import { createGraph, textBytesOf, type Details, type Graph, type GraphView } from "./graph.ts";
import type { EventsOptions } from "./options.ts";
import { applyRecord, edgeRecord, vertexRecord } from "./record.ts";

/** Told the Lamport time it was given, or why it is not kept. */
export type Done = (reply: Reply) => void;

/** What came to be, as it is on disk. */
export type Change =
  | { readonly kind: "edge"; readonly from: ByteString; readonly to: ByteString; readonly lamport: number; readonly wallMs: number }
  | { readonly kind: "vertex"; readonly id: ByteString; readonly details: Details; readonly lamport: number; readonly wallMs: number };

/** The graph and the log it is kept in: the graph holds what is on disk and nothing else. */
export interface Ledger {
  readonly graph: GraphView;
  /** Records that were found when it was opened. */
  readonly found: number;
  /** The node's Lamport clock: the time of the latest event. */
  readonly lamport: number;
  /** `done` is called when it is on disk. `seen` is a Lamport time that the event follows from. Throws FULL or IO when it cannot be taken. */
  addEdge(from: ByteString, to: ByteString, seen: number, done: Done): void;
  extend(id: ByteString, details: Details, done: Done): void;
  figures(): Figures;
  /** Writes what was taken, then closes. */
  close(): Promise<void>;
}

export interface LedgerOptions {
  /** Of the log. */
  readonly folder: string;
  readonly options: EventsOptions;
  readonly clock: Clock;
  readonly log: Log;
  /** Told, in order, what has just come on disk; nobody is answered before the returned promise is done. It must not reject. */
  readonly changed: (changes: readonly Change[]) => Promise<void> | undefined;
}

/** The name the log goes by in errors. */
export const LOG_NAME = "eventnet";

interface Waited {
  /** Ids it brings that the graph did not have when it was taken. */
  readonly newIds: readonly ByteString[];
  readonly recordBytes: number;
  readonly done: Done;
}

type EdgeEntry = Extract<Change, { kind: "edge" }> &
  Waited & {
    /** The vertices, -1 for those that the graph did not have. */
    readonly source: number;
    readonly target: number;
  };

type Entry = EdgeEntry | (Extract<Change, { kind: "vertex" }> & Waited);

/** What the graph will grow by, at most, when everything that waits for the disk is on it. */
interface Waiting {
  edges: number;
  textBytes: number;
  /** How many of those that wait bring that id. */
  readonly ids: Map<ByteString, number>;
  /** Bytes of partakers and conversations by id. */
  readonly detailBytes: Map<ByteString, number>;
  /** With `duplicates: ignore`, the edges that wait, and who asked for them again. */
  readonly again: Map<string, Done[]>;
}

const NO_IDS: readonly ByteString[] = [];

/** Opens the log and builds the graph of it. Rejects IO when the folder cannot be used. */
export async function openLedger({ folder, options, clock, log, changed }: LedgerOptions): Promise<Ledger> {
  const ignoring = options.duplicates === "ignore";
  const graph: Graph = createGraph({ findEdges: ignoring });
  const waiting: Waiting = { edges: 0, textBytes: 0, ids: new Map(), detailBytes: new Map(), again: new Map() };
  let lamport = 0;
  let settled: Entry[] = [];
  let acknowledging: Promise<void> | undefined;

  const foundBytes = new Map<number, number>();
  let found = 0;
  let unreadable = 0;
  const records: RecordLog<Entry> = await openRecordLog<Entry>({
    folder,
    name: LOG_NAME,
    clock,
    log,
    replay(record, segment) {
      const stamp = applyRecord(graph, record);
      if (stamp === undefined) unreadable += 1;
      else lamport = Math.max(lamport, stamp);
      found += 1;
      foundBytes.set(segment, (foundBytes.get(segment) ?? 0) + record.length);
    },
    committed,
    failed(entry, error) {
      release(entry);
      answer(entry, errorReply(error));
    },
    // Events are never deleted: there is nothing to move.
    relocate: () => undefined,
  });
  for (const [segment, bytes] of foundBytes) records.keep(segment, bytes);
  if (unreadable > 0) log.warn({ log: LOG_NAME, records: unreadable }, "some records of the log are of no known kind and were left out");

  function committed(entry: Entry, segment: number): void {
    records.keep(segment, entry.recordBytes);
    release(entry);
    if (entry.kind === "edge") addEdge(entry);
    else graph.extend(entry.id, entry.details, entry.lamport, entry.wallMs);
    for (const id of entry.newIds) waiting.ids.delete(id);
    settled.push(entry);
    // After all that were written together.
    acknowledging ??= Promise.resolve().then(acknowledge);
  }

  function addEdge({ from, to, source, target, lamport: stamp, wallMs: atMs }: EdgeEntry): void {
    const first = source < 0 ? graph.vertex(from, stamp, atMs) : source;
    graph.addEdge(first, target < 0 ? graph.vertex(to, stamp, atMs) : target, stamp, atMs);
  }

  async function acknowledge(): Promise<void> {
    while (settled.length > 0) {
      const entries = settled;
      settled = [];
      await changed(entries);
      for (const entry of entries) answer(entry, valueReply(entry.lamport));
    }
    acknowledging = undefined;
  }

  function answer(entry: Entry, reply: Reply): void {
    entry.done(reply);
    if (!ignoring || entry.kind !== "edge") return;
    const key = edgeKey(entry.from, entry.to);
    const others = waiting.again.get(key);
    waiting.again.delete(key);
    for (const done of others ?? []) done(reply);
  }

  function reserve(entry: Entry): void {
    for (const id of entry.newIds) waiting.ids.set(id, (waiting.ids.get(id) ?? 0) + 1);
    waiting.textBytes += textBytes(entry);
    if (entry.kind === "edge") waiting.edges += 1;
    else waiting.detailBytes.set(entry.id, (waiting.detailBytes.get(entry.id) ?? 0) + detailBytes(entry.details));
  }

  function release(entry: Entry): void {
    for (const id of entry.newIds) lower(waiting.ids, id, 1);
    waiting.textBytes -= textBytes(entry);
    if (entry.kind === "edge") waiting.edges -= 1;
    else lower(waiting.detailBytes, entry.id, detailBytes(entry.details));
  }

  function checkRoom(entry: Entry): void {
    let fresh = 0;
    for (const id of entry.newIds) if (!waiting.ids.has(id)) fresh += 1;
    if (fresh > 0 && graph.vertices + waiting.ids.size + fresh > options.maxVertices) {
      throw noRoom("vertex", "maxVertices", options.maxVertices);
    }
    if (entry.kind === "edge" && graph.edges + waiting.edges >= options.maxEdges) throw noRoom("edge", "maxEdges", options.maxEdges);
    const added = textBytes(entry);
    if (added > 0 && graph.textBytes + waiting.textBytes + added > options.maxTextBytes) {
      throw noRoom("name", "maxTextBytes", options.maxTextBytes, "bytes ");
    }
    if (entry.kind === "vertex") checkVertexRoom(entry.id, detailBytes(entry.details));
  }

  function checkVertexRoom(id: ByteString, added: number): void {
    const vertex = graph.find(id);
    const held = (vertex < 0 ? 0 : graph.detailBytesOf(vertex)) + (waiting.detailBytes.get(id) ?? 0);
    if (held + added <= options.maxVertexBytes) return;
    throw new AgentError(
      "FULL",
      `no room for more partakers and conversations: ${options.maxVertexBytes} bytes are kept of one event (events.maxVertexBytes)`,
    );
  }

  function take(entry: Entry, record: ByteString): void {
    checkRoom(entry);
    records.append(record, entry);
    lamport = entry.lamport;
    reserve(entry);
  }

  /** Whether the edge is there, or will be: it is answered then. */
  function isThere(from: ByteString, to: ByteString, source: number, target: number, done: Done): boolean {
    const others = waiting.again.get(edgeKey(from, to));
    if (others !== undefined) {
      others.push(done);
      return true;
    }
    if (source < 0 || target < 0) return false;
    const edge = graph.findEdge(source, target);
    if (edge < 0) return false;
    done(valueReply(graph.edgeLamportOf(edge)));
    return true;
  }

  const wallMs = (): number => Math.floor(clock.wallMs());

  return {
    graph,
    found,
    get lamport() {
      return lamport;
    },
    addEdge(from, to, seen, done) {
      const source = graph.find(from);
      const target = graph.find(to);
      if (ignoring && isThere(from, to, source, target, done)) return;
      const stamp = Math.max(lamport, seen) + 1;
      const atMs = wallMs();
      const record = edgeRecord(from, to, stamp, atMs);
      const newIds = source < 0 || target < 0 ? idsOf(from, source, to, target) : NO_IDS;
      const recordBytes = record.length;
      take({ kind: "edge", from, to, source, target, lamport: stamp, wallMs: atMs, newIds, recordBytes, done }, record);
      if (ignoring) waiting.again.set(edgeKey(from, to), []);
    },
    extend(id, details, done) {
      const stamp = lamport + 1;
      const atMs = wallMs();
      const record = vertexRecord(id, details, stamp, atMs);
      const newIds = graph.find(id) < 0 ? [id] : NO_IDS;
      take({ kind: "vertex", id, details, lamport: stamp, wallMs: atMs, newIds, recordBytes: record.length, done }, record);
    },
    figures: () => ({
      vertices: graph.vertices,
      edges: graph.edges,
      lamport,
      text_bytes: graph.textBytes,
      waiting_edges: waiting.edges,
      ...records.figures(),
    }),
    close: async () => {
      await records.close();
      await acknowledging;
    },
  };
}

/** Those without a number, once. */
function idsOf(from: ByteString, source: number, to: ByteString, target: number): readonly ByteString[] {
  if (source >= 0) return [to];
  return target >= 0 || from === to ? [from] : [from, to];
}

/** What the graph's text grows by, at most: partakers that are there already are counted. */
function textBytes(entry: Entry): number {
  let bytes = entry.kind === "vertex" ? detailBytes(entry.details) : 0;
  for (const id of entry.newIds) bytes += id.length;
  return bytes;
}

function detailBytes({ partakers, conversations }: Details): number {
  return conversations.reduce((sum, names) => sum + textBytesOf(names), textBytesOf(partakers));
}

/** Names have no tabs. */
function edgeKey(from: ByteString, to: ByteString): string {
  return `${from}\t${to}`;
}

function lower(counts: Map<ByteString, number>, id: ByteString, by: number): void {
  const left = (counts.get(id) ?? 0) - by;
  if (left > 0) counts.set(id, left);
  else counts.delete(id);
}

function noRoom(what: string, option: string, most: number, unit = ""): AgentError {
  return new AgentError("FULL", `no room for another ${what}: ${most} ${unit}are kept at most (events.${option})`);
}
