import { z } from "zod";

import { serialOptionsShape } from "../../agent/contract/serial.ts";

const tfminiSchema = z.strictObject({
  minStrength: z.int().min(0).max(65_535).default(100).describe("weaker signals measure nothing; 100 is the manual's limit"),
  maxRangeM: z.number().min(0.1).max(655).default(12).describe("what is farther was not measured, metres; TFmini 12, TF-Luna 8"),
  freshMs: z
    .int()
    .min(10)
    .max(60_000)
    .default(100)
    .describe("how long a distance may be relied on, milliseconds; ten frames at 100 a second"),
});

const scannerSchema = z.strictObject({
  publish: z
    .string()
    .regex(/^[a-z][a-z0-9_]{0,63}$/i, { error: "a name of letters, digits and _" })
    .default("distances")
    .describe("name of the table under the device's own, DEVICE.distances"),
  forwardDeg: z
    .number()
    .min(-360)
    .max(360)
    .default(0)
    .describe("the scanner's angle that looks straight ahead, degrees clockwise from its own front"),
  turned: z
    .boolean()
    .default(false)
    .describe("the table rises with the scanner's angle: for one that hangs upside down, or stands on its side with rising angles upwards"),
  noEchoM: z
    .number()
    .min(0)
    .max(300)
    .default(0)
    .describe("what a direction without an echo is published as, metres; 0: not known. A black or slanting surface gives none either"),
  motorPwm: z
    .int()
    .min(0)
    .max(1023)
    .optional()
    .describe("duty of the motor on the adapter board of A2 and A3, 660 by their maker; the A1's does not know that request"),
  replyMs: z.int().min(50).max(10_000).default(1000).describe("without an answer for so long the port is opened again, milliseconds"),
  turnMs: z.int().min(100).max(60_000).default(3000).describe("without a whole turn for so long the port is opened again, milliseconds"),
});

export const lidarOptionsSchema = z.strictObject({
  model: z.enum(["tfmini", "rplidar-a"]).describe("tfmini: one distance (TFmini, TF-Luna); rplidar-a: RPLIDAR A series, all around"),
  ...serialOptionsShape(115_200),
  tfmini: tfminiSchema.prefault({}),
  scanner: scannerSchema.prefault({}),
});

export type LidarOptions = z.output<typeof lidarOptionsSchema>;
export type TfminiOptions = LidarOptions["tfmini"];
export type ScannerOptions = LidarOptions["scanner"];
