import { execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { messageOf } from "../../../agent/contract/errors.ts";

/** A file system with little room. */
export interface SmallDisk {
  readonly folder: string;
  /** Takes room until `bytes` are left. */
  fill(leaving: number): void;
  /** Gives back what `fill` took. */
  free(): void;
  remove(): void;
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
    fill(leaving) {
      const { bavail, bsize } = statfsSync(folder);
      writeFileSync(ballast, Buffer.alloc(Math.max(0, bavail * bsize - leaving)));
    },
    free: () => rmSync(ballast, { force: true }),
    remove() {
      execFileSync("umount", [folder]);
      rmdirSync(folder);
    },
  };
}
