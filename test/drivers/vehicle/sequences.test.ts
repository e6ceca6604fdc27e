// Random commands, speeds, stalls and losses: whatever comes, what is written keeps the limits. The limits are stated here once more, on their own.
import fc from "fast-check";
import t from "tap";

import {
  angleOf,
  CHANNELS,
  CLUTCH,
  GEAR,
  openCar,
  openWheels,
  percentOf,
  POSITIONS,
  TICK_MS,
  type Rig,
} from "../../../bench/campaigns/limits/rig.ts";

type Step =
  | { readonly kind: "drive"; readonly acceleratorPercent: number; readonly brakePercent: number; readonly ticks: number }
  | { readonly kind: "call"; readonly name: string; readonly args: Readonly<Record<string, unknown>> }
  | { readonly kind: "speed"; readonly value: number | string }
  | { readonly kind: "late"; readonly missed: number }
  | { readonly kind: "wait"; readonly ticks: number }
  | { readonly kind: "arm" }
  | { readonly kind: "safe" }
  | { readonly kind: "off" };

const percent = fc.oneof(fc.constantFrom(0, 0, 0, 100, 50, -1, 101), fc.double({ min: 0, max: 100, noNaN: true }));
const ticks = fc.integer({ min: 1, max: 120 });

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("drive" as const), acceleratorPercent: percent, brakePercent: percent, ticks }) },
  { weight: 4, arbitrary: fc.constant({ kind: "arm" as const }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("call" as const),
      name: fc.constant("gear"),
      args: fc.record({ gear: fc.constantFrom("P", "R", "N", "D", "1", "2") }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("call" as const),
      name: fc.constant("clutch"),
      args: fc.record({ percent: fc.constantFrom(0, 50, 100) }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("speed" as const),
      value: fc.constantFrom<number | string>(0, 0, 0.05, 1, 2.9, -1, 10, 24, 30, "?"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("late" as const), missed: fc.integer({ min: 1, max: 300 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("wait" as const), ticks }) },
  { weight: 1, arbitrary: fc.constantFrom({ kind: "safe" as const }, { kind: "off" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "call" as const, name: "disarm", args: {} }) },
);

/** What is seen at the ports, and what was known, tick by tick. */
interface Seen {
  readonly accelerator: number;
  readonly brake: number;
  readonly clutch: number;
  readonly gear: number;
  readonly armed: boolean;
  readonly speed: number;
}

const LAST_MS = 20;
const EPSILON = 1e-4;

/** What is wrong with going from `before` to `now`; empty when nothing is. */
function violations(before: Seen, now: Seen): string[] {
  const wrong: string[] = [];
  const check = (holds: boolean, what: string): void => {
    if (!holds) wrong.push(`${what}: ${JSON.stringify(before)} to ${JSON.stringify(now)}`);
  };
  const perStep = (perS: number): number => (perS * LAST_MS) / 1000 + EPSILON;
  check(now.accelerator <= 10 + EPSILON, "acceleration above 2 m/s² of 20");
  check(now.brake <= 350 / 9 + EPSILON, "deceleration above 3.5 m/s² of 9");
  check(now.accelerator - before.accelerator <= perStep(25), "accelerator pressed faster than 5 m/s³ of 20 m/s²");
  check(now.brake - before.brake <= perStep(1000 / 9), "brake pressed faster than 10 m/s³ of 9 m/s²");
  check(before.brake - now.brake <= perStep(500 / 9), "brake released faster than 5 m/s³ of 9 m/s²");
  check(!(now.accelerator > EPSILON && now.brake > EPSILON), "accelerator with brake");
  check(now.armed || now.accelerator <= EPSILON, "accelerator while disarmed");
  check(!(now.accelerator > EPSILON && now.speed >= 25), "accelerator above 25 m/s");
  check(Math.abs(now.clutch - before.clutch) <= perStep(200), "clutch faster than 200 %/s");
  if (now.gear !== before.gear && now.gear > 0 && before.gear > 0) {
    check(before.accelerator <= EPSILON, "gear changed with the accelerator pressed");
    check(before.clutch >= 90 - EPSILON, "gear changed with the clutch released");
    check(now.speed <= 3, "gear changed above 3 m/s");
    check(now.speed <= 0.1 || (now.gear !== POSITIONS.P && now.gear !== POSITIONS.R), "P or R while it rolls");
  }
  return wrong;
}

/** A pedal without a pulse counts as where it was: nothing is pressed by it. */
function look(rig: Rig, speed: number, before: Seen | undefined): Seen {
  const at = (channel: number, otherwise: number): number => (rig.pulseUs(channel) === 0 ? otherwise : percentOf(rig.pulseUs(channel)));
  const silent = rig.pulseUs(CHANNELS.accelerator) === 0;
  return {
    accelerator: at(CHANNELS.accelerator, 0),
    brake: at(CHANNELS.brake, 0),
    clutch: silent ? 100 : at(CHANNELS.clutch, 100),
    gear: rig.pulseUs(CHANNELS.gear),
    armed: rig.published.get("armed") === true || (before === undefined ? false : rig.published.get("phase") === "armed"),
    speed,
  };
}

async function runSequence(steps: readonly Step[]): Promise<readonly string[]> {
  const rig = await openCar({ ...GEAR, ...CLUTCH, speed: "speed", limits: { speedStaleMs: 2000 }, streamHz: 10 });
  let speed: number | string = 0;
  let target = { acceleratorPercent: 0, brakePercent: 0 };
  let before = look(rig, 0, undefined);
  const wrong: string[] = [];
  const tick = (missed = 0): void => {
    rig.set("speed", speed);
    rig.tick(missed);
    const now = look(rig, typeof speed === "number" ? Math.abs(speed) : 0, before);
    // Switched off, everything is let go at once: that is no movement by a limit.
    const silenced = rig.pulseUs(CHANNELS.accelerator) === 0;
    if (!silenced && before.brake !== -1) wrong.push(...violations(before, now));
    before = now;
  };
  const acts: { readonly [Kind in Step["kind"]]: (of: Extract<Step, { kind: Kind }>) => void } = {
    drive(of) {
      target = { acceleratorPercent: of.acceleratorPercent, brakePercent: of.brakePercent };
      for (let i = 0; i < of.ticks; i++) {
        rig.call("drive", target);
        tick();
      }
    },
    arm() {
      // A stream of the brake, as somebody at the wheel would give it.
      for (let i = 0; i < 210; i++) {
        rig.call("drive", { acceleratorPercent: 0, brakePercent: 38 });
        tick();
      }
      rig.call("drive", { acceleratorPercent: 0, brakePercent: 38 });
      rig.set("speed", speed);
      rig.call("arm");
    },
    call: ({ name, args }) => void rig.call(name, args),
    speed({ value }) {
      speed = value;
    },
    late: ({ missed }) => tick(missed),
    wait({ ticks: count }) {
      for (let i = 0; i < count; i++) tick();
    },
    safe: () => void rig.device.failsafe?.("safe"),
    off() {
      void rig.device.failsafe?.("off");
      before = look(rig, 0, undefined);
    },
  };
  for (const of of steps) {
    (acts[of.kind] as (step: Step) => void)(of);
    if (wrong.length > 0) break;
  }
  return wrong;
}

t.test("whatever is commanded, whatever the speed does and however late the loop is, the pedals keep their limits", async (t) => {
  let driven = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const wrong = await runSequence(steps);
      driven += steps.length;
      if (wrong.length > 0) throw new Error(wrong[0]);
    }),
    { numRuns: 60, seed: 20 },
  );
  t.ok(driven > 500);
});

t.test("the same sequences do drive: it is not that nothing ever moves", async (t) => {
  const rig = await openCar({ ...GEAR, ...CLUTCH, speed: "speed" });
  const all: Step[] = [{ kind: "arm" }, { kind: "drive", acceleratorPercent: 10, brakePercent: 0, ticks: 300 }];
  t.same(await runSequence(all), []);
  rig.run(2100, () => {
    rig.set("speed", 0);
    rig.call("drive", { acceleratorPercent: 0, brakePercent: 38 });
  });
  t.equal(rig.call("arm"), true);
  rig.run(3000, () => {
    rig.set("speed", 0);
    rig.call("drive", { acceleratorPercent: 10, brakePercent: 0 });
  });
  t.equal(percentOf(rig.pulseUs(CHANNELS.accelerator)), 10);
});

t.test("a sequence that breaks a limit would be seen", (t) => {
  const still: Seen = { accelerator: 0, brake: 0, clutch: 100, gear: POSITIONS.N, armed: true, speed: 0 };
  const seen = (change: Partial<Seen>, from: Partial<Seen> = {}): number =>
    violations({ ...still, ...from }, { ...still, ...change }).length;
  t.equal(seen({}), 0);
  t.ok(seen({ accelerator: 1 }) > 0);
  t.ok(seen({ brake: 3 }) > 0);
  t.ok(seen({ brake: 1 }, { brake: 3 }) > 0);
  t.ok(seen({ accelerator: 0.1, brake: 1 }) > 0);
  t.ok(seen({ accelerator: 0.1, armed: false }) > 0);
  t.ok(seen({ clutch: 90 }) > 0);
  t.ok(seen({ gear: POSITIONS.D, speed: 3.1 }) > 0);
  t.ok(seen({ gear: POSITIONS.R, speed: 1 }) > 0);
  t.equal(seen({ gear: POSITIONS.D, speed: 1 }), 0);
  t.end();
});

t.test("whatever is commanded, whatever the speed does and however late the loop is, the wheels keep their limits", async (t) => {
  const command = fc.record({
    angleDeg: fc.oneof(fc.constantFrom(-35, 35, 0, 36, -36), fc.double({ min: -35, max: 35, noNaN: true })),
    speedMps: fc.constantFrom(0, 1, 5, -5, 12, 22, 27, 35),
    ticks: fc.integer({ min: 1, max: 60 }),
    missed: fc.constantFrom(0, 0, 0, 0, 1, 3, 200),
    arm: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 3, maxLength: 25 }), async (commands) => {
      const rig = await openWheels({ speed: "speed" });
      let beforeDeg: number | undefined;
      const tick = (speedMps: number, missed: number): void => {
        rig.set("speed", speedMps);
        rig.tick(missed);
        const pulseUs = rig.pulseUs(CHANNELS.angle);
        const nowDeg = pulseUs === 0 ? undefined : angleOf(pulseUs);
        if (nowDeg !== undefined && beforeDeg !== undefined) checkWheels(beforeDeg, nowDeg, Math.abs(speedMps));
        beforeDeg = nowDeg;
      };
      for (const { angleDeg, speedMps, ticks: count, missed, arm } of commands) {
        for (let i = 0; i < (arm ? 210 : count); i++) {
          rig.call("angle", { angleDeg: arm ? 0 : angleDeg });
          tick(speedMps, i === 0 ? missed : 0);
        }
        rig.set("speed", speedMps);
        if (arm) rig.call("arm");
      }
    }),
    { numRuns: 60, seed: 21 },
  );
  t.equal(TICK_MS, 10);
});

const DEG = 180 / Math.PI;
const WHEELBASE_M = 2.5;

function checkWheels(beforeDeg: number, nowDeg: number, speedMps: number): void {
  const fail = (what: string): never => {
    throw new Error(`${what}: ${beforeDeg}° to ${nowDeg}° at ${speedMps} m/s`);
  };
  const lateral = (angleDeg: number): number => (speedMps ** 2 * Math.tan(angleDeg / DEG)) / WHEELBASE_M;
  if (Math.abs(nowDeg) > 35 + EPSILON) fail("out of range");
  if (Math.abs(nowDeg - beforeDeg) > (57.3 * LAST_MS) / 1000 + EPSILON) fail("turned too fast");
  const beyond = Math.abs(lateral(nowDeg)) > 3 + 1e-3;
  if (beyond && Math.abs(nowDeg) > Math.abs(beforeDeg) + EPSILON) fail("further beyond 3 m/s²");
  // Within the tighter limit just after arming nothing but the jerk decides how fast the wheels turn.
  if (Math.abs(lateral(beforeDeg)) < 2 && Math.abs(lateral(nowDeg) - lateral(beforeDeg)) > (3 * LAST_MS) / 1000 + 1e-2)
    fail("jerk above 3 m/s³");
}
