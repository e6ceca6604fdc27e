import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { createSystemClock } from "../../agent/clock.ts";
import type { Log } from "../../agent/contract/log.ts";
import { startFileSink } from "../../analytics/sinks/file.ts";
import { fileSinkSchema } from "../../analytics/sinks/options.ts";
import { startTcpListenSink } from "../../analytics/sinks/tcp-listen.ts";
import { createVariableStore, type VariableStore } from "../../analytics/store.ts";
import { cpuMs, type Measured, startAgentWith, startPrintingPort } from "../processes.ts";
import { row, type Row, type SuiteOptions } from "../report.ts";

const VARIABLES = 500;
const PERIOD_MS = 10;
const LINE_FEED = 0x0a;
const WARM_UP_MS = 1000;

const silent: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

interface Flow {
  readonly linesPerSecond: number;
  /** Of the process that sends, share of one core. */
  readonly cpuRatio: number;
}

/** Reads lines from `port` and counts them. */
async function measureLines(port: number, pid: number, durationMs: number): Promise<Flow> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  try {
    await once(socket, "connect");
    let lines = 0;
    socket.on("data", (chunk: Buffer) => {
      for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, at + 1)) lines += 1;
    });
    await wait(WARM_UP_MS);
    const [fromLines, fromMs, fromCpuMs] = [lines, performance.now(), cpuMs(pid)];
    await wait(durationMs);
    const elapsedMs = performance.now() - fromMs;
    return { linesPerSecond: ((lines - fromLines) * 1000) / elapsedMs, cpuRatio: (cpuMs(pid) - fromCpuMs) / elapsedMs };
  } finally {
    socket.destroy();
  }
}

/** The built agent reads pairs from another process and sends them on as lines. */
async function measureAgent(durationMs: number): Promise<Flow> {
  const producer = await startPrintingPort(process.execPath, ["bench/peers/pair-writer.mjs", String(VARIABLES), String(PERIOD_MS)]);
  let agent: Measured | undefined;
  try {
    agent = await startAgentWith(
      `node: bench
board: sim
isolation: none
listen: { clone: false, eventnet: false, memory: false, files: false, queue: false, gateway: false }
log: { level: error }
analytics: { sources: [{ tcp: 127.0.0.1:${producer.port} }], sinks: [{ tcp: 127.0.0.1:0, listen: true }] }
`,
      "sink",
    );
    return await measureLines(agent.port, agent.pid, durationMs);
  } finally {
    await agent?.stop();
    await producer.stop();
  }
}

async function measurePlain(periodMs: number, durationMs: number): Promise<Flow> {
  const writer = await startPrintingPort(process.execPath, ["bench/peers/pair-writer.mjs", String(VARIABLES), String(periodMs)]);
  try {
    return await measureLines(writer.port, writer.pid, durationMs);
  } finally {
    await writer.stop();
  }
}

function createStore(): VariableStore {
  const limits = { maxVariables: 1000, maxVariableBytes: 100_000 };
  return createVariableStore({ clock: createSystemClock(), limits, declared: {}, defaultStaleMs: 60_000 });
}

/** Sets all variables once a turn, as fast as the sink's reader takes their lines. Returns lines per second that arrived. */
async function measureFlood(durationMs: number): Promise<number> {
  const variables = createStore();
  const shared = { variables, selected: { variables: ["*"], batchMs: 0, paces: [] }, clock: createSystemClock(), log: silent };
  const sink = await startTcpListenSink({ ...shared, host: "127.0.0.1", port: 0, maxReaders: 2, maxBacklogBytes: 4 << 20 });
  const reader: Socket = connect(Number(sink.address.split(":").at(-1)), "127.0.0.1");
  let lines = 0;
  reader.on("data", (chunk: Buffer) => {
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, at + 1)) lines += 1;
  });
  await once(reader, "connect");
  await flood(variables, durationMs);
  const perSecond = (lines * 1000) / durationMs;
  reader.destroy();
  await sink.close();
  return perSecond;
}

/** Variables per second into a file, all of a turn in one line. */
async function measureFile(durationMs: number): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "virgo-bench-"));
  const variables = createStore();
  const options = fileSinkSchema.parse({ file: join(folder, "data.log") });
  const sink = startFileSink({ ...options, path: options.file, selected: options, variables, clock: createSystemClock(), log: silent });
  await flood(variables, durationMs);
  await sink.close();
  const perSecond = (sink.state().lines * VARIABLES * 1000) / durationMs;
  rmSync(folder, { recursive: true, force: true });
  return perSecond;
}

async function flood(variables: VariableStore, durationMs: number): Promise<void> {
  const names = Array.from({ length: VARIABLES }, (_, i) => `v${i}`);
  const untilMs = performance.now() + durationMs;
  for (let round = 0; performance.now() < untilMs; round++) {
    for (const [i, name] of names.entries()) variables.set(name, ((round * 7 + i * 13) % 12_000) / 1000, "bench");
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

/** What it costs to send variables out: as lines over TCP, at a rate and as fast as possible, and into a file. Needs `npm run build`. */
export async function run({ quick, progress }: SuiteOptions): Promise<readonly Row[]> {
  const durationMs = quick ? 2000 : 6000;
  progress(`${VARIABLES} variables every ${PERIOD_MS} ms through the agent, then straight from a plain writer`);
  const agent = await measureAgent(durationMs);
  const plain = await measurePlain(PERIOD_MS, durationMs);
  progress("as fast as one reader takes them: sink, then plain writer");
  const fastest = await measureFlood(durationMs);
  const plainFastest = await measurePlain(0, durationMs);
  progress("into a file");
  const file = await measureFile(durationMs);
  return [
    row({
      name: `lines out over TCP, ${VARIABLES} variables every ${PERIOD_MS} ms`,
      value: agent.linesPerSecond,
      unit: "1/s",
      peer: { name: "plain Node writer", value: plain.linesPerSecond },
      goal: "≥ 0.95 ×",
    }),
    row({
      name: "CPU of the agent, which takes them in too",
      value: agent.cpuRatio * 100,
      unit: "% of a core",
      peer: { name: "plain Node writer", value: plain.cpuRatio * 100 },
    }),
    row({
      name: "lines out over TCP as fast as they are taken, sink and reader in one process",
      value: fastest,
      unit: "1/s",
      peer: { name: "plain Node writer", value: plainFastest.linesPerSecond },
      goal: "≥ 50000",
    }),
    row({ name: "variables into a file", value: file, unit: "1/s", goal: "≥ 50000" }),
  ];
}
