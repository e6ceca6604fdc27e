import { z } from "zod";

import { AgentError } from "../../agent/contract/errors.ts";
import { defineDriver, defineFunction, STILL_LEASE, type Device, type DeviceContext } from "../../agent/contract/device.ts";
import { i2cAddressSchema, i2cBusSchema, i2cText, type I2cDevice } from "../../agent/contract/i2c.ts";
import { MAX_SHUNT_V, readingOf, REGISTER, setUpOf, type Ina219Reading, type Ina219Setup } from "./ina219-registers.ts";
import { startOn } from "./start-on.ts";
import { startPolling } from "./polling.ts";

/** A measurement may be relied on for this many periods. */
const FRESH_PERIODS = 3;

const optionsSchema = z
  .strictObject({
    bus: i2cBusSchema,
    address: i2cAddressSchema.default(0x40).describe("7-bit address: 0x40 to 0x4f by the pins A0 and A1"),
    shuntOhm: z.number().min(0.0001).max(10).default(0.1).describe("resistance of the shunt, ohms; 0.1 (R100) on most modules"),
    maxCurrentA: z.number().min(0.001).max(1000).default(3.2).describe("the largest current expected, amperes; more is an overflow"),
    busRangeV: z
      .union([z.literal(16), z.literal(32)])
      .default(32)
      .describe("the range of the bus voltage, volts; the chip bears 26"),
    averaging: z.literal([1, 2, 4, 8, 16, 32, 64, 128]).default(8).describe("samples of one measurement; each takes 1.2 ms"),
    periodMs: z.number().min(5).max(60_000).default(100).describe("from one reading to the next, milliseconds"),
    faultAfter: z.int().min(1).max(100).default(3).describe("readings in a row that may fail before the device does"),
  })
  .refine(({ shuntOhm, maxCurrentA }) => shuntOhm * maxCurrentA <= MAX_SHUNT_V + 1e-9, {
    path: ["maxCurrentA"],
    error: "the shunt may have 0.32 V at most: less current, or a smaller shunt",
  })
  .refine(({ averaging, periodMs }) => periodMs >= averaging * 1.25, {
    path: ["periodMs"],
    error: "a measurement takes 1.25 ms for each sample it averages",
  });

type Ina219Options = z.output<typeof optionsSchema>;

/** A current and voltage monitor. Publishes `voltage` (V), `current` (A), `power` (W) and `ok`; what overflows is missing. */
export const ina219Driver = defineDriver({
  name: "ina219",
  summary: "voltage, current and power by an INA219 on I2C",
  options: optionsSchema,
  moves: false,
  actuates: false,
  lease: STILL_LEASE,
  claims: ({ bus, address }) => [i2cText({ bus, address })],
  entities: () => [
    {
      kind: "sensor",
      key: "voltage",
      state: { value: "voltage" },
      unit: "V",
      deviceClass: "voltage",
      stateClass: "measurement",
      digits: 2,
    },
    {
      kind: "sensor",
      key: "current",
      state: { value: "current" },
      unit: "A",
      deviceClass: "current",
      stateClass: "measurement",
      digits: 3,
    },
    { kind: "sensor", key: "power", state: { value: "power" }, unit: "W", deviceClass: "power", stateClass: "measurement", digits: 2 },
    { kind: "binary_sensor", key: "ok", name: "measuring", category: "diagnostic", state: { on: "ok" }, deviceClass: "connectivity" },
  ],
  async open(context, options) {
    const setup = setUpOf(options);
    if (setup === undefined)
      throw new AgentError("ARGUMENT", `${context.id}: no calibration for ${options.maxCurrentA} A on ${options.shuntOhm} ohm`);
    const chip = await context.board.openI2c(context.id, { bus: options.bus, address: options.address });
    return startOn(chip, async () => {
      await writeVerified(context, chip, options, REGISTER.config, setup.config);
      await writeVerified(context, chip, options, REGISTER.calibration, setup.calibration);
      return createIna219(context, chip, setup, options);
    });
  },
});

/** The chip sends the high byte first. */
function swapped(word: number): number {
  return ((word & 0xff) << 8) | (word >> 8);
}

async function writeVerified(
  context: DeviceContext,
  chip: I2cDevice,
  options: Ina219Options,
  register: number,
  word: number,
): Promise<void> {
  await chip.writeWord(register, swapped(word));
  const found = swapped(await chip.readWord(register));
  if (found === word) return;
  const what = `register ${register} holds ${hex(found)} after ${hex(word)} was written`;
  throw new AgentError("IO", `${context.id}: ${i2cText(options)} is no INA219: its ${what}`);
}

function hex(word: number): string {
  return `0x${word.toString(16).padStart(4, "0")}`;
}

function createIna219(context: DeviceContext, chip: I2cDevice, setup: Ina219Setup, options: Ina219Options): Device {
  const { periodMs, faultAfter } = options;
  const freshMs = periodMs * FRESH_PERIODS;
  let latest: Ina219Reading | undefined;

  async function read(): Promise<void> {
    const bus = swapped(await chip.readWord(REGISTER.bus));
    const shunt = swapped(await chip.readWord(REGISTER.shunt));
    const current = swapped(await chip.readWord(REGISTER.current));
    const calibration = swapped(await chip.readWord(REGISTER.calibration));
    // Reading the power register clears the ready flag, so it goes last.
    const power = swapped(await chip.readWord(REGISTER.power));
    if (calibration !== setup.calibration) {
      throw new AgentError("IO", `${context.id}: ${i2cText(options)} lost its calibration (${hex(calibration)}); did its supply drop?`);
    }
    const reading = readingOf(setup, { bus, shunt, current, power });
    if (!reading.ready) throw new AgentError("IO", `${context.id}: ${i2cText(options)} measured nothing within ${periodMs} ms`);
    latest = reading;
    context.publish("voltage", reading.voltageV, freshMs);
    if (!reading.overflow) {
      context.publish("current", reading.currentA, freshMs);
      context.publish("power", reading.powerW, freshMs);
    }
    context.publish("ok", !reading.overflow, freshMs);
  }

  function missed(): void {
    latest = undefined;
    context.publish("ok", false, freshMs);
  }

  context.publish("ok", false, freshMs);
  const polling = startPolling(context, { periodMs, faultAfter, read, missed });
  return {
    functions: {
      state: defineFunction({
        summary: "the latest reading: volts, amperes and watts, null for what is not known, and whether the current overflowed",
        params: z.strictObject({}),
        effect: "read",
        call: () => {
          const known = latest !== undefined && !latest.overflow;
          return {
            voltageV: latest?.voltageV ?? null,
            currentA: known ? (latest?.currentA ?? null) : null,
            powerW: known ? (latest?.powerW ?? null) : null,
            overflow: latest?.overflow ?? null,
          };
        },
      }),
    },
    close() {
      polling.stop();
      chip.close();
    },
  };
}
