import { constants, type BigIntStats } from "node:fs";
import { lstat, open, readdir, rename, rmdir, unlink, type FileHandle } from "node:fs/promises";

import { AgentError } from "../../contract/errors.ts";
import { codeOf, leavesRoot } from "./problem.ts";
import { pathText, type Names } from "./path.ts";
import { child, held, look, syncFolder, type Allow, type Node, type Root, type Spot, type TakeRoom } from "./walk.ts";

/** R: to read what is there. RW: to read and write, made when it is not there. */
export type OpenMode = "R" | "RW";

/** A file that is open, known to be a regular one below the root. */
export interface OpenedFile {
  readonly handle: FileHandle;
  readonly path: string;
  /** The same for every opening of the same file. */
  readonly key: string;
  readonly bytes: number;
}

/** `other` is what is never opened: devices, FIFOs, sockets, and files with several names, one of which may be outside. */
export type EntryKind = "file" | "folder" | "link" | "other";

export interface Entry {
  readonly name: string;
  readonly kind: EntryKind;
  /** Bytes of a file, 0 for everything else. */
  readonly size: number;
  readonly modifiedMs: number;
}

/** A file that lost its name. */
export interface Gone {
  readonly key: string;
  readonly bytes: number;
}

/** How much there is. */
export interface Extent {
  readonly bytes: number;
  readonly entries: number;
}

/** How often a file is looked for that comes and goes while it is opened. */
const MAX_ATTEMPTS = 16;

const FILE_MODE = 0o640;

/** What is no regular file must not make anyone wait, nor become the controlling terminal. */
const CAREFUL = constants.O_NONBLOCK | constants.O_NOCTTY;

const FLAGS: Readonly<Record<OpenMode, number>> = {
  R: constants.O_RDONLY | CAREFUL,
  RW: constants.O_RDWR | constants.O_APPEND | CAREFUL,
};

/** Fails when the name is taken, also by a link. */
const CREATE = FLAGS.RW | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** Opens the file, and makes it with its folders in RW when it is not there; then it is durable that it exists. */
export async function openFile(root: Root, names: Names, mode: OpenMode, allow: Allow, take: TakeRoom): Promise<OpenedFile> {
  const options = { follow: true, ...(mode === "RW" ? { make: { allow, take } } : {}) };
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const opened = await root.at(names, options, async (spot) => {
      allow(spot.path);
      if (spot.there !== undefined) return openThere(root, spot, spot.there, mode);
      if (mode === "R") throw missing(spot.path);
      return createFile(root, spot, take);
    });
    if (opened !== undefined) return opened;
  }
  throw new AgentError("IO", `${pathText(names)} comes and goes while it is opened; try again`);
}

async function openThere(root: Root, spot: Spot, node: Node, mode: OpenMode): Promise<OpenedFile> {
  checkFile(node.stats, spot.path);
  // Through what is held: whatever has the name by now, it is this file that is opened.
  const handle = await open(held(node.handle), FLAGS[mode]);
  try {
    return await confirmed(root, handle, spot.path, node.stats);
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

/** Undefined when somebody else has made it in between. */
async function createFile(root: Root, spot: Spot, take: TakeRoom): Promise<OpenedFile | undefined> {
  await root.confirm(spot.folder, spot.path);
  const giveBack = await take();
  let handle: FileHandle;
  try {
    handle = await open(child(spot.folder, spot.name), CREATE, FILE_MODE);
  } catch (thrown) {
    giveBack();
    if (codeOf(thrown) === "EEXIST") return undefined;
    // The folder it would be in is held, and yet is not there: it was removed.
    if (codeOf(thrown) === "ENOENT") throw new AgentError("IO", `the folder of ${spot.path} was removed; try again, or restart the agent`);
    throw thrown;
  }
  try {
    const opened = await confirmed(root, handle, spot.path);
    await syncFolder(spot.folder);
    return opened;
  } catch (thrown) {
    await handle.close();
    await unlink(child(spot.folder, spot.name));
    giveBack();
    throw thrown;
  }
}

/** Checks the opened file itself: what it is, which one it is, and where. */
async function confirmed(root: Root, handle: FileHandle, path: string, expected?: BigIntStats): Promise<OpenedFile> {
  const stats = await handle.stat({ bigint: true });
  checkFile(stats, path);
  if (expected !== undefined && keyOf(stats) !== keyOf(expected)) throw leavesRoot(path);
  await root.confirm(handle, path);
  return { handle, path, key: keyOf(stats), bytes: Number(stats.size) };
}

function checkFile(stats: BigIntStats, path: string): void {
  if (stats.isDirectory()) throw new AgentError("ARGUMENT", `${path} is a folder; FLIST lists it`);
  if (!stats.isFile()) throw new AgentError("DENIED", `${path} is no regular file`);
  if (stats.nlink > 1n) {
    throw new AgentError("DENIED", `${path} has ${stats.nlink} names (hard links), and one may be outside; put a copy in its place`);
  }
}

/** What is at the end of the path, links followed. */
export function describe(root: Root, names: Names, allow: Allow): Promise<Entry> {
  return root.at(names, { follow: true }, async (spot) => {
    allow(spot.path);
    if (spot.there === undefined) throw missing(spot.path);
    await root.confirm(spot.there.handle, spot.path);
    return entryOf(spot.path, spot.there.stats);
  });
}

/** Up to `most` entries of a folder whose names come after `after`, by name. */
export function list(root: Root, names: Names, after: string, most: number, allow: Allow): Promise<readonly Entry[]> {
  return root.at(names, { follow: true }, async ({ path, there }) => {
    allow(path);
    if (there === undefined) throw new AgentError("UNKNOWN", `no folder ${path}`);
    if (!there.stats.isDirectory()) throw new AgentError("ARGUMENT", `${path} is no folder; FSTAT describes it`);
    await root.confirm(there.handle, path);
    const listed = (await readdir(held(there.handle))).filter((name) => name > after).sort();
    const entries: Entry[] = [];
    for (const name of listed.slice(0, most)) {
      const entry = await listedEntry(there.handle, name);
      if (entry !== undefined) entries.push(entry);
    }
    return entries;
  });
}

/** Undefined when it is gone by now. */
async function listedEntry(folder: FileHandle, name: string): Promise<Entry | undefined> {
  // A name that is no UTF-8 cannot be asked about by what is left of it.
  if (name.includes("\u{fffd}")) return { name, kind: "other", size: 0, modifiedMs: 0 };
  try {
    return entryOf(name, await lstat(child(folder, name), { bigint: true }));
  } catch (thrown) {
    if (codeOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  }
}

/** Removes a file, a link or an empty folder, durably. Resolves to the file that is gone, if it was one. */
export function remove(root: Root, names: Names, allow: Allow): Promise<Gone | undefined> {
  return root.at(names, { follow: false }, async (spot) => {
    allow(spot.path);
    if (spot.name === "") throw new AgentError("ARGUMENT", "the files root itself is not removed");
    if (spot.there === undefined) throw missing(spot.path);
    const { stats } = spot.there;
    await root.confirm(spot.folder, spot.path);
    if (stats.isDirectory()) await rmdir(child(spot.folder, spot.name));
    else {
      if (!stats.isSymbolicLink()) checkFile(stats, spot.path);
      await unlink(child(spot.folder, spot.name));
    }
    await syncFolder(spot.folder);
    return stats.isFile() ? goneOf(stats) : undefined;
  });
}

/** Gives a file another name, in one step: whoever opens that name finds what was there before or all of the new. Resolves to what was replaced. */
export function move(root: Root, from: Names, to: Names, allow: Allow, take: TakeRoom): Promise<Gone | "link" | undefined> {
  return root.at(from, { follow: false }, (source) =>
    root.at(to, { follow: false, make: { allow, take } }, async (target) => {
      allow(source.path);
      allow(target.path);
      if (source.there === undefined) throw missing(source.path);
      checkFile(source.there.stats, source.path);
      const replaced = target.there?.stats;
      if (replaced !== undefined && !replaced.isSymbolicLink()) checkFile(replaced, target.path);
      await Promise.all([root.confirm(source.folder, source.path), root.confirm(target.folder, target.path)]);
      await rename(child(source.folder, source.name), child(target.folder, target.name));
      await syncFolder(target.folder);
      await syncFolder(source.folder);
      if (replaced === undefined || keyOf(replaced) === keyOf(source.there.stats)) return undefined;
      return replaced.isFile() ? goneOf(replaced) : "link";
    }),
  );
}

/** Told of a folder that cannot be looked into. */
export type Unread = (path: string, thrown: unknown) => void;

/** Counts everything below the root that a path can reach. Folders that cannot be read count as empty. */
export function measure(root: Root, maxDepth: number, unread: Unread): Promise<Extent> {
  return root.at([], { follow: false }, ({ folder }) => measureFolder(folder, [], maxDepth, unread));
}

async function measureFolder(folder: FileHandle, names: Names, maxDepth: number, unread: Unread): Promise<Extent> {
  const total = { bytes: 0, entries: 0 };
  if (names.length >= maxDepth) return total;
  try {
    for (const name of await readdir(held(folder))) {
      const node = await look(folder, name);
      if (node === undefined) continue;
      const below = await measureNode(node, [...names, name], maxDepth, unread);
      total.bytes += below.bytes;
      total.entries += 1 + below.entries;
    }
  } catch (thrown) {
    unread(pathText(names), thrown);
  }
  return total;
}

async function measureNode({ handle, stats }: Node, names: Names, maxDepth: number, unread: Unread): Promise<Extent> {
  try {
    if (stats.isDirectory()) return await measureFolder(handle, names, maxDepth, unread);
    return { bytes: stats.isFile() ? Number(stats.size) : 0, entries: 0 };
  } finally {
    await handle.close();
  }
}

function missing(path: string): AgentError {
  return new AgentError("UNKNOWN", `no file ${path}`);
}

function entryOf(name: string, stats: BigIntStats): Entry {
  const kind = kindOf(stats);
  return { name, kind, size: kind === "file" ? Number(stats.size) : 0, modifiedMs: Number(stats.mtimeMs) };
}

function kindOf(stats: BigIntStats): EntryKind {
  if (stats.isDirectory()) return "folder";
  if (stats.isSymbolicLink()) return "link";
  return stats.isFile() && stats.nlink === 1n ? "file" : "other";
}

function goneOf(stats: BigIntStats): Gone {
  return { key: keyOf(stats), bytes: Number(stats.size) };
}

function keyOf(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}`;
}
