/**
 * The GPIO character device, version 2 of its interface, from `<linux/gpio.h>` (Linux 5.10 and later): ioctl numbers, structure
 * layouts, and the functions between them and buffers. Every machine this runs on is little-endian and encodes ioctls the common way.
 */

const NAME_BYTES = 32;
const ATTRIBUTE_BYTES = 16;
const CONFIG_ATTRIBUTE_BYTES = 24;

/** Lines one request may hold: bitmaps have 64 bits. */
export const MAX_LINES = 64;

/** Sizes of the structures, bytes. */
export const SIZE = {
  chipInfo: 2 * NAME_BYTES + 4,
  lineInfo: 256,
  lineConfig: 272,
  lineRequest: 592,
  lineValues: 16,
  lineEvent: 48,
} as const;

/** Where the fields lie, bytes from the structure's start. */
export const OFFSET = {
  chipInfo: { name: 0, label: NAME_BYTES, lines: 2 * NAME_BYTES },
  lineInfo: { name: 0, consumer: NAME_BYTES, offset: 64, flags: 72 },
  lineConfig: { flags: 0, attributeCount: 8, attributes: 32 },
  configAttribute: { id: 0, value: 8, mask: ATTRIBUTE_BYTES },
  lineRequest: { offsets: 0, consumer: 256, config: 288, lineCount: 560, eventBufferSize: 564, fd: 588 },
  lineValues: { bits: 0, mask: 8 },
  lineEvent: { timestampNs: 0, id: 8 },
} as const;

const READ = 2;
const WRITE = 1;

/** `_IOC(direction, 0xB4, nr, size)` */
function ioctlNumber(direction: number, nr: number, sizeBytes: number): number {
  return ((direction << 30) | (sizeBytes << 16) | (0xb4 << 8) | nr) >>> 0;
}

export const IOCTL = {
  getChipInfo: ioctlNumber(READ, 0x01, SIZE.chipInfo),
  getLineInfo: ioctlNumber(READ | WRITE, 0x05, SIZE.lineInfo),
  getLine: ioctlNumber(READ | WRITE, 0x07, SIZE.lineRequest),
  setConfig: ioctlNumber(READ | WRITE, 0x0d, SIZE.lineConfig),
  getValues: ioctlNumber(READ | WRITE, 0x0e, SIZE.lineValues),
  setValues: ioctlNumber(READ | WRITE, 0x0f, SIZE.lineValues),
} as const;

/** `enum gpio_v2_line_flag`; all fit the lower half of the 64 bits. */
export const FLAG = {
  used: 1 << 0,
  input: 1 << 2,
  output: 1 << 3,
  edgeRising: 1 << 4,
  edgeFalling: 1 << 5,
  pullUp: 1 << 8,
  pullDown: 1 << 9,
  biasDisabled: 1 << 10,
} as const;

const ATTRIBUTE_OUTPUT_VALUES = 2;
const ATTRIBUTE_DEBOUNCE = 3;
const EVENT_RISING = 1;

export interface ChipInfo {
  readonly name: string;
  readonly label: string;
  readonly lines: number;
}

export function decodeChipInfo(bytes: Buffer): ChipInfo {
  return {
    name: textAt(bytes, OFFSET.chipInfo.name),
    label: textAt(bytes, OFFSET.chipInfo.label),
    lines: bytes.readUInt32LE(OFFSET.chipInfo.lines),
  };
}

export interface LineInfo {
  /** Empty when the line has no name. */
  readonly name: string;
  /** Who holds the line, as it called itself; may be empty. */
  readonly consumer: string;
  readonly used: boolean;
}

/** What asks for the information about the line at `offset`. */
export function encodeLineInfoQuery(offset: number): Buffer {
  const bytes = Buffer.alloc(SIZE.lineInfo);
  bytes.writeUInt32LE(offset, OFFSET.lineInfo.offset);
  return bytes;
}

export function decodeLineInfo(bytes: Buffer): LineInfo {
  return {
    name: textAt(bytes, OFFSET.lineInfo.name),
    consumer: textAt(bytes, OFFSET.lineInfo.consumer),
    used: (bytes.readUInt32LE(OFFSET.lineInfo.flags) & FLAG.used) !== 0,
  };
}

/** How the lines of one request are set up. */
export interface LineConfig {
  /** `FLAG` bits, for all lines. */
  readonly flags: number;
  /** Of outputs: the level each line drives from the moment it becomes an output. */
  readonly initial?: readonly boolean[];
  /** Of inputs: how long a level must last to count, microseconds. */
  readonly debounceUs?: number;
}

/** `struct gpio_v2_line_config` for `lineCount` lines. */
export function encodeLineConfig(config: LineConfig, lineCount: number): Buffer {
  const bytes = Buffer.alloc(SIZE.lineConfig);
  bytes.writeUInt32LE(config.flags, OFFSET.lineConfig.flags);
  let count = 0;
  function attribute(id: number): number {
    const at = OFFSET.lineConfig.attributes + count * CONFIG_ATTRIBUTE_BYTES;
    count += 1;
    bytes.writeUInt32LE(id, at + OFFSET.configAttribute.id);
    writeMask(bytes, at + OFFSET.configAttribute.mask, lineCount);
    return at + OFFSET.configAttribute.value;
  }
  if (config.initial !== undefined) writeBits(bytes, attribute(ATTRIBUTE_OUTPUT_VALUES), config.initial);
  if (config.debounceUs !== undefined) bytes.writeUInt32LE(config.debounceUs, attribute(ATTRIBUTE_DEBOUNCE));
  bytes.writeUInt32LE(count, OFFSET.lineConfig.attributeCount);
  return bytes;
}

/** `struct gpio_v2_line_request`. A consumer longer than 31 bytes is cut at a character. `eventBufferSize` 0 leaves it to the kernel. */
export function encodeLineRequest(offsets: readonly number[], consumer: string, config: LineConfig, eventBufferSize = 0): Buffer {
  const bytes = Buffer.alloc(SIZE.lineRequest);
  offsets.forEach((offset, index) => bytes.writeUInt32LE(offset, OFFSET.lineRequest.offsets + index * 4));
  writeText(bytes, OFFSET.lineRequest.consumer, consumer);
  encodeLineConfig(config, offsets.length).copy(bytes, OFFSET.lineRequest.config);
  bytes.writeUInt32LE(offsets.length, OFFSET.lineRequest.lineCount);
  bytes.writeUInt32LE(eventBufferSize, OFFSET.lineRequest.eventBufferSize);
  return bytes;
}

/** The descriptor the kernel put into a request it granted. */
export function decodeLineFd(bytes: Buffer): number {
  return bytes.readInt32LE(OFFSET.lineRequest.fd);
}

/** `struct gpio_v2_line_values` that addresses all of `lineCount` lines, to be kept and reused. */
export function createLineValues(lineCount: number): Buffer {
  const bytes = Buffer.alloc(SIZE.lineValues);
  writeMask(bytes, OFFSET.lineValues.mask, lineCount);
  return bytes;
}

/** Puts the levels into `values`, one bit per line. */
export function writeLevels(values: Buffer, levels: readonly boolean[]): void {
  writeBits(values, OFFSET.lineValues.bits, levels);
}

/** The level of the first line in `values`. */
export function readFirstLevel(values: Buffer): boolean {
  return ((values[OFFSET.lineValues.bits] ?? 0) & 1) !== 0;
}

export interface LineEvent {
  readonly rising: boolean;
  /** CLOCK_MONOTONIC at the interrupt, nanoseconds. */
  readonly timestampNs: bigint;
}

/** The event at `at` of what was read from a line's descriptor. */
export function decodeLineEvent(bytes: Buffer, at: number): LineEvent {
  return {
    rising: bytes.readUInt32LE(at + OFFSET.lineEvent.id) === EVENT_RISING,
    timestampNs: bytes.readBigUInt64LE(at + OFFSET.lineEvent.timestampNs),
  };
}

function writeBits(bytes: Buffer, at: number, levels: readonly boolean[]): void {
  let low = 0;
  let high = 0;
  for (let i = 0; i < levels.length; i++) {
    if (levels[i] !== true) continue;
    if (i < 32) low |= 1 << i;
    else high |= 1 << (i - 32);
  }
  bytes.writeInt32LE(low, at);
  bytes.writeInt32LE(high, at + 4);
}

/** The lowest `count` of 64 bits set. */
function writeMask(bytes: Buffer, at: number, count: number): void {
  bytes.writeBigUInt64LE((1n << BigInt(count)) - 1n, at);
}

function textAt(bytes: Buffer, at: number): string {
  const field = bytes.subarray(at, at + NAME_BYTES);
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end < 0 ? NAME_BYTES : end);
}

function writeText(bytes: Buffer, at: number, text: string): void {
  // The last byte stays 0; Buffer.write never writes half a character.
  bytes.write(text, at, NAME_BYTES - 1, "utf8");
}
