import { z } from "zod";

/** Two numbers, the smaller one first. */
function pairSchema(min: number, max: number) {
  const bound = z.number().min(min).max(max);
  return z.tuple([bound, bound]).refine(([low, high]) => low < high, { error: "the first of the two has to be the smaller one" });
}

/**
 * How angles become pulses. 500 to 2500 µs for half a turn is what DS3218, MG996R and most SG90 are sold as, and pigpio's range for a servo
 * (pigpio.h, PI_MIN_SERVO_PULSEWIDTH and PI_MAX_SERVO_PULSEWIDTH); Hitec's standard is 900 to 2100 µs for 120 degrees. Beyond its end stop a servo
 * stalls and heats, so what is on the label goes first.
 */
export const travelShape = {
  pulseUs: pairSchema(300, 3000).default([500, 2500]).describe("pulses at the two ends of the range, microseconds"),
  range: pairSchema(-360, 360).default([-90, 90]).describe("angles at these two pulses, degrees; others in between are clamped into it"),
  trimDeg: z
    .number()
    .min(-45)
    .max(45)
    .default(0)
    .describe("added to every angle, for a horn that sits askew, degrees; the pulses stay within pulseUs"),
  invert: z.boolean().default(false).describe("the servo turns the other way: the shorter pulse is the greater angle"),
};

/** The time from one pulse to the next: 20 ms (50 Hz) suits every servo, digital ones take down to 3 ms (333 Hz). */
export const pulsePeriodSchema = z
  .number()
  .min(3)
  .max(25)
  .default(20)
  .describe("from one pulse to the next, milliseconds; a servo is moved on once in it");

/** Pulses longer than this part of the period leave the servo no pause to recognise them by. */
export const MAX_DUTY_RATIO = 0.9;

export interface TravelOptions {
  readonly pulseUs: readonly [number, number];
  readonly range: readonly [number, number];
  readonly trimDeg: number;
  readonly invert: boolean;
}

/** One servo's travel. */
export interface Travel {
  readonly minDeg: number;
  readonly maxDeg: number;
  /** The nearest angle that can be driven. */
  clampDeg(angleDeg: number): number;
  /** The pulse for an angle from `minDeg` to `maxDeg`, microseconds. */
  pulseUsOf(angleDeg: number): number;
}

/** `stops` narrow the range further. The trim takes from one end of the range what it would push beyond its pulse. */
export function createTravel({ pulseUs, range, trimDeg, invert }: TravelOptions, stops: readonly [number, number] = range): Travel {
  const [low, high] = range;
  const [shortUs, longUs] = pulseUs;
  const minDeg = Math.max(low, stops[0], low - trimDeg);
  const maxDeg = Math.min(high, stops[1], high - trimDeg);
  return {
    minDeg,
    maxDeg,
    clampDeg: (angleDeg) => Math.min(Math.max(angleDeg, minDeg), maxDeg),
    pulseUsOf(angleDeg) {
      const ratio = (angleDeg + trimDeg - low) / (high - low);
      return shortUs + (invert ? 1 - ratio : ratio) * (longUs - shortUs);
    },
  };
}

/** Whether there is anywhere to go. */
export function isTravel({ minDeg, maxDeg }: Travel): boolean {
  return minDeg < maxDeg;
}

/** `from` moved towards `to` by `step` at most. */
export function approach(from: number, to: number, step: number): number {
  const distance = to - from;
  return Math.abs(distance) <= step ? to : from + Math.sign(distance) * step;
}
