import { spawn, type ChildProcess } from "node:child_process";
import { createWriteStream, type WriteStream } from "node:fs";
import { mkdir, rename, stat } from "node:fs/promises";
import { basename, join } from "node:path";

import { AgentError, messageOf } from "../contract/errors.ts";
import type { Clock } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";

/** A log file of this size is set aside as `.1` before the next run, and one run adds no more than this. */
const MAX_LOG_BYTES = 1024 * 1024;

export interface ExecutableOptions {
  /** Absolute paths; nothing else is ever run. */
  readonly allowed: readonly string[];
  readonly timeLimitMs: number;
  readonly maxRunning: number;
  /** Where the output of each executable is kept. */
  readonly logFolder: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Mode 1: runs an executable of the allow-list, without a shell and without arguments. */
export interface ExecutableRunner {
  /** Resolves when it runs, not when it ends. Rejects UNKNOWN, FULL or IO. */
  start(path: string): Promise<void>;
  /** Kills what still runs. */
  close(): void;
}

export function createExecutableRunner(options: ExecutableOptions): ExecutableRunner {
  const { allowed, timeLimitMs, maxRunning, logFolder, clock, log } = options;
  const running = new Set<ChildProcess>();
  let starting = 0;

  async function openLog(path: string): Promise<WriteStream> {
    await mkdir(logFolder, { recursive: true });
    const file = join(logFolder, `${basename(path)}.log`);
    const size = await stat(file).then(
      (stats) => stats.size,
      () => 0,
    );
    if (size >= MAX_LOG_BYTES) await rename(file, `${file}.1`);
    return createWriteStream(file, { flags: "a" });
  }

  async function launch(path: string): Promise<void> {
    const output = await openLog(path);
    output.on("error", (error) => {
      log.warn({ executable: path }, `the output of ${path} cannot be kept: ${error.message}`);
    });
    // Its own process group, so that the time limit ends its children too.
    const child = spawn(path, [], { shell: false, detached: true, stdio: ["ignore", "pipe", "pipe"], env: { PATH: "/usr/bin:/bin" } });
    let left = MAX_LOG_BYTES;
    const keep = (chunk: Buffer): void => {
      if (left <= 0) return;
      output.write(chunk.subarray(0, left));
      left -= chunk.length;
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const cancelLimit = clock.after(timeLimitMs, () => {
      log.warn({ executable: path }, `${path} ran longer than ${timeLimitMs} ms and was killed`);
      killGroup(child);
    });
    child.once("close", (code, signal) => {
      cancelLimit();
      running.delete(child);
      output.end();
      log.info({ executable: path, code, signal }, `${path} ended with ${signal ?? String(code)}`);
    });
    running.add(child);
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", (error) => {
        cancelLimit();
        running.delete(child);
        output.end();
        reject(new AgentError("IO", `${path} cannot be run: ${messageOf(error)}`, { cause: error }));
      });
    });
  }

  return {
    async start(path) {
      if (!allowed.includes(path)) throw new AgentError("UNKNOWN", path);
      if (running.size + starting >= maxRunning) {
        throw new AgentError("FULL", `${maxRunning} executables are running already (clone.maxRunning)`);
      }
      starting++;
      try {
        await launch(path);
      } finally {
        starting--;
      }
    },
    close() {
      for (const child of running) killGroup(child);
    },
  };
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // The group is gone already.
  }
}
