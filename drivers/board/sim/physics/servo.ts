import type { SimWorld } from "../sim-board.ts";

/** A hobby servo's mechanics. */
export interface ServoBody {
  /** Pulses at the two ends of its travel, microseconds. */
  readonly pulseUs: readonly [number, number];
  /** The mechanical end stops at these pulses, degrees. */
  readonly rangeDeg: readonly [number, number];
  readonly maxDegPerS: number;
  /** What torque makes of the horn's inertia, degrees per second squared. */
  readonly maxDegPerS2: number;
}

/** An SG90 at 4.8 V: 0.1 s for 60 degrees (data sheet), at full speed after some 20 ms. */
export const SG90: ServoBody = { pulseUs: [500, 2500], rangeDeg: [-90, 90], maxDegPerS: 600, maxDegPerS2: 30_000 };

export interface HornState {
  readonly angleDeg: number;
  readonly degPerS: number;
}

/**
 * The horn after another `dtS` seconds with this pulse; 0 is none, and a horn without pulses comes to rest where it is. `obstacleDeg`: two angles it cannot
 * leave, closer than the end stops.
 */
export function stepServo(
  body: ServoBody,
  horn: HornState,
  pulseUs: number,
  dtS: number,
  obstacleDeg: readonly [number, number] = body.rangeDeg,
): HornState {
  const [low, high] = body.rangeDeg;
  const [shortUs, longUs] = body.pulseUs;
  let wantedDegPerS = 0;
  if (pulseUs > 0) {
    const targetDeg = low + ((pulseUs - shortUs) / (longUs - shortUs)) * (high - low);
    const errorDeg = targetDeg - horn.angleDeg;
    // As fast as it can still stop from, and never beyond the target within the step.
    const braking = Math.sqrt(2 * body.maxDegPerS2 * Math.abs(errorDeg));
    wantedDegPerS = Math.sign(errorDeg) * Math.min(body.maxDegPerS, braking, Math.abs(errorDeg) / dtS);
  }
  const change = wantedDegPerS - horn.degPerS;
  const degPerS = horn.degPerS + Math.sign(change) * Math.min(Math.abs(change), body.maxDegPerS2 * dtS);
  const freeDeg = horn.angleDeg + degPerS * dtS;
  const angleDeg = Math.min(Math.max(freeDeg, obstacleDeg[0], low), obstacleDeg[1], high);
  return { angleDeg, degPerS: angleDeg === freeDeg ? degPerS : 0 };
}

/** A servo soldered to a PWM channel of the simulated board. */
export interface SimServo {
  /** Lets `dtS` seconds pass. */
  step(dtS: number): void;
  angleDeg(): number;
  degPerS(): number;
  /** Something is in the way: the horn cannot leave these angles. Nothing is, without them. */
  block(betweenDeg?: readonly [number, number]): void;
}

export interface SimServoOptions {
  /** The channel's name, `pwm sim:0`. */
  readonly channel: string;
  readonly periodMs: number;
  readonly startDeg: number;
  readonly body?: ServoBody;
}

export function attachServo(world: SimWorld, { channel, periodMs, startDeg, body = SG90 }: SimServoOptions): SimServo {
  let horn: HornState = { angleDeg: startDeg, degPerS: 0 };
  let obstacleDeg = body.rangeDeg;
  return {
    step(dtS) {
      horn = stepServo(body, horn, world.duty(channel) * periodMs * 1000, dtS, obstacleDeg);
    },
    angleDeg: () => horn.angleDeg,
    degPerS: () => horn.degPerS,
    block(betweenDeg = body.rangeDeg) {
      obstacleDeg = betweenDeg;
    },
  };
}
