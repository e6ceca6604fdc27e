import type { DrivingOptions } from "./options.ts";

/** One reading per degree. */
export const RAYS = 360;

/** Rays within this many degrees of straight ahead must be there; those behind may be hidden by the vehicle itself. */
const FRONT_DEG = 100;

/** Fewer adjacent missing rays than this are taken for their nearer neighbour. */
const NARROW_RAYS = 3;

/** Slower than this a vehicle stands: identical tables are nothing strange. */
const STANDING_MPS = 0.1;

/** What is wrong with one table; undefined when it can be believed. */
export type TableFault = "not 360 numbers" | "too few readings" | "stuck" | "impossible jumps";

/** The horizontal table as far as it can be believed. */
export interface Sight {
  /** Metres per ray: `maxRangeM` where nothing was seen, 0 where it is not known whether something is there. Filled anew by `take`. */
  readonly ranges: Float64Array;
  /** Share of the readings ahead that were there in the last table, 0 to 1. */
  readonly share: number;
  /** Looks at the next table. One that is refused leaves `ranges` as it is. */
  take(table: readonly number[], nowMs: number, speedMps: number): TableFault | undefined;
}

export function createSight({ sensor, trust, limits }: DrivingOptions): Sight {
  const { minRangeM, maxRangeM } = sensor;
  const ranges = new Float64Array(RAYS);
  /** The table before, with 0 for what was missing. */
  const before = new Float64Array(RAYS);
  const readMs = new Float64Array(RAYS).fill(-Infinity);
  let beforeMs = -Infinity;
  let identical = 0;
  let isStuck = false;
  let share = 0;

  const reading = (value: number): number => (value >= minRangeM && value > 0 ? Math.min(value, maxRangeM) : 0);

  /** Compares with the table before and remembers this one. */
  function compare(table: readonly number[], nowMs: number, speedMps: number): { readonly jumps: number; readonly same: boolean } {
    const dtS = Math.min(1, Math.max(0, nowMs - beforeMs) / 1000);
    const explainedM = trust.jumpM + (Math.abs(speedMps) + limits.obstacleMps) * dtS;
    let jumped = 0;
    let compared = 0;
    let same = true;
    let seen = false;
    for (let ray = 0; ray < RAYS; ray++) {
      const now = reading(table[ray] as number);
      const then = before[ray] as number;
      before[ray] = now;
      if (now !== then) same = false;
      if (now > 0 && now < maxRangeM) seen = true;
      if (now === 0 || then === 0) continue;
      compared += 1;
      if (Math.abs(now - then) > explainedM) jumped += 1;
    }
    const first = beforeMs === -Infinity;
    beforeMs = nowMs;
    return { jumps: first || compared === 0 ? 0 : jumped / compared, same: same && seen };
  }

  /** A sensor that repeats itself is stuck while the vehicle moves, and stays so until something changes. */
  function stuck(same: boolean, speedMps: number): boolean {
    identical = same ? identical + 1 : 0;
    if (identical === 0) isStuck = false;
    else if (identical >= trust.stuckTables - 1 && Math.abs(speedMps) > STANDING_MPS) isStuck = true;
    return isStuck;
  }

  function shareAhead(): number {
    let there = 0;
    for (let deg = -FRONT_DEG; deg <= FRONT_DEG; deg++) if ((before[(deg + RAYS) % RAYS] as number) > 0) there += 1;
    return there / (2 * FRONT_DEG + 1);
  }

  /** The nearer of the readings on either side, if the hole is narrow; 0 otherwise. */
  function nearest(ray: number): number {
    let left = 0;
    let right = 0;
    for (let step = 1; step < NARROW_RAYS; step++) {
      if (left === 0) left = before[(ray + step) % RAYS] as number;
      if (right === 0) right = before[(ray - step + RAYS) % RAYS] as number;
    }
    return left === 0 || right === 0 ? 0 : Math.min(left, right);
  }

  /** A missing reading is taken for its neighbours', then for its own last one; then nobody knows what is there. */
  function fill(nowMs: number): void {
    for (let ray = 0; ray < RAYS; ray++) {
      const range = before[ray] as number;
      if (range > 0) readMs[ray] = nowMs;
      const known = range > 0 ? range : nearest(ray);
      if (known > 0) ranges[ray] = known;
      else if (nowMs - (readMs[ray] as number) > trust.rayMs) ranges[ray] = isBehind(ray) ? maxRangeM : 0;
    }
  }

  return {
    ranges,
    get share() {
      return share;
    },
    take(table, nowMs, speedMps) {
      if (table.length !== RAYS) return "not 360 numbers";
      const { jumps, same } = compare(table, nowMs, speedMps);
      share = shareAhead();
      if (stuck(same, speedMps)) return "stuck";
      if (share < trust.readings) return "too few readings";
      if (jumps > trust.jumps) return "impossible jumps";
      fill(nowMs);
      return undefined;
    },
  };
}

function isBehind(ray: number): boolean {
  return ray > FRONT_DEG && ray < RAYS - FRONT_DEG;
}
