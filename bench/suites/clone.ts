import { execFile } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";

import { FREE_PORTS, compileC, type Measured, startAgentWith, startPrintingPort, startRedis } from "../processes.ts";
import { median, row, type Row, type SuiteOptions } from "../report.ts";

/** Devices in the process that listens, or in one of their own. */
function configOf(isolation: "none" | "process"): string {
  return `node: bench
board: sim
isolation: ${isolation}
${FREE_PORTS}
log: { level: error }
devices:
  lamp: { driver: light, line: GPIO17 }
`;
}

/** What redis-benchmark sends for `CLONE lamp.on`, so that all three measurements carry the same bytes. */
const REQUEST = "*2\r\n$5\r\nCLONE\r\n$7\r\nlamp.on\r\n";
const REQUEST_LINES = 5;

/** One request at a time over one connection. */
interface Pinger {
  /** Microseconds per round trip, over `count` of them. */
  round(count: number): Promise<number>;
  close(): void;
}

async function connectTo(port: number) {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  return socket;
}

async function replyOf(port: number): Promise<Buffer> {
  const socket = await connectTo(port);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  socket.write(REQUEST);
  await wait(300);
  socket.destroy();
  const reply = Buffer.concat(chunks);
  if (reply.length === 0 || reply[0] === 0x2d) throw new Error(`CLONE lamp.on was answered ${JSON.stringify(reply.toString())}`);
  return reply;
}

async function createPinger(port: number, replyBytes: number): Promise<Pinger> {
  const socket = await connectTo(port);
  let left = 0;
  let missing = replyBytes;
  let finish: () => void = () => undefined;
  let fail: (error: Error) => void = () => undefined;
  socket.on("close", () => fail(new Error(`port ${port} closed the connection`)));
  socket.on("data", (chunk) => {
    missing -= chunk.length;
    if (missing > 0) return;
    missing = replyBytes;
    left--;
    if (left > 0) socket.write(REQUEST);
    else finish();
  });
  return {
    async round(count) {
      left = count;
      const startedMs = performance.now();
      await new Promise<void>((resolve, reject) => {
        finish = resolve;
        fail = reject;
        socket.write(REQUEST);
      });
      return ((performance.now() - startedMs) * 1000) / count;
    },
    close: () => socket.destroy(),
  };
}

/** Medians of rounds that take turns, so that what disturbs the machine disturbs all alike. */
async function roundTripsUs(ports: readonly number[], replyBytes: number, rounds: number, perRound: number): Promise<readonly number[]> {
  const pingers = await Promise.all(ports.map((port) => createPinger(port, replyBytes)));
  const measured: number[][] = pingers.map(() => []);
  for (const pinger of pingers) await pinger.round(perRound);
  for (let round = 0; round < rounds; round++) {
    for (const [index, pinger] of pingers.entries()) measured[index]?.push(await pinger.round(perRound));
  }
  for (const pinger of pingers) pinger.close();
  return measured.map(median);
}

/** Requests per second as redis-benchmark counts them. */
async function redisBenchmark(port: number, pipeline: number, count: number, command: readonly string[]): Promise<number> {
  const args = ["-h", "127.0.0.1", "-p", String(port), "-c", "50", "-P", String(pipeline), "-n", String(count), "--csv", ...command];
  const { stdout } = await promisify(execFile)("redis-benchmark", args);
  const last = stdout.trim().split("\n").at(-1) ?? "";
  const perSecond = Number(/^"[^"]*","([\d.]+)"/.exec(last)?.[1]);
  if (Number.isNaN(perSecond)) throw new Error(`redis-benchmark printed ${JSON.stringify(stdout)}`);
  return perSecond;
}

interface Contender {
  readonly port: number;
  readonly command: readonly string[];
}

const CLONE = ["CLONE", "lamp.on"];

async function throughputs(contenders: readonly Contender[], pipeline: number, rounds: number, count: number): Promise<readonly number[]> {
  const measured: number[][] = contenders.map(() => []);
  for (const { port, command } of contenders) await redisBenchmark(port, pipeline, count, command);
  for (let round = 0; round < rounds; round++) {
    for (const [index, { port, command }] of contenders.entries())
      measured[index]?.push(await redisBenchmark(port, pipeline, count, command));
  }
  return measured.map(median);
}

async function measure(agent: Measured, isolated: Measured, started: Measured[], options: SuiteOptions): Promise<readonly Row[]> {
  const { quick, progress } = options;
  const reply = await replyOf(agent.port);
  await replyOf(isolated.port);
  const size = [String(REQUEST_LINES), reply.toString("hex")];
  const raw = await startPrintingPort(process.execPath, ["bench/peers/line-server.mjs", ...size]);
  started.push(raw);
  const relay = await startPrintingPort(process.execPath, ["bench/peers/relay-server.mjs", ...size]);
  started.push(relay);
  const program = compileC("bench/peers/line-server.c");
  const inC = await startPrintingPort(program.path, size);
  started.push({ ...inC, stop: () => inC.stop().finally(() => program.remove()) });
  const redis = await startRedis();
  started.push(redis);

  progress("sequential round trips: agent in one process and in two, raw Node server, two raw Node processes, raw C server in turns");
  const [agentUs = Number.NaN, isolatedUs = Number.NaN, rawUs = Number.NaN, relayUs = Number.NaN, cUs = Number.NaN] = await roundTripsUs(
    [agent.port, isolated.port, raw.port, relay.port, inC.port],
    reply.length,
    quick ? 5 : 21,
    quick ? 2000 : 4000,
  );

  const rounds = quick ? 3 : 7;
  progress("50 connections, 16 pipelined: agent in one process and in two, and redis-server SET in turns");
  const [pipelined = Number.NaN, isolatedPipelined = Number.NaN, redisSet = Number.NaN] = await throughputs(
    [
      { port: agent.port, command: CLONE },
      { port: isolated.port, command: CLONE },
      { port: redis.port, command: ["-t", "set"] },
    ],
    16,
    rounds,
    quick ? 200_000 : 600_000,
  );

  progress("50 connections, one request each: agent and raw Node server in turns");
  const [single = Number.NaN, rawSingle = Number.NaN] = await throughputs(
    [
      { port: agent.port, command: CLONE },
      { port: raw.port, command: CLONE },
    ],
    1,
    rounds,
    quick ? 60_000 : 150_000,
  );

  return [
    row({
      name: "CLONE, one after the other",
      value: agentUs,
      unit: "µs",
      peer: { name: "raw Node line server", value: rawUs },
      goal: "≤ 1.25 ×",
    }),
    row({
      name: "CLONE through both processes, one after the other",
      value: isolatedUs,
      unit: "µs",
      peer: { name: "raw Node line server", value: rawUs },
      goal: "≤ 2.1 ×",
    }),
    row({
      name: "CLONE through both processes, one after the other",
      value: isolatedUs,
      unit: "µs",
      peer: { name: "two raw Node processes", value: relayUs },
    }),
    row({ name: "raw Node line server", value: rawUs, unit: "µs", peer: { name: "the same in C", value: cUs }, goal: "≤ 1.1 ×" }),
    row({
      name: "CLONE, 50 connections × 16 pipelined",
      value: pipelined,
      unit: "1/s",
      peer: { name: "redis-server SET", value: redisSet },
      goal: "≥ 0.4 ×",
    }),
    row({
      name: "CLONE through both processes, 50 connections × 16 pipelined",
      value: isolatedPipelined,
      unit: "1/s",
      peer: { name: "redis-server SET", value: redisSet },
      goal: "≥ 0.3 ×",
    }),
    row({
      name: "CLONE, 50 connections × 1",
      value: single,
      unit: "1/s",
      peer: { name: "raw Node line server", value: rawSingle },
      goal: "≥ 0.9 ×",
    }),
  ];
}

/** How fast a device function is called over loopback. Needs redis-server, redis-benchmark and cc. */
export async function run(options: SuiteOptions): Promise<readonly Row[]> {
  const agent = await startAgentWith(configOf("none"));
  const started: Measured[] = [agent];
  try {
    const isolated = await startAgentWith(configOf("process"));
    started.push(isolated);
    return await measure(agent, isolated, started, options);
  } finally {
    for (const process of started) await process.stop();
  }
}
