import { z } from "zod";

import { AgentError } from "../../agent/contract/errors.ts";
import { defineDriver, defineFunction, STILL_LEASE, type Device, type DeviceContext } from "../../agent/contract/device.ts";
import { headingDeg } from "./heading.ts";
import { i2cAddressSchema, i2cBusSchema, i2cText, type I2cDevice } from "../../agent/contract/i2c.ts";
import { startOn } from "./start-on.ts";
import { startPolling } from "./polling.ts";

// QMC5883L, QST data sheet 1.0, table 13 (registers) and 9.2.
const REGISTER = { data: 0x00, status: 0x06, control1: 0x09, control2: 0x0a, setReset: 0x0b } as const;

/** x, y and z, each the low byte first. */
const DATA_BYTES = 6;

const STATUS_READY = 1;
const STATUS_OVERFLOW = 2;

/** Sets every register to what it is after power-on; it clears by itself. */
const SOFT_RESET = 0x80;

/** 8.2: the time between the pulses that demagnetise the sensor, as recommended. */
const SET_RESET_PERIOD = 0x01;

/** Continuous, 50 measurements a second, 512 samples each; the two ranges. */
const CONTINUOUS_50_HZ = 0b0000_0101;
const RANGE_8_G = 0b0001_0000;

/** Counts per gauss (table 2); one gauss is 100 µT. */
const COUNTS_PER_GAUSS = { 2: 12_000, 8: 3000 } as const;

/** From one measurement to the next at 50 Hz, milliseconds. */
const MEASURED_MS = 20;

/** A measurement may be relied on for this many periods. */
const FRESH_PERIODS = 3;

const pairOf = (number: z.ZodNumber) => z.tuple([number, number]);

const optionsSchema = z
  .strictObject({
    bus: i2cBusSchema,
    address: i2cAddressSchema.default(0x0d),
    rangeGauss: z
      .union([z.literal(2), z.literal(8)])
      .default(2)
      .describe("2 gauss for the earth's field, 8 near motors and iron"),
    offset: pairOf(z.number().min(-32_768).max(32_767))
      .default([0, 0])
      .describe("x and y in the middle of the circle they draw when the sensor is turned once, counts (hard iron)"),
    scale: pairOf(z.number().min(0.1).max(10)).default([1, 1]).describe("factors of x and y that make it a circle (soft iron)"),
    declinationDeg: z.number().min(-180).max(180).default(0).describe("from magnetic to true north, degrees, east positive"),
    mountingDeg: z.number().min(-360).max(360).default(0).describe("from forward to the chip's x axis, degrees clockwise from above"),
    fieldUt: z
      .tuple([z.number().min(0).max(800), z.number().min(0).max(1200)])
      .default([15, 100])
      .describe(
        "the least and the most the horizontal field may have, microtesla: 15 to 45 by nature; beyond it there is iron or a magnet and no heading",
      ),
    periodMs: z.number().min(MEASURED_MS).max(60_000).default(100).describe("from one reading to the next, milliseconds"),
    stuckAfter: z
      .int()
      .min(2)
      .max(1000)
      .default(20)
      .describe("readings without the least change until the sensor is stuck: its noise alone is several counts"),
    faultAfter: z.int().min(1).max(100).default(3).describe("readings in a row that may fail before the device does"),
  })
  .refine(({ fieldUt }) => fieldUt[0] < fieldUt[1], { path: ["fieldUt"], error: "the first of the two has to be the smaller one" });

type CompassOptions = z.output<typeof optionsSchema>;

/** A magnetometer that lies flat. Publishes `heading` (degrees clockwise from north; missing rather than wrong), `field` (µT, horizontal) and `ok`. */
export const compassDriver = defineDriver({
  name: "compass",
  summary: "heading by a QMC5883L on I2C, with calibration and declination",
  options: optionsSchema,
  moves: false,
  actuates: false,
  lease: STILL_LEASE,
  claims: ({ bus, address }) => [i2cText({ bus, address })],
  entities: () => [
    { kind: "sensor", key: "heading", main: true, state: { value: "heading" }, unit: "°", stateClass: "measurement", digits: 0 },
    { kind: "sensor", key: "field", category: "diagnostic", state: { value: "field" }, unit: "µT", stateClass: "measurement", digits: 1 },
    { kind: "binary_sensor", key: "ok", name: "measuring", category: "diagnostic", state: { on: "ok" }, deviceClass: "connectivity" },
  ],
  async open(context, options) {
    const chip = await context.board.openI2c(context.id, { bus: options.bus, address: options.address });
    return startOn(chip, async () => {
      const control = CONTINUOUS_50_HZ | (options.rangeGauss === 8 ? RANGE_8_G : 0);
      await chip.writeByte(REGISTER.control2, SOFT_RESET);
      await chip.writeByte(REGISTER.setReset, SET_RESET_PERIOD);
      await chip.writeByte(REGISTER.control1, control);
      const found = await chip.readByte(REGISTER.control1);
      if (found !== control) {
        throw new AgentError(
          "IO",
          `${context.id}: ${i2cText(options)} is no QMC5883L: register 9 holds ${found} after ${control} was written`,
        );
      }
      return createCompass(context, chip, options, control);
    });
  },
});

interface Reading {
  readonly headingDeg: number | undefined;
  readonly fieldUt: number;
}

function createCompass(context: DeviceContext, chip: I2cDevice, options: CompassOptions, control: number): Device {
  const { periodMs, faultAfter, stuckAfter, rangeGauss, fieldUt, offset, scale } = options;
  const freshMs = periodMs * FRESH_PERIODS;
  const name = `${context.id}: ${i2cText(options)}`;
  let latest: Reading | undefined;
  let lastCounts = "";
  let unchanged = 0;

  function mustBeAlive(status: number, bytes: Uint8Array): void {
    if ((status & STATUS_READY) === 0) throw new AgentError("IO", `${name} measured nothing within ${periodMs} ms`);
    const counts = bytes.join(" ");
    unchanged = counts === lastCounts ? unchanged + 1 : 0;
    lastCounts = counts;
    if (unchanged >= stuckAfter) throw new AgentError("FAULTED", `${name} is stuck: ${unchanged + 1} readings are the same`);
  }

  function readingOf(status: number, bytes: Uint8Array): Reading {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const x = view.getInt16(0, true);
    const y = view.getInt16(2, true);
    const counts = Math.hypot((x - offset[0]) * scale[0], (y - offset[1]) * scale[1]);
    const field = (counts / COUNTS_PER_GAUSS[rangeGauss]) * 100;
    const overflow = (status & STATUS_OVERFLOW) !== 0;
    const good = !overflow && field >= fieldUt[0] && field <= fieldUt[1];
    return { headingDeg: good ? rounded(headingDeg(x, y, options)) : undefined, fieldUt: rounded(field) };
  }

  async function read(): Promise<void> {
    // Reading the data clears the ready flag, so the status goes first.
    const status = await chip.readByte(REGISTER.status);
    const bytes = await chip.readBlock(REGISTER.data, DATA_BYTES);
    const found = await chip.readByte(REGISTER.control1);
    if (found !== control) throw new AgentError("IO", `${name} lost its settings (register 9 holds ${found}); did its supply drop?`);
    mustBeAlive(status, bytes);
    latest = readingOf(status, bytes);
    if (latest.headingDeg !== undefined) context.publish("heading", latest.headingDeg, freshMs);
    context.publish("field", latest.fieldUt, freshMs);
    context.publish("ok", latest.headingDeg !== undefined, freshMs);
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
        summary: "heading in degrees clockwise from north (null when it is not known) and the horizontal field in microtesla",
        params: z.strictObject({}),
        effect: "read",
        call: () => ({ headingDeg: latest?.headingDeg ?? null, fieldUt: latest?.fieldUt ?? null }),
      }),
    },
    close() {
      polling.stop();
      chip.close();
    },
  };
}

/** To a hundredth: finer than the sensor. */
function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
