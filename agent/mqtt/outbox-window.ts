import type { OutboxRecord } from "./outbox-records.ts";

interface Held {
  readonly message: OutboxRecord;
  done: boolean;
}

/** The oldest messages, in memory: sent in order, kept until they are done with. */
export interface OutboxWindow {
  readonly byteLength: number;
  add(message: OutboxRecord): void;
  /** The next to be sent; undefined when all were. */
  next(): OutboxRecord | undefined;
  /** Done with one. Returns the number up to which all are done with that were ever here, if it has risen. */
  finish(sequence: number): number | undefined;
  /** Everything that is not done with is to be sent again. */
  rewind(): void;
  /** Forgets what has a number up to that. */
  dropThrough(sequence: number): void;
}

/** What was taken out is cut off when there is so much of it. */
const COMPACT_AT = 1024;

/** What a message takes beside its payload, about. */
const BYTES_BESIDE = 128;

export function createOutboxWindow(): OutboxWindow {
  let held: Held[] = [];
  let first = 0;
  let nextAt = 0;
  let byteLength = 0;

  function takeFirst(): void {
    byteLength -= weightOf((held[first] as Held).message);
    first += 1;
    nextAt = Math.max(nextAt, first);
    if (first < COMPACT_AT) return;
    held = held.slice(first);
    nextAt -= first;
    first = 0;
  }

  /** Numbers rise, with gaps at most: looked for by halves. */
  function find(sequence: number): Held | undefined {
    let [low, high] = [first, held.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((held[middle] as Held).message.sequence < sequence) low = middle + 1;
      else high = middle;
    }
    const found = held[low];
    return found?.message.sequence === sequence ? found : undefined;
  }

  return {
    get byteLength() {
      return byteLength;
    },
    add(message) {
      held.push({ message, done: false });
      byteLength += weightOf(message);
    },
    next() {
      while (held[nextAt]?.done === true) nextAt += 1;
      const found = held[nextAt];
      if (found !== undefined) nextAt += 1;
      return found?.message;
    },
    finish(sequence) {
      const found = find(sequence);
      if (found === undefined) return undefined;
      found.done = true;
      let through: number | undefined;
      for (let head = held[first]; head?.done === true; head = held[first]) {
        through = head.message.sequence;
        takeFirst();
      }
      return through;
    },
    rewind() {
      nextAt = first;
    },
    dropThrough(sequence) {
      while (first < held.length && (held[first] as Held).message.sequence <= sequence) takeFirst();
    },
  };
}

function weightOf({ topic, payload }: OutboxRecord): number {
  return payload.length + topic.length + BYTES_BESIDE;
}
