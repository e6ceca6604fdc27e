import { mkdir } from "node:fs/promises";

import { AgentError, messageOf } from "../contract/errors.ts";
import { createBatch, type Batch } from "./batch.ts";
import {
  createSegment,
  FRAME_HEAD_BYTES,
  HEAD_BYTES,
  listSegments,
  openSegment,
  readSegment,
  RECORD_HEAD_BYTES,
  removeSegment,
  setAside,
  wipe,
  type Segment,
} from "./segment.ts";
import type { Clock } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";
import type { ByteString, Figures } from "../contract/request.ts";

export interface RecordLogOptions<T> {
  /** Made when it is not there. One log per folder. */
  readonly folder: string;
  /** For errors and the log: `queue`. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Bytes of one file; a record may have half of it. */
  readonly segmentBytes?: number;
  /** Bytes that may be appended and not on disk yet. */
  readonly maxUnwrittenBytes?: number;
  /** Every record that is found when the log is opened, in the order written. The bytes are valid during the call only. */
  replay(record: Buffer, segment: number): void;
  /** The entry's record is on disk in that segment. In the order of `append`; all that were written together in one turn. */
  committed(entry: T, segment: number): void;
  /** The entry's record is not on disk and never will be: FULL or IO. */
  failed(entry: T, error: AgentError): void;
  /** Little is left of what that segment held: append again, as essential, every live record that is in it. */
  relocate(segment: number): void;
}

/**
 * Records on disk, in order. What is appended in one turn is written as one frame, and `committed` is only told what would be found after a power cut:
 * after one, whole frames up to some point are found, never parts of one.
 *
 * Space is taken beforehand, one segment ahead. When the disk is full, `append` throws FULL early enough that a quarter of a segment is left for
 * essential records: those that free or move something.
 *
 * Whoever uses it says what is live (`keep`, `release`); the oldest segment is removed when nothing in it is. Segments go oldest first, so the record of a
 * deletion may be forgotten together with its segment: what it deleted was in an older one or in the same.
 */
export interface RecordLog<T> {
  /** Throws FULL when there is no space or too much is unwritten, LIMIT for a record that is too long, IO when the log is closed. */
  append(record: ByteString, entry: T, essential?: boolean): void;
  /** Something live has its newest record, of so many bytes, in that segment. */
  keep(segment: number, bytes: number): void;
  /** It has not any more. */
  release(segment: number, bytes: number): void;
  figures(): Figures;
  /** Writes what was appended, then closes. */
  close(): Promise<void>;
}

const SEGMENT_BYTES = 4 * 1024 * 1024;
const UNWRITTEN_BYTES = 16 * 1024 * 1024;

/** Share of a segment that is left for essential records when no further segment can be made. */
const RESERVE = 0.25;

/** Sealed segments kept in any case before records are moved. */
const SPARED_SEGMENTS = 2;

/** After a segment could not be made it is tried again at most so often. */
const RETRY_MS = 100;

function fits({ position, capacity }: Segment, bytes: number): boolean {
  return position + bytes <= capacity;
}

/** Opens the log and replays it. Rejects IO when the folder cannot be used. */
export async function openRecordLog<T>(options: RecordLogOptions<T>): Promise<RecordLog<T>> {
  const { folder, name, clock, log, segmentBytes = SEGMENT_BYTES, maxUnwrittenBytes = UNWRITTEN_BYTES } = options;
  const maxRecordBytes = Math.floor(segmentBytes / 2) - HEAD_BYTES - FRAME_HEAD_BYTES - RECORD_HEAD_BYTES;
  /** Live bytes of each segment, oldest first, the active one last. */
  const live = new Map<number, number>();
  let liveBytes = 0;
  let lastSequence = 0;
  let active: Segment | undefined;
  /** Made ahead, empty. */
  let next: Segment | undefined;
  let preparing: Promise<void> | undefined;
  let shortage: AgentError | undefined;
  let retryAtMs = 0;
  const batches: Batch<T>[] = [];
  let spareBatch: Batch<T> | undefined;
  let unwritten = 0;
  let writing = false;
  let scheduled = false;
  let closing: Promise<void> | undefined;
  let onIdle: (() => void) | undefined;
  let removing: Promise<void> = Promise.resolve();
  const counts = { records: 0, writes: 0, bytes_written: 0, failures: 0 };

  const fault = (action: string, thrown: unknown): AgentError => {
    const code = (thrown as NodeJS.ErrnoException).code ?? "";
    if (code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG") {
      return new AgentError("FULL", `${name}: no space left on the disk of ${folder}; free some, nothing that was acknowledged is lost`, {
        cause: thrown,
      });
    }
    return new AgentError("IO", `${name}: cannot ${action} in ${folder}: ${messageOf(thrown)}`, { cause: thrown });
  };

  await recover().catch((thrown: unknown) => {
    throw fault("open the log", thrown);
  });

  async function recover(): Promise<void> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    let last: { readonly sequence: number; readonly end: number; readonly torn: number } | undefined;
    let empty: number | undefined;
    for (const sequence of await listSegments(folder)) {
      const found = await readSegment(folder, sequence, (record) => options.replay(record, sequence));
      lastSequence = sequence;
      if (found === undefined) {
        log.error(
          { log: name, file: await setAside(folder, sequence) },
          "a file of the log is damaged; what was in it is lost, it is set aside",
        );
        continue;
      }
      if (found.torn > 0) log.warn({ log: name, segment: sequence, bytes: found.torn }, "dropped what was not written to its end");
      if (found.end > HEAD_BYTES || found.torn > 0) {
        live.set(sequence, 0);
        last = { sequence, ...found };
        empty = undefined;
      } else if (empty === undefined) empty = sequence;
      else await removeSegment(folder, sequence);
    }
    if (last !== undefined) {
      active = await openSegment(folder, last.sequence, last.end);
      await wipe(active, last.torn);
    }
    if (empty !== undefined) next = await openSegment(folder, empty, HEAD_BYTES);
    else if (active !== undefined) prepare();
  }

  /** Makes the segment after the newest, unless that is being done or was tried just now. */
  function prepare(): void {
    if (preparing !== undefined || next !== undefined || clock.monotonicMs() < retryAtMs) return;
    preparing = createSegment(folder, lastSequence + 1, segmentBytes)
      .then(
        (segment) => {
          lastSequence = segment.sequence;
          next = segment;
          shortage = undefined;
        },
        (thrown: unknown) => {
          retryAtMs = clock.monotonicMs() + RETRY_MS;
          if (shortage === undefined) log.error({ log: name, err: thrown }, "cannot make room for more records");
          shortage = fault("make room for more records", thrown);
        },
      )
      .finally(() => {
        preparing = undefined;
      });
  }

  /** Bytes left in the active segment once everything appended is written. */
  const room = (): number => (active === undefined ? 0 : active.capacity - active.position - unwritten);

  function admit(record: ByteString, essential: boolean): void {
    if (closing !== undefined) throw new AgentError("IO", `${name}: the log is closed`);
    if (record.length > maxRecordBytes) {
      throw new AgentError("LIMIT", `${name}: a record of ${record.length} bytes is refused; at most ${maxRecordBytes} are kept as one`);
    }
    if (unwritten > 0 && unwritten + record.length > maxUnwrittenBytes) {
      throw new AgentError("FULL", `${name}: ${unwritten} bytes wait for the disk, at most ${maxUnwrittenBytes} may; try again later`);
    }
    if (shortage === undefined || next !== undefined) return;
    prepare();
    const left = room() - record.length - RECORD_HEAD_BYTES - FRAME_HEAD_BYTES;
    if (left < (essential ? 0 : RESERVE * segmentBytes)) throw shortage;
  }

  function batchFor(record: ByteString): Batch<T> {
    const last = batches.at(-1);
    if (last?.fits(record, Math.floor(segmentBytes / 2)) === true) return last;
    const batch = spareBatch ?? createBatch<T>();
    spareBatch = undefined;
    batches.push(batch);
    return batch;
  }

  function schedule(): void {
    if (scheduled || writing) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      if (!writing) void writeAll();
    });
  }

  /** The disk is given the next frame before anybody is told of the last one, so that it works while replies are made. */
  async function writeAll(): Promise<void> {
    writing = true;
    let current = begin();
    while (current !== undefined) {
      const { batch, outcome } = current;
      const written = await outcome;
      current = begin();
      unwritten -= batch.length;
      conclude(batch, written);
      if (typeof written === "number") release(written, batch.length);
      batch.empty();
      spareBatch = batch;
      current ??= begin();
    }
    writing = false;
    onIdle?.();
  }

  function begin(): { readonly batch: Batch<T>; readonly outcome: Promise<number | AgentError> } | undefined {
    const batch = batches.shift();
    return batch === undefined ? undefined : { batch, outcome: write(batch) };
  }

  /** The segment it was written to, or why not. */
  async function write(batch: Batch<T>): Promise<number | AgentError> {
    let segment: Segment | undefined;
    try {
      segment = active !== undefined && fits(active, batch.length) ? active : await nextSegment();
      const frame = batch.frame(segment.sequence);
      const { bytesWritten } = await segment.file.write(frame, 0, frame.length, segment.position);
      if (bytesWritten < frame.length) throw Object.assign(new Error("only a part was written"), { code: "ENOSPC" });
      segment.position += frame.length;
      // Kept until its users have been told and keep what they want: the segment may be sealed by then.
      weigh(segment.sequence, frame.length);
      counts.writes += 1;
      counts.bytes_written += frame.length;
      return segment.sequence;
    } catch (thrown) {
      counts.failures += 1;
      if (segment !== undefined) await abandon(segment);
      return thrown instanceof AgentError ? thrown : fault("write", thrown);
    }
  }

  async function nextSegment(): Promise<Segment> {
    if (next === undefined) {
      prepare();
      await preparing;
    }
    if (next === undefined) throw shortage ?? new AgentError("FULL", `${name}: no room could be made in ${folder}`);
    const sealed = active;
    active = next;
    next = undefined;
    live.set(active.sequence, 0);
    prepare();
    await sealed?.file.close();
    removeDead();
    relocateOldest();
    return active;
  }

  /** After a failed write nobody knows what is on disk: nothing more is written to that segment. */
  async function abandon(segment: Segment): Promise<void> {
    active = undefined;
    try {
      await segment.file.write(Buffer.alloc(FRAME_HEAD_BYTES), 0, FRAME_HEAD_BYTES, segment.position);
    } catch (thrown) {
      log.error({ log: name, segment: segment.sequence, err: thrown }, "cannot take back what could not be written");
    }
    await segment.file.close().catch((thrown: unknown) => log.error({ log: name, err: thrown }, "cannot close a file of the log"));
  }

  function conclude(batch: Batch<T>, outcome: number | AgentError): void {
    if (typeof outcome === "number") {
      counts.records += batch.entries.length;
      for (const entry of batch.entries) options.committed(entry, outcome);
    } else {
      for (const entry of batch.entries) options.failed(entry, outcome);
    }
  }

  function removeDead(): void {
    for (const [sequence, bytes] of live) {
      if (bytes > 0 || sequence === active?.sequence) return;
      live.delete(sequence);
      removing = removing
        .then(() => removeSegment(folder, sequence))
        .catch((thrown: unknown) => log.warn({ log: name, segment: sequence, err: thrown }, "cannot remove a file of the log"));
    }
  }

  /** When the files hold much more than what is live. */
  function relocateOldest(): void {
    const [oldest] = live.keys();
    if (oldest === undefined || oldest === active?.sequence) return;
    if (live.size > SPARED_SEGMENTS + 2 * Math.ceil(liveBytes / segmentBytes)) options.relocate(oldest);
  }

  function weigh(segment: number, bytes: number): void {
    const before = live.get(segment);
    if (before === undefined) return;
    live.set(segment, before + bytes);
    liveBytes += bytes;
  }

  function release(segment: number, bytes: number): void {
    weigh(segment, -bytes);
    if (live.get(segment) === 0 && segment !== active?.sequence) removeDead();
  }

  async function close(): Promise<void> {
    if (writing || batches.length > 0) {
      await new Promise<void>((resolve) => {
        onIdle = resolve;
      });
    }
    await preparing;
    await removing;
    await active?.file.close();
    await next?.file.close();
  }

  return {
    append(record, entry, essential = false) {
      admit(record, essential);
      const batch = batchFor(record);
      const before = batch.entries.length === 0 ? 0 : batch.length;
      batch.add(record, entry);
      unwritten += batch.length - before;
      schedule();
    },
    keep: weigh,
    release,
    figures: () => ({
      log_records: counts.records,
      log_writes: counts.writes,
      log_bytes_written: counts.bytes_written,
      log_failures: counts.failures,
      log_segments: live.size,
      log_live_bytes: liveBytes,
      log_full: shortage === undefined ? 0 : 1,
    }),
    close: () => (closing ??= close()),
  };
}
