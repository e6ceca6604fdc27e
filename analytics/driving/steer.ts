import { freeAlong, type Outline, type Points } from "./arc.ts";
import { RAYS } from "./sight.ts";
import { stoppingDistance } from "./speed.ts";
import type { DrivingOptions } from "./options.ts";

const DEG = Math.PI / 180;

/** Gaps are looked for this far to either side. */
const SIDE_DEG = 90;

/** Steering angles that are tried. */
const CANDIDATES = 21;

/** What weighs how much when a gap and an arc are chosen; found with the closed-loop simulator. */
const GOAL_WEIGHT = 0.7;
const GAP_HABIT = 0.1;
const ARC_GOAL_WEIGHT = 0.5;
const ARC_HABIT = 0.08;

/** While something gets into the way an arc has room enough with so much of what the vehicle needs to stop. */
const EVADING_ROOM = 1.2;

/** What it weighs that the vehicle could not stop within an arc's room, and that it could not even without its margins. */
const STOPPING_WEIGHT = 2;
const HITTING_WEIGHT = 4;

/** Nearer to the flank than this a hard limit holds, metres: readings are a little wrong. */
export const HARD_MARGIN_M = 0.1;

/** Where to steer. */
export interface Steering {
  /** 1/m, left positive. */
  readonly curvature: number;
  /** How far the vehicle with its margin can go there, metres. */
  readonly freeM: number;
  /** The gap that is headed for, degrees. */
  readonly gapDeg: number;
}

export interface Steer {
  /** Chooses by the ranges of the sensor and by the same as points. `horizonM` is how far it looks; `evading`: something moves into the way, and is on this side (1 left, -1 right); 0 otherwise. */
  choose(ranges: Float64Array, points: Points, goalDeg: number, speedMps: number, horizonM: number, evading: number): Steering;
}

/** Follow the gap: every obstacle is widened by half the vehicle, then the farthest gap nearest to the goal is headed for on an arc that is free. */
export function createSteer({ sensor, vehicle, limits }: DrivingOptions, outline: Outline): Steer {
  const widened = new Float64Array(RAYS);
  const chosen = { curvature: 0, freeM: 0, gapDeg: 0 };
  const softM = outline.halfWidthM + limits.marginM;

  /** Disparity extension: no ray reaches farther than the vehicle beside its neighbours does. */
  function widen(ranges: Float64Array, reachM: number): void {
    for (let ray = 0; ray < RAYS; ray++) widened[ray] = Math.min(ranges[ray] as number, reachM);
    for (let deg = -SIDE_DEG; deg <= SIDE_DEG; deg++) {
      const range = ranges[(deg + RAYS) % RAYS] as number;
      if (range >= reachM) continue;
      const half = range <= softM ? SIDE_DEG : Math.ceil(Math.asin(softM / range) / DEG);
      for (let near = deg - half; near <= deg + half; near++) {
        const ray = (near + 2 * RAYS) % RAYS;
        if ((widened[ray] as number) > range) widened[ray] = range;
      }
    }
  }

  /** What an arc loses by having less room than the vehicle needs to stop. Where margins are gone already only what would be hit tells arcs apart. */
  function shortage(points: Points, curvature: number, freeM: number, neededM: number): number {
    if (freeM >= neededM) return 0;
    const hardM = freeAlong(points, curvature, outline, HARD_MARGIN_M, neededM);
    return STOPPING_WEIGHT * (1 - freeM / neededM) + HITTING_WEIGHT * (1 - hardM / neededM);
  }

  function chooseGap(goalDeg: number, reachM: number): number {
    let best = -Infinity;
    let bestDeg = 0;
    for (let deg = -SIDE_DEG; deg <= SIDE_DEG; deg++) {
      const range = widened[(deg + RAYS) % RAYS] as number;
      const score = range / reachM - (GOAL_WEIGHT * Math.abs(deg - goalDeg) + GAP_HABIT * Math.abs(deg - chosen.gapDeg)) / SIDE_DEG;
      if (score <= best) continue;
      best = score;
      bestDeg = deg;
    }
    return bestDeg;
  }

  /** The arc through a point in the gap: pure pursuit. */
  function pursuit(gapDeg: number, speedMps: number): number {
    const range = widened[(gapDeg + RAYS) % RAYS] as number;
    const away = Math.max(1.5, Math.min(range, 3 + speedMps));
    const x = sensor.forwardM + away * Math.cos(gapDeg * DEG);
    const y = away * Math.sin(gapDeg * DEG);
    return (2 * y) / (x * x + y * y);
  }

  return {
    choose(ranges, points, goalDeg, speedMps, horizonM, evading) {
      const reachM = Math.min(sensor.maxRangeM, horizonM + 5);
      widen(ranges, reachM);
      const gapDeg = chooseGap(goalDeg, reachM);
      const sharpest = Math.tan(vehicle.maxSteeringDeg * DEG) / vehicle.wheelbaseM;
      const most = Math.min(
        sharpest,
        (evading === 0 ? limits.lateralMps2 : limits.emergencyLateralMps2) / Math.max(1, speedMps * speedMps),
      );
      const before = chosen.curvature;
      const wished = evading === 0 ? pursuit(gapDeg, speedMps) : -evading * most;
      const neededM = stoppingDistance(speedMps, limits.emergencyMps2, limits.reactionMs / 1000 / 2);
      // Who is about to stop needs no room beyond that.
      const wantedM = evading === 0 ? horizonM : Math.min(horizonM, EVADING_ROOM * neededM);
      let best = -Infinity;
      for (let i = 0; i < CANDIDATES; i++) {
        const share = (2 * i) / (CANDIDATES - 1) - 1;
        // Finer in the middle, where most driving is done.
        const curvature = most * share * Math.abs(share);
        const freeM = freeAlong(points, curvature, outline, limits.marginM, horizonM);
        const score =
          Math.min(1, freeM / wantedM) -
          shortage(points, curvature, freeM, neededM) -
          (ARC_GOAL_WEIGHT * Math.abs(curvature - wished) + ARC_HABIT * Math.abs(curvature - before)) / sharpest;
        if (score <= best) continue;
        best = score;
        chosen.curvature = curvature;
        chosen.freeM = freeM;
      }
      chosen.gapDeg = gapDeg;
      return chosen;
    },
  };
}
