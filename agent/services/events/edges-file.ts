import { open, type FileHandle } from "node:fs/promises";

import { messageOf } from "../../contract/errors.ts";
import type { Cancel, Clock } from "../../contract/clock.ts";
import type { Log } from "../../contract/log.ts";
import { edgeLine } from "./file-format.ts";
import type { GraphView } from "./graph.ts";

/** EventNetEdges.txt: one line per edge, in the order in which they came, added to as they come. */
export interface EdgesFile {
  /** Writes the edges that are not in the file. Never rejects: what cannot be written is tried again later, from the graph. */
  append(): Promise<void>;
  /** Tries once more, then closes. */
  close(): Promise<void>;
}

export interface EdgesFileOptions {
  readonly path: string;
  readonly graph: GraphView;
  readonly clock: Clock;
  readonly log: Log;
}

/** Edges of one write. */
const EDGES_PER_WRITE = 8192;

/** Between attempts. */
const RETRY_MS = 1000;

/** Makes the file equal to the graph: from the first line on that differs, it is written anew. */
export async function openEdgesFile({ path, graph, clock, log }: EdgesFileOptions): Promise<EdgesFile> {
  let file: FileHandle | undefined;
  /** So many edges are in the file, in so many bytes. */
  let written = 0;
  let position = 0;
  let appending: Promise<void> | undefined;
  let cancelRetry: Cancel | undefined;
  /** Until the next attempt nobody waits for it. */
  let blocked = false;
  let warned = false;
  let closed = false;

  /** The lines of some edges from the first that is not written. */
  function lines(): { readonly bytes: Buffer; readonly edges: number } {
    const edges = Math.min(EDGES_PER_WRITE, graph.edges - written);
    let text = "";
    for (let edge = written; edge < written + edges; edge++) {
      text += edgeLine(graph.idOf(graph.fromOf(edge)), graph.idOf(graph.toOf(edge)));
    }
    return { bytes: Buffer.from(text, "latin1"), edges };
  }

  async function writeAll(handle: FileHandle): Promise<void> {
    while (written < graph.edges) {
      const { bytes, edges } = lines();
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
        done += bytesWritten;
      }
      position += bytes.length;
      written += edges;
    }
  }

  /** Passes over what the file has already, and cuts off what follows. */
  async function compare(handle: FileHandle): Promise<void> {
    while (written < graph.edges) {
      const { bytes, edges } = lines();
      const found = Buffer.alloc(bytes.length);
      const { bytesRead } = await handle.read(found, 0, found.length, position);
      if (bytesRead < bytes.length || !found.equals(bytes)) break;
      position += bytes.length;
      written += edges;
    }
    if ((await handle.stat()).size > position) await handle.truncate(position);
  }

  async function opened(): Promise<FileHandle> {
    if (file !== undefined) return file;
    const handle = await openOrMake(path);
    try {
      await compare(handle);
    } catch (error) {
      await handle.close();
      throw error;
    }
    file = handle;
    return handle;
  }

  async function attempt(): Promise<void> {
    try {
      await writeAll(await opened());
      warned = false;
    } catch (error) {
      if (!warned) log.warn({ file: path, err: error }, `edges are kept, but ${path} cannot be written: ${messageOf(error)}`);
      warned = true;
      blocked = true;
      if (!closed) cancelRetry ??= clock.after(RETRY_MS, retry);
    }
    appending = undefined;
  }

  function retry(): void {
    cancelRetry = undefined;
    blocked = false;
    void append();
  }

  function append(): Promise<void> {
    if (blocked && !closed) return Promise.resolve();
    return (appending ??= attempt());
  }

  await append();
  return {
    append,
    async close() {
      await appending;
      closed = true;
      cancelRetry?.();
      if (written < graph.edges) await append();
      await file?.close();
    },
  };
}

async function openOrMake(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r+");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return open(path, "w+", 0o644);
  }
}
