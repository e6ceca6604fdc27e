import { execFileSync } from "node:child_process";
import { appendFileSync, mkdtempSync, rmdirSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { messageOf } from "../../../agent/contract/errors.ts";

/** A file system with little room. */
export interface SmallDisk {
  readonly folder: string;
  /** Takes room until that many bytes are left, once nobody else takes any. */
  fill(leaving: number): Promise<void>;
  /** Gives back what `fill` took. */
  free(): void;
  remove(): void;
}

/** Nobody takes room any more when nobody has for so long. */
const STEADY_MS = 500;

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** Mounts a tmpfs; needs root. Returns why not when it cannot. */
export function mountSmallDisk(bytes: number): SmallDisk | string {
  const folder = mkdtempSync(join(tmpdir(), "virgo-small-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", folder], { stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    rmdirSync(folder);
    return `no small disk: ${messageOf(error)}; run it as root, or with: unshare --user --map-root-user --mount npm run campaign -- durability`;
  }
  const ballast = join(folder, "ballast");
  return {
    folder,
    async fill(leaving) {
      let before = Infinity;
      while (freeBytes(folder) < before) {
        before = freeBytes(folder);
        await wait(STEADY_MS);
      }
      appendFileSync(ballast, Buffer.alloc(Math.max(0, freeBytes(folder) - leaving)));
    },
    free: () => rmSync(ballast, { force: true }),
    remove() {
      execFileSync("umount", [folder]);
      rmdirSync(folder);
    },
  };
}
