import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";

import { AgentError } from "../../contract/errors.ts";
import { fileError } from "./problem.ts";
import { held } from "./walk.ts";
import type { OpenMode } from "./tree.ts";
import type { Turns } from "./turns.ts";
import type { Usage } from "./usage.ts";

/** One file, however often it is open. */
export interface SharedFile {
  readonly key: string;
  /** Reads share, everything else is done alone, in the order asked. */
  readonly turns: Turns;
  /** As far as this agent knows. */
  bytes: number;
  /** Its last name was removed: its bytes are free when it is closed. */
  nameless: boolean;
  openings: number;
}

/** One opening of a file. */
export interface OpenFile {
  readonly path: string;
  readonly mode: OpenMode;
  /** What is written through it goes to the end, whatever the offset. */
  readonly handle: FileHandle;
  readonly file: SharedFile;
  /** For writes at an offset; opened by the first of them. */
  writer: FileHandle | undefined;
  /** Where a read without an offset goes on. */
  position: number;
  /** Written to since it was opened. */
  written: boolean;
}

export interface WriteLimits {
  readonly maxFileBytes: number;
  readonly usage: Usage;
}

/** Up to `count` bytes from `offset` on: fewer only where the file ends. */
export async function readAt({ handle, path }: OpenFile, count: number, offset: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(count);
  let filled = 0;
  try {
    while (filled < count) {
      const { bytesRead } = await handle.read(bytes, filled, count - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
  } catch (thrown) {
    throw fileError(thrown, path);
  }
  // A short answer must not keep a large piece of memory.
  return filled < count / 2 ? Buffer.from(bytes.subarray(0, filled)) : bytes.subarray(0, filled);
}

/** Adds all of it at the end, or nothing. */
export async function append(opening: OpenFile, data: Buffer, limits: WriteLimits): Promise<void> {
  await writeAll(opening, opening.handle, data, undefined, limits);
}

/** Writes all of it from `offset` on. What it wrote over stays when it fails half way; what it added does not. */
export async function writeAt(opening: OpenFile, data: Buffer, offset: number, limits: WriteLimits): Promise<void> {
  try {
    // A second opening of what the first one holds: an appending one takes no offset (pwrite(2), BUGS).
    opening.writer ??= await open(held(opening.handle), constants.O_WRONLY | constants.O_NOCTTY);
  } catch (thrown) {
    throw fileError(thrown, opening.path);
  }
  await writeAll(opening, opening.writer, data, offset, limits);
}

async function writeAll(
  opening: OpenFile,
  handle: FileHandle,
  data: Buffer,
  offset: number | undefined,
  limits: WriteLimits,
): Promise<void> {
  const { file, path } = opening;
  const end = (offset ?? file.bytes) + data.length;
  if (end > limits.maxFileBytes) {
    throw new AgentError("FULL", `${path} would have ${end} bytes; files.maxFileBytes is ${limits.maxFileBytes}`);
  }
  if (data.length === 0) return;
  const before = file.bytes;
  const growth = Math.max(0, end - before);
  await limits.usage.take(growth, 0);
  opening.written = true;
  const progress = { written: 0 };
  try {
    await writePieces(handle, data, offset, progress);
    file.bytes = before + growth;
  } catch (thrown) {
    const left = await takeBack(opening.handle, before, before + growth);
    file.bytes = before + left;
    limits.usage.give(growth - left, 0);
    throw shortWrite(fileError(thrown, path), path, progress.written, data.length, offset !== undefined || left > 0);
  }
}

async function writePieces(handle: FileHandle, data: Buffer, offset: number | undefined, progress: { written: number }): Promise<void> {
  while (progress.written < data.length) {
    const position = offset === undefined ? null : offset + progress.written;
    const { bytesWritten } = await handle.write(data, progress.written, data.length - progress.written, position);
    if (bytesWritten === 0) throw new AgentError("IO", "the disk takes nothing and does not say why");
    progress.written += bytesWritten;
  }
}

/** Cuts off what a failed write has added, unless the file has become longer than that write could make it. Resolves to the bytes that stay. */
async function takeBack(handle: FileHandle, before: number, most: number): Promise<number> {
  try {
    const { size } = await handle.stat();
    if (size <= before) return 0;
    if (size <= most) await handle.truncate(before);
    else return most - before;
    return 0;
  } catch {
    return most - before;
  }
}

function shortWrite(error: AgentError, path: string, written: number, asked: number, stays: boolean): AgentError {
  if (!stays || written === 0) return error;
  return new AgentError(error.code, `${error.message}; ${written} of ${asked} bytes were written to ${path}`, { cause: error });
}

/** Everything written is on disk when it resolves, and the file is closed however it ends. */
export async function closeFile({ handle, writer, written, path }: OpenFile): Promise<void> {
  try {
    if (written) await handle.sync();
  } catch (thrown) {
    const { code, message } = fileError(thrown, path);
    throw new AgentError(code, `${message}; the descriptor is closed, and what was written through it may be lost`, { cause: thrown });
  } finally {
    await writer?.close();
    await handle.close();
  }
}
