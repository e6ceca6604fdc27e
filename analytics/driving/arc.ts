/** What is known of the surroundings as points, metres, in the frame of the rear axle: x ahead, y to the left. */
export interface Points {
  readonly x: Float64Array;
  readonly y: Float64Array;
  count: number;
}

/** The vehicle from above, about the middle of the rear axle. */
export interface Outline {
  readonly frontM: number;
  readonly rearM: number;
  readonly halfWidthM: number;
}

/** Below this curvature an arc is a straight line over any distance that is looked at. */
const STRAIGHT = 1e-4;

/**
 * How far the rear axle can travel on an arc of `curvature` (1/m, left positive) before the outline, `marginM` wider on either side, meets a point; at most
 * `horizonM`. A point that is inside the margin already counts only where the vehicle itself would meet it. 0 when a point is inside the vehicle already.
 */
export function freeAlong(points: Points, curvature: number, outline: Outline, marginM: number, horizonM: number): number {
  const straight = Math.abs(curvature) < STRAIGHT;
  const side = curvature < 0 ? -1 : 1;
  const radius = straight ? Infinity : 1 / Math.abs(curvature);
  const wide = outline.halfWidthM + marginM;
  const reach = horizonM + outline.frontM + 1;
  let free = horizonM;
  for (let i = 0; i < points.count; i++) {
    const x = points.x[i] as number;
    if (x > reach || x < -outline.rearM) continue;
    const y = (points.y[i] as number) * side;
    const travelled = straight ? straightTo(x, y, outline, wide) : arcTo(x, y, radius, outline, wide);
    if (travelled < free) free = travelled;
  }
  return free;
}

/** So near to the flank a point inside the vehicle is a reading that is a little wrong, metres. */
const GRAZE_M = 0.12;

/** Whether a point lies within the vehicle, or within its flank on the side that is turned to. */
function blocks(x: number, y: number, { frontM, rearM, halfWidthM }: Outline, turnsTo: boolean): boolean {
  if (x > frontM || x < -rearM || Math.abs(y) > halfWidthM) return false;
  return turnsTo || Math.abs(y) < halfWidthM - GRAZE_M;
}

function straightTo(x: number, y: number, outline: Outline, wide: number): number {
  if (x > outline.frontM) return Math.abs(y) < wide ? x - outline.frontM : Infinity;
  return blocks(x, y, outline, false) ? 0 : Infinity;
}

/** On an arc to the left of `radius` about (0, radius). */
function arcTo(x: number, y: number, radius: number, outline: Outline, wide: number): number {
  const away = radius - y;
  const distance2 = x * x + away * away;
  const outer = radius + wide;
  const inner = Math.max(0, radius - wide);
  const front2 = outline.frontM * outline.frontM;
  if (distance2 > outer * outer + front2 || distance2 < inner * inner) return Infinity;
  const angle = sweepTo(x, away, distance2, inner, front2);
  if (angle >= 0) return angle * radius;
  if (blocks(x, y, outline, y > 0)) return 0;
  const bare = Math.max(0, radius - outline.halfWidthM);
  if (distance2 < bare * bare) return Infinity;
  const later = sweepTo(x, away, distance2, bare, front2);
  return later >= 0 ? later * radius : Infinity;
}

/** The angle about the arc's centre until the front edge, or the inner side behind it, meets the point; negative when they have passed it. */
function sweepTo(x: number, away: number, distance2: number, inner: number, front2: number): number {
  const hitX2 = Math.min(front2, distance2 - inner * inner);
  return Math.atan2(x, away) - Math.atan2(Math.sqrt(hitX2), Math.sqrt(distance2 - hitX2));
}
