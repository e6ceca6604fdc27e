import { checksum, FRAME_HEAD_BYTES, RECORD_HEAD_BYTES } from "./segment.ts";
import type { ByteString } from "../contract/request.ts";

const FIRST_BYTES = 16 * 1024;

/** Larger buffers are given back after use. */
const KEPT_BYTES = 1024 * 1024;

/** Records that will be written together as one frame: all of them are found after a crash, or none. */
export interface Batch<T> {
  readonly entries: readonly T[];
  /** Bytes of the frame. */
  readonly length: number;
  /** Whether `record` still fits into a frame of `most` bytes. */
  fits(record: ByteString, most: number): boolean;
  add(record: ByteString, entry: T): void;
  /** The frame for that segment; valid until the batch is emptied. */
  frame(sequence: number): Buffer;
  /** Makes it empty, to be filled again. */
  empty(): void;
}

export function createBatch<T>(): Batch<T> {
  let buffer = Buffer.allocUnsafe(FIRST_BYTES);
  let length = FRAME_HEAD_BYTES;
  let entries: T[] = [];

  function reserve(bytes: number): void {
    if (bytes <= buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(bytes, 2 * buffer.length));
    buffer.copy(grown, 0, 0, length);
    buffer = grown;
  }

  return {
    get entries() {
      return entries;
    },
    get length() {
      return length;
    },
    fits: (record, most) => entries.length === 0 || length + RECORD_HEAD_BYTES + record.length <= most,
    add(record, entry) {
      reserve(length + RECORD_HEAD_BYTES + record.length);
      buffer.writeUInt32LE(record.length, length);
      buffer.write(record, length + RECORD_HEAD_BYTES, "latin1");
      length += RECORD_HEAD_BYTES + record.length;
      entries.push(entry);
    },
    frame(sequence) {
      buffer.writeUInt32LE(length - FRAME_HEAD_BYTES, 0);
      buffer.writeUInt32LE(checksum(buffer.subarray(FRAME_HEAD_BYTES, length), sequence), 4);
      return buffer.subarray(0, length);
    },
    empty() {
      length = FRAME_HEAD_BYTES;
      entries = [];
      if (buffer.length > KEPT_BYTES) buffer = Buffer.allocUnsafe(FIRST_BYTES);
    },
  };
}
