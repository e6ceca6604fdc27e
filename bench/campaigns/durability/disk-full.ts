import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { messageOf } from "../../../agent/contract/errors.ts";
import { row, type Row, type SuiteOptions } from "../../report.ts";
import { type Client, type Outcome, withClient } from "./client.ts";
import { createFindings, type Findings, MISTAKES } from "./findings.ts";
import { createHoards, type Hoard } from "./hoards.ts";
import { inParallel, type Load } from "./loads/load.ts";
import { type Place, type RunningAgent, startAgentOn } from "./running-agent.ts";
import { mountSmallDisk, type SmallDisk } from "./small-disk.ts";

const MIB = 1024 * 1024;

/** What the logs take beforehand and about as much again. */
const DISK_BYTES = 64 * MIB;

/** Left beside the ballast when the writing begins. */
const LEFT_BYTES = 2 * MIB;

/** Requests under way while filling. */
const WINDOW = 8;

/** Refusals in a row that mean that the disk is full for this kind. */
const ENOUGH_REFUSALS = 40;

/** No kind gets this many onto the disk. */
const MOST_PUTS = 50_000;

/** Removed of each kind while the disk is full. */
const REMOVALS = 50;

/** The ordinary load runs so long on the full disk. */
const LOAD_MS = 1000;

/** Writes must succeed again within this after there is room. */
const RECOVERY_MS = 10_000;

interface Tally {
  /** Refusals with FULL or IO, by the hoard's name. */
  readonly refused: Map<string, number>;
  /** What the first of each kind said. */
  readonly reasons: Map<string, string>;
  /** Refusals with anything else, and answers that never came. */
  readonly others: string[];
  removed: number;
  readonly notRemoved: string[];
}

interface Outcomes {
  stayedUp: boolean;
  startedAgain: boolean;
  /** Kinds that were written again once there was room. */
  recovered: number;
}

function describe(outcome: Outcome): string {
  return outcome.kind === "error" ? `${outcome.error.code} ${outcome.error.message}` : outcome.kind;
}

function note({ name, sequence }: Hoard, number: number, outcome: Outcome, tally: Tally): void {
  if (outcome.kind === "value") {
    sequence.kept(number);
    return;
  }
  if (outcome.kind === "error") sequence.refused(number);
  if (outcome.kind === "error" && (outcome.error.code === "FULL" || outcome.error.code === "IO")) {
    tally.refused.set(name, (tally.refused.get(name) ?? 0) + 1);
    if (!tally.reasons.has(name)) tally.reasons.set(name, describe(outcome));
  } else tally.others.push(`${name}: ${describe(outcome)}`);
}

/** Puts until nothing fits any more. */
async function fill(client: Client, hoard: Hoard, tally: Tally): Promise<void> {
  let inARow = 0;
  await inParallel(WINDOW, async () => {
    const number = hoard.sequence.ask();
    const outcome = await hoard.put(client, number);
    note(hoard, number, outcome, tally);
    inARow = outcome.kind === "value" ? 0 : inARow + 1;
    return inARow < ENOUGH_REFUSALS && number < MOST_PUTS && !client.isGone;
  });
}

async function removeSome(client: Client, { name, sequence, removeOne }: Hoard, tally: Tally): Promise<void> {
  if (removeOne === undefined) return;
  for (let i = 0; i < REMOVALS; i++) {
    const removed = await removeOne(client);
    if (removed === undefined) return;
    const { number, outcome } = removed;
    if (outcome.kind === "value") {
      sequence.taken(number);
      tally.removed += 1;
    } else {
      if (outcome.kind === "error") sequence.leave(number);
      tally.notRemoved.push(`${name}: ${describe(outcome)}`);
    }
  }
}

async function eachHoard(
  agent: RunningAgent,
  hoards: readonly Hoard[],
  work: (client: Client, hoard: Hoard) => Promise<void>,
): Promise<void> {
  for (const hoard of hoards) await withClient(agent.port(hoard.listener), (client) => work(client, hoard));
}

async function check(agent: RunningAgent, hoards: readonly Hoard[], loads: readonly Load[], findings: Findings): Promise<void> {
  await eachHoard(agent, hoards, async (client, { sequence, find }) => sequence.check(await find(client), findings));
  for (const load of loads) await load.check(agent);
}

/** How many kinds can be written again soon. */
async function recover(agent: RunningAgent, hoards: readonly Hoard[], progress: SuiteOptions["progress"]): Promise<number> {
  let recovered = 0;
  await eachHoard(agent, hoards, async (client, { name, sequence, put }) => {
    const untilMs = performance.now() + RECOVERY_MS;
    let outcome: Outcome;
    do {
      const number = sequence.ask();
      outcome = await put(client, number);
      if (outcome.kind === "value") sequence.kept(number);
      else if (outcome.kind === "error") sequence.refused(number);
      if (outcome.kind !== "value") await wait(20);
    } while (outcome.kind !== "value" && performance.now() < untilMs);
    if (outcome.kind === "value") recovered += 1;
    else progress(`${name} is not written again although there is room: ${describe(outcome)}`);
  });
  return recovered;
}

/** `config` and `loads` are made for a state folder. */
export interface DiskFullOptions {
  readonly writeConfig: (folder: string) => string;
  readonly createLoads: (state: string) => readonly Load[];
  readonly progress: SuiteOptions["progress"];
}

export async function fillDisk(options: DiskFullOptions): Promise<readonly Row[]> {
  const disk = mountSmallDisk(DISK_BYTES);
  if (typeof disk === "string") {
    options.progress(disk);
    return [row({ name: "disk full: tried", value: 0, unit: "", goal: "= 1" })];
  }
  try {
    return await fillAndCheck(disk, options);
  } finally {
    disk.remove();
  }
}

async function fillAndCheck(disk: SmallDisk, { writeConfig, createLoads, progress }: DiskFullOptions): Promise<readonly Row[]> {
  const state = join(disk.folder, "state");
  mkdirSync(state);
  const place = { config: writeConfig(disk.folder), state };
  const hoards = createHoards();
  const loads = createLoads(state);
  const findings = createFindings();
  const tally: Tally = { refused: new Map(), reasons: new Map(), others: [], removed: 0, notRemoved: [] };
  const outcome: Outcomes = { stayedUp: false, startedAgain: false, recovered: 0 };
  let agent: RunningAgent = await startAgentOn(place);
  try {
    // Everything that is made with the first write is there before there is no room.
    await loadFor(agent, loads, LOAD_MS / 4);
    await disk.fill(LEFT_BYTES);
    await eachHoard(agent, hoards, (client, hoard) => fill(client, hoard, tally));
    for (const { name, sequence } of hoards) {
      progress(`disk full: ${name} took ${sequence.size}, then ${tally.reasons.get(name) ?? "all of it"}`);
    }
    await eachHoard(agent, hoards, (client, hoard) => removeSome(client, hoard, tally));
    await loadFor(agent, loads, LOAD_MS);
    outcome.stayedUp = agent.isRunning;
    await disk.fill(0);
    await agent.kill();

    const again = await startOnFullDisk(place, progress);
    outcome.startedAgain = again !== undefined;
    if (again === undefined) disk.free();
    agent = again ?? (await startAgentOn(place));
    await check(agent, hoards, loads, findings);
    disk.free();
    outcome.recovered = await recover(agent, hoards, progress);
    await agent.stop();

    agent = await startAgentOn(place);
    await check(agent, hoards, loads, findings);
    for (const load of loads) await load.checkTexts?.(agent);
    await agent.stop();
    for (const what of [...tally.others, ...tally.notRemoved].slice(0, 6)) progress(`disk full: ${what}`);
    return rowsOf(hoards, loads, tally, findings, outcome, progress);
  } finally {
    await agent.kill();
  }
}

async function loadFor(agent: RunningAgent, loads: readonly Load[], ms: number): Promise<void> {
  const enough = AbortSignal.timeout(ms);
  await Promise.all(loads.map((load) => load.write(agent, enough)));
}

/** Who cannot start cannot remove anything either. */
async function startOnFullDisk(place: Place, progress: SuiteOptions["progress"]): Promise<RunningAgent | undefined> {
  try {
    return await startAgentOn(place);
  } catch (error) {
    progress(`disk full: ${messageOf(error)}`);
    return undefined;
  }
}

function rowsOf(
  hoards: readonly Hoard[],
  loads: readonly Load[],
  tally: Tally,
  findings: Findings,
  { stayedUp, startedAgain, recovered }: Outcomes,
  progress: SuiteOptions["progress"],
): readonly Row[] {
  const all = [findings, ...loads.map((load) => load.findings)];
  for (const what of all.flatMap(({ notes }) => notes)) progress(`disk full: ${what}`);
  const acknowledged = [...hoards.map(({ sequence }) => sequence), ...loads].reduce((sum, each) => sum + each.acknowledged, 0);
  return [
    row({ name: "disk full: changes acknowledged", value: acknowledged, unit: "changes" }),
    ...hoards.map(({ name }) =>
      row({ name: `  ${name}: writes refused FULL or IO`, value: tally.refused.get(name) ?? 0, unit: "answers", goal: "≥ 1" }),
    ),
    row({ name: "  writes answered anything else", value: tally.others.length, unit: "answers", goal: "= 0" }),
    row({ name: "  ACK, DEL and FREMOVE done meanwhile", value: tally.removed, unit: "answers", goal: "≥ 1" }),
    row({ name: "  ACK, DEL and FREMOVE refused meanwhile", value: tally.notRemoved.length, unit: "answers", goal: "= 0" }),
    row({ name: "  agent stays up", value: stayedUp ? 1 : 0, unit: "", goal: "= 1" }),
    row({ name: "  agent starts again after kill -9", value: startedAgain ? 1 : 0, unit: "", goal: "= 1" }),
    ...MISTAKES.map((mistake) =>
      row({ name: `  ${mistake}`, value: all.reduce((sum, each) => sum + each.count(mistake), 0), unit: "changes", goal: "= 0" }),
    ),
    row({ name: "  kinds written again once there is room", value: recovered, unit: `of ${hoards.length}`, goal: `= ${hoards.length}` }),
  ];
}
