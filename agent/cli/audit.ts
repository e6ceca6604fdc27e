import { join } from "node:path";

import { readLine } from "../access/audit-entry.ts";
import { filesOf, linesOfAll, verifyAudit } from "../access/audit-files.ts";
import { AgentError, messageOf } from "../contract/errors.ts";
import { EXIT } from "./exit.ts";
import { stateFolder } from "./target.ts";
import { jsonText } from "./print.ts";
import type { ChainedEntry } from "../access/audit-entry.ts";
import type { CliIo } from "./io.ts";

export interface AuditCommandOptions {
  /** The agent's state folder, where the log is unless the configuration says otherwise. */
  readonly state?: string;
  readonly json?: boolean;
}

export interface AuditVerifyOptions extends AuditCommandOptions {
  /** A hash that was noted elsewhere: the log must hold it. */
  readonly hash?: string;
}

export interface AuditShowOptions extends AuditCommandOptions {
  /** A date and time, or a time before now: `2h`. */
  readonly since?: string;
}

const UNITS_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `virgo audit verify [FILE]`: follows the chain through all files of the log. */
export async function auditVerifyCommand(asked: string | undefined, options: AuditVerifyOptions, io: CliIo): Promise<number> {
  const file = await logFile(asked, options, io);
  const { entries, files, first, last, broken, notes, found } = await readable(file, () => verifyAudit(file, options.hash));
  const lost =
    options.hash !== undefined && !found ? `no entry has the hash ${options.hash}: the log was cut off, or is another` : undefined;
  const wrong = broken ?? lost;
  if (options.json === true) {
    io.out(
      jsonText({
        ok: wrong === undefined,
        file,
        entries,
        files,
        first: first?.sequence,
        last: last?.sequence,
        hash: last?.hash,
        broken: wrong,
        notes,
      }),
    );
  } else {
    for (const note of notes) io.out(`${note}\n`);
    if (broken !== undefined) io.out(`${broken}\nThe ${entries} entries before that line are as they were written.\n`);
    else if (lost !== undefined) io.out(`${lost}\n`);
    else
      io.out(
        `${entries} entries in ${files} files, ${rangeText(first, last)}: the chain is whole. Its last hash is ${last?.hash ?? "that of nothing"}.\n`,
      );
  }
  return wrong === undefined ? EXIT.ok : EXIT.failure;
}

/** `virgo audit show [FILE]`: the entries as lines for people, oldest first. */
export async function auditShowCommand(asked: string | undefined, options: AuditShowOptions, io: CliIo): Promise<number> {
  const sinceMs = options.since === undefined ? -Infinity : momentOf(options.since, io.clock.wallMs());
  const file = await logFile(asked, options, io);
  let broken = 0;
  await readable(file, async () => {
    for await (const { file: part, number, text, whole } of linesOfAll(await filesOf(file))) {
      // It is being written, or was torn: the agent puts that right.
      if (!whole && part === file) break;
      const entry = text === undefined ? "it is longer than any entry" : readLine(text);
      if (typeof entry === "string") {
        broken += 1;
        io.error(`${part}:${number}: ${entry}\n`);
      } else if (entry.lastMs >= sinceMs) {
        io.out(options.json === true ? `${text ?? ""}\n` : entryText(entry));
      }
    }
  });
  return broken === 0 ? EXIT.ok : EXIT.failure;
}

function entryText({ kind, caller, subject, detail, firstMs, lastMs, count }: ChainedEntry): string {
  const repeated = count > 1 ? `  (${count} times until ${timeText(lastMs)})` : "";
  return (
    `${timeText(firstMs)}  ${kind.padEnd(12)}  ${caller === "" ? "-" : printable(caller)}  ${printable(subject)}  ${printable(detail)}${repeated}`.trimEnd() +
    "\n"
  );
}

/** What somebody else wrote must not steer the terminal. */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]/gu, "?");
}

function timeText(wallMs: number): string {
  return Number.isFinite(wallMs) ? new Date(wallMs).toISOString() : "?";
}

function rangeText(first: ChainedEntry | undefined, last: ChainedEntry | undefined): string {
  return first === undefined || last === undefined
    ? "none"
    : `${first.sequence} to ${last.sequence}, ${timeText(first.firstMs)} to ${timeText(last.lastMs)}`;
}

async function logFile(asked: string | undefined, { state }: AuditCommandOptions, io: CliIo): Promise<string> {
  const file = asked ?? join(stateFolder(state, io.env), "audit.log");
  if ((await filesOf(file)).length > 0) return file;
  throw new AgentError("ARGUMENT", `there is no audit log ${file}; name it, or the agent's state folder with --state`);
}

async function readable<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new AgentError("ARGUMENT", `the audit log ${file} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

function momentOf(text: string, nowMs: number): number {
  const [, count, unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  if (count !== undefined) return nowMs - Number(count) * (UNITS_MS[unit] ?? 0);
  const moment = Date.parse(text);
  if (Number.isNaN(moment))
    throw new AgentError("ARGUMENT", `--since is ${text}; a date and time as 2026-01-31T12:00 or a time before now as 2h is expected`);
  return moment;
}
