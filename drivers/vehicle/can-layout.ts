// Which bits of a CAN frame say what. Pure.
import { z } from "zod";

const BYTE_BITS = 8;

/** One number in a frame. Bits are counted as DBC files count them: bit 0 is the lowest of byte 0, bit 15 the highest of byte 1. */
const signalSchema = z
  .strictObject({
    startBit: z.int().min(0).max(63).describe("its lowest bit if little endian, its highest if big endian, counted as in DBC files"),
    lengthBits: z.int().min(1).max(32),
    endian: z.enum(["little", "big"]).default("little"),
    signed: z.boolean().default(false).describe("two's complement"),
    scale: z
      .number()
      .refine((scale) => scale !== 0, { error: "a scale of 0 says nothing" })
      .default(1)
      .describe("value of one bit"),
    offset: z.number().default(0).describe("value of all bits 0"),
    rest: z.number().optional().describe("value while nothing drives the signal, and of one that no channel drives; offset when absent"),
  })
  .refine((signal) => rawOf(signal, signal.rest ?? signal.offset) !== undefined, {
    path: ["rest"],
    error: "the signal's bits cannot hold its resting value",
  });

const counterSchema = z.strictObject({
  startBit: z.int().min(0).max(63),
  lengthBits: z.int().min(1).max(8),
  endian: z.enum(["little", "big"]).default("little"),
});

const checksumSchema = z.strictObject({
  kind: z
    .enum(["xor", "sum", "crc8", "toyota"])
    .describe("over the other bytes: exclusive or, sum modulo 256, CRC-8 SAE-J1850; toyota: sum with ID and length"),
  byte: z.int().min(0).max(7).describe("where it stands"),
});

interface SignalScale {
  readonly scale: number;
  readonly offset: number;
  readonly signed: boolean;
  readonly lengthBits: number;
}

export type Signal = z.output<typeof signalSchema>;

export type ChecksumKind = z.output<typeof checksumSchema>["kind"];

export const frameSchema = z
  .strictObject({
    id: z.int().min(0).max(0x1fffffff).describe("arbitration ID"),
    extended: z.boolean().default(false).describe("the ID has 29 bits"),
    length: z.int().min(1).max(8).describe("bytes"),
    periodMs: z.int().min(10).max(1000).multipleOf(10).default(10).describe("time from one sending to the next, milliseconds"),
    timeoutMs: z
      .int()
      .min(20)
      .max(5000)
      .default(100)
      .describe("how long the frame may find no room in the interface's queue before that is a fault, milliseconds"),
    fill: z.int().min(0).max(255).default(0).describe("bytes before anything is written into them"),
    signals: z.record(z.string().min(1), signalSchema),
    counter: counterSchema.optional().describe("rises with every frame and begins again at 0"),
    checksum: checksumSchema.optional(),
  })
  .superRefine((frame, context) => {
    if (!frame.extended && frame.id > 0x7ff) {
      context.addIssue({ code: "custom", path: ["id"], message: "an ID above 0x7ff has 29 bits: say extended: true" });
    }
    const taken = new Map<number, string>();
    for (const { name, bits } of fields(frame)) {
      for (const bit of bits) {
        const other = taken.get(bit);
        if (bit >= frame.length * BYTE_BITS || bit < 0) {
          context.addIssue({ code: "custom", path: ["length"], message: `${name} goes beyond the frame's ${frame.length} bytes` });
          break;
        }
        if (other !== undefined) {
          context.addIssue({ code: "custom", path: ["signals"], message: `${name} and ${other} share bit ${bit}` });
          break;
        }
        taken.set(bit, name);
      }
    }
  });

export type FrameLayout = z.output<typeof frameSchema>;

/** Where bits are: their positions from the lowest to the highest. */
interface Place {
  readonly startBit: number;
  readonly lengthBits: number;
  readonly endian: "little" | "big";
}

export function bitsOf({ startBit, lengthBits, endian }: Place): readonly number[] {
  if (endian === "little") return Array.from({ length: lengthBits }, (_, i) => startBit + i);
  const bits: number[] = [];
  let bit = startBit;
  for (let i = 0; i < lengthBits; i++) {
    bits.unshift(bit);
    // After the lowest bit of a byte comes the highest of the next.
    bit = bit % BYTE_BITS === 0 ? bit + 2 * BYTE_BITS - 1 : bit - 1;
  }
  return bits;
}

function fields(frame: {
  readonly signals: Readonly<Record<string, Signal>>;
  readonly counter?: Place | undefined;
  readonly checksum?: { readonly byte: number } | undefined;
}): readonly { readonly name: string; readonly bits: readonly number[] }[] {
  const { signals, counter, checksum } = frame;
  return [
    ...Object.entries(signals).map(([name, signal]) => ({ name, bits: bitsOf(signal) })),
    ...(counter === undefined ? [] : [{ name: "the counter", bits: bitsOf(counter) }]),
    ...(checksum === undefined
      ? []
      : [{ name: "the checksum", bits: bitsOf({ startBit: checksum.byte * BYTE_BITS, lengthBits: BYTE_BITS, endian: "little" }) }]),
  ];
}

/** Sets the bits at `bits`, lowest first, to those of `raw`. */
export function placeBits(data: Uint8Array, bits: readonly number[], raw: number): void {
  let left = raw;
  for (const bit of bits) {
    const index = bit >> 3;
    const mask = 1 << (bit & 7);
    const odd = Math.abs(left % 2) === 1;
    data[index] = odd ? (data[index] ?? 0) | mask : (data[index] ?? 0) & ~mask;
    left = Math.floor(left / 2);
  }
}

/** The signal's bits for `value`, as a number; undefined when it does not fit. */
export function rawOf({ scale, offset, signed, lengthBits }: SignalScale, value: number): number | undefined {
  const raw = Math.round((value - offset) / scale);
  const lowest = signed ? -(2 ** (lengthBits - 1)) : 0;
  const highest = signed ? 2 ** (lengthBits - 1) - 1 : 2 ** lengthBits - 1;
  return raw >= lowest && raw <= highest ? raw : undefined;
}

/** SAE J1850: polynomial 0x1D, begins with 0xFF, inverted at the end; "123456789" gives 0x4B. */
const J1850_POLYNOMIAL = 0x1d;

function crc8(data: Uint8Array, except: number): number {
  let crc = 0xff;
  for (let i = 0; i < data.length; i++) {
    if (i === except) continue;
    crc ^= data[i] ?? 0;
    for (let bit = 0; bit < BYTE_BITS; bit++) crc = crc & 0x80 ? ((crc << 1) ^ J1850_POLYNOMIAL) & 0xff : crc << 1;
  }
  return crc ^ 0xff;
}

function sum(data: Uint8Array, except: number): number {
  let total = 0;
  for (let i = 0; i < data.length; i++) if (i !== except) total += data[i] ?? 0;
  return total;
}

function xor(data: Uint8Array, except: number): number {
  let all = 0;
  for (let i = 0; i < data.length; i++) if (i !== except) all ^= data[i] ?? 0;
  return all;
}

/** The checksum of all bytes but the one at `byte`, where it will stand. Toyota's adds the ID's bytes and the length (opendbc, toyota_checksum). */
export function checksumOf(kind: ChecksumKind, id: number, data: Uint8Array, byte: number): number {
  switch (kind) {
    case "xor":
      return xor(data, byte);
    case "sum":
      return sum(data, byte) & 0xff;
    case "crc8":
      return crc8(data, byte);
    case "toyota":
      return (sum(data, byte) + data.length + (id & 0xff) + ((id >> 8) & 0xff) + ((id >> 16) & 0xff) + (id >>> 24)) & 0xff;
  }
}
