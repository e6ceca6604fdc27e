export interface HeavyHittersOptions {
  /** Keys counted at once: whatever holds more than 1/counters of the weight is among them. */
  readonly counters: number;
  /** What was counted weighs half after this, milliseconds; undefined: for ever. */
  readonly halfLifeMs?: number | undefined;
}

/** The most prominent key, with what is certain of it. */
export interface HeavyHitter {
  readonly key: string;
  /** Weight it has at least, now. */
  readonly weight: number;
  /** Its share of all weight at least, 0 to 1. */
  readonly share: number;
}

export interface HeavyHitters {
  /** `weight` above 0. */
  push(key: string, atMs: number, weight?: number): void;
  /** Undefined while nothing was counted. */
  top(atMs: number): HeavyHitter | undefined;
  /** At most and at least, for a key that is counted now. */
  bounds(key: string, atMs: number): { readonly least: number; readonly most: number } | undefined;
}

/** Doublings of the weight of new keys after which everything is scaled down again. */
const MAX_DOUBLINGS = 256;

/**
 * Space-Saving (Metwally, Agrawal, El Abbadi: "Efficient Computation of Frequent and Top-k Elements in Data Streams", ICDT 2005): a key that is not counted
 * takes over the smallest counter with what that had, as its possible error. Ranked by what is certain, so that a flood of keys that come once each does
 * not look like one prominent key. Decay is forward (Cormode et al., 2009): new weight grows instead of old weight being diminished.
 */
export function createHeavyHitters({ counters, halfLifeMs }: HeavyHittersOptions): HeavyHitters {
  const slots = new Map<string, number>();
  const keys: string[] = [];
  const weights = new Float64Array(counters);
  const errors = new Float64Array(counters);
  let total = 0;
  let startMs: number | undefined;

  /** What a weight of 1 counts at `atMs`; earlier times than the first count as that. */
  function unitAt(atMs: number): number {
    startMs ??= atMs;
    if (halfLifeMs === undefined) return 1;
    const doublings = Math.max(0, atMs - startMs) / halfLifeMs;
    if (doublings <= MAX_DOUBLINGS) return 2 ** doublings;
    rescale(2 ** -doublings);
    startMs = atMs;
    return 1;
  }

  function rescale(factor: number): void {
    total *= factor;
    for (let slot = 0; slot < keys.length; slot++) {
      weights[slot] = (weights[slot] as number) * factor;
      errors[slot] = (errors[slot] as number) * factor;
    }
  }

  function smallest(): number {
    let found = 0;
    for (let slot = 1; slot < counters; slot++) if ((weights[slot] as number) < (weights[found] as number)) found = slot;
    return found;
  }

  function slotFor(key: string): number {
    const known = slots.get(key);
    if (known !== undefined) return known;
    let slot = keys.length;
    if (slot === counters) {
      slot = smallest();
      slots.delete(keys[slot] as string);
      errors[slot] = weights[slot] as number;
    }
    keys[slot] = key;
    slots.set(key, slot);
    return slot;
  }

  const certain = (slot: number): number => (weights[slot] as number) - (errors[slot] as number);

  return {
    push(key, atMs, weight = 1) {
      const counted = weight * unitAt(atMs);
      const slot = slotFor(key);
      weights[slot] = (weights[slot] as number) + counted;
      total += counted;
    },
    top(atMs) {
      const unit = unitAt(atMs);
      let best = 0;
      for (let slot = 1; slot < keys.length; slot++) if (certain(slot) > certain(best)) best = slot;
      const key = keys[best];
      return key === undefined || total === 0 ? undefined : { key, weight: certain(best) / unit, share: certain(best) / total };
    },
    bounds(key, atMs) {
      const slot = slots.get(key);
      if (slot === undefined) return undefined;
      const unit = unitAt(atMs);
      return { least: certain(slot) / unit, most: (weights[slot] as number) / unit };
    },
  };
}
