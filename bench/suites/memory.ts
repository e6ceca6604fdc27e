import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";

import { FREE_PORTS, type Measured, startAgentWith, startPrintingPort, startRedis } from "../processes.ts";
import { throughputs, type Load } from "../redis-benchmark.ts";
import { row, type Row, type SuiteOptions } from "../report.ts";

const CONFIG = `node: bench
board: sim
${FREE_PORTS}
log: { level: error }
memory: { maxBytes: 1073741824 }
`;

const VALUE_BYTES = 100;

/** What redis-benchmark sends when it is not told otherwise: a key and three bytes. */
const STANDARD_VALUE = "xxx";

/** V8 gives back what it needs no more when a process has been idle for a while. */
const SETTLE_MS = 12_000;

const REQUESTS_PER_WRITE = 500;

/** Not fewer in a quick run: the room V8 needs for new objects is the same for few values as for many, and would be most of the figure. */
const VALUES = 500_000;

/** Two lines for each word and one for their number. */
const LINES = { set: 7, get: 5 };

function setRequest(index: number): string {
  const key = `key:${String(index).padStart(12, "0")}`;
  // No two values are alike: a server that keeps equal ones once gains nothing.
  const value = String(index).padEnd(VALUE_BYTES, "abcdefghij");
  return `*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$${value.length}\r\n${value}\r\n`;
}

/** Stores `count` values under keys of their own. */
async function store(port: number, count: number): Promise<void> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  let missing = 0;
  let wake: () => void = () => undefined;
  socket.on("data", (chunk: Buffer) => {
    if (chunk.includes("-")) throw new Error(`SET was answered ${JSON.stringify(chunk.toString("latin1").slice(0, 200))}`);
    missing -= chunk.length;
    if (missing === 0) wake();
  });
  for (let done = 0; done < count; done += REQUESTS_PER_WRITE) {
    const some = Math.min(REQUESTS_PER_WRITE, count - done);
    missing = some * "+OK\r\n".length;
    const answered = new Promise<void>((resolve) => {
      wake = resolve;
    });
    socket.write(Array.from({ length: some }, (_, i) => setRequest(done + i)).join(""), "latin1");
    await answered;
  }
  socket.destroy();
}

function residentBytes(pid: number): number {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]);
  return pages * 4096;
}

async function redisUsedBytes(port: number): Promise<number> {
  const { stdout } = await promisify(execFile)("redis-cli", ["-p", String(port), "info", "memory"]);
  return Number(/^used_memory:(\d+)/m.exec(stdout)?.[1]);
}

/** What one stored value adds to the process, its key and everything about it included. */
async function bytesPerValue(server: Measured, count: number): Promise<number> {
  // Only that it has answered before: requests that came first would leave free room in the heap, which the values then took without being counted.
  await store(server.port, REQUESTS_PER_WRITE);
  await wait(SETTLE_MS);
  const before = residentBytes(server.pid);
  await store(server.port, count);
  await wait(SETTLE_MS);
  return (residentBytes(server.pid) - before) / count;
}

async function memoryRows({ progress }: SuiteOptions): Promise<readonly Row[]> {
  progress(`${VALUES} values of ${VALUE_BYTES} bytes: agent, then redis-server`);
  const agent = await startAgentWith(CONFIG, "memory");
  const agentBytes = await bytesPerValue(agent, VALUES).finally(() => agent.stop());
  const redis = await startRedis();
  try {
    const usedBefore = await redisUsedBytes(redis.port);
    const redisBytes = await bytesPerValue(redis, VALUES);
    const used = ((await redisUsedBytes(redis.port)) - usedBefore) / VALUES;
    const value = { value: agentBytes, unit: "B" };
    return [
      row({ name: "memory per 100-byte value", ...value, peer: { name: "redis-server, resident", value: redisBytes }, goal: "≤ 1.5 ×" }),
      row({ name: "memory per 100-byte value", ...value, peer: { name: "redis-server, used_memory", value: used } }),
    ];
  } finally {
    await redis.stop();
  }
}

async function speedRows(agent: Measured, started: Measured[], { quick, progress }: SuiteOptions): Promise<readonly Row[]> {
  const rounds = quick ? 3 : 9;
  const redis = await startRedis();
  started.push(redis);
  const pipelined: Load = { pipeline: 16, count: quick ? 300_000 : 1_500_000, rounds };
  const single: Load = { pipeline: 1, count: quick ? 60_000 : 150_000, rounds };
  const rows: Row[] = [];
  const replies = { set: "+OK\r\n", get: `$${STANDARD_VALUE.length}\r\n${STANDARD_VALUE}\r\n` };
  for (const test of ["set", "get"] as const) {
    const command = ["-t", test];
    const name = test.toUpperCase();
    progress(`${name}, 50 connections, 16 pipelined: agent and redis-server in turns`);
    const [fast = Number.NaN, redisFast = Number.NaN] = await throughputs(
      [agent, redis].map(({ port }) => ({ port, command })),
      pipelined,
    );
    rows.push(
      row({
        name: `${name}, 50 connections × 16 pipelined`,
        value: fast,
        unit: "1/s",
        peer: { name: `redis-server ${name}`, value: redisFast },
        goal: "≥ 1 ×",
      }),
    );
    progress(`${name}, 50 connections, one request each: agent, raw Node server and redis-server in turns`);
    const raw = await startPrintingPort(process.execPath, [
      "bench/peers/line-server.mjs",
      String(LINES[test]),
      Buffer.from(replies[test], "latin1").toString("hex"),
    ]);
    started.push(raw);
    const [slow = Number.NaN, rawSlow = Number.NaN, redisSlow = Number.NaN] = await throughputs(
      [agent, raw, redis].map(({ port }) => ({ port, command })),
      single,
    );
    const figure = { name: `${name}, 50 connections × 1`, value: slow, unit: "1/s" };
    rows.push(row({ ...figure, peer: { name: "raw Node line server", value: rawSlow }, goal: "≥ 0.95 ×" }));
    rows.push(row({ ...figure, peer: { name: `redis-server ${name}`, value: redisSlow } }));
  }
  const spread = ["-r", "100000", "-d", String(VALUE_BYTES), "-t", "set"];
  progress("SET of 100,000 different keys, 16 pipelined: agent and redis-server in turns");
  const [random = Number.NaN, redisRandom = Number.NaN] = await throughputs(
    [agent, redis].map(({ port }) => ({ port, command: spread })),
    pipelined,
  );
  const peer = { name: "redis-server SET", value: redisRandom };
  rows.push(row({ name: "SET, 100,000 keys, 100 bytes, 50 × 16", value: random, unit: "1/s", peer }));
  return rows;
}

/** Keys and values beside Redis. Needs redis-server, redis-cli and redis-benchmark. */
export async function run(options: SuiteOptions): Promise<readonly Row[]> {
  const agent = await startAgentWith(CONFIG, "memory");
  const started: Measured[] = [agent];
  let speed: readonly Row[];
  try {
    speed = await speedRows(agent, started, options);
  } finally {
    for (const process of started) await process.stop();
  }
  return [...speed, ...(await memoryRows(options))];
}
