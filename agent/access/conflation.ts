import type { AuditEntry, EntryKind } from "./audit-entry.ts";

/** Makes few entries of what is repeated: rules and streaming clients say the same ten to a thousand times a second. */
export interface Conflator {
  /** What happens for the first time becomes an entry at once; what is repeated is counted until the next sweep. */
  add(kind: EntryKind, caller: string, subject: string, detail: string, wallMs: number): void;
  /** Makes entries of what was counted, and forgets what has not happened since the last sweep. False when there is nothing to sweep for. */
  sweep(): boolean;
  /** Happenings that were counted into an entry of others. */
  readonly conflated: number;
}

export interface ConflatorOptions {
  /** Given each entry, in order. */
  readonly emit: (entry: AuditEntry) => void;
  /** Called when there is something to sweep for. */
  readonly awaitSweep: () => void;
}

/** Changes of one subject, lamp on and lamp off again, that are entries of their own between two sweeps; then only kinds of them are told apart. */
const CHANGES_PER_SWEEP = 64;

/** Kinds of happenings of one subject told apart between two sweeps, beyond its changes. */
const MAX_TOLD_APART = 32;

/** Subjects told apart; the rest share one place. */
const MAX_SUBJECTS = 1024;

/** The place of those. No subject is called so. */
const OTHERS = "\0";

/** Something that happened, was made an entry of, and is counted when it happens again. */
interface Repeated {
  readonly kind: EntryKind;
  readonly caller: string;
  readonly subject: string;
  detail: string;
  /** Since the last entry about it. */
  count: number;
  firstMs: number;
  lastMs: number;
  /** The detail is the latest of several. */
  varied: boolean;
}

interface Place {
  current: Repeated;
  changesLeft: number;
  readonly crowd: Repeated[];
  /** Since the last sweep. */
  touched: boolean;
}

export function createConflator({ emit, awaitSweep }: ConflatorOptions): Conflator {
  const places = new Map<string, Place>();
  /** The place found last: who repeats something does it again and again. */
  let latest: Place | undefined;
  let latestSubject = OTHERS;
  let conflated = 0;

  function find(subject: string): Place | undefined {
    if (latestSubject === subject) return latest;
    const place = places.get(subject);
    if (place !== undefined) {
      latest = place;
      latestSubject = subject;
    }
    return place;
  }

  function placeOf(subject: string, first: Repeated): Place | undefined {
    const key = places.size < MAX_SUBJECTS || places.has(subject) ? subject : OTHERS;
    const place = places.get(key);
    if (place !== undefined) return place;
    if (places.size === 0) awaitSweep();
    places.set(key, { current: first, changesLeft: CHANGES_PER_SWEEP, crowd: [], touched: true });
    return undefined;
  }

  function repeat(repeated: Repeated, detail: string, wallMs: number): void {
    if (repeated.count === 0) repeated.firstMs = wallMs;
    else conflated += 1;
    repeated.count += 1;
    repeated.lastMs = wallMs;
    if (repeated.detail === detail) return;
    repeated.detail = detail;
    repeated.varied = true;
  }

  /** Makes an entry of what was counted. */
  function settle(repeated: Repeated): void {
    const { count } = repeated;
    if (count === 0) return;
    emit({ ...repeated, detail: repeated.varied ? `${repeated.detail}, and others` : repeated.detail });
    repeated.count = 0;
    repeated.varied = false;
  }

  /** Too much happens to keep the order of it all: what is new is still an entry at once, the rest is counted by who does what. */
  function addToCrowd({ crowd }: Place, next: Repeated, wallMs: number): void {
    const at = crowd.findIndex((other) => isAlike(other, next));
    if (at >= 0) {
      const found = crowd[at] as Repeated;
      // Whoever is busiest is found first the next time.
      crowd[at] = crowd[0] as Repeated;
      crowd[0] = found;
      repeat(found, next.detail, wallMs);
    } else if (crowd.length < MAX_TOLD_APART) {
      crowd.push(next);
      emit({ ...next, count: 1 });
    } else {
      const detail = `${next.kind} ${next.detail}`;
      const rest = crowd[MAX_TOLD_APART] ?? { ...next, caller: "several", detail };
      crowd[MAX_TOLD_APART] = rest;
      repeat(rest, detail, wallMs);
    }
  }

  return {
    add(kind, caller, subject, detail, wallMs) {
      const known = find(subject);
      if (known !== undefined) {
        const { current } = known;
        known.touched = true;
        if (current.kind === kind && current.detail === detail && current.caller === caller) {
          repeat(current, detail, wallMs);
          return;
        }
      }
      const next: Repeated = { kind, caller, subject, detail, count: 0, firstMs: wallMs, lastMs: wallMs, varied: false };
      const place = known ?? placeOf(subject, next);
      if (place !== undefined) place.touched = true;
      if (place === undefined) emit({ ...next, count: 1 });
      else if (place.changesLeft > 0) {
        place.changesLeft -= 1;
        settle(place.current);
        place.current = next;
        emit({ ...next, count: 1 });
      } else {
        addToCrowd(place, next, wallMs);
      }
    },
    sweep() {
      latest = undefined;
      latestSubject = OTHERS;
      for (const [key, place] of places) {
        settle(place.current);
        for (const repeated of place.crowd) settle(repeated);
        place.crowd.length = 0;
        place.changesLeft = CHANGES_PER_SWEEP;
        if (place.touched) place.touched = false;
        else places.delete(key);
      }
      return places.size > 0;
    },
    get conflated() {
      return conflated;
    },
  };
}

/** By the same caller, of the same kind, and the same function whatever its arguments. */
function isAlike(one: Repeated, other: Repeated): boolean {
  return (
    one.kind === other.kind && one.caller === other.caller && one.subject === other.subject && whatOf(one.detail) === whatOf(other.detail)
  );
}

function whatOf(detail: string): string {
  const open = detail.indexOf("(");
  return open < 0 ? detail : detail.slice(0, open);
}
