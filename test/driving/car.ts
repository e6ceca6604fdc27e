/** The simulated car: a bicycle model with slow actuators, worse than the agent is told. */
export interface Car {
  /** Middle of the rear axle, metres; heading, radians. */
  x: number;
  y: number;
  yaw: number;
  speedMps: number;
  /** Of the wheels, radians, left positive. */
  steeringRad: number;
  /** What the pedals bring about now, m/s². */
  driveMps2: number;
  brakeMps2: number;
}

/** What arrives at the actuators. */
export interface Pedals {
  acceleratorPercent: number;
  brakePercent: number;
  steeringDeg: number;
  fuelCut: boolean;
}

export const CAR = {
  widthM: 1.5,
  heightM: 1.8,
  wheelbaseM: 1.9,
  frontM: 2.5,
  rearM: 0.6,
  maxSteeringDeg: 30,
  steeringRateDegPerS: 60,
  fullAcceleratorMps2: 2,
  fullBrakeMps2: 3.5,
  /** Grip of dry asphalt, less a good part. */
  gripMps2: 6,
  dragMps2: 0.1,
  driveLagS: 0.15,
  brakeLagS: 0.08,
  sensorForwardM: 1.8,
  sensorHeightM: 1.2,
  verticalForwardM: 2.4,
} as const;

/** Steps of dead time between a command and the actuator's first motion. */
export const DEAD_STEPS = 3;

const DEG = Math.PI / 180;

export function createCar(x: number, y: number, yaw: number): Car {
  return { x, y, yaw, speedMps: 0, steeringRad: 0, driveMps2: 0, brakeMps2: 0 };
}

/** Moves the car on by `dtS`. It never rolls backwards. */
export function moveCar(car: Car, pedals: Readonly<Pedals>, dtS: number): void {
  const wishRad = Math.max(-CAR.maxSteeringDeg, Math.min(CAR.maxSteeringDeg, pedals.steeringDeg)) * DEG;
  const mostRad = CAR.steeringRateDegPerS * DEG * dtS;
  car.steeringRad += Math.max(-mostRad, Math.min(mostRad, wishRad - car.steeringRad));
  const drive = pedals.fuelCut ? 0 : (CAR.fullAcceleratorMps2 * pedals.acceleratorPercent) / 100;
  car.driveMps2 += ((drive - car.driveMps2) * dtS) / CAR.driveLagS;
  car.brakeMps2 += (((CAR.fullBrakeMps2 * pedals.brakePercent) / 100 - car.brakeMps2) * dtS) / CAR.brakeLagS;
  const along = Math.max(-CAR.gripMps2, Math.min(CAR.gripMps2, car.driveMps2 - car.brakeMps2 - CAR.dragMps2));
  const before = car.speedMps;
  car.speedMps = Math.max(0, before + along * dtS);
  const speed = (before + car.speedMps) / 2;
  // Where the tyres give way the car runs wide.
  const wished = Math.tan(car.steeringRad) / CAR.wheelbaseM;
  const most = CAR.gripMps2 / Math.max(0.01, speed * speed);
  const curvature = Math.max(-most, Math.min(most, wished));
  const turn = speed * curvature * dtS;
  car.x += Math.cos(car.yaw + turn / 2) * speed * dtS;
  car.y += Math.sin(car.yaw + turn / 2) * speed * dtS;
  car.yaw += turn;
}
