import { freeAlong, type Outline, type Points } from "./arc.ts";
import { createGround } from "./ground.ts";
import { createSight, RAYS, type TableFault } from "./sight.ts";
import { requiredBraking, stoppingDistance, stoppingSpeed } from "./speed.ts";
import { createSteer, HARD_MARGIN_M } from "./steer.ts";
import { createYielding } from "./yielding.ts";
import type { DrivingOptions } from "./options.ts";

const DEG = Math.PI / 180;

/** What is known when a plan is made. */
export interface PlanInput {
  readonly nowMs: number;
  /** The newest horizontal table; undefined when none arrived since the last plan. */
  readonly horizontal: readonly number[] | undefined;
  /** The latest vertical table; undefined where there is no such sensor, "lost" where nothing fresh came from it. */
  readonly vertical: readonly number[] | "lost" | undefined;
  /** Undefined while it is not known. */
  readonly speedMps: number | undefined;
  readonly demandedMps: number | undefined;
  readonly goalDeg: number;
}

/** What the vehicle should do now. */
export interface Plan {
  acceleratorPercent: number;
  brakePercent: number;
  clutchPercent: number;
  gear: string;
  /** The speed that is aimed at, m/s. */
  speedMps: number;
  /** Of the wheels, left positive. */
  directionDeg: number;
  fuel: "on" | "cut";
  /** Everything is plausible. */
  ok: boolean;
  /** What keeps the vehicle from going faster. */
  reason: string;
}

export interface Planner {
  /** The same object each time, filled anew. */
  plan(input: PlanInput): Readonly<Plan>;
}

/** Slower than this it stands. */
const STANDING_MPS = 0.05;
/** Holds the vehicle at standstill, percent. */
const HOLD_PERCENT = 40;
/** Correction of the speed: m/s² per m/s. */
const SPEED_GAIN = 2.5;
/** Through a gap that has room for the vehicle but not for its margins, m/s. */
const CREEP_MPS = 1;
/** A brake that does nothing for so long is broken: the fuel is cut, milliseconds. */
const BRAKE_PROOF_MS = 800;
/** So much faster than what moves allows is an emergency, m/s. */
const EVADE_MPS = 0.3;
const CLUTCH_BELOW_MPS = 0.8;
const CLUTCH_MS = 300;

/** Plans from what the sensors see. Knows no clock and no variables: everything it is told stands in its input, and its memory is what it was told before. */
export function createPlanner(options: DrivingOptions): Planner {
  const { sensor, vehicle, limits, trust } = options;
  const outline: Outline = { frontM: vehicle.frontM, rearM: vehicle.rearM, halfWidthM: vehicle.widthM / 2 };
  const sight = createSight(options);
  const yielding = createYielding(options, outline);
  const ground = createGround(options);
  const steer = createSteer(options, outline);
  const points: Points = { x: new Float64Array(RAYS), y: new Float64Array(RAYS), count: 0 };
  const cos = Float64Array.from({ length: RAYS }, (_, ray) => Math.cos(ray * DEG));
  const sin = Float64Array.from({ length: RAYS }, (_, ray) => Math.sin(ray * DEG));
  const reactionS = limits.reactionMs / 1000;
  const groundMps = stoppingSpeed(ground.sightM - limits.stopM, limits.brakingMps2, reactionS);
  const plan: Plan = {
    acceleratorPercent: 0,
    brakePercent: HOLD_PERCENT,
    clutchPercent: 0,
    gear: "N",
    speedMps: 0,
    directionDeg: 0,
    fuel: "on",
    ok: false,
    reason: "no table yet",
  };
  let lastMs = -Infinity;
  let seenMs = -Infinity;
  /** When there was last everything a plan needs. */
  let plannedMs = -Infinity;
  let faultMs = -Infinity;
  let fault: TableFault | undefined;
  /** Where the wheels should be, and where they are as far as they follow what is published. */
  let wantedDeg = 0;
  let wheelsDeg = 0;
  let lastSpeedMps = 0;
  let emergency = false;
  /** In some direction nobody knows what is there. */
  let unseen = false;
  /** Something that moves may get into the way before the vehicle stands. */
  let evading = false;
  let brakingSinceMs = Infinity;
  let brakingFromMps = 0;
  let gearIndex = 0;
  let clutchUntilMs = -Infinity;

  function curvatureOf(deg: number): number {
    return Math.tan(deg * DEG) / vehicle.wheelbaseM;
  }

  /** How fast the wheels may turn: the vehicle's own rate, and what keeps the sideways jerk. */
  function steeringRate(speedMps: number): number {
    const square = Math.max(0.25, speedMps * speedMps);
    return Math.min(vehicle.steeringRateDegPerS, (limits.lateralJerkMps3 * vehicle.wheelbaseM) / square / DEG);
  }

  function look(table: readonly number[], nowMs: number, speedMps: number): boolean {
    fault = sight.take(table, nowMs, speedMps);
    if (fault !== undefined) {
      faultMs = nowMs;
      return false;
    }
    seenMs = nowMs;
    yielding.take(sight.ranges, nowMs, speedMps, speedMps * curvatureOf(wheelsDeg));
    points.count = 0;
    unseen = false;
    for (let ray = 0; ray < RAYS; ray++) {
      const range = sight.ranges[ray] as number;
      if (range >= sensor.maxRangeM) continue;
      if (range <= 0) unseen = true;
      points.x[points.count] = sensor.forwardM + range * (cos[ray] as number);
      points.y[points.count] = range * (sin[ray] as number);
      points.count += 1;
    }
    return true;
  }

  /** The way the wheels take to where they are sent. */
  function hardFree(curvature: number, speedMps: number, horizonM: number): number {
    const present = curvatureOf(wheelsDeg);
    const wanted = Math.atan(curvature * vehicle.wheelbaseM) / DEG;
    const turningM = (speedMps * Math.abs(wanted - wheelsDeg)) / steeringRate(speedMps);
    const free = freeAlong(points, curvature, outline, HARD_MARGIN_M, horizonM);
    if (turningM < 0.1) return free;
    const between = freeAlong(points, (present + curvature) / 2, outline, HARD_MARGIN_M, horizonM);
    const straightOn = freeAlong(points, present, outline, HARD_MARGIN_M, horizonM);
    return Math.min(free, between, straightOn < turningM + limits.stopM ? straightOn : horizonM);
  }

  function lowerTo(speedMps: number, reason: string): void {
    if (speedMps >= plan.speedMps) return;
    plan.speedMps = speedMps;
    plan.reason = reason;
  }

  /** Sets where to steer, and returns how far the vehicle with its margin can go there. Who does not see every way keeps to the one that was free when it was seen, and stops. */
  function chooseWay(goalDeg: number, speedMps: number, horizonM: number): number {
    if (unseen) return 0;
    const { curvature, freeM } = steer.choose(sight.ranges, points, goalDeg, speedMps, horizonM, evading ? yielding.side : 0);
    wantedDeg = Math.max(-vehicle.maxSteeringDeg, Math.min(vehicle.maxSteeringDeg, Math.atan(curvature * vehicle.wheelbaseM) / DEG));
    return freeM;
  }

  /** Sets the aim for a vehicle that sees; returns how much way is left before it must stand. */
  function aim(input: PlanInput, speedMps: number): number {
    const horizonM = Math.min(sensor.maxRangeM, Math.max(6, 4 + 1.5 * stoppingDistance(speedMps, limits.brakingMps2, reactionS)));
    const softM = chooseWay(input.goalDeg, speedMps, horizonM);
    const curvature = curvatureOf(wantedDeg);
    let hardM = unseen ? 0 : hardFree(curvature, speedMps, horizonM);
    if (typeof input.vertical === "object") hardM = Math.min(hardM, ground.clearAhead(input.vertical));
    const wayM = hardM - limits.stopM;
    plan.speedMps = limits.speedMps;
    plan.reason = "speed limit";
    if (input.demandedMps !== undefined) lowerTo(Math.max(0, input.demandedMps), "demanded speed");
    if (typeof input.vertical === "object") lowerTo(groundMps, "ground not seen farther");
    const sharper = Math.max(Math.abs(curvature), Math.abs(curvatureOf(wheelsDeg)));
    lowerTo(Math.sqrt(limits.lateralMps2 / Math.max(sharper, 1e-6)), "bend");
    const ahead = hardM < horizonM ? "obstacle ahead" : "looks no farther";
    lowerTo(stoppingSpeed(wayM, limits.brakingMps2, reactionS), ahead);
    lowerTo(Math.max(0, wayM) / limits.timeToCollisionS, ahead);
    if (softM < horizonM) lowerTo(Math.max(CREEP_MPS, stoppingSpeed(softM - limits.stopM, limits.brakingMps2, reactionS)), "narrow");
    const besideMps = Math.min(yielding.speedOn(curvature), yielding.speedOn(curvatureOf(wheelsDeg)));
    evading = besideMps < speedMps - EVADE_MPS;
    lowerTo(besideMps, "something moves");
    return hardM < horizonM ? wayM : Infinity;
  }

  /** What is not in order, worst first; undefined when the vehicle may speed up. */
  function doubt(input: PlanInput): string | undefined {
    if (input.speedMps === undefined) return "speed unknown";
    if (fault !== undefined) return fault;
    if (input.vertical === "lost") return "no vertical table";
    if (input.horizontal === undefined && input.nowMs - seenMs > 2 * options.periodMs) return "table late";
    if (input.nowMs - faultMs < trust.recoverMs) return "recovering";
    return sight.share < trust.degradedReadings ? "few readings" : undefined;
  }

  function pedals(speedMps: number, wayM: number, mayAccelerate: boolean): void {
    const required = requiredBraking(speedMps, wayM);
    const excess = speedMps - plan.speedMps;
    if (required > limits.brakingMps2 * 1.25 || evading) emergency = true;
    else if (excess <= 0 && required < limits.brakingMps2) emergency = false;
    const wish = Math.max(-limits.brakingMps2, Math.min(limits.accelerationMps2, -SPEED_GAIN * excess));
    const braking = Math.max(-wish, required > 0.9 * limits.brakingMps2 ? required : 0, emergency ? limits.emergencyMps2 : 0);
    plan.acceleratorPercent = 0;
    plan.brakePercent = 0;
    if (plan.speedMps <= STANDING_MPS && speedMps <= STANDING_MPS) plan.brakePercent = HOLD_PERCENT;
    else if (braking > 0) plan.brakePercent = (100 * Math.min(braking, limits.emergencyMps2)) / vehicle.fullBrakeMps2;
    else if (mayAccelerate) plan.acceleratorPercent = (100 * wish) / vehicle.fullAcceleratorMps2;
    plan.acceleratorPercent = Math.min(100, plan.acceleratorPercent);
    plan.brakePercent = Math.min(100, plan.brakePercent);
  }

  /** Sees nothing: holds what it does for a moment, then stops. */
  function goBlind(nowMs: number, speedMps: number, why: string): void {
    wantedDeg = wheelsDeg;
    evading = false;
    const forLong = nowMs - plannedMs > trust.staleMs;
    const before = plan.brakePercent;
    plan.speedMps = forLong ? 0 : Math.min(plan.speedMps, speedMps);
    plan.reason = why;
    pedals(speedMps, Infinity, false);
    if (!forLong || speedMps > STANDING_MPS) plan.brakePercent = Math.max(plan.brakePercent, before);
    if (forLong && speedMps > STANDING_MPS) {
      plan.brakePercent = Math.max(plan.brakePercent, (100 * limits.brakingMps2) / vehicle.fullBrakeMps2);
    }
  }

  function watchBrake(nowMs: number, speedMps: number): void {
    const braking = plan.brakePercent >= HOLD_PERCENT && speedMps > 1;
    if (!braking) {
      brakingSinceMs = Infinity;
      if (speedMps <= STANDING_MPS) plan.fuel = "on";
      return;
    }
    if (brakingSinceMs === Infinity) {
      brakingSinceMs = nowMs;
      brakingFromMps = speedMps;
    }
    if (nowMs - brakingSinceMs < BRAKE_PROOF_MS) return;
    if (speedMps > brakingFromMps - 0.1) plan.fuel = "cut";
    brakingSinceMs = nowMs;
    brakingFromMps = speedMps;
  }

  function chooseGear(nowMs: number, speedMps: number): void {
    const ups = vehicle.gearsUpMps;
    if (ups.length === 0) {
      plan.gear = plan.ok || speedMps > STANDING_MPS || plan.gear === "D" ? "D" : "N";
      return;
    }
    const before = gearIndex;
    while (gearIndex < ups.length && speedMps > (ups[gearIndex] as number)) gearIndex += 1;
    while (gearIndex > 0 && speedMps < 0.75 * (ups[gearIndex - 1] as number)) gearIndex -= 1;
    if (gearIndex !== before) clutchUntilMs = nowMs + CLUTCH_MS;
    plan.gear = String(gearIndex + 1);
    plan.clutchPercent = nowMs < clutchUntilMs || (speedMps < CLUTCH_BELOW_MPS && plan.acceleratorPercent === 0) ? 100 : 0;
  }

  return {
    plan(input) {
      const { nowMs } = input;
      const speedMps = Math.abs(input.speedMps ?? lastSpeedMps);
      lastSpeedMps = speedMps;
      const dtS = Math.min(0.2, Math.max(0, nowMs - lastMs) / 1000);
      lastMs = nowMs;
      const sees = input.horizontal !== undefined && look(input.horizontal, nowMs, speedMps);
      const why = doubt(input);
      if (sees && input.speedMps !== undefined && input.vertical !== "lost") {
        plannedMs = nowMs;
        const wayM = aim(input, speedMps);
        if (why !== undefined) lowerTo(Math.min(limits.degradedMps, speedMps), why);
        pedals(speedMps, wayM, why === undefined);
      } else {
        goBlind(nowMs, speedMps, why ?? "no table");
      }
      const stepDeg = steeringRate(speedMps) * dtS;
      wheelsDeg += Math.max(-stepDeg, Math.min(stepDeg, wantedDeg - wheelsDeg));
      plan.directionDeg = wheelsDeg;
      plan.ok = why === undefined && sees;
      watchBrake(nowMs, speedMps);
      if (plan.fuel === "cut") plan.acceleratorPercent = 0;
      chooseGear(nowMs, speedMps);
      return plan;
    },
  };
}
