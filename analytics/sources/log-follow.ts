import { open, stat, type FileHandle } from "node:fs/promises";

import { AgentError } from "../../agent/contract/errors.ts";
import type { Cancel, Clock } from "../../agent/contract/clock.ts";

export interface FollowOptions {
  readonly path: string;
  readonly clock: Clock;
  /** How often it is looked for more, milliseconds. */
  readonly lookMs: number;
  /** Bytes that were added, in order; good during the call only. */
  readonly onBytes: (bytes: Buffer) => void;
  /** Another file begins, or the same one anew: what came before may end in half a line. */
  readonly onStart: () => void;
  /** There is no file, or it cannot be read; told once until there is. */
  readonly onMissing: (error: unknown) => void;
}

export interface Follower {
  /** Whether there is a file. */
  present(): boolean;
  /** Nothing comes afterwards. */
  close(): Promise<void>;
}

const READ_BYTES = 64 * 1024;

/**
 * Follows a file as `tail -F` does. What is in it at the start is passed over; a file that comes later, or instead of it (rotation by renaming), is read from its
 * beginning, after the rest of the one before; one that became shorter (rotation by truncation) is read from its beginning as well.
 */
export function followFile({ path, clock, lookMs, onBytes, onStart, onMissing }: FollowOptions): Follower {
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  let handle: FileHandle | undefined;
  let identity = "";
  let position = 0;
  let first = true;
  let missing = false;
  let closed = false;
  let cancel: Cancel | undefined;
  let looking: Promise<void> = Promise.resolve();

  async function readRest(from: FileHandle): Promise<void> {
    if ((await from.stat()).size < position) {
      position = 0;
      onStart();
    }
    while (!closed) {
      const { bytesRead } = await from.read(buffer, 0, READ_BYTES, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      onBytes(buffer.subarray(0, bytesRead));
    }
  }

  async function change(): Promise<void> {
    if (handle !== undefined) await readRest(handle);
    await leave();
    const opened = await open(path, "r");
    try {
      const { dev, ino, size } = await opened.stat();
      identity = `${dev}:${ino}`;
      position = first ? size : 0;
    } catch (error) {
      await opened.close();
      throw error;
    }
    handle = opened;
    onStart();
  }

  async function leave(): Promise<void> {
    const left = handle;
    handle = undefined;
    await left?.close();
  }

  function miss(error: unknown): void {
    if (!missing) onMissing(error);
    missing = true;
  }

  async function readOn(): Promise<void> {
    const found = await identify(path);
    if ("error" in found) miss(found.error);
    else {
      if (handle === undefined || found.identity !== identity) await change();
      missing = false;
    }
    // One that was renamed away, with no other in its place yet, may still be written to.
    if (handle !== undefined) await readRest(handle);
  }

  async function look(): Promise<void> {
    if (closed) return;
    try {
      await readOn();
    } catch (error) {
      miss(error);
      await leave().catch(miss);
    }
    first = false;
  }

  function lookAgain(): void {
    looking = looking.then(look);
    cancel = clock.after(lookMs, lookAgain);
  }

  lookAgain();
  return {
    present: () => handle !== undefined && !missing,
    async close() {
      closed = true;
      cancel?.();
      await looking;
      await handle?.close();
    },
  };
}

/** Which file it is; why there is none otherwise. Opening what is no file might wait for ever. */
async function identify(path: string): Promise<{ readonly identity: string } | { readonly error: unknown }> {
  try {
    const found = await stat(path);
    if (!found.isFile()) throw new AgentError("ARGUMENT", `${path} is not a file`);
    return { identity: `${found.dev}:${found.ino}` };
  } catch (error) {
    return { error };
  }
}
