// What happens to a vehicle that nobody drives any more, or whose control loop is late. Pure: everything that counts is passed in.
import { stepSeconds } from "./limits.ts";
import type { PedalLimits } from "./limit-table.ts";

/** `brake`: it is being stopped. `hold`: it stands and is held. `done`: it may be disarmed. The accelerator is 0 in all of them. */
export type LadderStage = "brake" | "hold" | "done";

export interface Ladder {
  readonly stage: LadderStage;
  /** Deceleration asked of the brake. */
  readonly brakeMps2: number;
  /** Time spent in this stage. */
  readonly stageMs: number;
}

/** The ladder's first rung: the brake stays where it is, the accelerator is 0 from now on. */
export function startLadder(brakeMps2: number): Ladder {
  return { stage: "brake", brakeMps2, stageMs: 0 };
}

/**
 * One tick further. `standing` is undefined where nobody knows: then `lossStopMs` of braking count as standing. The brake is never released; one that
 * was pressed harder stays so.
 */
export function stepLadder(ladder: Ladder, stepMs: number, standing: boolean | undefined, limits: PedalLimits): Ladder {
  const stageMs = ladder.stageMs + Math.max(0, stepMs);
  switch (ladder.stage) {
    case "brake": {
      const rising = Math.min(limits.lossDecelerationMps2, ladder.brakeMps2 + limits.lossJerkMps3 * stepSeconds(stepMs));
      const brakeMps2 = Math.max(ladder.brakeMps2, rising);
      // A vehicle that stands is held by the whole deceleration, not by what the ramp had come to.
      const built = brakeMps2 >= limits.lossDecelerationMps2;
      const stopped = standing ?? stageMs >= limits.lossStopMs;
      return stopped && built ? { stage: "hold", brakeMps2, stageMs: 0 } : { stage: "brake", brakeMps2, stageMs };
    }
    case "hold":
      if (standing === false) return { stage: "brake", brakeMps2: ladder.brakeMps2, stageMs: 0 };
      return { stage: stageMs >= limits.holdMs ? "done" : "hold", brakeMps2: ladder.brakeMps2, stageMs };
    case "done":
      return ladder;
  }
}

/** Missed ticks, less one for every hundred. */
export interface LoopHealth {
  readonly missed: number;
}

export const HEALTHY: LoopHealth = { missed: 0 };

/** What a hundred ticks on time make up for: one missed. */
const FORGIVEN_PER_TICK = 0.01;

/** One tick came, `missed` before it did not. */
export function noteTick(health: LoopHealth, missed: number): LoopHealth {
  return { missed: Math.max(0, health.missed - FORGIVEN_PER_TICK) + missed };
}

export type LoopVerdict = "on-time" | "degrade" | "stop";

export function loopVerdict({ missed }: LoopHealth, limits: { readonly stopMissed: number; readonly degradeMissed: number }): LoopVerdict {
  if (missed >= limits.stopMissed) return "stop";
  return missed >= limits.degradeMissed ? "degrade" : "on-time";
}

/** Why a vehicle under way has to be stopped, or undefined when it need not. */
export function lossCause(speedUnclear: boolean, verdict: LoopVerdict): string | undefined {
  if (speedUnclear) return "speed unclear";
  return verdict === "stop" ? "control loop late" : undefined;
}
