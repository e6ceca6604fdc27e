// What may be written to a vehicle, decided last before the port. Pure: everything that counts is passed in.
import type { PedalLimits, SteeringLimits } from "./limit-table.ts";

/** A late tick moves nothing further than two periods of the 100 Hz loop would. */
export const LONGEST_STEP_MS = 20;

/** Up to this speed the steering rate is the ordinary one, from the second on the fast one (Autoware vehicle_cmd_gate, reference speeds). */
const ORDINARY_RATE_MPS = 20;
const FAST_RATE_MPS = 30;

const DEG_PER_RAD = 180 / Math.PI;

/** The pedals, percent of their travel. */
export interface Pedals {
  readonly acceleratorPercent: number;
  readonly brakePercent: number;
}

/** What the whole pedal does on this vehicle, on level ground: m/s², positive both. */
export interface PedalScale {
  readonly acceleratorMps2: number;
  readonly brakeMps2: number;
}

/** Why less was written than asked for. */
export type LimitedBy = "none" | "brake" | "gear" | "speed" | "range" | "transition" | "degraded" | "slew";

export interface PedalSituation {
  /** Measured; undefined where it is not. */
  readonly speedMps: number | undefined;
  /** Time since the last write. */
  readonly stepMs: number;
  /** Armed so recently that the transition limits hold. */
  readonly inTransition: boolean;
  /** The control loop misses ticks. */
  readonly degraded: boolean;
  /** A gear is being changed. */
  readonly shifting: boolean;
}

export interface LimitedPedals extends Pedals {
  readonly limitedBy: LimitedBy;
}

/** The time one write may make use of, seconds: 0 when the clock says something impossible. */
export function stepSeconds(stepMs: number): number {
  return stepMs > 0 ? Math.min(stepMs, LONGEST_STEP_MS) / 1000 : 0;
}

/** The percent of a pedal that asks for `mps2` at the most. */
export function ceilingPercent(mps2: number, fullMps2: number): number {
  return Math.min(100, (100 * mps2) / fullMps2);
}

/** Why `value` cannot be asked for at all, or undefined when it can. */
export function rangeRefusal(what: string, value: number, min: number, max: number, unit: string): string | undefined {
  if (value >= min && value <= max) return undefined;
  return `${what} is ${value}${unit}; ${min} to ${max}${unit} is the range`;
}

/** `from` moved towards `to` by `rise` or `fall` at the most. */
export function towards(from: number, to: number, rise: number, fall: number): number {
  return to > from ? Math.min(to, from + rise) : Math.max(to, from - fall);
}

/** A target that is no number keeps what is driven. */
function targetOr(target: number, otherwise: number): number {
  return Number.isFinite(target) ? target : otherwise;
}

function limitBrake(last: number, target: number, situation: PedalSituation, scale: PedalScale, limits: PedalLimits): number {
  const seconds = stepSeconds(situation.stepMs);
  const ceiling = ceilingPercent(limits.decelerationMps2, scale.brakeMps2);
  const asked = Math.max(0, Math.min(targetOr(target, last), ceiling));
  const percentPerMps2 = 100 / scale.brakeMps2;
  const rise = Math.min(limits.brakeSlewPercentPerS, limits.brakeJerkMps3 * percentPerMps2) * seconds;
  const fall = Math.min(limits.brakeSlewPercentPerS, limits.accelerationJerkMps3 * percentPerMps2) * seconds;
  return towards(last, asked, rise, fall);
}

interface Ceiling {
  readonly percent: number;
  readonly by: LimitedBy;
}

/** The lowest of what bounds the accelerator now. */
function acceleratorCeiling(situation: PedalSituation, scale: PedalScale, limits: PedalLimits): Ceiling {
  const { speedMps, inTransition, degraded, shifting } = situation;
  if (shifting) return { percent: 0, by: "gear" };
  if (speedMps !== undefined && speedMps >= limits.speedMps) return { percent: 0, by: "speed" };
  const nominal = limits.accelerationMps2;
  const transition = inTransition ? limits.transitionAccelerationMps2 : nominal;
  const reduced = degraded ? limits.degradedAccelerationMps2 : nominal;
  const percent = ceilingPercent(Math.min(nominal, transition, reduced), scale.acceleratorMps2);
  if (reduced < transition) return { percent, by: "degraded" };
  return { percent, by: inTransition ? "transition" : "range" };
}

/** What is written to the pedals: never both of them; the brake wins. The accelerator is released at once, everything else has its rate. */
export function limitPedals(
  last: Pedals,
  target: Pedals,
  situation: PedalSituation,
  scale: PedalScale,
  limits: PedalLimits,
): LimitedPedals {
  const brakePercent = limitBrake(last.brakePercent, target.brakePercent, situation, scale, limits);
  const asked = Math.max(0, targetOr(target.acceleratorPercent, 0));
  if (asked === 0) return { acceleratorPercent: 0, brakePercent, limitedBy: brakePercent === target.brakePercent ? "none" : "slew" };
  // A brake asked for in no number counts as asked for.
  if (brakePercent > 0 || !(target.brakePercent <= 0)) return { acceleratorPercent: 0, brakePercent, limitedBy: "brake" };
  const ceiling = acceleratorCeiling(situation, scale, limits);
  const jerk = situation.inTransition ? limits.transitionJerkMps3 : limits.accelerationJerkMps3;
  const percentPerS = Math.min(limits.acceleratorSlewPercentPerS, (100 * jerk) / scale.acceleratorMps2);
  const reachable = last.acceleratorPercent + percentPerS * stepSeconds(situation.stepMs);
  const acceleratorPercent = Math.min(asked, ceiling.percent, reachable);
  if (acceleratorPercent === asked) return { acceleratorPercent, brakePercent, limitedBy: "none" };
  return { acceleratorPercent, brakePercent, limitedBy: acceleratorPercent === ceiling.percent ? ceiling.by : "slew" };
}

/** What is written to the clutch, 100 being pressed. */
export function limitClutch(lastPercent: number, targetPercent: number, stepMs: number, limits: PedalLimits): number {
  const step = limits.clutchSlewPercentPerS * stepSeconds(stepMs);
  return towards(lastPercent, Math.max(0, Math.min(targetOr(targetPercent, lastPercent), 100)), step, step);
}

/** P, R, N, D and the numbered gears forward. */
export const GEARS = ["P", "R", "N", "D", "1", "2", "3", "4", "5", "6", "7", "8"] as const;

export type Gear = (typeof GEARS)[number];

/** Which way the gear drives. */
export type Direction = "forward" | "reverse" | "none";

export function directionOf(gear: Gear): Direction {
  if (gear === "P" || gear === "N") return "none";
  return gear === "R" ? "reverse" : "forward";
}

export interface GearSituation {
  readonly acceleratorPercent: number;
  /** Undefined where there is no clutch. */
  readonly clutchPercent: number | undefined;
  /** Known to stand. */
  readonly standing: boolean;
  /** Measured; undefined where it is not, or not to be believed. */
  readonly speedMps: number | undefined;
  /** The way the vehicle was last driven since it last stood. */
  readonly rolling: Direction;
}

/** Why the gear may not be changed from `from` to `to` now, or undefined when it may. */
export function gearRefusal(from: Gear, to: Gear, situation: GearSituation, limits: PedalLimits): string | undefined {
  if (from === to) return undefined;
  const { acceleratorPercent, clutchPercent, standing, speedMps, rolling } = situation;
  if (acceleratorPercent > 0) return "the accelerator has to be released first";
  if (clutchPercent !== undefined && clutchPercent < limits.clutchPressedPercent) {
    return `the clutch has to be pressed to ${limits.clutchPressedPercent} % first; it is at ${clutchPercent.toFixed(0)} %`;
  }
  if (standing) return undefined;
  if (to === "P" || to === "R") return `${to} is engaged at standstill only`;
  if (rolling === "reverse" && directionOf(to) === "forward") return "from reverse to forward the vehicle has to stand first";
  if (speedMps === undefined) return "without a measured speed gears are changed at standstill only";
  if (speedMps > limits.gearChangeMps) return `gears are changed up to ${limits.gearChangeMps} m/s; it is ${speedMps.toFixed(1)} m/s`;
  return undefined;
}

export interface SteeringSituation {
  /** Measured; undefined where it is not: then only range and rate bound the wheels. */
  readonly speedMps: number | undefined;
  readonly stepMs: number;
  readonly inTransition: boolean;
}

export interface LimitedAngle {
  readonly angleDeg: number;
  readonly limitedBy: "none" | "lateral" | "slew";
}

/** The angle at which the bicycle model's lateral acceleration v² · tan(angle) / wheelbase is `lateralMps2`. */
export function lateralAngleDeg(speedMps: number, wheelbaseM: number, lateralMps2: number): number {
  return Math.atan2(lateralMps2 * wheelbaseM, speedMps * speedMps) * DEG_PER_RAD;
}

/** How fast the wheels may be turned at this speed. */
export function steeringRateDegPerS(speedMps: number, limits: SteeringLimits): number {
  const share = Math.min(1, Math.max(0, (speedMps - ORDINARY_RATE_MPS) / (FAST_RATE_MPS - ORDINARY_RATE_MPS)));
  return limits.rateDegPerS + share * (limits.fastRateDegPerS - limits.rateDegPerS);
}

/** The angle whose lateral acceleration differs from that of `angleDeg` by `changeMps2`; at standstill any angle, to the side of the change. */
export function lateralReachDeg(angleDeg: number, changeMps2: number, speedMps: number, wheelbaseM: number): number {
  const square = speedMps * speedMps;
  return Math.atan2(square * Math.tan(angleDeg / DEG_PER_RAD) + changeMps2 * wheelbaseM, square) * DEG_PER_RAD;
}

/** What is written to the wheels. Beyond the lateral limit, because the vehicle became faster, they come back as fast as wheels may be turned. */
export function limitAngle(
  lastDeg: number,
  targetDeg: number,
  situation: SteeringSituation,
  wheelbaseM: number,
  limits: SteeringLimits,
): LimitedAngle {
  const speedMps = situation.speedMps ?? 0;
  const lateralMps2 = situation.inTransition ? limits.transitionLateralMps2 : limits.lateralMps2;
  const lateralDeg = lateralAngleDeg(speedMps, wheelbaseM, lateralMps2);
  const boundDeg = Math.min(limits.angleDeg, lateralDeg);
  const target = targetOr(targetDeg, lastDeg);
  const asked = Math.max(-boundDeg, Math.min(target, boundDeg));
  const seconds = stepSeconds(situation.stepMs);
  const step = steeringRateDegPerS(speedMps, limits) * seconds;
  const turned = towards(lastDeg, asked, step, step);
  const change = limits.lateralJerkMps3 * seconds;
  const angleDeg =
    seconds > 0 && Math.abs(lastDeg) <= boundDeg
      ? Math.max(
          lateralReachDeg(lastDeg, -change, speedMps, wheelbaseM),
          Math.min(turned, lateralReachDeg(lastDeg, change, speedMps, wheelbaseM)),
        )
      : turned;
  if (angleDeg === target) return { angleDeg, limitedBy: "none" };
  return { angleDeg, limitedBy: angleDeg === asked ? "lateral" : "slew" };
}
