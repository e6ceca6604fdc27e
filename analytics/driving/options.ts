import { z } from "zod";

import { VARIABLE_NAME } from "../../agent/contract/variable.ts";

const variableName = z
  .string()
  .regex(VARIABLE_NAME, { error: "a variable is named by 1 to 128 characters without blanks, = , and quotes" });

/** Where the sensors sit and what they can see. Lengths are measured from the middle of the rear axle, which a bicycle model turns about. */
const sensorSchema = z.strictObject({
  forwardM: z.number().min(-5).max(20).default(1.8).describe("of the horizontal sensor, ahead of the rear axle, metres"),
  heightM: z.number().min(0.05).max(5).default(1.2).describe("of the vertical sensor, above the ground, metres"),
  verticalForwardM: z.number().min(-5).max(20).default(2.4).describe("of the vertical sensor, ahead of the rear axle, metres"),
  pitchDeg: z.number().min(-45).max(45).default(0).describe("how far the vertical sensor's index 0 looks up (down: negative), degrees"),
  pitchToleranceDeg: z.number().min(0).max(10).default(2).describe("how far braking and bumps pitch it, degrees"),
  minRangeM: z.number().min(0).max(5).default(0.05).describe("readings below are no readings, metres"),
  maxRangeM: z.number().min(2).max(300).default(30).describe("readings from here on say that nothing was seen, metres"),
  noiseM: z.number().min(0).max(1).default(0.02).describe("standard deviation of a reading, metres"),
});

/** Defaults are those of a small electric vehicle (L7e class: up to 3.7 m long, 1.5 m wide). */
const vehicleSchema = z.strictObject({
  widthM: z.number().min(0.05).max(4).default(1.5).describe("metres, mirrors included"),
  heightM: z.number().min(0.05).max(5).default(1.8).describe("metres"),
  wheelbaseM: z.number().min(0.05).max(10).default(1.9).describe("metres"),
  frontM: z.number().min(0.05).max(12).default(2.5).describe("front bumper ahead of the rear axle, metres"),
  rearM: z.number().min(0).max(6).default(0.6).describe("rear bumper behind the rear axle, metres"),
  maxSteeringDeg: z.number().min(1).max(60).default(30).describe("of the wheels, either side, degrees"),
  steeringRateDegPerS: z.number().min(1).max(500).default(40).describe("how fast the wheels turn, degrees per second"),
  fullAcceleratorMps2: z.number().min(0.1).max(20).default(2).describe("acceleration at 100 % accelerator, m/s²"),
  fullBrakeMps2: z.number().min(0.5).max(12).default(3.5).describe("deceleration at 100 % brake, m/s²"),
  /** Speeds at which a manual gearbox goes one gear up; none: gear D. */
  gearsUpMps: z.array(z.number().min(0.1).max(100)).max(7).default([]).describe("speeds of the changes 1→2, 2→3 …, m/s; empty: automatic"),
});

/**
 * What the plan keeps to. +2.0 and −3.5 m/s² are what opendbc allows a Toyota, 3.0 m/s² lateral is ISO 11270's limit,
 * −2.5 m/s² Autoware's minimum risk manoeuvre.
 */
const limitsSchema = z.strictObject({
  speedMps: z.number().min(0.1).max(40).default(6).describe("never faster, metres per second"),
  degradedMps: z.number().min(0).max(10).default(1).describe("never faster while a sensor is in doubt, metres per second"),
  accelerationMps2: z.number().min(0.1).max(2).default(1.5).describe("speeding up, m/s²"),
  brakingMps2: z.number().min(0.5).max(3.5).default(2).describe("braking that is planned with, m/s²"),
  emergencyMps2: z.number().min(0.5).max(9.8).default(3.5).describe("braking in an emergency, m/s²"),
  lateralMps2: z.number().min(0.2).max(3).default(2).describe("sideways, in bends, m/s²"),
  emergencyLateralMps2: z.number().min(0.2).max(3).default(3).describe("sideways, when something gets into the way, m/s²"),
  lateralJerkMps3: z.number().min(0.2).max(5).default(3).describe("change of the sideways acceleration, m/s³"),
  marginM: z.number().min(0).max(3).default(0.3).describe("kept clear on either side, metres"),
  stopM: z.number().min(0.1).max(10).default(0.8).describe("where it stops before an obstacle, metres"),
  reactionMs: z.number().min(20).max(2000).default(450).describe("from the sensor's reading to half of the brakes' effect, milliseconds"),
  timeToCollisionS: z.number().min(0.2).max(10).default(1.2).describe("kept to whatever stands ahead, seconds"),
  obstacleMps: z.number().min(0).max(10).default(2).describe("how fast an obstacle that moves may become, metres per second"),
});

/** When readings are believed. 100 ms are openpilot's ten periods of a 100 Hz stream. */
const trustSchema = z.strictObject({
  staleMs: z.number().min(20).max(2000).default(100).describe("without a new table for this long there is no sight, milliseconds"),
  speedStaleMs: z.number().min(20).max(5000).default(300).describe("without a measured speed for this long it is not known, milliseconds"),
  rayMs: z.number().min(0).max(2000).default(150).describe("how long a ray's last reading stands for one that is missing, milliseconds"),
  readings: z.number().min(0.1).max(1).default(0.7).describe("share of a table's readings that must be there, 0 to 1"),
  degradedReadings: z.number().min(0.1).max(1).default(0.9).describe("share below which it slows down, 0 to 1"),
  stuckTables: z.int().min(2).max(100).default(4).describe("identical tables in a row, while moving, that make the sensor stuck"),
  jumpM: z.number().min(0.05).max(20).default(0.5).describe("change of a reading between two tables that motion does not explain, metres"),
  jumps: z.number().min(0.05).max(1).default(0.3).describe("share of readings that jump which makes a table implausible, 0 to 1"),
  recoverMs: z
    .number()
    .min(0)
    .max(60_000)
    .default(500)
    .describe("plausible tables for this long before it is believed again, milliseconds"),
});

/** What of a plan is published, and as which variable. */
export const DRIVING_VARIABLES = {
  acceleratorPercent: "driving.accelerator",
  brakePercent: "driving.brake",
  clutchPercent: "driving.clutch",
  gear: "driving.gear",
  speedMps: "driving.velocity",
  directionDeg: "driving.direction",
  fuel: "driving.fuel",
  ok: "driving.ok",
  reason: "driving.reason",
} as const;

export const drivingSchema = z.strictObject({
  horizontal: variableName
    .default("horizontal")
    .describe("list of 360 distances around, metres: straight ahead first, then counter-clockwise"),
  vertical: variableName
    .optional()
    .describe("list of 360 distances in the upright plane ahead, metres: straight ahead first, then upwards"),
  speed: variableName.default("speed").describe("the vehicle's measured speed, m/s"),
  demandedSpeed: variableName.optional().describe("speed that is asked for, m/s; limits.speedMps where there is none"),
  goal: variableName.optional().describe("direction that is asked for, degrees, left positive; straight ahead where there is none"),
  periodMs: z.int().min(5).max(200).default(10).describe("nominal time between two tables, milliseconds"),
  sensor: sensorSchema.prefault({}),
  vehicle: vehicleSchema.prefault({}),
  limits: limitsSchema.prefault({}),
  trust: trustSchema.prefault({}),
});

export type DrivingOptions = z.output<typeof drivingSchema>;
