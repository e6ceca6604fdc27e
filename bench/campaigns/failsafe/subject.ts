// The agent under test, as it is installed, in a process group of its own.
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { monotonicMs } from "./changes.ts";
import { plainEnvironment } from "../../processes.ts";

const MAIN = join(import.meta.dirname, "..", "..", "..", "dist", "agent", "main.js");
/** To start, to come back, to arm: far more than each takes. */
const LIMIT_MS = 20_000;
const LOOK_MS = 20;

/** Ports of the agent on 127.0.0.1. */
export interface Listening {
  readonly gateway: number;
  readonly analytics: number;
}

export interface Agent {
  readonly listening: Listening;
  /** Of the device host that runs now; undefined while there is none. */
  hostPid(): number | undefined;
  /** Until there is a device host that is ready. */
  untilReady(): Promise<void>;
  kill(signal: NodeJS.Signals, who: "front" | "host"): void;
  /** Everything in one call, so that none of it can do anything about the other's death. */
  killAll(): void;
  /** `virgo safe-state`, as the service manager runs it once the agent is gone. */
  safeState(): Promise<void>;
  /** Nothing of it is left afterwards. */
  stop(): Promise<void>;
}

export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = monotonicMs() + LIMIT_MS;
  while (!(await condition())) {
    if (monotonicMs() > endMs) throw new Error(`${what}: not so within ${LIMIT_MS} ms`);
    await wait(LOOK_MS);
  }
}

/** The device host among the children of the front; undefined while there is none. */
function childOf(frontPid: number): number | undefined {
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const status = readFileSync(`/proc/${name}/status`, "utf8");
      if (Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1]) === frontPid) return Number(name);
    } catch (error) {
      // It has ended since the folder was read.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" && (error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
  return undefined;
}

/** Ends whatever is left of the process group. */
function killGroup(leader: number): void {
  try {
    process.kill(-leader, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Starts the agent in the folder that has its configuration; `more` is added to the environment. */
export async function startAgent(folder: string, more: NodeJS.ProcessEnv): Promise<Agent> {
  const state = join(folder, "state");
  const listen = join(state, "listen.json");
  const env = { ...plainEnvironment(), ...more };
  mkdirSync(folder, { recursive: true });
  rmSync(listen, { force: true });
  const log = openSync(join(folder, "agent.log"), "a");
  const front = spawn(process.execPath, [MAIN, "agent"], { cwd: folder, env, stdio: ["ignore", log, "inherit"], detached: true });
  closeSync(log);
  const ended = new Promise<void>((resolve) => front.once("exit", () => resolve()));
  const frontPid = front.pid ?? 0;
  await until("the agent listens", () => {
    if (front.exitCode !== null) throw new Error(`the agent ended with ${front.exitCode}; is it built? (npm run build)`);
    return existsSync(listen);
  });
  const listening = portsOf(JSON.parse(readFileSync(listen, "utf8")) as Readonly<Record<string, string>>);
  const agent: Agent = {
    listening,
    hostPid: () => childOf(frontPid),
    untilReady: () =>
      until("the device host is ready", async () => (await ask(listening.gateway, "CLONE servo.state")).includes("angleDeg")),
    kill(signal, who) {
      const pid = who === "front" ? frontPid : agent.hostPid();
      if (pid === undefined) throw new Error("no device host runs");
      process.kill(pid, signal);
    },
    killAll: () => killGroup(frontPid),
    safeState: () => run([MAIN, "safe-state"], folder, env),
    async stop() {
      killGroup(frontPid);
      await ended;
    },
  };
  await agent.untilReady();
  return agent;
}

function portsOf(bound: Readonly<Record<string, string>>): Listening {
  const portOf = (name: string): number => Number(bound[name]?.split(":").at(-1));
  return { gateway: portOf("gateway"), analytics: portOf("analytics") };
}

function run(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Promise<void> {
  const child: ChildProcess = spawn(process.execPath, args, { cwd, env, stdio: ["ignore", "ignore", "inherit"] });
  return new Promise((resolve, reject) => {
    child.once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`${args.join(" ")} ended with ${code ?? "a signal"}`))));
  });
}

/** One question to the gateway; the whole answer, empty while nobody listens. */
export function ask(port: number, line: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.end(`${line}\r\n`));
    let answer = "";
    socket.on("data", (chunk: Buffer) => (answer += chunk.toString("latin1")));
    socket.on("error", () => resolve(""));
    socket.on("close", () => resolve(answer));
  });
}
