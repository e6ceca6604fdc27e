import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Files this process may have open. Node raises the soft limit to the hard one when it starts. */
function fileLimit(): number {
  const soft = /^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  return soft === "unlimited" ? Number.MAX_SAFE_INTEGER : Number(soft);
}

/** Why the limit was not raised, from what prlimit printed. */
function reason(error: unknown): string {
  const { stderr, message } = error as { readonly stderr?: Buffer | string; readonly message: string };
  return String(stderr ?? "").trim() || message;
}

/**
 * Lets this process, and those it starts from now on, open `files` files: above the hard limit only with the right to raise it (root).
 * Returns how many it may open now; `progress` is told when that is fewer, and what to do.
 */
export function raiseFileLimit(files: number, progress: (line: string) => void): number {
  const before = fileLimit();
  if (before >= files) return before;
  try {
    execFileSync("prlimit", ["--pid", String(process.pid), `--nofile=${files}:${files}`], { stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    progress(`only ${before} files may be open, not ${files}: ${reason(error)}; run it as root, or after ulimit -n ${files}`);
  }
  return fileLimit();
}
