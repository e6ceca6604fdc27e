import { constants } from "node:fs";
import { open, readdir, readFile, rename, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";

import { syncFolder } from "./sync-folder.ts";

/** Bytes of a segment's head: magic, version, sequence number, nothing. */
export const HEAD_BYTES = 32;

/** Bytes before a frame's body: its length and its checksum. */
export const FRAME_HEAD_BYTES = 8;

/** Bytes before a record inside a frame: its length. */
export const RECORD_HEAD_BYTES = 4;

const MAGIC = "VIRGOLOG";
const VERSION = 1;

const ZEROS = Buffer.alloc(256 * 1024);

/** A file of frames that is written in place: its space is taken when it is made, so that writing to it changes neither its size nor the disk's free space. */
export interface Segment {
  readonly sequence: number;
  readonly file: FileHandle;
  readonly capacity: number;
  /** Where the next frame goes. */
  position: number;
}

/** `0000000007.log` */
function segmentName(sequence: number): string {
  return `${String(sequence).padStart(10, "0")}.log`;
}

/** The segments of a folder, oldest first. What was being made when the process died is removed. */
export async function listSegments(folder: string): Promise<readonly number[]> {
  const sequences: number[] = [];
  for (const name of await readdir(folder)) {
    const digits = /^(\d{10})\.log$/.exec(name)?.[1];
    if (digits !== undefined) sequences.push(Number(digits));
    else if (name.endsWith(".log.new")) await rm(join(folder, name), { force: true });
  }
  return sequences.sort((a, b) => a - b);
}

/** Makes an empty segment, its space taken and all of it on disk. Leaves nothing behind when it fails. */
export async function createSegment(folder: string, sequence: number, capacity: number): Promise<Segment> {
  const path = join(folder, segmentName(sequence));
  const unfinished = `${path}.new`;
  try {
    await fill(unfinished, sequence, capacity);
    await rename(unfinished, path);
    await syncFolder(folder);
  } catch (error) {
    await Promise.allSettled([rm(unfinished, { force: true })]);
    throw error;
  }
  return openSegment(folder, sequence, HEAD_BYTES);
}

async function fill(path: string, sequence: number, capacity: number): Promise<void> {
  const file = await open(path, "w", 0o600);
  try {
    for (let at = 0; at < capacity;) {
      const { bytesWritten } = await file.write(ZEROS, 0, Math.min(ZEROS.length, capacity - at), at);
      at += bytesWritten;
    }
    const head = Buffer.alloc(HEAD_BYTES);
    head.write(MAGIC, 0, "latin1");
    head.writeUInt32LE(VERSION, 8);
    head.writeDoubleLE(sequence, 16);
    await file.write(head, 0, HEAD_BYTES, 0);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Opened so that a write is on disk when it is done. */
export async function openSegment(folder: string, sequence: number, position: number): Promise<Segment> {
  const file = await open(join(folder, segmentName(sequence)), constants.O_RDWR | constants.O_DSYNC);
  const { size } = await file.stat();
  return { sequence, file, capacity: size, position };
}

export async function removeSegment(folder: string, sequence: number): Promise<void> {
  await rm(join(folder, segmentName(sequence)), { force: true });
}

/** Sets a file aside that is no segment, so that somebody can look at it. Returns its new name. */
export async function setAside(folder: string, sequence: number): Promise<string> {
  const name = `${segmentName(sequence)}.damaged`;
  await rename(join(folder, segmentName(sequence)), join(folder, name));
  return name;
}

/** What a segment holds. */
export interface Found {
  /** Where the last whole frame ends. */
  readonly end: number;
  /** Bytes after `end` that are no frame: 0 unless a write was cut or the file was damaged. */
  readonly torn: number;
}

/** Calls `record` with every record of the whole frames, in order. Undefined when the file is not that segment. */
export async function readSegment(folder: string, sequence: number, record: (bytes: Buffer) => void): Promise<Found | undefined> {
  const bytes = await readFile(join(folder, segmentName(sequence)));
  if (!isHead(bytes, sequence)) return undefined;
  let at = HEAD_BYTES;
  for (let end = frameEnd(bytes, at, sequence); end > 0; end = frameEnd(bytes, at, sequence)) {
    readFrame(bytes, at + FRAME_HEAD_BYTES, end, record);
    at = end;
  }
  return { end: at, torn: lastByte(bytes, at) - at };
}

function isHead(bytes: Buffer, sequence: number): boolean {
  return (
    bytes.length >= HEAD_BYTES &&
    bytes.toString("latin1", 0, MAGIC.length) === MAGIC &&
    bytes.readUInt32LE(8) === VERSION &&
    bytes.readDoubleLE(16) === sequence
  );
}

/** Where the frame at `at` ends; 0 when there is none, or not a whole one. */
function frameEnd(bytes: Buffer, at: number, sequence: number): number {
  const body = at + FRAME_HEAD_BYTES;
  if (body > bytes.length) return 0;
  const end = body + bytes.readUInt32LE(at);
  if (end === body || end > bytes.length) return 0;
  return checksum(bytes.subarray(body, end), sequence) === bytes.readUInt32LE(at + 4) ? end : 0;
}

function readFrame(bytes: Buffer, from: number, end: number, record: (bytes: Buffer) => void): void {
  for (let at = from; at < end;) {
    const start = at + RECORD_HEAD_BYTES;
    at = start + bytes.readUInt32LE(at);
    record(bytes.subarray(start, at));
  }
}

/** The position after the last byte that is not zero, from `from` on. */
function lastByte(bytes: Buffer, from: number): number {
  let end = bytes.length;
  while (end > from && bytes[end - 1] === 0) end -= 1;
  return end;
}

/** Of a frame's body. A frame is only ever right in the segment it was written to. */
export function checksum(body: Uint8Array, sequence: number): number {
  return crc32(body, sequence % 0x1_0000_0000);
}

/** Overwrites what is no frame, so that it can never be taken for one after what is written next. */
export async function wipe(segment: Segment, bytes: number): Promise<void> {
  for (let done = 0; done < bytes;) {
    const { bytesWritten } = await segment.file.write(ZEROS, 0, Math.min(ZEROS.length, bytes - done), segment.position + done);
    done += bytesWritten;
  }
}
