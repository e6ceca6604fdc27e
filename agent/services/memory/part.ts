import { AgentError } from "../../contract/errors.ts";
import type { ByteString } from "../../contract/request.ts";

/** The state of one thing on disk: a key's value, a block, the addresses given out. */
export interface Part {
  /** What it is of; the first character says of which kind. */
  readonly id: ByteString;
  /** Rises from change to change, over everything. */
  readonly revision: number;
  /** Until when it holds, milliseconds since 1970; 0: for ever. */
  readonly untilWallMs: number;
  /** Undefined: it is gone. */
  readonly value: ByteString | undefined;
}

/** Its bytes in a record: a line of numbers, the id, the value. */
export function encodePart({ id, revision, untilWallMs, value }: Part): ByteString {
  return `${revision} ${untilWallMs} ${id.length} ${value === undefined ? -1 : value.length}\n${id}${value ?? ""}`;
}

/** The parts of a record, which are written together or not at all. Throws IO for bytes that are none. */
export function decodeParts(record: ByteString): readonly Part[] {
  const parts: Part[] = [];
  for (let at = 0; at < record.length;) {
    const end = record.indexOf("\n", at);
    const head = /^(\d+) (\d+) (\d+) (-1|\d+)$/.exec(record.slice(at, Math.max(at, end)));
    if (head === null) throw new AgentError("IO", `memory: a record of ${record.length} bytes cannot be read at byte ${at}`);
    const [, revision, untilWallMs, idBytes, valueBytes] = head.map(Number) as [number, number, number, number, number];
    const from = end + 1 + idBytes;
    const to = from + Math.max(0, valueBytes);
    if (to > record.length) throw new AgentError("IO", `memory: a record of ${record.length} bytes ends too early`);
    parts.push({ id: record.slice(end + 1, from), revision, untilWallMs, value: valueBytes < 0 ? undefined : record.slice(from, to) });
    at = to;
  }
  return parts;
}

/** The same text in one piece of its own: neither a rope of small ones nor a part of a larger one that it would keep alive. */
export function flat(text: ByteString): ByteString {
  return text.length < SLICED ? text : Buffer.from(text, "latin1").toString("latin1");
}

/** V8 copies shorter parts of strings, and refers to the whole for longer ones. */
const SLICED = 13;
