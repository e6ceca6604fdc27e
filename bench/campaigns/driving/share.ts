import { runScenario, type Outcome } from "../../../test/driving/scenario.ts";
import { startAgentSubject } from "../../../test/driving/agent-subject.ts";
import type { Decider } from "../../../test/driving/agent-config.ts";

/** Length of a scenario, seconds. */
export const SECONDS = 10;

/** The scenarios one process runs, all with one agent. */
export interface Share {
  readonly decider: Decider;
  readonly seeds: readonly number[];
}

/** Of a share, beside its outcomes. */
export interface ShareResult {
  readonly violations: number;
  /** The first few. */
  readonly violationNotes: readonly string[];
  /** Agent time that went by, with arming and rests. */
  readonly agentS: number;
  readonly cpuS: number;
}

/** Every third seed has a sensor that fails on the way. */
export function isFaulty(seed: number): boolean {
  return seed % 3 === 0;
}

export async function runShare({ decider, seeds }: Share, done: (outcome: Outcome) => void): Promise<ShareResult> {
  const subject = await startAgentSubject(decider);
  const before = process.cpuUsage();
  try {
    for (const seed of seeds) {
      done(await runScenario({ seed, seconds: SECONDS, faulty: isFaulty(seed) }, subject));
    }
  } finally {
    await subject.close();
  }
  const { user, system } = process.cpuUsage(before);
  return {
    violations: subject.violationCount(),
    violationNotes: subject.violations,
    agentS: subject.agentMs() / 1000,
    cpuS: (user + system) / 1e6,
  };
}
