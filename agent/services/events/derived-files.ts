import { open, rename, rm, type FileHandle } from "node:fs/promises";

import { messageOf } from "../../contract/errors.ts";
import type { Cancel, Clock } from "../../contract/clock.ts";
import type { Log } from "../../contract/log.ts";
import { orderingLine, vertexLine, vertexText } from "./file-format.ts";
import type { GraphView } from "./graph.ts";
import type { Ordering, Orderings } from "./order.ts";

/** EventNetVertices.txt and EventNetOrdering.txt: rewritten as a whole when the graph has changed. */
export interface DerivedFiles {
  /** The graph has changed: the files follow soon. */
  touch(): void;
  /** Writes what is to be written, then no more. */
  close(): Promise<void>;
}

export interface DerivedFilesOptions {
  readonly verticesPath: string;
  readonly orderingPath: string;
  readonly graph: GraphView;
  readonly orderings: Orderings;
  readonly clock: Clock;
  readonly log: Log;
  /** Between two rewritings, at least. */
  readonly fileMs: number;
}

/** A rewriting may take this share of the time: those of large graphs are rarer. */
const MAX_SHARE = 1 / 20;

/** Characters of one write: a millisecond or two to make; between writes, others have their turn. */
const WRITE_CHARACTERS = 64 * 1024;

/** Names of one cycle that the ordering file shows. */
const SHOWN_CYCLE = 50;

/** Makes the files equal to the graph. What cannot be written is tried again. */
export async function openDerivedFiles(options: DerivedFilesOptions): Promise<DerivedFiles> {
  const { verticesPath, orderingPath, graph, orderings, clock, log, fileMs } = options;
  let changes = 0;
  let writtenChanges = 0;
  let failing = false;
  let cancelTimer: Cancel | undefined;
  let rewriting: Promise<void> | undefined;
  let nextMs = 0;
  let closed = false;

  async function rewriteAll(): Promise<void> {
    const startedMs = clock.monotonicMs();
    const meant = changes;
    const ok = await attempt();
    const endedMs = clock.monotonicMs();
    nextMs = Math.max(startedMs + fileMs, endedMs + (endedMs - startedMs) / MAX_SHARE);
    rewriting = undefined;
    if (ok) writtenChanges = meant;
    if (!ok || changes > meant) schedule();
  }

  /** Whether the files could be written; the first failure of several is logged. */
  async function attempt(): Promise<boolean> {
    try {
      await writeWhole(verticesPath, inPieces(vertexLines(graph)));
      await writeWhole(orderingPath, inPieces(orderingLines(graph, await orderings.current())));
      failing = false;
    } catch (error) {
      if (!failing) log.warn({ file: verticesPath, err: error }, `events are kept, but their files cannot be written: ${messageOf(error)}`);
      failing = true;
    }
    return !failing;
  }

  function schedule(): void {
    if (closed || rewriting !== undefined) return;
    cancelTimer ??= clock.after(Math.max(0, nextMs - clock.monotonicMs()), () => {
      cancelTimer = undefined;
      rewriting = rewriteAll();
    });
  }

  rewriting = rewriteAll();
  await rewriting;
  return {
    touch() {
      changes += 1;
      schedule();
    },
    async close() {
      closed = true;
      cancelTimer?.();
      await rewriting;
      if (failing || changes > writtenChanges) await rewriteAll();
    },
  };
}

/** Lines put together to pieces of some size. */
function* inPieces(lines: Iterable<string>): Generator<string> {
  let text = "";
  for (const line of lines) {
    text += line;
    if (text.length < WRITE_CHARACTERS) continue;
    yield text;
    text = "";
  }
  yield text;
}

/** Of the vertices there are at the start. */
function* vertexLines(graph: GraphView): Generator<string> {
  const { vertices } = graph;
  for (let vertex = 0; vertex < vertices; vertex++) yield vertexLine(graph.idOf(vertex), graph.detailsOf(vertex));
}

/** The order, and after it one cycle if there is any, in a line that has no place and no dash: who reads places and ids passes over it. */
function* orderingLines(graph: GraphView, { order, cycle, onCycles, vertices }: Ordering): Generator<string> {
  let place = 0;
  for (const vertex of order) yield orderingLine(place++, graph.idOf(vertex));
  if (cycle.length === 0) return;
  const names = [...cycle.subarray(0, SHOWN_CYCLE)].map((vertex) => vertexText(graph.idOf(vertex)));
  const more = cycle.length > SHOWN_CYCLE ? `,... (${cycle.length} events)` : "";
  yield `# cycle: ${names.join(",")}${more}; ${onCycles} of ${vertices} events are on cycles, where no order is right\n`;
}

/** The file has all of it, or what it had before. */
async function writeWhole(path: string, pieces: Iterable<string>): Promise<void> {
  const unfinished = `${path}.new`;
  const file = await open(unfinished, "w", 0o644);
  try {
    for (const piece of pieces) await writePiece(file, Buffer.from(piece, "latin1"));
    await file.close();
    await rename(unfinished, path);
  } catch (error) {
    // Half a file would only take space, which may be what is missing.
    await Promise.allSettled([file.close(), rm(unfinished, { force: true })]);
    throw error;
  }
}

async function writePiece(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length;) done += (await file.write(bytes, done)).bytesWritten;
}
