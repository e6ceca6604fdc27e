import { CAR, type Car } from "./car.ts";
import { stationOf, type World } from "./world.ts";

const DEG = Math.PI / 180;
export const RAYS = 360;
export const MAX_RANGE_M = 30;

const COS = Float64Array.from({ length: RAYS }, (_, ray) => Math.cos(ray * DEG));
const SIN = Float64Array.from({ length: RAYS }, (_, ray) => Math.sin(ray * DEG));

/** True distances around the sensor, without noise; marks in `seen` which movers any ray hits. */
export function castHorizontal(world: World, car: Readonly<Car>, ranges: Float64Array, seen: Uint8Array): void {
  const cos = Math.cos(car.yaw);
  const sin = Math.sin(car.yaw);
  const x = car.x + cos * CAR.sensorForwardM;
  const y = car.y + sin * CAR.sensorForwardM;
  ranges.fill(MAX_RANGE_M);
  const { segments, movers } = world;
  for (let i = 0; i < segments.length; i += 4) {
    const ax = (segments[i] as number) - x;
    const ay = (segments[i + 1] as number) - y;
    const bx = (segments[i + 2] as number) - x;
    const by = (segments[i + 3] as number) - y;
    if (ax * ax + ay * ay > 1200 && bx * bx + by * by > 1200) continue;
    castSegment(ranges, ax * cos + ay * sin, ay * cos - ax * sin, bx * cos + by * sin, by * cos - bx * sin);
  }
  movers.forEach((mover, n) => {
    const dx = mover.x - x;
    const dy = mover.y - y;
    if (castCircle(ranges, dx * cos + dy * sin, dy * cos - dx * sin, mover.radiusM)) seen[n] = 1;
  });
}

/** The rays between the directions of a and b, the short way round. */
function castSegment(ranges: Float64Array, ax: number, ay: number, bx: number, by: number): void {
  const cross = ax * by - ay * bx;
  const left = cross >= 0;
  const fromX = left ? ax : bx;
  const fromY = left ? ay : by;
  const from = Math.atan2(fromY, fromX) / DEG;
  let to = Math.atan2(left ? by : ay, left ? bx : ax) / DEG;
  if (to < from) to += RAYS;
  const wayX = (left ? bx : ax) - fromX;
  const wayY = (left ? by : ay) - fromY;
  const area = fromX * wayY - fromY * wayX;
  for (let deg = Math.ceil(from); deg <= to; deg++) {
    const ray = (deg + RAYS) % RAYS;
    const across = (COS[ray] as number) * wayY - (SIN[ray] as number) * wayX;
    const range = across === 0 ? MAX_RANGE_M : area / across;
    if (range > 0 && range < (ranges[ray] as number)) ranges[ray] = range;
  }
}

function castCircle(ranges: Float64Array, x: number, y: number, radius: number): boolean {
  const away2 = x * x + y * y;
  if (away2 <= radius * radius || away2 > MAX_RANGE_M * MAX_RANGE_M) return false;
  const middle = Math.atan2(y, x) / DEG;
  const half = Math.asin(radius / Math.sqrt(away2)) / DEG;
  let hit = false;
  for (let deg = Math.ceil(middle - half); deg <= middle + half; deg++) {
    const ray = (deg + RAYS) % RAYS;
    const along = x * (COS[ray] as number) + y * (SIN[ray] as number);
    const range = along - Math.sqrt(Math.max(0, radius * radius - away2 + along * along));
    if (range >= (ranges[ray] as number)) continue;
    ranges[ray] = range;
    hit = true;
  }
  return hit;
}

/** Bottom of a beam across the road, and top of walls and boxes, metres. */
const BEAM_M = 1.3;
const WALL_M = 2.5;

/** True distances in the upright plane ahead: level ground, the wall straight ahead, and the world's barrier. */
export function castVertical(
  world: World,
  car: Readonly<Car>,
  aheadM: number,
  station: number,
  pitchDeg: number,
  ranges: Float64Array,
): void {
  const { barrier } = world;
  const wall = aheadM >= MAX_RANGE_M ? Infinity : aheadM + CAR.sensorForwardM - CAR.verticalForwardM;
  const away = barrier === undefined ? Infinity : barrierAhead(world, car, station);
  for (let ray = 0; ray < RAYS; ray++) {
    const deg = (ray <= 180 ? ray : ray - RAYS) + pitchDeg;
    const up = Math.sin(deg * DEG);
    const along = Math.cos(deg * DEG);
    const ground = up < 0 ? Math.min(MAX_RANGE_M, CAR.sensorHeightM / -up) : MAX_RANGE_M;
    const toBarrier = along > 0 ? barrierRange(barrier, away, up, along, ground) : ground;
    const hitsWall = along > 0 && wall > 0 && wall < MAX_RANGE_M && CAR.sensorHeightM + (wall / along) * up < WALL_M;
    ranges[ray] = hitsWall ? Math.min(toBarrier, wall / along) : toBarrier;
  }
}

/** How far a ray ahead reaches where there may be a barrier: without it, to the ground. */
function barrierRange(barrier: World["barrier"], away: number, up: number, along: number, ground: number): number {
  if (barrier?.kind === "drop" && up < 0 && ground * along > away) return MAX_RANGE_M;
  return barrier?.kind === "beam" && away > 0 && hitsBeam(away, up, along) ? Math.min(ground, away / along) : ground;
}

function hitsBeam(away: number, up: number, along: number): boolean {
  const height = CAR.sensorHeightM + (away / along) * up;
  return height > BEAM_M && height < BEAM_M + 0.8;
}

/** How far ahead of the vertical sensor the barrier lies, straight on. */
function barrierAhead({ barrier, track }: World, car: Readonly<Car>, station: number): number {
  if (barrier === undefined) return Infinity;
  const left = barrier.stationM - station;
  const point = Math.min(track.points - 1, Math.max(0, Math.round(station / 2)));
  const slant = Math.cos(car.yaw - (track.yaw[point] as number));
  return slant <= 0.2 ? Infinity : left / slant - CAR.verticalForwardM;
}

/** Whether the car's front has crossed the barrier. */
export function crossedBarrier(world: World, car: Readonly<Car>, station: number): boolean {
  if (world.barrier === undefined) return false;
  const frontX = car.x + Math.cos(car.yaw) * CAR.frontM;
  const frontY = car.y + Math.sin(car.yaw) * CAR.frontM;
  return stationOf(world.track, frontX, frontY, station) >= world.barrier.stationM;
}
