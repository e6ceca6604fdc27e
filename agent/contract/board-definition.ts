import { z } from "zod";

import { pwmChipRefSchema } from "./board.ts";
import { i2cAddressSchema, i2cBusSchema } from "./i2c.ts";

/** `/…/` is a regular expression, anything else is looked for as it is. Case does not matter. */
const modelPatternSchema = z
  .string()
  .min(1)
  .refine((text) => !isExpression(text) || compiles(text.slice(1, -1)), {
    error: "a model between slashes is a regular expression, for example /raspberry pi (4|5)/",
  });

const chipLineSchema = z.string().regex(/^[^\s:]+:\d{1,5}$/, {
  error: "a line of the pin map is a chip label and an offset, for example pinctrl-bcm2711:17",
});

/** A board file: what a kernel does not say about its board by itself. */
export const boardDefinitionSchema = z.strictObject({
  name: z.string().min(1).max(64).describe("what the board is called, for people"),
  model: modelPatternSchema
    .optional()
    .describe("text (or /regular expression/) that /proc/device-tree/model must contain; another machine refuses the file"),
  kind: z.enum(["linux", "sim"]).default("linux").describe("real hardware, or the simulated board"),
  gpio: z
    .enum(["auto", "cdev", "sysfs", "none"])
    .default("auto")
    .describe("how lines are driven: GPIO character device, or sysfs through onoff; none: there are none, and other ports work"),
  lines: z
    .record(z.string().regex(/^[^\s:]+$/, { error: "a line's name has no spaces and no colons" }), chipLineSchema)
    .default({})
    .describe("line name to chip label and offset, where the device tree names no lines: GPIO17: pinctrl-bcm2711:17"),
  pwm: z
    .record(z.string().min(1), pwmChipRefSchema)
    .default({})
    .describe("other names of PWM channels: PWM0 stands for the channel, and its channel number is then 0"),
  i2c: z
    .strictObject({
      limitMs: z.int().min(5).max(10_000).default(100).describe("time limit of one transfer, milliseconds"),
      retries: z.int().min(0).max(5).default(1).describe("how often a transfer that failed and may be repeated is tried again"),
    })
    .prefault({})
    .describe("I2C buses"),
  sim: z
    .strictObject({
      pca9685: z
        .array(z.strictObject({ bus: i2cBusSchema, address: i2cAddressSchema }))
        .default([{ bus: 1, address: 0x40 }])
        .describe("PWM chips on I2C buses"),
      can: z
        .array(z.string().regex(/^[^\s/]{1,15}$/, { error: "a CAN interface is named as the kernel names one: can0" }))
        .default(["can0", "can1"])
        .describe("CAN interfaces"),
    })
    .prefault({})
    .describe("what the simulated board has, of kind sim"),
});

export type BoardDefinition = z.output<typeof boardDefinitionSchema>;

/** Whether the machine that calls itself `model` is one the definition is for. */
export function modelMatches(pattern: string, model: string): boolean {
  if (isExpression(pattern)) return new RegExp(pattern.slice(1, -1), "i").test(model);
  return model.toLowerCase().includes(pattern.toLowerCase());
}

function isExpression(text: string): boolean {
  return text.length > 2 && text.startsWith("/") && text.endsWith("/");
}

function compiles(source: string): boolean {
  try {
    return new RegExp(source) instanceof RegExp;
  } catch {
    return false;
  }
}
