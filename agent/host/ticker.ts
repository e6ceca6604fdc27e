import type { Cancel, Clock } from "../contract/clock.ts";

/** Calls `tick` as `DeviceContext.every` promises, with the clock's own timers. */
export function tickEvery(clock: Clock, periodMs: number, tick: (nowMs: number, missed: number) => void): Cancel {
  const firstMs = clock.monotonicMs();
  let ticks = 0;
  let cancelTimer: Cancel | undefined;

  function arm(nowMs: number): void {
    cancelTimer = clock.after(Math.max(0, firstMs + (ticks + 1) * periodMs - nowMs), run);
  }

  function run(): void {
    const nowMs = clock.monotonicMs();
    const passed = Math.max(ticks + 1, Math.floor((nowMs - firstMs) / periodMs));
    const missed = passed - ticks - 1;
    ticks = passed;
    arm(nowMs);
    tick(nowMs, missed);
  }

  arm(firstMs);
  return () => cancelTimer?.();
}
