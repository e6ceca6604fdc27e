import { z } from "zod";

import { canSchema } from "./can-frames.ts";
import { exitStopMsSchema } from "./device.ts";
import { GEARS } from "./limits.ts";
import { fuelPortFields, gearFields, hasOneFuelPort, hasOnePort, oneFuelPort, onePort, percentFields } from "./channels.ts";
import { pedalLimitsSchema } from "./limit-table.ts";
import { VARIABLE_NAME } from "../../agent/contract/variable.ts";

export const variableNameSchema = z.string().regex(VARIABLE_NAME, { error: "that is no name of a variable" });

export const gearSchema = z.enum(GEARS);

const fullMps2Schema = z.number().min(0.1).max(20);

export const gcbafOptionsSchema = z
  .strictObject({
    accelerator: z
      .strictObject({
        ...percentFields,
        fullMps2: fullMps2Schema.default(2).describe("acceleration of the vehicle at 100 % on level ground, m/s²"),
      })
      .refine(hasOnePort, onePort),
    brake: z
      .strictObject({ ...percentFields, fullMps2: fullMps2Schema.default(3.5).describe("deceleration of the vehicle at 100 %, m/s²") })
      .refine(hasOnePort, onePort),
    clutch: z
      .strictObject({
        ...percentFields,
        safePercent: z.number().min(0).max(100).default(100).describe("where it goes when nobody drives: 100 is pressed"),
      })
      .refine(hasOnePort, onePort)
      .optional(),
    gear: z
      .strictObject({
        ...gearFields,
        positions: z
          .partialRecord(gearSchema, z.number())
          .refine((positions) => positions.P !== undefined || positions.N !== undefined, { error: "P or N is needed" })
          .describe("pulse in microseconds, or the signal's value, of each gear there is"),
        safe: z.enum(["P", "N"]).default("N").describe("the gear once the vehicle stands and nobody drives it"),
      })
      .refine(hasOnePort, onePort)
      .refine(({ positions, safe }) => positions[safe] !== undefined, { path: ["safe"], error: "the safe gear needs a position" })
      .refine(({ pwm, positions }) => pwm === undefined || Object.values(positions).every((pulseUs) => pulseUs >= 300 && pulseUs <= 2700), {
        path: ["positions"],
        error: "pulses go from 300 to 2700 microseconds",
      })
      .optional(),
    fuel: z
      .strictObject({
        ...fuelPortFields,
        cutOn: z
          .enum(["loss", "stop", "command"])
          .default("stop")
          .describe("when fuel is cut though nobody said so: as soon as nobody drives, once the vehicle stands then, or never"),
      })
      .refine(hasOneFuelPort, oneFuelPort)
      .optional(),
    can: canSchema.optional(),
    speed: variableNameSchema.optional().describe("variable that holds the measured speed, m/s"),
    measuredGear: variableNameSchema.optional().describe("variable that holds the gear that is engaged: P, R, N, D or a number"),
    streamHz: z.number().min(2).max(1000).default(10).describe("nominal rate of the commands, hertz"),
    atStart: z
      .enum(["silent", "stop"])
      .default("silent")
      .describe(
        "what is driven before it is first armed: nothing, or it is braked and held, as a vehicle without a driver should be after a crash",
      ),
    whenDisarmed: z
      .enum(["hold", "silent"])
      .default("hold")
      .describe("what is driven once the vehicle was stopped: the safe values, or nothing"),
    exitStopMs: exitStopMsSchema,
    limits: pedalLimitsSchema.prefault({}),
  })
  .refine(({ limits, brake }) => limits.brakePressedPercent <= (100 * limits.decelerationMps2) / brake.fullMps2, {
    path: ["limits", "brakePressedPercent"],
    error: "so much brake is more than decelerationMps2 lets anybody ask for: the vehicle could not be armed with the brake pressed",
  })
  .refine(({ limits, brake }) => limits.lossDecelerationMps2 <= limits.decelerationMps2 || brake.fullMps2 <= limits.decelerationMps2, {
    path: ["limits", "lossDecelerationMps2"],
    error: "a vehicle that nobody drives cannot be braked harder than one that is driven: it has to be up to decelerationMps2",
  });

export type GcbafOptions = z.output<typeof gcbafOptionsSchema>;
