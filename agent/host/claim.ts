import { randomBytes } from "node:crypto";

import { AgentError } from "../contract/errors.ts";
import { isLive, keepsOut, NO_LEASE, type Lease } from "./lease.ts";

/**
 * Which of several controllers, each with a network between it and the device, may order now. It ends by the clock of the process that drives the device. Its token
 * changes with every other holder and every new beginning, so that what was ordered before somebody else took over is known for it whenever it arrives.
 */
export interface Claim extends Lease {
  readonly token: string;
}

export const NO_CLAIM: Readonly<Claim> = { ...NO_LEASE, token: "" };

/** Who asks for a device, or orders with a token. */
export interface Claimant {
  readonly caller: string;
  readonly priority: number;
}

/**
 * Makes claims. A token is the run of this process and a number that rises: one of another run was never given here, and is refused like one that is too low.
 * `run`: told from every other run's; random when absent.
 */
export function createClaims(
  run: string = randomBytes(6).toString("hex"),
): (current: Readonly<Claim>, claimant: Claimant, untilMs: number, nowMs: number) => Claim {
  let given = 0;
  return (current, { caller, priority }, untilMs, nowMs) => {
    const renewed = isLive(current, nowMs) && current.holder === caller;
    return { holder: caller, priority, untilMs, token: renewed ? current.token : `${run}.${++given}` };
  };
}

/** Why the device cannot be claimed now; a claim keeps others out as a lease does. */
export function claimRefusal(
  id: string,
  claim: Readonly<Claim>,
  claimant: Claimant,
  exclusive: boolean,
  nowMs: number,
): AgentError | undefined {
  const { caller, priority } = claimant;
  if (!keepsOut(claim, caller, priority, exclusive, nowMs)) return undefined;
  const leftMs = Math.ceil(claim.untilMs - nowMs);
  return new AgentError(
    "IN_USE",
    `${id} is claimed by ${claim.holder} with priority ${claim.priority} for another ${leftMs} ms; ${caller} asked with ${priority}`,
  );
}

/** Why an order with `token` comes too late; undefined for one whose caller holds the claim. */
export function tokenRefusal(id: string, claim: Readonly<Claim>, caller: string, token: string, nowMs: number): AgentError | undefined {
  if (token !== claim.token || caller !== claim.holder) {
    return new AgentError("STALE", `${id}: the token of ${caller} is not the one given last; claim it again`);
  }
  if (isLive(claim, nowMs)) return undefined;
  return new AgentError("STALE", `${id}: the claim of ${caller} ended ${Math.floor(nowMs - claim.untilMs)} ms ago; claim it again`);
}
