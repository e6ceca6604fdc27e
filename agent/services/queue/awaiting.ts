import type { Cancel } from "../../contract/clock.ts";
import type { Reply } from "../../contract/request.ts";

/** Who waits for the answer to which message. */
export interface Awaiting {
  add(id: number, give: (reply: Reply) => void): Cancel;
  /** Gives everyone who waits for that message what `reply` makes. */
  settle(id: number, reply: () => Reply): void;
}

export function createAwaiting(): Awaiting {
  const waiting = new Map<number, Set<(reply: Reply) => void>>();
  return {
    add(id, give) {
      const others = waiting.get(id) ?? new Set();
      waiting.set(id, others.add(give));
      return () => {
        others.delete(give);
        if (others.size === 0) waiting.delete(id);
      };
    },
    settle(id, reply) {
      const all = waiting.get(id);
      if (all === undefined) return;
      for (const give of [...all]) give(reply());
    },
  };
}
