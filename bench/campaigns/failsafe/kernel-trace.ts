// What the board's kernel drivers were told, with the kernel's own times: GPIO lines from its gpio events, PCA9685 registers from its smbus events.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Change } from "./changes.ts";

const TRACING = "/sys/kernel/tracing";

/** One line, one channel of a PCA9685, or one bit of a register of another chip. */
export type TracedPort =
  | { readonly kind: "line"; readonly number: number }
  | { readonly kind: "channel"; readonly address: number; readonly channel: number }
  | { readonly kind: "bit"; readonly address: number; readonly register: number; readonly bit: number };

/** PCA9685 data sheet, 7.3.3 and 7.3.4: four registers a channel from LED0, the same for all channels from ALL_LED. */
const LED0 = 0x06;
const ALL_LED = 0xfa;
const REGISTERS_PER_CHANNEL = 4;
const FULL = 0x10;

/** Begins to trace; the kernel keeps the newest events. */
export function startTrace(): void {
  if (!existsSync(join(TRACING, "trace"))) execFileSync("mount", ["-t", "tracefs", "tracefs", TRACING]);
  writeFileSync(join(TRACING, "trace_clock"), "mono");
  writeFileSync(join(TRACING, "buffer_size_kb"), "4096");
  writeFileSync(join(TRACING, "events/gpio/enable"), "1");
  writeFileSync(join(TRACING, "events/smbus/smbus_write/enable"), "1");
}

/** Forgets what was traced so far. */
export function clearTrace(): void {
  writeFileSync(join(TRACING, "trace"), "");
}

export function readTrace(): string {
  return readFileSync(join(TRACING, "trace"), "latin1");
}

const GPIO_EVENT = /\s(\d+\.\d+): gpio_value: (\d+) set (\d)/;
const SMBUS_EVENT =
  /\s(\d+\.\d+): smbus_write: i2c-0 a=0([0-9a-f]{2}) f=\d+ c=([0-9a-f]+) (BYTE_DATA|I2C_BLOCK_DATA) l=\d+ \[([0-9a-f-]+)\]/;

/** Everything that was written to the port. */
export function changesOf(trace: string, port: TracedPort): readonly Change[] {
  if (port.kind === "line") return lineChanges(trace, port.number);
  if (port.kind === "channel") return channelChanges(trace, port.address, port.channel);
  return writesTo(trace, port.address).flatMap(({ atMs, first, bytes }) => {
    const byte = bytes[port.register - first];
    return byte === undefined ? [] : [{ atMs, value: (byte >> port.bit) & 1 }];
  });
}

function lineChanges(trace: string, number: number): readonly Change[] {
  const changes: Change[] = [];
  for (const text of trace.split("\n")) {
    const [, seconds, line, value] = GPIO_EVENT.exec(text) ?? [];
    if (Number(line) === number) changes.push({ atMs: Number(seconds) * 1000, value: Number(value) });
  }
  return changes;
}

/** What was written to the chip, from its register `first` on. */
interface ChipWrite {
  readonly atMs: number;
  readonly first: number;
  readonly bytes: readonly number[];
}

function writesTo(trace: string, address: number): readonly ChipWrite[] {
  const writes: ChipWrite[] = [];
  for (const text of trace.split("\n")) {
    const [, seconds, chip, command, kind, data] = SMBUS_EVENT.exec(text) ?? [];
    if (data === undefined || command === undefined || Number.parseInt(chip ?? "", 16) !== address) continue;
    const bytes = data.split("-").map((byte) => Number.parseInt(byte, 16));
    // A block begins with its length.
    writes.push({
      atMs: Number(seconds) * 1000,
      first: Number.parseInt(command, 16),
      bytes: kind === "BYTE_DATA" ? bytes : bytes.slice(1),
    });
  }
  return writes;
}

function channelChanges(trace: string, address: number, channel: number): readonly Change[] {
  const registers = new Uint8Array(256);
  const changes: Change[] = [];
  const led = LED0 + REGISTERS_PER_CHANNEL * channel;
  for (const { atMs, first, bytes } of writesTo(trace, address)) {
    const touched = bytes.map((byte, i) => store(registers, first + i, byte));
    if (touched.some((register) => register >= ALL_LED || (register >= led && register < led + REGISTERS_PER_CHANNEL))) {
      changes.push({ atMs, value: onTicks(registers, led) });
    }
  }
  return changes;
}

/** A write to ALL_LED is one to every channel. Returns the register. */
function store(registers: Uint8Array, register: number, byte: number): number {
  registers[register] = byte;
  if (register >= ALL_LED && register < ALL_LED + REGISTERS_PER_CHANNEL) {
    for (let channel = 0; channel < 16; channel++) registers[LED0 + REGISTERS_PER_CHANNEL * channel + register - ALL_LED] = byte;
  }
  return register;
}

function onTicks(registers: Uint8Array, first: number): number {
  const [onLow = 0, onHigh = 0, offLow = 0, offHigh = 0] = registers.subarray(first, first + REGISTERS_PER_CHANNEL);
  if ((offHigh & FULL) !== 0) return 0;
  if ((onHigh & FULL) !== 0) return 4096;
  return (((offHigh << 8) | offLow) - ((onHigh << 8) | onLow) + 4096) % 4096;
}
