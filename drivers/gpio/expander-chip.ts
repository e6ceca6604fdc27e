import { AgentError } from "../../agent/contract/errors.ts";
import { i2cText, type I2cDevice, type I2cRef } from "../../agent/contract/i2c.ts";

/** Which lines do what: bit n is line n. */
export interface ExpanderLayout {
  readonly outputs: number;
  readonly inputs: number;
  readonly pullUps: number;
}

/** Eight lines on I2C. Levels and pins are bytes: bit n is line n, 1 is high. Each rejects IO, also when the chip does not hold what it was told. */
export interface ExpanderChip {
  /** Every register again, levels before directions: no line that becomes an output drives anything but its level. `current` says whether `levels` is still what was last ordered. */
  setUp(levels: number, current: () => boolean): Promise<void>;
  write(levels: number): Promise<void>;
  /** The pins, with the proof that the chip still holds `levels` and its directions. */
  read(levels: number, current: () => boolean): Promise<number>;
}

export type ExpanderKind = "pca9534" | "mcp23008" | "pcf8574";

interface Registers {
  readonly pins: number;
  readonly levels: number;
  readonly directions: number;
  /** What else has to be as it is after power-on, or otherwise. */
  settings(layout: ExpanderLayout): readonly (readonly [register: number, value: number])[];
}

/** NXP PCA9534 (also PCA9554, TCA9534), data sheet table 4: input 0, output 1, polarity inversion 2, configuration 3. */
const PCA9534: Registers = { pins: 0, levels: 1, directions: 3, settings: () => [[2, 0]] };

/** Microchip MCP23008, DS21919: IODIR 0, IPOL 1, GPINTEN 2, INTCON 4, IOCON 5 (ODR: the interrupt output is open-drain), GPPU 6, GPIO 9, OLAT 10. */
const MCP23008: Registers = {
  pins: 9,
  levels: 10,
  directions: 0,
  settings: ({ inputs, pullUps }) => [
    [1, 0],
    [5, 0x04],
    [6, pullUps],
    [4, 0],
    [2, inputs],
  ],
};

export function createExpanderChip(
  kind: ExpanderKind,
  owner: string,
  ref: I2cRef,
  device: I2cDevice,
  layout: ExpanderLayout,
): ExpanderChip {
  const name = `${owner}: ${kind} at ${i2cText(ref)}`;
  if (kind === "pcf8574") return quasiBidirectional(name, device, layout);
  return withRegisters(name, device, layout, kind === "pca9534" ? PCA9534 : MCP23008);
}

function binary(byte: number): string {
  return byte.toString(2).padStart(8, "0");
}

function withRegisters(name: string, device: I2cDevice, layout: ExpanderLayout, registers: Registers): ExpanderChip {
  const directions = ~layout.outputs & 0xff;

  function mismatch(what: string, found: number, expected: number): AgentError {
    return new AgentError("IO", `${name} holds ${what} ${binary(found)} where ${binary(expected)} was written; did its supply drop?`);
  }

  async function verify(register: number, expected: number, what: string): Promise<void> {
    const found = await device.readByte(register);
    if (found !== expected) throw mismatch(what, found, expected);
  }

  async function verifyLevels(levels: number, current: () => boolean): Promise<void> {
    const found = await device.readByte(registers.levels);
    if (found !== levels && current()) throw mismatch("levels", found, levels);
  }

  return {
    async setUp(levels, current) {
      for (const [register, value] of registers.settings(layout)) await device.writeByte(register, value);
      await device.writeByte(registers.levels, levels);
      await device.writeByte(registers.directions, directions);
      await verifyLevels(levels, current);
      await verify(registers.directions, directions, "directions");
    },
    async write(levels) {
      await device.writeByte(registers.levels, levels);
    },
    async read(levels, current) {
      const pins = await device.readByte(registers.pins);
      await verifyLevels(levels, current);
      await verify(registers.directions, directions, "directions");
      return pins;
    },
  };
}

/**
 * NXP PCF8574: no registers, every byte written is what the lines drive, and a line that is written high is an input with a weak pull-up.
 * What a transfer sends as the register is such a byte too, so it is always the one that the lines are to have.
 */
function quasiBidirectional(name: string, device: I2cDevice, { outputs }: ExpanderLayout): ExpanderChip {
  const bytes = (levels: number): number => levels | (~outputs & 0xff);

  async function read(levels: number, current: () => boolean): Promise<number> {
    const driven = bytes(levels);
    const pins = await device.readByte(driven);
    // A load may hold down a line that is high, whose driver is weak; one that is low is low.
    if ((pins & ~driven & outputs) !== 0 && current()) {
      throw new AgentError("IO", `${name} reads ${binary(pins)} where ${binary(driven)} is driven; is an output shorted?`);
    }
    return pins;
  }

  async function write(levels: number): Promise<void> {
    await device.writeByte(bytes(levels), bytes(levels));
  }

  return {
    async setUp(levels, current) {
      await write(levels);
      await read(levels, current);
    },
    write,
    read,
  };
}
