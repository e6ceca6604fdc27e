import { watch, type FSWatcher } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";

import { AgentError, messageOf } from "../../agent/contract/errors.ts";
import { createMeter, type Source, type SourceOptions } from "./source.ts";
import type { Cancel } from "../../agent/contract/clock.ts";

/** Who writes a file in several steps gets this long after each. */
const SETTLE_MS = 50;

/** For what no notification comes for: a folder that is not there yet, network file systems. */
const LOOK_AGAIN_MS = 1000;

/** A file of analytics holds a few kilobytes; a larger one is a mistake. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;

export interface FileSourceOptions extends SourceOptions {
  /** For example `/etc/virgo_kernel_analytics.conf`. */
  readonly path: string;
}

/**
 * Reads the pairs of a file, and all of them again whenever it changes: written to, replaced by renaming, deleted and made again, or appearing late.
 * A file that goes away sets nothing: its variables go stale.
 */
export function startFileSource(options: FileSourceOptions): Source {
  const { path, clock, log } = options;
  const name = `file ${path}`;
  const meter = createMeter(options);
  let present = false;
  /** Undefined before the first look, empty while there is no file. */
  let lastSeen: string | undefined;
  let watcher: FSWatcher | undefined;
  let cancelSettle: Cancel | undefined;
  let cancelLook: Cancel | undefined;
  let looking: Promise<void> = Promise.resolve();
  let closed = false;

  function miss(error: unknown): void {
    if (present || lastSeen === undefined) {
      meter.fail(`${name}: ${messageOf(error)}`);
      log.warn({ source: name }, `${name}: ${messageOf(error)}; waiting for it`);
    }
    present = false;
    lastSeen = "";
  }

  /** Reads the file if it is not what was read last. */
  async function look(): Promise<void> {
    try {
      const before = await fingerprint(path);
      if (before === lastSeen) return;
      const bytes = await readFile(path);
      // Written to meanwhile: the watcher or the next look comes back to it.
      if (closed || before !== (await fingerprint(path))) return;
      take(bytes);
      present = true;
      lastSeen = before;
    } catch (error) {
      miss(error);
    }
  }

  function take(bytes: Buffer): void {
    const parser = meter.openParser(name);
    parser.push(bytes);
    parser.finish();
    if (!present) log.info({ source: name }, `${name}: read`);
  }

  function lookNext(): void {
    looking = looking.then(look);
  }

  function watchFolder(): void {
    if (watcher !== undefined) return;
    try {
      // The folder and not the file: a file that is replaced by renaming is another file.
      watcher = watch(dirname(path), { persistent: false }, () => {
        cancelSettle?.();
        cancelSettle = clock.after(SETTLE_MS, lookNext);
      });
      watcher.on("error", unwatch);
    } catch (error) {
      // No folder yet, or no watches left: looking again finds what a watch would have told.
      log.debug({ source: name }, `${name}: ${messageOf(error)}`);
    }
  }

  function unwatch(): void {
    watcher?.close();
    watcher = undefined;
  }

  function lookAgain(): void {
    watchFolder();
    lookNext();
    cancelLook = clock.after(LOOK_AGAIN_MS, lookAgain);
  }

  lookAgain();
  return {
    name,
    state: () => meter.state(present ? 1 : 0),
    async close() {
      closed = true;
      cancelLook?.();
      cancelSettle?.();
      unwatch();
      await looking;
    },
  };
}

/** Changes whenever the file does. Rejects when there is none, or none that can be read as a whole. */
async function fingerprint(path: string): Promise<string> {
  const found = await stat(path, { bigint: true });
  if (!found.isFile()) throw new AgentError("ARGUMENT", `${path} is not a file`);
  if (found.size > MAX_FILE_BYTES) throw new AgentError("LIMIT", `${path} has ${found.size} bytes; at most ${MAX_FILE_BYTES} are read`);
  return `${found.dev}:${found.ino}:${found.size}:${found.mtimeNs}`;
}
