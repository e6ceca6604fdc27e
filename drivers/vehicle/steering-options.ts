import { z } from "zod";

import { analogFields, hasOnePort, onePort } from "./channels.ts";
import { canSchema } from "./can-frames.ts";
import { exitStopMsSchema } from "./device.ts";
import { steeringLimitsSchema } from "./limit-table.ts";
import { variableNameSchema } from "./gcbaf-options.ts";

/** A RC servo whose whole travel turns the wheels by 35° to either side. */
const ANGLE_POINTS = [
  [-35, 1000],
  [35, 2000],
] as const;

export const steeringOptionsSchema = z.strictObject({
  angle: z
    .strictObject(analogFields(ANGLE_POINTS))
    .refine(hasOnePort, onePort)
    .describe("what turns the front wheels, by their angle in degrees"),
  can: canSchema.optional(),
  wheelbaseM: z.number().min(0.05).max(20).default(2.7).describe("from the front to the rear axle, metres"),
  speed: variableNameSchema.optional().describe("variable that holds the measured speed, m/s; without it angle and rate alone are limited"),
  measuredAngle: variableNameSchema.optional().describe("variable that holds the measured angle of the front wheels, degrees"),
  streamHz: z.number().min(2).max(1000).default(10).describe("nominal rate of the commands, hertz"),
  whenDisarmed: z
    .enum(["detach", "neutral", "hold"])
    .default("detach")
    .describe("after the angle was held until the vehicle was stopped: nothing is driven, the wheels go straight, or they stay"),
  exitStopMs: exitStopMsSchema,
  limits: steeringLimitsSchema.prefault({}),
});

export type SteeringOptions = z.output<typeof steeringOptionsSchema>;
