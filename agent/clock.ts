import { performance } from "node:perf_hooks";

import type { Clock } from "./contract/clock.ts";

/**
 * The machine's clocks. Monotonic time is the kernel's CLOCK_MONOTONIC, the same in every thread and process of the machine and in the stamps of edges.
 * Timers do not keep the process alive.
 */
export function createSystemClock(): Clock {
  const originMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();
  return {
    monotonicMs: () => originMs + performance.now(),
    wallMs: () => Date.now(),
    after(delayMs, run) {
      const timer = setTimeout(run, delayMs).unref();
      return () => {
        clearTimeout(timer);
      };
    },
  };
}
