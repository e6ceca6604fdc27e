import { execFile } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";

import { compileC, FREE_PORTS, plainEnvironment, startAgentWith } from "../processes.ts";
import { motionLimitsSchema } from "../../agent/host/motion-limits.ts";
import { row, type Row, type SuiteOptions } from "../report.ts";

const execute = promisify(execFile);

/** A vehicle whose control loop runs in the motion thread at 100 Hz, and a lamp to call. */
const CONFIG = `node: bench
board: sim
${FREE_PORTS}
log: { level: error }
devices:
  lamp: { driver: light, line: GPIO17 }
  car:
    driver: gcbaf
    accelerator: { pwm: { chip: sim, channel: 0 } }
    brake: { pwm: { chip: sim, channel: 1 } }
`;

/** What a loop says of itself, in microseconds. */
interface Lateness {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly missed: number;
}

interface Figures {
  readonly latenessP50Us: number;
  readonly latenessP99Us: number;
  readonly latenessP999Us: number;
  readonly latenessMaxUs: number;
  readonly missed: number;
}

function latenessOf(figures: Figures): Lateness {
  const { latenessP50Us: p50, latenessP99Us: p99, latenessP999Us: p999, latenessMaxUs: max, missed } = figures;
  return { p50, p99, p999, max, missed };
}

/** With the priority that the motion thread has, where this user may. */
async function loopInC(program: string, periodMs: number, seconds: number): Promise<Lateness> {
  const args = [program, String(periodMs * 1000), String(seconds)];
  const chrt = ["--fifo", String(motionLimitsSchema.parse({}).realtimePriority)];
  const allowed = await execute("chrt", [...chrt, "true"]).then(
    () => true,
    () => false,
  );
  const { stdout } = await (allowed ? execute("chrt", [...chrt, ...args]) : execute(program, args.slice(1)));
  const [p50 = Number.NaN, p99 = Number.NaN, p999 = Number.NaN, max = Number.NaN, missed = Number.NaN] = stdout
    .trim()
    .split(" ")
    .map(Number);
  return { p50, p99, p999, max, missed };
}

async function loopHost(periodMs: number, seconds: number): Promise<Lateness> {
  const args = ["--import", "tsx", "bench/peers/loop-host.mjs", String(periodMs), String(seconds)];
  const { stdout, stderr } = await execute(process.execPath, args, { env: plainEnvironment() });
  if (stderr !== "") throw new Error(`loop-host: ${stderr}`);
  return latenessOf(JSON.parse(stdout) as Figures);
}

/** The `motion` section of INFO. */
async function motionInfo(port: number): Promise<Lateness> {
  const socket = connect({ port, host: "127.0.0.1" });
  await once(socket, "connect");
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  socket.write("*1\r\n$4\r\nINFO\r\n");
  await wait(500);
  socket.destroy();
  const text = Buffer.concat(chunks).toString();
  const figure = (name: string): number => {
    const found = new RegExp(`^${name}:([\\d.]+)`, "m").exec(text.slice(text.indexOf("# motion")))?.[1];
    if (found === undefined) throw new Error(`INFO shows no ${name} of the motion thread`);
    return Number(found);
  };
  return {
    p50: figure("latenessP50Us"),
    p99: figure("latenessP99Us"),
    p999: figure("latenessP999Us"),
    max: figure("latenessMaxUs"),
    missed: figure("missed"),
  };
}

/** The built agent in its two processes, asked by 50 connections at once for as long as it is measured. */
async function loopOfAgent(seconds: number): Promise<Lateness> {
  const agent = await startAgentWith(CONFIG);
  try {
    const args = ["-h", "127.0.0.1", "-p", String(agent.port), "-c", "50", "-P", "4", "-n", "1000000000", "CLONE", "lamp.on"];
    const stop = new AbortController();
    const asking = execute("redis-benchmark", args, { signal: stop.signal, maxBuffer: 1 << 30 }).catch(() => undefined);
    await wait(seconds * 1000);
    stop.abort();
    await asking;
    return await motionInfo(agent.port);
  } finally {
    await agent.stop();
  }
}

function rowsOf(name: string, measured: Lateness, peer: Lateness): readonly Row[] {
  const inC = "clock_nanosleep in C";
  return [
    row({ name: `${name}: lateness, half`, value: measured.p50, unit: "µs", peer: { name: inC, value: peer.p50 } }),
    row({ name: `${name}: lateness, 99 %`, value: measured.p99, unit: "µs", peer: { name: inC, value: peer.p99 }, goal: "≤ 1000" }),
    row({ name: `${name}: lateness, 99.9 %`, value: measured.p999, unit: "µs", peer: { name: inC, value: peer.p999 }, goal: "≤ 2000" }),
    row({ name: `${name}: lateness, worst`, value: measured.max, unit: "µs", peer: { name: inC, value: peer.max } }),
    row({ name: `${name}: missed deadlines`, value: measured.missed, unit: "", peer: { name: inC, value: peer.missed }, goal: "= 0" }),
  ];
}

/** How late control loops are. Needs cc and redis-benchmark; the same loop in C runs at the same time. */
export async function run({ quick, progress }: SuiteOptions): Promise<readonly Row[]> {
  const seconds = quick ? 10 : 600;
  const shortS = quick ? 5 : 60;
  const program = compileC("bench/peers/loop.c");
  try {
    progress(`100 Hz for ${shortS} s, its own process never rests`);
    const [busy, busyPeer] = await Promise.all([loopHost(10, shortS), loopInC(program.path, 10, shortS)]);
    progress(`100 Hz for ${seconds} s, the agent is asked by 50 connections`);
    const [asked, askedPeer] = await Promise.all([loopOfAgent(seconds), loopInC(program.path, 10, seconds)]);
    progress(`1 kHz for ${shortS} s, its own process never rests`);
    const [fast, fastPeer] = await Promise.all([loopHost(1, shortS), loopInC(program.path, 1, shortS)]);
    return [
      ...rowsOf("100 Hz, process busy", busy, busyPeer),
      ...rowsOf("100 Hz, agent busy", asked, askedPeer),
      ...rowsOf("1 kHz, process busy", fast, fastPeer).filter(({ goal }) => goal !== "≤ 2000"),
    ];
  } finally {
    program.remove();
  }
}
