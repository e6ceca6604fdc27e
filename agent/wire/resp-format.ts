import { bytesOf } from "../contract/request.ts";
import type { AgentError } from "../contract/errors.ts";
import type { Reply } from "../contract/request.ts";
import type { Value } from "../contract/value.ts";
import type { ByteSink } from "./codec.ts";

/** The version of RESP a connection speaks: 2, or 3 after `HELLO 3`. */
export type RespVersion = 2 | 3;

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** `$3\r\n` for the lengths most values have. */
const HEADS: readonly string[] = Array.from({ length: 256 }, (_, length) => `$${length}\r\n`);

/** Writes a reply. Errors are one line: `-CODE text`. */
export function formatReply(reply: Reply, version: RespVersion, sink: ByteSink): void {
  if (reply.kind === "value") formatAnswer(reply, version, sink);
  else if (reply.kind === "status") sink.latin1(reply.text === "OK" ? "+OK\r\n" : `+${oneLine(reply.text)}\r\n`);
  else formatError(reply.error, sink);
}

function formatAnswer({ value, raw }: Extract<Reply, { kind: "value" }>, version: RespVersion, sink: ByteSink): void {
  if (raw === true && typeof value === "string") sink.latin1(`${HEADS[value.length] ?? `$${value.length}\r\n`}${value}\r\n`);
  else formatValue(value, version, sink);
}

/** Writes something subscribed to: a push in RESP3, an array in RESP2 as Redis does. */
export function formatPush(message: readonly Value[], version: RespVersion, sink: ByteSink): void {
  sink.latin1(`${version === 3 ? ">" : "*"}${message.length}\r\n`);
  for (const part of message) formatValue(part, version, sink);
}

function formatError(error: AgentError, sink: ByteSink): void {
  sink.latin1(`-${error.code} ${oneLine(error.message)}\r\n`);
}

/** What RESP2 has no type for: null is a null bulk, a boolean 1 or 0, a double its text, a map a flat array of names and values. */
function formatValue(value: Value, version: RespVersion, sink: ByteSink): void {
  switch (typeof value) {
    case "string":
      formatText(value, sink);
      return;
    case "number":
      formatNumber(value, version, sink);
      return;
    case "boolean":
      if (version === 3) sink.latin1(value ? "#t\r\n" : "#f\r\n");
      else sink.latin1(value ? ":1\r\n" : ":0\r\n");
      return;
    case "bigint":
      formatBigint(value, version, sink);
      return;
    default:
      formatObject(value, version, sink);
  }
}

function formatObject(value: Exclude<Value, string | number | boolean | bigint>, version: RespVersion, sink: ByteSink): void {
  if (value === null) {
    sink.latin1(version === 3 ? "_\r\n" : "$-1\r\n");
  } else if (value instanceof Uint8Array) {
    sink.latin1(`$${value.length}\r\n`);
    sink.bytes(value);
    sink.latin1("\r\n");
  } else if (isList(value)) {
    sink.latin1(`*${value.length}\r\n`);
    for (const part of value) formatValue(part, version, sink);
  } else {
    const entries = Object.entries(value);
    sink.latin1(version === 3 ? `%${entries.length}\r\n` : `*${2 * entries.length}\r\n`);
    for (const [name, part] of entries) {
      formatText(name, sink);
      formatValue(part, version, sink);
    }
  }
}

/** Array.isArray does not narrow readonly arrays. */
function isList(value: readonly Value[] | { readonly [name: string]: Value }): value is readonly Value[] {
  return Array.isArray(value);
}

function formatText(text: string, sink: ByteSink): void {
  const bytes = bytesOf(text);
  sink.latin1(`$${bytes.length}\r\n${bytes}\r\n`);
}

function formatNumber(value: number, version: RespVersion, sink: ByteSink): void {
  if (Number.isSafeInteger(value)) sink.latin1(`:${value}\r\n`);
  else if (version === 3) sink.latin1(`,${doubleText(value)}\r\n`);
  else formatText(doubleText(value), sink);
}

function doubleText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (Number.isFinite(value)) return String(value);
  return value > 0 ? "inf" : "-inf";
}

function formatBigint(value: bigint, version: RespVersion, sink: ByteSink): void {
  if (value >= INT64_MIN && value <= INT64_MAX) sink.latin1(`:${value.toString()}\r\n`);
  else if (version === 3) sink.latin1(`(${value.toString()}\r\n`);
  else formatText(value.toString(), sink);
}

/** Without line breaks, which would end the line early. */
function oneLine(text: string): string {
  return bytesOf(/[\r\n]/.test(text) ? text.replaceAll(/\s*[\r\n]+\s*/g, " ") : text);
}
