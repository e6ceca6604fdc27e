import { z } from "zod";

import { AgentError } from "./errors.ts";
import { i2cAddressSchema, i2cBusSchema, i2cText, type I2cDevice, type I2cRef } from "./i2c.ts";
import type { CanChannel } from "./can.ts";
import type { Cancel } from "./clock.ts";
import type { Eventually } from "./value.ts";
import type { SerialOptions, SerialStream } from "./serial.ts";

/** A line by its name, or by its chip's label and the offset on it. Never by a global number: those change between kernels. */
export type LineRef = { readonly name: string } | { readonly chip: string; readonly offset: number };

/** `GPIO17`, or `pinctrl-bcm2711:17`. */
export const lineRefSchema = z
  .string()
  .regex(/^[^\s:]+(:\d{1,5})?$/, {
    error: "a line is named by its name (GPIO17) or by chip label and offset (pinctrl-bcm2711:17)",
  })
  .describe("line name (GPIO17), or chip label and offset (pinctrl-bcm2711:17)");

/** The reference a line's text in the configuration stands for. */
export function lineRef(text: string): LineRef {
  const colon = text.lastIndexOf(":");
  if (colon < 0) return { name: text };
  return { chip: text.slice(0, colon), offset: Number(text.slice(colon + 1)) };
}

/** The same reference as text, for errors and claims. */
export function lineText(ref: LineRef): string {
  return "name" in ref ? ref.name : `${ref.chip}:${ref.offset}`;
}

/** A PWM channel the kernel offers: its chip's device name (`1f00098000.pwm`) or sysfs chip label, and the channel on it. */
export interface PwmChipRef {
  readonly chip: string;
  readonly channel: number;
}

/** A channel of a PCA9685 that the board drives over I2C itself, without a kernel driver. */
export interface Pca9685Ref extends I2cRef {
  /** 0 to 15. */
  readonly channel: number;
  /** The line its output-enable pin hangs on, if any: high is off. The same for every channel of the chip. */
  readonly outputEnable?: string | undefined;
}

export type PwmRef = PwmChipRef | { readonly pca9685: Pca9685Ref };

export const pwmChipRefSchema = z.strictObject({
  chip: z.string().min(1).describe("the PWM chip's device name, for example 1f00098000.pwm; sim on the simulated board"),
  channel: z.int().min(0).max(255).describe("channel on the chip"),
});

const pca9685RefSchema = z.strictObject({
  bus: i2cBusSchema,
  address: i2cAddressSchema.default(0x40),
  channel: z.int().min(0).max(15).describe("channel on the chip"),
  outputEnable: lineRefSchema.optional().describe("line of the chip's output-enable pin, which is low while it drives"),
});

export const pwmRefSchema = z.union([pwmChipRefSchema, z.strictObject({ pca9685: pca9685RefSchema })]);

/** `pwm 1f00098000.pwm:2`, `pwm pca9685@1:0x40:3`: for errors and claims. */
export function pwmText(ref: PwmRef): string {
  if ("chip" in ref) return `pwm ${ref.chip}:${ref.channel}`;
  return `pwm pca9685@${i2cText(ref.pca9685).slice("i2c ".length)}:${ref.pca9685.channel}`;
}

/** Bias of an input. */
export type Pull = "none" | "up" | "down";

/** One or more lines driven by one owner, written together in one kernel call. Order is that of the request. */
export interface DigitalOutputs {
  /** Drives every line; `levels` has one entry per line. Physical level: true is high. Throws IO. */
  write(levels: readonly boolean[]): void;
  /** The levels last driven. */
  levels(): readonly boolean[];
  /** Gives the lines back. What they do then is up to the kernel driver and the pull resistors. */
  close(): void;
}

export interface DigitalOutput {
  /** Physical level: true is high. Throws IO. */
  write(level: boolean): void;
  /** The level last driven. */
  level(): boolean;
  close(): void;
}

export interface Edge {
  readonly rising: boolean;
  /** The kernel's CLOCK_MONOTONIC at the interrupt, nanoseconds; the time of reading where the backend has no kernel stamp. */
  readonly timestampNs: bigint;
  /** Whether the stamp is the kernel's. */
  readonly kernelStamp: boolean;
}

export interface InputOptions {
  readonly pull?: Pull;
  /** A level must last this long before it counts, microseconds. */
  readonly debounceUs?: number;
}

export interface DigitalInput {
  /** Physical level now. Throws IO. */
  read(): boolean;
  /**
   * Called per debounced edge, in order. `failed` is called once, instead, when edges can no longer be seen (chip gone);
   * without it that is thrown as an uncaught error, because a button that is silently dead is worse than a stop. Throws IO.
   */
  onEdge(listener: (edge: Edge) => void, failed?: (error: AgentError) => void): Cancel;
  close(): void;
}

export interface PwmOutput {
  /** Duty cycle 0–1. Throws or rejects IO, ARGUMENT out of range. */
  write(dutyRatio: number): Eventually<void>;
  /** Duty 0, then disabled, then given back. */
  close(): Eventually<void>;
}

/** A chip as `virgo doctor` and `DESCRIBE` show it. */
export interface ChipDescription {
  readonly label: string;
  readonly path: string;
  readonly lines: number;
}

export interface BoardDescription {
  /** `sim`, `linux-cdev`, `linux-sysfs`, `linux-no-gpio` */
  readonly kind: string;
  readonly model: string;
  /** Why this board and backend were chosen. */
  readonly why: string;
  readonly chips: readonly ChipDescription[];
}

/**
 * The hardware one machine offers; opens ports. A second open of the same thing rejects with IN_USE and names the owner.
 * A thing that does not exist rejects with UNKNOWN and names near matches; one the process may not open rejects with DENIED and the group to join.
 */
export interface Board {
  describe(): BoardDescription;
  /** The line drives `initial` from the moment it becomes an output: value before direction, no glitch. */
  openOutput(owner: string, line: LineRef, initial: boolean): Promise<DigitalOutput>;
  /** All lines (of one chip) or none. */
  openOutputs(owner: string, lines: readonly LineRef[], initial: readonly boolean[]): Promise<DigitalOutputs>;
  openInput(owner: string, line: LineRef, options: InputOptions): Promise<DigitalInput>;
  /** Starts at duty 0. */
  openPwm(owner: string, channel: PwmRef, periodNs: number): Promise<PwmOutput>;
  openI2c(owner: string, chip: I2cRef): Promise<I2cDevice>;
  /** A socket of its own on the interface, `can0`: others may have one too. */
  openCan(owner: string, interfaceName: string): Promise<CanChannel>;
  /**
   * Exclusively. Resolves also when there is nothing at the path yet: the stream waits for it. Rejects IN_USE when another device of this board has it,
   * NOT_READY without the package that reads serial ports.
   */
  openSerial(owner: string, path: string, options: SerialOptions): Promise<SerialStream>;
  /** Gives back what is still open. */
  close(): Promise<void>;
}

/** Who owns what on one board; the one place IN_USE is decided. Keys are canonical: the same port has one key however it was named. */
export interface Claims {
  /** Throws IN_USE when `key` has another owner; returns the release. */
  claim(key: string, owner: string): Cancel;
}

export function createClaims(): Claims {
  const owners = new Map<string, string>();
  return {
    claim(key, owner) {
      const held = owners.get(key);
      if (held !== undefined) throw new AgentError("IN_USE", `${key} is in use by ${held}; ${owner} cannot open it too`);
      owners.set(key, owner);
      let released = false;
      return () => {
        if (released) return;
        released = true;
        owners.delete(key);
      };
    },
  };
}
