import { AgentError } from "../contract/errors.ts";
import type { BrokerMessage } from "../contract/broker.ts";
import type { Clock } from "../contract/clock.ts";
import type { CommandMeta } from "./commands.ts";

/** What brokers do to orders: they store them, send them twice, and send them late. None of that may move anything. */
export interface Arrivals {
  /** Whether the broker had stored it: then it is counted, and neither carried out nor answered. */
  isStored(message: BrokerMessage): boolean;
  /** Whether the order may be carried out: false for the second coming of an id, which is counted and not answered. Throws STALE for one whose `exp` has passed. */
  accepts(message: BrokerMessage, meta: CommandMeta): boolean;
  readonly ignoredRetained: number;
  readonly ignoredTwice: number;
  readonly refusedStale: number;
}

export function createArrivals(clock: Clock, rememberedIds: number): Arrivals {
  const seen = new Set<string>();
  let ignoredRetained = 0;
  let ignoredTwice = 0;
  let refusedStale = 0;

  function isSecond(id: string): boolean {
    if (seen.has(id)) return true;
    if (seen.size >= rememberedIds) seen.delete(seen.values().next().value ?? "");
    seen.add(id);
    return false;
  }

  return {
    isStored({ retained }) {
      if (retained) ignoredRetained++;
      return retained;
    },
    accepts({ properties }, meta) {
      const exp = meta.exp ?? (properties["exp"] === undefined ? undefined : Number(properties["exp"]));
      // Whoever sends a time that is none wants one to be kept.
      if (exp !== undefined && !(exp > clock.wallMs())) {
        refusedStale++;
        throw new AgentError("STALE", `the order was to be carried out until ${exp} (exp), and it is ${clock.wallMs()} now; send it again`);
      }
      const id = meta.id ?? properties["id"];
      if (id === undefined || !isSecond(id)) return true;
      ignoredTwice++;
      return false;
    },
    get ignoredRetained() {
      return ignoredRetained;
    },
    get ignoredTwice() {
      return ignoredTwice;
    },
    get refusedStale() {
      return refusedStale;
    },
  };
}
