import { setTimeout as wait } from "node:timers/promises";

import type { SuiteOptions } from "../../report.ts";
import type { Load } from "./loads/load.ts";
import type { Random } from "./random.ts";
import { type Place, type RunningAgent, startAgentOn, startAndKill } from "./running-agent.ts";

/** A kill comes up to this long after the load has begun, milliseconds. */
const MOST_LOAD_MS = 300;

/** Share of the kills that come while the agent starts, which is when it reads and puts in order what the last one left. */
const STARTING_SHARE = 0.2;

/** Share of the stops that are orderly. */
const STOP_SHARE = 0.05;

/** Says how far it is so many times. */
const WORDS = 10;

export interface KillsOutcome {
  readonly kills: number;
  readonly killsWhileStarting: number;
  /** From spawn to listening, with the state of the run before. */
  readonly startMs: readonly number[];
}

async function checkAll(agent: RunningAgent, loads: readonly Load[]): Promise<void> {
  for (const load of loads) {
    await load.check(agent);
    await load.checkTexts?.(agent);
  }
}

/** Runs every load for a random while, then kills the agent. */
async function loadAndKill(agent: RunningAgent, loads: readonly Load[], random: Random): Promise<void> {
  const never = new AbortController();
  const writing = Promise.all(loads.map((load) => load.write(agent, never.signal)));
  await Promise.race([wait(random.below(MOST_LOAD_MS)), writing]);
  if (!agent.isRunning) throw new Error("the agent ended by itself under load");
  await agent.kill();
  await writing;
}

/** Runs every load for a while, lets it end, and stops the agent as its users do. */
async function loadAndStop(agent: RunningAgent, loads: readonly Load[]): Promise<void> {
  const enough = new AbortController();
  const writing = Promise.all(loads.map((load) => load.write(agent, enough.signal)));
  await wait(MOST_LOAD_MS / 2);
  enough.abort();
  await writing;
  await agent.stop();
}

/** Starts, looks, loads and kills until there were `kills` kills; looks once more at the end. */
export async function killRepeatedly(
  place: Place,
  loads: readonly Load[],
  kills: number,
  random: Random,
  progress: SuiteOptions["progress"],
): Promise<KillsOutcome> {
  const startMs: number[] = [];
  let killed = 0;
  let killsWhileStarting = 0;
  while (killed < kills) {
    if (startMs.length > 0 && random.chance(STARTING_SHARE)) {
      await startAndKill(place, random.below(1.5 * (startMs.at(-1) ?? 0)));
      killed += 1;
      killsWhileStarting += 1;
      continue;
    }
    const agent = await startAgentOn(place);
    try {
      startMs.push(agent.startMs);
      await checkAll(agent, loads);
      if (random.chance(STOP_SHARE)) {
        await loadAndStop(agent, loads);
        continue;
      }
      await loadAndKill(agent, loads, random);
      killed += 1;
      if (killed % Math.ceil(kills / WORDS) === 0) progress(`${killed} of ${kills} kills; ${summaryOf(loads)}`);
    } finally {
      await agent.kill();
    }
  }
  const last = await startAgentOn(place);
  try {
    await checkAll(last, loads);
    await last.stop();
  } finally {
    await last.kill();
  }
  return { kills: killed, killsWhileStarting, startMs };
}

function summaryOf(loads: readonly Load[]): string {
  const acknowledged = loads.reduce((sum, load) => sum + load.acknowledged, 0);
  const mistakes = loads.reduce((sum, load) => sum + load.findings.total, 0);
  return `${acknowledged} changes acknowledged, ${mistakes} mistakes`;
}
