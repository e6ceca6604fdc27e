import type { ByteString } from "../../contract/request.ts";
import type { Details, Graph } from "./graph.ts";

// A record is `E lamport wallMs from TAB to`, or `V lamport wallMs id LF partakers LF conversation LF …` with TAB between names. Names have no
// control characters, so nothing needs escaping.

const EDGE = "E";
const VERTEX = "V";

const EDGE_CODE = 0x45;
const VERTEX_CODE = 0x56;
const SPACE = 0x20;
const TAB = 0x09;
const ZERO = 0x30;

export function edgeRecord(from: ByteString, to: ByteString, lamport: number, wallMs: number): ByteString {
  return `${EDGE}${lamport} ${wallMs} ${from}\t${to}`;
}

export function vertexRecord(id: ByteString, details: Details, lamport: number, wallMs: number): ByteString {
  const lines = [details.partakers, ...details.conversations].map((names) => `\n${names.join("\t")}`);
  return `${VERTEX}${lamport} ${wallMs} ${id}${lines.join("")}`;
}

/** Does to the graph what the record says; returns its Lamport time, or undefined for a record that is none of ours, which changes nothing. */
export function applyRecord(graph: Graph, record: Buffer): number | undefined {
  const kind = record[0];
  const afterLamport = positionOf(SPACE, record, 1);
  const afterWall = positionOf(SPACE, record, afterLamport + 1);
  if (afterLamport < 2 || afterWall < 0) return undefined;
  const lamport = wholeNumber(record, 1, afterLamport);
  const wallMs = wholeNumber(record, afterLamport + 1, afterWall);
  if (kind === EDGE_CODE) {
    const tab = positionOf(TAB, record, afterWall);
    if (tab < 0) return undefined;
    const source = graph.vertexOfBytes(record, afterWall + 1, tab, lamport, wallMs);
    graph.addEdge(source, graph.vertexOfBytes(record, tab + 1, record.length, lamport, wallMs), lamport, wallMs);
    return lamport;
  }
  if (kind !== VERTEX_CODE) return undefined;
  const [id = "", ...lines] = record.toString("latin1", afterWall + 1).split("\n");
  const [partakers = [], ...conversations] = lines.map((line) => (line === "" ? [] : line.split("\t")));
  graph.extend(id, { partakers, conversations }, lamport, wallMs);
  return lamport;
}

/** Quicker than indexOf over a few bytes. -1 when it is not there. */
function positionOf(byte: number, bytes: Uint8Array, from: number): number {
  for (let at = from; at < bytes.length; at++) if (bytes[at] === byte) return at;
  return -1;
}

/** Digits, as they are written by us only. */
function wholeNumber(bytes: Buffer, from: number, to: number): number {
  let number = 0;
  for (let at = from; at < to; at++) number = number * 10 + ((bytes[at] as number) - ZERO);
  return number;
}
