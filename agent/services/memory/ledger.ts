import { openRecordLog } from "../../store/record-log.ts";
import { decodeParts, encodePart, flat } from "./part.ts";
import type { AgentError } from "../../contract/errors.ts";
import type { Clock } from "../../contract/clock.ts";
import type { Log } from "../../contract/log.ts";
import type { Figures } from "../../contract/request.ts";
import type { Part } from "./part.ts";

/** Who holds in memory what the ledger holds on disk. */
export interface LedgerOwner {
  /** The thing as it is now, undefined when it is not there. */
  capture(id: string): Part | undefined;
  /** Makes it what it was; undefined: it is not there. False when it is not to be kept on disk any longer. */
  restore(id: string, part: Part | undefined): boolean;
}

export interface LedgerOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly owner: LedgerOwner;
  /** Bytes of one file of the log. */
  readonly segmentBytes?: number;
}

/** What is durable in memory, on disk: the newest state of every thing by its id. */
export interface Ledger {
  /** The highest revision found when it was opened. */
  readonly foundRevision: number;
  /**
   * To be called before memory is changed: throws FULL, LIMIT or IO, and nothing has happened. Resolves once all parts are on disk; rejects when they
   * never will be: then memory is as it was before, unless something newer of the same id is on disk.
   */
  write(parts: readonly Part[], essential?: boolean): Promise<void>;
  /** When something of that id is not on disk yet: resolves when it is, with false when it never will be. */
  unsettled(id: string): Promise<boolean> | undefined;
  figures(): Figures;
  close(): Promise<void>;
}

interface Written {
  readonly part: Part;
  readonly bytes: number;
}

/** One record on its way to the disk. */
interface Entry {
  readonly parts: readonly Written[];
  /** Moved by the log itself: nothing has changed and nobody waits. */
  readonly moved: boolean;
  settle(error?: AgentError): void;
}

/** A thing with changes that are not on disk yet. */
interface Unsettled {
  count: number;
  /** What is on disk. */
  base: Part | undefined;
  /** The latest change. */
  latest: Promise<boolean>;
}

interface Place {
  readonly segment: number;
  readonly bytes: number;
}

/** Opens the ledger and tells the owner what is in it. Rejects IO when the folder cannot be used. */
export async function openLedger(options: LedgerOptions): Promise<Ledger> {
  const { folder, clock, log, owner } = options;
  const places = new Map<string, Place>();
  const idsIn = new Map<number, Set<string>>();
  const changing = new Map<string, Unsettled>();
  const found = new Map<string, { readonly part: Part; readonly place: Place }>();
  let foundRevision = 0;

  const records = await openRecordLog<Entry>({
    folder,
    name: "memory",
    clock,
    log,
    ...(options.segmentBytes === undefined ? {} : { segmentBytes: options.segmentBytes }),
    replay(record, segment) {
      for (const part of decodeParts(record.toString("latin1"))) {
        foundRevision = Math.max(foundRevision, part.revision);
        if (part.value === undefined) found.delete(part.id);
        else {
          const own = { ...part, id: flat(part.id), value: flat(part.value) };
          found.set(own.id, { part: own, place: { segment, bytes: encodePart(part).length } });
        }
      }
    },
    committed(entry, segment) {
      for (const { part, bytes } of entry.parts) {
        leave(part.id);
        if (part.value !== undefined) settleIn(part.id, { segment, bytes });
        if (!entry.moved) settled(part.id, part, true);
      }
      entry.settle();
    },
    failed(entry, error) {
      if (!entry.moved) for (const { part } of entry.parts) settled(part.id, part, false);
      entry.settle(error);
    },
    relocate,
  });

  let dropped = 0;
  for (const [id, { part, place }] of found) {
    if (owner.restore(id, part)) settleIn(id, place);
    else dropped += 1;
  }
  found.clear();
  if (dropped > 0) log.info({ dropped }, "memory: dropped what has expired or is in no durable pool any more");

  function settleIn(id: string, place: Place): void {
    places.set(id, place);
    const ids = idsIn.get(place.segment) ?? new Set();
    idsIn.set(place.segment, ids.add(id));
    records.keep(place.segment, place.bytes);
  }

  function leave(id: string): void {
    const place = places.get(id);
    if (place === undefined) return;
    places.delete(id);
    const ids = idsIn.get(place.segment);
    ids?.delete(id);
    if (ids?.size === 0) idsIn.delete(place.segment);
    records.release(place.segment, place.bytes);
  }

  function settled(id: string, part: Part, isOnDisk: boolean): void {
    const change = changing.get(id);
    if (change === undefined) return;
    change.count -= 1;
    if (isOnDisk) change.base = part.value === undefined ? undefined : part;
    if (change.count > 0) return;
    changing.delete(id);
    if (!isOnDisk) owner.restore(id, change.base);
  }

  function relocate(segment: number): void {
    for (const id of [...(idsIn.get(segment) ?? [])]) {
      // Its newest state is on its way already; written again now, an older one would be the last.
      if (changing.has(id)) continue;
      const part = owner.capture(id);
      if (part === undefined) leave(id);
      else if (!move(part)) return;
    }
  }

  function move(part: Part): boolean {
    const record = encodePart(part);
    const entry: Entry = { parts: [{ part, bytes: record.length }], moved: true, settle: () => undefined };
    try {
      records.append(record, entry, true);
      return true;
    } catch (thrown) {
      log.warn({ err: thrown }, "memory: cannot move what is left of an old file of the log; it is tried again later");
      return false;
    }
  }

  function write(parts: readonly Part[], essential = false): Promise<void> {
    const texts = parts.map(encodePart);
    let settle: (error?: AgentError) => void = () => undefined;
    const done = new Promise<void>((resolve, reject) => {
      settle = (error) => {
        if (error === undefined) resolve();
        else reject(error);
      };
    });
    const entry: Entry = {
      parts: parts.map((part, i) => ({ part, bytes: texts[i]?.length ?? 0 })),
      moved: false,
      settle: (error) => settle(error),
    };
    records.append(texts.join(""), entry, essential);
    const latest = done.then(
      () => true,
      () => false,
    );
    for (const { id } of parts) {
      const change = changing.get(id);
      if (change === undefined) changing.set(id, { count: 1, base: owner.capture(id), latest });
      else {
        change.count += 1;
        change.latest = latest;
      }
    }
    return done;
  }

  return {
    foundRevision,
    write,
    unsettled: (id) => changing.get(id)?.latest,
    figures: () => records.figures(),
    close: () => records.close(),
  };
}
