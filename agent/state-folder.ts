import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { access, mkdir, open, realpath, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";

import { AgentError, messageOf } from "./contract/errors.ts";

/** Makes the folder when it is not there. Rejects IO when it cannot be written to. */
export async function makeStateFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    await access(folder, constants.W_OK);
  } catch (error) {
    throw new AgentError("IO", `the state folder ${folder} cannot be written to: ${messageOf(error)}; choose another with --state`, {
      cause: error,
    });
  }
}

/**
 * Keeps every other agent of this machine out of the folder until the returned function is called or this process ends, however it ends: the lock is a
 * socket in the kernel's abstract namespace, not a file that would be left behind. Rejects IN_USE when another agent has it. The devices have a lock of
 * their own, since their process may outlive the agent's by a moment.
 */
export async function lockStateFolder(folder: string, part: "agent" | "devices" = "agent"): Promise<() => Promise<void>> {
  const name = createHash("sha256")
    .update(await realpath(folder))
    .digest("hex");
  const lock = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    lock.once("error", (error: NodeJS.ErrnoException) => {
      const taken = error.code === "EADDRINUSE";
      reject(
        taken
          ? new AgentError("IN_USE", `the state folder ${folder} is used by another agent; stop it, or choose another with --state`, {
              cause: error,
            })
          : new AgentError("IO", `cannot lock the state folder ${folder}: ${messageOf(error)}`, { cause: error }),
      );
    });
    lock.listen(`\0virgo-edge-${part}-${name}`, resolve);
  });
  lock.unref();
  return () =>
    new Promise((resolve) => {
      lock.close(() => {
        resolve();
      });
    });
}

/** Whoever reads the file finds all of it or nothing; except on a full disk, where it is written over what is there. */
export async function writeWhole(file: string, text: string): Promise<void> {
  try {
    await writeFile(`${file}.new`, text);
    await rename(`${file}.new`, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    await rm(`${file}.new`, { force: true });
    await writeOver(file, text);
  }
}

/** Takes no room that the file does not have already, if it is long enough. */
async function writeOver(file: string, text: string): Promise<void> {
  const handle = await open(file, "r+");
  try {
    await handle.write(text, 0);
    await handle.truncate(Buffer.byteLength(text));
  } finally {
    await handle.close();
  }
}
