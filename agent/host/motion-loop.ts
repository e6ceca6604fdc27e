import type { Cancel, Clock } from "../contract/clock.ts";
import type { MotionMemory } from "./motion-memory.ts";

/** Node's timers are up to a millisecond late: so long before a deadline the thread leaves them and sleeps for the rest to the microsecond. */
const AHEAD_MS = 2;

/** Less than this before a deadline a timer is not worth arming: one turn of the event loop, then sleep. */
const SHORT_MS = 2.5;

/** While a bus transfer is under way the thread sleeps in slices, and looks between them whether it has ended. */
const BUSY_SLICE_MS = 0.25;

/** When a late loop is a fault. */
export interface OverrunLimits {
  /** Periods without a tick (panda's self-watchdog: 3). */
  readonly watchdogPeriods: number;
  /** Ticks with deadlines left out before them… */
  readonly overruns: number;
  /** …within so many milliseconds. */
  readonly overrunWindowMs: number;
}

export interface MotionLoopOptions {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly memory: Pick<MotionMemory, "sleep" | "lateness" | "execution" | "addOverrun" | "addMissed">;
  readonly limits: OverrunLimits;
  /** Runs `run` in `delayMs` at the earliest; 0: after one turn of the event loop. */
  later(delayMs: number, run: () => void): Cancel;
  /** Called before everything else, again and again: what must not wait. */
  urgent(): void;
  /** Does one thing that may wait for a tick; false when there is none. */
  work(): boolean;
  /** Called before the event loop or sleep gets its turn. */
  settle(): void;
  /** Whether something is under way that ends by an event. */
  busy(): boolean;
}

/** Ticks on absolute deadlines, in a thread whose event loop stays alive between them. */
export interface MotionLoop {
  /**
   * As `DeviceContext.every`; all periods count from the same moment, so that a tick of every 20 ms coincides with every second one of 10 ms.
   * `overran` is told in words when the ticks came too late too often; without it the ticks are not in the figures either.
   */
  every(periodMs: number, tick: (nowMs: number, missed: number) => void, overran?: (text: string) => void): Cancel;
  /** There is something to do before the next deadline. */
  poke(): void;
  stop(): void;
}

interface Ticker {
  readonly periodMs: number;
  readonly tick: (nowMs: number, missed: number) => void;
  readonly overran: ((text: string) => void) | undefined;
  /** Deadlines up to the latest tick, from the loop's start on. */
  passed: number;
  dueMs: number;
  cancelled: boolean;
  windowStartMs: number;
  windowOverruns: number;
}

export function createMotionLoop(options: MotionLoopOptions): MotionLoop {
  const { clock, memory, limits } = options;
  const startMs = clock.monotonicMs();
  let tickers: readonly Ticker[] = [];
  let nextMs = Infinity;
  let cancelTurn: Cancel | undefined;
  let turnIsNext = false;
  let inTurn = false;
  let stopped = false;

  function armTurn(delayMs: number): void {
    cancelTurn?.();
    turnIsNext = delayMs === 0;
    cancelTurn = options.later(delayMs, turn);
  }

  function findNext(): void {
    nextMs = Infinity;
    for (const ticker of tickers) if (ticker.dueMs < nextMs) nextMs = ticker.dueMs;
  }

  function turn(): void {
    if (stopped) return;
    inTurn = true;
    turnIsNext = false;
    runTurn();
    inTurn = false;
  }

  /** Ticks go before work; whatever was done, the event loop gets its turn before the next tick. */
  function runTurn(): void {
    options.urgent();
    while (clock.monotonicMs() < nextMs && options.work()) options.urgent();
    if (clock.monotonicMs() < nextMs) {
      options.settle();
      const leftMs = nextMs - clock.monotonicMs();
      if (stopped || leftMs === Infinity) return;
      if (leftMs > SHORT_MS) {
        armTurn(Math.floor(leftMs - AHEAD_MS));
        return;
      }
      const woken = memory.sleep(Math.max(0, options.busy() ? Math.min(leftMs, BUSY_SLICE_MS) : leftMs));
      options.urgent();
      if (woken && clock.monotonicMs() < nextMs) {
        armTurn(0);
        return;
      }
    }
    runDue();
    options.settle();
    if (!stopped) armTurn(0);
  }

  function runDue(): void {
    for (const ticker of tickers) {
      const nowMs = clock.monotonicMs();
      if (!ticker.cancelled && !stopped && nowMs >= ticker.dueMs) run(ticker, nowMs);
    }
    findNext();
  }

  function run(ticker: Ticker, nowMs: number): void {
    const { periodMs, tick, overran } = ticker;
    const lateMs = nowMs - ticker.dueMs;
    const passed = Math.max(ticker.passed + 1, Math.floor((nowMs - startMs) / periodMs));
    const missed = passed - ticker.passed - 1;
    ticker.passed = passed;
    ticker.dueMs = startMs + (passed + 1) * periodMs;
    tick(nowMs, missed);
    if (overran === undefined) return;
    const endMs = clock.monotonicMs();
    memory.lateness.add(lateMs);
    memory.execution.add(endMs - nowMs);
    if (endMs > ticker.dueMs) memory.addOverrun();
    if (missed === 0) return;
    memory.addMissed(missed);
    const text = overrunOf(ticker, missed, nowMs, limits);
    if (text !== undefined) overran(text);
  }

  return {
    every(periodMs, tick, overran) {
      const passed = Math.floor((clock.monotonicMs() - startMs) / periodMs);
      const ticker: Ticker = {
        periodMs,
        tick,
        overran,
        passed,
        dueMs: startMs + (passed + 1) * periodMs,
        cancelled: false,
        windowStartMs: -Infinity,
        windowOverruns: 0,
      };
      tickers = [...tickers, ticker];
      findNext();
      if (!inTurn && !turnIsNext) armTurn(0);
      return () => {
        ticker.cancelled = true;
        tickers = tickers.filter((other) => other !== ticker);
        findNext();
      };
    },
    poke() {
      if (!inTurn && !turnIsNext && !stopped) armTurn(0);
    },
    stop() {
      // The turn that is armed is left to come to nothing: Node does not survive clearImmediate while an exception of another immediate is handled.
      stopped = true;
    },
  };
}

/** Counts one tick that came after a deadline had been left out; says so when it is one too many. */
function overrunOf(ticker: Ticker, missed: number, nowMs: number, limits: OverrunLimits): string | undefined {
  if (missed >= limits.watchdogPeriods) {
    return `control loop stood still for ${missed + 1} periods of ${ticker.periodMs} ms; ${limits.watchdogPeriods} are allowed`;
  }
  if (nowMs - ticker.windowStartMs > limits.overrunWindowMs) {
    ticker.windowStartMs = nowMs;
    ticker.windowOverruns = 0;
  }
  ticker.windowOverruns += 1;
  if (ticker.windowOverruns < limits.overruns) return undefined;
  ticker.windowStartMs = -Infinity;
  return `control loop overran ${limits.overruns} times in ${limits.overrunWindowMs / 1000} s`;
}
