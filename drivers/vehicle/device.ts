import { z } from "zod";

import { createPublisher, PERIOD_MS } from "./publisher.ts";
import type { Cancel } from "../../agent/contract/clock.ts";
import type { Device, DeviceContext, DeviceFunction, SafeTarget } from "../../agent/contract/device.ts";
import type { Eventually } from "../../agent/contract/value.ts";
import type { VariableValue } from "../../agent/contract/variable.ts";

/** What a device host has to end in, less what the rest of it needs. */
const MAX_EXIT_STOP_MS = 4000;

export const exitStopMsSchema = z
  .int()
  .min(0)
  .max(MAX_EXIT_STOP_MS)
  .default(MAX_EXIT_STOP_MS)
  .describe(
    "when the agent ends in order while the vehicle is being stopped, it goes on stopping it for so long before it lets go, milliseconds",
  );

export interface VehicleParts {
  readonly control: {
    /** Once a period, at `nowMs`; `missed` periods were left out before. */
    tick(nowMs: number, missed: number): void;
    failsafe(to: SafeTarget): Eventually<void>;
    /** It is on its way to standing. */
    stopping(): boolean;
  };
  /** What is published, as it is now. */
  readonly published: () => Readonly<Record<string, VariableValue>>;
  readonly functions: Readonly<Record<string, DeviceFunction>>;
  readonly ports: { close(): Eventually<void> };
  readonly exitStopMs: number;
}

/** The device around a control loop: it ticks 100 times a second, and what it is at is published also when a tick throws. At an end in order it is closed when the vehicle stands. */
export function createVehicle(context: DeviceContext, { control, published, functions, ports, exitStopMs }: VehicleParts): Device {
  const { clock } = context;
  const publisher = createPublisher(context);
  let onRest: (() => void) | undefined;
  publisher.show(published(), clock.monotonicMs(), true);
  const cancel = context.every(PERIOD_MS, (nowMs, missed) => {
    try {
      control.tick(nowMs, missed);
    } finally {
      publisher.show(published(), nowMs, false);
    }
    if (!control.stopping()) onRest?.();
  });

  async function rest(): Promise<void> {
    if (exitStopMs === 0 || !control.stopping()) return;
    let cancelLimit: Cancel | undefined;
    await new Promise<void>((resolve) => {
      onRest = resolve;
      cancelLimit = clock.after(exitStopMs, resolve);
    });
    cancelLimit?.();
  }

  return {
    functions,
    failsafe: (to) => control.failsafe(to),
    close() {
      cancel();
      return ports.close();
    },
    rest,
    restMs: exitStopMs,
  };
}
