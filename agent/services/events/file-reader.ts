import { AgentError } from "../../contract/errors.ts";
import type { ByteString } from "../../contract/request.ts";
import { unescaped } from "./file-format.ts";
import type { Details } from "./graph.ts";
import { eventId, partakerName, withoutOuterBlanks } from "./names.ts";

/** What a file of the original says, and how many of its lines say nothing that can be understood. */
export interface ReadFile<T> {
  readonly found: readonly T[];
  readonly skipped: number;
}

export interface FoundEdge {
  readonly from: ByteString;
  readonly to: ByteString;
}

export interface FoundVertex extends Details {
  readonly id: ByteString;
}

/**
 * EventNetEdges.txt as the original wrote it, a NUL after each line feed, or as we do. The first comma separates; blanks around ids, control characters and
 * empty lines are ignored.
 */
export function readEdgesFile(content: ByteString): ReadFile<FoundEdge> {
  const found: FoundEdge[] = [];
  let skipped = 0;
  for (const line of linesOf(content)) {
    const comma = line.indexOf(",");
    const from = named(comma < 0 ? "" : line.slice(0, comma), eventId);
    const to = named(line.slice(comma + 1), eventId);
    if (from === undefined || to === undefined) skipped += 1;
    else found.push({ from, to });
  }
  return { found, skipped };
}

/**
 * EventNetVertices.txt. The original spreads one record over several lines, the later ones with what was in its memory before the first `#`; and when
 * it rewrote a record, records that followed in the same 500 bytes got between the record and its new conversation. So a line without `id -` before any `#` or `(`
 * belongs to the nearest record before it that has all of its names as partakers, else to the one just before it.
 */
export function readVerticesFile(content: ByteString): ReadFile<FoundVertex> {
  const found: MutableVertex[] = [];
  let skipped = 0;
  for (const line of linesOf(content)) {
    const record = RECORD.exec(line);
    const vertex = record === null ? undefined : readRecord(record);
    if (vertex !== undefined) found.push(vertex);
    else if (record !== null || !continueRecord(found, line)) skipped += 1;
  }
  return { found, skipped };
}

interface MutableVertex extends FoundVertex {
  readonly conversations: (readonly ByteString[])[];
}

/** Id, partakers, and the rest where there is one. */
const RECORD = /^([^-#(]*)-([^-]*)(?:-(.*))?$/;

/** The original's window holds some 50 records. */
const NEARBY_RECORDS = 64;

function readRecord([, idText = "", partakersText = "", rest = ""]: RegExpExecArray): MutableVertex | undefined {
  const id = named(idText, eventId);
  if (id === undefined) return undefined;
  return { id, partakers: [...new Set(readNames(partakersText))], conversations: readConversations(rest) };
}

/** Whether the line had conversations and a record before it. */
function continueRecord(found: readonly MutableVertex[], line: ByteString): boolean {
  const conversations = readConversations(line);
  const latest = found.at(-1);
  if (latest === undefined || conversations.length === 0) return false;
  for (const conversation of conversations) {
    const owner = found.slice(-NEARBY_RECORDS).findLast(({ partakers }) => conversation.every((name) => partakers.includes(name)));
    (owner ?? latest).conversations.push(conversation);
  }
  return true;
}

/** The names of every `(…)`. */
export function readConversations(text: ByteString): (readonly ByteString[])[] {
  return [...text.matchAll(/\(([^()]*)\)/g)].map(([, names = ""]) => readNames(names)).filter((names) => names.length > 0);
}

function readNames(text: ByteString): readonly ByteString[] {
  return text
    .split(",")
    .map((name) => named(name, partakerName))
    .filter((name) => name !== undefined);
}

/** Lines that hold more than blanks, without the control characters that the original left in them. */
function* linesOf(content: ByteString): Generator<ByteString> {
  for (let start = 0; start < content.length;) {
    const feed = content.indexOf("\n", start);
    const end = feed < 0 ? content.length : feed;
    const line = withoutOuterBlanks(withoutControls(content.slice(start, end)));
    if (line !== "") yield line;
    start = end + 1;
  }
}

function withoutControls(line: ByteString): ByteString {
  let kept = "";
  let from = 0;
  for (let at = 0; at < line.length; at++) {
    const code = line.charCodeAt(at);
    if (code >= 0x20 && code !== 0x7f) continue;
    kept += line.slice(from, at);
    from = at + 1;
  }
  return from === 0 ? line : kept + line.slice(from);
}

function named(text: ByteString, check: (bytes: ByteString) => ByteString): ByteString | undefined {
  try {
    return check(unescaped(text));
  } catch (error) {
    if (error instanceof AgentError) return undefined;
    throw error;
  }
}
