import { existsSync } from "node:fs";
import { readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";

import { AgentError, messageOf } from "../../contract/errors.ts";
import type { Clock } from "../../contract/clock.ts";
import type { Log } from "../../contract/log.ts";
import { readEdgesFile, readVerticesFile } from "./file-reader.ts";
import { openLedger, type Done } from "./ledger.ts";
import { syncFolder } from "../../store/sync-folder.ts";
import type { EventsOptions } from "./options.ts";

/** The files that readers of the original know, in the service's folder. */
export const VERTICES_FILE = "EventNetVertices.txt";
export const EDGES_FILE = "EventNetEdges.txt";
export const ORDERING_FILE = "EventNetOrdering.txt";

/** The log's folder in it. */
export const LOG_FOLDER = "log";

export interface ImportOptions {
  /** The service's folder. */
  readonly folder: string;
  readonly options: EventsOptions;
  readonly clock: Clock;
  readonly log: Log;
}

/** Events in flight while they are taken over. */
const AT_ONCE = 4096;

/**
 * Whether there is something to take over: files that say something, or files that an earlier attempt has set aside and not finished with. To be asked
 * only where the log holds nothing.
 */
export async function hasFilesToImport(folder: string): Promise<boolean> {
  const names = [VERTICES_FILE, EDGES_FILE].flatMap((name) => [name, importingName(name)]);
  const sizes = await Promise.all(names.map((name) => sizeOf(join(folder, name))));
  return sizes.some((size) => size > 0);
}

/**
 * Takes over what the original, or another agent, has left in EventNetVertices.txt and EventNetEdges.txt: sets them aside as `….importing`, makes a log of
 * them in a folder of its own, and puts it in the log's place as a whole. Whenever that is interrupted, it starts again. Rejects FULL when there is more
 * than may be kept, IO when the files cannot be read or moved.
 */
export async function importFiles({ folder, options, clock, log }: ImportOptions): Promise<void> {
  const unfinished = join(folder, `${LOG_FOLDER}.importing`);
  try {
    for (const name of [VERTICES_FILE, EDGES_FILE]) await setAside(folder, name);
    const vertices = readVerticesFile(await contentOf(join(folder, importingName(VERTICES_FILE))));
    const edges = readEdgesFile(await contentOf(join(folder, importingName(EDGES_FILE))));
    await rm(unfinished, { recursive: true, force: true });
    const ledger = await openLedger({ folder: unfinished, options, clock, log, changed: () => undefined });
    try {
      await takeAll(vertices.found, (vertex, done) => ledger.extend(vertex.id, vertex, done));
      await takeAll(edges.found, (edge, done) => ledger.addEdge(edge.from, edge.to, 0, done));
    } finally {
      await ledger.close();
    }
    await clearLog(join(folder, LOG_FOLDER));
    await rename(unfinished, join(folder, LOG_FOLDER));
    await syncFolder(folder);
    const skipped = vertices.skipped + edges.skipped;
    log.info(
      { folder, vertices: vertices.found.length, edges: edges.found.length, skipped },
      `took over ${vertices.found.length} vertices and ${edges.found.length} edges from the files in ${folder}; ${skipped} lines said nothing`,
    );
  } catch (error) {
    if (error instanceof AgentError)
      throw new AgentError(error.code, `cannot take over the events in ${folder}: ${error.message}`, { cause: error });
    throw new AgentError("IO", `cannot take over the events in ${folder}: ${messageOf(error)}`, { cause: error });
  }
}

/** What was taken over keeps its old files, under names that nobody takes over again: `EventNetEdges.txt.imported`, then `.imported-2` and so on. */
export async function finishImport(folder: string): Promise<void> {
  for (const name of [VERTICES_FILE, EDGES_FILE]) {
    const from = join(folder, importingName(name));
    if ((await sizeOf(from)) < 0) continue;
    await rename(from, freeName(join(folder, `${name}.imported`)));
  }
}

function importingName(name: string): string {
  return `${name}.importing`;
}

/** The log holds no records. What the log itself has set aside as damaged is kept for somebody to look at. */
async function clearLog(path: string): Promise<void> {
  const names = await readdir(path);
  if (names.some((name) => name.endsWith(".damaged"))) await rename(path, freeName(`${path}.damaged`));
  else await rm(path, { recursive: true });
}

/** `path`, or with the first number behind it that is not taken. */
function freeName(path: string): string {
  let free = path;
  for (let n = 2; existsSync(free); n++) free = `${path}-${n}`;
  return free;
}

/** What was set aside before is what counts: the file in its place is one of ours, made since. */
async function setAside(folder: string, name: string): Promise<void> {
  const path = join(folder, name);
  const aside = join(folder, importingName(name));
  if ((await sizeOf(aside)) < 0 && (await sizeOf(path)) >= 0) await rename(path, aside);
}

/** A bounded number at a time. */
async function takeAll<T>(items: readonly T[], take: (item: T, done: Done) => void): Promise<void> {
  for (let start = 0; start < items.length; start += AT_ONCE) {
    await Promise.all(
      items.slice(start, start + AT_ONCE).map(
        (item) =>
          new Promise<void>((resolve, reject) => {
            take(item, (reply) => (reply.kind === "error" ? reject(reply.error) : resolve()));
          }),
      ),
    );
  }
}

/** -1 when there is no such file. */
async function sizeOf(path: string): Promise<number> {
  try {
    const found = await stat(path);
    return found.isFile() ? found.size : -1;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return -1;
    throw error;
  }
}

async function contentOf(path: string): Promise<string> {
  return (await sizeOf(path)) < 0 ? "" : readFile(path, "latin1");
}
