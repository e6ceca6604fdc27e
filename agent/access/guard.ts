import { createBackOff, createRates } from "./rates.ts";
import type { Audit } from "../contract/audit.ts";
import type { Clock } from "../contract/clock.ts";
import type { AuthOptions } from "./options.ts";
import type { BackOff, Rates } from "./rates.ts";

/** What all connections of all listeners share to keep an eye on who asks. */
export interface Guard {
  readonly audit: Audit | undefined;
  readonly rates: Rates;
  readonly backOff: BackOff;
  /** Requests refused by a rate, less those let through, after which a connection is closed. */
  readonly maxRefused: number;
  /** Wrong tokens after which a connection is closed. */
  readonly maxWrongTokens: number;
}

export interface GuardOptions extends Omit<AuthOptions, "users" | "usersFile"> {
  readonly clock: Clock;
  readonly audit?: Audit;
}

export function createGuard(options: GuardOptions): Guard {
  const { clock, audit, perSecond, maxAddresses, maxRefused, maxWrongTokens, waitMs, maxWaitMs } = options;
  return {
    audit,
    rates: createRates({ perSecond, maxAddresses, clock }),
    backOff: createBackOff({ free: maxWrongTokens, waitMs, maxWaitMs, maxAddresses, clock }),
    maxRefused,
    maxWrongTokens,
  };
}
