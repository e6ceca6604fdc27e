import type { Findings } from "./findings.ts";
import { readRecords, recordText } from "./record.ts";
import { createSequence } from "./sequence.ts";

/** What one writer has appended to a file, record after record. */
export interface Appends {
  /** The next record: it is about to be appended. */
  append(bytes: number): { readonly number: number; readonly text: string };
  /** Everything up to here is acknowledged to be on disk. */
  kept(number: number): void;
  /** The answer was an error: it must not be found. */
  refused(number: number): void;
  /** A part of what was never acknowledged is at the end: nothing can be read behind it. */
  readonly isSpoilt: boolean;
  /** Compares with what the file holds. What was open is settled by it. */
  check(text: string, findings: Findings): void;
}

export function createAppends(name: string): Appends {
  const sequence = createSequence(`append to ${name}`);
  /** Sizes of what was sent since the last check and is not acknowledged. */
  const open = new Map<number, number>();
  /** What was found at the end, and is a part of something that was never acknowledged. */
  let tail = "";

  /** The system may be interrupted in the middle of a write. What was not acknowledged is then there in part: its beginning, and nothing else. */
  function mayBeTail(rest: string): boolean {
    if (rest === "" || rest === tail) return true;
    return [...open].some(([number, bytes]) => recordText({ name, number }, bytes).startsWith(rest));
  }

  return {
    append(bytes) {
      const number = sequence.ask();
      open.set(number, bytes);
      return { number, text: recordText({ name, number }, bytes) };
    },
    kept(number) {
      open.delete(number);
      sequence.kept(number);
    },
    refused(number) {
      open.delete(number);
      sequence.refused(number);
    },
    get isSpoilt() {
      return tail !== "";
    },
    check(text, findings) {
      const { records, rest } = readRecords(text);
      const found = records.map((record) => (record.name === name ? record.number : ("torn" as const)));
      sequence.check(mayBeTail(rest) ? found : [...found, "torn"], findings);
      tail = rest;
      open.clear();
    },
  };
}
