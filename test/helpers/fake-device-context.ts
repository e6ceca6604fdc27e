import { createFakeClock, type FakeClock } from "./fake-clock.ts";
import { tickEvery } from "../../agent/host/ticker.ts";
import { createSimBoard, type SimBoard, type SimWorld } from "../../drivers/board/sim/sim-board.ts";
import type { Device, DeviceContext, Driver, OfferedChip } from "../../agent/contract/device.ts";
import type { Eventually, Value } from "../../agent/contract/value.ts";
import type { Variable, VariableValue } from "../../agent/contract/variable.ts";

/** What a driver gets to work with, and what it did with it. */
export interface FakeDeviceContext extends DeviceContext {
  readonly board: SimBoard;
  readonly clock: FakeClock;
  /** Everything published, in order: `lamp.on=true`. */
  readonly published: string[];
  /** The latest value published under each name without the device's own. */
  readonly latest: Map<string, VariableValue>;
  readonly faults: unknown[];
  /** Chips it offers now. */
  readonly offers: readonly OfferedChip[];
  /** Sets a variable the device may ask for. */
  setVariable(name: string, value: VariableValue): void;
}

export interface FakeDeviceContextOptions {
  readonly id?: string;
  readonly clock?: FakeClock;
  readonly board?: SimBoard;
}

export function createFakeDeviceContext(options: FakeDeviceContextOptions = {}): FakeDeviceContext {
  const { id = "lamp", clock = createFakeClock() } = options;
  const variables = new Map<string, Variable>();
  const published: string[] = [];
  const latest = new Map<string, VariableValue>();
  const faults: unknown[] = [];
  const offers: OfferedChip[] = [];
  return {
    id,
    clock,
    board: options.board ?? createSimBoard({ clock }),
    published,
    latest,
    faults,
    publish(name, value) {
      published.push(`${id}.${name}=${String(value)}`);
      latest.set(name, value);
    },
    fault(error) {
      faults.push(error);
    },
    variable: (name) => variables.get(name),
    every: (periodMs, tick) =>
      tickEvery(clock, periodMs, (nowMs, missed) => {
        try {
          tick(nowMs, missed);
        } catch (error) {
          faults.push(error);
        }
      }),
    offer(chip) {
      offers.push(chip);
      return () => offers.splice(offers.indexOf(chip), 1);
    },
    offers,
    setVariable(name, value) {
      const updates = (variables.get(name)?.updates ?? 0) + 1;
      variables.set(name, { name, value, unit: undefined, ageMs: 0, stale: false, source: "test", updates });
    },
  };
}

/** Opens a device as the registry does: the options go through the driver's schema, whose errors are thrown. */
export async function openDevice(driver: Driver, context: DeviceContext, options: Readonly<Record<string, unknown>>): Promise<Device> {
  return driver.open(context, driver.options.parse(options));
}

/** Calls a device's function as the supervisor does: the arguments go through its schema. */
export function callDevice(device: Device, name: string, args: Readonly<Record<string, unknown>> = {}): Eventually<Value> {
  const fn = device.functions[name];
  if (fn === undefined) throw new Error(`no function ${name}; there are ${Object.keys(device.functions).join(", ")}`);
  return fn.call(fn.params.parse(args), new AbortController().signal);
}

/** The errors of a driver's options, one line each; none when they fit. */
export function optionErrors(driver: Driver, options: unknown): readonly string[] {
  const result = driver.options.safeParse(options);
  return result.success ? [] : result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
}

/** What happened on a pin, one word each: `output:low high low release:low`. */
export function pinTrace(world: SimWorld, line: string): string {
  const word = (level: boolean): string => (level ? "high" : "low");
  return world
    .history(line)
    .entries.map(({ event, level }) => (event === "level" ? word(level) : `${event}:${word(level)}`))
    .join(" ");
}
