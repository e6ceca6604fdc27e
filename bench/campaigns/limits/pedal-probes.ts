import {
  ACCELERATE,
  accelerator,
  armed,
  brake,
  BRAKE_100,
  clutch,
  drive,
  FULL,
  limited,
  RELEASED,
  SPEED,
  steepest,
  isArmed,
} from "./pedal-rig.ts";
import { CHANNELS, CLUTCH, GEAR, POSITIONS, TICK_MS, type Options, type Rig } from "./rig.ts";
import type { Check, Probe } from "./probe.ts";

/** A pedal's range: refused outside of it, armed or not; carried out inside. */
function rangeProbe(name: string, fullMps2: number, order: (rig: Rig, percent: number) => unknown, read: (rig: Rig) => number): Probe {
  return async (value) => {
    const max = Math.min(100, (100 * value) / fullMps2);
    const related = name === "accelerationMps2" ? { transitionAccelerationMps2: value } : { lossDecelerationMps2: Math.min(value, 2.5) };
    const rig = await armed({ [name]: value, ...related });
    const checks: Check[] = [];
    for (const [what, percent, ok] of [
      ["below", max * 0.9, true],
      ["at", max, true],
      ["above", max * 1.001, false],
      ["far above", 1000, false],
      ["below zero", -0.001, false],
      ["zero", 0, true],
    ] as const) {
      const answer = order(rig, percent);
      checks.push({ what: `${what}, armed`, expected: !ok, actual: answer === "LIMIT" });
      if (!ok) continue;
      rig.run(3000, () => order(rig, percent));
      checks.push({ what: `${what}, driven`, expected: percent, actual: read(rig) });
    }
    const disarmed = await limited({ [name]: value, ...related });
    checks.push({ what: "at, disarmed", expected: "NOT_READY", actual: order(disarmed, max) });
    checks.push({ what: "above, disarmed", expected: "LIMIT", actual: order(disarmed, max * 1.001) });
    disarmed.run(100);
    checks.push({
      what: "disarmed, pulse",
      expected: 0,
      actual: disarmed.pulseUs(CHANNELS.accelerator) + disarmed.pulseUs(CHANNELS.brake),
    });
    return checks;
  };
}

interface RateCase {
  readonly full?: number;
  readonly order: (rig: Rig) => unknown;
  readonly back: (rig: Rig) => unknown;
  readonly read: (rig: Rig) => number;
  /** Percent per second at a limit of this value. */
  readonly rate: (value: number) => number;
  readonly more?: Options;
  readonly limits?: (value: number) => Options;
  /** Falling is not bounded by it. */
  readonly risingOnly?: boolean;
}

/** How fast a pedal moves, up and down: exactly as fast as allowed. */
function rateProbe(name: string, { order, back, read, rate, more = {}, limits = () => ({}), risingOnly = false }: RateCase): Probe {
  return async (value) => {
    const rig = await armed({ [name]: value, transitionMs: 500, ...limits(value) }, more);
    rig.run(3000, () => back(rig));
    const checks: Check[] = [{ what: "rising, armed", expected: rate(value), actual: steepest(rig, 200, read, () => order(rig)) }];
    rig.run(2000, () => order(rig));
    const top = read(rig);
    const fall = steepest(rig, 200, read, () => back(rig));
    checks.push({
      what: risingOnly ? "falling, at once" : "falling, armed",
      expected: risingOnly ? top * (1000 / TICK_MS) : rate(value),
      actual: fall,
    });
    const disarmed = await limited({ [name]: value, ...limits(value) }, more);
    checks.push({
      what: "rising, disarmed",
      expected: 0,
      actual: steepest(
        disarmed,
        200,
        (of) => of.pulseUs(CHANNELS.accelerator) + of.pulseUs(CHANNELS.brake),
        () => order(disarmed),
      ),
    });
    return checks;
  };
}

/** Gears are asked for while `situation` holds; which answers come. */
async function gearAnswer(
  limits: Options,
  more: Options,
  speedMps: number | undefined,
  prepare: (rig: Rig) => void,
  gear = "D",
): Promise<unknown> {
  const rig = await armed(limits, { ...GEAR, ...more, ...(speedMps !== undefined && SPEED) });
  if (speedMps !== undefined) rig.set("speed", speedMps);
  prepare(rig);
  const answer = rig.call("gear", { gear });
  rig.tick();
  const driven = rig.pulseUs(CHANNELS.gear) === POSITIONS[gear as keyof typeof POSITIONS];
  return `${String(answer)}, ${driven ? "driven" : "not driven"}`;
}

const DONE = "D, driven";
const REFUSED = "LIMIT, not driven";

export const PEDAL_PROBES: Readonly<Record<string, Probe>> = {
  accelerationMps2: rangeProbe("accelerationMps2", FULL.accelerator, (rig, percent) => rig.call("accelerator", { percent }), accelerator),
  decelerationMps2: rangeProbe("decelerationMps2", FULL.brake, (rig, percent) => rig.call("brake", { percent }), brake),
  accelerationJerkMps3: rateProbe("accelerationJerkMps3", {
    order: ACCELERATE,
    back: RELEASED,
    read: accelerator,
    rate: (value) => value * (100 / FULL.accelerator),
    limits: (value) => ({ transitionJerkMps3: value }),
    risingOnly: true,
  }),
  brakeJerkMps3: async (value) => {
    const rig = await armed({ brakeJerkMps3: value });
    const rate = Math.min(1000, value * (100 / FULL.brake));
    return [{ what: "rising, armed", expected: rate, actual: steepest(rig, 60, brake, () => BRAKE_100(rig)) }];
  },
  acceleratorSlewPercentPerS: rateProbe("acceleratorSlewPercentPerS", {
    order: ACCELERATE,
    back: RELEASED,
    read: accelerator,
    // The jerk of 80 m/s³ is 400 %/s of this pedal.
    rate: (value) => Math.min(value, 80 * (100 / FULL.accelerator)),
    risingOnly: true,
  }),
  brakeSlewPercentPerS: rateProbe("brakeSlewPercentPerS", {
    order: BRAKE_100,
    back: RELEASED,
    read: brake,
    rate: (value) => Math.min(value, 80 * (100 / FULL.brake)),
  }),
  clutchSlewPercentPerS: rateProbe("clutchSlewPercentPerS", {
    more: CLUTCH,
    order: (rig) => rig.call("clutch", { percent: 100 }),
    back: (rig) => rig.call("clutch", { percent: 0 }),
    read: clutch,
    rate: (value) => value,
  }),
  speedMps: async (value) => {
    const checks: Check[] = [];
    for (const [what, speedMps, expected] of [
      ["below", value * 0.99, 25],
      ["at", value, 0],
      ["above", value * 1.01, 0],
      ["below, backwards", -value * 0.99, 25],
      ["at, backwards", -value, 0],
    ] as const) {
      const rig = await armed({ speedMps: value }, SPEED);
      rig.run(1000, () => {
        rig.set("speed", speedMps);
        drive(rig, 25, 0);
      });
      checks.push({ what, expected, actual: accelerator(rig) });
      checks.push({ what: `${what}: armed`, expected: true, actual: isArmed(rig) });
    }
    return checks;
  },
  gearChangeMps: async (value) => [
    { what: "below", expected: DONE, actual: await gearAnswer({ gearChangeMps: value }, {}, value * 0.9, () => undefined) },
    { what: "at", expected: DONE, actual: await gearAnswer({ gearChangeMps: value }, {}, value, () => undefined) },
    // Up to standstillMps it stands, whatever the limit.
    { what: "above", expected: REFUSED, actual: await gearAnswer({ gearChangeMps: value }, {}, value + 0.11, () => undefined) },
    { what: "at, backwards", expected: DONE, actual: await gearAnswer({ gearChangeMps: value }, {}, -value, () => undefined) },
    { what: "above, backwards", expected: REFUSED, actual: await gearAnswer({ gearChangeMps: value }, {}, -value - 0.11, () => undefined) },
  ],
  gearMs: async (value) => {
    const rig = await armed({ gearMs: value }, { ...GEAR, ...SPEED });
    const stands = (): void => {
      rig.set("speed", 0);
      drive(rig, 25, 0);
    };
    rig.run(6000, () => {
      rig.set("speed", 0);
      drive(rig, 0, 0);
    });
    rig.call("gear", { gear: "D" });
    let releasedMs = 0;
    for (; releasedMs < 10_000; releasedMs += TICK_MS) {
      stands();
      rig.tick();
      if (accelerator(rig) > 0) break;
    }
    return [{ what: "accelerator released", expected: value, actual: releasedMs }];
  },
  clutchPressedPercent: async (value) => {
    const answer = (percent: number): Promise<unknown> =>
      gearAnswer({ clutchPressedPercent: value }, CLUTCH, 0, (rig) => {
        rig.run(500, () => {
          rig.set("speed", 0);
          rig.call("clutch", { percent });
        });
      });
    return [
      { what: "below", expected: REFUSED, actual: await answer(value - 0.5) },
      { what: "at", expected: DONE, actual: await answer(value) },
      { what: "above", expected: DONE, actual: await answer(Math.min(100, value + 0.5)) },
    ];
  },
  transitionAccelerationMps2: async (value) => {
    const rig = await armed({ transitionAccelerationMps2: value, transitionMs: 2000 });
    rig.run(1500, () => drive(rig, 25, 0));
    const during = accelerator(rig);
    rig.run(2000, () => drive(rig, 25, 0));
    return [
      { what: "just after arming", expected: value * (100 / FULL.accelerator), actual: during },
      { what: "later", expected: 25, actual: accelerator(rig) },
    ];
  },
  transitionJerkMps3: async (value) => {
    const rig = await armed({ transitionJerkMps3: value, transitionMs: 2000 });
    const during = steepest(rig, 200, accelerator, () => drive(rig, 25, 0));
    return [{ what: "just after arming", expected: value * (100 / FULL.accelerator), actual: during }];
  },
};
