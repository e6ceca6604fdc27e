// What is written says of itself what it is and how long, so that a part of it, or a mixture of two, is seen to be one.

/** One written thing: the `number`-th of what is called `name`. */
export interface RecordId {
  readonly name: string;
  readonly number: number;
}

/** What was found: a whole record, or bytes that are none. */
export type Found = RecordId | "torn";

const HEAD = /^([a-z][a-z0-9-]{0,30}):(\d{1,10}):(\d{1,7}):/;

/** Longest head of a record. */
const HEAD_BYTES = 64;

const PATTERN_BYTES = 8192;

/** Bytes of every value, in an order that does not repeat early. */
const PATTERN = patternText();

function patternText(): string {
  let state = 1;
  let text = "";
  while (text.length < PATTERN_BYTES) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    text += String.fromCharCode((state >>> 16) & 0xff);
  }
  return text;
}

/** Filler that differs from record to record. */
function filler(id: RecordId, bytes: number): string {
  let from = id.number * 131;
  for (let i = 0; i < id.name.length; i++) from = from * 31 + id.name.charCodeAt(i);
  from %= PATTERN_BYTES;
  return PATTERN.repeat(Math.ceil((from + bytes) / PATTERN_BYTES)).slice(from, from + bytes);
}

/** The record's bytes, one character each; at least as many as its head needs. */
export function recordText(id: RecordId, bytes: number): string {
  const most = Math.max(bytes, id.name.length + 20);
  const head = `${id.name}:${id.number}:${most}:`;
  return head + filler(id, most - head.length);
}

/** The record that starts at `at`, and where it ends; undefined when there is none or only a part of one. */
function recordAt(text: string, at: number): { readonly id: RecordId; readonly end: number } | undefined {
  const [, name, number, length] = HEAD.exec(text.slice(at, at + HEAD_BYTES)) ?? [];
  if (name === undefined) return undefined;
  const id = { name, number: Number(number) };
  const end = at + Number(length);
  return text.slice(at, end) === recordText(id, Number(length)) ? { id, end } : undefined;
}

/** What `text` is: one record and nothing else, or torn. */
export function readRecord(text: string): Found {
  const found = recordAt(text, 0);
  return found?.end === text.length ? found.id : "torn";
}

/** Records one after the other, and what is left at the end that is no whole record. */
export function readRecords(text: string): { readonly records: readonly RecordId[]; readonly rest: string } {
  const records: RecordId[] = [];
  let at = 0;
  for (let found = recordAt(text, at); found !== undefined; found = recordAt(text, at)) {
    records.push(found.id);
    at = found.end;
  }
  return { records, rest: text.slice(at) };
}
