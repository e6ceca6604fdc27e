import { callDevice, createFakeDeviceContext, openDevice } from "../../../test/helpers/fake-device-context.ts";
import type { SimSerialWorld } from "../../../drivers/board/sim/serial.ts";
import type { Subject } from "./subjects.ts";

export const PATH = "/dev/serial/by-id/usb-instrument-if00";

/** What one life of a device showed. */
export interface Trial {
  /** `name=value`, each once. */
  readonly published: ReadonlySet<string>;
  /** The same, of what was published after `world` was done. */
  readonly afterwards: ReadonlySet<string>;
  readonly faults: readonly unknown[];
  /** Sum of the counters of what was wrong. */
  readonly errors: number;
  /** Timers that outlived the device, without those of its instrument. */
  readonly leftTimers: number;
}

export interface Trouble {
  /** Before the device is opened. */
  before?(world: SimSerialWorld): void;
  /** After it was at work for a while; what it does has ended when it returns. */
  during?(world: SimSerialWorld, advance: (ms: number) => Promise<void>): Promise<void>;
}

/** Opens the device on the simulated board, gives it trouble, and then time to recover. */
export async function trial(subject: Subject, trouble: Trouble): Promise<Trial> {
  const { driver, options, settleMs, errors } = subject;
  const context = createFakeDeviceContext({ id: "x" });
  const world = context.board.world.serial(PATH);
  world.attach(subject.instrument());
  trouble.before?.(world);
  const device = await openDevice(driver, context, { path: PATH, retryMinMs: 10, retryMaxMs: 100, ...options });
  await context.clock.advance(settleMs);
  await trouble.during?.(world, (ms) => context.clock.advance(ms));
  world.alter(undefined);
  world.plug();
  const from = context.published.length;
  await context.clock.advance(settleMs * 2);
  const counted = errors === undefined ? {} : ((await callDevice(device, errors.read)) as Readonly<Record<string, unknown>>);
  const sum = (errors?.counters ?? []).reduce((total, name) => total + Number(counted[name]), 0);
  const faults = [...context.faults];
  const names = (texts: readonly string[]) => new Set(texts.map((text) => text.slice("x.".length)));
  const result = { published: names(context.published), afterwards: names(context.published.slice(from)), faults, errors: sum };
  await device.close();
  world.unplug();
  return { ...result, leftTimers: context.clock.pending() };
}

/** Values that are no flags and that the undisturbed device did not publish. */
export function invented(subject: Subject, seen: Trial, truth: ReadonlySet<string>): readonly string[] {
  return [...seen.published].filter((text) => !truth.has(text) && !subject.flags.includes(text.split("=")[0] ?? ""));
}

/** What the undisturbed device publishes again and again and this one did not afterwards. */
export function missing(subject: Subject, seen: Trial, steady: ReadonlySet<string>): readonly string[] {
  return [...steady].filter((text) => !seen.afterwards.has(text) && !subject.flags.includes(text.split("=")[0] ?? ""));
}
