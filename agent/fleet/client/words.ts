import type { Value } from "../../contract/value.ts";
import type { Word } from "../connection.ts";

/** What a word of a request can be made of: text, numbers and truth values as text, bytes as they are. */
export type Argument = string | number | boolean | bigint | Uint8Array;

export function wordOf(argument: Argument): Word {
  return typeof argument === "string" || argument instanceof Uint8Array ? argument : String(argument);
}

/** `LEASE 500 …` for the options that are there. */
export function optionWords(options: Readonly<Record<string, Argument | undefined>>): Word[] {
  return Object.entries(options).flatMap(([name, value]) => (value === undefined ? [] : [name, wordOf(value)]));
}

/** Data as bytes, whatever the answer made of it: text comes as text where it is UTF-8. */
export function bytesIn(value: Value | undefined): Buffer {
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.length) : Buffer.from(textIn(value));
}

/** Data as text; what is not UTF-8 in it becomes U+FFFD. */
export function textIn(value: Value | undefined): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("utf8");
  return typeof value === "object" || value === undefined ? "" : String(value);
}
