import { RAYS } from "./sight.ts";
import type { DrivingOptions } from "./options.ts";

const DEG = Math.PI / 180;

/** A step this high can be driven over, metres; a kerb is 0.12. */
const STEP_M = 0.1;

/** A missing ground is a drop where the reading is this much longer than level ground would give. */
const DROP_RATIO = 1.3;
const DROP_M = 0.3;

/** Kept clear above the vehicle, metres. */
const HEADROOM_M = 0.15;

/** Adjacent rays that must agree: one wrong reading stops nobody. */
const AGREEING_RAYS = 2;

/**
 * How far ahead of the front bumper the way is clear by the vertical table: up to the nearest drop, step or overhang; `maxRangeM` where there is none.
 * Index 0 looks along the vehicle (`pitchDeg` up), the indices count upwards, so that 270 looks down. Missing readings say nothing.
 */
export function clearAhead(table: readonly number[], { sensor, vehicle }: DrivingOptions): number {
  let nearest = sensor.maxRangeM;
  let before = Infinity;
  let agreeing = 0;
  for (let offset = -80; offset <= 80; offset++) {
    const ray = (offset + RAYS) % RAYS;
    const ahead = obstacleAt(table[ray] ?? 0, offset + sensor.pitchDeg, sensor, vehicle.heightM + HEADROOM_M);
    agreeing = ahead < Infinity ? agreeing + 1 : 0;
    if (agreeing >= AGREEING_RAYS) nearest = Math.min(nearest, Math.max(ahead, before));
    before = ahead;
  }
  return Math.max(0, nearest + sensor.verticalForwardM - vehicle.frontM);
}

/** The longest reading level ground can give in this direction, pitched as far up as it may be; infinity above the horizon. */
function groundAway(deg: number, { heightM, pitchToleranceDeg }: DrivingOptions["sensor"]): number {
  const down = -Math.sin((deg + pitchToleranceDeg) * DEG);
  return down > 0 ? heightM / down : Infinity;
}

/** Whether missing ground can be told from ground in this direction: what is longer than that must still be within range. */
function seesGround(deg: number, sensor: DrivingOptions["sensor"]): boolean {
  return groundAway(deg, sensor) * DROP_RATIO + DROP_M < sensor.maxRangeM;
}

/** How far ahead of the front bumper a drop is seen at the latest, on level ground, metres. */
export function groundSight({ sensor, vehicle }: DrivingOptions): number {
  let deg = -80;
  while (deg < 0 && seesGround(deg + AGREEING_RAYS, sensor)) deg += 1;
  return Math.max(0, -sensor.heightM / Math.tan((deg - sensor.pitchToleranceDeg) * DEG) + sensor.verticalForwardM - vehicle.frontM);
}

/** How far ahead of the sensor one ray sees something in the way; infinity where it sees nothing of the kind. */
function obstacleAt(range: number, deg: number, sensor: DrivingOptions["sensor"], clearM: number): number {
  if (!(range > 0)) return Infinity;
  const { heightM, maxRangeM, pitchToleranceDeg } = sensor;
  const along = Math.cos(deg * DEG);
  // Where the ground is missing it ends somewhere before: as near as the pitch allows.
  if (seesGround(deg, sensor) && range > groundAway(deg, sensor) * DROP_RATIO + DROP_M) {
    return -heightM / Math.tan((deg - pitchToleranceDeg) * DEG);
  }
  if (range >= maxRangeM) return Infinity;
  const height = heightM + range * Math.sin(deg * DEG);
  const doubtM = range * Math.sin(pitchToleranceDeg * DEG);
  return height > STEP_M + doubtM && height < clearM + doubtM ? range * along : Infinity;
}
