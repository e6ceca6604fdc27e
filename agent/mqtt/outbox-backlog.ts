import { messageOf, type AgentError } from "../contract/errors.ts";
import { openRecordLog, type RecordLog } from "../store/record-log.ts";
import { readSegment } from "../store/segment.ts";
import { doneRecord, messageRecord, readMessage, readSequence, type OutboxRecord } from "./outbox-records.ts";
import { createOutboxWindow } from "./outbox-window.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";
import type { Figures } from "../contract/request.ts";

export interface BacklogOptions {
  readonly folder: string;
  readonly maxBytes: number;
  /** Bytes of the oldest messages that are in memory beside their copy on disk; all of one file in any case. */
  readonly windowBytes?: number;
  readonly clock: Clock;
  readonly log: Log;
  /** There may be something to be sent. */
  readonly onReady: () => void;
}

export type NewMessage = Pick<OutboxRecord, "topic" | "payload" | "retain">;

/** Messages on disk in the order they were taken, the oldest of them in memory. */
export interface Backlog {
  /** On disk as soon as the disk has it. Throws FULL and LIMIT as the log does. */
  add(message: NewMessage): void;
  /** The next to be sent; undefined when there is none now. */
  next(): OutboxRecord | undefined;
  /** Done with: never sent again, also after a restart. */
  finish(sequence: number): void;
  /** Everything that is not done with is to be sent again. */
  rewind(): void;
  figures(): Figures;
  close(): Promise<void>;
}

/** A file of the log, as far as it holds messages that are not all done with. */
interface Part {
  readonly segment: number;
  firstSequence: number;
  lastSequence: number;
  byteLength: number;
}

const MIB = 1024 * 1024;

/** The oldest is dropped in parts of this share of the whole. */
const PARTS = 8;

/** What a message takes on disk beside topic and payload, about. */
const BYTES_BESIDE = 64;

/** What is done with is written down at most so often: after a crash so much may be sent twice. */
const DONE_MS = 100;

/** Opens what earlier runs left; nothing of it is kept in memory. Rejects IO when the folder cannot be used. */
export async function openBacklog(options: BacklogOptions): Promise<Backlog> {
  const { folder, maxBytes, clock, log, onReady } = options;
  const segmentBytes = Math.max(MIB, Math.min(4 * MIB, Math.floor(maxBytes / PARTS)));
  const windowBytes = options.windowBytes ?? segmentBytes;
  const run = `${clock.wallMs().toString(36)}${Math.floor(Math.random() * 0x1_0000_0000).toString(36)}`;
  const window = createOutboxWindow();
  /** Oldest first. */
  const parts: Part[] = [];
  let byteLength = 0;
  let lastSequence = 0;
  /** The newest on disk, the newest that is or was in the window, and up to where everything is done with. */
  let committed = 0;
  let loaded = 0;
  let done = 0;
  let writtenDone = 0;
  let cancelDone: Cancel | undefined;
  let loading: Promise<void> | undefined;
  /** Written while a file is read: follows what is read from it, unless it became too much. */
  let arriving: OutboxRecord[] | undefined;
  let arrivingBytes = 0;
  let failing = false;
  let closed = false;
  const counts = { taken: 0, kept: 0, dropped_full: 0, failed: 0, unreadable: 0 };

  const records: RecordLog<OutboxRecord | undefined> = await openRecordLog<OutboxRecord | undefined>({
    folder,
    name: "outbox",
    clock,
    log,
    segmentBytes,
    replay(record, segment) {
      const found = readSequence(record);
      if (found === undefined) return;
      lastSequence = Math.max(lastSequence, found.sequence);
      if (found.done) done = Math.max(done, found.sequence);
      else account(segment, found.sequence, record.length);
    },
    committed(message, segment) {
      failing = false;
      if (message === undefined) return;
      counts.kept += 1;
      const byteLengthOnDisk = message.payload.length + message.topic.length + BYTES_BESIDE;
      account(segment, message.sequence, byteLengthOnDisk);
      records.keep(segment, byteLengthOnDisk);
      dropBeyondBound();
      admit(message);
    },
    failed(message, error) {
      if (message !== undefined) counts.failed += 1;
      report(error);
    },
    // Messages leave in the order they came, so that the oldest file is always the next to be empty.
    relocate: () => undefined,
  });
  for (const { segment, byteLength: bytes } of parts) records.keep(segment, bytes);
  committed = lastSequence;
  loaded = done;
  writtenDone = done;
  releaseDone();

  function account(segment: number, sequence: number, bytes: number): void {
    let part = parts.at(-1);
    if (part?.segment !== segment) {
      part = { segment, firstSequence: sequence, lastSequence: sequence, byteLength: 0 };
      parts.push(part);
    }
    part.lastSequence = sequence;
    part.byteLength += bytes;
    byteLength += bytes;
  }

  function report(error: AgentError): void {
    if (!failing) log.error({ folder, err: error }, `mqtt: a message could not be kept: ${error.message}`);
    failing = true;
  }

  /** Newly on disk: into the window when everything before is there and there is room. */
  function admit(message: OutboxRecord): void {
    const inStep = loaded >= committed && loading === undefined;
    committed = Math.max(committed, message.sequence);
    if (message.sequence <= loaded) return;
    if (inStep && window.byteLength < windowBytes) {
      window.add(message);
      loaded = message.sequence;
      onReady();
    } else if (arriving !== undefined) {
      arriving.push(message);
      arrivingBytes += message.payload.length;
      if (arrivingBytes > windowBytes) arriving = undefined;
    }
  }

  function dropBeyondBound(): void {
    while (byteLength > maxBytes && parts.length > 1) {
      const { firstSequence, lastSequence: through } = parts[0] as Part;
      const dropped = through - Math.max(done, firstSequence - 1);
      if (counts.dropped_full === 0)
        log.warn({ folder }, `mqtt: the outbox holds more than ${maxBytes} bytes; its oldest messages are dropped`);
      counts.dropped_full += dropped;
      window.dropThrough(through);
      loaded = Math.max(loaded, through);
      finishThrough(through);
    }
  }

  function finishThrough(sequence: number): void {
    done = Math.max(done, sequence);
    releaseDone();
    cancelDone ??= clock.after(DONE_MS, () => {
      cancelDone = undefined;
      writeDone();
    });
  }

  function releaseDone(): void {
    for (let part = parts[0]; part !== undefined && part.lastSequence <= done; part = parts[0]) {
      parts.shift();
      byteLength -= part.byteLength;
      records.release(part.segment, part.byteLength);
    }
  }

  function writeDone(): void {
    if (closed || done <= writtenDone) return;
    try {
      records.append(doneRecord(done), undefined, true);
      writtenDone = done;
    } catch (error) {
      // Whatever is sent twice because of it carries the same id.
      log.debug({ folder, err: error }, `mqtt: ${messageOf(error)}`);
    }
  }

  /** Reads the oldest file that has something the window has not seen. */
  function load(): void {
    if (loading !== undefined || closed || loaded >= committed) return;
    const part = parts.find(({ lastSequence: last }) => last > loaded);
    if (part === undefined) {
      loaded = committed;
      return;
    }
    arriving = [];
    arrivingBytes = 0;
    loading = readPart(part).finally(() => {
      loading = undefined;
      catchUp();
      onReady();
    });
  }

  async function readPart({ segment, lastSequence: through }: Part): Promise<void> {
    try {
      const found = await readSegment(folder, segment, (record) => {
        const message = readMessage(record);
        if (message === undefined || message.sequence <= Math.max(loaded, done)) return;
        window.add(message);
        loaded = message.sequence;
      });
      if (found === undefined) throw new Error("the file is damaged");
    } catch (error) {
      // It was dropped and removed meanwhile.
      if (loaded >= through) return;
      log.error({ folder, segment, err: error }, `mqtt: messages of the outbox cannot be read: ${messageOf(error)}`);
    }
    if (loaded < through) counts.unreadable += through - Math.max(loaded, done);
    loaded = Math.max(loaded, through);
  }

  /** What was written meanwhile follows if it is all that is missing. */
  function catchUp(): void {
    const met = arriving;
    arriving = undefined;
    const [first] = met ?? [];
    if (met === undefined || first === undefined) return;
    const between = parts.some(
      ({ firstSequence, lastSequence: last }) => last > loaded && Math.max(firstSequence, loaded + 1) < first.sequence,
    );
    if (between) return;
    for (const message of met) {
      if (message.sequence <= loaded) continue;
      window.add(message);
      loaded = message.sequence;
    }
  }

  return {
    add({ topic, payload, retain }) {
      const sequence = lastSequence + 1;
      const message = { sequence, takenMs: clock.wallMs(), id: `${run}-${sequence.toString(36)}`, topic, payload, retain };
      records.append(messageRecord(message), message);
      lastSequence = sequence;
      counts.taken += 1;
    },
    next() {
      const found = window.next();
      if (found === undefined) load();
      return found;
    },
    finish(sequence) {
      const through = window.finish(sequence);
      if (through !== undefined) finishThrough(through);
    },
    rewind() {
      window.rewind();
    },
    figures: () => ({
      ...counts,
      waiting: Math.max(0, committed - done),
      bytes: byteLength,
      ...records.figures(),
    }),
    async close() {
      cancelDone?.();
      writeDone();
      closed = true;
      await loading;
      await records.close();
    },
  };
}
