import type { Eventually } from "../../agent/contract/value.ts";

/** One thing on the vehicle that takes a number: percent, degrees, or what a gear's position stands for. */
export interface Channel {
  /** Drives `value`. Throws or rejects IO. */
  write(value: number): Eventually<void>;
  /** Drives nothing: no pulse, line released to low, signal at its resting value. */
  silence(): Eventually<void>;
  close(): Eventually<void>;
}
