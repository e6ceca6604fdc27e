import { constants, type BigIntStats } from "node:fs";
import { mkdir, open, readlink, type FileHandle } from "node:fs/promises";

import { AgentError } from "../../contract/errors.ts";
import { codeOf, fileError, leavesRoot } from "./problem.ts";
import { pathText, type Names } from "./path.ts";

/** Opens nothing, and holds on to exactly that file or folder; the same number on every processor that Node runs on (open(2), asm-generic/fcntl.h). */
const O_PATH = 0o10000000;

/** Holds what has the name, a link itself and not what it leads to. */
const LOOK = O_PATH | constants.O_NOFOLLOW;

/** As many as the kernel follows in one path (MAXSYMLINKS). */
const MAX_LINKS = 40;

const FOLDER_MODE = 0o750;

/** Something that is there: held, not opened, so that neither a device nor a FIFO notices. */
export interface Node {
  readonly handle: FileHandle;
  readonly stats: BigIntStats;
}

/** Where a path leads: a name in a folder that is held. Only good while it is used. */
export interface Spot {
  /** Relative to the root, links resolved. */
  readonly path: string;
  readonly folder: FileHandle;
  /** Empty for the root itself. */
  readonly name: string;
  readonly there: Node | undefined;
}

/** Takes the room of one more file or folder; what it resolves to gives it back. Rejects FULL. */
export type TakeRoom = () => Promise<() => void>;

/** Throws DENIED when the caller may not use the path. */
export type Allow = (path: string) => void;

export interface WalkOptions {
  /** Whether a link at the end is followed; those on the way are. */
  readonly follow: boolean;
  /** Makes folders that are not there. */
  readonly make?: { readonly allow: Allow; readonly take: TakeRoom };
}

/** A folder that no path leads out of. */
export interface Root {
  /** Where it is now. */
  where(): Promise<string>;
  /**
   * Walks to `names` and hands over the spot; afterwards everything held is let go. Rejects UNKNOWN, DENIED for what leads out, and whatever
   * `use` rejects with, in the agent's words.
   */
  at<T>(names: Names, options: WalkOptions, use: (spot: Spot) => Promise<T>): Promise<T>;
  /** Throws DENIED unless that, which was opened, is below the root by its own name. */
  confirm(handle: FileHandle, path: string): Promise<void>;
  close(): Promise<void>;
}

/** The path of something held, by whatever name it has by now. */
export function held(handle: FileHandle): string {
  return `/proc/self/fd/${handle.fd}`;
}

/** The path of a name in a folder that is held: however the folder is renamed, it is the same one. */
export function child(folder: FileHandle, name: string): string {
  return `${held(folder)}/${name}`;
}

/** What has that name in the folder; undefined when nothing has. */
export async function look(folder: FileHandle, name: string): Promise<Node | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(child(folder, name), LOOK);
  } catch (thrown) {
    if (codeOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  }
  try {
    return { handle, stats: await handle.stat({ bigint: true }) };
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

/** Makes durable which names a folder has. */
export async function syncFolder(folder: FileHandle): Promise<void> {
  const opened = await open(held(folder), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await opened.sync();
  } catch (thrown) {
    // Some network file systems have no such thing: what their server does is all there is.
    if (codeOf(thrown) !== "EINVAL") throw thrown;
  } finally {
    await opened.close();
  }
}

/**
 * Takes hold of the root. Every name is then looked up in a folder that is held, never by a path from the outside: a link swapped in between, or a
 * folder renamed, changes nothing. Links are followed here and not by the kernel, step by step, and only to places inside.
 */
export async function openRoot(folder: string): Promise<Root> {
  const root = await open(folder, O_PATH | constants.O_DIRECTORY);

  const where = () => readlink(held(root));

  async function confirm(handle: FileHandle, path: string): Promise<void> {
    const [outer, inner] = await Promise.all([where(), readlink(held(handle))]);
    if (inner !== outer && !inner.startsWith(withSlash(outer))) throw leavesRoot(path);
  }

  async function makeFolder(parent: FileHandle, name: string, path: string, take: TakeRoom): Promise<Node | undefined> {
    await confirm(parent, path);
    const giveBack = await take();
    try {
      await mkdir(child(parent, name), { mode: FOLDER_MODE });
    } catch (thrown) {
      giveBack();
      if (codeOf(thrown) !== "EEXIST") throw thrown;
    }
    await syncFolder(parent);
    return look(parent, name);
  }

  /** What a link says, as names still to be walked from the folder it is in, or from the root. */
  async function readLink(
    folder: FileHandle,
    name: string,
    path: string,
  ): Promise<{ readonly names: string[]; readonly fromRoot: boolean }> {
    const target = await readlink(child(folder, name));
    if (!target.startsWith("/")) return { names: split(target), fromRoot: false };
    const outer = await where();
    if (target !== outer && !target.startsWith(withSlash(outer))) throw leavesRoot(path);
    return { names: split(target.slice(outer.length)), fromRoot: true };
  }

  async function walk(asked: Names, options: WalkOptions, holding: FileHandle[]): Promise<Spot> {
    const path = pathText(asked);
    const trail: { readonly name: string; readonly node: Node }[] = [];
    let ahead = [...asked];
    let links = 0;
    const folder = () => trail.at(-1)?.node.handle ?? root;
    const full = (...more: readonly string[]) => pathText([...trail.map(({ name }) => name), ...more]);

    async function nodeAt(name: string): Promise<Node | undefined> {
      let node = await look(folder(), name);
      if (node === undefined && ahead.length > 0) {
        if (options.make === undefined) throw new AgentError("UNKNOWN", `no folder ${full(name)}`);
        options.make.allow(full(name, ...ahead));
        node = await makeFolder(folder(), name, path, options.make.take);
        if (node === undefined) throw new AgentError("IO", `the folder ${full(name)} was removed while it was made; try again`);
      }
      if (node !== undefined) holding.push(node.handle);
      return node;
    }

    async function followLink(name: string): Promise<void> {
      links += 1;
      if (links > MAX_LINKS) throw leavesRoot(path);
      const { names, fromRoot } = await readLink(folder(), name, path);
      if (fromRoot) trail.length = 0;
      ahead = [...names, ...ahead];
    }

    for (let name = ahead.shift(); name !== undefined; name = ahead.shift()) {
      // Only a link can say this; the way up is the one that was walked down.
      if (name === "..") {
        if (trail.pop() === undefined) throw leavesRoot(path);
        continue;
      }
      const node = await nodeAt(name);
      const last = ahead.length === 0;
      if (node?.stats.isSymbolicLink() === true && (options.follow || !last)) await followLink(name);
      else if (last) return { path: full(name), folder: folder(), name, there: node };
      else if (node?.stats.isDirectory() === true) trail.push({ name, node });
      else throw new AgentError("ARGUMENT", `${full(name)} is no folder, and ${path} goes on after it`);
    }
    // The root, or a folder that a link's last .. or . stands for.
    const here = trail.pop();
    if (here !== undefined) return { path: full(here.name), folder: folder(), name: here.name, there: here.node };
    return { path: full(), folder: root, name: "", there: { handle: root, stats: await root.stat({ bigint: true }) } };
  }

  return {
    where,
    async at(names, options, use) {
      const holding: FileHandle[] = [];
      try {
        return await use(await walk(names, options, holding));
      } catch (thrown) {
        throw fileError(thrown, pathText(names));
      } finally {
        await Promise.all(holding.map((handle) => handle.close()));
      }
    },
    confirm,
    close: () => root.close(),
  };
}

function split(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}

function withSlash(folder: string): string {
  return folder.endsWith("/") ? folder : `${folder}/`;
}
