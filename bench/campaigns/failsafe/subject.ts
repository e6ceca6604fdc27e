// The agent under test, as it is installed, in a process group of its own; and who orders what it does.
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { monotonicMs } from "./kernel-trace.ts";

const MAIN = join(import.meta.dirname, "..", "..", "..", "dist", "agent", "main.js");
const START_LIMIT_MS = 60_000;
const GATEWAY_PORT = 6390;
const ANALYTICS_PORT = 64_000;

/** From one order to the next, milliseconds. */
const ORDER_MS = 50;

export interface Agent {
  readonly frontPid: number;
  /** Of the device host that runs now; undefined while there is none. */
  hostPid(): number | undefined;
  /** Until there is a device host that is ready. */
  untilReady(): Promise<void>;
  kill(signal: NodeJS.Signals, who: "front" | "host"): void;
  /** `virgo safe-state`, as the service manager runs it once the agent is gone. */
  safeState(): Promise<void>;
  stop(): Promise<void>;
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = monotonicMs() + START_LIMIT_MS;
  while (!(await condition())) {
    if (monotonicMs() > endMs) throw new Error(`${what}: not so within ${START_LIMIT_MS} ms`);
    await wait(20);
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

export async function startAgent(folder: string): Promise<Agent> {
  const state = join(folder, "state");
  mkdirSync(folder, { recursive: true });
  rmSync(join(state, "listen.json"), { force: true });
  const front = spawn(process.execPath, [MAIN, "agent"], { cwd: folder, stdio: ["ignore", "inherit", "inherit"], detached: true });
  const ended = new Promise<void>((resolve) => front.once("exit", () => resolve()));
  const frontPid = front.pid ?? 0;
  const agent: Agent = {
    frontPid,
    hostPid: () => childOf(frontPid),
    untilReady: () => until("the device host is ready", async () => (await ask("CLONE servo.state")).includes("angleDeg")),
    kill(signal, who) {
      const pid = who === "front" ? frontPid : agent.hostPid();
      if (pid === undefined) throw new Error("no device host runs");
      process.kill(pid, signal);
    },
    safeState: () => run([MAIN, "safe-state"], folder),
    async stop() {
      if (front.exitCode === null && front.signalCode === null) process.kill(-frontPid, "SIGKILL");
      await ended;
    },
  };
  await until("the agent listens", () => existsSync(join(state, "listen.json")));
  await agent.untilReady();
  return agent;
}

function run(args: readonly string[], cwd: string): Promise<void> {
  const child: ChildProcess = spawn(process.execPath, args, { cwd, stdio: ["ignore", "inherit", "inherit"] });
  return new Promise((resolve, reject) => {
    child.once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`${args.join(" ")} ended with ${code ?? "a signal"}`))));
  });
}

/** One question to the gateway; the whole answer, empty while nobody listens. */
function ask(line: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(GATEWAY_PORT, "127.0.0.1", () => socket.end(`${line}\r\n`));
    let answer = "";
    socket.on("data", (chunk: Buffer) => (answer += chunk.toString("latin1")));
    socket.on("error", () => resolve(""));
    socket.on("close", () => resolve(answer));
  });
}

/** Somebody who keeps ordering. */
export interface Orders {
  /** When the last order that is known to have counted was given. */
  lastMs(): number;
  /** `reset`: the connection is torn down. `silent`: it stays, and nothing more comes. */
  cut(how: "reset" | "silent"): void;
  end(): void;
}

function keepSending(socket: Socket, send: () => void): { stop(): void } {
  socket.setNoDelay(true);
  // An agent that is killed resets its connections.
  socket.on("error", () => undefined);
  const timer = setInterval(send, ORDER_MS);
  return { stop: () => clearInterval(timer) };
}

function cutting(socket: Socket, sending: { stop(): void }): Pick<Orders, "cut" | "end"> {
  return {
    cut(how) {
      sending.stop();
      if (how === "reset") socket.resetAndDestroy();
    },
    end() {
      sending.stop();
      socket.destroy();
    },
  };
}

/** A client of the gateway that repeats these calls. Resolves when they are carried out; undefined when one was refused. */
export async function orderByClient(calls: readonly string[]): Promise<Orders | undefined> {
  const socket = connect(GATEWAY_PORT, "127.0.0.1");
  const sentMs: number[] = [];
  let answers = 0;
  let refusal: string | undefined;
  const text = calls.map((call) => `CLONE ${call}\r\n`).join("");
  const sending = keepSending(socket, () => {
    sentMs.push(monotonicMs());
    socket.write(text);
  });
  socket.on("data", (chunk: Buffer) => {
    const lines = chunk.toString("latin1").split("\r\n");
    refusal ??= lines.find((line) => line.startsWith("-"));
    answers += lines.filter((line) => /^[-+:$_#,]/.test(line)).length;
  });
  const lastMs = (): number => sentMs[Math.floor(answers / calls.length) - 1] ?? Number.NaN;
  const orders = { lastMs, ...cutting(socket, sending) };
  await until("the orders are carried out", () => refusal !== undefined || answers >= 3 * calls.length);
  if (refusal === undefined) return orders;
  process.stdout.write(`an order was refused: ${refusal}\n`);
  orders.end();
  return undefined;
}

/** An analytics stream that says again and again what a rule waits for. */
export async function orderByStream(): Promise<Orders> {
  const socket = connect(ANALYTICS_PORT, "127.0.0.1");
  let last = Number.NaN;
  const sending = keepSending(socket, () => {
    last = monotonicMs();
    socket.write("distance_m=3\n");
  });
  await wait(6 * ORDER_MS);
  return { lastMs: () => last, ...cutting(socket, sending) };
}

/** What the agent is configured with. */
export function writeConfiguration(folder: string, text: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "virgo.yaml"), text);
}
