/** Speeds that are tried against what moves, from the highest down: steps of the highest. */
const STEPS = 12;

/** How fast a vehicle may be to stop within `distanceM`, when it goes on for `reactionS` before it brakes with `brakingMps2`. */
export function stoppingSpeed(distanceM: number, brakingMps2: number, reactionS: number): number {
  if (distanceM <= 0) return 0;
  const lost = brakingMps2 * reactionS;
  return Math.sqrt(lost * lost + 2 * brakingMps2 * distanceM) - lost;
}

/** What a vehicle needs to stop from `speedMps`: v·t + v²/2a. */
export function stoppingDistance(speedMps: number, brakingMps2: number, reactionS: number): number {
  return speedMps * reactionS + (speedMps * speedMps) / (2 * brakingMps2);
}

/** The braking that just stops within `distanceM`, m/s²; infinity when there is no distance left. */
export function requiredBraking(speedMps: number, distanceM: number): number {
  if (speedMps <= 0) return 0;
  return distanceM <= 0 ? Infinity : (speedMps * speedMps) / (2 * distanceM);
}

/** Who may move, and how the vehicle stops. */
export interface Yielding {
  readonly obstacleMps: number;
  readonly brakingMps2: number;
  readonly reactionS: number;
  /** Kept clear in any case, metres. */
  readonly marginM: number;
}

/**
 * How fast a vehicle may be so that it can stop before anything that moves gets into its way, wherever that turns to: `aheadM` before the bumper along its
 * path and `asideM` beside its flank, both 0 or more; at most `speedMps`.
 */
export function yieldingSpeed(aheadM: number, asideM: number, speedMps: number, yielding: Yielding): number {
  const { obstacleMps, brakingMps2, reactionS, marginM } = yielding;
  for (let step = STEPS; step > 0; step--) {
    const speed = (speedMps * step) / STEPS;
    const reachM = obstacleMps * (reactionS + speed / brakingMps2) + marginM;
    const leftM = Math.max(0, aheadM - stoppingDistance(speed, brakingMps2, reactionS));
    if (leftM * leftM + asideM * asideM > reachM * reachM) return speed;
  }
  return 0;
}
