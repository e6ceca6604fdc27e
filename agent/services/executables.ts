import { spawn, type ChildProcess, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, type WriteStream } from "node:fs";
import { mkdir, rename, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Readable } from "node:stream";

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

/** Runs executables of the allow-list, without a shell. */
export interface ExecutableRunner {
  /** Mode 1: without arguments. Resolves when it runs, not when it ends. Rejects UNKNOWN, FULL or IO. */
  start(path: string): Promise<void>;
  /**
   * For the queue's handlers. Resolves when it has ended with 0, with what it wrote to its standard output, of which no more than the first MiB is kept.
   * Rejects UNKNOWN, FULL, IO, and FAULTED when it ended otherwise; `signal` kills it, and NOT_READY when that was aborted before.
   */
  run(path: string, args: readonly string[], signal: AbortSignal): Promise<Buffer>;
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

  async function launch(path: string, args: readonly string[]): Promise<ChildProcessByStdio<null, Readable, Readable>> {
    const output = await openLog(path);
    output.on("error", (error) => {
      log.warn({ executable: path }, `the output of ${path} cannot be kept: ${error.message}`);
    });
    // Its own process group, so that the time limit ends its children too.
    const child = spawn(path, args, { shell: false, detached: true, stdio: ["ignore", "pipe", "pipe"], env: { PATH: "/usr/bin:/bin" } });
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
    return child;
  }

  /** Starts it if it may be run and there is a place for it. */
  async function admit<T>(path: string, work: () => Promise<T>): Promise<T> {
    if (!allowed.includes(path)) throw new AgentError("UNKNOWN", path);
    if (running.size + starting >= maxRunning) {
      throw new AgentError("FULL", `${maxRunning} executables are running already (clone.maxRunning)`);
    }
    starting++;
    try {
      return await work();
    } finally {
      starting--;
    }
  }

  /** Listens from before it can have written or ended. */
  async function launchForOutput(path: string, args: readonly string[], signal: AbortSignal): Promise<() => Promise<Buffer>> {
    const child = await launch(path, args);
    const chunks: Buffer[] = [];
    let kept = 0;
    child.stdout.on("data", (chunk: Buffer) => {
      if (kept < MAX_LOG_BYTES) chunks.push(chunk.subarray(0, MAX_LOG_BYTES - kept));
      kept += chunk.length;
    });
    const kill = (): void => {
      killGroup(child);
    };
    signal.addEventListener("abort", kill);
    if (signal.aborted) kill();
    const ended = once(child, "close").finally(() => {
      signal.removeEventListener("abort", kill);
    });
    return async () => {
      const [code, killedBy] = (await ended) as [number | null, NodeJS.Signals | null];
      if (code === 0) return Buffer.concat(chunks);
      throw new AgentError("FAULTED", `${path} ended with ${killedBy ?? String(code)}`);
    };
  }

  return {
    start: (path) =>
      admit(path, async () => {
        await launch(path, []);
      }),
    async run(path, args, signal) {
      if (signal.aborted) throw new AgentError("NOT_READY", `${path} is not run: who asked for it is gone`);
      const output = await admit(path, () => launchForOutput(path, args, signal));
      return output();
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
