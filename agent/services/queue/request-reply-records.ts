import type { ByteString } from "../../contract/request.ts";
import type { Envelope } from "./message.ts";

/** Bytes of one record of REQUEST_REPLY.queue: text, NUL, and NULs up to this. */
export const RECORD_BYTES = 256;

/** What ends a record's text. */
const END = " $$\n";

const HEADER = /^REQUEST#([0-9a-f]{1,16})#/;

/** `<sec>:<nsec>#`, as 32-bit builds wrote it and as this agent does. */
const SECONDS = /^(\d+:\d+)#/;

/** Two readings of one clock in nanoseconds since boot, the payload right behind them. */
const NANOSECONDS = /^(\d+):/;

/** What builds wrote whose time came from elsewhere. */
const NO_TIME = "notimplemented#";

/** Ends a payload that did not fit; only ever in a text that fills its record. */
const CUT = / \[cut of (\d+) bytes\]$/;

const MILLION = 1_000_000;

/** What the original writes whenever its module is loaded; constant, the time too. */
export const BOOTSTRAP_RECORD = `REQUEST#1000000#1408964032:335925644#kingcobra_kernelspace_init${END}`.padEnd(RECORD_BYTES, "\0");

/** One request as a REQUEST_REPLY.queue keeps it. */
export interface RequestReplyRecord {
  /** Where it begins in the file. */
  readonly offset: number;
  /** The client's address as the header has it. Original kernels wrote `1000000` or alike whoever the client was. */
  readonly ip: string;
  /** As it is written: `sec:nsec`, two times in nanoseconds since boot, or `notimplemented`. */
  readonly timestamp: string;
  /** The same by the wall clock; undefined where the file does not say it. */
  readonly wallMs: number | undefined;
  /** What is kept of it. */
  readonly payload: ByteString;
  /** Bytes of the whole payload when only its beginning is kept. */
  readonly cutOf: number | undefined;
}

export interface RequestReplyRecords {
  readonly records: readonly RequestReplyRecord[];
  /** Blocks that begin with NUL: the original left some. */
  readonly empty: number;
  /** Blocks that are no record. */
  readonly damaged: number;
}

/** The header's time of a message: its own on this node, since the last six digits are those of its id. */
export function stampOf({ wallMs, id }: Pick<Envelope, "wallMs" | "id">): string {
  const ms = Math.floor(wallMs);
  return `${Math.floor(ms / 1000)}:${(ms % 1000) * MILLION + (id % MILLION)}`;
}

/** A message's time and the last six digits of its id, of a stamp that may have been made by `stampOf`. */
export function readStamp(stamp: string): { readonly wallMs: number; readonly idDigits: number } | undefined {
  const [, seconds, nanoseconds] = /^(\d{1,12}):(\d{1,9})$/.exec(stamp) ?? [];
  if (seconds === undefined || nanoseconds === undefined) return undefined;
  const ns = Number(nanoseconds);
  return { wallMs: Number(seconds) * 1000 + Math.floor(ns / MILLION), idDigits: ns % MILLION };
}

/**
 * Writes the 256 bytes of one request at `offset` of a buffer of NULs. Control characters become `\xNN`, since a NUL would end the text and a line feed the
 * line. A payload that does not fit is cut and says how long it was.
 */
export function writeRequestRecord(message: Envelope, buffer: Buffer, offset: number): void {
  const header = `REQUEST#${message.ip}#${stampOf(message)}#`;
  buffer.write(header, offset, "latin1");
  buffer.write(shownPayload(message.payload, RECORD_BYTES - 1 - header.length - END.length) + END, offset + header.length, "latin1");
}

function shownPayload(payload: ByteString, room: number): ByteString {
  // One byte is left, so that a text which fills its record is always one that was cut.
  const shown = payload.length < room ? visible(payload) : payload;
  if (shown.length < room) return shown;
  const mark = ` [cut of ${payload.length} bytes]`;
  return visible(payload.slice(0, room)).slice(0, room - mark.length) + mark;
}

function visible(payload: ByteString): ByteString {
  for (let i = 0; i < payload.length; i++) {
    if (isControl(payload.charCodeAt(i))) return escaped(payload);
  }
  return payload;
}

function escaped(payload: ByteString): ByteString {
  let text = "";
  for (const byte of payload) {
    const code = byte.charCodeAt(0);
    text += isControl(code) ? `\\x${code.toString(16).padStart(2, "0")}` : byte;
  }
  return text;
}

function isControl(code: number): boolean {
  return code < 0x20 || code === 0x7f;
}

/**
 * Reads a REQUEST_REPLY.queue of any age, ours included: blocks of 256 bytes, in each a text up to the first NUL; what follows it is whatever was in the
 * kernel's memory. Throws nothing: what is no record is counted.
 */
export function readRequestReplyRecords(bytes: Uint8Array): RequestReplyRecords {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const records: RequestReplyRecord[] = [];
  let empty = 0;
  let damaged = 0;
  for (let offset = 0; offset < buffer.length; offset += RECORD_BYTES) {
    const block = buffer.toString("latin1", offset, Math.min(offset + RECORD_BYTES, buffer.length));
    const nul = block.indexOf("\0");
    const text = nul < 0 ? block : block.slice(0, nul);
    const record = readText(text, offset);
    if (record !== undefined) records.push(record);
    else if (text === "") empty += 1;
    else damaged += 1;
  }
  return { records, empty, damaged };
}

function readText(text: string, offset: number): RequestReplyRecord | undefined {
  const header = HEADER.exec(text);
  if (header === null || !text.endsWith(END)) return undefined;
  const [whole, ip = ""] = header;
  const rest = text.slice(whole.length, -END.length);
  const split = splitTime(rest);
  if (split === undefined) return undefined;
  const cut = text.length === RECORD_BYTES - 1 ? CUT.exec(split.payload) : null;
  return {
    offset,
    ip,
    timestamp: split.timestamp,
    wallMs: split.wallMs,
    payload: cut === null ? split.payload : split.payload.slice(0, cut.index),
    cutOf: cut === null ? undefined : Number(cut[1]),
  };
}

type Split = Pick<RequestReplyRecord, "timestamp" | "wallMs" | "payload">;

/** Time and payload, which stand together without anything between in the files of 64-bit kernels since 2017. */
function splitTime(rest: string): Split | undefined {
  const [seconds, timestamp] = SECONDS.exec(rest) ?? [];
  if (seconds !== undefined && timestamp !== undefined) {
    return { timestamp, wallMs: readStamp(timestamp)?.wallMs, payload: rest.slice(seconds.length) };
  }
  if (rest.startsWith(NO_TIME)) return { timestamp: "notimplemented", wallMs: undefined, payload: rest.slice(NO_TIME.length) };
  const [first, digits] = NANOSECONDS.exec(rest) ?? [];
  if (first === undefined || digits === undefined) return undefined;
  // Both times have as many digits: the payload may begin with one too.
  const end = first.length + digits.length;
  if (!/^\d+$/.test(rest.slice(first.length, end)) || rest.length < end) return undefined;
  return { timestamp: rest.slice(0, end), wallMs: undefined, payload: rest.slice(end) };
}
