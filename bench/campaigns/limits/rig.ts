// A vehicle on the simulated board, its control loop ticked by hand: what is written is read from the board's PWM channels.
import { AgentError } from "../../../agent/contract/errors.ts";
import { createFakeClock, type FakeClock } from "../../../test/helpers/fake-clock.ts";
import { createSimBoard, type SimBoard } from "../../../drivers/board/sim/sim-board.ts";
import { gcbafDriver } from "../../../drivers/vehicle/gcbaf.ts";
import { steeringDriver } from "../../../drivers/vehicle/steering.ts";
import type { Device, DeviceContext, Driver } from "../../../agent/contract/device.ts";
import type { VariableValue } from "../../../agent/contract/variable.ts";

export const TICK_MS = 10;

/** Options of a driver as a configuration has them. */
export type Options = Readonly<Record<string, unknown>>;

export interface Rig {
  readonly clock: FakeClock;
  readonly board: SimBoard;
  readonly device: Device;
  /** What the device published last, by name without its own. */
  readonly published: ReadonlyMap<string, VariableValue>;
  readonly faults: readonly unknown[];
  /** What the device answers, or the code of its error. */
  call(name: string, args?: Options): unknown;
  /** One tick of the control loop, after `missed` that did not come. */
  tick(missed?: number): void;
  /** `ms` of ticks, each after `before`. */
  run(ms: number, before?: () => unknown): void;
  /** Sets a variable; it ages from now on. */
  set(name: string, value: VariableValue): void;
  /** Microseconds of the pulse on a channel of chip `sim`; 0 is none. */
  pulseUs(channel: number): number;
}

/** What an earlier device of that name published last. */
export type Found = Readonly<Record<string, VariableValue>>;

interface Measured {
  readonly value: VariableValue;
  readonly atMs: number;
}

async function openRig(id: string, driver: Driver, options: Options, found: Found = {}): Promise<Rig> {
  const clock = createFakeClock();
  const board = createSimBoard({ clock, pwmChannels: 8, historyLimit: 1_000_000 });
  const variables = new Map<string, Measured>(Object.entries(found).map(([name, value]) => [`${id}.${name}`, { value, atMs: 0 }]));
  const published = new Map<string, VariableValue>();
  const faults: unknown[] = [];
  let onTick: (nowMs: number, missed: number) => void = () => undefined;
  const context: DeviceContext = {
    id,
    board,
    clock,
    publish: (name, value) => void published.set(name, value),
    fault: (error) => void faults.push(error),
    variable(name) {
      const measured = variables.get(name);
      if (measured === undefined) return undefined;
      const { value, atMs } = measured;
      return { name, value, unit: undefined, ageMs: clock.monotonicMs() - atMs, stale: false, source: "test", updates: 1 };
    },
    every(_periodMs, tick) {
      onTick = tick;
      return () => {
        onTick = () => undefined;
      };
    },
    offer: () => () => undefined,
  };
  const device = await driver.open(context, driver.options.parse(options));

  function tick(missed = 0): void {
    clock.advanceNow(TICK_MS * (1 + missed));
    onTick(clock.monotonicMs(), missed);
  }

  return {
    clock,
    board,
    device,
    published,
    faults,
    call(name, args = {}) {
      const fn = device.functions[name];
      if (fn === undefined) throw new Error(`no function ${name}`);
      try {
        return fn.call(fn.params.parse(args), new AbortController().signal);
      } catch (error) {
        if (error instanceof AgentError) return error.code;
        throw error;
      }
    },
    tick,
    run(ms, before) {
      for (let at = 0; at < ms; at += TICK_MS) {
        before?.();
        tick();
      }
    },
    set: (name, value) => void variables.set(name, { value, atMs: clock.monotonicMs() }),
    // 50 pulses a second; what floating point adds is taken off again.
    pulseUs: (channel) => Number((board.world.duty(`pwm sim:${channel}`) * 20_000).toFixed(6)),
  };
}

/** Channels of chip `sim`. */
export const CHANNELS = { accelerator: 0, brake: 1, clutch: 2, gear: 3, angle: 4 } as const;

const pwm = (channel: number): Options => ({ pwm: { chip: "sim", channel } });

/** Pulses of the gears. */
export const POSITIONS = { P: 1000, R: 1200, N: 1400, D: 1600, 1: 1800, 2: 2000 } as const;

/** The pedal's percent a pulse stands for, by the usual points. */
export function percentOf(pulseUs: number): number {
  return (pulseUs - 1000) / 10;
}

/** The whole pedals are 20 and 9 m/s² unless `options` say otherwise, so that it is the limits that bind. */
export function openCar(options: Options = {}, found?: Found): Promise<Rig> {
  const { accelerator, brake, ...rest } = options as { accelerator?: Options; brake?: Options };
  const pedals = {
    accelerator: { ...pwm(CHANNELS.accelerator), fullMps2: 20, ...accelerator },
    brake: { ...pwm(CHANNELS.brake), fullMps2: 9, ...brake },
  };
  return openRig("car", gcbafDriver, { ...pedals, ...rest }, found);
}

export const CLUTCH: Options = { clutch: pwm(CHANNELS.clutch) };

export const GEAR: Options = { gear: { ...pwm(CHANNELS.gear), positions: POSITIONS } };

/** The wheels' angle is read from points that are good for 90° to either side. */
export function openWheels(options: Options = {}, found?: Found): Promise<Rig> {
  const points = [
    [-90, 600],
    [90, 2400],
  ];
  return openRig("wheel", steeringDriver, { angle: { ...pwm(CHANNELS.angle), points }, wheelbaseM: 2.5, ...options }, found);
}

export function angleOf(pulseUs: number): number {
  return (pulseUs - 1500) / 10;
}

/** Commands at 100 Hz until the stream arms, then arms. Answers what arming answers. */
export function arm(rig: Rig, command: () => unknown, ms = 2100): unknown {
  rig.run(ms, command);
  command();
  return rig.call("arm");
}
