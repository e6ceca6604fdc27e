import { createPublisher, PERIOD_MS } from "./publisher.ts";
import type { Device, DeviceContext, DeviceFunction, SafeTarget } from "../../agent/contract/device.ts";
import type { Eventually } from "../../agent/contract/value.ts";
import type { VariableValue } from "../../agent/contract/variable.ts";

export interface VehicleParts {
  readonly control: {
    /** Once a period, at `nowMs`; `missed` periods were left out before. */
    tick(nowMs: number, missed: number): void;
    failsafe(to: SafeTarget): Eventually<void>;
  };
  /** What is published, as it is now. */
  readonly published: () => Readonly<Record<string, VariableValue>>;
  readonly functions: Readonly<Record<string, DeviceFunction>>;
  readonly ports: { close(): Eventually<void> };
}

/** The device around a control loop: it ticks 100 times a second, and what it is at is published also when a tick throws. */
export function createVehicle(context: DeviceContext, { control, published, functions, ports }: VehicleParts): Device {
  const publisher = createPublisher(context);
  publisher.show(published(), context.clock.monotonicMs(), true);
  const cancel = context.every(PERIOD_MS, (nowMs, missed) => {
    try {
      control.tick(nowMs, missed);
    } finally {
      publisher.show(published(), nowMs, false);
    }
  });
  return {
    functions,
    failsafe: (to) => control.failsafe(to),
    close() {
      cancel();
      return ports.close();
    },
  };
}
