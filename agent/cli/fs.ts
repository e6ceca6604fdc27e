import { randomBytes } from "node:crypto";
import { open, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { basename, join } from "node:path";

import { AgentError, messageOf } from "../contract/errors.ts";
import { connect } from "./ask.ts";
import { EXIT } from "./exit.ts";
import { jsonText, tableText } from "./print.ts";
import { bytesText, createProgress, type Progress } from "./progress.ts";
import type { Value } from "../contract/value.ts";
import type { Word } from "../fleet/connection.ts";
import type { AskOptions } from "./ask.ts";
import type { CliIo } from "./io.ts";

export interface FsOptions extends AskOptions {
  /** Whether the error output is a terminal, where progress is shown. */
  readonly terminal?: boolean;
}

/** Bytes of one request: well below the agent's own limit, and enough of them underway to fill a network. */
const CHUNK_BYTES = 256 * 1024;
const CHUNKS_UNDERWAY = 4;

/** For as many chunks over a slow radio, and for a close that waits for an SD card. */
const ANSWER_MS = 120_000;

/** What is there, as FSTAT and FLIST answer it. */
interface Entry {
  readonly name: string;
  readonly kind: string;
  readonly size: number;
  readonly modifiedMs: number;
}

/** One command's conversation with the agent. */
interface Talk {
  /** Rejects with the agent's error. */
  ask(verb: string, ...words: readonly Word[]): Promise<Value>;
  /** Whether this is a failure that was told, by the agent or by this machine, and not that of reaching the agent. */
  isTold(thrown: unknown): thrown is AgentError;
  /** What to throw for a failure of this machine. */
  failed(what: string, thrown?: unknown): AgentError;
}

/** `virgo fs put`: copies a file to the agent. Under its name there is all of it or what was there before. */
export async function fsPutCommand(local: string, remote: string, options: FsOptions, io: CliIo): Promise<number> {
  const source = await openLocal(local);
  try {
    const { size } = await source.stat();
    return await talking(options, io, async (talk) => {
      const target = await remoteTarget(talk, remote, basename(local));
      const part = `${folderOf(target)}.virgo-${randomBytes(6).toString("hex")}.part`;
      const progress = progressOf(size, options, io);
      try {
        await upload(talk, source, part, size, io, progress);
        await talk.ask("FRENAME", part, target);
      } catch (thrown) {
        await quietly(() => talk.ask("FREMOVE", part));
        throw thrown;
      } finally {
        progress?.end();
      }
      return printCopied({ from: local, to: target, bytes: size }, options, io);
    });
  } finally {
    await source.close();
  }
}

/** `virgo fs get`: copies a file from the agent. Under its name there is all of it or what was there before. */
export function fsGetCommand(remote: string, local: string, options: FsOptions, io: CliIo): Promise<number> {
  return talking(options, io, async (talk) => {
    const entry = entryOf(await talk.ask("FSTAT", remote));
    if (entry.kind !== "file") throw talk.failed(`${remote} is no file that can be copied, but a ${entry.kind}`);
    const target = await localTarget(local, remote);
    const part = `${target}.${randomBytes(6).toString("hex")}.part`;
    const progress = progressOf(entry.size, options, io);
    try {
      await download(talk, remote, part, entry.size, io, progress);
      const after = entryOf(await talk.ask("FSTAT", remote));
      if (after.size !== entry.size || after.modifiedMs !== entry.modifiedMs) {
        throw talk.failed(`${remote} changed while it was copied; try again`);
      }
      await locally(talk, target, () => rename(part, target));
    } catch (thrown) {
      await rm(part, { force: true });
      throw thrown;
    } finally {
      progress?.end();
    }
    return printCopied({ from: remote, to: target, bytes: entry.size }, options, io);
  });
}

/** `virgo fs ls`: what is in a folder of the agent's files, or one file. */
export function fsLsCommand(path: string | undefined, options: FsOptions, io: CliIo): Promise<number> {
  return talking(options, io, async (talk) => {
    const asked = path ?? "/";
    const entry = entryOf(await talk.ask("FSTAT", asked));
    const entries = entry.kind === "folder" ? await listAll(talk, asked) : [entry];
    io.out(options.json === true ? jsonText(entries) : entriesText(entries));
    return EXIT.ok;
  });
}

/** `virgo fs rm`: removes a file, a link or an empty folder. */
export function fsRmCommand(path: string, options: FsOptions, io: CliIo): Promise<number> {
  return talking(options, io, async (talk) => {
    await talk.ask("FREMOVE", path);
    if (options.json === true) io.out(jsonText({ removed: path }));
    return EXIT.ok;
  });
}

/** Connects, and prints what the agent or this machine had against it. */
async function talking(options: FsOptions, io: CliIo, run: (talk: Talk) => Promise<number>): Promise<number> {
  const connection = await connect(options, io);
  const told = new Set<unknown>();
  const tell = (error: AgentError): AgentError => {
    told.add(error);
    return error;
  };
  const talk: Talk = {
    async ask(verb, ...words) {
      const reply = await connection.call(verb, words, ANSWER_MS);
      if (reply.kind === "error") throw tell(reply.error);
      return reply.kind === "value" ? reply.value : reply.text;
    },
    isTold: (thrown): thrown is AgentError => told.has(thrown),
    failed: (what, thrown) => tell(new AgentError("IO", thrown === undefined ? what : `${what}: ${messageOf(thrown)}`, { cause: thrown })),
  };
  try {
    return await run(talk);
  } catch (thrown) {
    if (!talk.isTold(thrown)) throw thrown;
    io.error(`${thrown.code} ${thrown.message}\n`);
    return EXIT.failure;
  } finally {
    connection.close();
  }
}

/** Writes the chunks where they belong, several underway, and makes them durable. */
async function upload(talk: Talk, source: FileHandle, part: string, size: number, io: CliIo, progress?: Progress): Promise<void> {
  const descriptor = word(await talk.ask("FOPEN", part, "RW"));
  let done = 0;
  try {
    await eachChunk(talk, size, io, async (offset, length) => {
      const bytes = await readChunk(talk, source, offset, length);
      await talk.ask("FWRITE", descriptor, bytes, String(offset));
      done += length;
      progress?.update(done);
    });
  } catch (thrown) {
    await quietly(() => talk.ask("FCLOSE", descriptor));
    throw thrown;
  }
  await talk.ask("FCLOSE", descriptor);
  const there = entryOf(await talk.ask("FSTAT", part));
  if (there.size !== size) throw talk.failed(`${there.size} of ${size} bytes arrived; try again`);
}

async function download(talk: Talk, remote: string, part: string, size: number, io: CliIo, progress?: Progress): Promise<void> {
  const descriptor = word(await talk.ask("FOPEN", remote, "R"));
  let done = 0;
  try {
    const target = await locally(talk, part, () => open(part, "wx"));
    try {
      await eachChunk(talk, size, io, async (offset, length) => {
        const bytes = bytesOf(await talk.ask("FREAD", descriptor, String(length), String(offset)));
        if (bytes.length !== length) throw talk.failed(`${remote} became shorter while it was copied; try again`);
        await locally(talk, part, () => writeChunk(target, bytes, offset));
        done += length;
        progress?.update(done);
      });
      await locally(talk, part, () => target.sync());
    } finally {
      await target.close();
    }
  } finally {
    await quietly(() => talk.ask("FCLOSE", descriptor));
  }
}

/** Calls `copy` for every chunk, `CHUNKS_UNDERWAY` at once; the first failure ends it. */
async function eachChunk(talk: Talk, size: number, io: CliIo, copy: (offset: number, length: number) => Promise<void>): Promise<void> {
  let next = 0;
  let failing = false;
  const worker = async (): Promise<void> => {
    while (next < size && !failing) {
      if (io.stop.aborted) throw talk.failed("stopped; nothing was replaced");
      const offset = next;
      next += CHUNK_BYTES;
      await copy(offset, Math.min(CHUNK_BYTES, size - offset));
    }
  };
  const results = await Promise.allSettled(
    Array.from({ length: CHUNKS_UNDERWAY }, () =>
      worker().catch((thrown: unknown) => {
        failing = true;
        throw thrown;
      }),
    ),
  );
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

async function readChunk(talk: Talk, source: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  for (let filled = 0; filled < length;) {
    const { bytesRead } = await locally(talk, "the file", () => source.read(bytes, filled, length - filled, offset + filled));
    if (bytesRead === 0) throw talk.failed("the file became shorter while it was copied; try again");
    filled += bytesRead;
  }
  return bytes;
}

async function writeChunk(target: FileHandle, bytes: Buffer, offset: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const { bytesWritten } = await target.write(bytes, written, bytes.length - written, offset + written);
    written += bytesWritten;
  }
}

/** Where a file goes: into a folder under its own name, else under the name given. */
async function remoteTarget(talk: Talk, remote: string, name: string): Promise<string> {
  if (remote.endsWith("/")) return `${remote}${name}`;
  try {
    return entryOf(await talk.ask("FSTAT", remote)).kind === "folder" ? `${remote}/${name}` : remote;
  } catch (thrown) {
    if (talk.isTold(thrown) && thrown.code === "UNKNOWN") return remote;
    throw thrown;
  }
}

async function localTarget(local: string, remote: string): Promise<string> {
  const isFolder = local.endsWith("/") || (await stat(local).catch(() => undefined))?.isDirectory() === true;
  return isFolder ? join(local, basename(remote)) : local;
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1);
}

/** Rejects ARGUMENT for what is no file of this machine. */
async function openLocal(path: string): Promise<FileHandle> {
  let handle: FileHandle | undefined;
  try {
    if (!(await stat(path)).isFile()) throw new Error("it is no file");
    handle = await open(path, "r");
    return handle;
  } catch (thrown) {
    await handle?.close();
    throw new AgentError("ARGUMENT", `cannot read ${path}: ${messageOf(thrown)}`, { cause: thrown });
  }
}

async function locally<T>(talk: Talk, path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (thrown) {
    throw talk.failed(`cannot copy by way of ${path}`, thrown);
  }
}

/** Clears away after a failure, which is told; that this fails too is not worth another word. */
async function quietly(run: () => Promise<unknown>): Promise<void> {
  await run().then(
    () => undefined,
    () => undefined,
  );
}

async function listAll(talk: Talk, path: string): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for (;;) {
    const last = entries.at(-1);
    const words = last === undefined ? [path] : [path, "AFTER", last.name];
    const more = await talk.ask("FLIST", ...words);
    if (!Array.isArray(more) || more.length === 0) return entries;
    entries.push(...more.map((value: Value) => entryOf(value)));
  }
}

function entryOf(value: Value): Entry {
  const fields = value as Readonly<Record<string, Value>>;
  const { name = "", kind = "", size = 0, modifiedMs = 0 } = fields;
  return { name: word(name), kind: word(kind), size: Number(size), modifiedMs: Number(modifiedMs) };
}

function word(value: Value): string {
  return typeof value === "object" ? "" : String(value);
}

function entriesText(entries: readonly Entry[]): string {
  if (entries.length === 0) return "nothing is there\n";
  const rows = entries.map(({ name, kind, size, modifiedMs }) => [
    printable(name),
    kind,
    kind === "file" ? String(size) : "",
    new Date(modifiedMs).toISOString().replace(/\.\d+Z$/, "Z"),
  ]);
  return tableText(["NAME", "KIND", "BYTES", "CHANGED"], rows);
}

/** Names made on the agent's machine by others may hold anything, also what a terminal takes for a command. */
function printable(name: string): string {
  return /\p{Cc}/u.test(name) ? JSON.stringify(name).replaceAll(/\p{Cc}/gu, "?") : name;
}

/** Text is UTF-8, what is none came as bytes. */
function bytesOf(value: Value): Buffer {
  if (typeof value === "string") return Buffer.from(value, "utf8");
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.length) : Buffer.alloc(0);
}

function progressOf(total: number, options: FsOptions, io: CliIo): Progress | undefined {
  if (!(options.terminal ?? process.stderr.isTTY)) return undefined;
  return createProgress({ total, clock: io.clock, write: (text) => io.error(text) });
}

function printCopied(
  copied: { readonly from: string; readonly to: string; readonly bytes: number },
  options: FsOptions,
  io: CliIo,
): number {
  io.out(options.json === true ? jsonText(copied) : `${copied.from} -> ${copied.to} (${bytesText(copied.bytes)})\n`);
  return EXIT.ok;
}
