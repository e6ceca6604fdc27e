import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";

import { raiseFileLimit } from "../file-limit.ts";
import { FREE_PORTS, type Measured, startAgentWith, startPrintingPort } from "../processes.ts";
import { median, quantile, row, type Row, type SuiteOptions } from "../report.ts";

const CONFIG = `node: bench
board: sim
${FREE_PORTS}
log: { level: error }
`;

/** Connections held at once. */
const HELD = 10_000;

/** Opened at a time: fewer than the peer's accept queue, 511. */
const GROUP = 100;

/** Files of a process beside the connections it holds. */
const OTHER_FILES = 500;

/** From the last connection to the measurement, and from the start to the measurement without any. */
const SETTLE_MS = 2500;

/** Round trips timed while the connections are held. */
const ROUND_TRIPS = 2000;

const PING = "*1\r\n$4\r\nPING\r\n";
const PONG = "+PONG\r\n";
const PING_LINES = 3;

/** What a connection has done before it is idle. */
type Past = "nothing" | "one request";

/** What holding cost. */
interface Held {
  /** Connections still open when measured. */
  readonly count: number;
  /** Resident memory above that without connections, bytes per connection. */
  readonly bytesEach: number;
  /** Microseconds per round trip of one more connection meanwhile. */
  readonly roundTripsUs: readonly number[];
}

interface Candidate {
  readonly name: string;
  start(): Promise<Measured>;
}

/** The clone port speaks both dialects, as every service's port does: that costs a connection more than the gateway's one. */
const AGENT: Candidate = { name: "agent", start: () => startAgentWith(CONFIG, "clone") };

const RAW: Candidate = {
  name: "raw Node server",
  start: () => startPrintingPort(process.execPath, ["bench/peers/line-server.mjs", String(PING_LINES), Buffer.from(PONG).toString("hex")]),
};

function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}

async function openOne(port: number, past: Past): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  if (past === "one request") {
    socket.write(PING);
    const [answer] = (await once(socket, "data")) as [Buffer];
    if (answer.toString() !== PONG) throw new Error(`PING was answered ${JSON.stringify(answer.toString())}`);
  }
  // One that is closed meanwhile is missing in the count.
  socket.on("error", () => socket.destroy());
  socket.resume();
  return socket;
}

async function openAll(port: number, count: number, past: Past): Promise<readonly Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const group = Math.min(GROUP, count - sockets.length);
    sockets.push(...(await Promise.all(Array.from({ length: group }, () => openOne(port, past)))));
  }
  return sockets;
}

/** Microseconds of each of `count` round trips, one at a time over one connection. */
async function roundTrips(port: number, count: number): Promise<readonly number[]> {
  const socket = await openOne(port, "one request");
  const measured: number[] = [];
  for (let i = 0; i < count; i++) {
    const startedMs = performance.now();
    socket.write(PING);
    await once(socket, "data");
    measured.push((performance.now() - startedMs) * 1000);
  }
  socket.destroy();
  return measured;
}

async function hold(candidate: Candidate, count: number, past: Past): Promise<Held> {
  const measured = await candidate.start();
  let sockets: readonly Socket[] = [];
  try {
    // One request, so that neither base lacks what the first one makes.
    (await openOne(measured.port, "one request")).destroy();
    await wait(SETTLE_MS);
    const base = residentBytes(measured.pid);
    sockets = await openAll(measured.port, count, past);
    await wait(SETTLE_MS);
    const bytesEach = (residentBytes(measured.pid) - base) / count;
    const roundTripsUs = await roundTrips(measured.port, ROUND_TRIPS);
    return { count: sockets.filter((socket) => !socket.destroyed && !socket.readableEnded).length, bytesEach, roundTripsUs };
  } finally {
    for (const socket of sockets) socket.destroy();
    await measured.stop();
  }
}

/** The two of them in turns, so that what disturbs the machine disturbs both alike. */
async function compare(past: Past, count: number, rounds: number, progress: SuiteOptions["progress"]): Promise<readonly Row[]> {
  const agent: Held[] = [];
  const raw: Held[] = [];
  for (let round = 0; round < rounds; round++) {
    agent.push(await hold(AGENT, count, past));
    raw.push(await hold(RAW, count, past));
    progress(
      `${count} connections that sent ${past}: ${agent.at(-1)?.bytesEach.toFixed(0)} bytes each, ${RAW.name} ${raw.at(-1)?.bytesEach.toFixed(0)}`,
    );
  }
  const both = (figure: (held: Held) => number) => ({
    value: median(agent.map(figure)),
    peer: { name: RAW.name, value: median(raw.map(figure)) },
  });
  const after = `that sent ${past}`;
  const goal = past === "nothing" ? { goal: "≤ 1.3 ×" } : {};
  return [
    row({
      name: `idle connections ${after}, held`,
      value: Math.min(...agent.map((held) => held.count)),
      unit: "connections",
      peer: { name: RAW.name, value: Math.min(...raw.map((held) => held.count)) },
      goal: `≥ ${HELD}`,
    }),
    row({ name: "  resident memory above base", ...both((held) => held.bytesEach), unit: "bytes each", ...goal }),
    row({ name: "  an answer meanwhile, median", ...both((held) => median(held.roundTripsUs)), unit: "µs" }),
    row({ name: "  an answer meanwhile, 99 %", ...both((held) => quantile(held.roundTripsUs, 0.99)), unit: "µs" }),
  ];
}

/** What ten thousand clients that are only connected cost, beside a server that does nothing else. */
export async function run({ quick, progress }: SuiteOptions): Promise<readonly Row[]> {
  const files = raiseFileLimit(HELD + OTHER_FILES, progress);
  const count = Math.min(HELD, files - OTHER_FILES);
  const rounds = quick ? 1 : 5;
  return [...(await compare("nothing", count, rounds, progress)), ...(await compare("one request", count, rounds, progress))];
}
