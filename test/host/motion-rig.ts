import { createMotionMemory, type MotionMemory } from "../../agent/host/motion-memory.ts";
import { settled } from "../helpers/fake-clock.ts";
import type { Cancel, Clock } from "../../agent/contract/clock.ts";

/** A thread whose time only passes where a test says so: in sleep, in timers, and in what its devices do. */
export interface SteppedThread {
  readonly clock: Clock;
  /** As the real one, but sleeping moves the clock. */
  readonly memory: MotionMemory;
  /** How long each sleep was to be, newest last. */
  readonly sleeps: number[];
  readonly later: (delayMs: number, run: () => void) => Cancel;
  /** How much later than asked the next timers fire. */
  lateMs: number;
  /** In so many milliseconds of sleep somebody wakes the thread, after doing `then`. */
  wakeIn(ms: number, then: () => void): void;
  /** Time passes without the thread: something took it, or kept it from running. */
  spend(ms: number): void;
  /** Lets the thread run for `ms`. */
  run(ms: number): void;
  /** The same, with promises settling between the turns. */
  runSettling(ms: number): Promise<void>;
}

interface Timer {
  readonly dueMs: number;
  readonly run: () => void;
}

export function createSteppedThread(startMs = 1000): SteppedThread {
  let nowMs = startMs;
  let timers: readonly Timer[] = [];
  let wakeAt: { readonly atMs: number; readonly then: () => void } | undefined;
  const sleeps: number[] = [];
  const memory = createMotionMemory();

  function after(delayMs: number, run: () => void): Cancel {
    const timer = { dueMs: nowMs + delayMs, run };
    timers = [...timers, timer];
    return () => {
      timers = timers.filter((other) => other !== timer);
    };
  }

  function takeDue(untilMs: number): Timer | undefined {
    const next = timers.toSorted((a, b) => a.dueMs - b.dueMs)[0];
    if (next === undefined || next.dueMs > untilMs) return undefined;
    timers = timers.filter((timer) => timer !== next);
    nowMs = Math.max(nowMs, next.dueMs);
    return next;
  }

  const thread: SteppedThread = {
    clock: { monotonicMs: () => nowMs, wallMs: () => nowMs, after },
    memory: {
      ...memory,
      sleep(ms) {
        sleeps.push(ms);
        if (wakeAt !== undefined && wakeAt.atMs <= nowMs + ms) {
          nowMs = Math.max(nowMs, wakeAt.atMs);
          const { then } = wakeAt;
          wakeAt = undefined;
          then();
          return true;
        }
        nowMs += ms;
        return false;
      },
    },
    sleeps,
    later: (delayMs, run) => after(delayMs === 0 ? 0 : delayMs + thread.lateMs, run),
    lateMs: 0,
    wakeIn(ms, then) {
      wakeAt = { atMs: nowMs + ms, then };
    },
    spend(ms) {
      nowMs += ms;
    },
    run(ms) {
      const untilMs = nowMs + ms;
      for (let timer = takeDue(untilMs); timer !== undefined; timer = takeDue(untilMs)) timer.run();
      nowMs = Math.max(nowMs, untilMs);
    },
    async runSettling(ms) {
      const untilMs = nowMs + ms;
      await settled();
      for (let timer = takeDue(untilMs); timer !== undefined; timer = takeDue(untilMs)) {
        timer.run();
        await settled();
      }
      nowMs = Math.max(nowMs, untilMs);
    },
  };
  return thread;
}
