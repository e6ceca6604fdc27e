import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";

import { createAgent } from "../../agent/agent.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { loadConfig } from "../../agent/config/load.ts";
import { checkRule } from "../../analytics/rule.ts";
import { createSimBoard } from "../../drivers/board/sim/sim-board.ts";
import { gpio } from "../../drivers/gpio/index.ts";
import type { Board } from "../../agent/contract/board.ts";
import type { Log } from "../../agent/contract/log.ts";
import { type Measured, plainEnvironment, startAgentWith, startPrintingPort } from "../processes.ts";
import { row, type Row, type SuiteOptions } from "../report.ts";

const DISTANCES = 720;
const WARM_UP_MS = 1500;

function startProducer(mode: string): Promise<Measured> {
  return startPrintingPort(process.execPath, ["bench/peers/pair-producer.mjs", mode]);
}

/** An agent that reads from `producer` and has a rule over what comes, one that never holds. */
function configFor(producer: Measured, name: string, when: string): string {
  return `node: bench
board: sim
listen: { clone: false, eventnet: false, memory: false, files: false, queue: false, gateway: 127.0.0.1:0 }
log: { level: error }
devices:
  lamp: { driver: light, line: GPIO17 }
analytics:
  sources: [{ tcp: 127.0.0.1:${producer.port} }]
  variables: { ${name}: { staleMs: 500 } }
rules:
  near: { when: ${JSON.stringify(when)}, call: lamp.on() }
`;
}

/** CPU time of a process so far, user and system, all its threads, milliseconds, as the scheduler counts it. */
function cpuMs(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.reduce(
    (sum, thread) => sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]) / 1e6,
    0,
  );
}

/** How often a variable was set, as the agent says. */
async function updatesOf(gateway: Socket, name: string): Promise<number> {
  gateway.write(`VAR.LIST ${name}\r\n`);
  let text = "";
  while (!/updates\r\n:(\d+)\r\n/.test(text)) {
    const [chunk] = (await once(gateway, "data")) as [Buffer];
    text += chunk.toString("latin1");
    if (text.startsWith("*0\r\n") || text.startsWith("-")) return 0;
  }
  return Number(/updates\r\n:(\d+)\r\n/.exec(text)?.[1]);
}

interface Intake {
  /** Updates of the variable per second. */
  readonly perSecond: number;
  /** Share of one core. */
  readonly cpuRatio: number;
}

/** What it costs the built agent to read `mode` from another process over loopback. */
async function measureIntake(mode: string, name: string, when: string, durationMs: number): Promise<Intake> {
  const producer = await startProducer(mode);
  const agent = await startAgentWith(configFor(producer, name, when));
  const gateway = connect({ port: agent.port, host: "127.0.0.1", noDelay: true });
  try {
    await once(gateway, "connect");
    await wait(WARM_UP_MS);
    const fromUpdates = await updatesOf(gateway, name);
    const fromMs = performance.now();
    const fromCpuMs = cpuMs(agent.pid);
    await wait(durationMs);
    const updates = (await updatesOf(gateway, name)) - fromUpdates;
    const elapsedMs = performance.now() - fromMs;
    if (updates === 0) throw new Error(`${mode}: no ${name} arrived`);
    return { perSecond: (updates * 1000) / elapsedMs, cpuRatio: (cpuMs(agent.pid) - fromCpuMs) / elapsedMs };
  } finally {
    gateway.destroy();
    await agent.stop();
    await producer.stop();
  }
}

async function measurePlain(durationMs: number): Promise<number> {
  const producer = await startProducer("flood");
  try {
    const args = ["bench/peers/pair-map.mjs", String(producer.port), String(durationMs)];
    const { stdout } = await promisify(execFile)(process.execPath, args, { env: plainEnvironment() });
    return Number(stdout);
  } finally {
    await producer.stop();
  }
}

const silent: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** The simulated board, telling when a PWM port has been written. */
function createWatchedBoard(onWrite: () => void): Board {
  const board = createSimBoard({ clock: createSystemClock() });
  return {
    ...board,
    async openPwm(owner, channel, periodNs) {
      const port = await board.openPwm(owner, channel, periodNs);
      return {
        ...port,
        write(dutyRatio) {
          const written = port.write(dutyRatio);
          onWrite();
          return written;
        },
      };
    },
  };
}

/** Milliseconds from another process's send to the port being written, one entry per variable. Both ends read the kernel's monotonic clock. */
async function measureLatency(durationMs: number): Promise<readonly number[]> {
  const producer = await startProducer("stamps");
  const folder = mkdtempSync(join(tmpdir(), "virgo-bench-"));
  const path = join(folder, "agent.yaml");
  writeFileSync(
    path,
    `board: sim
listen: { clone: false, eventnet: false, memory: false, files: false, queue: false, gateway: 127.0.0.1:0 }
devices:
  lamp: { driver: light, pwm: { chip: sim, channel: 0 } }
analytics:
  sources: [{ tcp: 127.0.0.1:${producer.port} }]
  variables: { level: { staleMs: 500, min: 0, max: 100 }, stamp: { staleMs: 500 } }
rules:
  dim: { when: level >= 0, call: lamp.brightness(level) }
`,
  );
  const { config } = loadConfig(path, [gpio], { checkRule });
  if (config === undefined) throw new Error("the configuration of the latency bench is wrong");
  const latencies: number[] = [];
  let measuring = false;
  const board = createWatchedBoard(() => {
    const stamp = measuring ? agent.variables.get("stamp") : undefined;
    if (stamp !== undefined) latencies.push((Number(process.hrtime.bigint()) - Number(stamp.value)) / 1e6);
  });
  const clock = createSystemClock();
  const agent = await createAgent({ config, stateFolder: join(folder, "state"), version: "bench", clock, log: silent, board });
  try {
    await wait(WARM_UP_MS);
    measuring = true;
    await wait(durationMs);
    measuring = false;
    if (latencies.length === 0) throw new Error("no variable reached the port");
    return latencies.sort((a, b) => a - b);
  } finally {
    await agent.stop();
    await producer.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What analytics cost: pairs taken in, a lidar's distances, and the way from a variable to a port. Needs `npm run build`. */
export async function run({ quick, progress }: SuiteOptions): Promise<readonly Row[]> {
  const durationMs = quick ? 2000 : 6000;
  progress("one TCP stream of pairs as fast as it is taken: agent, then plain Node");
  const flood = await measureIntake("flood", "d0", "d0 < -1.0", durationMs);
  const pairsPerSecond = flood.perSecond * DISTANCES;
  const plain = await measurePlain(durationMs);
  progress("720 distances 100 times a second: as pairs, as one list");
  const pairs = await measureIntake("pairs", "d0", "d0 < -1.0", durationMs);
  const list = await measureIntake("list", "scan", "min(scan) < -1.0", durationMs);
  progress("a variable 1000 times a second to the port of a lamp");
  const latencies = await measureLatency(durationMs);
  const percentile = (ratio: number): number =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * ratio))] ?? Number.NaN;
  return [
    row({
      name: "pairs taken in from one TCP stream",
      value: pairsPerSecond,
      unit: "1/s",
      peer: { name: "split into a Map, plain Node", value: plain },
      goal: "≥ 1000000",
    }),
    row({ name: "the same per second of the agent's CPU time", value: pairsPerSecond / flood.cpuRatio, unit: "1/s", goal: "≥ 1000000" }),
    row({
      name: `720 distances as pairs at ${Math.round(pairs.perSecond)} Hz`,
      value: pairs.cpuRatio * 100,
      unit: "% of a core",
      goal: "≤ 5",
    }),
    row({
      name: `720 distances as a list at ${Math.round(list.perSecond)} Hz`,
      value: list.cpuRatio * 100,
      unit: "% of a core",
      goal: "≤ 5",
    }),
    row({ name: "variable sent to port written, median", value: percentile(0.5), unit: "ms" }),
    row({ name: "variable sent to port written, 99 of 100", value: percentile(0.99), unit: "ms", goal: "≤ 1" }),
    row({ name: "variables that reached the port", value: (latencies.length * 1000) / durationMs, unit: "1/s" }),
  ];
}
