import { performance } from "node:perf_hooks";

import type { Clock } from "./contract/clock.ts";

/** The machine's clocks. Timers do not keep the process alive. */
export function createSystemClock(): Clock {
  return {
    monotonicMs: () => performance.now(),
    wallMs: () => Date.now(),
    after(delayMs, run) {
      const timer = setTimeout(run, delayMs).unref();
      return () => {
        clearTimeout(timer);
      };
    },
  };
}
