import { z } from "zod";

import { attemptAll } from "./attempt-all.ts";
import { createExpanderChip, type ExpanderChip, type ExpanderLayout } from "./expander-chip.ts";
import { defineDriver, defineFunction, STILL_LEASE } from "../../agent/contract/device.ts";
import { i2cAddressSchema, i2cBusSchema, i2cText, type I2cDevice } from "../../agent/contract/i2c.ts";
import { isOnIn, onOffSchema } from "./on-off.ts";
import { lineRef, lineRefSchema, type DigitalInput } from "../../agent/contract/board.ts";
import { publishChanges } from "./changes.ts";
import { startOn } from "./start-on.ts";
import { startPolling } from "./polling.ts";
import type { Device, DeviceContext, DeviceFunction, SafeTarget } from "../../agent/contract/device.ts";
import type { Entity } from "../../agent/contract/entity.ts";

/** A pin may be relied on for this many periods. */
const FRESH_PERIODS = 3;

const nameSchema = z
  .string()
  .regex(/^[a-zA-Z][\w-]{0,31}$/, { error: "a line's name is a letter and up to 31 letters, digits, dashes and underscores" });

const lineSchema = z.int().min(0).max(7).describe("line of the chip");

const outputSchema = z.strictObject({
  line: lineSchema,
  activeLow: z.boolean().default(false).describe("on is low"),
  safe: onOffSchema.default("off").describe("the safe state: on or off"),
});

const inputSchema = z.strictObject({
  line: lineSchema,
  activeLow: z.boolean().default(false).describe("on is low"),
  pullUp: z.boolean().default(false).describe("the chip's own pull-up, which only an MCP23008 can switch"),
});

const optionsSchema = z
  .strictObject({
    chip: z.enum(["pca9534", "mcp23008", "pcf8574"]).describe("pca9534 stands for PCA9554 and TCA9534 too, pcf8574 for PCF8574A"),
    bus: i2cBusSchema,
    address: i2cAddressSchema.default(0x20),
    outputs: z.record(nameSchema, outputSchema).default({}).describe("outputs by name"),
    inputs: z.record(nameSchema, inputSchema).default({}).describe("inputs by name"),
    interrupt: lineRefSchema
      .optional()
      .describe("line of the board at the chip's interrupt output, which is low when an input has changed"),
    pollMs: z
      .number()
      .min(10)
      .max(60_000)
      .default(50)
      .describe("how often the pins are read and the chip is checked, also with an interrupt, milliseconds"),
    faultAfter: z.int().min(1).max(100).default(3).describe("readings in a row that may fail before the device does"),
  })
  .refine(({ outputs, inputs }) => Object.keys(outputs).length + Object.keys(inputs).length > 0, {
    error: "an expander needs outputs or inputs",
  })
  .refine(({ outputs, inputs }) => allDifferent([...Object.values(outputs), ...Object.values(inputs)].map(({ line }) => line)), {
    error: "a line of the chip has one name",
  })
  .refine(({ outputs, inputs }) => allDifferent([...Object.keys(outputs), ...Object.keys(inputs)]), {
    path: ["inputs"],
    error: "an input cannot have the name of an output",
  })
  .refine(({ chip, inputs }) => chip === "mcp23008" || Object.values(inputs).every(({ pullUp }) => !pullUp), {
    path: ["inputs"],
    error: "only an MCP23008 has pull-ups that can be switched",
  });

type ExpanderOptions = z.output<typeof optionsSchema>;

function allDifferent(values: readonly unknown[]): boolean {
  return new Set(values).size === values.length;
}

/** Eight lines on an I2C chip: outputs that are switched by name, inputs that are published by name, each true for on. `ok` says whether the chip answers. */
export const expanderDriver = defineDriver({
  name: "expander",
  summary: "eight lines on an I2C chip (PCA9534, MCP23008, PCF8574), each with a name",
  options: optionsSchema,
  moves: false,
  lease: STILL_LEASE,
  claims: ({ bus, address, interrupt }) => [i2cText({ bus, address }), ...(interrupt === undefined ? [] : [`line ${interrupt}`])],
  entities: ({ outputs, inputs }) => [
    ...Object.entries(outputs).map(([name, { safe }]): Entity => ({
      kind: "switch",
      key: name,
      state: { on: name },
      calls: {
        on: { fn: "set", args: [name, "true"], rests: safe === "on" ? ["safe"] : [] },
        off: { fn: "set", args: [name, "false"], rests: safe === "off" ? ["safe", "off"] : ["off"] },
      },
    })),
    ...Object.keys(inputs).map((name): Entity => ({ kind: "binary_sensor", key: name, state: { on: name } })),
    { kind: "binary_sensor", key: "ok", name: "answering", category: "diagnostic", state: { on: "ok" }, deviceClass: "connectivity" },
  ],
  async open(context, options) {
    const device = await context.board.openI2c(context.id, { bus: options.bus, address: options.address });
    return startOn(device, async () => {
      const layout = layoutOf(options);
      const chip = createExpanderChip(options.chip, context.id, options, device, layout);
      const safe = levelsOf(options, "safe");
      await chip.setUp(safe, () => true);
      if (options.interrupt === undefined) return createExpander(context, device, chip, undefined, options);
      const interrupt = await context.board.openInput(context.id, lineRef(options.interrupt), { pull: "up" });
      return startOn(interrupt, () => createExpander(context, device, chip, interrupt, options));
    });
  },
});

function maskOf(lines: readonly { readonly line: number }[]): number {
  return lines.reduce((mask, { line }) => mask | (1 << line), 0);
}

function layoutOf({ outputs, inputs }: ExpanderOptions): ExpanderLayout {
  const all = Object.values(inputs);
  return { outputs: maskOf(Object.values(outputs)), inputs: maskOf(all), pullUps: maskOf(all.filter(({ pullUp }) => pullUp)) };
}

function withOutput(levels: number, { line, activeLow }: { readonly line: number; readonly activeLow: boolean }, on: boolean): number {
  return on === activeLow ? levels & ~(1 << line) : levels | (1 << line);
}

function levelsOf({ outputs }: ExpanderOptions, to: SafeTarget): number {
  return Object.values(outputs).reduce((levels, output) => withOutput(levels, output, isOnIn(to, output.safe === "on")), 0);
}

function createExpander(
  context: DeviceContext,
  device: I2cDevice,
  chip: ExpanderChip,
  interrupt: DigitalInput | undefined,
  options: ExpanderOptions,
): Device {
  const { outputs, inputs, pollMs, faultAfter } = options;
  const freshMs = pollMs * FRESH_PERIODS;
  const show = publishChanges(context);
  let levels = levelsOf(options, "safe");
  let orders = 0;
  let pins: number | undefined;

  function isOn(byte: number, { line, activeLow }: { readonly line: number; readonly activeLow: boolean }): boolean {
    return (((byte >> line) & 1) === 1) !== activeLow;
  }

  function showOutputs(): void {
    for (const [name, output] of Object.entries(outputs)) show(name, isOn(levels, output));
  }

  /** What was ordered last is what the lines have, also when orders overlap: the bus keeps their order. */
  async function order(next: number, write: (levels: number, current: () => boolean) => Promise<void>): Promise<void> {
    const mine = ++orders;
    levels = next;
    await write(next, () => mine === orders);
    if (mine === orders) showOutputs();
  }

  async function writeVerified(next: number, current: () => boolean): Promise<void> {
    await chip.write(next);
    await chip.read(next, current);
  }

  async function set(name: string, on: boolean): Promise<boolean> {
    const output = outputs[name];
    if (output === undefined) return false;
    await order(withOutput(levels, output, on), writeVerified);
    return isOn(levels, output);
  }

  async function read(): Promise<void> {
    const mine = orders;
    const found = await chip.read(levels, () => mine === orders);
    pins = found;
    for (const [name, input] of Object.entries(inputs)) context.publish(name, isOn(found, input), freshMs);
    context.publish("ok", true, freshMs);
  }

  function missed(): void {
    pins = undefined;
    context.publish("ok", false, freshMs);
  }

  function stateOf(
    byte: number,
    lines: Readonly<Record<string, { readonly line: number; readonly activeLow: boolean }>>,
  ): Record<string, boolean> {
    return Object.fromEntries(Object.entries(lines).map(([name, line]) => [name, isOn(byte, line)]));
  }

  showOutputs();
  context.publish("ok", true, freshMs);
  const polling = startPolling(context, { periodMs: pollMs, faultAfter, read, missed });
  interrupt?.onEdge(
    ({ rising }) => {
      if (!rising) polling.now();
    },
    (error) => {
      context.fault(error);
    },
  );
  const functions: Record<string, DeviceFunction> = {
    state: defineFunction({
      summary: "every output and every input by name, true for on; the inputs are null when they are not known",
      params: z.strictObject({}),
      effect: "read",
      call: () => ({ outputs: stateOf(levels, outputs), inputs: pins === undefined ? null : stateOf(pins, inputs) }),
    }),
  };
  const names = Object.keys(outputs);
  if (names.length > 0) {
    functions["set"] = defineFunction({
      summary: "switches an output and reads back that the chip took it; returns whether it is on",
      params: z.strictObject({ name: z.enum(names), on: z.boolean() }),
      effect: "actuate",
      call: ({ name, on }) => set(name, on),
    });
  }
  return {
    functions,
    failsafe: (to) => order(levelsOf(options, to), (next, current) => chip.setUp(next, current)),
    close() {
      polling.stop();
      return attemptAll([...(interrupt === undefined ? [] : [interrupt]), device].map((port) => () => port.close()));
    },
  };
}
