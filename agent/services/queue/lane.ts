import { createHeap } from "./heap.ts";
import type { Message } from "./message.ts";

/** Dead entries beyond this share of a lane, and this many, are cleared away. */
const SPARE_ENTRIES = 64;

/** The ready messages of one topic and one priority, in the order of their ids. */
export interface Lane {
  /** Takes a message; its id is the highest so far, or it was in the lane before. */
  put(message: Message): void;
  /** The first that may be delivered. */
  take(): Message | undefined;
  /** The same without taking it. */
  first(): Message | undefined;
  /** One of its messages will not be delivered. */
  lost(): void;
}

export function createLane(): Lane {
  /** In rising order from `head` on. */
  let fresh: (Message | undefined)[] = [];
  let head = 0;
  /** Those that came back, and so are out of order. */
  const returned = createHeap<Message>((a, b) => a.id < b.id);
  let newest = 0;
  let lostEntries = 0;

  function skipFresh(): Message | undefined {
    for (; head < fresh.length; head++) {
      const message = fresh[head];
      if (message === undefined) continue;
      if (isDeliverable(message)) return message;
      drop(message);
      fresh[head] = undefined;
    }
    return undefined;
  }

  function skipReturned(): Message | undefined {
    for (let message = returned.peek(); message !== undefined; message = returned.peek()) {
      if (isDeliverable(message)) return message;
      drop(message);
      returned.pop();
    }
    return undefined;
  }

  function drop(message: Message): void {
    message.queued = false;
    lostEntries = Math.max(0, lostEntries - 1);
  }

  function trim(): void {
    if (head < SPARE_ENTRIES || 2 * head < fresh.length) return;
    fresh = fresh.slice(head);
    head = 0;
  }

  function first(): Message | undefined {
    const early = skipReturned();
    const late = skipFresh();
    if (early === undefined) return late;
    return late === undefined || early.id < late.id ? early : late;
  }

  function sweep(): void {
    const stays = (message: Message): boolean => {
      if (!isDeliverable(message)) message.queued = false;
      return message.queued;
    };
    fresh = fresh.filter((message) => message !== undefined && stays(message));
    head = 0;
    returned.retain(stays);
    lostEntries = 0;
  }

  return {
    put(message) {
      message.queued = true;
      if (message.id > newest) {
        newest = message.id;
        fresh.push(message);
      } else returned.push(message);
    },
    first,
    take() {
      const message = first();
      if (message === undefined) return undefined;
      message.queued = false;
      if (message === returned.peek()) {
        returned.pop();
      } else {
        fresh[head] = undefined;
        head += 1;
        trim();
      }
      return message;
    },
    lost() {
      lostEntries += 1;
      if (lostEntries > SPARE_ENTRIES && 2 * lostEntries > fresh.length - head + returned.size) sweep();
    },
  };
}

function isDeliverable(message: Message): boolean {
  return !message.gone && !message.leaving;
}
