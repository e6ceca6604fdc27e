/** Buckets per doubling: a figure read back is at most a sixteenth too high. */
const STEPS = 16;
const STEP_BITS = 4;
const MAX_US = 0x7fff_ffff;
const COUNT = 0;
const MAX = 1;
const BUCKETS = 2;

/** Words that one histogram takes. */
export const DURATION_WORDS = BUCKETS + (31 - STEP_BITS + 1) * STEPS;

/** Microseconds: what half, 99 % and 99.9 % of the durations did not exceed (each up to a sixteenth too high), and the longest. */
export interface DurationFigures {
  readonly count: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
}

/** Counts durations without allocating; one thread adds, others may read meanwhile. */
export interface Durations {
  /** Negative counts as 0, more than half an hour as that. */
  add(ms: number): void;
  figures(): DurationFigures;
}

/** Keeps its counts in `words`, `DURATION_WORDS` of them. */
export function createDurations(words: Uint32Array): Durations {
  function quantileUs(share: number, count: number, maxUs: number): number {
    const rank = Math.ceil(share * count);
    let passed = 0;
    for (let bucket = 0; bucket < DURATION_WORDS - BUCKETS; bucket++) {
      passed += words[BUCKETS + bucket] as number;
      if (passed >= rank) return Math.min(maxUs, highestOf(bucket));
    }
    return maxUs;
  }

  return {
    add(ms) {
      const us = Math.max(0, Math.min(MAX_US, Math.round(ms * 1000)));
      words[COUNT] = (words[COUNT] as number) + 1;
      if (us > (words[MAX] as number)) words[MAX] = us;
      const at = BUCKETS + bucketOf(us);
      words[at] = (words[at] as number) + 1;
    },
    figures() {
      const count = words[COUNT] as number;
      const maxUs = words[MAX] as number;
      if (count === 0) return { count, p50Us: 0, p99Us: 0, p999Us: 0, maxUs };
      return {
        count,
        p50Us: quantileUs(0.5, count, maxUs),
        p99Us: quantileUs(0.99, count, maxUs),
        p999Us: quantileUs(0.999, count, maxUs),
        maxUs,
      };
    },
  };
}

/** Exact below 16 µs, then 16 buckets for every doubling. */
function bucketOf(us: number): number {
  if (us < STEPS) return us;
  const doubling = 31 - Math.clz32(us) - STEP_BITS;
  return (doubling << STEP_BITS) + (us >>> doubling);
}

/** The longest duration that falls into the bucket. */
function highestOf(bucket: number): number {
  if (bucket < 2 * STEPS) return bucket;
  const doubling = (bucket >>> STEP_BITS) - 1;
  return ((bucket & (STEPS - 1)) + STEPS + 1) * 2 ** doubling - 1;
}
