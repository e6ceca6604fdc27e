import { execFile } from "node:child_process";
import { once } from "node:events";
import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";

import { natsMissing, startDurableRedis, startNats, takeDiskFolder, type NatsSync } from "../durable-peers.ts";
import { FREE_PORTS, type Measured, startAgentWith } from "../processes.ts";
import { median, row, type Row, type SuiteOptions } from "../report.ts";

const CONFIG = `node: bench
board: sim
${FREE_PORTS}
log: { level: error }
queue: { maxMessages: 10000000, maxBytes: 17179869184 }
`;

const PAYLOAD = "x".repeat(100);

/** 64 requests in flight: four connections with 16 pipelined each. */
const CONNECTIONS = 4;
const PIPELINE = 16;
const IN_FLIGHT = CONNECTIONS * PIPELINE;

const runProgram = promisify(execFile);

/** Requests per second as redis-benchmark counts them. */
async function redisBenchmark(port: number, count: number, command: readonly string[]): Promise<number> {
  const shape = ["-c", String(CONNECTIONS), "-P", String(PIPELINE), "-n", String(count), "--csv"];
  const { stdout } = await runProgram("redis-benchmark", ["-h", "127.0.0.1", "-p", String(port), ...shape, ...command]);
  const last = stdout.trim().split("\n").at(-1) ?? "";
  const perSecond = Number(/^"[^"]*","([\d.]+)"/.exec(last)?.[1]);
  if (Number.isNaN(perSecond)) throw new Error(`redis-benchmark printed ${JSON.stringify(stdout)}`);
  return perSecond;
}

/** A connection on which one request after the other is answered with one line. */
async function openLines(port: number) {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  let text = "";
  let take: (line: string) => void = () => undefined;
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
    for (let end = text.indexOf("\r\n"); end >= 0; end = text.indexOf("\r\n")) {
      const line = text.slice(0, end);
      text = text.slice(end + 2);
      take(line);
    }
  });
  return {
    /** Answers to requests that are all sent at once. */
    async ask(requests: string, answers: number): Promise<readonly string[]> {
      const lines: string[] = [];
      const done = new Promise<void>((resolve) => {
        take = (line) => {
          lines.push(line);
          if (lines.length === answers) resolve();
        };
      });
      socket.write(requests);
      await done;
      return lines;
    },
    close: () => socket.destroy(),
  };
}

function bulk(...words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
}

const ENQUEUE = bulk("ENQUEUE", PAYLOAD);

/** Acknowledges everything up to the newest message, so that a round does not carry what the rounds before left. Returns the newest id. */
async function emptyQueue(port: number, from: number): Promise<number> {
  const lines = await openLines(port);
  const [last = ""] = await lines.ask(ENQUEUE, 1);
  const newest = Number(last.slice(1));
  for (let id = from; id <= newest; id += 1000) {
    const ids = Array.from({ length: Math.min(1000, newest - id + 1) }, (_, i) => String(id + i));
    const answers = await lines.ask(ids.map((one) => bulk("ACK", one)).join(""), ids.length);
    if (answers.some((answer) => answer !== "+OK"))
      throw new Error(`ACK was answered ${String(answers.find((answer) => answer !== "+OK"))}`);
  }
  lines.close();
  return newest;
}

async function emptyStream(port: number): Promise<void> {
  const lines = await openLines(port);
  await lines.ask(bulk("DEL", "s"), 1);
  lines.close();
}

/** Both in turns, so that what disturbs the machine disturbs both alike. */
async function besideRedis(agent: Measured, redis: Measured, options: SuiteOptions): Promise<Row> {
  const rounds = options.quick ? 3 : 7;
  const count = options.quick ? 50_000 : 200_000;
  const ours: number[] = [];
  const theirs: number[] = [];
  let next = 1;
  for (let round = -1; round < rounds; round++) {
    const virgo = await redisBenchmark(agent.port, count, ["ENQUEUE", PAYLOAD]);
    next = (await emptyQueue(agent.port, next)) + 1;
    const xadd = await redisBenchmark(redis.port, count, ["XADD", "s", "*", "f", PAYLOAD]);
    await emptyStream(redis.port);
    // The first round warms up.
    if (round < 0) continue;
    ours.push(virgo);
    theirs.push(xadd);
  }
  return row({
    name: `ENQUEUE, ${CONNECTIONS} connections × ${PIPELINE} pipelined`,
    value: median(ours),
    unit: "1/s",
    peer: { name: "redis-server XADD, appendfsync always", value: median(theirs) },
    goal: "≥ 1.0 ×",
  });
}

async function natsPerSecond(port: number, count: number): Promise<number> {
  const args = ["bench/peers/nats-publisher.mjs", port, count, IN_FLIGHT, PAYLOAD.length].map(String);
  const { stdout } = await runProgram(process.execPath, args);
  return Number(stdout);
}

async function besideNats(folder: string, ours: number, sync: NatsSync, options: SuiteOptions): Promise<Row> {
  const nats = await startNats(folder, sync);
  try {
    options.progress(`JetStream, ${IN_FLIGHT} in flight over one connection; synced by ${nats.syncedBy}`);
    const count = (options.quick ? 1 : 4) * (sync === "always" ? 3000 : 50_000);
    await natsPerSecond(nats.port, Math.ceil(count / 4));
    const measured: number[] = [];
    for (let round = 0; round < 3; round++) measured.push(await natsPerSecond(nats.port, count));
    const name = sync === "always" ? `NATS JetStream, ${nats.syncedBy}` : "NATS JetStream as it comes, not synced";
    const peer = { name, value: median(measured) };
    return row({
      name: `ENQUEUE, ${IN_FLIGHT} in flight`,
      value: ours,
      unit: "1/s",
      peer,
      ...(sync === "always" ? { goal: "≥ 10 ×" } : {}),
    });
  } finally {
    await nats.stop();
  }
}

/** Microseconds of each append of 256 bytes with its fdatasync. */
function appendUs(file: number, count: number): number[] {
  const bytes = Buffer.alloc(256, "x");
  return Array.from({ length: count }, () => {
    const startedMs = performance.now();
    writeSync(file, bytes);
    fdatasyncSync(file);
    return (performance.now() - startedMs) * 1000;
  });
}

async function besideFdatasync(agent: Measured, folder: string, options: SuiteOptions): Promise<Row> {
  options.progress("ENQUEUE one after the other, and appends with fdatasync, in turns");
  const file = openSync(join(folder, "appended"), "a");
  const lines = await openLines(agent.port);
  const asked: number[] = [];
  const appended: number[] = [];
  for (let round = 0; round < (options.quick ? 100 : 400); round++) {
    for (let i = 0; i < 10; i++) {
      const startedMs = performance.now();
      await lines.ask(ENQUEUE, 1);
      asked.push((performance.now() - startedMs) * 1000);
    }
    appended.push(...appendUs(file, 10));
  }
  lines.close();
  closeSync(file);
  return row({
    name: "ENQUEUE, one after the other",
    value: median(asked),
    unit: "µs",
    peer: { name: "append of 256 bytes and fdatasync", value: median(appended) },
    goal: "≤ 1.3 ×",
  });
}

async function natsRows(folder: string, ours: number, options: SuiteOptions): Promise<readonly Row[]> {
  const missing = natsMissing();
  if (missing !== undefined) {
    options.progress(`no JetStream rows: ${missing}`);
    return [];
  }
  return [await besideNats(folder, ours, "always", options), await besideNats(folder, ours, "default", options)];
}

/**
 * How fast the queue takes messages that are on disk when they are acknowledged. All of it is on one disk. Needs redis-server and redis-benchmark; nats-server
 * is measured where it is installed.
 */
export async function run(options: SuiteOptions): Promise<readonly Row[]> {
  const folder = takeDiskFolder();
  const started: Measured[] = [];
  try {
    const agent = await startAgentWith(CONFIG, "queue");
    started.push(agent);
    const redis = await startDurableRedis(folder.path);
    started.push(redis);
    options.progress(`${CONNECTIONS} connections × ${PIPELINE} pipelined: agent and redis-server in turns`);
    const beside = await besideRedis(agent, redis, options);
    return [beside, await besideFdatasync(agent, folder.path, options), ...(await natsRows(folder.path, beside.value, options))];
  } finally {
    for (const process of started) await process.stop();
    folder.remove();
  }
}
