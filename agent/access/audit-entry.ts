import { createHash } from "node:crypto";

import type { AuditKind } from "../contract/audit.ts";

/** `gap`: entries were lost. `repair`: something was wrong with the file when it was opened. */
export type EntryKind = AuditKind | "lease-end" | "gap" | "repair";

/** What happened, once or again and again. */
export interface AuditEntry {
  readonly kind: EntryKind;
  readonly caller: string;
  readonly subject: string;
  readonly detail: string;
  /** When it happened first. */
  readonly firstMs: number;
  /** When it happened the last time, and how often: 1 unless it was repeated. */
  readonly lastMs: number;
  readonly count: number;
}

/** An entry at its place in the chain. */
export interface ChainedEntry extends AuditEntry {
  readonly sequence: number;
  /** The hash of the line before. */
  readonly previous: string;
  readonly hash: string;
}

/** Before the first line of all. */
export const NO_HASH = "0".repeat(64);

const HASH_FIELD = ',"hash":"';
const HASH_END = '"}';
const HASH_CHARACTERS = 64;

/** The fields are clipped to these, so that a line is never longer than a reader expects. */
const MAX_NAME = 256;
const MAX_DETAIL = 1024;

/** Characters of a line: six for each of a control character. */
export const MAX_LINE = 6 * (2 * MAX_NAME + MAX_DETAIL) + 1024;

/** A line without its line end, and its hash: the SHA-256 of all that stands before `,"hash":`, the hash of the line before among it. */
export function lineOf(entry: AuditEntry, sequence: number, previous: string): { readonly line: string; readonly hash: string } {
  const { kind, caller, subject, detail, firstMs, lastMs, count } = entry;
  const fields = {
    seq: sequence,
    time: timeText(firstMs),
    kind,
    caller: clipped(caller, MAX_NAME),
    subject: clipped(subject, MAX_NAME),
    detail: clipped(detail, MAX_DETAIL),
    ...(count > 1 && { count, until: timeText(lastMs) }),
    prev: previous,
  };
  const head = JSON.stringify(fields).slice(0, -1);
  const hash = hashOf(head);
  return { line: `${head}${HASH_FIELD}${hash}${HASH_END}`, hash };
}

/** The entry of a line, or what is wrong with it by itself. */
export function readLine(line: string): ChainedEntry | string {
  const at = line.length - HASH_END.length - HASH_CHARACTERS - HASH_FIELD.length;
  if (at < 0 || !line.startsWith(HASH_FIELD, at) || !line.endsWith(HASH_END)) return "it is no entry";
  const hash = line.slice(at + HASH_FIELD.length, -HASH_END.length);
  if (hashOf(line.slice(0, at)) !== hash) return "it was changed: its hash is not that of its text";
  try {
    return entryOf(JSON.parse(line) as Readonly<Record<string, unknown>>, hash);
  } catch {
    return "it is no entry";
  }
}

function entryOf(fields: Readonly<Record<string, unknown>>, hash: string): ChainedEntry {
  const text = (name: string): string => {
    const value = fields[name];
    return typeof value === "string" ? value : "";
  };
  const firstMs = Date.parse(text("time"));
  return {
    sequence: Number(fields["seq"]),
    kind: text("kind") as EntryKind,
    caller: text("caller"),
    subject: text("subject"),
    detail: text("detail"),
    firstMs,
    lastMs: text("until") === "" ? firstMs : Date.parse(text("until")),
    count: Number(fields["count"] ?? 1),
    previous: text("prev"),
    hash,
  };
}

function hashOf(text: string): string {
  return createHash("sha256").update(text, "utf8").digest("hex");
}

/** A clock that was never set must not keep the line from being written. */
function timeText(wallMs: number): string {
  return Math.abs(wallMs) <= 8.64e15 ? new Date(wallMs).toISOString() : new Date(0).toISOString();
}

function clipped(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}
