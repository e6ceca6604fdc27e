import { open, rename, rm, type FileHandle } from "node:fs/promises";

import { messageOf } from "../../agent/contract/errors.ts";
import { pairText } from "./lines.ts";
import { createSelection } from "./selection.ts";
import { createSinkCounts, rulesOf, type Sink, type SinkOptions } from "./sink.ts";
import type { Cancel } from "../../agent/contract/clock.ts";
import type { Variable } from "../../agent/contract/variable.ts";
import type { FileSinkOptions } from "./options.ts";

export interface FileSinkStart extends SinkOptions, Pick<FileSinkOptions, "rotate" | "fsync" | "maxBacklogBytes" | "retryMs"> {
  readonly path: string;
}

/** An open file, as far as it is known to be complete. */
interface Target {
  readonly handle: FileHandle;
  byteLength: number;
  /** Wall clock. */
  readonly sinceMs: number;
}

/**
 * Adds one line to a file for what is sent together: `time=2026-01-31T10:00:00.000Z,speed=1.5,gear=D`, which `file` sources read as well. What has become too large or too
 * old is put aside as `FILE.1`, what was that as `FILE.2` and so on. While the disk is slow, full or gone, lines wait up to `maxBacklogBytes`, further ones are left
 * out and counted; the device never has to wait for it. No half line stays in the file.
 */
export function startFileSink(options: FileSinkStart): Sink {
  const { path, rotate, fsync, maxBacklogBytes, retryMs, variables, selected, clock, log } = options;
  const name = `file ${path}`;
  const counts = createSinkCounts();
  let target: Target | undefined;
  let backlog: Buffer[] = [];
  let backlogBytes = 0;
  let writing: Promise<void> | undefined;
  let cancelRetry: Cancel | undefined;
  let failing = false;
  let closed = false;
  const selection = createSelection({ variables, rules: rulesOf(selected), clock, emit });

  function emit(batch: readonly Variable[]): void {
    let text = `time=${new Date(clock.wallMs()).toISOString()}`;
    for (const { name: variable, value } of batch) text += `,${pairText(variable, value)}`;
    const line = Buffer.from(`${text}\n`);
    if (backlogBytes + line.length > maxBacklogBytes) {
      counts.dropped += batch.length;
      return;
    }
    backlog.push(line);
    backlogBytes += line.length;
    if (cancelRetry === undefined) writing ??= writeAll();
  }

  /** Writes until nothing waits, or until it fails. */
  async function writeAll(): Promise<void> {
    try {
      while (backlog.length > 0) await writeOnce();
      if (failing) log.info({ sink: name }, `${name}: written again`);
      failing = false;
    } catch (error) {
      await fail(error);
    } finally {
      writing = undefined;
    }
  }

  async function writeOnce(): Promise<void> {
    target ??= await openTarget(path, clock.wallMs());
    if (isFull(target)) target = await putAside(target);
    const lines = backlog;
    const bytes = Buffer.concat(lines);
    backlog = [];
    try {
      await writeWholly(target, bytes);
      if (fsync === "always") await target.handle.datasync();
    } catch (error) {
      backlog = [...lines, ...backlog];
      throw error;
    }
    backlogBytes -= bytes.length;
    counts.lines += lines.length;
    counts.bytes += bytes.length;
  }

  function isFull({ byteLength, sinceMs }: Target): boolean {
    return (
      byteLength >= rotate.maxBytes || (rotate.maxAgeMs !== undefined && byteLength > 0 && clock.wallMs() - sinceMs >= rotate.maxAgeMs)
    );
  }

  async function putAside({ handle }: Target): Promise<Target> {
    target = undefined;
    if (fsync !== "never") await handle.sync();
    await handle.close();
    await shift(path, rotate.keep);
    return openTarget(path, clock.wallMs());
  }

  async function fail(error: unknown): Promise<void> {
    counts.errors += 1;
    counts.lastError = messageOf(error);
    if (!failing) log.error({ sink: name, err: error }, `${name}: ${messageOf(error)}; trying again every ${retryMs} ms`);
    failing = true;
    const broken = target;
    target = undefined;
    await broken?.handle.close().catch((closing: unknown) => {
      log.debug({ sink: name, err: closing }, `${name}: ${messageOf(closing)}`);
    });
    if (closed) return;
    cancelRetry = clock.after(retryMs, () => {
      cancelRetry = undefined;
      writing ??= writeAll();
    });
  }

  return {
    name,
    state: () => ({ connected: !failing, connections: target === undefined ? 0 : 1, ...counts }),
    async close() {
      selection.flush();
      closed = true;
      selection.close();
      cancelRetry?.();
      await writing;
      // What failed is tried once more.
      if (backlog.length > 0) await writeAll();
      await target?.handle.close();
    },
  };
}

/** Opens it for adding to. What follows the last line break is half a line of an agent that did not end in order, and is cut off. */
async function openTarget(path: string, nowMs: number): Promise<Target> {
  const handle = await open(path, "a+");
  try {
    const { size, birthtimeMs } = await handle.stat();
    const byteLength = await endOfLines(handle, size);
    if (byteLength < size) await handle.truncate(byteLength);
    return { handle, byteLength, sinceMs: size === 0 || birthtimeMs === 0 ? nowMs : birthtimeMs };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

const LINE_FEED = 0x0a;
const LOOK_BYTES = 64 * 1024;

/** Where the last line ends. */
async function endOfLines(handle: FileHandle, size: number): Promise<number> {
  const bytes = Buffer.alloc(Math.min(size, LOOK_BYTES));
  for (let end = size; end > 0; end -= bytes.length) {
    const from = Math.max(0, end - bytes.length);
    const { bytesRead } = await handle.read(bytes, 0, end - from, from);
    const found = bytes.subarray(0, bytesRead).lastIndexOf(LINE_FEED);
    if (found >= 0) return from + found + 1;
  }
  return 0;
}

/** All of it or nothing: what a full disk took of it is cut off again. */
async function writeWholly(target: Target, bytes: Buffer): Promise<void> {
  try {
    for (let from = 0; from < bytes.length;) from += (await target.handle.write(bytes, from)).bytesWritten;
    target.byteLength += bytes.length;
  } catch (error) {
    await target.handle.truncate(target.byteLength);
    throw error;
  }
}

/** FILE to FILE.1, that to FILE.2 … ; the one beyond `keep` goes. */
async function shift(path: string, keep: number): Promise<void> {
  await rm(keep === 0 ? path : `${path}.${keep}`, { force: true });
  for (let number = keep - 1; number >= 0; number--) {
    const from = number === 0 ? path : `${path}.${number}`;
    await rename(from, `${path}.${number + 1}`).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    });
  }
}
