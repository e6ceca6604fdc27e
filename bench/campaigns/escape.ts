// Everybody who tries to get out of the files' root: paths, links, devices and names that are replaced while they are used, in both dialects, against
// the built agent. What is outside must not be read, changed, made or removed, and honest clients must be served all the while.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import fc from "fast-check";

import { plainEnvironment, startWritingListen, type Measured } from "../processes.ts";
import { row, type Row, type SuiteOptions } from "../report.ts";
import { INSIDE, layOut, type Grounds } from "./escape/grounds.ts";
import { attemptsAt, madeUp, SEGMENTS, type Attempt } from "./escape/paths.ts";
import {
  askClassic,
  createTally,
  openModern,
  tryClassic,
  tryModern,
  tryOpen,
  workHonestly,
  type Modern,
  type Tally,
} from "./escape/siege.ts";

/** How much of everything. */
interface Plan {
  readonly randomPaths: number;
  readonly raceMs: number;
}

const FULL: Plan = { randomPaths: 50_000, raceMs: 20_000 };
const QUICK: Plan = { randomPaths: 600, raceMs: 2500 };

/** Clients at once. */
const WORKERS = 16;

/** One in so many attempts is an honest client's. */
const HONEST_EVERY = 16;

const RACES = ["flip", "swap", "file"] as const;

/** What each race is tried with. */
const RACED_PATHS: Readonly<Record<(typeof RACES)[number], readonly string[]>> = {
  flip: ["race/flip/canary", "race/flip/made", "race/flip"],
  swap: ["race/swap/canary", "race/swap/made", "race/swap"],
  file: ["race/file", "race/file-link", "race/file-hard"],
};

async function startTarget(root: string): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), "virgo-escape-config-"));
  const config = join(folder, "agent.yaml");
  writeFileSync(
    config,
    [
      'listen: { files: "127.0.0.1:0", clone: false, eventnet: false, memory: false, queue: false, gateway: false }',
      "board: sim",
      `files: { root: ${root}, maxFiles: 1000000 }`,
      "log: { level: error }",
    ].join("\n"),
  );
  const agent = await startWritingListen((state) => ["dist/agent/main.js", "agent", "--config", config, "--state", state], "files");
  return {
    ...agent,
    stop: async () => {
      await agent.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Every attempt, several at once, with honest clients among them. */
async function tryAll(port: number, attempts: readonly Attempt[], tally: Tally): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: WORKERS }, async (_, worker) => {
      const modern = openModern(port, tally);
      for (let at = next++; at < attempts.length; at = next++) {
        const attempt = attempts[at];
        if (attempt === undefined) break;
        if (at % HONEST_EVERY === 0) await workHonestly(modern, `client-${worker}`, tally);
        await tryModern(modern, attempt, tally);
        await tryClassic(port, attempt, tally);
      }
      modern.close();
    }),
  );
}

/** Paths nobody thought of. Names of them may be removed and made, so that none has to be refused; but whatever is reached is inside. */
function randomAttempts(count: number, seed: number): readonly Attempt[] {
  const byte = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code));
  const segment = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...SEGMENTS) },
    { weight: 1, arbitrary: fc.string({ unit: byte, maxLength: 6 }) },
  );
  const path = fc.array(segment, { minLength: 1, maxLength: 7 }).map((names) => names.join("/"));
  return fc.sample(path, { seed, numRuns: count }).map(madeUp);
}

/** Opens, lists, removes and renames what another process replaces all the time. Returns how often that was. */
async function raceAgainst(kind: (typeof RACES)[number], port: number, grounds: Grounds, plan: Plan, tally: Tally): Promise<number> {
  const racer = spawn(process.execPath, ["bench/campaigns/escape/racer.mjs", kind, join(grounds.root, "race"), grounds.outside, INSIDE], {
    stdio: ["ignore", "pipe", "inherit"],
    env: plainEnvironment(),
  });
  const ended = once(racer, "exit");
  const lines = createInterface(racer.stdout)[Symbol.asyncIterator]();
  await lines.next();
  const untilMs = performance.now() + plan.raceMs;
  await Promise.all(
    Array.from({ length: WORKERS }, async (_, worker) => {
      const modern = openModern(port, tally);
      for (let turn = worker; performance.now() < untilMs; turn++) await raceOnce(kind, turn, port, modern, tally);
      modern.close();
    }),
  );
  racer.kill("SIGTERM");
  const said = await lines.next();
  await ended;
  return said.done === true ? 0 : Number(said.value);
}

async function raceOnce(kind: (typeof RACES)[number], turn: number, port: number, modern: Modern, tally: Tally): Promise<void> {
  const paths = RACED_PATHS[kind];
  const path = paths[turn % paths.length] ?? "";
  if (turn % HONEST_EVERY === 0) await workHonestly(modern, `racing-${turn % 64}`, tally);
  await tryOpen(modern, path, "R", tally);
  await tryOpen(modern, path, "RW", tally);
  if (turn % 4 === 0) await modern.ask("FLIST", path);
  if (turn % 8 === 1) await modern.ask("FREMOVE", `race/${kind}/made`);
  if (turn % 8 === 3) await modern.ask("FRENAME", `race/${kind}/made`, `race/${kind}/renamed`);
  if (turn % 8 === 5) {
    const descriptor = await askClassic(port, `virgo_cloud_open(${path})\n`, tally);
    if (descriptor !== undefined && descriptor !== "-1") await askClassic(port, `virgo_cloud_close(${descriptor})\n`, tally);
  }
}

/** Files and folders below the root that the process holds. */
function heldBy(pid: number, root: string): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => linkText(`/proc/${pid}/fd/${fd}`).startsWith(`${root}/`)).length;
}

/** Empty when it is gone by now. */
function linkText(path: string): string {
  try {
    return readlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

export async function run(options: SuiteOptions): Promise<readonly Row[]> {
  const plan = options.quick ? QUICK : FULL;
  const grounds = await layOut();
  try {
    const target = await startTarget(grounds.root);
    try {
      return await besiege(target, grounds, plan, options);
    } finally {
      await target.stop();
    }
  } finally {
    grounds.clear();
  }
}

async function besiege(target: Measured, grounds: Grounds, plan: Plan, options: SuiteOptions): Promise<readonly Row[]> {
  const { port, pid } = target;
  const known = createTally();
  const attempts = attemptsAt(grounds);
  await tryAll(port, attempts, known);
  options.progress(`${attempts.length} paths: ${known.attempts} requests, ${known.refused} refused`);
  const random = createTally();
  await tryAll(port, randomAttempts(plan.randomPaths, options.seed), random);
  options.progress(`${plan.randomPaths} random paths: ${random.attempts} requests, ${random.inside} opened inside`);
  const raced = createTally();
  let replaced = 0;
  for (const kind of RACES) {
    const swaps = await raceAgainst(kind, port, grounds, plan, raced);
    replaced += swaps;
    options.progress(`race ${kind}: ${swaps} times replaced, ${raced.attempts} requests, ${raced.inside} opened inside so far`);
  }
  const changed = grounds.changed();
  const all = [known, random, raced];
  for (const line of [...changed, ...all.flatMap(({ escapes, accepted, hung }) => [...escapes, ...accepted, ...hung])].slice(0, 40)) {
    options.progress(line);
  }
  const last = createTally();
  const modern = openModern(port, last);
  await workHonestly(modern, "last", last);
  modern.close();
  const held = heldBy(pid, grounds.root);
  return rowsOf([...all, last], { known, raced, replaced, changed: changed.length, held, grounds, paths: attempts.length });
}

interface Outcome {
  readonly known: Tally;
  readonly raced: Tally;
  readonly replaced: number;
  readonly changed: number;
  readonly held: number;
  readonly grounds: Grounds;
  readonly paths: number;
}

function rowsOf(tallies: readonly Tally[], outcome: Outcome): readonly Row[] {
  const sum = (of: (tally: Tally) => number) => tallies.reduce((total, tally) => total + of(tally), 0);
  const { known, raced, grounds } = outcome;
  return [
    row({ name: "paths that lead out or to no file, and disguises", value: outcome.paths, unit: "paths" }),
    row({ name: "requests", value: sum(({ attempts }) => attempts), unit: "requests" }),
    row({ name: "answered with something from outside", value: sum(({ escapes }) => escapes.length), unit: "requests", goal: "= 0" }),
    row({
      name: `changed, made, removed${grounds.readsAreNoted ? " or read" : ""} outside`,
      value: outcome.changed,
      unit: "files",
      goal: "= 0",
    }),
    row({ name: "had to be refused and was not", value: known.accepted.length, unit: "paths", goal: "= 0" }),
    row({ name: "not answered", value: sum(({ hung }) => hung.length), unit: "requests", goal: "= 0" }),
    row({ name: "names replaced by another process while they were used", value: outcome.replaced, unit: "times" }),
    row({ name: "requests meanwhile", value: raced.attempts, unit: "requests" }),
    row({ name: "files inside opened meanwhile", value: raced.inside, unit: "files", goal: "≥ 1" }),
    row({ name: "honest clients", value: sum(({ honest }) => honest), unit: "clients" }),
    row({ name: "of them not served", value: sum(({ honestFailed }) => honestFailed), unit: "clients", goal: "= 0" }),
    row({ name: "devices among the paths", value: grounds.devices ? 1 : 0, unit: "" }),
    row({ name: "files and folders still held afterwards", value: outcome.held, unit: "handles", goal: "= 0" }),
  ];
}
