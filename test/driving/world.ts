import { CAR, type Car } from "./car.ts";
import type { Random } from "./random.ts";

/** Somebody who crosses the road: a circle that walks in a straight line. */
export interface Mover {
  readonly radiusM: number;
  readonly fromX: number;
  readonly fromY: number;
  readonly vx: number;
  readonly vy: number;
  /** How far it walks, metres; then it stands. */
  readonly wayM: number;
  /** It starts when the car has come along the track this far, metres. */
  readonly startsAtM: number;
  x: number;
  y: number;
  walkedM: number;
  started: boolean;
}

/** A line across the road that must not be crossed: the edge of a drop, or a beam too low to pass under. Only the vertical sensor sees it. */
export interface Barrier {
  readonly kind: "drop" | "beam";
  readonly stationM: number;
}

export interface World {
  /** x1 y1 x2 y2 of each wall and box side, metres. */
  readonly segments: Float64Array;
  readonly movers: readonly Mover[];
  readonly barrier: Barrier | undefined;
  readonly track: Track;
  readonly speedMps: number;
}

/** The road's middle, a point every `STEP_M`. */
export interface Track {
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly yaw: Float64Array;
  readonly halfM: Float64Array;
  readonly points: number;
}

export const STEP_M = 2;
const POINTS = 70;
/** The first point of the road that has something on it. */
const FREE_POINTS = 7;
const SHARPEST = 1 / 14;

function layTrack(random: Random): Track {
  const x = new Float64Array(POINTS);
  const y = new Float64Array(POINTS);
  const yaw = new Float64Array(POINTS);
  const halfM = new Float64Array(POINTS);
  let curvature = 0;
  let left = 5;
  let half = random.between(3, 6);
  let target = half;
  for (let i = 0; i < POINTS; i++) {
    halfM[i] = half;
    if (i === POINTS - 1) break;
    if (left-- <= 0) {
      curvature = random.chance(0.35) ? 0 : random.between(-SHARPEST, SHARPEST);
      left = Math.round(random.between(3, 10));
      target = random.between(2.6, 6);
    }
    half += Math.max(-0.5, Math.min(0.5, target - half));
    yaw[i + 1] = (yaw[i] as number) + curvature * STEP_M;
    x[i + 1] = (x[i] as number) + Math.cos(yaw[i + 1] as number) * STEP_M;
    y[i + 1] = (y[i] as number) + Math.sin(yaw[i + 1] as number) * STEP_M;
  }
  return { x, y, yaw, halfM, points: POINTS };
}

/** The point `aside` metres to the left of the road's middle at a point of it. */
export function besideTrack(track: Track, point: number, aside: number): { readonly x: number; readonly y: number } {
  const yaw = track.yaw[point] as number;
  return { x: (track.x[point] as number) - Math.sin(yaw) * aside, y: (track.y[point] as number) + Math.cos(yaw) * aside };
}

function addWalls(track: Track, segments: number[]): void {
  for (const side of [1, -1]) {
    for (let i = 0; i + 1 < track.points; i++) {
      const a = besideTrack(track, i, side * (track.halfM[i] as number));
      const b = besideTrack(track, i + 1, side * (track.halfM[i + 1] as number));
      segments.push(a.x, a.y, b.x, b.y);
    }
  }
  // Both ends are closed; the start behind the car.
  for (const i of [0, track.points - 1]) {
    const a = besideTrack(track, i, track.halfM[i] as number);
    const b = besideTrack(track, i, -(track.halfM[i] as number));
    segments.push(a.x, a.y, b.x, b.y);
  }
}

function addBox(segments: number[], x: number, y: number, yaw: number, length: number, width: number): void {
  const corners = [
    [length / 2, width / 2],
    [-length / 2, width / 2],
    [-length / 2, -width / 2],
    [length / 2, -width / 2],
  ].map(([dx = 0, dy = 0]) => [x + Math.cos(yaw) * dx - Math.sin(yaw) * dy, y + Math.sin(yaw) * dx + Math.cos(yaw) * dy]);
  corners.forEach(([ax = 0, ay = 0], i) => {
    const [bx = 0, by = 0] = corners[(i + 1) % 4] ?? [];
    segments.push(ax, ay, bx, by);
  });
}

/** Parked things: at either side, mostly leaving room for a car, now and then blocking the road. */
function addBoxes(track: Track, segments: number[], random: Random): void {
  for (let i = FREE_POINTS + 2; i < track.points - 6; i += Math.round(random.between(5, 16))) {
    const half = track.halfM[i] as number;
    const width = random.between(0.3, 1.8);
    const most = random.chance(0.08) ? half : Math.max(0, half - width / 2);
    const least = random.chance(0.08) ? 0 : Math.min(most, CAR.widthM + 1.6 - half + width / 2);
    const aside = random.between(Math.max(0, least), most) * (random.chance(0.5) ? 1 : -1);
    const { x, y } = besideTrack(track, i, aside);
    addBox(segments, x, y, (track.yaw[i] as number) + random.between(-0.4, 0.4), random.between(0.3, 3), width);
  }
}

function addMovers(track: Track, random: Random): Mover[] {
  const movers: Mover[] = [];
  const howMany = random.chance(0.6) ? Math.ceil(random.between(0, 3)) : 0;
  for (let n = 0; n < howMany; n++) {
    const point = Math.floor(random.between(FREE_POINTS + 1, 36));
    const side = random.chance(0.5) ? 1 : -1;
    const radiusM = random.between(0.2, 0.4);
    const half = (track.halfM[point] as number) - radiusM - 0.05;
    const speed = random.between(0.4, 1.9);
    const heading = (track.yaw[point] as number) - (side * Math.PI) / 2 + random.between(-0.5, 0.5);
    const { x, y } = besideTrack(track, point, side * half);
    const wayM = random.chance(0.3) ? random.between(1, 2 * half) : 2 * half;
    const startsAtM = Math.max(0, point * STEP_M - random.between(4, 25));
    const vx = Math.cos(heading) * speed;
    const vy = Math.sin(heading) * speed;
    movers.push({ radiusM, fromX: x, fromY: y, vx, vy, wayM, startsAtM, x, y, walkedM: 0, started: false });
  }
  return movers;
}

/** A road of 140 m with what stands, moves and lies on it. */
export function createWorld(random: Random): World {
  const track = layTrack(random);
  const segments: number[] = [];
  addWalls(track, segments);
  addBoxes(track, segments, random);
  const movers = addMovers(track, random);
  const barrier: Barrier | undefined = random.chance(0.15)
    ? { kind: random.chance(0.5) ? "drop" : "beam", stationM: random.between(20, 50) }
    : undefined;
  return { segments: Float64Array.from(segments), movers, barrier, track, speedMps: random.between(2, 7) };
}

/** How far along the road a place is, metres; `from` is where it was last looked for. */
export function stationOf(track: Track, x: number, y: number, from: number): number {
  let point = Math.max(0, Math.min(track.points - 1, Math.round(from / STEP_M)));
  const away = (i: number): number => ((track.x[i] as number) - x) ** 2 + ((track.y[i] as number) - y) ** 2;
  while (point + 1 < track.points && away(point + 1) < away(point)) point += 1;
  while (point > 0 && away(point - 1) < away(point)) point -= 1;
  const yaw = track.yaw[point] as number;
  return point * STEP_M + (x - (track.x[point] as number)) * Math.cos(yaw) + (y - (track.y[point] as number)) * Math.sin(yaw);
}

/** Walks on by `dtS`, but not into the car as it stands there, where there is one: people see cars. */
export function moveMover(mover: Mover, car: Readonly<Car> | undefined, dtS: number): void {
  if (!mover.started || mover.walkedM >= mover.wayM) return;
  const x = mover.x + mover.vx * dtS;
  const y = mover.y + mover.vy * dtS;
  if (car !== undefined && touchesCircle(car, x, y, mover.radiusM + 0.02)) return;
  mover.x = x;
  mover.y = y;
  mover.walkedM += Math.hypot(mover.vx, mover.vy) * dtS;
}

export function touchesCircle(car: Readonly<Car>, x: number, y: number, radiusM: number): boolean {
  const dx = x - car.x;
  const dy = y - car.y;
  const along = dx * Math.cos(car.yaw) + dy * Math.sin(car.yaw);
  const aside = dy * Math.cos(car.yaw) - dx * Math.sin(car.yaw);
  const outX = Math.max(0, along - CAR.frontM, -CAR.rearM - along);
  const outY = Math.max(0, Math.abs(aside) - CAR.widthM / 2);
  return outX * outX + outY * outY < radiusM * radiusM;
}

/** Whether the car's outline touches a wall or a box. */
export function touchesSegment(car: Readonly<Car>, { segments }: World): boolean {
  const cos = Math.cos(car.yaw);
  const sin = Math.sin(car.yaw);
  const half = CAR.widthM / 2;
  for (let i = 0; i < segments.length; i += 4) {
    const ax = (segments[i] as number) - car.x;
    const ay = (segments[i + 1] as number) - car.y;
    if (ax * ax + ay * ay > 64) continue;
    const bx = (segments[i + 2] as number) - car.x;
    const by = (segments[i + 3] as number) - car.y;
    if (crosses(ax * cos + ay * sin, ay * cos - ax * sin, bx * cos + by * sin, by * cos - bx * sin, half)) return true;
  }
  return false;
}

/** Whether a line from a to b goes through the car's outline, in its own frame. */
function crosses(ax: number, ay: number, bx: number, by: number, half: number): boolean {
  let from = 0;
  let to = 1;
  for (const [start, end, low, high] of [
    [ax, bx, -CAR.rearM, CAR.frontM],
    [ay, by, -half, half],
  ] as const) {
    const way = end - start;
    if (Math.abs(way) < 1e-12) {
      if (start < low || start > high) return false;
      continue;
    }
    const one = (low - start) / way;
    const other = (high - start) / way;
    from = Math.max(from, Math.min(one, other));
    to = Math.min(to, Math.max(one, other));
  }
  return from <= to;
}
