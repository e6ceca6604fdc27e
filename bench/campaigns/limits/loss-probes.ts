import { accelerator, armed, brake, drive, FULL, isArmed, limited, SPEED, steepest } from "./pedal-rig.ts";
import { arm, GEAR, TICK_MS, type Options, type Rig } from "./rig.ts";
import { streamProbes } from "./stream-probes.ts";
import type { Probe } from "./probe.ts";

/** Arms with a stream of commands every `periodMs` for `ms`; the code it answers, or true. */
async function armAfter(limits: Options, periodMs: number, ms: number, more: Options = {}): Promise<unknown> {
  const rig = await limited(limits, more);
  for (let at = 0; at < ms; at += periodMs) {
    drive(rig, 0, 100);
    for (let ticks = 0; ticks < periodMs; ticks += TICK_MS) rig.tick();
  }
  drive(rig, 0, 100);
  return rig.call("arm");
}

/** Missed ticks until the loop is judged. */
async function afterMissed(limits: Options, missed: number): Promise<Rig> {
  const rig = await armed(limits);
  rig.run(3000, () => drive(rig, 25, 0));
  for (let left = missed; left > 0; left--) {
    drive(rig, 25, 0);
    rig.tick(1);
  }
  return rig;
}

/** So many ticks that a hundredth of one is forgiven for each do not matter: `missed` in one gap. */
async function afterGap(limits: Options, missed: number): Promise<Rig> {
  const rig = await armed(limits);
  rig.run(3000, () => drive(rig, 25, 0));
  drive(rig, 25, 0);
  rig.tick(missed);
  return rig;
}

/** Nobody drives any more: the brake, tick by tick. */
async function lost(limits: Options, more: Options = {}): Promise<Rig> {
  const rig = await armed(limits, more);
  void rig.device.failsafe?.("safe");
  return rig;
}

/** Milliseconds until `stage` is published. */
function msUntil(rig: Rig, stage: string, before: () => void = () => undefined): number {
  for (let ms = 0; ms < 300_000; ms += TICK_MS) {
    if (rig.published.get("stage") === stage) return ms;
    before();
    rig.tick();
  }
  return Infinity;
}

/** Arming, the loss of who drives, and a control loop that is late. */
export const LOSS_PROBES: Readonly<Record<string, Probe>> = {
  brakePressedPercent: async (value) => {
    const answer = async (percent: number): Promise<unknown> => {
      const rig = await limited({ brakePressedPercent: value });
      return arm(rig, () => drive(rig, 0, percent));
    };
    return [
      { what: "below", expected: "NOT_READY", actual: await answer(value - 0.1) },
      { what: "at", expected: true, actual: await answer(value) },
      { what: "above", expected: true, actual: await answer(Math.min(100, value + 0.1)) },
    ];
  },
  degradedAccelerationMps2: async (value) => {
    const rig = await afterGap({ degradedAccelerationMps2: value, degradeMissed: 3 }, 5);
    rig.run(100, () => drive(rig, 25, 0));
    return [
      { what: "late", expected: value * (100 / FULL.accelerator), actual: accelerator(rig) },
      { what: "late: armed", expected: true, actual: isArmed(rig) },
    ];
  },
  degradeMissed: async (value) => {
    const at = await afterGap({ degradeMissed: value, degradedAccelerationMps2: 1 }, value);
    const below = await afterGap({ degradeMissed: value, degradedAccelerationMps2: 1 }, value - 1);
    return [
      { what: "below", expected: 25, actual: accelerator(below) },
      { what: "at", expected: 5, actual: accelerator(at) },
      { what: "at: armed", expected: true, actual: isArmed(at) },
    ];
  },
  stopMissed: async (value) => {
    const limits = { degradeMissed: value - 1, stopMissed: value };
    const below = await afterGap(limits, value - 1);
    const at = await afterGap(limits, value);
    const few = await afterMissed({ degradeMissed: 1, stopMissed: value }, Math.ceil(value * 1.05));
    return [
      { what: "below: armed", expected: true, actual: isArmed(below) },
      { what: "at: armed", expected: false, actual: isArmed(at) },
      { what: "at: accelerator", expected: 0, actual: accelerator(at) },
      { what: "one by one: armed", expected: false, actual: isArmed(few) },
    ];
  },
  lossDecelerationMps2: async (value) => {
    const rig = await lost({ lossDecelerationMps2: value });
    rig.run(1000);
    return [
      { what: "brake", expected: value * (100 / FULL.brake), actual: brake(rig) },
      { what: "accelerator", expected: 0, actual: accelerator(rig) },
    ];
  },
  lossJerkMps3: async (value) => {
    const rig = await lost({ lossJerkMps3: value, brakeJerkMps3: 80 });
    // Two and a half m/s² are there after one tick of the steepest.
    return [{ what: "rising", expected: Math.min(1000, value * (100 / FULL.brake)), actual: steepest(rig, 30, brake, () => undefined) }];
  },
  lossStopMs: async (value) => {
    const answer = async (ms: number): Promise<unknown> => {
      const rig = await armed({ lossStopMs: value }, GEAR);
      rig.run(ms, () => drive(rig, 0, 50));
      return rig.call("gear", { gear: "R" });
    };
    // The brake takes six ticks to the 28 % that are 2.5 m/s²; the tick in which it gets there counts.
    return [
      { what: "held after", expected: value, actual: msUntil(await lost({ lossStopMs: value }), "hold") },
      { what: "braked for less", expected: "LIMIT", actual: await answer(value) },
      { what: "braked for longer", expected: "R", actual: await answer(value + 50) },
    ];
  },
  holdMs: async (value) => {
    const rig = await lost({ holdMs: value }, SPEED);
    const stands = (): void => rig.set("speed", 0);
    stands();
    msUntil(rig, "hold", stands);
    // A stage takes one tick at least.
    return [{ what: "done after", expected: Math.max(TICK_MS, value), actual: msUntil(rig, "done", stands) }];
  },
  standstillMps: async (value) => {
    const answer = async (speedMps: number): Promise<unknown> => {
      const rig = await limited({ standstillMps: value }, SPEED);
      return arm(rig, () => {
        rig.set("speed", speedMps);
        drive(rig, 0, 0);
      });
    };
    return [
      { what: "below", expected: true, actual: await answer(value * 0.9) },
      { what: "at", expected: true, actual: await answer(value) },
      { what: "above", expected: "NOT_READY", actual: await answer(value * 1.1) },
      { what: "at, backwards", expected: true, actual: await answer(-value) },
      { what: "above, backwards", expected: "NOT_READY", actual: await answer(-value * 1.1) },
    ];
  },
  speedStaleMs: async (value) => {
    const after = async (ageMs: number): Promise<Rig> => {
      const rig = await armed({ speedStaleMs: value }, SPEED);
      rig.set("speed", 1);
      rig.run(ageMs, () => drive(rig, 5, 0));
      return rig;
    };
    const [below, at, above] = [await after(value - TICK_MS), await after(value), await after(value + TICK_MS)];
    return [
      { what: "below: armed", expected: true, actual: isArmed(below) },
      { what: "at: armed", expected: true, actual: isArmed(at) },
      { what: "above: armed", expected: false, actual: isArmed(above) },
      { what: "above: accelerator", expected: 0, actual: accelerator(above) },
    ];
  },
  ...streamProbes(armAfter),
  transitionMs: async (value) => {
    const rig = await limited({ transitionMs: value, transitionAccelerationMps2: 1 });
    arm(rig, () => drive(rig, 0, 100));
    let ms = 0;
    for (; ms < 100_000; ms += TICK_MS) {
      drive(rig, 25, 0);
      rig.tick();
      if (accelerator(rig) > 5.1) break;
    }
    return [{ what: "accelerates freely after", expected: Math.max(value, 190), actual: ms + TICK_MS }];
  },
};
