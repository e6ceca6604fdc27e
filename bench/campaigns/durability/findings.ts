/** What may be wrong with what is found after a crash. */
export const MISTAKES = ["lost", "doubled", "out of order", "half-written", "came back", "differing text"] as const;

export type Mistake = (typeof MISTAKES)[number];

/** Mistakes counted and described. */
export interface Findings {
  count(mistake: Mistake): number;
  readonly total: number;
  /** The first ones, described. */
  readonly notes: readonly string[];
  add(mistake: Mistake, what: string): void;
}

const MAX_NOTES = 12;

export function createFindings(): Findings {
  const counts = new Map<Mistake, number>();
  const notes: string[] = [];
  return {
    count: (mistake) => counts.get(mistake) ?? 0,
    get total() {
      return [...counts.values()].reduce((sum, count) => sum + count, 0);
    },
    notes,
    add(mistake, what) {
      counts.set(mistake, (counts.get(mistake) ?? 0) + 1);
      if (notes.length < MAX_NOTES) notes.push(`${mistake}: ${what}`);
    },
  };
}
