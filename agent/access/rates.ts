import { isIP } from "node:net";

import type { Clock } from "../contract/clock.ts";

/** Requests somebody may send, shared by all connections of that somebody. */
export interface Bucket {
  /** Requests per second; a second's worth may come at once. */
  readonly perSecond: number;
  /** Takes one request: 0 when it may pass, else milliseconds until the next one may. */
  take(): number;
}

export interface Rates {
  /** The bucket of one user; undefined when nothing limits it. */
  ofUser(user: { readonly name: string; readonly perSecond: number | undefined }): Bucket | undefined;
  /** The bucket of all connections from one address that no user is known of; undefined when nothing limits them. */
  ofAddress(address: string): Bucket | undefined;
}

export interface RatesOptions {
  /** `auth.perSecond` */
  readonly perSecond: number | undefined;
  /** Buckets kept for addresses, and for users; the one not asked for longest is forgotten. */
  readonly maxAddresses: number;
  readonly clock: Clock;
}

export function createRates({ perSecond, maxAddresses, clock }: RatesOptions): Rates {
  const users = createBounded<Bucket>(maxAddresses);
  const addresses = createBounded<Bucket>(maxAddresses);

  function bucketIn(kept: Bounded<Bucket>, key: string, rate: number | undefined): Bucket | undefined {
    if (rate === undefined) return undefined;
    const found = kept.get(key);
    const bucket = found?.perSecond === rate ? found : createBucket(rate, clock);
    kept.set(key, bucket);
    return bucket;
  }

  return {
    ofUser: (user) => bucketIn(users, user.name, user.perSecond),
    ofAddress: (address) => bucketIn(addresses, networkOf(address), perSecond),
  };
}

/** Fills with time and not with timers. */
function createBucket(perSecond: number, clock: Clock): Bucket {
  const perMs = perSecond / 1000;
  let left = perSecond;
  let filledMs = clock.monotonicMs();
  return {
    perSecond,
    take() {
      const nowMs = clock.monotonicMs();
      left = Math.min(perSecond, left + (nowMs - filledMs) * perMs);
      filledMs = nowMs;
      if (left < 1) return (1 - left) / perMs;
      left -= 1;
      return 0;
    },
  };
}

/** Addresses from which wrong tokens came. */
export interface BackOff {
  /** Milliseconds until another token from there is looked at; 0 for now. */
  waitMs(address: string): number;
  /** One more was wrong. */
  wrong(address: string): void;
}

export interface BackOffOptions {
  /** Wrong tokens that cost nothing. */
  readonly free: number;
  /** The first wait; each further wrong token doubles it. */
  readonly waitMs: number;
  readonly maxWaitMs: number;
  readonly maxAddresses: number;
  readonly clock: Clock;
}

/** Wrong tokens are forgotten when none has come for this many of the longest waits. A right one forgets nothing: it may be the guesser's own. */
const FORGOTTEN_AFTER_WAITS = 10;

export function createBackOff({ free, waitMs, maxWaitMs, maxAddresses, clock }: BackOffOptions): BackOff {
  const kept = createBounded<{ readonly wrong: number; readonly untilMs: number; readonly forgottenMs: number }>(maxAddresses);
  return {
    waitMs: (address) => Math.max(0, (kept.get(networkOf(address))?.untilMs ?? 0) - clock.monotonicMs()),
    wrong(address) {
      const key = networkOf(address);
      const nowMs = clock.monotonicMs();
      const before = kept.get(key);
      const wrong = (before === undefined || before.forgottenMs <= nowMs ? 0 : before.wrong) + 1;
      const wait = wrong < free ? 0 : Math.min(maxWaitMs, waitMs * 2 ** Math.min(wrong - free, 40));
      kept.set(key, { wrong, untilMs: nowMs + wait, forgottenMs: nowMs + wait + FORGOTTEN_AFTER_WAITS * maxWaitMs });
    },
  };
}

interface Bounded<T> {
  get(key: string): T | undefined;
  /** What was set longest ago makes room. */
  set(key: string, value: T): void;
}

function createBounded<T>(max: number): Bounded<T> {
  const entries = new Map<string, T>();
  return {
    get: (key) => entries.get(key),
    set(key, value) {
      entries.delete(key);
      entries.set(key, value);
      const oldest = entries.keys().next();
      if (entries.size > max && oldest.done !== true) entries.delete(oldest.value);
    },
  };
}

/** Whoever has one IPv6 address has the whole /64 to choose from: its addresses count as one. */
export function networkOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = "", tail] = address.replace(/%.*$/, "").split("::");
  const groups = head === "" ? [] : head.split(":");
  if (tail !== undefined) {
    const after = tail === "" ? 0 : tail.split(":").length;
    while (groups.length + after < 8) groups.push("0");
    if (groups.length < 4 && tail !== "") groups.push(...tail.split(":"));
  }
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":")}::/64`;
}
