import { AgentError, ERROR_CODES } from "../contract/errors.ts";
import { errorReply, valueReply } from "../contract/request.ts";
import type { ErrorCode } from "../contract/errors.ts";
import type { Reply } from "../contract/request.ts";
import type { Value } from "../contract/value.ts";

/** What a server sends: an answer to the oldest request without one, or something subscribed to (RESP3 push). */
export type ServerMessage =
  { readonly kind: "reply"; readonly reply: Reply } | { readonly kind: "push"; readonly message: readonly Value[] };

export interface ReplyLimits {
  /** Bytes of one message, all nested parts together. */
  readonly maxBytes: number;
  /** Values of one message, all nested parts together. */
  readonly maxValues: number;
  /** Arrays within arrays. */
  readonly maxDepth: number;
}

export const REPLY_LIMITS: ReplyLimits = { maxBytes: 64 * 1024 * 1024, maxValues: 1_000_000, maxDepth: 64 };

/** Bytes to messages, for the asking end of one connection. Knows no sockets and no time. */
export interface ReplyParser {
  /** Takes bytes as they come, cut anywhere; returns the messages they completed, in order. */
  push(chunk: Uint8Array): readonly ServerMessage[];
  /** Set when the bytes are no RESP (SYNTAX) or exceed a limit (LIMIT): nothing after them can be trusted, close. What `push` returned before stands. */
  readonly failure: AgentError | undefined;
}

/** What one line or one bulk stands for, before it is known where it belongs. */
type Part = { readonly value: Value } | { readonly error: AgentError } | { readonly status: string };

type Aggregate = "array" | "map" | "push" | "attribute";

/** An array whose parts are still coming. */
interface Frame {
  readonly kind: Aggregate;
  readonly parts: Value[];
  missing: number;
}

const LF = 0x0a;
const CR = 0x0d;

/** A line holds a number, a word or an error text; long text comes as a bulk. */
const MAX_LINE_BYTES = 64 * 1024;

const AGGREGATES: Readonly<Record<string, Aggregate>> = { "*": "array", "~": "array", "%": "map", ">": "push", "|": "attribute" };

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Understands RESP2 and RESP3 (without streamed strings and aggregates, which no server sends). Attributes are read and dropped. */
export function createReplyParser(limits: ReplyLimits = REPLY_LIMITS): ReplyParser {
  let failure: AgentError | undefined;
  let line = "";
  let bulk: { readonly type: string; readonly bytes: Buffer; filled: number } | undefined;
  const frames: Frame[] = [];
  let bytesSoFar = 0;
  let valuesSoFar = 0;
  let complete: ServerMessage[] = [];

  function spend(bytes: number): void {
    bytesSoFar += bytes;
    if (bytesSoFar > limits.maxBytes) throw new AgentError("LIMIT", `a reply of more than ${limits.maxBytes} bytes is refused`);
  }

  /** Puts a part where it belongs, and every array it completes where that belongs. */
  function place(part: Part): void {
    let current = part;
    for (;;) {
      const frame = frames.at(-1);
      if (frame === undefined) {
        finish({ kind: "reply", reply: replyOf(current) });
        return;
      }
      frame.parts.push(nestedValue(current));
      frame.missing -= 1;
      if (frame.missing > 0) return;
      frames.pop();
      if (frame.kind === "attribute") return;
      if (frame.kind === "push" && frames.length === 0) {
        finish({ kind: "push", message: frame.parts });
        return;
      }
      current = { value: frame.kind === "map" ? mapOf(frame.parts) : frame.parts };
    }
  }

  function finish(message: ServerMessage): void {
    complete.push(message);
    bytesSoFar = 0;
    valuesSoFar = 0;
  }

  function openAggregate(kind: Aggregate, text: string): void {
    const count = lengthOf(text, limits.maxValues, "values");
    const parts = kind === "map" || kind === "attribute" ? 2 * count : count;
    valuesSoFar += parts;
    if (valuesSoFar > limits.maxValues) throw new AgentError("LIMIT", `a reply of more than ${limits.maxValues} values is refused`);
    if (frames.length >= limits.maxDepth) throw new AgentError("LIMIT", `a reply nested more than ${limits.maxDepth} deep is refused`);
    if (parts > 0) frames.push({ kind, parts: [], missing: parts });
    else if (kind === "push" && frames.length === 0) finish({ kind: "push", message: [] });
    else if (kind !== "attribute") place({ value: kind === "map" ? {} : [] });
  }

  function openBulk(type: string, text: string): void {
    const length = lengthOf(text, limits.maxBytes, "bytes");
    spend(length);
    // Not zeroed: pages of what is declared but never sent are never touched.
    bulk = { type, bytes: Buffer.allocUnsafe(length + 2), filled: 0 };
  }

  function takeLine(whole: string): void {
    const type = whole.charAt(0);
    const text = whole.slice(1);
    const aggregate = AGGREGATES[type];
    if (text === "-1" && (type === "$" || type === "*")) place({ value: null });
    else if (aggregate !== undefined) openAggregate(aggregate, text);
    else if (type === "$" || type === "=" || type === "!") openBulk(type, text);
    else place(simplePart(type, text));
  }

  /** Reads to the end of the line; returns the offset after what was used. */
  function pushLine(chunk: Buffer, from: number): number {
    const end = chunk.indexOf(LF, from);
    const until = end < 0 ? chunk.length : end + 1;
    if (line.length + until - from > MAX_LINE_BYTES)
      throw new AgentError("LIMIT", `a reply line of more than ${MAX_LINE_BYTES} bytes is refused`);
    spend(until - from);
    line += chunk.toString("latin1", from, until);
    if (end < 0) return until;
    const whole = line;
    line = "";
    if (whole.charCodeAt(whole.length - 2) !== CR)
      throw new AgentError("SYNTAX", `a reply line must end with CR LF: ${JSON.stringify(excerpt(whole))}`);
    takeLine(whole.slice(0, -2));
    return until;
  }

  function pushBulk(chunk: Buffer, from: number, open: NonNullable<typeof bulk>): number {
    const until = Math.min(chunk.length, from + open.bytes.length - open.filled);
    chunk.copy(open.bytes, open.filled, from, until);
    open.filled += until - from;
    if (open.filled < open.bytes.length) return until;
    bulk = undefined;
    const length = open.bytes.length - 2;
    if (open.bytes[length] !== CR || open.bytes[length + 1] !== LF)
      throw new AgentError("SYNTAX", `a bulk of ${length} bytes does not end with CR LF`);
    place(bulkPart(open.type, open.bytes.subarray(0, length)));
    return until;
  }

  return {
    push(chunk) {
      complete = [];
      if (failure !== undefined) return complete;
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      try {
        let at = 0;
        while (at < bytes.length) at = bulk === undefined ? pushLine(bytes, at) : pushBulk(bytes, at, bulk);
      } catch (thrown) {
        if (!(thrown instanceof AgentError)) throw thrown;
        failure = thrown;
      }
      return complete;
    },
    get failure() {
      return failure;
    },
  };
}

function excerpt(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

function lengthOf(text: string, most: number, what: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new AgentError("SYNTAX", `a length must be a decimal number, not ${JSON.stringify(excerpt(text))}`);
  const length = Number(text);
  if (length > most) throw new AgentError("LIMIT", `a reply of ${length} ${what} is refused, at most ${most}`);
  return length;
}

function simplePart(type: string, text: string): Part {
  switch (type) {
    case "+":
      return { status: textOfBytes(text) };
    case "-":
      return { error: errorOf(textOfBytes(text)) };
    case ":":
      return { value: integerOf(text) };
    case "(":
      return { value: bigOf(text) };
    case ",":
      return { value: doubleOf(text) };
    case "#":
      return { value: booleanOf(text) };
    case "_":
      if (text === "") return { value: null };
      break;
    default:
  }
  throw new AgentError("SYNTAX", `not a reply: ${JSON.stringify(excerpt(type + text))}`);
}

function bulkPart(type: string, bytes: Buffer): Part {
  if (type === "!") return { error: errorOf(bytes.toString("utf8")) };
  // A verbatim string starts with its format and a colon: "txt:".
  if (type === "=") return { value: bytes.toString("utf8", Math.min(4, bytes.length)) };
  return { value: textOrBytes(bytes) };
}

/** Text where the bytes are UTF-8, which is what the agent sends text as; else the bytes. */
function textOrBytes(bytes: Buffer): string | Uint8Array {
  try {
    return utf8.decode(bytes);
  } catch {
    return new Uint8Array(bytes);
  }
}

function textOfBytes(latin1: string): string {
  return Buffer.from(latin1, "latin1").toString("utf8");
}

function integerOf(text: string): number | bigint {
  if (!/^[+-]?\d{1,20}$/.test(text)) throw new AgentError("SYNTAX", `not an integer: ${JSON.stringify(excerpt(text))}`);
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : BigInt(text);
}

function bigOf(text: string): bigint {
  if (!/^[+-]?\d{1,4096}$/.test(text)) throw new AgentError("SYNTAX", `not a big number: ${JSON.stringify(excerpt(text))}`);
  return BigInt(text);
}

function doubleOf(text: string): number {
  if (/^[+-]?inf$/.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  if (text === "nan") return NaN;
  if (!/^[+-]?\d+(\.\d*)?([eE][+-]?\d+)?$/.test(text)) throw new AgentError("SYNTAX", `not a number: ${JSON.stringify(excerpt(text))}`);
  return Number(text);
}

function booleanOf(text: string): boolean {
  if (text === "t") return true;
  if (text === "f") return false;
  throw new AgentError("SYNTAX", `not a boolean: ${JSON.stringify(excerpt(text))}`);
}

/** `CODE text` as the error it was; words the agent does not use (another server's) stay in the text. */
function errorOf(text: string): AgentError {
  const space = text.indexOf(" ");
  const word = space < 0 ? text : text.slice(0, space);
  if (isErrorCode(word)) return new AgentError(word, space < 0 ? word : text.slice(space + 1));
  return new AgentError("IO", text);
}

function isErrorCode(word: string): word is ErrorCode {
  return (ERROR_CODES as readonly string[]).includes(word);
}

function replyOf(part: Part): Reply {
  if ("error" in part) return errorReply(part.error);
  if ("status" in part) return { kind: "status", text: part.status };
  return valueReply(part.value);
}

/** Inside an array there is no place for an error or a status: both become their text. */
function nestedValue(part: Part): Value {
  if ("error" in part) return `${part.error.code} ${part.error.message}`;
  return "status" in part ? part.status : part.value;
}

function mapOf(parts: readonly Value[]): Value {
  const entries: [string, Value][] = [];
  for (let i = 0; i + 1 < parts.length; i += 2) {
    const key = parts[i] ?? null;
    entries.push([typeof key === "string" ? key : JSON.stringify(key, keyText), parts[i + 1] ?? null]);
  }
  // Unlike an assignment, this makes "__proto__" a name like any other.
  return Object.fromEntries(entries);
}

function keyText(_name: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}
