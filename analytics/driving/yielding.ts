import { createMoving, SIDE_DEG } from "./moving.ts";
import { createRemembered, type Moved } from "./remembered.ts";
import { RAYS } from "./sight.ts";
import { yieldingSpeed } from "./speed.ts";
import type { Outline } from "./arc.ts";
import type { DrivingOptions } from "./options.ts";

const DEG = Math.PI / 180;

/** Below this curvature an arc is a straight line. */
const STRAIGHT = 1e-4;

/** Yields to what moves. */
export interface Yielding {
  /** Takes the next plausible table, and the motion since the last one. */
  take(ranges: Float64Array, nowMs: number, speedMps: number, yawRateRadPerS: number): void;
  /** How fast the vehicle may be on an arc so that it can stop before anything that moves, wherever that turns to, gets into its way. */
  speedOn(curvature: number): number;
  /** Which side the nearest of them is on: 1 left, -1 right, 0 for what is in the way already. */
  readonly side: number;
}

export function createYielding(options: DrivingOptions, outline: Outline): Yielding {
  const { sensor, limits } = options;
  const moving = createMoving(options);
  const remembered = createRemembered();
  const moved: Moved = { x: new Float64Array(RAYS), y: new Float64Array(RAYS), sinceMs: new Float64Array(RAYS), count: 0 };
  const stopping = {
    obstacleMps: limits.obstacleMps,
    brakingMps2: limits.emergencyMps2,
    reactionS: limits.reactionMs / 1000,
    marginM: limits.marginM,
  };
  let lastMs = -Infinity;
  let lowest = limits.speedMps;
  let nearest2 = Infinity;
  let side = 0;

  /** Beside an arc: how far along it, and how far off it. */
  function speedPast(x: number, y: number, curvature: number, grownM: number): number {
    if (x < -outline.rearM) return limits.speedMps;
    const bent = Math.abs(curvature);
    const straight = bent < STRAIGHT;
    const along = straight ? x : Math.atan2(x, 1 / bent - y * Math.sign(curvature)) / bent;
    const across = straight ? Math.abs(y) : Math.abs(Math.hypot(x, 1 / curvature - y) - 1 / bent);
    const aheadM = Math.max(0, along - outline.frontM - grownM);
    const asideM = Math.max(0, across - outline.halfWidthM - grownM);
    return yieldingSpeed(aheadM, asideM, limits.speedMps, stopping);
  }

  function pass(x: number, y: number, curvature: number, grownM: number): void {
    lowest = Math.min(lowest, speedPast(x, y, curvature, grownM));
    const away2 = x * x + y * y;
    if (x < -outline.rearM || away2 >= nearest2) return;
    nearest2 = away2;
    side = Math.abs(y) < outline.halfWidthM ? 0 : Math.sign(y);
  }

  return {
    get side() {
      return side;
    },
    take(ranges, nowMs, speedMps, yawRateRadPerS) {
      lastMs = nowMs;
      moving.take(ranges, nowMs, speedMps, yawRateRadPerS);
      moved.count = 0;
      for (let deg = -SIDE_DEG; deg <= SIDE_DEG; deg++) {
        const ray = (deg + RAYS) % RAYS;
        if (!moving.has(ray, nowMs)) continue;
        moved.x[moved.count] = sensor.forwardM + (ranges[ray] as number) * Math.cos(deg * DEG);
        moved.y[moved.count] = (ranges[ray] as number) * Math.sin(deg * DEG);
        moved.sinceMs[moved.count] = moving.sinceMs(ray);
        moved.count += 1;
      }
      remembered.take(moved, moving.pose, nowMs);
    },
    speedOn(curvature) {
      lowest = limits.speedMps;
      nearest2 = Infinity;
      for (let i = 0; i < moved.count; i++) pass(moved.x[i] as number, moved.y[i] as number, curvature, 0);
      remembered.forHidden(moving.pose, lastMs, (x, y, ageMs) => {
        pass(x, y, curvature, (limits.obstacleMps * ageMs) / 1000);
      });
      return lowest;
    },
  };
}
