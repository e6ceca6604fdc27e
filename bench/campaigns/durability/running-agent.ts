import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { plainEnvironment } from "../../processes.ts";

/** An agent on a state folder that outlives it. */
export interface RunningAgent {
  readonly pid: number;
  /** Throws when the agent has no such listener. */
  port(listener: string): number;
  /** Whether the process is still there. */
  readonly isRunning: boolean;
  /** kill -9; returns when it is gone. */
  kill(): Promise<void>;
  /** SIGTERM; returns when it has gone by itself. Rejects when it does not, after killing it. */
  stop(): Promise<void>;
}

export interface Place {
  /** The configuration file. */
  readonly config: string;
  readonly state: string;
}

const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 15_000;

function spawnAgent({ config, state }: Place): ChildProcess {
  return spawn(process.execPath, ["dist/agent/main.js", "agent", "--config", config, "--state", state], {
    stdio: ["ignore", "ignore", "inherit"],
    env: plainEnvironment(),
  });
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function end(child: ChildProcess, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
  if (hasEnded(child)) return;
  const exited = once(child, "exit");
  child.kill(signal);
  await exited;
}

type Listening = Readonly<Record<string, string>>;

/** Differs after every writing. One that was killed leaves its file behind. */
function stampOf(file: string): string {
  const { ino, mtimeNs } = statSync(file, { bigint: true, throwIfNoEntry: false }) ?? {};
  return `${ino} ${mtimeNs}`;
}

/** Undefined while the file is being written or taken away. */
function readListening(file: string): Listening | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Listening;
  } catch {
    return undefined;
  }
}

/** Starts the built agent and waits until it listens; how long that took is `startMs`. */
export async function startAgentOn(place: Place): Promise<RunningAgent & { readonly startMs: number }> {
  const listenFile = join(place.state, "listen.json");
  const before = stampOf(listenFile);
  const startedMs = performance.now();
  const child = spawnAgent(place);
  let listening: Listening | undefined;
  while (listening === undefined) {
    if (stampOf(listenFile) !== before) listening = readListening(listenFile);
    if (hasEnded(child)) throw new Error(`the agent ended with ${child.exitCode ?? child.signalCode} before it listened`);
    if (performance.now() - startedMs > START_LIMIT_MS) {
      await end(child, "SIGKILL");
      throw new Error(`the agent did not listen within ${START_LIMIT_MS} ms`);
    }
    await wait(2);
  }
  const startMs = performance.now() - startedMs;
  const addresses = listening;
  return {
    pid: child.pid ?? 0,
    startMs,
    port(listener) {
      const address = addresses[listener];
      if (address === undefined) throw new Error(`the agent has no listener ${listener}`);
      return Number(address.slice(address.lastIndexOf(":") + 1));
    },
    get isRunning() {
      return !hasEnded(child);
    },
    kill: () => end(child, "SIGKILL"),
    async stop() {
      const patience = new AbortController();
      const late = wait(STOP_LIMIT_MS, "late" as const, { signal: patience.signal }).catch(() => "ended" as const);
      const ended = await Promise.race([end(child, "SIGTERM").then(() => "ended" as const), late]);
      patience.abort();
      if (ended === "ended") return;
      await end(child, "SIGKILL");
      throw new Error(`the agent did not stop within ${STOP_LIMIT_MS} ms`);
    },
  };
}

/** Starts the agent and kills it `afterMs` later, wherever it is by then. */
export async function startAndKill(place: Place, afterMs: number): Promise<void> {
  const child = spawnAgent(place);
  await wait(afterMs);
  await end(child, "SIGKILL");
}
