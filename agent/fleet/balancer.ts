import type { Clock } from "../contract/clock.ts";
import { createPrg } from "./prg.ts";

/**
 * `prg`: drawn, each entry of the list as likely as the others, as virgo_clone did. `least-load`: where it will probably be done soonest.
 * `capability`: as least-load, and among nodes whose device is ready before any whose device is faulted.
 */
export type BalancerKind = "prg" | "least-load" | "capability";

/** A node that could be chosen. */
export interface Candidate {
  readonly name: string;
  /** Entries it has in the list. */
  readonly weight: number;
  /** What it publishes, and what was sent there and is not answered: 0 for idle. */
  readonly load: number;
  /** Whether the device that is wanted is in order there. */
  readonly ready: boolean;
}

export interface Balancer {
  /** Undefined when there are no candidates. */
  choose(candidates: readonly Candidate[], fn?: string): string | undefined;
  /** How long a function took on a node, milliseconds. */
  learned(node: string, fn: string, tookMs: number): void;
  /** How long it probably takes there; undefined as long as nobody knows. */
  expectedMs(node: string, fn: string): number | undefined;
}

export interface BalancerOptions {
  readonly kind: BalancerKind;
  /** 32 bits. The same seed makes the same draws. */
  readonly seed: number;
  readonly clock: Clock;
}

/** Weight of the newest execution time; the half of what is known is gone after about three. */
const SMOOTHING = 0.2;

/** A time is forgotten after this: a node that once was slow gets another chance. */
const FORGET_MS = 60_000;

/** Pairs of node and function whose times are kept; beyond it the one learned longest ago goes. */
const MAX_LEARNED = 10_000;

interface Learned {
  readonly meanMs: number;
  readonly atMs: number;
}

export function createBalancer({ kind, seed, clock }: BalancerOptions): Balancer {
  const prg = createPrg(seed);
  /** The one learned longest ago first. */
  const times = new Map<string, Learned>();

  function known(node: string, fn: string): number | undefined {
    const learned = times.get(keyOf(node, fn));
    return learned === undefined || clock.monotonicMs() - learned.atMs > FORGET_MS ? undefined : learned.meanMs;
  }

  function draw(candidates: readonly Candidate[]): string | undefined {
    const total = candidates.reduce((sum, { weight }) => sum + weight, 0);
    if (total === 0) return undefined;
    let left = prg.below(total);
    return candidates.find(({ weight }) => (left -= weight) < 0)?.name;
  }

  /** Of several that are equally good, one is drawn: all agents see the same figures and must not all choose the same node. */
  function soonest(candidates: readonly Candidate[], fn: string | undefined): string | undefined {
    const expected = candidates.map(({ name }) => (fn === undefined ? undefined : known(name, fn)));
    const seen = expected.filter((time) => time !== undefined);
    // Who has never done it is taken for as quick as the quickest, so that it is tried.
    const unseen = seen.length === 0 ? 1 : Math.min(...seen);
    const costs = candidates.map(({ load }, i) => (1 + load) * Math.max(expected[i] ?? unseen, Number.MIN_VALUE));
    const least = Math.min(...costs);
    return draw(candidates.filter((_, i) => costs[i] === least));
  }

  return {
    choose(candidates, fn) {
      if (kind === "prg") return draw(candidates);
      if (kind === "least-load") return soonest(candidates, fn);
      const ready = candidates.filter((candidate) => candidate.ready);
      return soonest(ready.length > 0 ? ready : candidates, fn);
    },
    learned(node, fn, tookMs) {
      const before = known(node, fn);
      const key = keyOf(node, fn);
      times.delete(key);
      times.set(key, {
        meanMs: before === undefined ? tookMs : before + SMOOTHING * (tookMs - before),
        atMs: clock.monotonicMs(),
      });
      const [oldest] = times.keys();
      if (times.size > MAX_LEARNED && oldest !== undefined) times.delete(oldest);
    },
    expectedMs: known,
  };
}

function keyOf(node: string, fn: string): string {
  return `${node} ${fn}`;
}
