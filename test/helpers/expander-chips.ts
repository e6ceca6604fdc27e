// GPIO chips on I2C with a logic analyser on their first pins.
import { createRegisterChip, type RegisterChip, type SimI2cChip } from "../../drivers/board/sim/i2c.ts";

export type ExpanderKind = "pca9534" | "mcp23008" | "pcf8574";

/** Every pin with what drives it: outputs by the chip, inputs by the world. */
export interface ExpanderSpy extends SimI2cChip {
  /** What the pins 0 to 2 have driven since power-on, one word each: 0 and 1, z while it is an input. */
  readonly trace: string[];
  world: number;
}

/** A PCA9534 or MCP23008 as it is after power-on: every line an input. */
export function registerExpander(kind: "pca9534" | "mcp23008", chip: RegisterChip = createRegisterChip()): ExpanderSpy {
  const at = kind === "pca9534" ? { pins: 0, levels: 1, directions: 3 } : { pins: 9, levels: 10, directions: 0 };
  chip.registers[at.directions] = 0xff;
  if (kind === "pca9534") chip.registers[at.levels] = 0xff;
  const spy: ExpanderSpy = {
    trace: [],
    world: 0,
    read(register, length) {
      const directions = chip.registers[at.directions] ?? 0;
      chip.registers[at.pins] = ((chip.registers[at.levels] ?? 0) & ~directions) | (spy.world & directions);
      return chip.read(register, length);
    },
    write(register, bytes) {
      chip.write(register, bytes);
      note(spy, chip.registers[at.levels] ?? 0, chip.registers[at.directions] ?? 0);
    },
  };
  note(spy, chip.registers[at.levels] ?? 0, 0xff);
  return spy;
}

/** A PCF8574: what is written high is pulled up weakly, and the world may hold it down. */
export function quasiBidirectional(): ExpanderSpy {
  let latch = 0xff;
  const spy: ExpanderSpy = {
    trace: [],
    world: 0xff,
    read(register) {
      latch = register;
      note(spy, latch, 0);
      return Uint8Array.of(latch & spy.world);
    },
    write(register, bytes) {
      for (const byte of [register, ...bytes]) {
        latch = byte;
        note(spy, latch, 0);
      }
    },
  };
  note(spy, latch, 0);
  return spy;
}

function note(spy: ExpanderSpy, levels: number, directions: number): void {
  const word = [0, 1, 2].map((line) => (((directions >> line) & 1) === 1 ? "z" : String((levels >> line) & 1))).join("");
  if (spy.trace.at(-1) !== word) spy.trace.push(word);
}
