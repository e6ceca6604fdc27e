import { CAR, DEAD_STEPS, moveCar, type Car, type Pedals } from "./car.ts";
import { moveMover, touchesCircle, touchesSegment, type Mover, type World } from "./world.ts";

/** How a perfect driver could have answered: how hard to brake and where to steer; undefined leaves the wheels where they were. */
const MANOEUVRES: readonly { readonly brakePercent: number; readonly steeringDeg: number | undefined }[] = [
  { brakePercent: 100, steeringDeg: undefined },
  ...[0, -CAR.maxSteeringDeg, CAR.maxSteeringDeg, -CAR.maxSteeringDeg / 2, CAR.maxSteeringDeg / 2].flatMap((steeringDeg) => [
    { brakePercent: 100, steeringDeg },
    { brakePercent: 0, steeringDeg },
  ]),
];

/** A manoeuvre that has not touched anything for so long has avoided it. */
const LONG_ENOUGH_S = 5;

/** What was there at one step. */
export interface Moment {
  readonly car: Car;
  readonly movers: readonly Mover[];
}

export function momentOf(car: Readonly<Car>, { movers }: World): Moment {
  return { car: { ...car }, movers: movers.map((mover) => ({ ...mover })) };
}

/**
 * Whether any manoeuvre begun at a moment, through the car's own slow actuators, would have touched nothing. Uses the simulator's truth only: where everything
 * was, and how it went on.
 */
export function wasAvoidable(moment: Moment, world: World, dtS: number): boolean {
  return MANOEUVRES.some(({ brakePercent, steeringDeg }) => {
    const car = { ...moment.car };
    const movers = moment.movers.map((mover) => ({ ...mover }));
    const before: Pedals = {
      acceleratorPercent: (100 * car.driveMps2) / CAR.fullAcceleratorMps2,
      brakePercent: (100 * car.brakeMps2) / CAR.fullBrakeMps2,
      steeringDeg: (car.steeringRad * 180) / Math.PI,
      fuelCut: false,
    };
    const pedals: Pedals = { acceleratorPercent: 0, brakePercent, steeringDeg: steeringDeg ?? before.steeringDeg, fuelCut: false };
    for (let step = 0; step * dtS < LONG_ENOUGH_S; step++) {
      for (const mover of movers) moveMover(mover, car, dtS);
      moveCar(car, step < DEAD_STEPS ? before : pedals, dtS);
      if (car.speedMps === 0) return true;
      if (movers.some(({ x, y, radiusM }) => touchesCircle(car, x, y, radiusM)) || touchesSegment(car, world)) return false;
    }
    return true;
  });
}
