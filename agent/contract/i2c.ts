import { z } from "zod";

/** A bus by its number (1 is /dev/i2c-1), or by its adapter's name as `i2cdetect -l` shows it. */
export type I2cBus = number | string;

/** One chip on one bus. */
export interface I2cRef {
  readonly bus: I2cBus;
  /** 7 bits. */
  readonly address: number;
}

export const i2cBusSchema = z
  .union([z.int().min(0).max(255), z.string().regex(/^[^\s:]+( [^\s:]+)*$/)])
  .describe("number of the bus (1 is /dev/i2c-1), or the name of its adapter");

/** Addresses below 0x08 and above 0x77 are reserved (I2C-bus specification UM10204, 3.1.12). */
export const i2cAddressSchema = z.int().min(0x08).max(0x77).describe("7-bit address");

/** `i2c 1:0x40`, for errors and claims. */
export function i2cText({ bus, address }: I2cRef): string {
  return `i2c ${bus}:0x${address.toString(16).padStart(2, "0")}`;
}

/** Bytes of one block transfer, an SMBus limit. */
export const I2C_BLOCK_BYTES = 32;

/**
 * One chip at one address. A bus carries one transfer at a time, in the order they were asked for. Each rejects IO when the chip does not answer or
 * the bus reports an error, and TIMEOUT when the transfer does not end within the board's limit; as long as one such transfer hangs, further ones of
 * its bus are refused at once with TIMEOUT, naming it.
 */
export interface I2cDevice {
  /** One byte of one register (SMBus read byte). */
  readByte(register: number): Promise<number>;
  writeByte(register: number, value: number): Promise<void>;
  /** 16 bits, the low byte first on the wire (SMBus word). Chips that send the high byte first need it swapped. */
  readWord(register: number): Promise<number>;
  writeWord(register: number, value: number): Promise<void>;
  /** 1 to 32 bytes from this register on (I2C block). */
  readBlock(register: number, length: number): Promise<Uint8Array>;
  writeBlock(register: number, bytes: Uint8Array): Promise<void>;
  /** Gives the address back. What is under way ends by itself. */
  close(): void;
}
