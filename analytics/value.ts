import type { VariableValue } from "../agent/contract/variable.ts";

const TAB = 0x09;
const SPACE = 0x20;
const DOUBLE_QUOTE = 0x22;
const SINGLE_QUOTE = 0x27;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const OPENING_BRACKET = 0x5b;
const CLOSING_BRACKET = 0x5d;

/** Up to here digits add up to an integer that a double holds exactly, and one division by a power of ten rounds as the language does. */
const EXACT_DIGITS = 15;

const POWERS_OF_TEN = Float64Array.from({ length: EXACT_DIGITS + 1 }, (_, exponent) => Number(`1e${exponent}`));

const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

/** How C, Python and JavaScript print what is not a finite number. */
const NOT_FINITE = /^(?:nan|[+-]?inf(?:inity)?)$/i;
const LONGEST_WORD = "-infinity".length;

/** Blanks that may stand around names, values and the numbers of a list. */
export function isBlank(byte: number): boolean {
  return byte === SPACE || (byte >= TAB && byte <= 0x0d);
}

/** `bytes[start, end)` as text. */
export function textAt(bytes: Buffer, start: number, end: number): string {
  return bytes.toString("utf8", start, end);
}

/** The decimal number that `bytes[start, end)` spells, correctly rounded; infinity where it is too large; NaN where it spells none. */
export function readNumber(bytes: Buffer, start: number, end: number): number {
  let i = start;
  const first = bytes[i];
  if (first === MINUS || first === PLUS) i++;
  const digitsFrom = i;
  let mantissa = 0;
  let pointAt = -1;
  for (; i < end; i++) {
    const digit = (bytes[i] as number) - ZERO;
    if (digit >= 0 && digit <= 9) mantissa = mantissa * 10 + digit;
    else if (bytes[i] === POINT && pointAt < 0) pointAt = i;
    else break;
  }
  const digits = i - digitsFrom - (pointAt < 0 ? 0 : 1);
  if (digits === 0) return NaN;
  if (i < end) return readExponent(bytes, start, end);
  if (digits > EXACT_DIGITS) return Number(bytes.toString("latin1", start, end));
  const magnitude = pointAt < 0 ? mantissa : mantissa / (POWERS_OF_TEN[i - pointAt - 1] as number);
  return first === MINUS ? -magnitude : magnitude;
}

function readExponent(bytes: Buffer, start: number, end: number): number {
  const text = bytes.toString("latin1", start, end);
  return DECIMAL.test(text) ? Number(text) : NaN;
}

/**
 * The value that `bytes[start, end)`, trimmed, spells: a number, `true` or `false`, a list of numbers in `[…]`, text in quotes, or the bytes as UTF-8 text.
 * `nan` and `inf` give the number they name, alone and in lists: whoever stores it refuses it, instead of taking it for text.
 */
export function readValue(bytes: Buffer, start: number, end: number): VariableValue {
  const number = readNumber(bytes, start, end);
  if (!Number.isNaN(number)) return number;
  const first = bytes[start];
  if (first === OPENING_BRACKET) return readList(bytes, start, end) ?? textAt(bytes, start, end);
  const text = textAt(bytes, start, end);
  if (first === DOUBLE_QUOTE || first === SINGLE_QUOTE) return withoutQuotes(text);
  return end - start > LONGEST_WORD ? text : wordValue(text);
}

function wordValue(text: string): VariableValue {
  const word = text.toLowerCase();
  if (word === "true") return true;
  if (word === "false") return false;
  return NOT_FINITE.test(word) ? NaN : text;
}

/** Quotes count when the one that closes is the last character. */
function withoutQuotes(text: string): string {
  const closing = text.indexOf(text.charAt(0), 1);
  return closing === text.length - 1 ? text.slice(1, -1) : text;
}

/** Numbers between brackets, parted by blanks or one comma; undefined when anything else stands there. */
function readList(bytes: Buffer, start: number, end: number): number[] | undefined {
  if (bytes[end - 1] !== CLOSING_BRACKET) return undefined;
  const last = end - 1;
  const numbers: number[] = [];
  let i = skipBlanks(bytes, start + 1, last);
  while (i < last) {
    const from = i;
    while (i < last && bytes[i] !== COMMA && !isBlank(bytes[i] as number)) i++;
    const number = readNumber(bytes, from, i);
    if (Number.isNaN(number) && !isNotFinite(bytes, from, i)) return undefined;
    numbers.push(number);
    i = skipBlanks(bytes, i, last);
    if (bytes[i] !== COMMA) continue;
    i = skipBlanks(bytes, i + 1, last);
    if (i === last) return undefined;
  }
  return numbers;
}

function isNotFinite(bytes: Buffer, start: number, end: number): boolean {
  return end > start && end - start <= LONGEST_WORD && NOT_FINITE.test(textAt(bytes, start, end));
}

function skipBlanks(bytes: Buffer, from: number, end: number): number {
  let i = from;
  while (i < end && isBlank(bytes[i] as number)) i++;
  return i;
}

/** The value as analytics would write it: what `readValue` reads back, but for text that looks like a number, a list or a boolean. */
export function valueText(value: VariableValue): string {
  if (typeof value === "object") return `[${value.join(" ")}]`;
  return String(value);
}
