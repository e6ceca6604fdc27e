import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";

/** The environment of measured processes: NODE_EXTRA_CA_CERTS would double Node's start. */
export function plainEnvironment(): NodeJS.ProcessEnv {
  const environment = { ...process.env };
  delete environment["NODE_EXTRA_CA_CERTS"];
  delete environment["NODE_OPTIONS"];
  return environment;
}

/** A process and all that it and they started. */
export function treeOf(pid: number): readonly number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap(treeOf)];
}

/** CPU time of a process so far, with all its threads and the processes it started, milliseconds, as the scheduler counts it. */
export function cpuMs(pid: number): number {
  const threads = treeOf(pid).flatMap((one) => readdirSync(`/proc/${one}/task`).map((thread) => `/proc/${one}/task/${thread}`));
  return threads.reduce((sum, thread) => sum + Number(readFileSync(`${thread}/schedstat`, "utf8").split(" ")[0]) / 1e6, 0);
}

/** Every listener of an agent's configuration on a free port: beside a running agent too. */
export const FREE_PORTS = `listen: { ${["gateway", "clone", "eventnet", "memory", "files", "queue"].map((name) => `${name}: 127.0.0.1:0`).join(", ")} }`;

/** A process that is measured, and the port it answers on. */
export interface Measured {
  readonly port: number;
  readonly pid: number;
  /** Milliseconds from spawn to the file or line that says the port. */
  readonly startMs: number;
  stop(): Promise<void>;
}

const START_LIMIT_MS = 15_000;

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const patience = setTimeout(() => child.kill("SIGKILL"), 5000);
  await exited;
  clearTimeout(patience);
}

function pidOf(child: ChildProcess, command: string): number {
  if (child.pid === undefined) throw new Error(`${command} did not start: is it installed?`);
  return child.pid;
}

/** Starts a program that prints its port as its first line. */
export async function startPrintingPort(command: string, args: readonly string[]): Promise<Measured> {
  const startedMs = performance.now();
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"], env: plainEnvironment() });
  const lines = createInterface(child.stdout);
  const [line] = (await Promise.race([
    once(lines, "line"),
    once(child, "exit").then(() => Promise.reject(new Error(`${command} ended before it listened`))),
  ])) as [string];
  return { port: Number(line), pid: pidOf(child, command), startMs: performance.now() - startedMs, stop: () => stopChild(child) };
}

/** Starts a Node program that writes `listen.json` into the folder it is given, and waits for that file. */
export async function startWritingListen(args: (state: string) => readonly string[], name = "gateway"): Promise<Measured> {
  const state = mkdtempSync(join(tmpdir(), "virgo-bench-"));
  const path = join(state, "listen.json");
  const startedMs = performance.now();
  const child = spawn(process.execPath, args(state), { stdio: ["ignore", "ignore", "inherit"], env: plainEnvironment() });
  while (!existsSync(path)) {
    if (child.exitCode !== null || performance.now() - startedMs > START_LIMIT_MS) {
      await stopChild(child);
      throw new Error(`${args(state).join(" ")} does not listen`);
    }
    await wait(1);
  }
  const startMs = performance.now() - startedMs;
  const listening = JSON.parse(readFileSync(path, "utf8")) as Readonly<Record<string, string>>;
  const address = listening[name] ?? "";
  return {
    port: Number(address.slice(address.lastIndexOf(":") + 1)),
    pid: pidOf(child, process.execPath),
    startMs,
    stop: async () => {
      await stopChild(child);
      rmSync(state, { recursive: true, force: true });
    },
  };
}

/** The built agent with a configuration file. Run `npm run build` before (npm's bench and campaign do). */
export function startAgent(configPath: string, listener = "gateway"): Promise<Measured> {
  return startWritingListen((state) => ["dist/agent/main.js", "agent", "--config", configPath, "--state", state], listener);
}

/** The built agent with configuration text, on free ports when the text says `127.0.0.1:0`. */
export async function startAgentWith(config: string, listener = "gateway"): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), "virgo-bench-"));
  const path = join(folder, "agent.yaml");
  writeFileSync(path, config);
  const agent = await startAgent(path, listener);
  return {
    ...agent,
    stop: async () => {
      await agent.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}

/** A redis-server that keeps nothing, unless `options` of its command line say otherwise. */
export async function startRedis(options: readonly string[] = ["--appendonly", "no"]): Promise<Measured> {
  const port = await freePort();
  const startedMs = performance.now();
  const child = spawn("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", "", ...options], {
    stdio: "ignore",
  });
  child.on("error", () => undefined);
  await wait(0);
  const pid = pidOf(child, "redis-server");
  for (;;) {
    try {
      execFileSync("redis-cli", ["-p", String(port), "ping"], { stdio: "ignore" });
      break;
    } catch (error) {
      if (performance.now() - startedMs > START_LIMIT_MS) throw new Error("redis-server does not answer", { cause: error });
      await wait(20);
    }
  }
  return { port, pid, startMs: performance.now() - startedMs, stop: () => stopChild(child) };
}

/** A program compiled into a temporary folder. */
export interface Compiled {
  readonly path: string;
  remove(): void;
}

/** Compiles one C file with the system's compiler. */
export function compileC(source: string): Compiled {
  const folder = mkdtempSync(join(tmpdir(), "virgo-bench-"));
  const path = join(folder, "peer");
  execFileSync("cc", ["-O2", "-o", path, source]);
  return { path, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
