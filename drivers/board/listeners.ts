import type { Cancel } from "../../agent/contract/clock.ts";

/** Who is told of something. One that was added twice is told twice, and cancelled one by one. */
export interface Listeners<Told extends readonly unknown[]> {
  add(listener: (...told: Told) => void): Cancel;
  /** Those that are added meanwhile are not told; those that are cancelled meanwhile, from within others, are not told any more. */
  tell(...told: Told): void;
  clear(): void;
}

interface Subscription<Told extends readonly unknown[]> {
  readonly listener: (...told: Told) => void;
  live: boolean;
}

export function createListeners<Told extends readonly unknown[]>(): Listeners<Told> {
  // Never changed but replaced, so that telling needs no copy.
  let subscriptions: readonly Subscription<Told>[] = [];

  return {
    add(listener) {
      const subscription = { listener, live: true };
      subscriptions = [...subscriptions, subscription];
      return () => {
        if (!subscription.live) return;
        subscription.live = false;
        subscriptions = subscriptions.filter((one) => one !== subscription);
      };
    },
    tell(...told) {
      for (const subscription of subscriptions) if (subscription.live) subscription.listener(...told);
    },
    clear() {
      for (const subscription of subscriptions) subscription.live = false;
      subscriptions = [];
    },
  };
}
