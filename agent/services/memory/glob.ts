import type { ByteString } from "../../contract/request.ts";

/** One place of a pattern: any characters, or one character out of a set. */
type Part = "any" | { readonly negated: boolean; readonly ranges: readonly (readonly [low: number, high: number])[] };

const EVERY_BYTE: Part = { negated: true, ranges: [] };

/** Says whether a key matches a pattern as KEYS of Redis has it: `*`, `?`, `[a-z]`, `[^a]`, and a backslash before what is meant as it is. */
export function createGlob(pattern: ByteString): (key: ByteString) => boolean {
  const parts = parse(pattern);
  const first = parts.indexOf("any");
  if (first === parts.length - 1 && /^[^?*[\\]*\*$/.test(pattern)) {
    const prefix = pattern.slice(0, -1);
    return (key) => key.startsWith(prefix);
  }
  return (key) => matches(parts, key);
}

function parse(pattern: ByteString): readonly Part[] {
  const parts: Part[] = [];
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern.charAt(at);
    if (char === "*") {
      if (parts.at(-1) !== "any") parts.push("any");
    } else if (char === "?") {
      parts.push(EVERY_BYTE);
    } else if (char === "[") {
      const { part, end } = parseSet(pattern, at + 1);
      parts.push(part);
      at = end;
    } else {
      if (char === "\\" && at + 1 < pattern.length) at += 1;
      parts.push(only(pattern.charCodeAt(at)));
    }
  }
  return parts;
}

function only(code: number): Part {
  return { negated: false, ranges: [[code, code]] };
}

/** What stands between brackets; a missing `]` means "to the end". */
function parseSet(pattern: ByteString, start: number): { readonly part: Part; readonly end: number } {
  const ranges: [number, number][] = [];
  let at = start;
  const negated = pattern.charAt(at) === "^";
  if (negated) at += 1;
  while (at < pattern.length && pattern.charAt(at) !== "]") {
    if (pattern.charAt(at) === "\\" && at + 1 < pattern.length) at += 1;
    const low = pattern.charCodeAt(at);
    const isRange = pattern.charAt(at + 1) === "-" && at + 2 < pattern.length && pattern.charAt(at + 2) !== "]";
    const high = isRange ? pattern.charCodeAt(at + 2) : low;
    ranges.push([Math.min(low, high), Math.max(low, high)]);
    at += isRange ? 3 : 1;
  }
  return { part: { negated, ranges }, end: at };
}

function holds(part: Exclude<Part, "any">, code: number): boolean {
  return part.ranges.some(([low, high]) => code >= low && code <= high) !== part.negated;
}

/** Goes back to the latest `*` only: no more steps than the pattern is long times the key. */
function matches(parts: readonly Part[], key: ByteString): boolean {
  let p = 0;
  let k = 0;
  let star = -1;
  let resumeAt = 0;
  while (k < key.length) {
    const part = parts[p];
    if (part === "any") {
      star = p++;
      resumeAt = k;
    } else if (part !== undefined && holds(part, key.charCodeAt(k))) {
      p++;
      k++;
    } else if (star >= 0) {
      p = star + 1;
      k = ++resumeAt;
    } else return false;
  }
  while (parts[p] === "any") p++;
  return p === parts.length;
}
