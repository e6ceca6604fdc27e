/** Function codes (MODBUS Application Protocol Specification V1.1b3, section 6). */
export const MODBUS = {
  readCoils: 1,
  readDiscreteInputs: 2,
  readHoldingRegisters: 3,
  readInputRegisters: 4,
  writeSingleCoil: 5,
  writeSingleRegister: 6,
  writeMultipleRegisters: 16,
} as const;

/** A reply with this bit in its function code is an exception (section 7). */
const EXCEPTION = 0x80;
const EXCEPTION_BYTES = 5;

/** The longest frame on a serial line (MODBUS over Serial Line V1.02, section 2.5.1). */
export const MODBUS_MAX_BYTES = 256;

const CRC_POLYNOMIAL = 0xa001;

const CRC_TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >> 1) ^ CRC_POLYNOMIAL : crc >> 1;
  return crc;
});

/** CRC of the bytes from `start` to before `end`; on the line the low byte goes first (MODBUS over Serial Line V1.02, section 6.2.2). */
export function modbusCrc(bytes: Uint8Array, start: number, end: number): number {
  let crc = 0xffff;
  for (let i = start; i < end; i++) crc = (crc >> 8) ^ (CRC_TABLE[(crc ^ (bytes[i] as number)) & 0xff] as number);
  return crc;
}

/** One request, and by what its reply is known. */
export interface ModbusRequest {
  readonly unitId: number;
  readonly functionCode: number;
  /** With the CRC, ready to be sent. */
  readonly frame: Uint8Array;
  /** Of a reply that is no exception, with the CRC. */
  readonly replyBytes: number;
  /** The first bytes of the reply to a write, which repeats them; empty for reads. */
  readonly echo: Uint8Array;
}

function frameOf(body: readonly number[]): Uint8Array {
  const frame = new Uint8Array(body.length + 2);
  frame.set(body);
  const crc = modbusCrc(frame, 0, body.length);
  frame[body.length] = crc & 0xff;
  frame[body.length + 1] = crc >> 8;
  return frame;
}

const NO_ECHO = new Uint8Array(0);

/** Reads `count` coils, inputs or registers from `address` on. */
export function readRequest(unitId: number, functionCode: number, address: number, count: number): ModbusRequest {
  const isBits = functionCode === MODBUS.readCoils || functionCode === MODBUS.readDiscreteInputs;
  const dataBytes = isBits ? Math.ceil(count / 8) : count * 2;
  const frame = frameOf([unitId, functionCode, address >> 8, address & 0xff, count >> 8, count & 0xff]);
  return { unitId, functionCode, frame, replyBytes: 5 + dataBytes, echo: NO_ECHO };
}

/** Switches one coil. The reply repeats the request. */
export function writeCoilRequest(unitId: number, address: number, on: boolean): ModbusRequest {
  const functionCode = MODBUS.writeSingleCoil;
  const frame = frameOf([unitId, functionCode, address >> 8, address & 0xff, on ? 0xff : 0, 0]);
  return { unitId, functionCode, frame, replyBytes: 8, echo: frame };
}

/** Writes one register, or several at once. The reply repeats the request, or its address and count. */
export function writeRegistersRequest(unitId: number, address: number, words: readonly number[]): ModbusRequest {
  const [word] = words;
  if (words.length === 1 && word !== undefined) {
    const functionCode = MODBUS.writeSingleRegister;
    const frame = frameOf([unitId, functionCode, address >> 8, address & 0xff, word >> 8, word & 0xff]);
    return { unitId, functionCode, frame, replyBytes: 8, echo: frame };
  }
  const functionCode = MODBUS.writeMultipleRegisters;
  const data = words.flatMap((one) => [one >> 8, one & 0xff]);
  const frame = frameOf([unitId, functionCode, address >> 8, address & 0xff, words.length >> 8, words.length & 0xff, data.length, ...data]);
  return { unitId, functionCode, frame, replyBytes: 8, echo: frame.subarray(0, 6) };
}

/** What a reply is: data, or the code of an exception. */
export type ModbusReply = { readonly data: Uint8Array } | { readonly exception: number };

function crcFits(bytes: Uint8Array, start: number, end: number): boolean {
  const crc = modbusCrc(bytes, start, end - 2);
  return bytes[end - 2] === (crc & 0xff) && bytes[end - 1] === crc >> 8;
}

/** Whether what is at `start`, with the right CRC, is what was asked for: the byte count of a read, the echo of a write. */
function answers(request: ModbusRequest, bytes: Uint8Array, start: number): boolean {
  if (request.echo.length === 0) return bytes[start + 2] === request.replyBytes - 5;
  return request.echo.every((byte, i) => bytes[start + i] === byte);
}

/**
 * Looks for the reply to `request` among the first `length` bytes, behind whatever noise. Undefined while it is not there: then either it is not whole or
 * something in it is wrong.
 */
export function findReply(request: ModbusRequest, bytes: Uint8Array, length: number): ModbusReply | undefined {
  for (let start = 0; start + EXCEPTION_BYTES <= length; start++) {
    if (bytes[start] !== request.unitId) continue;
    const code = bytes[start + 1];
    if (code === (request.functionCode | EXCEPTION) && crcFits(bytes, start, start + EXCEPTION_BYTES)) {
      return { exception: bytes[start + 2] as number };
    }
    const end = start + request.replyBytes;
    if (code !== request.functionCode || end > length || !crcFits(bytes, start, end)) continue;
    if (answers(request, bytes, start)) return { data: bytes.slice(start + (request.echo.length === 0 ? 3 : 2), end - 2) };
  }
  return undefined;
}

/** What exceptions mean (MODBUS Application Protocol Specification V1.1b3, section 7). */
const EXCEPTIONS: Readonly<Record<number, string>> = {
  1: "illegal function",
  2: "illegal data address",
  3: "illegal data value",
  4: "server device failure",
  5: "acknowledge, it takes its time",
  6: "server device busy",
  8: "memory parity error",
  10: "gateway path unavailable",
  11: "gateway target device failed to respond",
};

export function exceptionText(code: number): string {
  return `${EXCEPTIONS[code] ?? "unknown exception"} (exception ${code})`;
}
