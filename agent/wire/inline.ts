import type { ByteString } from "../contract/request.ts";

const BACKSLASH = 0x5c;
const DOUBLE_QUOTE = 0x22;
const SINGLE_QUOTE = 0x27;

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", b: "\b", a: "\x07" };

/**
 * Splits a line into words as Redis does for inline commands: words are parted by white space; `"…"` takes `\xHH`, `\n`, `\r`, `\t`, `\b`, `\a`
 * and a backslash before any other character; `'…'` takes `\'` only; after a closing quote white space or the end must follow.
 * Returns undefined when a quote is not closed or is followed by something else.
 */
export function splitInline(line: ByteString): ByteString[] | undefined {
  const words: ByteString[] = [];
  let at = 0;
  for (;;) {
    while (isSpace(line.charCodeAt(at))) at++;
    if (at >= line.length) return words;
    const word = readWord(line, at);
    if (word === undefined) return undefined;
    words.push(inOnePiece(word.text));
    at = word.end;
  }
}

/** Text put together character by character is a chain of pieces, each larger than what is in it; whoever keeps the word keeps them all. */
function inOnePiece(text: ByteString): ByteString {
  return Buffer.from(text, "latin1").toString("latin1");
}

interface Word {
  readonly text: ByteString;
  /** Where the line goes on. */
  readonly end: number;
}

function readWord(line: ByteString, start: number): Word | undefined {
  let text = "";
  let at = start;
  while (at < line.length && !isSpace(line.charCodeAt(at))) {
    const code = line.charCodeAt(at);
    if (code === DOUBLE_QUOTE || code === SINGLE_QUOTE) {
      const quoted = code === DOUBLE_QUOTE ? readDoubleQuoted(line, at + 1) : readSingleQuoted(line, at + 1);
      if (quoted === undefined) return undefined;
      if (quoted.end < line.length && !isSpace(line.charCodeAt(quoted.end))) return undefined;
      return { text: text + quoted.text, end: quoted.end };
    }
    text += line.charAt(at);
    at++;
  }
  return { text, end: at };
}

function readDoubleQuoted(line: ByteString, start: number): Word | undefined {
  let text = "";
  let at = start;
  while (at < line.length) {
    const code = line.charCodeAt(at);
    if (code === DOUBLE_QUOTE) return { text, end: at + 1 };
    if (code !== BACKSLASH || at + 1 >= line.length) {
      text += line.charAt(at);
      at++;
      continue;
    }
    const hex = hexByte(line, at);
    if (hex === undefined) {
      const escaped = line.charAt(at + 1);
      text += ESCAPES[escaped] ?? escaped;
      at += 2;
    } else {
      text += String.fromCharCode(hex);
      at += 4;
    }
  }
  return undefined;
}

function readSingleQuoted(line: ByteString, start: number): Word | undefined {
  let text = "";
  let at = start;
  while (at < line.length) {
    const code = line.charCodeAt(at);
    if (code === SINGLE_QUOTE) return { text, end: at + 1 };
    const escapesQuote = code === BACKSLASH && line.charCodeAt(at + 1) === SINGLE_QUOTE;
    text += escapesQuote ? "'" : line.charAt(at);
    at += escapesQuote ? 2 : 1;
  }
  return undefined;
}

/** The byte of `\xHH` at `at`, undefined when it is something else. */
function hexByte(line: ByteString, at: number): number | undefined {
  if (line.charAt(at + 1) !== "x") return undefined;
  const high = hexDigit(line.charCodeAt(at + 2));
  const low = hexDigit(line.charCodeAt(at + 3));
  return high < 0 || low < 0 ? undefined : high * 16 + low;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1;
}

/** What C's isspace takes for white space. */
function isSpace(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d);
}
