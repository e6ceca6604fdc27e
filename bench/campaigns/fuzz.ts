// Requests nobody would send, on every port and in both dialects, clients that say nothing and clients that never listen, against the built agent:
// it must go on. A million requests for each port.
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

import fc from "fast-check";

import { raiseFileLimit } from "../file-limit.ts";
import { row, type Row, type SuiteOptions } from "../report.ts";
import { casesOf } from "./fuzz/cases.ts";
import { exchange } from "./fuzz/exchange.ts";
import { clone } from "./fuzz/grammars/clone.ts";
import { eventnet } from "./fuzz/grammars/eventnet.ts";
import { files } from "./fuzz/grammars/files.ts";
import { gateway } from "./fuzz/grammars/gateway.ts";
import type { Grammar } from "./fuzz/grammars/grammar.ts";
import { memory } from "./fuzz/grammars/memory.ts";
import { queue } from "./fuzz/grammars/queue.ts";
import { createHandles, type Handles } from "./fuzz/handles.ts";
import { createTally, judge, type Tally } from "./fuzz/judge.ts";
import { bytesOfPiece, type Case, filled, partsOf } from "./fuzz/piece.ts";
import { residentMib } from "./fuzz/resident.ts";
import { keepSilent, type SilencePlan } from "./fuzz/silence.ts";
import { MOST_STATE_BYTES, startTarget, type Target } from "./fuzz/target.ts";

/** How much of everything. */
interface Plan extends SilencePlan {
  /** For each port. */
  readonly requests: number;
}

const FULL: Plan = { requests: 1_000_000, idleConnections: 10_000, idleMs: 30_000, deafReaders: 50 };
const QUICK: Plan = { requests: 3500, idleConnections: 500, idleMs: 4000, deafReaders: 10 };

const GRAMMARS: ReadonlyMap<string, Grammar> = new Map([
  ["gateway", gateway],
  ["clone", clone],
  ["eventnet", eventnet],
  ["memory", memory],
  ["files", files],
  ["queue", queue],
]);

/** Connections open at once while fuzzing. */
const WORKERS = 64;

/** Cases generated at a time. */
const BATCH = 200;

/** Share of the run after which memory counts: before that the agent compiles, and fills what is bounded. */
const WARM_UP = 0.2;

const MIB = 1024 * 1024;

async function sendCase(port: number, testCase: Case, tally: Tally, handles: Handles): Promise<void> {
  const pieces = testCase.pieces.map((piece) => filled(piece, handles));
  const sent = pieces.map(bytesOfPiece);
  judge({ ...testCase, pieces, sent }, await exchange(port, partsOf(sent.join(""), testCase)), tally, handles);
}

interface Outcome {
  readonly tally: Tally;
  readonly growthMib: number;
}

async function fuzzPort(target: Target, name: string, grammar: Grammar, plan: Plan, options: SuiteOptions): Promise<Outcome> {
  const port = target.ports.get(name) ?? 0;
  const cases = casesOf(grammar);
  const tally = createTally();
  const handles = createHandles();
  const samplesMib: number[] = [];
  let nextWord = 0;
  for (let batch = 0; tally.requests < plan.requests; batch++) {
    const sample = fc.sample(cases, { seed: options.seed + batch, numRuns: BATCH });
    let next = 0;
    await Promise.all(
      Array.from({ length: WORKERS }, async () => {
        for (let one = sample[next++]; one !== undefined && tally.requests < plan.requests; one = sample[next++]) {
          await sendCase(port, one, tally, handles);
        }
      }),
    );
    const nowMib = residentMib(target.agent.pid);
    if (nowMib === 0) break;
    samplesMib.push(nowMib);
    if (tally.requests < nextWord && tally.requests < plan.requests) continue;
    nextWord += plan.requests / 10;
    options.progress(`${name}: ${tally.requests} of ${plan.requests} requests, ${tally.errors} named errors, ${nowMib.toFixed(0)} MiB`);
  }
  return { tally, growthMib: growthOf(samplesMib) };
}

/** From the lowest after the warm-up to the lowest at the end: what lies above is garbage that was not collected yet. */
function growthOf(samples: readonly number[]): number {
  const share = (from: number, to: number) => Math.min(...samples.slice(Math.floor(from * samples.length), Math.ceil(to * samples.length)));
  return share(1 - WARM_UP, 1) - share(WARM_UP, 2 * WARM_UP);
}

/** Bytes on disk of everything in the folder. */
function folderBytes(folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(folder, entry.name);
    return sum + (entry.isDirectory() ? folderBytes(path) : lstatSync(path).blocks * 512);
  }, 0);
}

/** Whether the agent still does what it is for. */
async function works(target: Target): Promise<boolean> {
  const { received } = await exchange(target.ports.get("gateway") ?? 0, [
    Buffer.from("ESTOP RESET\r\nRESET lamp\r\nCLONE lamp.on\r\nPING\r\n"),
  ]);
  return /^\+OK\r\n[^-]*\+PONG\r\n$/.test(received.toString());
}

/** One port, with an agent of its own, so that what grows is seen where it grows. */
async function portRows(name: string, grammar: Grammar, plan: Plan, options: SuiteOptions): Promise<readonly Row[]> {
  const target = await startTarget(plan.idleMs);
  try {
    if (!target.ports.has(name)) {
      options.progress(`${name}: the agent does not listen there`);
      return [row({ name: `${name}: fuzzed requests (no such listener)`, value: 0, unit: "requests", goal: `≥ ${plan.requests}` })];
    }
    const { tally, growthMib } = await fuzzPort(target, name, grammar, plan, options);
    for (const what of tally.notes) options.progress(`${name}: ${what}`);
    const alive = await works(target);
    return [
      row({ name: `${name}: fuzzed requests`, value: tally.requests, unit: "requests", goal: `≥ ${plan.requests}` }),
      row({ name: "  connections they came over", value: tally.connections, unit: "connections" }),
      row({ name: "  answers", value: tally.replies, unit: "replies" }),
      row({ name: "  of them named errors", value: tally.errors, unit: "replies" }),
      ...Object.entries(tally.codes).map(([code, count]) => row({ name: `    ${code}`, value: count, unit: "replies" })),
      row({ name: "  connections reset after too much input", value: tally.resets, unit: "connections" }),
      row({ name: "  connections left hanging", value: tally.hung, unit: "connections", goal: "= 0" }),
      row({ name: "  answers missing, too many or garbled", value: tally.wrong, unit: "connections", goal: "= 0" }),
      row({ name: "  internal errors", value: tally.internalErrors, unit: "connections", goal: "= 0" }),
      row({ name: "  memory growth from the second to the last fifth", value: growthMib, unit: "MiB RSS", goal: "≤ 64" }),
      row({ name: "  state on disk", value: folderBytes(target.state) / MIB, unit: "MiB", goal: `≤ ${MOST_STATE_BYTES / MIB}` }),
      row({ name: "  agent works afterwards", value: alive ? 1 : 0, unit: "", goal: "= 1" }),
    ];
  } finally {
    await target.stop();
  }
}

async function silenceRows(plan: Plan, options: SuiteOptions): Promise<readonly Row[]> {
  const files = raiseFileLimit(plan.idleConnections + 200, options.progress);
  const target = await startTarget(plan.idleMs);
  try {
    return await keepSilent(
      target,
      { ...plan, idleConnections: Math.min(plan.idleConnections, files - 200) },
      plan.idleConnections,
      options,
    );
  } finally {
    await target.stop();
  }
}

export async function run(options: SuiteOptions): Promise<readonly Row[]> {
  const plan = options.quick ? QUICK : FULL;
  options.progress(
    `seed ${options.seed}: ${plan.requests} requests for each of ${GRAMMARS.size} ports, ${plan.idleConnections} idle connections, ` +
      `${plan.deafReaders} clients that do not read`,
  );
  const rows: Row[] = [];
  for (const [name, grammar] of GRAMMARS) rows.push(...(await portRows(name, grammar, plan, options)));
  rows.push(...(await silenceRows(plan, options)));
  return rows;
}
