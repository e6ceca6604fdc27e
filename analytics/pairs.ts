import type { VariableValue } from "../agent/contract/variable.ts";
import { isBlank, readNumber, readValue } from "./value.ts";

/** Where the pairs of one source go. Names are handed over as bytes, so that a name that is known costs no string. */
export interface PairSink {
  /** Comes before the pairs of each chunk: they arrived at one moment. */
  begin(): void;
  /** `value` may be infinite; the sink decides. */
  takeNumber(bytes: Buffer, nameStart: number, nameEnd: number, value: number): void;
  /** Numbers may be NaN, alone or in a list; the sink decides. */
  takeValue(bytes: Buffer, nameStart: number, nameEnd: number, value: VariableValue): void;
}

/** What one source has sent, for all its connections together. */
export interface PairCounts {
  bytes: number;
  /** Pairs stored. */
  pairs: number;
  /** No `=`, no name, an unclosed quote or bracket. */
  malformed: number;
  /** Longer than the limit. */
  tooLong: number;
  /** Cut off by the end of a connection: half a number is a wrong number. */
  torn: number;
  /** Not stored: a bad name, not a finite number, out of the declared range, no slot free. */
  refused: number;
}

export function createPairCounts(): PairCounts {
  return { bytes: 0, pairs: 0, malformed: 0, tooLong: 0, torn: 0, refused: 0 };
}

export interface PairParserOptions {
  readonly sink: PairSink;
  readonly counts: PairCounts;
  /** Bytes of one pair with its blanks; a longer one is dropped and counted. */
  readonly maxPairBytes: number;
}

/** Bytes to pairs. Knows no sockets and no files. */
export interface PairParser {
  /** Takes bytes as they come, cut anywhere; returns how many well-formed pairs they completed. */
  push(chunk: Buffer): number;
  /** The bytes were complete, as those of a file are: the last pair needs no separator. */
  finish(): void;
  /** The bytes were cut off: an unfinished pair is dropped and counted. */
  abandon(): void;
}

/** What the original sends first when it connects; text without `=`, and no mistake. */
const HANDSHAKE = new TextEncoder().encode("KERNEL_ANALYTICS_STREAMING_START");

const ORDINARY = 0;
const COMMA = 1;
/** Line feed, carriage return, and the NULs that pad the original's buffers. */
const BREAK = 2;
const OPENING = 3;
const CLOSING = 4;
const KINDS: Uint8Array = createKinds();

const EQUALS = 0x3d;
const DOUBLE_QUOTE = 0x22;
const SINGLE_QUOTE = 0x27;

const IN_NAME = 0;
const BEFORE_VALUE = 1;
const IN_VALUE = 2;
const IN_QUOTES = 3;

function createKinds(): Uint8Array {
  const kinds = new Uint8Array(256);
  for (const [characters, kind] of [
    [",", COMMA],
    ["\n\r\0", BREAK],
    ["[{", OPENING],
    ["]}", CLOSING],
  ] as const) {
    for (const character of characters) kinds[character.charCodeAt(0)] = kind;
  }
  return kinds;
}

/**
 * Reads `name=value` pairs parted by commas and line breaks (LF, CR, NUL). Blanks around names and values are dropped, empty pairs ignored; the first `=` splits.
 * A value that starts with a quote runs to the same quote, and brackets and braces protect commas; a line break ends a pair in any case, so that
 * an unclosed one costs one line. A pair longer than the limit is dropped up to the separator that would have ended it.
 */
export function createPairParser({ sink, counts, maxPairBytes }: PairParserOptions): PairParser {
  /** The start of a pair whose end has not come. */
  let carry = Buffer.alloc(Math.min(maxPairBytes, 256));
  let carried = 0;
  let dropping = false;

  let place = IN_NAME;
  let depth = 0;
  let quote = 0;
  /** Bytes of the pair before its `=`. */
  let equalsAt = 0;

  function forget(): void {
    carried = 0;
    dropping = false;
    place = IN_NAME;
    depth = 0;
  }

  /** Where the pair that has its bytes from `from` on ends; -1 when its end is not in `bytes`. */
  function findEnd(bytes: Buffer, from: number): number {
    let i = from;
    if (place === IN_NAME) {
      for (; ; i++) {
        if (i === bytes.length) return -1;
        const byte = bytes[i] as number;
        if (byte === EQUALS) break;
        const kind = KINDS[byte] as number;
        if (kind === COMMA || kind === BREAK) return i;
      }
      equalsAt = carried + i - from;
      place = BEFORE_VALUE;
      i++;
    }
    if (place === BEFORE_VALUE) i = enterValue(bytes, i);
    if (place === IN_QUOTES) i = leaveQuotes(bytes, i);
    return findValueEnd(bytes, i);
  }

  function enterValue(bytes: Buffer, from: number): number {
    let i = from;
    while (i < bytes.length && KINDS[bytes[i] as number] === ORDINARY && isBlank(bytes[i] as number)) i++;
    if (i === bytes.length) return i;
    const byte = bytes[i] as number;
    place = IN_VALUE;
    if (byte !== DOUBLE_QUOTE && byte !== SINGLE_QUOTE) return i;
    quote = byte;
    place = IN_QUOTES;
    return i + 1;
  }

  function leaveQuotes(bytes: Buffer, from: number): number {
    for (let i = from; i < bytes.length; i++) {
      const byte = bytes[i] as number;
      if (KINDS[byte] === BREAK) return i;
      if (byte !== quote) continue;
      place = IN_VALUE;
      return i + 1;
    }
    return bytes.length;
  }

  function findValueEnd(bytes: Buffer, from: number): number {
    let open = depth;
    for (let i = from; i < bytes.length; i++) {
      const kind = KINDS[bytes[i] as number] as number;
      if (kind === ORDINARY) continue;
      if (kind === OPENING) open++;
      else if (kind === BREAK || (kind === COMMA && open === 0)) {
        depth = open;
        return i;
      } else if (kind === CLOSING && open > 0) open--;
    }
    depth = open;
    return -1;
  }

  /** Adds to the pair that is not complete yet. */
  function keep(bytes: Buffer, start: number, end: number): void {
    if (dropping) return;
    const length = carried + end - start;
    if (length > maxPairBytes) {
      counts.tooLong += 1;
      dropping = true;
      return;
    }
    if (length > carry.length) {
      const larger = Buffer.alloc(Math.min(maxPairBytes, Math.max(length, carry.length * 2)));
      carry.copy(larger, 0, 0, carried);
      carry = larger;
    }
    bytes.copy(carry, carried, start, end);
    carried = length;
  }

  /** A separator came: the pair is what was carried and `bytes[start, end)`. */
  function complete(bytes: Buffer, start: number, end: number): boolean {
    let taken = false;
    if (carried === 0 && !dropping && end - start <= maxPairBytes) taken = takePair(bytes, start, end);
    else {
      keep(bytes, start, end);
      if (!dropping) taken = takePair(carry, 0, carried);
    }
    forget();
    return taken;
  }

  function takePair(bytes: Buffer, start: number, end: number): boolean {
    if (place === IN_NAME) {
      const from = firstInk(bytes, start, end);
      if (from < end && !isHandshake(bytes, from, lastInk(bytes, from, end))) counts.malformed += 1;
      return false;
    }
    const equals = start + equalsAt;
    const nameStart = firstInk(bytes, start, equals);
    const nameEnd = lastInk(bytes, nameStart, equals);
    if (nameStart === nameEnd || place === IN_QUOTES || depth > 0) {
      counts.malformed += 1;
      return false;
    }
    const valueStart = firstInk(bytes, equals + 1, end);
    const valueEnd = lastInk(bytes, valueStart, end);
    const number = readNumber(bytes, valueStart, valueEnd);
    if (Number.isNaN(number)) sink.takeValue(bytes, nameStart, nameEnd, readValue(bytes, valueStart, valueEnd));
    else sink.takeNumber(bytes, nameStart, nameEnd, number);
    return true;
  }

  return {
    push(chunk) {
      counts.bytes += chunk.length;
      sink.begin();
      let start = 0;
      let taken = 0;
      while (start < chunk.length) {
        const end = findEnd(chunk, start);
        if (end < 0) {
          keep(chunk, start, chunk.length);
          break;
        }
        if (complete(chunk, start, end)) taken += 1;
        start = end + 1;
      }
      return taken;
    },
    finish() {
      sink.begin();
      if (!dropping) takePair(carry, 0, carried);
      forget();
    },
    abandon() {
      if (firstInk(carry, 0, carried) < carried) counts.torn += 1;
      forget();
    },
  };
}

function firstInk(bytes: Buffer, start: number, end: number): number {
  let i = start;
  while (i < end && isBlank(bytes[i] as number)) i++;
  return i;
}

function lastInk(bytes: Buffer, start: number, end: number): number {
  let i = end;
  while (i > start && isBlank(bytes[i - 1] as number)) i--;
  return i;
}

function isHandshake(bytes: Buffer, start: number, end: number): boolean {
  if (end - start !== HANDSHAKE.length) return false;
  return HANDSHAKE.every((byte, i) => bytes[start + i] === byte);
}
