import type { DeviceContext } from "../../agent/contract/device.ts";
import type { VariableValue } from "../../agent/contract/variable.ts";

/** Of the control loop: 100 Hz (openpilot, ros2_control). */
export const PERIOD_MS = 10;

/** Numbers are published this often at the most. */
const NUMBERS_MS = 100;

/** Publishes what changed: words and yes or no at once, numbers ten times a second. */
export interface Publisher {
  /** With `now` everything that changed. */
  show(values: Readonly<Record<string, VariableValue>>, nowMs: number, now: boolean): void;
}

export function createPublisher({ publish }: Pick<DeviceContext, "publish">): Publisher {
  const shown = new Map<string, VariableValue>();
  let numbersDueMs = -Infinity;
  return {
    show(values, nowMs, now) {
      const numbersToo = now || nowMs >= numbersDueMs;
      if (numbersToo) numbersDueMs = nowMs + NUMBERS_MS;
      for (const name in values) {
        const value = values[name];
        if (value === undefined || value === shown.get(name) || (typeof value === "number" && !numbersToo)) continue;
        publish(name, value);
        shown.set(name, value);
      }
    },
  };
}
