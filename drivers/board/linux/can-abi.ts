import type { CanFilter, CanFrame, CanState } from "../../../agent/contract/can.ts";
import { MAX_DATA_BYTES } from "../can-frame.ts";

// linux/can.h, linux/can/raw.h, linux/can/error.h.
export const PF_CAN = 29;
export const SOCK_RAW = 3;
export const CAN_RAW = 1;
export const SOL_CAN_RAW = 101;
export const CAN_RAW_FILTER = 1;
export const CAN_RAW_ERR_FILTER = 2;

const EXTENDED_FLAG = 0x80000000;
const REMOTE_FLAG = 0x40000000;
const ERROR_FLAG = 0x20000000;
const EXTENDED_MASK = 0x1fffffff;
const STANDARD_MASK = 0x7ff;

/** `struct can_frame`: ID with flags, length, three bytes nobody uses, data. */
export const FRAME_BYTES = 16;
const LENGTH_AT = 4;
const DATA_AT = 8;

/** `struct sockaddr_can`: family, index of the interface, addresses of protocols that raw frames have not. */
const ADDRESS_BYTES = 24;
const INDEX_AT = 4;

/** Classes of errors that are asked for: those that say in which state the controller is. */
const ERROR_CONTROLLER = 0x04;
const ERROR_BUS_OFF = 0x40;
const ERROR_RESTARTED = 0x100;

/** `data[1]` of a controller error. */
const RX_WARNING = 0x04;
const TX_WARNING = 0x08;
const RX_PASSIVE = 0x10;
const TX_PASSIVE = 0x20;
const ACTIVE = 0x40;

export function encodeAddress(interfaceIndex: number): Buffer {
  const address = Buffer.alloc(ADDRESS_BYTES);
  address.writeUInt16LE(PF_CAN, 0);
  address.writeUInt32LE(interfaceIndex, INDEX_AT);
  return address;
}

/** Data frames that pass one of the filters; remote frames never do. */
export function encodeFilters(filters: readonly CanFilter[]): Buffer {
  const bytes = Buffer.alloc(8 * filters.length);
  filters.forEach(({ id, mask, extended }, i) => {
    const idMask = extended ? EXTENDED_MASK : STANDARD_MASK;
    bytes.writeUInt32LE(((id & idMask) | (extended ? EXTENDED_FLAG : 0)) >>> 0, 8 * i);
    bytes.writeUInt32LE(((mask & idMask) | EXTENDED_FLAG | REMOTE_FLAG) >>> 0, 8 * i + 4);
  });
  return bytes;
}

export function encodeErrorFilter(): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(ERROR_CONTROLLER | ERROR_BUS_OFF | ERROR_RESTARTED, 0);
  return bytes;
}

/** Writes a frame into `bytes`, of FRAME_BYTES. */
export function encodeFrame(bytes: Buffer, { id, extended, data }: CanFrame): void {
  bytes.fill(0);
  bytes.writeUInt32LE((extended ? (id | EXTENDED_FLAG) >>> 0 : id) >>> 0, 0);
  bytes[LENGTH_AT] = data.length;
  bytes.set(data, DATA_AT);
}

/** What a frame from the kernel is. */
export function isErrorFrame(bytes: Buffer): boolean {
  return (bytes.readUInt32LE(0) & ERROR_FLAG) !== 0;
}

export function decodeId(bytes: Buffer): number {
  return bytes.readUInt32LE(0) & EXTENDED_MASK;
}

export function isExtended(bytes: Buffer): boolean {
  return (bytes.readUInt32LE(0) & EXTENDED_FLAG) !== 0;
}

/** The data of the frame that is in `bytes` at the time: one view for each length, made once. */
export function dataViews(bytes: Buffer): readonly Uint8Array[] {
  return Array.from({ length: MAX_DATA_BYTES + 1 }, (_, length) => bytes.subarray(DATA_AT, DATA_AT + length));
}

export function decodeLength(bytes: Buffer): number {
  return Math.min(bytes.readUInt8(LENGTH_AT), MAX_DATA_BYTES);
}

export interface StateChange {
  readonly state: CanState;
  readonly reason: string;
}

/** What an error frame says about the controller's state; undefined when it says nothing about it. */
export function decodeState(bytes: Buffer): StateChange | undefined {
  const classes = bytes.readUInt32LE(0) & EXTENDED_MASK;
  if ((classes & ERROR_BUS_OFF) !== 0) {
    return { state: "bus-off", reason: "the controller left the bus after too many transmit errors" };
  }
  if ((classes & ERROR_RESTARTED) !== 0) return { state: "active", reason: "the controller was restarted" };
  if ((classes & ERROR_CONTROLLER) === 0) return undefined;
  const status = bytes.readUInt8(DATA_AT + 1);
  const counters = counterText(bytes);
  if ((status & (RX_PASSIVE | TX_PASSIVE)) !== 0) {
    return { state: "passive", reason: `${side(status, RX_PASSIVE, TX_PASSIVE)} errors made the controller passive${counters}` };
  }
  if ((status & (RX_WARNING | TX_WARNING)) !== 0) {
    return { state: "warning", reason: `${side(status, RX_WARNING, TX_WARNING)} errors reached the warning level${counters}` };
  }
  return (status & ACTIVE) === 0 ? undefined : { state: "active", reason: "the controller's errors went back" };
}

function side(status: number, receive: number, transmit: number): string {
  const isReceive = (status & receive) !== 0;
  const isTransmit = (status & transmit) !== 0;
  return isReceive && isTransmit ? "receive and transmit" : isTransmit ? "transmit" : "receive";
}

/** Drivers put their counters into the last two bytes, or leave them 0. */
function counterText(bytes: Buffer): string {
  const transmit = bytes.readUInt8(DATA_AT + 6);
  const receive = bytes.readUInt8(DATA_AT + 7);
  return transmit === 0 && receive === 0 ? "" : `, ${transmit} transmit and ${receive} receive errors`;
}
