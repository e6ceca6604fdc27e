// The world's side of the virtual board, for the test files that run inside it: what hangs on the lines, and what was soldered where.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, realpathSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { lineRef } from "../../agent/contract/board.ts";

const CHIPS = "/sys/bus/gpio/devices";
const SIM_CONFIG = "/sys/kernel/config/gpio-sim";
const SIM_DRIVER = "/sys/bus/platform/drivers/gpio-sim";
const LED_DRIVER = "/sys/bus/platform/drivers/leds-gpio";
const HEADER_DEVICE = "soc:gpio-sim";
const LED_DEVICE = "soc:leds";
const I2C_ADAPTER = "/sys/bus/i2c/devices/i2c-0";
const POLL_MS = 2;

/** A simulated chip as the kernel has it now. */
export interface SimChip {
  readonly label: string;
  /** `gpiochip0`: the number changes with the order of probing. */
  readonly name: string;
  readonly path: string;
  readonly lines: number;
  /** By offset; lines without a name are absent. */
  readonly lineNames: ReadonlyMap<number, string>;
}

/** A chip that hangs on the board only because a test wants it. */
export interface ExtraChip {
  readonly label: string;
  readonly lines: number;
  readonly lineNames?: Readonly<Record<number, string>>;
}

/** A chip on the simulated I2C bus. */
export interface StubChip {
  /** One register, read over I2C. */
  register(address: number): number;
  /** As another program would, whoever has the chip. */
  setRegister(address: number, value: number): void;
  /** Every register at 0. */
  clear(): void;
  /** Of a PCA9685: the share of the period in which the channel is on, in 4096 ticks, as its registers say (PCA9685 data sheet, 7.3.3). */
  onTicks(channel: number): number;
}

/** A PCA9685 on the simulated I2C bus, with the kernel's own driver. */
export interface PwmChip extends StubChip {
  /** `0-0040`: the name of the kernel's device, by which the agent's configuration names the chip. */
  readonly chip: string;
  /** The chip in sysfs. */
  readonly folder: string;
}

function read(path: string): string {
  return readFileSync(path, "utf8").replace(/[\0\n]+$/, "");
}

function numberedNames(names: readonly string[]): Map<number, string> {
  return new Map([...names.entries()].filter(([, name]) => name !== ""));
}

function treeChip(name: string, lines: number): SimChip {
  const node = join(CHIPS, name, "of_node");
  const names = join(node, "gpio-line-names");
  return {
    label: read(join(node, "gpio-sim,label")),
    name,
    path: `/dev/${name}`,
    lines,
    lineNames: numberedNames(existsSync(names) ? read(names).split("\0") : []),
  };
}

function extraChip(name: string, lines: number): SimChip {
  const banks = readdirSync(SIM_CONFIG).map((device) => join(SIM_CONFIG, device, "bank0"));
  const bank = banks.find((folder) => read(join(folder, "chip_name")) === name);
  if (bank === undefined) throw new Error(`${name} is neither in the device tree nor made by createChip`);
  const names = Array.from({ length: lines }, (_, offset) => {
    const file = join(bank, `line${offset}`, "name");
    return existsSync(file) ? read(file) : "";
  });
  return { label: read(join(bank, "label")), name, path: `/dev/${name}`, lines, lineNames: numberedNames(names) };
}

/** The simulated chips there are, in the order of their numbers. */
export function chips(): SimChip[] {
  const names = existsSync(CHIPS) ? readdirSync(CHIPS) : [];
  const found = names.flatMap((name) => {
    const lines = readdirSync(join(CHIPS, name)).filter((entry) => entry.startsWith("sim_gpio")).length;
    if (lines === 0) return [];
    return [existsSync(join(CHIPS, name, "of_node")) ? treeChip(name, lines) : extraChip(name, lines)];
  });
  if (found.length === 0) throw new Error("no simulated chip here: this runs inside the virtual board only, by npm run test:board");
  return found.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
}

/** The chip with this label. */
export function chip(label: string): SimChip {
  const all = chips();
  const found = all.find((candidate) => candidate.label === label);
  if (found === undefined) throw new Error(`no chip ${label} among ${all.map((candidate) => candidate.label).join(", ")}`);
  return found;
}

/** Where a line is now: `GPIO17`, or `virtual-leds:1`. */
export function locate(line: string): { readonly chip: SimChip; readonly offset: number } {
  const ref = lineRef(line);
  if ("chip" in ref) return { chip: chip(ref.chip), offset: ref.offset };
  for (const candidate of chips()) {
    for (const [offset, name] of candidate.lineNames) if (name === ref.name) return { chip: candidate, offset };
  }
  throw new Error(`no line ${line}`);
}

function simFile(line: string, file: "value" | "pull"): string {
  const { chip: home, offset } = locate(line);
  return join(CHIPS, home.name, `sim_gpio${offset}`, file);
}

/** The level on the line, whoever drives it; true is high. */
export function level(line: string): boolean {
  return read(simFile(line, "value")) === "1";
}

/** Pulls the line high or low from outside. An output keeps its own level, and shows this one once it is given back. */
export function drive(line: string, high: boolean): void {
  writeFileSync(simFile(line, "pull"), high ? "pull-up" : "pull-down");
}

/** Who has requested the line, by the label it gave the kernel; undefined when nobody has. */
export function holder(line: string): string | undefined {
  const { chip: home, offset } = locate(line);
  const sections = readFileSync("/sys/kernel/debug/gpio", "utf8").split(/\n(?=gpiochip)/);
  const section = sections.find((text) => text.startsWith(`${home.name}:`)) ?? "";
  const base = Number(/GPIOs (\d+)-/.exec(section)?.[1]);
  const held = new RegExp(String.raw`^ gpio-${base + offset} +\((.*)\) `, "m").exec(section)?.[1];
  return held === "<unused>" ? undefined : held;
}

/** The number of the chip's first line in the old sysfs interface. */
export function sysfsBase(label: string): number {
  const folder = "/sys/class/gpio";
  const found = readdirSync(folder).find((name) => name.startsWith("gpiochip") && read(join(folder, name, "label")) === label);
  if (found === undefined) throw new Error(`no chip ${label} in ${folder}`);
  return Number(read(join(folder, found, "base")));
}

/** Waits until `condition` holds; rejects naming `what` when it does not within `withinMs`. */
export async function until(what: string, condition: () => boolean, withinMs = 10_000): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`${what}: not so within ${withinMs} ms`);
    await delay(POLL_MS);
  }
}

/** Waits until the line has this level. */
export async function levelBecomes(line: string, high: boolean, withinMs?: number): Promise<void> {
  await until(`${line} is ${high ? "high" : "low"}`, () => level(line) === high, withinMs);
}

/** Makes a chip, live at once, in the lowest free number; returns what removes it. */
export function createChip(extra: ExtraChip): () => void {
  const device = join(SIM_CONFIG, extra.label);
  const bank = join(device, "bank0");
  const named = Object.entries(extra.lineNames ?? {});
  mkdirSync(device);
  mkdirSync(bank);
  writeFileSync(join(bank, "num_lines"), String(extra.lines));
  writeFileSync(join(bank, "label"), extra.label);
  for (const [offset, name] of named) {
    mkdirSync(join(bank, `line${offset}`));
    writeFileSync(join(bank, `line${offset}`, "name"), name);
  }
  writeFileSync(join(device, "live"), "1");
  return () => {
    writeFileSync(join(device, "live"), "0");
    for (const [offset] of named) rmdirSync(join(bank, `line${offset}`));
    rmdirSync(bank);
    rmdirSync(device);
  };
}

function unplug(): void {
  writeFileSync(join(LED_DRIVER, "unbind"), LED_DEVICE);
  writeFileSync(join(SIM_DRIVER, "unbind"), HEADER_DEVICE);
}

function plug(): void {
  writeFileSync(join(SIM_DRIVER, "bind"), HEADER_DEVICE);
  writeFileSync(join(LED_DRIVER, "bind"), LED_DEVICE);
}

/**
 * Puts `extra` before the board's own chips, as a kernel update or a new overlay does: their numbers and sysfs bases change, labels and line names do not.
 * Nobody may hold a line meanwhile. Returns what puts everything back.
 */
export function renumber(extra: ExtraChip): () => void {
  unplug();
  const remove = createChip(extra);
  plug();
  return () => {
    unplug();
    remove();
    plug();
  };
}

/** Puts simulated chips on the I2C bus, /dev/i2c-0: once for each boot, with all the addresses that will be needed. */
export function loadI2cBus(addresses: readonly number[]): void {
  const kernelModule = process.env["BOARD_I2C_STUB"];
  if (kernelModule === undefined) throw new Error("no I2C bus here: this runs inside the virtual board only, by npm run test:board");
  execFileSync("insmod", [kernelModule, `chip_addr=${addresses.join(",")}`]);
}

/** A simulated chip of the bus, by its registers: a stub that holds what is written to it. */
export function stubChip(address: number): StubChip {
  /** `00: 12 34 …` of i2cdump, whose rows begin at the multiples of 16. */
  function registers(first: number, last: number): number[] {
    const range = `0x${first.toString(16)}-0x${last.toString(16)}`;
    const dump = execFileSync("i2cdump", ["-f", "-y", "-r", range, "0", String(address), "b"], { encoding: "utf8" });
    const rows = dump.split("\n").filter((line) => /^[0-9a-f]{2}: /.test(line));
    const cells = rows.flatMap((row) =>
      row
        .slice(4, 4 + 3 * 16)
        .split(" ")
        .filter((cell) => /^[0-9a-f]{2}$/.test(cell)),
    );
    return cells.map((cell) => Number.parseInt(cell, 16));
  }

  const i2c = (program: string, ...values: (number | string)[]): string =>
    execFileSync(program, ["-f", "-y", "0", String(address), ...values.map(String)], { encoding: "utf8" });
  const register = (number: number): number => Number(i2c("i2cget", number));
  return {
    register,
    setRegister(number, value) {
      i2c("i2cset", number, value);
    },
    clear() {
      const zeros = Array<number>(32).fill(0);
      for (let first = 0; first < 256; first += zeros.length) i2c("i2cset", first, ...zeros, "i");
    },
    onTicks(channel) {
      // Four registers a channel from 0x06: on low, on high, off low, off high; bit 4 of a high one is fully on, or fully off, which wins.
      const first = 0x06 + 4 * channel;
      const [onLow = 0, onHigh = 0, offLow = 0, offHigh = 0] = registers(first, first + 3);
      const on = onLow + (onHigh << 8);
      const off = offLow + (offHigh << 8);
      if ((off & 0x1000) !== 0) return 0;
      if ((on & 0x1000) !== 0) return 4096;
      return (off - on + 4096) % 4096;
    },
  };
}

/** Gives the chip at this address of the bus to the kernel's PCA9685 driver: 17 PWM channels in sysfs, the last for all at once. */
export function addPwmChip(address: number): PwmChip {
  writeFileSync(join(I2C_ADAPTER, "new_device"), `pca9685 0x${address.toString(16)}`);
  const device = `0-${address.toString(16).padStart(4, "0")}`;
  const classFolder = join(realpathSync(I2C_ADAPTER), device, "pwm");
  const [name] = readdirSync(classFolder);
  if (name === undefined) throw new Error(`the driver made no PWM chip of ${device}`);
  return { ...stubChip(address), chip: device, folder: join("/sys/class/pwm", name) };
}
