import { createCar, DEAD_STEPS, moveCar, type Car, type Pedals } from "./car.ts";
import { drawFaults, sense, type FaultKind, type SensorFault } from "./faults.ts";
import { castHorizontal, castVertical, crossedBarrier, MAX_RANGE_M, RAYS } from "./lidar.ts";
import { momentOf, wasAvoidable, type Moment } from "./oracle.ts";
import { createRandom, type Random } from "./random.ts";
import { createWorld, moveMover, stationOf, STEP_M, touchesCircle, touchesSegment, type World } from "./world.ts";
import type { Eventually } from "../../agent/contract/value.ts";

export const DT_S = 0.01;

/** What the sensors say at one step. */
export interface Frame {
  /** Undefined when the sensor says nothing. */
  readonly horizontal: readonly number[] | undefined;
  readonly vertical: readonly number[];
  readonly speedMps: number;
  readonly goalDeg: number;
  readonly demandedMps: number;
}

/** Whoever drives: a plan by itself, or a whole agent. */
export interface Subject {
  /** The car stands in another place. */
  begin(): Eventually<void>;
  /** 10 ms: what the sensors say, and what arrives at the actuators. */
  step(frame: Frame, pedals: Pedals): Eventually<void>;
}

export interface Outcome {
  readonly seed: number;
  readonly faults: readonly FaultKind[];
  readonly collision: "none" | "avoidable" | "unavoidable";
  /** How late a perfect driver could have answered and avoided it, seconds; -1 when nobody could have, undefined without a collision. */
  readonly answerS: number | undefined;
  /** What was hit, where and how fast. */
  readonly what: string;
  readonly seconds: number;
  readonly metres: number;
  /** It reached the end of its time standing before something that blocks the road, or driving. */
  readonly stoodS: number;
}

export interface ScenarioOptions {
  readonly seed: number;
  readonly seconds: number;
  /** Whether a sensor fails on the way. */
  readonly faulty: boolean;
  readonly trace?: (line: string) => void;
}

/**
 * What a perfect driver is granted from sight to the first motion of foot or hands. The careful driver of UN Regulation 157 needs 0.4 s to perceive a risk
 * and 0.75 s more until the brake works; this one needs less than half of it.
 */
export const GRANTED_S = 0.5;

/** Answers that are tried. */
const ANSWERS_S = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.15] as const;

/** The sensors take this many steps. */
const LATENCY_STEPS = 2;

/** How far ahead along the road the goal lies. */
const GOAL_M = 14;

function goalDegOf({ track }: World, x: number, y: number, yaw: number, station: number): number {
  const point = Math.min(track.points - 1, Math.round((station + GOAL_M) / STEP_M));
  const bearing = Math.atan2((track.y[point] as number) - y, (track.x[point] as number) - x) - yaw;
  return (Math.atan2(Math.sin(bearing), Math.cos(bearing)) * 180) / Math.PI;
}

/** When each mover could first be reacted to: it was in sight, and walked. */
function watchMovers(world: World, seen: Uint8Array, noticed: (Moment | undefined)[], hidden: boolean[], moment: Moment): void {
  world.movers.forEach((mover, n) => {
    hidden[n] = seen[n] === 0;
    if (noticed[n] === undefined && seen[n] === 1 && mover.started) noticed[n] = moment;
    seen[n] = 0;
  });
}

export async function runScenario(options: ScenarioOptions, subject: Subject): Promise<Outcome> {
  const { seed, seconds, faulty } = options;
  const random = createRandom(seed);
  const world = createWorld(random);
  const faults = faulty ? drawFaults(random, seconds) : [];
  const car = createCar(world.track.x[2] as number, world.track.y[2] as number, world.track.yaw[2] as number);
  const truth = new Float64Array(RAYS);
  const upright = new Float64Array(RAYS);
  const seen = new Uint8Array(world.movers.length);
  const noticed: (Moment | undefined)[] = world.movers.map(() => undefined);
  const hidden: boolean[] = [];
  const history: Moment[] = [];
  const frames: Frame[] = [];
  const commands: Pedals[] = [];
  let table: readonly number[] = [];
  let station = 2 * STEP_M;
  let metres = 0;
  let stoodS = 0;

  function sensed(atS: number, station: number): Frame {
    castHorizontal(world, car, truth, seen);
    castVertical(world, car, truth[0] as number, station, (car.driveMps2 - car.brakeMps2) * 0.4, upright);
    const fault = faults.find(({ fromS, toS }) => atS >= fromS && atS < toS);
    const horizontal = sense(truth, fault, table, random);
    table = horizontal ?? table;
    return {
      horizontal,
      vertical: noisy(upright, random),
      speedMps: Math.max(0, car.speedMps * (1 + 0.01 * random.normal())),
      goalDeg: goalDegOf(world, car.x, car.y, car.yaw, station) + 3 * random.normal(),
      demandedMps: world.speedMps,
    };
  }

  function outcome(answerS: number | undefined, what: string, steps: number): Outcome {
    const collision = answerS === undefined ? "none" : answerS >= GRANTED_S ? "avoidable" : "unavoidable";
    return { seed, faults: faults.map(({ kind }) => kind), collision, answerS, what, seconds: steps * DT_S, metres, stoodS };
  }

  function hit(): string | undefined {
    const mover = world.movers.findIndex(({ x, y, radiusM }) => touchesCircle(car, x, y, radiusM));
    if (mover >= 0) return `mover ${mover}`;
    if (touchesSegment(car, world)) return "wall";
    return crossedBarrier(world, car, station) ? world.barrier?.kind : undefined;
  }

  /**
   * The slowest answer that would have avoided the collision, seconds from when the thing that was hit was in sight and walked; -1 when none would have.
   * What stands was in sight from the start.
   */
  function slowestAnswer(what: string, step: number): number {
    if (!what.startsWith("mover")) return Infinity;
    const first = noticed[Number(what.slice(6))];
    const from = first === undefined ? step : history.indexOf(first);
    const answers = ANSWERS_S.filter((seconds) => {
      const moment = history[Math.min(step, from + Math.round(seconds / DT_S))];
      return moment !== undefined && wasAvoidable(moment, world, DT_S);
    });
    return Math.max(-1, ...answers);
  }

  await subject.begin();
  const steps = Math.round(seconds / DT_S);
  for (let step = 0; step < steps; step++) {
    const atS = step * DT_S;
    station = stationOf(world.track, car.x, car.y, station);
    for (const mover of world.movers) mover.started ||= station >= mover.startsAtM;
    const moment = momentOf(car, world);
    history.push(moment);
    frames[step % (LATENCY_STEPS + 1)] = sensed(atS, station);
    watchMovers(world, seen, noticed, hidden, moment);
    const frame = frames[Math.max(0, step - LATENCY_STEPS) % (LATENCY_STEPS + 1)] as Frame;
    const pedals: Pedals = { acceleratorPercent: 0, brakePercent: 0, steeringDeg: 0, fuelCut: false };
    await subject.step(frame, pedals);
    commands[step % (DEAD_STEPS + 1)] = pedals;
    const { x, y } = car;
    for (const mover of world.movers) moveMover(mover, car, DT_S);
    moveCar(car, commands[Math.max(0, step - DEAD_STEPS) % (DEAD_STEPS + 1)] as Pedals, DT_S);
    metres += Math.hypot(car.x - x, car.y - y);
    if (car.speedMps < 0.05) stoodS += DT_S;
    if (options.trace !== undefined && step % 10 === 0)
      options.trace(traceLine(atS, station, car.speedMps, pedals, frame, faults) + moversText(world, car, hidden));
    const what = car.speedMps > 0 ? hit() : undefined;
    if (what === undefined) continue;
    const where = `${what} at ${station.toFixed(1)} m with ${car.speedMps.toFixed(2)} m/s after ${atS.toFixed(2)} s`;
    return outcome(slowestAnswer(what, step), where, step);
  }
  return outcome(undefined, "", steps);
}

function noisy(ranges: Float64Array, random: Random): readonly number[] {
  return Array.from(ranges, (range) => (range >= MAX_RANGE_M ? MAX_RANGE_M : Math.max(0.05, range + 0.01 * random.normal())));
}

/** Where the movers are, as the car sees them: ahead and to the left of the rear axle. */
function moversText({ movers }: World, car: Readonly<Car>, hidden: readonly boolean[]): string {
  return movers
    .map(({ x, y, started }, n) => {
      const ahead = (x - car.x) * Math.cos(car.yaw) + (y - car.y) * Math.sin(car.yaw);
      const left = (y - car.y) * Math.cos(car.yaw) - (x - car.x) * Math.sin(car.yaw);
      return ` mover ${n} ${ahead.toFixed(1)}/${left.toFixed(1)}${started ? "" : " waits"}${hidden[n] === true ? " hidden" : ""}`;
    })
    .join("");
}

function traceLine(atS: number, station: number, speed: number, pedals: Pedals, frame: Frame, faults: readonly SensorFault[]): string {
  const fault = faults.find(({ fromS, toS }) => atS >= fromS && atS < toS)?.kind ?? "";
  const { acceleratorPercent, brakePercent, steeringDeg } = pedals;
  return (
    `${atS.toFixed(2)} s ${station.toFixed(1)} m ${speed.toFixed(2)} m/s acc ${acceleratorPercent.toFixed(0)} brake ${brakePercent.toFixed(0)} ` +
    `steer ${steeringDeg.toFixed(1)} goal ${frame.goalDeg.toFixed(0)} ahead ${String(frame.horizontal?.[0]?.toFixed(2))} ${fault}`
  );
}
