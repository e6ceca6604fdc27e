import type { Cancel, Clock } from "../../agent/contract/clock.ts";

/** A clock that stands still until a test moves it. */
export interface FakeClock extends Clock {
  /** Moves time on by `ms`: timers due by then run in order, each at its own time; promises settle before, between and after them. */
  advance(ms: number): Promise<void>;
  /** The same without letting promises settle, for code that is synchronous throughout and for property tests. */
  advanceNow(ms: number): void;
  /** Sets the wall clock forward or back by `ms`; monotonic time and timers do not notice. */
  jumpWall(ms: number): void;
  /** Timers armed and neither run nor cancelled: 0 after everything was closed. */
  pending(): number;
}

interface Timer {
  readonly dueMs: number;
  readonly run: () => void;
}

/** More timers than this in one advance is a timer that arms itself for the same moment again and again. */
const RUNAWAY = 1_000_000;

/** Starts at `startMs` of monotonic time (not 0, which hides mistakes) and at 2023-11-14T22:13:20Z. */
export function createFakeClock(startMs = 1000): FakeClock {
  let nowMs = startMs;
  let wallOffsetMs = 1_700_000_000_000 - startMs;
  const timers = new Set<Timer>();

  /** The earliest timer due by `untilMs`; of several due at once the one armed first. */
  function nextDue(untilMs: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of timers) {
      if (timer.dueMs <= untilMs && (next === undefined || timer.dueMs < next.dueMs)) next = timer;
    }
    return next;
  }

  /** Runs the earliest timer due by `untilMs`; false when there is none left. */
  function runNext(untilMs: number): boolean {
    const timer = nextDue(untilMs);
    if (timer === undefined) return false;
    timers.delete(timer);
    nowMs = Math.max(nowMs, timer.dueMs);
    timer.run();
    return true;
  }

  function checkRunaway(runs: number): void {
    if (runs > RUNAWAY) throw new Error(`more than ${RUNAWAY} timers in one advance: one arms itself without a delay`);
  }

  return {
    monotonicMs: () => nowMs,
    wallMs: () => nowMs + wallOffsetMs,
    after(delayMs, run): Cancel {
      if (Number.isNaN(delayMs)) throw new Error("a timer of NaN milliseconds");
      const timer = { dueMs: nowMs + Math.max(0, delayMs), run };
      timers.add(timer);
      return () => {
        timers.delete(timer);
      };
    },
    async advance(ms) {
      const untilMs = nowMs + ms;
      await settled();
      for (let runs = 0; runNext(untilMs); runs++) {
        checkRunaway(runs);
        await settled();
      }
      nowMs = untilMs;
      await settled();
    },
    advanceNow(ms) {
      const untilMs = nowMs + ms;
      for (let runs = 0; runNext(untilMs); runs++) checkRunaway(runs);
      nowMs = untilMs;
    },
    jumpWall(ms) {
      wallOffsetMs += ms;
    },
    pending: () => timers.size,
  };
}

/** After every promise callback that was due, however many follow from each other. */
export function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
