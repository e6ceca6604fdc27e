// Whether a vehicle may be driven. Pure: everything that counts is passed in. It begins disarmed, and anything unclear disarms it.
import type { CommonLimits } from "./limit-table.ts";
import type { Gear } from "./limits.ts";

/**
 * `silent`: disarmed, nothing is driven. `armed`: commands are carried out. `stopping`: disarmed, being brought to a stop. `held`: disarmed, standing,
 * the safe values are driven.
 */
export type Phase = "silent" | "armed" | "stopping" | "held";

export type ArmingEvent = "arm" | "loss" | "stopped" | "off";

/** The phase after `event`. Whatever is not foreseen leaves armed. */
export function nextPhase(phase: Phase, event: ArmingEvent): Phase {
  switch (event) {
    case "arm":
      return phase === "silent" || phase === "held" ? "armed" : phase;
    case "loss":
      return phase === "held" ? "held" : "stopping";
    case "stopped":
      return phase === "stopping" ? "held" : phase;
    case "off":
      return "silent";
  }
}

/** The stream of commands as it is now. */
export interface StreamState {
  /** How long commands have come without a gap. */
  readonly runMs: number;
  /** Commands per second, of late. */
  readonly rateHz: number;
}

/** Why the stream does not arm, or undefined when it does. */
export function streamRefusal(stream: StreamState, nominalHz: number, limits: CommonLimits): string | undefined {
  if (!(stream.runMs >= limits.armStreamMs)) {
    return `commands have come for ${stream.runMs.toFixed(0)} ms without a gap; arming needs ${limits.armStreamMs} ms of them`;
  }
  const neededHz = Math.max(limits.armStreamHz, nominalHz * limits.armStreamRatio);
  if (!(stream.rateHz >= neededHz)) return `commands come at ${stream.rateHz.toFixed(1)} Hz; arming needs ${neededHz} Hz`;
  return undefined;
}

export interface ArmingConditions {
  readonly phase: Phase;
  readonly stream: StreamState;
  readonly nominalHz: number;
  /** Whether the measured speed can be believed; undefined where none is measured. */
  readonly speedFresh: boolean | undefined;
  readonly standing: boolean;
  readonly brakePressed: boolean;
  /** The gear as far as it is known; undefined where there is none. */
  readonly gear: Gear | undefined;
  /** Whether something says which gear is engaged, and can be believed; undefined where nothing does. */
  readonly gearFresh: boolean | undefined;
}

/** Why the vehicle may not be armed now, or undefined when it may. */
export function armRefusal(conditions: ArmingConditions, limits: CommonLimits): string | undefined {
  const { phase, stream, nominalHz, speedFresh, standing, brakePressed, gear, gearFresh } = conditions;
  if (phase === "armed") return undefined;
  if (phase === "stopping") return "it is being brought to a stop; arm it when it stands";
  if (speedFresh === false) return "the measured speed is missing or stale";
  if (gearFresh === false) return "the measured gear is missing or stale";
  if (!standing && !brakePressed) return "it neither stands nor is the brake asked for; ask for the brake first";
  if (gear !== undefined && gear !== "P" && gear !== "N") return `gear ${gear} is engaged; P or N is needed`;
  return streamRefusal(stream, nominalHz, limits);
}

/** When fuel is cut though nobody said so: as soon as nobody drives, once the vehicle stands then, or never. */
export type FuelCut = "loss" | "stop" | "command";

/** Whether fuel is let through. `wasArmed`: since nothing was driven. `stood`: the vehicle was stopped and stands. */
export function fuelFlows(phase: Phase, wasArmed: boolean, stood: boolean, latched: boolean, cutOn: FuelCut): boolean {
  if (latched || !wasArmed || phase === "silent") return false;
  if (phase === "armed") return true;
  return cutOn === "command" || (cutOn === "stop" && !stood);
}

/** Why cut fuel may not be let through again, or undefined when it may. */
export function fuelRefusal(phase: Phase, standing: boolean): string | undefined {
  if (phase === "armed" || phase === "stopping") return "cut fuel stays cut until the vehicle is disarmed";
  return standing ? undefined : "the vehicle has to stand";
}
