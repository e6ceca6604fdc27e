import type { Cancel, Clock } from "../contract/clock.ts";

/** When what is handled now can have arrived, at the earliest. */
export interface Arrivals {
  /**
   * The present, on the monotonic clock, unless this process has just stood still (stopped, swapped out, busy): then what it reads may have waited in the
   * kernel all that time, and it is as old as the standstill, until everything that waited has been read.
   */
  nowMs(): number;
  close(): void;
}

/** Looks per longest standstill that goes unnoticed. */
const LOOKS = 4;

/** Looks after a standstill until what waited has been read: between two looks of one timer all sockets are read. */
const LOOKS_AFTER = 2;

/** A standstill of more than `stallMs` is noticed. */
export function createArrivals(clock: Clock, stallMs: number): Arrivals {
  let seenMs = clock.monotonicMs();
  let stoodStillMs = NaN;
  let looksLeft = 0;
  let cancel: Cancel | undefined;

  function observe(): number {
    const nowMs = clock.monotonicMs();
    if (nowMs - seenMs > stallMs) {
      // Of two in a row the older one counts.
      if (looksLeft === 0) stoodStillMs = seenMs;
      looksLeft = LOOKS_AFTER;
    }
    seenMs = nowMs;
    return nowMs;
  }

  function look(): void {
    observe();
    if (looksLeft > 0) looksLeft -= 1;
    cancel = clock.after(stallMs / LOOKS, look);
  }

  cancel = clock.after(stallMs / LOOKS, look);
  return {
    nowMs() {
      const nowMs = observe();
      return looksLeft > 0 ? stoodStillMs : nowMs;
    },
    close: () => cancel?.(),
  };
}
