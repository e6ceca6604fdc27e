// Randomized roads with parked, moving and overhanging things, sensors that fail in a third of them, and the whole agent driving: bytes in over TCP, duty cycles out.
// It must hit nothing that could have been avoided and keep its limits at the ports; an agent that looks at nothing must collide on the same roads.
import { fork } from "node:child_process";

import { row, type Row, type SuiteOptions } from "../report.ts";
import { SECONDS, type Share, type ShareResult } from "./driving/share.ts";
import type { Told } from "./driving/process.ts";
import type { Decider } from "../../test/driving/agent-config.ts";
import type { Outcome } from "../../test/driving/scenario.ts";

interface Plan {
  readonly scenarios: number;
  /** Of these roads, driven without looking. */
  readonly blind: number;
}

const FULL: Plan = { scenarios: 10_000, blind: 1000 };
const QUICK: Plan = { scenarios: 200, blind: 20 };

const PROCESSES = 2;

/** Lower than what the sight of the ground allows on a free road, and far from standing still. */
const LEAST_MEAN_MPS = 1.5;

function runProcess(share: Share, told: (outcome: Outcome) => void): Promise<ShareResult> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL("driving/process.ts", import.meta.url), { execArgv: ["--import", "tsx"] });
    child.on("message", (message: Told) => {
      if ("outcome" in message) told(message.outcome);
      else resolve(message.result);
    });
    child.once("error", reject);
    // What it said last is read before.
    child.once("disconnect", () => reject(new Error("a process of the campaign ended before its share was done")));
    child.send(share);
  });
}

interface Driven {
  readonly outcomes: readonly Outcome[];
  readonly violations: number;
  readonly agentS: number;
  readonly cpuS: number;
  readonly wallS: number;
}

async function drive(decider: Decider, firstSeed: number, scenarios: number, { progress }: SuiteOptions): Promise<Driven> {
  const seeds = Array.from({ length: scenarios }, (_, i) => firstSeed + i);
  const startedMs = performance.now();
  const outcomes: Outcome[] = [];
  const told = (outcome: Outcome): void => {
    outcomes.push(outcome);
    const done = outcomes.length;
    if (decider === "driving" && outcome.collision !== "none") progress(outcomeText(outcome));
    if (done % Math.ceil(scenarios / 20) === 0) progress(`${decider}: ${done} of ${scenarios} scenarios`);
  };
  const shares = Array.from({ length: PROCESSES }, (_, n) => seeds.filter((_seed, i) => i % PROCESSES === n));
  const results = await Promise.all(shares.map((share) => runProcess({ decider, seeds: share }, told)));
  for (const note of results.flatMap(({ violationNotes }) => violationNotes)) progress(`${decider}: ${note}`);
  const sum = (of: (result: ShareResult) => number): number => results.reduce((total, result) => total + of(result), 0);
  return {
    outcomes,
    violations: sum(({ violations }) => violations),
    agentS: sum(({ agentS }) => agentS),
    cpuS: sum(({ cpuS }) => cpuS),
    wallS: (performance.now() - startedMs) / 1000,
  };
}

function outcomeText({ seed, collision, what, faults }: Outcome): string {
  return `seed ${seed}: ${collision} collision with ${what}${faults.length === 0 ? "" : `, sensor: ${faults.join(", ")}`}`;
}

function count(outcomes: readonly Outcome[], collision: Outcome["collision"]): number {
  return outcomes.filter((outcome) => outcome.collision === collision).length;
}

function total(outcomes: readonly Outcome[], of: (outcome: Outcome) => number): number {
  return outcomes.reduce((sum, outcome) => sum + of(outcome), 0);
}

export async function run(options: SuiteOptions): Promise<readonly Row[]> {
  const plan = options.quick ? QUICK : FULL;
  const firstSeed = options.seed * 100_000;
  options.progress(`seeds ${firstSeed} to ${firstSeed + plan.scenarios - 1}, ${SECONDS} s each, every third with a sensor that fails`);
  const seeing = await drive("driving", firstSeed, plan.scenarios, options);
  const blind = await drive("blind cruise", firstSeed, plan.blind, options);
  const seconds = total(seeing.outcomes, (outcome) => outcome.seconds);
  const metres = total(seeing.outcomes, (outcome) => outcome.metres);
  const collisions = count(blind.outcomes, "avoidable") + count(blind.outcomes, "unavoidable");
  return [
    row({ name: "scenarios driven by the agent", value: seeing.outcomes.length, unit: "scenarios", goal: `= ${plan.scenarios}` }),
    row({ name: "  with sensors that fail", value: seeing.outcomes.filter(({ faults }) => faults.length > 0).length, unit: "scenarios" }),
    row({ name: "  collisions that could have been avoided", value: count(seeing.outcomes, "avoidable"), unit: "collisions", goal: "= 0" }),
    row({
      name: "  collisions that could not, with what a driver needs to answer",
      value: count(seeing.outcomes, "unavoidable"),
      unit: "collisions",
    }),
    row({
      name: "    of them not even at once",
      value: seeing.outcomes.filter(({ answerS }) => answerS === -1).length,
      unit: "collisions",
    }),
    row({ name: "  limits violated at the ports", value: seeing.violations + blind.violations, unit: "violations", goal: "= 0" }),
    row({ name: "  distance", value: metres / 1000, unit: "km" }),
    row({ name: "  mean speed", value: metres / seconds, unit: "m/s", goal: `≥ ${LEAST_MEAN_MPS}` }),
    row({
      name: "  share of the time standing",
      value: (100 * total(seeing.outcomes, ({ stoodS }) => stoodS)) / seconds,
      unit: "%",
      goal: "≤ 40",
    }),
    row({ name: "  agent time per processor time", value: seeing.agentS / seeing.cpuS, unit: "×", goal: "≥ 20" }),
    row({ name: "  agent time per time", value: seeing.agentS / seeing.wallS, unit: "×" }),
    row({ name: "the same roads without looking", value: blind.outcomes.length, unit: "scenarios", goal: `= ${plan.blind}` }),
    row({ name: "  collisions", value: collisions, unit: "collisions", goal: "≥ 1" }),
  ];
}
