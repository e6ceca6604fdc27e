import { z } from "zod";

import type { SafeTarget } from "../../agent/contract/device.ts";

/** A state that is either on or off, as a configuration says it. */
export const onOffSchema = z.enum(["on", "off"]);

/** Whether a device that is either on or off is on in the state `to`. A value is on unless it is 0 or false. */
export function isOnIn(to: SafeTarget, safeOn: boolean): boolean {
  if (to === "safe") return safeOn;
  return to !== "off" && Boolean(to.value);
}
