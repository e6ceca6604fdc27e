import type { VariableValue } from "../contract/variable.ts";

/**
 * `safe`: in its safe state. `left`: nothing was done, because it holds what it has by its own configuration, or cannot move anything.
 * `failed`: it could not be reached or did not obey; `reason` says why.
 */
export type SafeOutcome = "safe" | "left" | "failed";

/** What became of one device that was made safe from outside. */
export interface DeviceSafety {
  readonly id: string;
  readonly outcome: SafeOutcome;
  /** From the beginning until this device was done, milliseconds. */
  readonly tookMs: number;
  /** Why it was left or failed. */
  readonly reason: string | undefined;
}

/** What became of all of them. */
export interface SafeReport {
  readonly devices: readonly DeviceSafety[];
  /** Until the last one was done, milliseconds. */
  readonly tookMs: number;
  /** None failed. */
  readonly allSafe: boolean;
  /**
   * Gives back the ports that only one process can have at a time, for another one to open them at once, and resolves with what was driven last, by
   * `device.name` as the devices publish it. What several may send on goes on until `letGo` or `release`. Never rejects.
   */
  readonly handOver: () => Promise<Readonly<Record<string, VariableValue>>>;
  /** Gives back what that device still has: somebody else drives it. Never rejects. */
  readonly letGo: (id: string) => Promise<void>;
  /** Gives the ports back, which are held in their safe state until then. Never rejects. */
  readonly release: () => Promise<void>;
}

/** `pump is safe after 3 ms`, one line. */
export function safetyText({ id, outcome, tookMs, reason }: DeviceSafety): string {
  if (outcome === "safe") return `${id} is safe after ${Math.round(tookMs)} ms`;
  if (outcome === "left") return `${id} is left as it is: ${reason ?? ""}`;
  return `${id} is NOT safe: ${reason ?? ""}`;
}
