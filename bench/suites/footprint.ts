import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { FREE_PORTS, type Measured, startAgent, startAgentWith, startWritingListen, treeOf } from "../processes.ts";
import { median, row, type Row, type SuiteOptions } from "../report.ts";

const DEMO = "firmware-configs/demo.yaml";
const IDLE_MS = 4000;
const MB = 1_000_000;
const BLOCK_BYTES = 512;

interface Memory {
  readonly rssMb: number;
  readonly pssMb: number;
  /** With the processes it started. */
  readonly allPssMb: number;
}

/** What the kernel counts for the process: all its pages, and its share of those it shares. */
function memoryOf(pid: number): Memory {
  const [own, ...others] = treeOf(pid).map(rollupOf) as [Rollup, ...Rollup[]];
  return { ...own, allPssMb: others.reduce((sum, { pssMb }) => sum + pssMb, own.pssMb) };
}

type Rollup = Omit<Memory, "allPssMb">;

function rollupOf(pid: number): Rollup {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const megabytes = (name: string): number => (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1]) * 1024) / MB;
  return { rssMb: megabytes("Rss"), pssMb: megabytes("Pss") };
}

/** The motion thread is the largest part of a device host. */
const VEHICLE = `node: bench
board: sim
${FREE_PORTS}
log: { level: error }
devices:
  car: { driver: gcbaf, accelerator: { pwm: { chip: sim, channel: 0 } }, brake: { pwm: { chip: sim, channel: 1 } } }
`;

function startIdleServer(): Promise<Measured> {
  return startWritingListen((state) => ["bench/peers/idle-server.mjs", state], "clone");
}

/** The demo with its ports freed, so that it also starts beside a running agent. */
function startDemo(): Promise<Measured> {
  const text = readFileSync(DEMO, "utf8");
  if (/^listen:/m.test(text)) return startAgent(DEMO);
  return startAgentWith(`${text}\n${FREE_PORTS}\n`);
}

async function idleMemory(start: () => Promise<Measured>): Promise<Memory> {
  const measured = await start();
  try {
    await wait(IDLE_MS);
    return memoryOf(measured.pid);
  } finally {
    await measured.stop();
  }
}

async function startTime(start: () => Promise<Measured>): Promise<number> {
  const measured = await start();
  await measured.stop();
  return measured.startMs;
}

/** Bytes on disk of a package's own files, without the packages nested in it. */
function folderBytes(folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    if (entry.name === "node_modules") return sum;
    const path = join(folder, entry.name);
    return sum + lstatSync(path).blocks * BLOCK_BYTES + (entry.isDirectory() ? folderBytes(path) : 0);
  }, 0);
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
}

/** What `npm ci --omit=dev` installs here: the packages of the lock that are not for development only. */
function runtimePackagesMb(): number {
  const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8")) as Lock;
  const folders = Object.keys(packages).filter((path) => path !== "" && packages[path]?.dev !== true && existsSync(path));
  return folders.reduce((sum, path) => sum + folderBytes(path), 0) / MB;
}

/** What the agent costs while it does nothing, how soon it listens, and what it brings along. */
export async function run({ quick, progress }: SuiteOptions): Promise<readonly Row[]> {
  progress(`idle memory after ${IDLE_MS / 1000} s`);
  const agent = await idleMemory(startDemo);
  const vehicle = await idleMemory(() => startAgentWith(VEHICLE));
  const bare = await idleMemory(startIdleServer);

  progress("time to listen, in turns");
  const agentMs: number[] = [];
  const bareMs: number[] = [];
  for (let round = 0; round < (quick ? 3 : 10); round++) {
    agentMs.push(await startTime(startDemo));
    bareMs.push(await startTime(startIdleServer));
  }

  const peer = "bare Node server";
  return [
    row({ name: "idle RSS, demo", value: agent.rssMb, unit: "MB", peer: { name: peer, value: bare.rssMb }, goal: "≤ 80" }),
    row({ name: "idle PSS, demo", value: agent.pssMb, unit: "MB", peer: { name: peer, value: bare.pssMb }, goal: "≤ 60" }),
    row({
      name: "idle PSS, demo, both processes",
      value: agent.allPssMb,
      unit: "MB",
      peer: { name: peer, value: bare.pssMb },
      goal: "≤ 100",
    }),
    row({ name: "idle PSS, a vehicle, both processes", value: vehicle.allPssMb, unit: "MB", peer: { name: peer, value: bare.pssMb } }),
    row({ name: "spawn to listening", value: median(agentMs), unit: "ms", peer: { name: peer, value: median(bareMs) }, goal: "≤ 300" }),
    row({ name: "runtime node_modules", value: runtimePackagesMb(), unit: "MB", goal: "≤ 50" }),
  ];
}
