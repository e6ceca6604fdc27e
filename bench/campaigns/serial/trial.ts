import { callDevice } from "../../../test/helpers/fake-device-context.ts";
import { createFakeClock, type FakeClock } from "../../../test/helpers/fake-clock.ts";
import { createSimBoard } from "../../../drivers/board/sim/sim-board.ts";
import { openSubject } from "./open-subject.ts";
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

/** An Arduino takes time to start while it is opened. */
const STEP_MS = 10;
const STEPS = 1000;

/** Moves time on until it settled. Rejects when it does not. */
async function settle<Result>(clock: FakeClock, work: Promise<Result>, what: string): Promise<Result> {
  const settled = Promise.allSettled([work]).then(() => true);
  for (let step = 0; step < STEPS; step++) {
    if ((await Promise.race([settled, clock.advance(STEP_MS)])) === true) return work;
  }
  throw new Error(`${what} did not end within ${STEPS * STEP_MS} ms`);
}

/** Opens the device on the simulated board, gives it trouble, and then time to recover. */
export async function trial(subject: Subject, trouble: Trouble): Promise<Trial> {
  const { settleMs, errors } = subject;
  const clock = createFakeClock();
  const board = createSimBoard({ clock });
  const world = board.world.serial(PATH);
  world.attach(subject.instrument());
  trouble.before?.(world);
  const opened = await settle(clock, openSubject(subject, board, clock, PATH), `opening ${subject.name}`);
  const { device, published, faults: seen } = opened;
  await clock.advance(settleMs);
  await trouble.during?.(world, (ms) => clock.advance(ms));
  world.alter(undefined);
  world.plug();
  const from = published.length;
  await clock.advance(settleMs * 2);
  const counted = errors === undefined ? {} : ((await callDevice(device, errors.read)) as Readonly<Record<string, unknown>>);
  const sum = (errors?.counters ?? []).reduce((total, name) => total + Number(counted[name]), 0);
  const result = { published: new Set(published), afterwards: new Set(published.slice(from)), faults: [...seen], errors: sum };
  await settle(clock, opened.close(), `closing ${subject.name}`);
  world.unplug();
  return { ...result, leftTimers: clock.pending() };
}

/** Values that are no flags and that the undisturbed device did not publish. */
export function invented(subject: Subject, seen: Trial, truth: ReadonlySet<string>): readonly string[] {
  return [...seen.published].filter((text) => !truth.has(text) && !subject.flags.includes(text.split("=")[0] ?? ""));
}

/** What the undisturbed device publishes again and again and this one did not afterwards. */
export function missing(subject: Subject, seen: Trial, steady: ReadonlySet<string>): readonly string[] {
  return [...steady].filter((text) => !seen.afterwards.has(text) && !subject.flags.includes(text.split("=")[0] ?? ""));
}
