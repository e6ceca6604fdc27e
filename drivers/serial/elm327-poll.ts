/** Something asked for again and again. */
export interface Polled {
  readonly periodMs: number;
}

/** Whose turn it is. */
export interface Turns<Item extends Polled> {
  /** The one that is due for the longest, and is due again a period later; undefined when none is. */
  next(nowMs: number): Item | undefined;
  /** When the next one is due; Infinity where there is none. */
  dueMs(): number;
}

/** The first of each is due at once. One that comes late is not caught up with. */
export function createTurns<Item extends Polled>(items: readonly Item[], nowMs: number): Turns<Item> {
  const dues = items.map(() => nowMs);

  function earliest(): number {
    let found = -1;
    for (let i = 0; i < dues.length; i++) if (found < 0 || (dues[i] as number) < (dues[found] as number)) found = i;
    return found;
  }

  return {
    next(atMs) {
      const i = earliest();
      const item = items[i];
      if (item === undefined || (dues[i] as number) > atMs) return undefined;
      dues[i] = Math.max((dues[i] as number) + item.periodMs, atMs);
      return item;
    },
    dueMs: () => dues[earliest()] ?? Infinity,
  };
}
