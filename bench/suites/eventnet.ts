import { closeSync, fdatasyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";

import { createReplyParser } from "../../agent/wire/resp-reply.ts";
import { FREE_PORTS, type Measured, startAgentWith } from "../processes.ts";
import { median, quantile, row, type Row, type SuiteOptions } from "../report.ts";
import type { Value } from "../../agent/contract/value.ts";

const EDGES = 1_000_000;

/** Events the edges are between. */
const EVENTS = 100_000;

/** Of the graph that is drawn. */
const DRAWN_EDGES = 100_000;

const CONNECTIONS = 16;

/** Requests of a connection under way: two pieces of so many, the next one sent when one is answered. */
const PIECE = 256;

/** Beside `dist` and not in memory, as /tmp may be. */
const WORK_FOLDER = "reports";

const MICROSECONDS = 1000;
const LF = 0x0a;
const MINUS = 0x2d;

function configOf(folder: string): string {
  return `node: bench
board: sim
${FREE_PORTS}
log: { level: error }
events: { folder: ${JSON.stringify(folder)} }
`;
}

/** Repeatable, and unlike anything that an order of arrival would favour. */
function createRandom(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function encode(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`;
}

/** Pieces of requests, each an edge between two of `events`. */
function piecesOf(edges: number, events: number, random: (below: number) => number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let done = 0; done < edges; done += PIECE) {
    let text = "";
    for (let i = 0; i < Math.min(PIECE, edges - done); i++) text += encode(["EVENT.EDGE", String(random(events)), String(random(events))]);
    pieces.push(Buffer.from(text, "latin1"));
  }
  return pieces;
}

async function connectTo(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  return socket;
}

/** Sends pieces until none is left, two under way. */
async function send(port: number, pieces: Buffer[], edgesOf: (piece: Buffer) => number): Promise<void> {
  const socket = await connectTo(port);
  /** Answers that are missing of each piece under way. */
  const missing: number[] = [];
  await new Promise<void>((resolve, reject) => {
    const next = (): void => {
      const piece = pieces.pop();
      if (piece !== undefined) {
        missing.push(edgesOf(piece));
        socket.write(piece);
      } else if (missing.length === 0) resolve();
    };
    socket.on("close", () => reject(new Error("the agent closed the connection")));
    socket.on("data", (chunk: Buffer) => {
      if (chunk.includes(MINUS)) reject(new Error(`an edge was answered ${chunk.toString()}`));
      let answers = 0;
      for (const byte of chunk) if (byte === LF) answers += 1;
      while (answers > 0) {
        const taken = Math.min(answers, missing[0] ?? answers);
        answers -= taken;
        missing[0] = (missing[0] ?? 0) - taken;
        if (missing[0] > 0) break;
        missing.shift();
        next();
      }
    });
    next();
    next();
  });
  socket.destroy();
}

/** Edges per second, all of them on disk. */
async function append(port: number, edges: number, events: number, seed: number): Promise<number> {
  const pieces = piecesOf(edges, events, createRandom(seed));
  const last = pieces.length - 1;
  const sizes = new Map(pieces.map((piece, i) => [piece, i === last ? edges - last * PIECE : PIECE]));
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: CONNECTIONS }, () => send(port, pieces, (piece) => sizes.get(piece) ?? 0)));
  return (edges * 1000) / (performance.now() - startedMs);
}

interface Asker {
  ask(...words: readonly string[]): Promise<Value>;
  close(): void;
}

async function createAsker(port: number): Promise<Asker> {
  const socket = await connectTo(port);
  const parser = createReplyParser();
  let answer: (value: Value) => void = () => undefined;
  let fail: (error: Error) => void = () => undefined;
  socket.on("close", () => fail(new Error("the agent closed the connection")));
  socket.on("data", (chunk: Buffer) => {
    for (const message of parser.push(chunk)) {
      if (message.kind === "push") continue;
      if (message.reply.kind === "error") fail(message.reply.error);
      else answer(message.reply.kind === "value" ? message.reply.value : message.reply.text);
    }
  });
  const asker: Asker = {
    ask: (...words) =>
      new Promise((resolve, reject) => {
        answer = resolve;
        fail = reject;
        socket.write(encode(words));
      }),
    close: () => {
      fail = () => undefined;
      socket.destroy();
    },
  };
  await asker.ask("HELLO", "3");
  return asker;
}

async function withAsker<T>(port: number, use: (asker: Asker) => Promise<T>): Promise<T> {
  const asker = await createAsker(port);
  try {
    return await use(asker);
  } finally {
    asker.close();
  }
}

/** How the agent wrote what it was given. */
interface Written {
  readonly edgesPerGroup: number;
  readonly bytesPerGroup: number;
}

async function writtenBy(port: number): Promise<Written> {
  const stat = (await withAsker(port, (asker) => asker.ask("EVENT.STAT"))) as Readonly<Record<string, number>>;
  const figure = (name: string): number => stat[name] ?? Number.NaN;
  return { edgesPerGroup: figure("log_records") / figure("log_writes"), bytesPerGroup: figure("log_bytes_written") / figure("log_writes") };
}

/** Edges per second of a bare Node that writes as many bytes and waits for the disk, as often, into space taken before. */
function bareAppend(folder: string, edges: number, { edgesPerGroup, bytesPerGroup }: Written): number {
  const path = join(folder, "bare");
  const groups = Math.max(1, Math.round(edges / edgesPerGroup));
  const bytes = Buffer.alloc(Math.round(bytesPerGroup), "E1000000 1700000000000 12345\t67890");
  writeFileSync(path, Buffer.alloc(groups * bytes.length));
  const file = openSync(path, "r+");
  fdatasyncSync(file);
  const startedMs = performance.now();
  for (let group = 0; group < groups; group++) {
    writeSync(file, bytes, 0, bytes.length, group * bytes.length);
    fdatasyncSync(file);
  }
  const tookMs = performance.now() - startedMs;
  closeSync(file);
  rmSync(path);
  return (groups * edgesPerGroup * 1000) / tookMs;
}

function residentBytes(pid: number): number {
  return Number(/^Rss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1]) * 1024;
}

/** Folders and agents of the run, all gone at its end. */
interface Place {
  newFolder(): string;
  start(folder: string): Promise<Measured>;
  stop(agent: Measured): Promise<void>;
  clear(): Promise<void>;
}

function createPlace(): Place {
  const folders: string[] = [];
  const running = new Set<Measured>();
  const place: Place = {
    newFolder() {
      const folder = mkdtempSync(join(process.cwd(), WORK_FOLDER, "eventnet-"));
      folders.push(folder);
      return folder;
    },
    async start(folder) {
      const agent = await startAgentWith(configOf(folder));
      running.add(agent);
      return agent;
    },
    async stop(agent) {
      running.delete(agent);
      await agent.stop();
    },
    async clear() {
      for (const agent of running) await agent.stop();
      for (const folder of folders) rmSync(folder, { recursive: true, force: true });
    },
  };
  return place;
}

/** Edges per second, agent and bare Node in turns. Leaves a folder with all the edges. */
async function measureAppends(
  place: Place,
  { quick, seed, progress }: SuiteOptions,
): Promise<{ readonly rows: readonly Row[]; readonly folder: string }> {
  const agents: number[] = [];
  const bare: number[] = [];
  let folder = "";
  let written: Written = { edgesPerGroup: Number.NaN, bytesPerGroup: Number.NaN };
  for (let round = 0; round < (quick ? 1 : 3); round++) {
    progress(`${EDGES} edges, ${CONNECTIONS} connections with ${2 * PIECE} requests under way each: round ${round + 1}`);
    folder = place.newFolder();
    const agent = await place.start(folder);
    agents.push(await append(agent.port, EDGES, EVENTS, seed + round));
    written = await writtenBy(agent.port);
    await place.stop(agent);
    bare.push(bareAppend(folder, EDGES, written));
  }
  const under = `${CONNECTIONS} connections × ${2 * PIECE} pipelined`;
  const rows = [
    row({
      name: `durable edges, ${under}`,
      value: median(agents),
      unit: "1/s",
      peer: { name: "bare Node, the same groups with fdatasync", value: median(bare) },
      goal: "≥ 100000",
    }),
    row({ name: "edges per group on disk", value: written.edgesPerGroup, unit: "edges" }),
  ];
  return { rows, folder };
}

/** Drawing a graph, and how long others wait meanwhile. */
async function measureDrawing(place: Place, { quick, seed, progress }: SuiteOptions): Promise<readonly Row[]> {
  progress(`DOT of ${DRAWN_EDGES} edges`);
  const agent = await place.start(place.newFolder());
  await append(agent.port, DRAWN_EDGES, EVENTS / 10, seed);
  const drawn: number[] = [];
  let longestUs = 0;
  let bytes = 0;
  await withAsker(agent.port, (drawer) =>
    withAsker(agent.port, async (other) => {
      for (let round = 0; round < (quick ? 3 : 11); round++) {
        const drawing = new AbortController();
        const startedMs = performance.now();
        const dot = drawer.ask("EVENT.GRAPH", "DOT").then((value) => {
          drawn.push(performance.now() - startedMs);
          bytes = Buffer.byteLength(value as string);
          drawing.abort();
        });
        while (!drawing.signal.aborted) {
          const askedMs = performance.now();
          await other.ask("PING");
          longestUs = Math.max(longestUs, (performance.now() - askedMs) * MICROSECONDS);
        }
        await dot;
      }
    }),
  );
  await place.stop(agent);
  return [
    row({ name: `DOT of ${DRAWN_EDGES} edges (${(bytes / 1e6).toFixed(1)} MB)`, value: median(drawn), unit: "ms", goal: "≤ 2000" }),
    row({ name: "longest PING of another connection meanwhile", value: longestUs / MICROSECONDS, unit: "ms" }),
  ];
}

/** Starting with all the edges, what they take, and questions about them. */
async function measureLarge(place: Place, folder: string, { quick, seed, progress }: SuiteOptions): Promise<readonly Row[]> {
  progress(`starting with ${EDGES} edges, and without`);
  const empty: Measured[] = [];
  const large: Measured[] = [];
  const resident = { empty: [] as number[], large: [] as number[] };
  for (let round = 0; round < (quick ? 1 : 3); round++) {
    const without = await place.start(place.newFolder());
    empty.push(without);
    resident.empty.push(residentBytes(without.pid));
    await place.stop(without);
    const withAll = await place.start(folder);
    large.push(withAll);
    resident.large.push(residentBytes(withAll.pid));
    await place.stop(withAll);
  }
  const startMs = (agents: readonly Measured[]): number => median(agents.map((agent) => agent.startMs));

  progress("WHY among them");
  const agent = await place.start(folder);
  const random = createRandom(seed);
  const whys: number[] = [];
  const orderMs = await withAsker(agent.port, async (asker) => {
    for (let i = 0; i < (quick ? 500 : 3000); i++) {
      const startedMs = performance.now();
      await asker.ask("EVENT.WHY", String(random(EVENTS)));
      whys.push(performance.now() - startedMs);
    }
    await asker.ask("EVENT.EDGE", "0", "1");
    const startedMs = performance.now();
    await asker.ask("EVENT.ORDER");
    return performance.now() - startedMs;
  });
  await place.stop(agent);
  return [
    row({ name: `WHY among ${EDGES} edges, 100 causes`, value: median(whys), unit: "ms" }),
    row({ name: "the same, slowest of 100", value: quantile(whys, 0.99), unit: "ms" }),
    row({ name: `ORDER of ${EDGES} edges after a change`, value: orderMs, unit: "ms" }),
    row({
      name: "resident memory per edge, after a start",
      value: (median(resident.large) - median(resident.empty)) / EDGES,
      unit: "bytes",
    }),
    row({
      name: `spawn to listening with ${EDGES} edges`,
      value: startMs(large),
      unit: "ms",
      peer: { name: "without any", value: startMs(empty) },
    }),
  ];
}

/** How fast events come on disk, how soon they are drawn and explained, and what a million of them costs. */
export async function run(options: SuiteOptions): Promise<readonly Row[]> {
  const place = createPlace();
  try {
    const { rows, folder } = await measureAppends(place, options);
    return [...rows, ...(await measureDrawing(place, options)), ...(await measureLarge(place, folder, options))];
  } finally {
    await place.clear();
  }
}
