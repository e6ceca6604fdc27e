import { AgentError } from "../../contract/errors.ts";
import { admit } from "./space.ts";
import { whenOnDisk, type Decision } from "./when-on-disk.ts";
import type { Clock } from "../../contract/clock.ts";
import type { Log } from "../../contract/log.ts";
import type { ByteString, Reply } from "../../contract/request.ts";
import type { Eventually } from "../../contract/value.ts";
import type { Ledger } from "./ledger.ts";
import type { Part } from "./part.ts";
import type { Entry, Space, Spaces } from "./space.ts";

/** A value to be set, or `undefined` for a key to be deleted. */
export interface Change {
  readonly key: ByteString;
  readonly value: ByteString | undefined;
  /** Monotonic milliseconds; undefined: it does not expire. */
  readonly deadlineMs?: number | undefined;
}

/** What a verb has decided on: the changes, made together or not at all, and what to answer when they are made. */
export interface Plan {
  readonly changes?: readonly Change[];
  /** Given the revision of the changes. */
  readonly reply: Reply | ((revision: number) => Reply);
}

/** Keys and their values in all spaces. */
export interface Keyspace {
  readonly spaces: Spaces;
  /** The revision of the latest change. */
  readonly revision: number;
  /** Keys kept, those that have expired and were not touched since included. */
  readonly size: number;
  readonly expired: number;
  /** Keys that expire at some time. */
  mortal(): number;
  readonly find: (key: ByteString) => Entry | undefined;
  /** Monotonic milliseconds at which the key expires, undefined when it does not. */
  deadlineOf(key: ByteString): number | undefined;
  /** Whether what is asked about these keys has to wait for the disk. */
  isDurable(keys: readonly ByteString[]): boolean;
  /** Sets a value that is not durable; it expires when the one before would have, or not at all. Throws FULL. */
  readonly put: (space: Space, key: ByteString, value: ByteString, keepsDeadline: boolean) => void;
  /**
   * Decides and does it. Where something durable is involved the answer waits until it, and what the decision was based on, is on disk; a decision that
   * was based on what did not get there is made again. Throws what `plan` throws, FULL and IO.
   */
  readonly run: (keys: readonly ByteString[], plan: () => Plan) => Eventually<Reply>;
  /** Removes what has expired among at most `count` keys; goes on where it ended. Returns how many were removed. */
  sweep(count: number): number;
  /** For the ledger: ids are `k` and the key. */
  capture(key: ByteString): Part | undefined;
  restore(key: ByteString, part: Part | undefined): boolean;
}

export interface KeyspaceOptions {
  readonly spaces: Spaces;
  readonly maxKeys: number;
  readonly clock: Clock;
  readonly log: Log;
  /** The next revision. */
  readonly nextRevision: () => number;
  /** Undefined as long as nothing is durable. */
  readonly ledger: () => Ledger | undefined;
}

export const KEY_ID = "k";

export function createKeyspace({ spaces, maxKeys, clock, log, nextRevision, ledger }: KeyspaceOptions): Keyspace {
  const spaceOf = spaces.of;
  let size = 0;
  let expired = 0;
  let revision = 0;
  let sweptForRoomMs = -Infinity;
  let swept: Iterator<readonly [Space, ByteString, number]> | undefined;

  function remove(space: Space, key: ByteString, entry: Entry): void {
    space.entries.delete(key);
    if (space.deadlines.size > 0) space.deadlines.delete(key);
    space.bytes -= key.length + entry.value.length;
    size -= 1;
  }

  function expire(space: Space, key: ByteString, entry: Entry): void {
    remove(space, key, entry);
    expired += 1;
    if (!space.durable) return;
    // The deadline on disk is wall time, which may run backwards before the next start.
    const gone: Part = { id: KEY_ID + key, revision: nextRevision(), untilWallMs: 0, value: undefined };
    try {
      ledger()?.write([gone], true).catch(notRecorded);
    } catch (thrown) {
      notRecorded(thrown);
    }
  }

  /** It expires again after the next start: nothing is lost but room. */
  function notRecorded(thrown: unknown): void {
    log.debug({ err: thrown }, "memory: could not record that a key has expired");
  }

  function findIn(space: Space, key: ByteString): Entry | undefined {
    const entry = space.entries.get(key);
    if (entry === undefined || space.deadlines.size === 0) return entry;
    const deadlineMs = space.deadlines.get(key);
    if (deadlineMs === undefined || clock.monotonicMs() < deadlineMs) return entry;
    expire(space, key, entry);
    return undefined;
  }

  /** Throws FULL; removes what has expired before it does. */
  function makeRoom(space: Space, bytes: number, keys: number): void {
    const nowMs = clock.monotonicMs();
    if ((space.bytes + bytes > space.maxBytes || size + keys > maxKeys) && nowMs >= sweptForRoomMs + SWEPT_EVERY_MS) {
      sweptForRoomMs = nowMs;
      sweep(SWEPT_FOR_ROOM);
    }
    admit(space, bytes);
    if (size + keys > maxKeys) throw new AgentError("FULL", `${size} keys are kept; memory.maxKeys is ${maxKeys}`);
  }

  function put(space: Space, key: ByteString, value: ByteString, keepsDeadline: boolean): void {
    const entry = space.entries.get(key);
    if (entry === undefined) {
      add(space, key, value);
      return;
    }
    const grown = value.length - entry.value.length;
    if (grown > 0 && space.bytes + grown > space.maxBytes) {
      makeRoom(space, grown, 0);
      if (!space.entries.has(key)) {
        add(space, key, value);
        return;
      }
    }
    if (!keepsDeadline && space.deadlines.size > 0) space.deadlines.delete(key);
    space.bytes += grown;
    entry.value = value;
    entry.revision = revision = nextRevision();
  }

  function add(space: Space, key: ByteString, value: ByteString): void {
    const bytes = key.length + value.length;
    if (space.bytes + bytes > space.maxBytes || size >= maxKeys) makeRoom(space, bytes, 1);
    space.entries.set(key, { value, revision: (revision = nextRevision()) });
    space.bytes += bytes;
    size += 1;
  }

  /** Throws FULL unless there is room for all of them. Of changes to one key all are counted. */
  function admitAll(changes: readonly Change[]): void {
    const growth = new Map<Space, number>();
    let keys = 0;
    for (const { key, value } of changes) {
      if (value === undefined) continue;
      const space = spaceOf(key);
      const entry = space.entries.get(key);
      if (entry === undefined) keys += 1;
      const bytes = entry === undefined ? key.length + value.length : value.length - entry.value.length;
      growth.set(space, (growth.get(space) ?? 0) + bytes);
    }
    for (const [space, bytes] of growth) if (bytes > 0 || keys > 0) makeRoom(space, Math.max(0, bytes), keys);
  }

  function apply({ key, value, deadlineMs }: Change, at: number): void {
    const space = spaceOf(key);
    const entry = space.entries.get(key);
    if (value === undefined) {
      if (entry !== undefined) remove(space, key, entry);
      return;
    }
    if (entry === undefined) {
      space.entries.set(key, { value, revision: at });
      space.bytes += key.length + value.length;
      size += 1;
    } else {
      space.bytes += value.length - entry.value.length;
      entry.value = value;
      entry.revision = at;
    }
    if (deadlineMs !== undefined) space.deadlines.set(key, deadlineMs);
    else if (space.deadlines.size > 0) space.deadlines.delete(key);
  }

  function wallOf(deadlineMs: number | undefined): number {
    return deadlineMs === undefined ? 0 : Math.max(1, Math.round(clock.wallMs() + deadlineMs - clock.monotonicMs()));
  }

  /** Makes the changes; a promise when some of them are durable. */
  function change(changes: readonly Change[]): Promise<void> | undefined {
    admitAll(changes);
    const at = nextRevision();
    const parts = changes
      .filter(({ key }) => spaceOf(key).durable)
      .map(({ key, value, deadlineMs }) => ({ id: KEY_ID + key, revision: at, untilWallMs: wallOf(deadlineMs), value }));
    const written = parts.length === 0 ? undefined : ledger()?.write(parts);
    revision = at;
    for (const change of changes) apply(change, at);
    return written;
  }

  function isDurable(keys: readonly ByteString[]): boolean {
    return keys.some((key) => spaceOf(key).durable);
  }

  function decide(plan: () => Plan): Decision {
    const { changes, reply } = plan();
    const make = changes === undefined || changes.length === 0 ? undefined : () => change(changes);
    return { make, reply: () => (typeof reply === "function" ? reply(revision) : reply) };
  }

  /** Every key that expires, with its space, from the first to the last; then it is to be made again. */
  function* expiring(): Generator<readonly [Space, ByteString, number], undefined> {
    for (const space of spaces.all) {
      for (const [key, deadlineMs] of space.deadlines) yield [space, key, deadlineMs];
    }
  }

  function sweep(count: number): number {
    const nowMs = clock.monotonicMs();
    let removed = 0;
    for (let looked = 0; looked < count; looked++) {
      swept ??= expiring();
      const { value } = swept.next() as IteratorResult<readonly [Space, ByteString, number], undefined>;
      if (value === undefined) {
        swept = undefined;
        break;
      }
      const [space, key, deadlineMs] = value;
      const entry = space.entries.get(key);
      if (entry === undefined || deadlineMs > nowMs) continue;
      expire(space, key, entry);
      removed += 1;
    }
    return removed;
  }

  return {
    spaces,
    get revision() {
      return revision;
    },
    get size() {
      return size;
    },
    get expired() {
      return expired;
    },
    mortal: () => spaces.all.reduce((sum, { deadlines }) => sum + deadlines.size, 0),
    find: (key) => findIn(spaceOf(key), key),
    deadlineOf: (key) => spaceOf(key).deadlines.get(key),
    isDurable,
    put,
    run(keys, plan) {
      if (isDurable(keys)) {
        return whenOnDisk(
          () => keys.map((key) => ledger()?.unsettled(KEY_ID + key)),
          () => decide(plan),
        );
      }
      const { make, reply } = decide(plan);
      void make?.();
      return reply();
    },
    sweep,
    capture(key) {
      const space = spaceOf(key);
      const entry = space.entries.get(key);
      if (entry === undefined) return undefined;
      return { id: KEY_ID + key, revision: entry.revision, untilWallMs: wallOf(space.deadlines.get(key)), value: entry.value };
    },
    restore(key, part) {
      const space = spaceOf(key);
      if (!space.durable) return false;
      const leftMs = part === undefined || part.untilWallMs === 0 ? undefined : part.untilWallMs - clock.wallMs();
      const isOver = leftMs !== undefined && leftMs <= 0;
      const deadlineMs = leftMs === undefined ? undefined : clock.monotonicMs() + leftMs;
      apply({ key, value: isOver ? undefined : part?.value, deadlineMs }, part?.revision ?? 0);
      return part !== undefined && !isOver;
    },
  };
}

/** Keys looked at for expired ones before FULL is answered. */
const SWEPT_FOR_ROOM = 10_000;

/** But not for every request that finds no room. */
const SWEPT_EVERY_MS = 10;
