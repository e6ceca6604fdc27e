import type { CommonLimits } from "./limit-table.ts";
import type { StreamState } from "./arming.ts";

/** Commands of the last seconds that are kept to tell the rate. */
const MOST_KEPT = 4096;

/** Counts a stream of commands. */
export interface StreamMeter {
  note(nowMs: number): void;
  state(nowMs: number): StreamState;
}

/** A gap longer than two periods of the lowest rate that arms ends the run. The rate is that of the last `armStreamMs`. */
export function createStreamMeter({ armStreamMs, armStreamHz }: CommonLimits): StreamMeter {
  const longestGapMs = 2000 / armStreamHz;
  const times = new Float64Array(MOST_KEPT);
  let kept = 0;
  let next = 0;
  let sinceMs = 0;
  let lastMs = -Infinity;

  return {
    note(nowMs) {
      if (nowMs - lastMs > longestGapMs) {
        sinceMs = nowMs;
        kept = 0;
      }
      lastMs = nowMs;
      times[next] = nowMs;
      next = (next + 1) % MOST_KEPT;
      kept = Math.min(kept + 1, MOST_KEPT);
    },
    state(nowMs) {
      if (nowMs - lastMs > longestGapMs) return { runMs: 0, rateHz: 0 };
      let recent = 0;
      while (recent < kept && nowMs - (times[(next - 1 - recent + MOST_KEPT) % MOST_KEPT] as number) < armStreamMs) recent += 1;
      return { runMs: nowMs - sinceMs, rateHz: (recent * 1000) / armStreamMs };
    },
  };
}
