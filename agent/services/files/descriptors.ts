import { AgentError } from "../../contract/errors.ts";
import type { Cancel, Clock } from "../../contract/clock.ts";
import type { Log } from "../../contract/log.ts";
import { append, closeFile, readAt, writeAt, type OpenFile, type SharedFile, type WriteLimits } from "./file-io.ts";
import type { FilesOptions } from "./options.ts";
import type { Gone, OpenedFile, OpenMode } from "./tree.ts";
import { createTurns, type Slots } from "./turns.ts";
import type { Usage } from "./usage.ts";

/** The open files by number. They belong to no connection: whoever knows the number, and may use the path, uses it. */
export interface Descriptors {
  /** Numbers rise from 0 and are never given out again. Rejects FULL when too many are open, and with what `run` rejects with. */
  open(mode: OpenMode, run: () => Promise<OpenedFile>): Promise<number>;
  /** Throws UNKNOWN. */
  get(id: number): Descriptor;
  /** From `offset`, or where the last such read ended. */
  read(descriptor: Descriptor, count: number, offset?: number): Promise<Buffer>;
  /** At `offset`, or at the end. `data` is called when it is its turn. */
  write(descriptor: Descriptor, data: () => Buffer, offset?: number): Promise<void>;
  /** Unknown from now on; what was asked before is done, then everything written is made durable. */
  close(descriptor: Descriptor): Promise<void>;
  /** A file's last name was removed: its bytes are free now, or when it is closed everywhere. */
  removed(gone: Gone): void;
  closeAll(): Promise<void>;
  /** How many are open, how many ever were, how many were closed because nobody used them. */
  readonly counts: { readonly open: number; readonly opened: number; readonly reaped: number };
}

export interface Descriptor extends OpenFile {
  readonly id: number;
  usedMs: number;
  /** Requests in progress or waiting. */
  busy: number;
}

export interface DescriptorsOptions {
  readonly options: Pick<FilesOptions, "maxDescriptors" | "descriptorIdleMs" | "maxFileBytes">;
  readonly usage: Usage;
  readonly slots: Slots;
  readonly clock: Clock;
  readonly log: Log;
}

/** A descriptor is closed not before its idle time and at most a quarter later. */
const SWEEPS_PER_IDLE = 4;

export function createDescriptors({ options, usage, slots, clock, log }: DescriptorsOptions): Descriptors {
  const known = new Map<number, Descriptor>();
  const files = new Map<string, SharedFile>();
  const writeLimits: WriteLimits = { maxFileBytes: options.maxFileBytes, usage };
  let nextId = 0;
  /** Open, being opened or being closed: what takes a handle of the system's. */
  let taken = 0;
  let reaped = 0;
  let cancelSweep: Cancel | undefined;

  function enter({ handle, path, key, bytes }: OpenedFile, mode: OpenMode): number {
    const file = files.get(key) ?? { key, turns: createTurns(), bytes, nameless: false, openings: 0 };
    files.set(key, file);
    file.openings += 1;
    const id = nextId++;
    const usedMs = clock.monotonicMs();
    known.set(id, { id, path, mode, handle, file, writer: undefined, position: 0, written: false, usedMs, busy: 0 });
    cancelSweep ??= clock.after(options.descriptorIdleMs / SWEEPS_PER_IDLE, sweep);
    return id;
  }

  function sweep(): void {
    const idleSinceMs = clock.monotonicMs() - options.descriptorIdleMs;
    for (const descriptor of known.values()) {
      if (descriptor.busy > 0 || descriptor.usedMs > idleSinceMs) continue;
      reaped += 1;
      const fields = { descriptor: descriptor.id, path: descriptor.path };
      log.info(fields, "closing a file that nobody has used (files.descriptorIdleMs)");
      close(descriptor).catch((error: unknown) => log.error({ ...fields, err: error }, "a file that nobody has used did not close well"));
    }
    cancelSweep = known.size > 0 ? clock.after(options.descriptorIdleMs / SWEEPS_PER_IDLE, sweep) : undefined;
  }

  /** Keeps the descriptor from being taken for unused while `run` has not ended. */
  async function using<T>(descriptor: Descriptor, run: () => Promise<T>): Promise<T> {
    descriptor.busy += 1;
    try {
      return await run();
    } finally {
      descriptor.busy -= 1;
      descriptor.usedMs = clock.monotonicMs();
    }
  }

  async function readOn(descriptor: Descriptor, count: number): Promise<Buffer> {
    const bytes = await readAt(descriptor, count, descriptor.position);
    descriptor.position += bytes.length;
    return bytes;
  }

  async function close(descriptor: Descriptor): Promise<void> {
    const { id, file } = descriptor;
    known.delete(id);
    try {
      await file.turns.alone(() => slots.run(() => closeFile(descriptor)));
    } finally {
      taken -= 1;
      file.openings -= 1;
      if (file.openings === 0) {
        files.delete(file.key);
        if (file.nameless) usage.give(file.bytes, 0);
      }
    }
  }

  return {
    async open(mode, run) {
      if (taken >= options.maxDescriptors) {
        throw new AgentError("FULL", `${taken} files are open; close some with FCLOSE (files.maxDescriptors is ${options.maxDescriptors})`);
      }
      taken += 1;
      try {
        return enter(await slots.run(run), mode);
      } catch (thrown) {
        taken -= 1;
        throw thrown;
      }
    },
    get(id) {
      const descriptor = known.get(id);
      if (descriptor !== undefined) return descriptor;
      throw new AgentError("UNKNOWN", `no descriptor ${id} is open; FOPEN gives one`);
    },
    read: (descriptor, count, offset) =>
      using(descriptor, () => {
        const { turns } = descriptor.file;
        if (offset === undefined) return turns.alone(() => slots.run(() => readOn(descriptor, count)));
        return turns.shared(() => slots.run(() => readAt(descriptor, count, offset)));
      }),
    write: (descriptor, data, offset) =>
      using(descriptor, () =>
        descriptor.file.turns.alone(() =>
          slots.run(() =>
            offset === undefined ? append(descriptor, data(), writeLimits) : writeAt(descriptor, data(), offset, writeLimits),
          ),
        ),
      ),
    close,
    removed({ key, bytes }) {
      const file = files.get(key);
      usage.give(file === undefined ? bytes : 0, 1);
      if (file !== undefined) file.nameless = true;
    },
    async closeAll() {
      cancelSweep?.();
      const results = await Promise.allSettled([...known.values()].map(close));
      for (const result of results) {
        if (result.status === "rejected") log.error({ err: result.reason as unknown }, "a file did not close well");
      }
    },
    get counts() {
      return { open: known.size, opened: nextId, reaped };
    },
  };
}
