import type { SimWorld } from "../sim-board.ts";

/** A small geared motor. */
export interface MotorBody {
  /** At full duty without load, revolutions per minute. */
  readonly noLoadRpm: number;
  /** Time constants, seconds: to the speed that is driven, to rest with open and with short-circuited terminals. */
  readonly driveS: number;
  readonly coastS: number;
  readonly brakeS: number;
}

/** A TT motor with 1:48 gears at 6 V. */
export const TT_MOTOR: MotorBody = { noLoadRpm: 200, driveS: 0.08, coastS: 0.25, brakeS: 0.03 };

/** What the bridge does with the motor's terminals: a share of the supply from -1 to 1, nothing, or a short circuit. */
export type MotorDrive = number | "coast" | "brake";

/** The speed after another `dtS` seconds, revolutions per minute. */
export function stepMotor(body: MotorBody, rpm: number, drive: MotorDrive, dtS: number): number {
  const targetRpm = typeof drive === "number" ? drive * body.noLoadRpm : 0;
  const timeS = drive === "coast" ? body.coastS : drive === "brake" ? body.brakeS : body.driveS;
  return targetRpm + (rpm - targetRpm) * Math.exp(-dtS / timeS);
}

/** A motor on an H-bridge with two inputs and an enable input, soldered to the simulated board. */
export interface SimMotor {
  /** Lets `dtS` seconds pass. */
  step(dtS: number): void;
  rpm(): number;
}

export interface SimMotorOptions {
  readonly in1: string;
  readonly in2: string;
  /** The enable input's channel, `pwm sim:0`. */
  readonly channel: string;
  readonly body?: MotorBody;
}

export function attachMotor(world: SimWorld, { in1, in2, channel, body = TT_MOTOR }: SimMotorOptions): SimMotor {
  let rpm = 0;

  /** L298N data sheet, figure 6: equal inputs brake while it is enabled. */
  function drive(): MotorDrive {
    const duty = world.duty(channel);
    if (duty === 0) return "coast";
    const forward = world.level(in1);
    if (forward === world.level(in2)) return "brake";
    return forward ? duty : -duty;
  }

  return {
    step(dtS) {
      rpm = stepMotor(body, rpm, drive(), dtS);
    },
    rpm: () => rpm,
  };
}
