import { existsSync } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import { MAX_LINE, NO_HASH, readLine } from "./audit-entry.ts";
import type { ChainedEntry } from "./audit-entry.ts";

const READ_BYTES = 256 * 1024;

const LINE_FEED = 0x0a;

/** Digits of the sequence number in the name of a file that was closed: names sort as numbers do. */
const NAME_DIGITS = 15;

/** What a file is renamed to when it is closed: by the first entry in it. */
export function closedName(file: string, firstSequence: number): string {
  return `${file}.${String(firstSequence).padStart(NAME_DIGITS, "0")}`;
}

/** The closed files of a log, oldest first. Empty when the folder is not there. */
export async function closedFiles(file: string): Promise<readonly string[]> {
  const folder = dirname(file);
  const name = basename(file);
  let names: readonly string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  const closed = new RegExp(`^\\.\\d{${NAME_DIGITS}}$`);
  return names
    .filter((other) => other.startsWith(name) && closed.test(other.slice(name.length)))
    .sort()
    .map((other) => join(folder, other));
}

/** A line of one of the files. */
export interface FileLine {
  readonly file: string;
  /** From 1 on. */
  readonly number: number;
  /** Undefined when it is longer than any entry. */
  readonly text: string | undefined;
  /** Whether a line end follows: the last line of a log that is being written may lack it. */
  readonly whole: boolean;
}

/** The lines of a file, one after the other, however long the file. */
export async function* linesOf(file: string): AsyncGenerator<FileLine> {
  const handle = await open(file, "r");
  try {
    const chunk = Buffer.alloc(READ_BYTES);
    let rest: Buffer[] = [];
    let restBytes = 0;
    let number = 0;
    const lineAt = (whole: boolean): FileLine => {
      const text = restBytes > MAX_LINE ? undefined : Buffer.concat(rest).toString("utf8");
      rest = [];
      restBytes = 0;
      number += 1;
      return { file, number, text, whole };
    };
    const keep = (bytes: Buffer): void => {
      // Of a line that is too long no more is kept than shows that it is.
      if (restBytes <= MAX_LINE) rest.push(Buffer.from(bytes));
      restBytes += bytes.length;
    };
    for (let { bytesRead } = await handle.read(chunk); bytesRead > 0; { bytesRead } = await handle.read(chunk)) {
      let from = 0;
      for (let end = chunk.indexOf(LINE_FEED); end >= 0 && end < bytesRead; end = chunk.indexOf(LINE_FEED, from)) {
        keep(chunk.subarray(from, end));
        from = end + 1;
        yield lineAt(true);
      }
      if (from < bytesRead) keep(chunk.subarray(from, bytesRead));
    }
    if (restBytes > 0) yield lineAt(false);
  } finally {
    await handle.close();
  }
}

/** What following the chain through a log found. */
export interface Verification {
  /** Entries that were followed. */
  readonly entries: number;
  readonly files: number;
  /** The first and the last entry; undefined when there is none. */
  readonly first: ChainedEntry | undefined;
  readonly last: ChainedEntry | undefined;
  /** The first line that is wrong: `audit.log:17: what is wrong`. */
  readonly broken: string | undefined;
  /** What is not wrong and should be known. */
  readonly notes: readonly string[];
  /** Whether the wanted hash is that of one of the entries. */
  readonly found: boolean;
}

/** Follows the chain through all files of a log, from the oldest on, up to the first line that breaks it. `wanted`: a hash that was noted elsewhere. */
export async function verifyAudit(file: string, wanted?: string): Promise<Verification> {
  const files = await filesOf(file);
  const notes: string[] = [];
  let first: ChainedEntry | undefined;
  let last: ChainedEntry | undefined;
  let entries = 0;
  let found = false;
  let broken: string | undefined;
  for await (const line of linesOfAll(files)) {
    const place = `${line.file}:${line.number}`;
    if (!line.whole && line.file === file) {
      notes.push(`${place}: the last line is not whole: it is being written, or was torn when the agent was killed`);
      break;
    }
    const entry = followed(line, last);
    if (typeof entry === "string") {
      broken = `${place}: ${entry}`;
      break;
    }
    first ??= entry;
    last = entry;
    entries += 1;
    found ||= entry.hash === wanted;
  }
  if (first !== undefined && first.sequence > 1) notes.push(`entries before ${first.sequence} were in files that are not kept any more`);
  return { entries, files: files.length, first, last, broken, notes, found };
}

/** The files of a log that are there, oldest first. */
export async function filesOf(file: string): Promise<readonly string[]> {
  const closed = await closedFiles(file);
  return existsSync(file) ? [...closed, file] : closed;
}

export async function* linesOfAll(files: readonly string[]): AsyncGenerator<FileLine> {
  for (const file of files) yield* linesOf(file);
}

/** The entry of a line, or why it does not follow the one before. */
function followed(line: FileLine, before: ChainedEntry | undefined): ChainedEntry | string {
  const entry = line.text === undefined ? "it is longer than any entry" : readLine(line.text);
  return typeof entry === "string" ? entry : (linkMistake(entry, before) ?? entry);
}

function linkMistake(entry: ChainedEntry, before: ChainedEntry | undefined): string | undefined {
  if (before === undefined) {
    return entry.sequence === 1 && entry.previous !== NO_HASH ? "it is the first entry and names one before it" : undefined;
  }
  if (entry.sequence !== before.sequence + 1) {
    return `entry ${entry.sequence} follows entry ${before.sequence}: entries were taken out, put in or exchanged`;
  }
  return entry.previous === before.hash
    ? undefined
    : `entry ${entry.sequence} does not continue the entry before it: that one was exchanged`;
}

/** How a file ends. */
export interface Tail {
  /** The last entry that is whole and unchanged. */
  readonly last: ChainedEntry | undefined;
  /** Bytes up to the end of the last line. */
  readonly wholeBytes: number;
  /** Bytes after the last line end. */
  readonly tornBytes: number;
  /** Whole lines after `last` that are no entries: somebody, or the disk, changed them. */
  readonly damagedLines: number;
}

/** Looks at the end of a file only, whatever its size. Rejects when it cannot be read. */
export async function tailOf(file: string): Promise<Tail> {
  const handle = await open(file, "r");
  try {
    const { size } = await handle.stat();
    const from = Math.max(0, size - READ_BYTES);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - from), 0, size - from, from);
    const bytes = buffer.subarray(0, bytesRead);
    const end = bytes.lastIndexOf(LINE_FEED) + 1;
    const lines = bytes.toString("utf8", 0, Math.max(0, end - 1)).split("\n");
    // The first one may have begun before what was read.
    if (from > 0) lines.shift();
    const whole = end === 0 ? [] : lines;
    const at = whole.findLastIndex((line) => typeof readLine(line) !== "string");
    const last = at < 0 ? undefined : (readLine(whole[at] ?? "") as ChainedEntry);
    return { last, wholeBytes: from + end, tornBytes: bytes.length - end, damagedLines: whole.length - 1 - at };
  } finally {
    await handle.close();
  }
}

/** The first entry of a file; undefined when it has none that is whole. */
export async function firstOf(file: string): Promise<ChainedEntry | undefined> {
  const lines = linesOf(file);
  const next = await lines.next();
  await lines.return(undefined);
  const line = next.done === true ? undefined : next.value;
  const entry = line?.text === undefined || !line.whole ? undefined : readLine(line.text);
  return typeof entry === "string" ? undefined : entry;
}
