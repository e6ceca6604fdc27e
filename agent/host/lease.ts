import { AgentError } from "../contract/errors.ts";
import type { LeaseRange } from "../contract/device.ts";

/** Who may drive one device, and until when. `untilMs` at or before now means nobody. */
export interface Lease {
  holder: string;
  priority: number;
  untilMs: number;
}

export const NO_LEASE: Readonly<Lease> = { holder: "", priority: -Infinity, untilMs: -Infinity };

export function isLive(lease: Readonly<Lease>, nowMs: number): boolean {
  return nowMs < lease.untilMs;
}

/**
 * Whether a live lease keeps `caller` out. A higher priority takes over, a lower one is refused (twist_mux: the highest live one wins);
 * among equals the latest command wins, unless the device is `exclusive`: then its holder keeps it.
 */
export function keepsOut(lease: Readonly<Lease>, caller: string, priority: number, exclusive: boolean, nowMs: number): boolean {
  if (!isLive(lease, nowMs)) return false;
  if (priority > lease.priority) return false;
  if (priority < lease.priority) return true;
  return exclusive && caller !== lease.holder;
}

/** The lease length to use: what was asked for if it is within the device's range, else the default. Throws LIMIT naming the range. */
export function leaseLengthMs(subject: string, askedMs: number | undefined, defaultMs: number, range: LeaseRange): number {
  if (askedMs === undefined) return defaultMs;
  if (askedMs >= range.floorMs && askedMs <= range.ceilingMs) return askedMs;
  throw new AgentError(
    "LIMIT",
    `${subject}: a lease of ${askedMs} ms is outside ${range.floorMs} to ${range.ceilingMs} ms; repeat the command instead of asking for longer`,
  );
}
