import { createPrg } from "./prg.ts";

/** How draws over a list fall, and how they should. */
export interface Distribution {
  readonly entries: number;
  readonly requests: number;
  readonly seed: number;
  readonly nodes: readonly NodeShare[];
  /** Requests per entry that a uniform draw makes: k/N. */
  readonly expectedPerEntry: number;
  /** What the original publishes as expectation; undefined for one entry, where its formula divides by zero. */
  readonly published: number | undefined;
}

export interface NodeShare {
  readonly node: string;
  /** Entries it has in the list. */
  readonly weight: number;
  readonly drawn: number;
  /** k/N for each of its entries. */
  readonly expected: number;
}

/** Draws `requests` times over the entries, of which the same node may have several, as the `prg` balancer does. */
export function drawDistribution(entries: readonly string[], requests: number, seed: number): Distribution {
  const prg = createPrg(seed);
  const drawn = new Map<string, number>(entries.map((node) => [node, 0]));
  for (let i = 0; i < requests; i++) {
    const node = entries[prg.below(entries.length)] as string;
    drawn.set(node, (drawn.get(node) ?? 0) + 1);
  }
  const expectedPerEntry = requests / entries.length;
  const nodes = [...drawn].map(([node, count]) => {
    const weight = entries.filter((entry) => entry === node).length;
    return { node, weight, drawn: count, expected: expectedPerEntry * weight };
  });
  return { entries: entries.length, requests, seed, nodes, expectedPerEntry, published: publishedExpectation(entries.length, requests) };
}

/**
 * What the original publishes as the expected number of requests per node, for `nodes` nodes and `requests` requests:
 *
 *     (N^(k+2) - k*N^2 + k*N - 1) / (N^(k+3) - 2*N^(k+2) + N^(k+1))
 *
 * It is not the expectation of a uniform draw, which is k/N. Undefined for fewer than two nodes: it divides by zero.
 */
export function publishedExpectation(nodes: number, requests: number): number | undefined {
  if (nodes < 2) return undefined;
  // Both sides divided by N^(k+1), which is beyond every number soon.
  const rest = (requests * nodes * nodes - requests * nodes + 1) / nodes ** (requests + 1);
  return (nodes - rest) / (nodes - 1) ** 2;
}
