// A million requests nobody would send, ten thousand clients that say nothing and some that never listen, against the built agent: it must go on.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import fc from "fast-check";

import { createReplyParser } from "../../agent/wire/resp-reply.ts";
import { startWritingListen, type Measured } from "../processes.ts";
import { row, type Row, type SuiteOptions } from "../report.ts";

/** How much of everything. */
interface Plan {
  readonly requests: number;
  readonly idleConnections: number;
  readonly idleMs: number;
  readonly deafReaders: number;
}

const FULL: Plan = { requests: 1_000_000, idleConnections: 10_000, idleMs: 30_000, deafReaders: 50 };
const QUICK: Plan = { requests: 20_000, idleConnections: 500, idleMs: 4000, deafReaders: 10 };

/** Connections open at once while fuzzing. */
const WORKERS = 64;

/** Cases generated at a time. */
const BATCH = 1000;

/** A fuzzed connection that is not closed after this long hangs: the agent was told that nothing more will come. */
const HANG_MS = 20_000;

/** Share of the requests after which memory counts: before that the agent compiles, and fills the tables that are bounded. */
const WARM_UP = 0.2;

/** Bytes of a classic reply. */
const REPLY_BYTES = 500;

/** The agent's limits.drainBytes: what it reads of a connection it has closed. */
const DRAIN_BYTES = 65_536;

/** The agent under test and what it listens on. */
interface Target {
  readonly agent: Measured;
  readonly gateway: number;
  readonly clone: number;
}

async function startTarget(idleMs: number): Promise<Target & { stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), "virgo-fuzz-"));
  const config = join(folder, "agent.yaml");
  writeFileSync(
    config,
    [
      'listen: { clone: "127.0.0.1:0", gateway: "127.0.0.1:0" }',
      "board: sim",
      `limits: { idleMs: ${idleMs}, maxRequestBytes: 262144 }`,
      "log: { level: error }",
      "devices: { lamp: { driver: light, line: GPIO17 }, pump: { driver: relay, line: GPIO27 } }",
    ].join("\n"),
  );
  let state = "";
  const agent = await startWritingListen((made) => {
    state = made;
    return ["dist/agent/main.js", "agent", "--config", config, "--state", made];
  }).catch((error: unknown) => {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  });
  const listening = JSON.parse(readFileSync(join(state, "listen.json"), "utf8")) as Readonly<Record<string, string>>;
  const port = (name: string) => Number((listening[name] ?? "").split(":").at(-1));
  return {
    agent,
    gateway: port("gateway"),
    clone: port("clone"),
    stop: async () => {
      await agent.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** One request, or what is no request. `ends`: the agent closes after it; `answered`: it gives exactly one reply. */
interface Piece {
  readonly bytes: string;
  readonly ends: boolean;
  readonly answered: boolean;
}

/** One connection: what is sent, and where it is cut. */
interface Case {
  readonly port: "gateway" | "clone";
  readonly pieces: readonly Piece[];
  readonly cuts: readonly number[];
}

const byte = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code));
const bytes = (maxLength: number) => fc.string({ unit: byte, maxLength });

const word = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      "lamp.on",
      "lamp.off",
      "lamp.beam",
      "pump.on",
      "lamp",
      "pump",
      "LEASE",
      "300",
      "PRIORITY",
      "NODE",
      "ANY",
      "-1",
      "1e9",
    ),
  },
  { weight: 2, arbitrary: bytes(12) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("", "__proto__", "constructor.call", "\0", "\r\n", "lamp.on\0", '"', "%s%n", "../..", "9".repeat(400)),
  },
  { weight: 1, arbitrary: bytes(300) },
);

/** QUIT ends a connection and VAR.WATCH sends what was not asked for: both would spoil the count of the replies. */
const verb = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      "CLONE",
      "clone",
      "PING",
      "DEVICES",
      "DESCRIBE",
      "RESET",
      "ESTOP",
      "HELLO",
      "AUTH",
      "HELP",
      "INFO",
      "COMMAND",
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom("CLIENT", "VAR.SET", "VAR.GET", "VAR.LIST", "SET", "FOPEN", "ENQUEUE", "CLONE.CALL", "CLONE.TOKEN"),
  },
  { weight: 1, arbitrary: bytes(20).filter((text) => !["QUIT", "VAR.WATCH"].includes(text.toUpperCase())) },
);

function arrayOf(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((text) => `$${text.length}\r\n${text}\r\n`).join("")}`;
}

const whole = fc.tuple(verb, fc.array(word, { maxLength: 5 })).map(([first, rest]) => arrayOf([first, ...rest]));

/** Lines start with a verb that is reserved, so that the clone port takes them for the modern dialect too. */
const line = fc
  .tuple(
    fc.constantFrom("PING", "clone", "Devices", "HELP", "var.get", "INFO"),
    fc.array(
      fc.oneof(
        fc.constantFrom("lamp.on", "'a b'", '"\\x00\\n"', "300"),
        fc.string({ unit: "grapheme-ascii", maxLength: 8 }).map((text) => text.replaceAll(/["'\s]/g, "x")),
      ),
      { maxLength: 4 },
    ),
    fc.constantFrom("\r\n", "\n"),
  )
  .map(([first, rest, end]) => [first, ...rest].join(" ") + end);

const malformed = fc.constantFrom(
  ...[
    "*-1\r\n",
    "*x\r\n",
    "*99999\r\n",
    "*99999999999999999999",
    "*1\r\n$-5\r\n",
    "*1\r\n$999999999\r\n",
    "*1\r\n$3\r\nPING\r\n",
    "*2\r\n$4\r\nPING\r\n:1\r\n",
  ],
  ...[
    'PING "\r\n',
    "PING 'a'b\r\n",
    `PING ${"x".repeat(70_000)}`,
    `*1\r\n$300000\r\n${"x".repeat(100_000)}`,
    "*1\r\n$4\r\nPINGPING",
    "*1\n$4\nPING\n",
  ],
);

const piece: fc.Arbitrary<Piece> = fc.oneof(
  { weight: 60, arbitrary: whole.map((text) => ({ bytes: text, ends: false, answered: true })) },
  { weight: 20, arbitrary: line.map((text) => ({ bytes: text, ends: false, answered: true })) },
  { weight: 1, arbitrary: fc.constant({ bytes: arrayOf(["PING", "x".repeat(200_000)]), ends: false, answered: true }) },
  { weight: 1, arbitrary: fc.constant({ bytes: arrayOf(["quit"]), ends: true, answered: true }) },
  { weight: 3, arbitrary: malformed.map((text) => ({ bytes: text, ends: true, answered: true })) },
);

const raw: fc.Arbitrary<Piece> = bytes(600).map((text) => ({ bytes: text, ends: true, answered: false }));

const classic: fc.Arbitrary<Piece> = fc
  .tuple(
    fc.oneof(
      fc.constantFrom(
        "lamp.on",
        "virgo_cloud_test_kernelspace",
        "nothing",
        "0:x",
        "1:/bin/false",
        "2:lamp.off",
        'lamp.beam("low")',
        "lamp.beam(",
        "f(1,)",
        "x".repeat(3100),
      ),
      fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 40 }).map((text) => `z${text}`),
    ),
    fc.constantFrom("\r\n", "\n", "\0", " ", "", "\0".repeat(2900), `\n${"y".repeat(5000)}`),
  )
  .map(([text, end]) => ({ bytes: text + end, ends: true, answered: true }));

const testCase: fc.Arbitrary<Case> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      port: fc.constantFrom("gateway" as const, "clone" as const),
      // The first one decides the dialect on the clone port.
      pieces: fc
        .tuple(whole, fc.array(piece, { minLength: 10, maxLength: 60 }))
        .map(([first, rest]) => [{ bytes: first, ends: false, answered: true }, ...rest]),
      cuts: fc.array(fc.nat(), { maxLength: 6 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      port: fc.constant("clone" as const),
      pieces: classic.map((one) => [one]),
      cuts: fc.array(fc.nat(), { maxLength: 4 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      port: fc.constantFrom("gateway" as const, "clone" as const),
      pieces: raw.map((one) => [one]),
      cuts: fc.array(fc.nat(), { maxLength: 4 }),
    }),
  },
);

/** What became of the connections. */
interface Tally {
  connections: number;
  requests: number;
  replies: number;
  errors: number;
  internalErrors: number;
  resets: number;
  hung: number;
  /** Replies that are none, too many or too few; the first ones described. */
  readonly wrong: string[];
}

function createTally(): Tally {
  return { connections: 0, requests: 0, replies: 0, errors: 0, internalErrors: 0, resets: 0, hung: 0, wrong: [] };
}

type End = "closed" | "reset" | "hung";

/** Sends the parts, ends our side, and reads to the end. */
function exchange(port: number, parts: readonly Buffer[]): Promise<{ readonly received: Buffer; readonly end: End }> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const done = (end: End) => {
      clearTimeout(patience);
      socket.destroy();
      resolve({ received: Buffer.concat(chunks), end });
    };
    const patience = setTimeout(() => done("hung"), HANG_MS);
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("end", () => done("closed"));
    socket.on("error", () => done("reset"));
    socket.on("connect", () => void sendParts(socket, parts));
  });
}

/** A turn of the event loop between the parts, so that they arrive apart. */
async function sendParts(socket: Socket, parts: readonly Buffer[]): Promise<void> {
  for (const part of parts) {
    if (socket.destroyed) return;
    socket.write(part);
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
}

function partsOf({ pieces, cuts }: Case): Buffer[] {
  const all = Buffer.from(pieces.map((each) => each.bytes).join(""), "latin1");
  const places = [...cuts.map((cut) => cut % (all.length + 1)), 0, all.length].sort((a, b) => a - b);
  return places.slice(1).map((to, i) => all.subarray(places[i], to));
}

function isClassic(testedCase: Case, received: Buffer): boolean {
  return testedCase.port === "clone" && testedCase.pieces.length === 1 && received.length === REPLY_BYTES;
}

/** Counts what came back; describes what should not have. */
function judge(testedCase: Case, received: Buffer, end: End, tally: Tally): void {
  tally.connections += 1;
  tally.requests += heard(testedCase);
  if (end === "hung") tally.hung += 1;
  if (end === "reset") tally.resets += 1;
  if (received.includes("internal error")) tally.internalErrors += 1;
  const answered = testedCase.pieces.every((each) => each.answered);
  if (isClassic(testedCase, received)) {
    tally.replies += 1;
    if (received.subarray(0, 4).toString() === "ERR ") tally.errors += 1;
    if (!received.subarray(received.indexOf(0)).every((each) => each === 0)) wrong(testedCase, received, "padding that is not zero", tally);
    return;
  }
  const parser = createReplyParser();
  const messages = parser.push(received);
  tally.replies += messages.length;
  tally.errors += messages.filter((message) => message.kind === "reply" && message.reply.kind === "error").length;
  if (parser.failure !== undefined) wrong(testedCase, received, parser.failure.message, tally);
  // A raw piece may be any number of requests, and whoever sends on and on to an agent that has closed may lose its answers.
  if (end !== "closed" || !answered || lengthFrom(testedCase, heard(testedCase) - 1) > DRAIN_BYTES) return;
  const expected = heard(testedCase);
  if (messages.length !== expected) wrong(testedCase, received, `${messages.length} replies to ${expected} requests`, tally);
}

/** How many of the pieces count: those up to the one that ends the connection. */
function heard({ pieces }: Case): number {
  const last = pieces.findIndex((each) => each.ends);
  return last < 0 ? pieces.length : last + 1;
}

function lengthFrom({ pieces }: Case, first: number): number {
  return pieces.slice(first).reduce((length, each) => length + each.bytes.length, 0);
}

function wrong(testedCase: Case, received: Buffer, what: string, tally: Tally): void {
  const sent = JSON.stringify(testedCase.pieces.map((each) => each.bytes.slice(0, 200)));
  tally.wrong.push(
    `${what}: sent ${sent.slice(0, 2000)}, received ${JSON.stringify(received.toString("latin1", Math.max(0, received.length - 600)))}`,
  );
}

async function fuzzRequests(
  target: Target,
  plan: Plan,
  options: SuiteOptions,
): Promise<{ readonly tally: Tally; readonly growthMib: number }> {
  const tally = createTally();
  let warmMib = 0;
  let nextWord = 0;
  for (let batch = 0; tally.requests < plan.requests; batch++) {
    const cases = fc.sample(testCase, { seed: options.seed + batch, numRuns: BATCH });
    let next = 0;
    await Promise.all(
      Array.from({ length: WORKERS }, async () => {
        for (let one = cases[next++]; one !== undefined && tally.requests < plan.requests; one = cases[next++]) {
          const { received, end } = await exchange(target[one.port], partsOf(one));
          judge(one, received, end, tally);
        }
      }),
    );
    if (warmMib === 0 && tally.requests >= WARM_UP * plan.requests) warmMib = residentMib(target.agent.pid);
    if (tally.requests < nextWord && tally.requests < plan.requests) continue;
    nextWord += plan.requests / 20;
    options.progress(
      `${tally.requests} of ${plan.requests} requests, ${tally.errors} named errors, ${residentMib(target.agent.pid).toFixed(0)} MiB`,
    );
  }
  return { tally, growthMib: residentMib(target.agent.pid) - warmMib };
}

/** Resident memory; 0 when the process is gone. */
function residentMib(pid: number): number {
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return Number(kib ?? 0) / 1024;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
    throw error;
  }
}

interface IdleOutcome {
  readonly held: number;
  readonly kibEach: number;
  readonly answerMs: number;
  readonly notClosed: number;
  /** Half requests that were not told TIMEOUT. */
  readonly untold: number;
}

/** Opens connections that say nothing, or half of something, and waits for the agent to close them all. */
async function holdIdle(target: Target, plan: Plan, options: SuiteOptions): Promise<IdleOutcome> {
  const before = residentMib(target.agent.pid);
  const openings = ["", "", "", "", "", "", "", "", "*1\r\n$4\r\nPI", "CLON"];
  const closed: Promise<boolean>[] = [];
  let open = 0;
  for (let i = 0; i < plan.idleConnections; i += 100) {
    const group = Array.from({ length: Math.min(100, plan.idleConnections - i) }, (_, k) =>
      openIdle(target.clone, openings[k % openings.length] ?? ""),
    );
    for (const each of await Promise.all(group)) {
      closed.push(each.told);
      open += 1;
    }
  }
  // What the kernel has accepted the agent has yet to.
  let held = await connectionsOf(target, "clone");
  for (
    const untilMs = performance.now() + HANG_MS;
    held < open && performance.now() < untilMs;
    held = await connectionsOf(target, "clone")
  ) {
    await wait(50);
  }
  const startedMs = performance.now();
  await exchange(target.gateway, [Buffer.from("PING\r\n")]);
  const answerMs = performance.now() - startedMs;
  const kibEach = ((residentMib(target.agent.pid) - before) * 1024) / open;
  options.progress(`${held} idle connections are open, an answer takes ${answerMs.toFixed(1)} ms; waiting for the idle limit`);
  const limit = wait(plan.idleMs * 1.25 + HANG_MS, "late" as const);
  const ends = await Promise.all(closed.map((each) => Promise.race([each, limit])));
  return {
    held,
    kibEach,
    answerMs,
    notClosed: ends.filter((end) => end === "late").length,
    untold: ends.filter((end) => end === false).length,
  };
}

/** `told` tells, once the agent has closed the connection, whether a half request got its error. */
function openIdle(port: number, half: string): Promise<{ readonly told: Promise<boolean> }> {
  return new Promise((resolve, reject) => {
    let received = "";
    const socket = connect({ port, host: "127.0.0.1" });
    const told = new Promise<boolean>((close) => {
      socket.on("close", () => close(half === "" ? received === "" : received.startsWith("-TIMEOUT ")));
    });
    socket.on("data", (chunk: Buffer) => (received += chunk.toString("latin1")));
    socket.on("error", reject);
    socket.on("connect", () => {
      if (half !== "") socket.write(half);
      resolve({ told });
    });
  });
}

interface DeafOutcome {
  readonly growthMib: number;
  readonly left: number;
}

/** Clients that ask for much and read nothing. */
async function deafen(target: Target, plan: Plan, options: SuiteOptions): Promise<DeafOutcome> {
  const before = residentMib(target.agent.pid);
  const ask = Buffer.from(arrayOf(["COMMAND", "DOCS"]).repeat(20_000));
  const sockets = Array.from({ length: plan.deafReaders }, () => {
    const socket = connect({ port: target.gateway, host: "127.0.0.1" });
    socket.pause();
    // Being disconnected is what is expected of the agent.
    socket.on("error", () => socket.destroy());
    socket.write(ask);
    return socket;
  });
  await wait(Math.min(2000, plan.idleMs / 2));
  const growthMib = residentMib(target.agent.pid) - before;
  options.progress(`${plan.deafReaders} clients read nothing, memory grew by ${growthMib.toFixed(0)} MiB; waiting for the idle limit`);
  const untilMs = performance.now() + 2 * plan.idleMs + HANG_MS;
  // One of them asks how many there are.
  let left = (await connectionsOf(target, "gateway")) - 1;
  while (left > 0 && performance.now() < untilMs) {
    await wait(250);
    left = (await connectionsOf(target, "gateway")) - 1;
  }
  for (const socket of sockets) socket.destroy();
  return { growthMib, left };
}

/** How many connections a listener has open, as INFO says. */
async function connectionsOf(target: Target, listener: string): Promise<number> {
  const { received } = await exchange(target.gateway, [Buffer.from("INFO\r\n")]);
  const [, figures = ""] = received.toString().split(`# listener ${listener}\r\n`);
  return Number(/^open:(\d+)/m.exec(figures)?.[1] ?? 0);
}

/** Whether the agent still does what it is for. */
async function works(target: Target): Promise<boolean> {
  const { received } = await exchange(target.gateway, [Buffer.from("ESTOP RESET\r\nRESET lamp\r\nCLONE lamp.on\r\nPING\r\n")]);
  return /^\+OK\r\n[^-]*\+PONG\r\n$/.test(received.toString());
}

/** How many connections a process may have here, beside its other files. */
function connectionsPossible(): number {
  const limit = execFileSync("sh", ["-c", "ulimit -Hn"], { encoding: "utf8" }).trim();
  return limit === "unlimited" ? Number.MAX_SAFE_INTEGER : Number(limit) - 200;
}

export async function run(options: SuiteOptions): Promise<readonly Row[]> {
  const wanted = options.quick ? QUICK : FULL;
  const plan = { ...wanted, idleConnections: Math.min(wanted.idleConnections, connectionsPossible()) };
  options.progress(
    `seed ${options.seed}: ${plan.requests} requests, ${plan.idleConnections} idle connections, ${plan.deafReaders} clients that do not read`,
  );
  const target = await startTarget(plan.idleMs);
  try {
    const startMib = residentMib(target.agent.pid);
    const { tally, growthMib } = await fuzzRequests(target, plan, options);
    for (const what of tally.wrong.slice(0, 5)) options.progress(what);
    const idle = await holdIdle(target, plan, options);
    const deaf = await deafen(target, plan, options);
    const alive = await works(target);
    return [
      row({ name: "fuzzed requests", value: tally.requests, unit: "requests", goal: `≥ ${wanted.requests}` }),
      row({ name: "connections they came over", value: tally.connections, unit: "connections" }),
      row({ name: "answers", value: tally.replies, unit: "replies" }),
      row({ name: "of them named errors", value: tally.errors, unit: "replies" }),
      row({ name: "connections reset after too much input", value: tally.resets, unit: "connections" }),
      row({ name: "connections left hanging", value: tally.hung, unit: "connections", goal: "= 0" }),
      row({ name: "answers missing, too many or garbled", value: tally.wrong.length, unit: "connections", goal: "= 0" }),
      row({ name: "internal errors", value: tally.internalErrors, unit: "connections", goal: "= 0" }),
      row({ name: "memory before", value: startMib, unit: "MiB RSS" }),
      row({ name: "memory growth after the first fifth", value: growthMib, unit: "MiB RSS", goal: "≤ 64" }),
      row({ name: "idle connections held at once", value: idle.held, unit: "connections", goal: `≥ ${wanted.idleConnections}` }),
      row({ name: "memory of each", value: idle.kibEach, unit: "KiB RSS", goal: "≤ 16" }),
      row({ name: "an answer meanwhile", value: idle.answerMs, unit: "ms" }),
      row({ name: "idle connections not closed", value: idle.notClosed, unit: "connections", goal: "= 0" }),
      row({ name: "half requests not told TIMEOUT", value: idle.untold, unit: "connections", goal: "= 0" }),
      row({ name: `memory growth by ${plan.deafReaders} clients that do not read`, value: deaf.growthMib, unit: "MiB RSS", goal: "≤ 128" }),
      row({ name: "of them still connected after the idle limit", value: deaf.left, unit: "connections", goal: "= 0" }),
      row({ name: "agent works afterwards", value: alive ? 1 : 0, unit: "", goal: "= 1" }),
    ];
  } finally {
    await target.stop();
  }
}
