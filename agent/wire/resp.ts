import { AgentError } from "../contract/errors.ts";
import type { Limits } from "../contract/limits.ts";
import type { ByteString, Request } from "../contract/request.ts";
import type { Codec } from "./codec.ts";
import { splitInline } from "./inline.ts";
import { createInternTable, upperCase } from "./intern.ts";
import type { InternTable } from "./intern.ts";
import { formatPush, formatReply } from "./resp-format.ts";
import type { RespVersion } from "./resp-format.ts";

export type RespLimits = Pick<Limits, "maxRequestBytes" | "maxRequestArgs">;

const CR = 0x0d;
const LF = 0x0a;
const ASTERISK = 0x2a;
const DOLLAR = 0x24;
const ZERO = 0x30;

/** As in Redis: a longer line without an end is not somebody typing. */
const MAX_INLINE_BYTES = 64 * 1024;

/** Digits of a count or length; the largest limit has ten. */
const MAX_DIGITS = 10;

/** `$`, up to three digits, CR and LF. */
const SHORT_HEAD_BYTES = 6;

const INCOMPLETE = -1;
const MALFORMED = -2;

const NO_BYTES = Buffer.alloc(0);
const NO_REQUESTS: readonly Request[] = [];
const NO_ARGS: ByteString[] = [];

/** What the codecs of one listener share, so that an idle connection costs little. */
interface Words {
  readonly verbs: InternTable;
  readonly args: InternTable;
}

/**
 * Makes codecs for the modern dialect: arrays of bulk strings and inline commands in; RESP2 out, RESP3 after `HELLO 3` has been answered.
 * Requests beyond `limits` fail with LIMIT, bytes that are neither form with SYNTAX.
 */
export function createRespFactory(limits: RespLimits): () => Codec {
  const words: Words = { verbs: createInternTable(verbOf), args: createInternTable() };
  return () => createRespCodec(limits, words);
}

function createRespCodec(limits: RespLimits, words: Words): Codec {
  const parser = createParser(limits, words);
  let version: RespVersion = 2;
  return {
    push: parser.push,
    quiet: parser.end,
    awaitsSilence: false,
    get pendingBytes() {
      return parser.pendingBytes();
    },
    get failure() {
      return parser.failure();
    },
    oneShot: false,
    spoken: false,
    format(reply, request, sink) {
      // Switched here and not when HELLO is read, so that what was asked before is answered in the old version.
      if (request !== undefined && request.verb === "HELLO" && reply.kind === "value") version = versionAsked(request) ?? version;
      formatReply(reply, version, sink);
    },
    formatPush(message, sink) {
      formatPush(message, version, sink);
    },
  };
}

/** The verb in upper case, as the one string of these characters that V8 keeps for names: looking it up then compares no characters. */
function verbOf(word: ByteString): string {
  const verb = upperCase(word);
  return Object.keys({ [verb]: true })[0] ?? verb;
}

function versionAsked(hello: Request): RespVersion | undefined {
  if (hello.args[0] === "3") return 3;
  return hello.args[0] === "2" ? 2 : undefined;
}

interface Parser {
  readonly push: (chunk: Uint8Array) => readonly Request[];
  /** The peer will send nothing more: an inline command without its line end counts. */
  readonly end: () => readonly Request[];
  readonly pendingBytes: () => number;
  readonly failure: () => AgentError | undefined;
}

/**
 * Works on whole elements (array header, bulk string, line) straight in the chunk they came in. Only an element that is cut at the end of a chunk
 * is copied, and looked at again when enough has come, so that one byte at a time costs no more than linear time.
 */
function createParser(limits: RespLimits, words: Words): Parser {
  /** The element that is not complete: `carried` bytes of it; looking again before there are `wanted` is useless. */
  let carry = NO_BYTES;
  let carried = 0;
  let wanted = 0;
  /** How far a line without its end has been searched. */
  let searched = 0;
  /** The array being read: arguments still missing, those read, and bytes so far. */
  let missing = 0;
  let verb = "";
  let args = NO_ARGS;
  let size = 0;
  /** The position after what `readNumber` read. */
  let cursor = 0;
  /** The end of what `shortBulk` found. */
  let stop = 0;
  let failure: AgentError | undefined;

  function fail(code: "SYNTAX" | "LIMIT", message: string): number {
    failure = new AgentError(code, message);
    carry = NO_BYTES;
    carried = 0;
    args = NO_ARGS;
    return INCOMPLETE;
  }

  /** `digits CR LF` at `at`. */
  function readNumber(bytes: Buffer, at: number, end: number): number {
    let value = 0;
    let i = at;
    for (; i < end; i++) {
      const digit = (bytes[i] as number) - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (i - at > MAX_DIGITS) return MALFORMED;
    if (i === end) return INCOMPLETE;
    if (i === at || bytes[i] !== CR) return MALFORMED;
    if (i + 1 === end) return INCOMPLETE;
    if (bytes[i + 1] !== LF) return MALFORMED;
    cursor = i + 2;
    return value;
  }

  /** `*count`, the head of a request. Returns where the next element starts, INCOMPLETE when it is cut or wrong. */
  function readHeader(bytes: Buffer, at: number, end: number): number {
    const count = readNumber(bytes, at + 1, end);
    if (count === INCOMPLETE) return INCOMPLETE;
    if (count === MALFORMED) return fail("SYNTAX", `after * the number of arguments must follow, not ${seen(bytes, at + 1, end)}`);
    if (count > limits.maxRequestArgs) {
      return fail("LIMIT", `a request of ${count} arguments is refused; limits.maxRequestArgs is ${limits.maxRequestArgs}`);
    }
    missing = count;
    size = cursor - at;
    verb = "";
    args = NO_ARGS;
    return cursor;
  }

  /** `$length` and as many bytes. */
  function readBulk(bytes: Buffer, at: number, end: number): number {
    if (bytes[at] !== DOLLAR) return fail("SYNTAX", `an argument must start with $ and its length, not ${seen(bytes, at, end)}`);
    const length = readNumber(bytes, at + 1, end);
    if (length === INCOMPLETE) return INCOMPLETE;
    if (length === MALFORMED) return fail("SYNTAX", `after $ the length of an argument must follow, not ${seen(bytes, at + 1, end)}`);
    const start = cursor;
    const stopAt = start + length;
    if (size + stopAt + 2 - at > limits.maxRequestBytes) {
      return fail("LIMIT", `a request with an argument of ${length} bytes is refused; limits.maxRequestBytes is ${limits.maxRequestBytes}`);
    }
    if (stopAt + 2 > end) {
      wanted = stopAt + 2 - at;
      return INCOMPLETE;
    }
    if (bytes[stopAt] !== CR || bytes[stopAt + 1] !== LF) {
      return fail("SYNTAX", `an argument of ${length} bytes must end with CR LF, not ${seen(bytes, stopAt, end)}`);
    }
    takeArgument(bytes, start, stopAt);
    size += stopAt + 2 - at;
    return stopAt + 2;
  }

  function takeArgument(bytes: Buffer, start: number, stop: number): void {
    if (args === NO_ARGS) {
      verb = words.verbs.text(bytes, start, stop);
      args = [];
    } else if (isSecretive(verb)) {
      args.push(bytes.toString("latin1", start, stop));
    } else {
      args.push(words.args.text(bytes, start, stop));
    }
    missing -= 1;
  }

  /** A line typed by hand. */
  function readInline(bytes: Buffer, at: number, end: number, requests: Request[]): number {
    const most = Math.min(MAX_INLINE_BYTES, limits.maxRequestBytes);
    const lineEnd = bytes.indexOf(LF, at + searched);
    if ((lineEnd < 0 || lineEnd >= end ? end : lineEnd) - at > most) {
      return fail("LIMIT", `a line of more than ${most} bytes is refused; send an array of bulk strings instead`);
    }
    if (lineEnd < 0 || lineEnd >= end) {
      searched = end - at;
      return INCOMPLETE;
    }
    searched = 0;
    takeLine(bytes.toString("latin1", at, lineEnd > at && bytes[lineEnd - 1] === CR ? lineEnd - 1 : lineEnd), requests);
    return failure === undefined ? lineEnd + 1 : INCOMPLETE;
  }

  function takeLine(line: ByteString, requests: Request[]): void {
    const split = splitInline(line);
    if (split === undefined) {
      fail("SYNTAX", `a quote is not closed, or something follows it without a space, in ${quoted(line)}`);
    } else if (split.length > limits.maxRequestArgs) {
      fail("LIMIT", `a request of ${split.length} arguments is refused; limits.maxRequestArgs is ${limits.maxRequestArgs}`);
    } else if (split.length > 0) {
      requests.push({ verb: upperCase(split[0] as string), args: split.slice(1) });
    }
  }

  /** Where the bytes of the bulk string at `at` begin, and in `stop` where they end; INCOMPLETE unless it is short, whole and right. */
  function shortBulk(bytes: Buffer, at: number, end: number): number {
    if (at + SHORT_HEAD_BYTES > end || bytes[at] !== DOLLAR) return INCOMPLETE;
    let length = 0;
    let i = at + 1;
    for (; i < at + SHORT_HEAD_BYTES - 2; i++) {
      const digit = (bytes[i] as number) - ZERO;
      if (digit < 0 || digit > 9) break;
      length = length * 10 + digit;
    }
    if (i === at + 1 || bytes[i] !== CR || bytes[i + 1] !== LF) return INCOMPLETE;
    stop = i + 2 + length;
    if (stop + 2 > end || bytes[stop] !== CR || bytes[stop + 1] !== LF) return INCOMPLETE;
    return i + 2;
  }

  /**
   * A request of one to three short words that is here whole, which is what most are: taken in one go. Returns where the next request starts. Anything else,
   * also what is wrong, is INCOMPLETE, changes nothing, and is left to `readHeader`.
   */
  function readShort(bytes: Buffer, at: number, end: number, requests: Request[]): number {
    const count = (bytes[at + 1] as number) - ZERO;
    if (at + 4 > end || count < 1 || count > 3 || bytes[at + 2] !== CR || bytes[at + 3] !== LF) return INCOMPLETE;
    const start = shortBulk(bytes, at + 4, end);
    if (start === INCOMPLETE) return INCOMPLETE;
    const word = words.verbs.text(bytes, start, stop);
    if (count === 1) requests.push({ verb: word, args: NO_ARGS });
    else if (!readShortArgs(bytes, at, end, count, word, requests)) return INCOMPLETE;
    return stop + 2;
  }

  function readShortArgs(bytes: Buffer, at: number, end: number, count: number, word: string, requests: Request[]): boolean {
    if (isSecretive(word)) return false;
    const first = shortBulk(bytes, stop + 2, end);
    const firstStop = stop;
    if (first === INCOMPLETE || stop + 2 - at > limits.maxRequestBytes) return false;
    if (count === 2) {
      requests.push({ verb: word, args: [words.args.text(bytes, first, firstStop)] });
      return true;
    }
    const second = shortBulk(bytes, stop + 2, end);
    if (second === INCOMPLETE || stop + 2 - at > limits.maxRequestBytes) return false;
    requests.push({ verb: word, args: [words.args.text(bytes, first, firstStop), words.args.text(bytes, second, stop)] });
    return true;
  }

  /** Reads what is whole in the first `end` bytes; returns how many were used. */
  function parse(bytes: Buffer, end: number, requests: Request[]): number {
    let at = 0;
    while (at < end) {
      let next: number;
      if (missing > 0) {
        next = readBulk(bytes, at, end);
        if (next > 0 && missing === 0) {
          requests.push({ verb, args });
          args = NO_ARGS;
        }
      } else if (bytes[at] === ASTERISK) {
        next = readShort(bytes, at, end, requests);
        if (next === INCOMPLETE) next = readHeader(bytes, at, end);
      } else {
        next = readInline(bytes, at, end, requests);
      }
      if (next === INCOMPLETE) break;
      at = next;
    }
    return at;
  }

  function append(chunk: Buffer): void {
    const needed = carried + chunk.length;
    if (needed > carry.length) {
      // Doubled and no more, but not past what is known to come: a declared length alone reserves nothing.
      const doubled = wanted > 0 ? Math.min(2 * carry.length, wanted) : 2 * carry.length;
      const grown = Buffer.allocUnsafe(Math.max(needed, doubled));
      carry.copy(grown, 0, 0, carried);
      carry = grown;
    }
    chunk.copy(carry, carried);
    carried = needed;
  }

  function keep(bytes: Buffer, from: number, end: number): void {
    carried = end - from;
    carry = carried === 0 ? NO_BYTES : Buffer.from(bytes.subarray(from, end));
  }

  function read(bytes: Buffer, end: number): readonly Request[] {
    wanted = 0;
    const requests: Request[] = [];
    const used = parse(bytes, end, requests);
    if (failure !== undefined) return requests;
    if (bytes !== carry || used > 0) keep(bytes, used, end);
    return requests;
  }

  return {
    push(chunk) {
      if (failure !== undefined || chunk.length === 0) return NO_REQUESTS;
      const bytes = asBuffer(chunk);
      if (carried === 0) return read(bytes, bytes.length);
      append(bytes);
      return carried < wanted ? NO_REQUESTS : read(carry, carried);
    },
    end() {
      if (failure !== undefined || carried === 0 || missing > 0 || carry[0] === ASTERISK) return NO_REQUESTS;
      const requests: Request[] = [];
      takeLine(carry.toString("latin1", 0, carried), requests);
      carried = 0;
      carry = NO_BYTES;
      return requests;
    },
    pendingBytes: () => (missing > 0 ? size + carried : carried),
    failure: () => failure,
  };
}

/** Its arguments are tokens, which are not to be kept in a table. */
function isSecretive(verb: string): boolean {
  return verb.length > 3 && (verb === "AUTH" || verb === "HELLO");
}

function asBuffer(chunk: Uint8Array): Buffer {
  return Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
}

/** What came instead of what was expected, for an error. */
function seen(bytes: Buffer, at: number, end: number): string {
  return quoted(bytes.toString("latin1", at, Math.min(end, at + 40)));
}

/** Quoted, the start of it, every byte that is not printable ASCII as an escape. */
function quoted(text: ByteString): string {
  const start = JSON.stringify(text.slice(0, 32)).replaceAll(/[^ -~]/g, (byte) => `\\u00${byte.charCodeAt(0).toString(16)}`);
  return text.length > 32 ? `${start}…` : start;
}
