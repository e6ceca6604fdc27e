import { constants } from "node:fs";
import { mkdir, open, rename, rm, truncate } from "node:fs/promises";
import { dirname } from "node:path";
import type { FileHandle } from "node:fs/promises";

import { AgentError, messageOf } from "../contract/errors.ts";
import { lineOf, NO_HASH } from "./audit-entry.ts";
import { closedFiles, closedName, firstOf, tailOf } from "./audit-files.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";
import type { Figures } from "../contract/request.ts";
import type { AuditEntry, ChainedEntry } from "./audit-entry.ts";
import type { Tail } from "./audit-files.ts";

export interface AuditWriterOptions {
  readonly file: string;
  readonly maxBytes: number;
  readonly maxFiles: number;
  /** Entries that may wait for the disk. */
  readonly maxWaiting: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Opens the file for writing, and makes it when it is not there; Node's own when absent. */
  readonly openFile?: (file: string) => Promise<AuditFile>;
}

/** What is done to an open file. */
export type AuditFile = Pick<FileHandle, "write" | "truncate" | "datasync" | "stat" | "close">;

/** The chain on disk, and what of it is still to be written. */
export interface AuditWriter {
  /** The entry the chain went on from; undefined when it is new. */
  readonly resumed: ChainedEntry | undefined;
  /** What was wrong with the file and was put right, one line each. */
  readonly repairs: readonly string[];
  append(entry: AuditEntry): void;
  /** Resolves when everything appended is on disk, or cannot be put there now. */
  flush(): Promise<void>;
  figures(): Figures;
  /** The same, and lets go of the file. */
  close(): Promise<void>;
}

/** What happens within this time is written at once. */
const WRITE_AFTER_MS = 200;

/** Or as soon as there is this much of it. */
const WRITE_AT_ENTRIES = 256;

/** Entries that become one write. */
const MAX_BATCH = 512;

/** Between two syncs; a file of flash memory is not to be worn by every button that somebody presses. */
const SYNC_EVERY_MS = 1000;

/** Until a disk that took nothing is tried again. */
const RETRY_MS = 1000;

/** The same trouble is logged at most this often. */
const LOG_EVERY_MS = 60_000;

/** Entries that were lost because too many waited: one entry stands for them. */
interface Gap {
  entry: AuditEntry;
  count: number;
}

/** Opens the log where it ended. Rejects IO when the file can be neither read nor made. */
export async function openAuditWriter(options: AuditWriterOptions): Promise<AuditWriter> {
  const { file } = options;
  try {
    await mkdir(dirname(file), { recursive: true });
    return await openRecovered(options, await recover(file));
  } catch (error) {
    throw new AgentError("IO", `the audit log ${file} cannot be opened: ${messageOf(error)}; choose another with audit.file`, {
      cause: error,
    });
  }
}

async function openRecovered(options: AuditWriterOptions, { last: resumed, repairs }: Recovered): Promise<AuditWriter> {
  const { file, maxBytes, maxFiles, maxWaiting, clock, log } = options;
  let sequence = resumed?.sequence ?? 0;
  let previous = resumed?.hash ?? NO_HASH;
  let handle: AuditFile | undefined;
  let size = 0;
  let files = 0;
  let waiting: AuditEntry[] = [];
  let gap: Gap | undefined;
  let writing: Promise<void> | undefined;
  let cancelWrite: Cancel | undefined;
  let cancelSync: Cancel | undefined;
  let unsynced = false;
  let syncedMs = -Infinity;
  let loggedMs = -Infinity;
  let troubled = false;
  let closed = false;
  const counts = { written: 0, lost: 0, failures: 0 };
  await openFile();

  async function openFile(): Promise<AuditFile> {
    if (handle !== undefined) return handle;
    const opened = await (options.openFile ?? openForWriting)(file);
    handle = opened;
    ({ size } = await opened.stat());
    files = (await closedFiles(file)).length + 1;
    return opened;
  }

  /** Closes the file under another name, and takes the oldest away. The chain goes on in the next. */
  async function rotate(): Promise<void> {
    const first = await firstOf(file);
    const old = await openFile();
    await old.datasync();
    handle = undefined;
    await old.close();
    await rename(file, closedName(file, first?.sequence ?? sequence));
    await openFile();
    log.info({ file, sequence, hash: previous }, "the audit log goes on in a new file");
    const kept = await closedFiles(file);
    for (const oldest of kept.slice(0, Math.max(0, kept.length - (maxFiles - 1)))) await rm(oldest, { force: true });
  }

  function scheduleWrite(delayMs: number): void {
    cancelWrite ??= clock.after(delayMs, () => {
      cancelWrite = undefined;
      void write();
    });
  }

  /** One at a time; whoever calls meanwhile waits for the same end. */
  function write(): Promise<void> {
    cancelWrite?.();
    cancelWrite = undefined;
    writing ??= writeAll().finally(() => {
      writing = undefined;
    });
    return writing;
  }

  async function writeAll(): Promise<void> {
    try {
      while (waiting.length > 0) await writeBatch();
      if (troubled) log.info({ file, lost: counts.lost }, "the audit log is written again");
      troubled = false;
    } catch (error) {
      fail(error);
    }
  }

  async function writeBatch(): Promise<void> {
    // An open gap is the last that waits; it is written when nothing else is left to be, and is then not added to any more.
    if (gap !== undefined && waiting.length === 1) gap = undefined;
    const batch = waiting.slice(0, gap === undefined ? MAX_BATCH : Math.min(MAX_BATCH, waiting.length - 1));
    let at = { sequence, previous };
    let text = "";
    for (const entry of batch) {
      const { line, hash } = lineOf(entry, at.sequence + 1, at.previous);
      at = { sequence: at.sequence + 1, previous: hash };
      text += `${line}\n`;
    }
    const bytes = Buffer.from(text, "utf8");
    if (size > 0 && size + bytes.length > maxBytes) await rotate();
    await writeAt(await openFile(), bytes);
    size += bytes.length;
    ({ sequence, previous } = at);
    waiting = waiting.slice(batch.length);
    counts.written += batch.length;
    unsynced = true;
    await syncInTime();
  }

  /** All of it or, as far as the disk lets us, nothing. */
  async function writeAt(to: AuditFile, bytes: Buffer): Promise<void> {
    try {
      // What the last attempt may have left there.
      if (troubled) await to.truncate(size);
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await to.write(bytes, done, bytes.length - done, size + done);
        done += bytesWritten;
      }
    } catch (error) {
      // Takes no space, so it works on a full disk as well.
      await to.truncate(size);
      throw error;
    }
  }

  async function syncInTime(): Promise<void> {
    const leftMs = syncedMs + SYNC_EVERY_MS - clock.monotonicMs();
    if (leftMs <= 0) await sync();
    else
      cancelSync ??= clock.after(leftMs, () => {
        cancelSync = undefined;
        sync().catch(fail);
      });
  }

  async function sync(): Promise<void> {
    if (!unsynced || handle === undefined) return;
    unsynced = false;
    syncedMs = clock.monotonicMs();
    await handle.datasync();
    if ((await handle.stat()).nlink > 0) return;
    log.error({ file, sequence, hash: previous }, "the audit log was deleted by somebody; it goes on in a new file");
    const deleted = handle;
    handle = undefined;
    await deleted.close();
    await openFile();
  }

  async function flush(): Promise<void> {
    await writing;
    await write();
    try {
      await sync();
    } catch (error) {
      fail(error);
    }
  }

  function fail(error: unknown): void {
    counts.failures += 1;
    troubled = true;
    const nowMs = clock.monotonicMs();
    if (nowMs - loggedMs >= LOG_EVERY_MS) {
      loggedMs = nowMs;
      log.error(
        { file, waiting: waiting.length, lost: counts.lost },
        `the audit log cannot be written: ${messageOf(error)}; it is tried again`,
      );
    }
    if (!closed) scheduleWrite(RETRY_MS);
  }

  /** The newest are lost, and an entry says how many, so that nobody takes silence for peace. */
  function lose({ lastMs, count }: AuditEntry): void {
    counts.lost += count;
    if (gap === undefined) {
      const entry = { kind: "gap", caller: "", subject: "audit", detail: "", firstMs: lastMs, lastMs, count: 1 } as const;
      gap = { entry, count: 0 };
      waiting.push(entry);
    }
    gap.count += count;
    const detail = `${gap.count} lost until ${new Date(lastMs).toISOString()}: ${maxWaiting} waited for the disk already`;
    const told = { ...gap.entry, detail };
    waiting[waiting.length - 1] = told;
    gap.entry = told;
  }

  return {
    resumed,
    repairs,
    append(entry) {
      if (waiting.length >= maxWaiting) {
        lose(entry);
        return;
      }
      gap = undefined;
      waiting.push(entry);
      if (troubled) return;
      if (waiting.length === WRITE_AT_ENTRIES) void write();
      else scheduleWrite(WRITE_AFTER_MS);
    },
    flush,
    figures: () => ({ file, ...counts, waiting: waiting.length, sequence, bytes: size, files, hash: previous }),
    async close() {
      closed = true;
      await flush();
      cancelWrite?.();
      cancelSync?.();
      if (waiting.length > 0)
        log.error({ file, waiting: waiting.length }, `${waiting.length} entries of the audit log could not be written`);
      else log.info({ file, sequence, hash: previous }, "the audit log ends here");
      await handle?.close();
    },
  };
}

/** Where an existing log ends, and what had to be put right to go on there. */
interface Recovered {
  readonly last: ChainedEntry | undefined;
  readonly repairs: readonly string[];
}

/** Readable by the agent alone; never through a link that somebody laid. */
function openForWriting(file: string): Promise<FileHandle> {
  return open(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
}

/** Where the chain ends. What was torn by a crash is cut off; what was changed otherwise is put aside as it is, for `virgo audit verify` to find. */
async function recover(file: string): Promise<Recovered> {
  const closed = await closedFiles(file);
  const repairs: string[] = [];
  const before = closed.at(-1);
  const beforeTail = before === undefined ? undefined : await tailOf(before);
  const tail = await tailIfThere(file);
  if (tail === undefined) return { last: beforeTail?.last, repairs };
  if (tail.damagedLines > 0) {
    const aside = closedName(file, (await firstOf(file))?.sequence ?? (beforeTail?.last?.sequence ?? 0) + 1);
    await rename(file, aside);
    repairs.push(
      `the last ${tail.damagedLines} lines of ${aside} are no entries; the chain goes on in a new file from the entry before them`,
    );
  } else if (tail.tornBytes > 0) {
    await truncate(file, tail.wholeBytes);
    repairs.push(`the last line was torn: ${tail.tornBytes} bytes were cut off`);
  }
  return { last: tail.last ?? beforeTail?.last, repairs };
}

async function tailIfThere(file: string): Promise<Tail | undefined> {
  try {
    return await tailOf(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
