import { RAYS } from "./sight.ts";
import type { DrivingOptions } from "./options.ts";

const DEG = Math.PI / 180;

/** Rays within this many degrees of straight ahead are looked at. */
const SIDE_DEG = 80;

/** A step this high can be driven over, metres; a kerb is 0.12. */
const STEP_M = 0.1;

/** A missing ground is a drop where the reading is this much longer than level ground would give. */
const DROP_RATIO = 1.3;
const DROP_M = 0.3;

/** Kept clear above the vehicle, metres. */
const HEADROOM_M = 0.15;

/** Adjacent rays that must agree: one wrong reading stops nobody. */
const AGREEING_RAYS = 2;

/** The way ahead by the vertical table. */
export interface Ground {
  /** How far ahead of the front bumper a drop is seen at the latest, on level ground, metres. */
  readonly sightM: number;
  /**
   * How far ahead of the front bumper the way is clear: up to the nearest drop, step or overhang; the sensor's range where there is none. Index 0 looks
   * along the vehicle (`pitchDeg` up), the indices count upwards, so that 270 looks down. Missing readings say nothing.
   */
  clearAhead(table: readonly number[]): number;
}

/** What one direction can see: computed once, 100 tables a second are compared with it. */
interface Direction {
  readonly ray: number;
  readonly along: number;
  readonly up: number;
  /** A longer reading says that there is no ground; infinity where that cannot be told. */
  readonly dropM: number;
  /** Where the ground ends then, at the nearest. */
  readonly edgeM: number;
}

export function createGround({ sensor, vehicle }: DrivingOptions): Ground {
  const { heightM, pitchDeg, pitchToleranceDeg, maxRangeM, verticalForwardM } = sensor;
  const overM = verticalForwardM - vehicle.frontM;
  const clearM = vehicle.heightM + HEADROOM_M;
  const doubt = Math.sin(pitchToleranceDeg * DEG);
  const directions = Array.from({ length: 2 * SIDE_DEG + 1 }, (_, i) => directionOf(i - SIDE_DEG));

  function directionOf(offset: number): Direction {
    const deg = offset + pitchDeg;
    const down = -Math.sin((deg + pitchToleranceDeg) * DEG);
    const longestM = down > 0 ? (heightM / down) * DROP_RATIO + DROP_M : Infinity;
    const lowestDeg = Math.max(-89, deg - pitchToleranceDeg);
    return {
      ray: (offset + RAYS) % RAYS,
      along: Math.cos(deg * DEG),
      up: Math.sin(deg * DEG),
      dropM: longestM < maxRangeM ? longestM : Infinity,
      edgeM: -heightM / Math.tan(lowestDeg * DEG),
    };
  }

  /** How far ahead of the sensor something is in the way; infinity where nothing is. */
  function obstacleAt(range: number, { along, up, dropM, edgeM }: Direction): number {
    if (!(range > 0)) return Infinity;
    // Where the ground is missing it ends somewhere before: as near as the pitch allows.
    if (range > dropM) return edgeM;
    if (range >= maxRangeM) return Infinity;
    const height = heightM + range * up;
    const doubtM = range * doubt;
    return height > STEP_M + doubtM && height < clearM + doubtM ? range * along : Infinity;
  }

  const farthest = directions.findLastIndex(({ dropM }) => dropM < Infinity) - AGREEING_RAYS + 1;
  return {
    sightM: Math.max(0, (directions[farthest]?.edgeM ?? 0) + overM),
    clearAhead(table) {
      let nearest = maxRangeM;
      let before = Infinity;
      for (const direction of directions) {
        const ahead = obstacleAt(table[direction.ray] ?? 0, direction);
        const agreed = Math.max(ahead, before);
        if (agreed < nearest) nearest = agreed;
        before = ahead;
      }
      return Math.max(0, nearest + overM);
    },
  };
}
