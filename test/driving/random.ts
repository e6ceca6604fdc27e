/** Random numbers that are the same for the same seed (Mulberry32). */
export interface Random {
  /** 0 to below 1. */
  next(): number;
  between(low: number, high: number): number;
  chance(share: number): boolean;
  /** Standard normal. */
  normal(): number;
}

const NORMALS = 8192;

export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  let spare = 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    between: (low, high) => low + (high - low) * next(),
    chance: (share) => next() < share,
    normal() {
      spare = (spare + 1 + Math.floor(next() * 7)) % NORMALS;
      return normals()[spare] as number;
    },
  };
}

let table: Float64Array | undefined;

/** Drawn once: a lidar takes 36,000 a second. */
function normals(): Float64Array {
  if (table !== undefined) return table;
  const random = createRandom(20_240_601);
  table = Float64Array.from({ length: NORMALS }, () => Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next()));
  return table;
}
