import type { Findings } from "./findings.ts";

/** `asked`: sent, no answer yet. `kept`: acknowledged. `taking`: its removal was sent, no answer yet. */
type State = "asked" | "kept" | "taking";

/**
 * What was put, in order, where nothing may be lost, doubled or change places: a topic of the queue, edges, appends. What is put is numbered from 1.
 * Acknowledged is what must be found afterwards; what was asked and not acknowledged may be found or not.
 */
export interface Sequence {
  /** The next number: it is about to be sent. */
  ask(): number;
  kept(number: number): void;
  /** The answer was an error: it must not be found. */
  refused(number: number): void;
  /** Its removal is about to be sent. */
  take(number: number): void;
  /** Its removal is acknowledged: it must not be found any more. */
  taken(number: number): void;
  /** Its removal was answered with an error: it must still be found. */
  leave(number: number): void;
  /** The highest number given out. */
  readonly last: number;
  /** How many there may be. */
  readonly size: number;
  /** Numbers that must be found. */
  readonly expected: readonly number[];
  /** Puts and removals acknowledged so far. */
  readonly acknowledged: number;
  /** Compares with what is found, in the order found. What was open is settled by it. */
  check(found: readonly (number | "torn")[], findings: Findings): void;
}

export function createSequence(name: string): Sequence {
  const states = new Map<number, State>();
  let last = 0;
  let acknowledged = 0;

  function settle(seen: ReadonlySet<number>, findings: Findings): void {
    for (const [number, state] of states) {
      if (seen.has(number)) states.set(number, "kept");
      else {
        states.delete(number);
        if (state === "kept") findings.add("lost", `${name} ${number}, acknowledged, is gone`);
      }
    }
  }

  return {
    ask() {
      last += 1;
      states.set(last, "asked");
      return last;
    },
    kept(number) {
      acknowledged += 1;
      // Somebody else may have taken it before its own answer is here.
      if (states.get(number) === "asked") states.set(number, "kept");
    },
    refused: (number) => void states.delete(number),
    take: (number) => void states.set(number, "taking"),
    taken(number) {
      acknowledged += 1;
      states.delete(number);
    },
    leave: (number) => void states.set(number, "kept"),
    get last() {
      return last;
    },
    get size() {
      return states.size;
    },
    get expected() {
      return [...states].flatMap(([number, state]) => (state === "kept" ? [number] : []));
    },
    get acknowledged() {
      return acknowledged;
    },
    check(found, findings) {
      const seen = new Set<number>();
      let highest = 0;
      for (const number of found) {
        if (number === "torn") findings.add("half-written", `${name} after ${highest} is no whole record`);
        else if (seen.has(number)) findings.add("doubled", `${name} ${number} is there twice`);
        else if (!states.has(number))
          findings.add("came back", `${name} ${number} of ${last} was removed, refused or never sent, and is there`);
        else if (number < highest) findings.add("out of order", `${name} ${number} comes after ${highest}`);
        if (number === "torn") continue;
        seen.add(number);
        highest = Math.max(highest, number);
      }
      settle(seen, findings);
    },
  };
}
