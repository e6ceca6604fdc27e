import { CAR, DEAD_STEPS, moveCar, type Car, type Pedals } from "./car.ts";
import { DECLARED } from "./port-watch.ts";
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

/** The car's declared limits bind the perfect driver too: how fast the brake is pressed and the wheels are turned, and how hard bends may be. */
function followLimits(now: Pedals, wish: Readonly<Pedals>, car: Readonly<Car>, dtS: number): void {
  const { brakePercentPerS, lateralJerkMps3, lateralMps2, steeringDegPerS } = DECLARED;
  now.acceleratorPercent = 0;
  now.brakePercent = Math.min(wish.brakePercent, now.brakePercent + brakePercentPerS * dtS);
  const square = Math.max(0.01, car.speedMps * car.speedMps);
  const degOf = (mps2: number): number => (Math.atan((mps2 * CAR.wheelbaseM) / square) * 180) / Math.PI;
  const most = Math.min(steeringDegPerS * dtS, degOf(lateralJerkMps3 * dtS));
  const bound = Math.min(CAR.maxSteeringDeg, degOf(lateralMps2));
  const turned = now.steeringDeg + Math.max(-most, Math.min(most, wish.steeringDeg - now.steeringDeg));
  now.steeringDeg = Math.max(-bound, Math.min(bound, turned));
}

/**
 * Whether any manoeuvre begun at a moment, through the car's own slow actuators and within its declared limits, would have touched nothing, without help: whoever
 * walks goes on walking. Uses the simulator's truth only: where everything was, and how it went on.
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
    const wish: Pedals = { acceleratorPercent: 0, brakePercent, steeringDeg: steeringDeg ?? before.steeringDeg, fuelCut: false };
    const now = { ...before };
    for (let step = 0; step * dtS < LONG_ENOUGH_S; step++) {
      for (const mover of movers) moveMover(mover, undefined, dtS);
      if (step >= DEAD_STEPS) followLimits(now, wish, car, dtS);
      moveCar(car, now, dtS);
      if (car.speedMps === 0) return true;
      if (movers.some(({ x, y, radiusM }) => touchesCircle(car, x, y, radiusM)) || touchesSegment(car, world)) return false;
    }
    return true;
  });
}
