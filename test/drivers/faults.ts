import type { Test } from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { expectCode } from "../contract/board.ts";
import { openDevice, type FakeDeviceContext } from "../helpers/fake-device-context.ts";
import type { Device, DeviceModule, Driver } from "../../agent/contract/device.ts";
import type { SimOperation } from "../../drivers/board/sim/faults.ts";

export function driverNamed({ drivers }: DeviceModule, name: string): Driver {
  const driver = drivers.find((candidate) => candidate.name === name);
  if (driver === undefined) throw new Error(`no driver ${name}`);
  return driver;
}

/** Does something, and goes on after what it throws or rejects with. */
export type Attempt = (run: () => unknown) => Promise<void>;

/** Opens a device, and uses it as the host would, whatever fails on the way. Returns the first error. What did not open keeps nothing, which is checked. */
export async function live(
  t: Test,
  context: FakeDeviceContext,
  driver: Driver,
  options: Readonly<Record<string, unknown>>,
  use: (device: Device, attempt: Attempt) => Promise<void>,
): Promise<unknown> {
  const errors: unknown[] = [];
  const attempt: Attempt = async (run) => {
    try {
      await run();
    } catch (error) {
      errors.push(error);
    }
  };
  let device: Device | undefined;
  await attempt(async () => {
    device = await openDevice(driver, context, options);
  });
  if (device === undefined) t.same(context.board.world.claimed(), [], "what did not open keeps nothing");
  else await use(device, attempt);
  return errors[0];
}

export interface Sweep {
  readonly operations: readonly SimOperation[];
  /** What the board tries once more: it has to fail twice. */
  readonly repeated: SimOperation;
  readonly createContext: () => FakeDeviceContext;
  /** A device's life; returns the first error that shows. */
  readonly live: (context: FakeDeviceContext) => Promise<unknown>;
}

/**
 * Lives once for each operation of each kind, which fails: the error shows and names it, and neither ports nor timers are left. Returns how many operations
 * that were.
 */
export async function sweepFaults(t: Test, { operations, repeated, createContext, live }: Sweep): Promise<number> {
  let swept = 0;
  for (const operation of operations) {
    for (let nth = 1; ; nth++) {
      const context = createContext();
      const { world } = context.board;
      world.failNth(operation, nth);
      if (operation === repeated) world.failNth(operation, nth + 1);
      const error = await live(context);
      t.same(world.claimed(), []);
      t.equal(context.clock.pending(), 0, `${operation} ${nth}: timers left`);
      if (world.pendingFailures() > 0) {
        t.equal(error, undefined, `${operation} ${nth} does not happen`);
        break;
      }
      t.ok(
        error instanceof AgentError && error.code === "IO" && error.message.includes(operation),
        `${operation} ${nth}: ${String(error)}`,
      );
      swept += 1;
    }
  }
  return swept;
}

/** A device whose variables have no room does not open, and gives its ports back. */
export async function openWithoutRoom(
  t: Test,
  context: FakeDeviceContext,
  driver: Driver,
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const full: FakeDeviceContext = {
    ...context,
    publish(name) {
      throw new AgentError("FULL", `no slot is free for ${name}`);
    },
  };
  await expectCode(t, "FULL", ["no slot is free"], () => openDevice(driver, full, options));
  t.same(context.board.world.claimed(), [], driver.name);
}
