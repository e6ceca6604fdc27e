// The car with nothing binding but what is probed.
import { arm, CHANNELS, openCar, percentOf, TICK_MS, type Options, type Rig } from "./rig.ts";

/** Nothing binds but what is probed. */
export const WIDE: Options = {
  accelerationMps2: 5,
  decelerationMps2: 9,
  accelerationJerkMps3: 80,
  brakeJerkMps3: 80,
  acceleratorSlewPercentPerS: 1000,
  brakeSlewPercentPerS: 1000,
  clutchSlewPercentPerS: 1000,
  speedMps: 40,
  gearChangeMps: 25,
  gearMs: 0,
  transitionAccelerationMps2: 5,
  transitionJerkMps3: 80,
  degradedAccelerationMps2: 5,
  degradeMissed: 999,
  stopMissed: 1000,
  lossJerkMps3: 80,
  brakePressedPercent: 5,
};

/** m/s² of the whole pedals, as `openCar` has them. */
export const FULL = { accelerator: 20, brake: 9 } as const;

export const limited = (limits: Options, more: Options = {}): Promise<Rig> => openCar({ limits: { ...WIDE, ...limits }, ...more });

export const SPEED: Options = { speed: "speed" };

export const drive = (rig: Rig, acceleratorPercent: number, brakePercent: number) =>
  rig.call("drive", { acceleratorPercent, brakePercent });

export const accelerator = (rig: Rig): number => percentOf(rig.pulseUs(CHANNELS.accelerator));
export const brake = (rig: Rig): number => percentOf(rig.pulseUs(CHANNELS.brake));
export const clutch = (rig: Rig): number => percentOf(rig.pulseUs(CHANNELS.clutch));
export const isArmed = (rig: Rig): boolean => rig.published.get("armed") === true;

/** Armed with the brake asked for, and released again. */
export async function armed(limits: Options, more: Options = {}, speedMps = 0): Promise<Rig> {
  const rig = await limited(limits, more);
  const brakePercent = Math.min(100, (100 * Number(limits["decelerationMps2"] ?? FULL.brake)) / FULL.brake);
  const ask = (): void => {
    rig.set("speed", speedMps);
    drive(rig, 0, brakePercent);
  };
  arm(rig, ask, Math.max(2100, Number(limits["armStreamMs"] ?? 0)));
  rig.run(200, () => {
    rig.set("speed", speedMps);
    drive(rig, 0, 0);
  });
  return rig;
}

export const BRAKE_100 = (rig: Rig): unknown => drive(rig, 0, 100);
export const RELEASED = (rig: Rig): unknown => drive(rig, 0, 0);
export const ACCELERATE = (rig: Rig): unknown => drive(rig, 25, 0);

/** The most `read` rose, or fell, in one tick, per second. */
export function steepest(rig: Rig, ms: number, read: (rig: Rig) => number, before: () => void): number {
  let last = read(rig);
  let most = 0;
  rig.run(ms, () => {
    before();
    most = Math.max(most, Math.abs(read(rig) - last));
    last = read(rig);
  });
  return Math.max(most, Math.abs(read(rig) - last)) * (1000 / TICK_MS);
}
