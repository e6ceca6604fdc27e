import { mkdir, open, rename, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";

import { messageOf } from "../../contract/errors.ts";
import type { Cancel, Clock } from "../../contract/clock.ts";
import type { Log } from "../../contract/log.ts";
import type { Figures } from "../../contract/request.ts";
import type { Envelope } from "./message.ts";
import { BOOTSTRAP_RECORD, RECORD_BYTES, writeRequestRecord } from "./request-reply-records.ts";

/** Records are collected for so long before they are written. */
const COLLECT_MS = 100;

/** So many are written without waiting for that. */
const COLLECT_RECORDS = 4096;

/** Beyond so many that the disk has not taken, records are left out. */
const MAX_RECORDS = 32_768;

export interface RequestReplyFileOptions {
  readonly path: string;
  /** Size at which the file is set aside as `.1`. */
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** REQUEST_REPLY.queue as the original keeps it, for people and for what reads it already. It follows the queue's own log and may lag or miss records. */
export interface RequestReplyFile {
  add(message: Envelope): void;
  figures(): Figures;
  /** Writes what was added. */
  close(): Promise<void>;
}

/** Appends to the file, from the next whole record on; the first record is the one the original writes at its start. */
export function startRequestReplyFile({ path, maxBytes, clock, log }: RequestReplyFileOptions): RequestReplyFile {
  let waiting: Envelope[] = [];
  let file: FileHandle | undefined;
  let size = 0;
  let timer: Cancel | undefined;
  let writing: Promise<void> | undefined;
  let busy = false;
  let begun = false;
  let failing = false;
  const counts = { written: 0, left_out: 0 };

  async function openFile(): Promise<FileHandle> {
    if (file !== undefined) return file;
    await mkdir(dirname(path), { recursive: true });
    const opened = await open(path, "a", 0o640);
    file = opened;
    ({ size } = await opened.stat());
    const torn = size % RECORD_BYTES;
    if (torn > 0) await append(opened, Buffer.alloc(RECORD_BYTES - torn));
    return opened;
  }

  async function append(to: FileHandle, bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const { bytesWritten } = await to.write(bytes, at);
      at += bytesWritten;
      size += bytesWritten;
    }
  }

  async function rotate(): Promise<void> {
    await file?.close();
    file = undefined;
    await rename(path, `${path}.1`);
  }

  async function write(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const to = await openFile();
      if (size > 0 && size + RECORD_BYTES > maxBytes) {
        await rotate();
        continue;
      }
      const room = Math.max(RECORD_BYTES, Math.floor((maxBytes - size) / RECORD_BYTES) * RECORD_BYTES);
      const end = Math.min(bytes.length, at + room);
      await append(to, bytes.subarray(at, end));
      at = end;
    }
  }

  async function attempt(bytes: Buffer, records: number): Promise<void> {
    try {
      await write(bytes);
      counts.written += records;
      failing = false;
    } catch (thrown) {
      counts.left_out += records;
      if (!failing) log.warn({ file: path, err: thrown }, `${path} cannot be written: ${messageOf(thrown)}; the queue itself goes on`);
      failing = true;
    }
  }

  async function writeWaiting(): Promise<void> {
    busy = true;
    if (!begun) {
      begun = true;
      await attempt(Buffer.from(BOOTSTRAP_RECORD, "latin1"), 1);
    }
    while (waiting.length > 0) {
      const messages = waiting;
      waiting = [];
      await attempt(recordsOf(messages), messages.length);
    }
    busy = false;
  }

  function flush(): void {
    timer?.();
    timer = undefined;
    if (!busy) writing = writeWaiting();
  }

  flush();

  return {
    add(message) {
      if (waiting.length >= MAX_RECORDS) {
        counts.left_out += 1;
        return;
      }
      waiting.push(message);
      if (waiting.length >= COLLECT_RECORDS) flush();
      else timer ??= clock.after(COLLECT_MS, flush);
    },
    figures: () => ({ records_written: counts.written, records_left_out: counts.left_out }),
    async close() {
      await writing;
      flush();
      await writing;
      await file?.close();
      file = undefined;
    },
  };
}

function recordsOf(messages: readonly Envelope[]): Buffer {
  const bytes = Buffer.alloc(RECORD_BYTES * messages.length);
  let offset = 0;
  for (const message of messages) {
    writeRequestRecord(message, bytes, offset);
    offset += RECORD_BYTES;
  }
  return bytes;
}
