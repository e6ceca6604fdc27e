import { RAYS } from "./sight.ts";
import type { DrivingOptions } from "./options.ts";
import type { Pose } from "./remembered.ts";

interface MutablePose {
  x: number;
  y: number;
  yaw: number;
}

interface Snapshot extends MutablePose {
  atMs: number;
  yawRate: number;
  readonly ranges: Float64Array;
}

/** Rays farther behind are not looked at, degrees. */
export const SIDE_DEG = 160;

/** How often the surroundings are remembered, and how far back they are compared with. */
const SNAPSHOT_MS = 100;
const SNAPSHOTS = 12;
const LOOK_BACK_MS = [200, 500, 1000] as const;

/** After this long without a plausible table nothing is known of before, milliseconds. */
const LONGEST_GAP_MS = 200;

/** A ray that was found to have moved counts for this long: every look back is taken in turn. */
const HOLD_MS = 100;

/** How late the wheels follow what is asked, and by how much the turn may be misjudged: the heading may be wrong by so much between two tables. */
const HEADING_LAG_S = 0.1;
const HEADING_SHARE = 0.05;

/** Nearer than before by more than this is motion, metres; noise and a share of the distance come on top. */
const MOVED_M = 0.1;
const MOVED_SHARE = 0.01;

/** Readings side by side that differ by less lie on one surface, metres. */
const FLAT_M = 0.2;

/**
 * A place that was left: looked for this far to either side of straight ahead, with who left it this far from it, degrees; seen through between rays this
 * far to either side of it, and farther by the share of the turn that is misjudged: twice that of what comes, as every edge would seem to have been left.
 */
const LEFT_DEG = 60;
const WIDEST_DEG = 30;
const RAY_DEG = 1;
const LEFT_HEADING_SHARE = 2 * HEADING_SHARE;

const DEG = Math.PI / 180;

/**
 * Finds what moves: a reading where some time ago the sensor saw through, at a place that was free, and what is next to a place that was left, where the
 * sensor sees through now: who walks behind something parked shows nothing but his back. What has never been seen free, as a wall behind
 * a corner, is no such place, so that the standing world stays standing while the vehicle drives past it.
 */
export interface Moving {
  /** Where the rear axle is by dead reckoning. */
  readonly pose: Pose;
  /** Whether the thing a ray sees has moved. */
  has(ray: number, nowMs: number): boolean;
  /** Since when that thing is known to move: a place that was left tells it of the time before. */
  sinceMs(ray: number): number;
  /** Takes the next plausible table, and the motion since the last one. */
  take(ranges: Float64Array, nowMs: number, speedMps: number, yawRateRadPerS: number): void;
}

export function createMoving({ sensor, limits }: DrivingOptions): Moving {
  const snapshots: Snapshot[] = Array.from({ length: SNAPSHOTS }, () => ({
    atMs: -Infinity,
    x: 0,
    y: 0,
    yaw: 0,
    yawRate: 0,
    ranges: new Float64Array(RAYS),
  }));
  const pose: MutablePose = { x: 0, y: 0, yaw: 0 };
  const untilMs = new Float64Array(RAYS).fill(-Infinity);
  const sinceMs = new Float64Array(RAYS);
  /** Rays that seem to have moved, in this comparison and in the one before. */
  let suspect = new Uint8Array(RAYS);
  let suspectBefore = new Uint8Array(RAYS);
  const cos = Float64Array.from({ length: RAYS }, (_, ray) => Math.cos(ray * DEG));
  const sin = Float64Array.from({ length: RAYS }, (_, ray) => Math.sin(ray * DEG));
  const { forwardM, maxRangeM, noiseM } = sensor;
  let newest = 0;
  let turn = 0;
  let lastMs = -Infinity;

  function reckon(nowMs: number, speedMps: number, yawRate: number): void {
    if (nowMs - lastMs > LONGEST_GAP_MS) for (const snapshot of snapshots) snapshot.atMs = -Infinity;
    const dtS = Math.min(LONGEST_GAP_MS, Math.max(0, nowMs - lastMs)) / 1000;
    lastMs = nowMs;
    const yaw = pose.yaw + (yawRate * dtS) / 2;
    pose.x += Math.cos(yaw) * speedMps * dtS;
    pose.y += Math.sin(yaw) * speedMps * dtS;
    pose.yaw += yawRate * dtS;
  }

  function remember(ranges: Float64Array, nowMs: number, yawRate: number): void {
    if (nowMs - snapshotBack(0).atMs < SNAPSHOT_MS) return;
    newest = (newest + 1) % SNAPSHOTS;
    const snapshot = snapshots[newest] as Snapshot;
    snapshot.atMs = nowMs;
    snapshot.x = pose.x;
    snapshot.y = pose.y;
    snapshot.yaw = pose.yaw;
    snapshot.yawRate = yawRate;
    snapshot.ranges.set(ranges);
  }

  /** The youngest snapshot that is at least this old; the oldest one reaches back far enough. */
  function snapshotOf(nowMs: number, ageMs: number): Snapshot {
    let back = 0;
    while (back < SNAPSHOTS - 1 && nowMs - snapshotBack(back).atMs < ageMs) back += 1;
    return snapshotBack(back);
  }

  function snapshotBack(back: number): Snapshot {
    return snapshots[(newest - back + SNAPSHOTS) % SNAPSHOTS] as Snapshot;
  }

  /** How near anything is in a table between two directions, whole degrees. */
  function nearestIn(table: Float64Array, fromDeg: number, toDeg: number): number {
    let nearest = Infinity;
    for (let ray = fromDeg; ray <= toDeg; ray++) {
      const range = table[((ray % RAYS) + RAYS) % RAYS] as number;
      if (range < nearest) nearest = range;
    }
    return nearest;
  }

  function mark(ray: number, nowMs: number, fromMs: number): void {
    sinceMs[ray] = (untilMs[ray] as number) >= nowMs ? Math.min(sinceMs[ray] as number, fromMs) : fromMs;
    untilMs[ray] = nowMs + HOLD_MS;
  }

  /** Two rays side by side, or one and the same twice, have moved: a single wrong reading has not. */
  function confirm(nowMs: number): void {
    for (let ray = 0; ray < RAYS; ray++) {
      if (suspect[ray] === 0) continue;
      const left = (ray + 1) % RAYS;
      const right = (ray + RAYS - 1) % RAYS;
      const confirmed =
        suspect[left] === 1 || suspect[right] === 1 || suspectBefore[ray] === 1 || suspectBefore[left] === 1 || suspectBefore[right] === 1;
      if (confirmed) mark(ray, nowMs, nowMs);
    }
  }

  function compare(ranges: Float64Array, then: Snapshot, nowMs: number, yawRate: number): void {
    const turned = pose.yaw - then.yaw;
    const spread = 1 + Math.round((Math.abs(yawRate - then.yawRate) * HEADING_LAG_S + Math.abs(turned) * HEADING_SHARE) / DEG);
    [suspect, suspectBefore] = [suspectBefore, suspect];
    const cosThen = Math.cos(then.yaw);
    const sinThen = Math.sin(then.yaw);
    const dx = (pose.x - then.x) * cosThen + (pose.y - then.y) * sinThen;
    const dy = (pose.y - then.y) * cosThen - (pose.x - then.x) * sinThen;
    const cosTurn = Math.cos(turned);
    const sinTurn = Math.sin(turned);
    for (let ray = 0; ray < RAYS; ray++) {
      const range = ranges[ray] as number;
      suspect[ray] = 0;
      if (range <= 0 || range >= maxRangeM || (ray > SIDE_DEG && ray < RAYS - SIDE_DEG)) continue;
      const hereX = forwardM + range * (cos[ray] as number);
      const hereY = range * (sin[ray] as number);
      const thereX = dx + hereX * cosTurn - hereY * sinTurn - forwardM;
      const thereY = dy + hereX * sinTurn + hereY * cosTurn;
      const distance = Math.hypot(thereX, thereY);
      const middle = Math.round(Math.atan2(thereY, thereX) / DEG);
      const seen = nearestIn(then.ranges, middle - spread, middle + spread);
      if (distance < seen - notable(distance)) suspect[ray] = 1;
    }
    confirm(nowMs);
    const misjudged = Math.abs(yawRate - then.yawRate) * HEADING_LAG_S + Math.abs(turned) * LEFT_HEADING_SHARE;
    findLeft(ranges, then, nowMs, RAY_DEG + misjudged / DEG);
  }

  /** How much farther or nearer than expected a reading is motion, metres. */
  function notable(distance: number): number {
    return MOVED_M + 6 * noiseM + MOVED_SHARE * distance;
  }

  /** Finds who has left a place. */
  function findLeft(ranges: Float64Array, then: Snapshot, nowMs: number, doubtDeg: number): void {
    const turned = then.yaw - pose.yaw;
    const cosNow = Math.cos(pose.yaw);
    const sinNow = Math.sin(pose.yaw);
    const dx = (then.x - pose.x) * cosNow + (then.y - pose.y) * sinNow;
    const dy = (then.y - pose.y) * cosNow - (then.x - pose.x) * sinNow;
    const cosTurn = Math.cos(turned);
    const sinTurn = Math.sin(turned);
    const reachM = (limits.obstacleMps * (nowMs - then.atMs)) / 1000 + MOVED_M;
    for (let deg = -SIDE_DEG; deg <= SIDE_DEG; deg++) {
      const ray = (deg + RAYS) % RAYS;
      const range = then.ranges[ray] as number;
      if (range <= 0 || range >= maxRangeM || !isWide(then.ranges, ray)) continue;
      const thereX = forwardM + range * (cos[ray] as number);
      const thereY = range * (sin[ray] as number);
      const hereX = dx + thereX * cosTurn - thereY * sinTurn - forwardM;
      const hereY = dy + thereX * sinTurn + thereY * cosTurn;
      const distance = Math.hypot(hereX, hereY);
      const bearing = Math.atan2(hereY, hereX) / DEG;
      if (Math.abs(bearing) > LEFT_DEG) continue;
      if (nearestIn(ranges, Math.ceil(bearing - doubtDeg), Math.floor(bearing + doubtDeg)) <= distance + notable(distance)) continue;
      const mover = nextTo(ranges, bearing, distance, reachM);
      if (mover >= 0) mark(mover, nowMs, then.atMs);
    }
  }

  /** Whether a reading and the next two on one side lie on one surface: edges, poles and filled holes, which repeat a neighbour, do not. */
  function isWide(ranges: Float64Array, ray: number): boolean {
    return isFlat(ranges, ray, 1) || isFlat(ranges, ray, RAYS - 1);
  }

  function isFlat(ranges: Float64Array, ray: number, step: number): boolean {
    const range = ranges[ray] as number;
    const next = ranges[(ray + step) % RAYS] as number;
    const last = ranges[(ray + 2 * step) % RAYS] as number;
    return next !== range && last !== next && Math.abs(next - range) < FLAT_M && Math.abs(last - next) < FLAT_M;
  }

  /** The ray that sees what is nearest to a place; -1 when nothing is within reach. */
  function nextTo(ranges: Float64Array, bearing: number, distance: number, reachM: number): number {
    const half = Math.min(WIDEST_DEG, Math.ceil(reachM / distance / DEG));
    let nearest2 = reachM * reachM;
    let found = -1;
    for (let deg = Math.round(bearing) - half; deg <= bearing + half; deg++) {
      const ray = (deg + 2 * RAYS) % RAYS;
      const range = ranges[ray] as number;
      if (range <= 0 || range >= maxRangeM) continue;
      const away2 = range * range + distance * distance - 2 * range * distance * Math.cos((deg - bearing) * DEG);
      if (away2 >= nearest2) continue;
      nearest2 = away2;
      found = ray;
    }
    return found;
  }

  return {
    pose,
    has: (ray, nowMs) => (untilMs[ray] as number) >= nowMs,
    sinceMs: (ray) => sinceMs[ray] as number,
    take(ranges, nowMs, speedMps, yawRateRadPerS) {
      reckon(nowMs, speedMps, yawRateRadPerS);
      const then = snapshotOf(nowMs, LOOK_BACK_MS[turn] as number);
      turn = (turn + 1) % LOOK_BACK_MS.length;
      if (then.atMs > -Infinity) compare(ranges, then, nowMs, yawRateRadPerS);
      remember(ranges, nowMs, yawRateRadPerS);
    },
  };
}
