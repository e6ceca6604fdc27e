import { drivingSchema, type DrivingOptions } from "../../../analytics/driving/options.ts";
import { createPlanner, type Plan, type PlanInput } from "../../../analytics/driving/plan.ts";

export const RAYS = 360;
export const PERIOD_MS = 10;

const DEG = Math.PI / 180;

/** Options for tests: everything by default. */
export function drivingOptions(fields: Record<string, unknown> = {}): DrivingOptions {
  return drivingSchema.parse(fields);
}

/** A table that sees nothing. */
export function nothing(rangeM = 30): number[] {
  return Array<number>(RAYS).fill(rangeM);
}

/** A road between two walls, `halfM` to either side of the sensor, closed `aheadM` ahead of it. */
export function corridor(halfM: number, aheadM: number, maxM = 30): number[] {
  return Array.from({ length: RAYS }, (_, ray) => {
    const across = Math.abs(Math.sin(ray * DEG));
    const along = Math.cos(ray * DEG);
    const side = across > 0 ? halfM / across : Infinity;
    const end = along > 0 ? aheadM / along : Infinity;
    return Math.min(maxM, side, end);
  });
}

/** The same table with something standing between two directions, degrees. */
export function withThing(table: readonly number[], fromDeg: number, toDeg: number, rangeM: number): number[] {
  const changed = [...table];
  for (let deg = fromDeg; deg <= toDeg; deg++) {
    const ray = (deg + 2 * RAYS) % RAYS;
    changed[ray] = Math.min(changed[ray] ?? rangeM, rangeM);
  }
  return changed;
}

/** A little different each time, as real sensors are. */
export function shaken(table: readonly number[], step: number): number[] {
  return table.map((range, ray) => (range >= 30 ? range : range + 0.01 * Math.sin(ray * 7.3 + step * 3.1)));
}

/** A planner and a clock. */
export interface Drive {
  /** Plans the next table. */
  step(table: readonly number[] | undefined, speedMps: number | undefined, rest?: Partial<PlanInput>): Plan;
  /** Plans a table over and over, a little different each time. */
  hold(table: readonly number[], speedMps: number, ms: number, rest?: Partial<PlanInput>): Plan;
  /** The same table while standing until it is believed, then as a vehicle of this speed sees it: so shortly that nothing seems to move along. */
  glance(table: readonly number[], speedMps: number, rest?: Partial<PlanInput>): Plan;
}

export function createDrive(options: DrivingOptions = drivingOptions()): Drive {
  const planner = createPlanner(options);
  let nowMs = 1000;
  let steps = 0;

  function step(table: readonly number[] | undefined, speedMps: number | undefined, rest: Partial<PlanInput> = {}): Plan {
    nowMs += PERIOD_MS;
    steps += 1;
    return { ...planner.plan({ nowMs, horizontal: table, vertical: undefined, speedMps, demandedMps: undefined, goalDeg: 0, ...rest }) };
  }

  function hold(table: readonly number[], speedMps: number, ms: number, rest?: Partial<PlanInput>): Plan {
    let plan = step(shaken(table, steps), speedMps, rest);
    for (let passed = PERIOD_MS; passed < ms; passed += PERIOD_MS) plan = step(shaken(table, steps), speedMps, rest);
    return plan;
  }

  return {
    step,
    hold,
    glance(table, speedMps, rest) {
      hold(table, 0, 300, rest);
      return hold(table, speedMps, 3 * PERIOD_MS, rest);
    },
  };
}

/** Deceleration a plan asks for, m/s², with the brake of the default vehicle. */
export function brakingMps2(plan: Plan, options: DrivingOptions = drivingOptions()): number {
  return (plan.brakePercent / 100) * options.vehicle.fullBrakeMps2;
}
