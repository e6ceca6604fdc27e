import fc from "fast-check";
import t, { type Test } from "tap";

import {
  ceilingPercent,
  directionOf,
  gearRefusal,
  GEARS,
  lateralAngleDeg,
  lateralReachDeg,
  limitAngle,
  limitClutch,
  limitPedals,
  LONGEST_STEP_MS,
  rangeRefusal,
  steeringRateDegPerS,
  stepSeconds,
  towards,
  type GearSituation,
  type PedalSituation,
} from "../../../drivers/vehicle/limits.ts";
import { pedalLimitsSchema, steeringLimitsSchema } from "../../../drivers/vehicle/limit-table.ts";

const LIMITS = pedalLimitsSchema.parse({});
const STEERING = steeringLimitsSchema.parse({});
const SCALE = { acceleratorMps2: 4, brakeMps2: 7 };
const STILL: PedalSituation = { speedMps: 0, stepMs: 10, inTransition: false, degraded: false, shifting: false };
const RELEASED = { acceleratorPercent: 0, brakePercent: 0 };

/** Within a millionth, which is what floating point leaves of it. */
function near(t: Test, actual: number, expected: number, what: string): void {
  t.ok(Math.abs(actual - expected) < 1e-6, `${what}: ${actual}, ${expected} expected`);
}

t.test("one write makes use of 20 ms at the most, and of none when the clock ran backwards or nobody knows", (t) => {
  t.equal(LONGEST_STEP_MS, 20);
  for (const [stepMs, seconds] of [
    [10, 0.01],
    [20, 0.02],
    [21, 0.02],
    [1e9, 0.02],
    [Infinity, 0.02],
    [0.5, 0.0005],
    [0, 0],
    [-5, 0],
    [NaN, 0],
  ] as const) {
    t.equal(stepSeconds(stepMs), seconds, String(stepMs));
  }
  t.end();
});

t.test("a pedal's ceiling is the percent that asks for the limit, 100 at the most", (t) => {
  t.equal(ceilingPercent(2, 4), 50);
  t.equal(ceilingPercent(4, 4), 100);
  t.equal(ceilingPercent(5, 4), 100);
  t.equal(ceilingPercent(0, 4), 0);
  t.end();
});

t.test("what is out of range is refused with value and range, whatever is no number too", (t) => {
  for (const value of [0, 50, 100]) t.equal(rangeRefusal("brake", value, 0, 100, " %"), undefined);
  t.equal(rangeRefusal("brake", 101, 0, 100, " %"), "brake is 101 %; 0 to 100 % is the range");
  t.equal(rangeRefusal("angle", -36, -35, 35, "°"), "angle is -36°; -35 to 35° is the range");
  t.ok(rangeRefusal("brake", -0.001, 0, 100, " %"));
  t.ok(rangeRefusal("brake", NaN, 0, 100, " %"));
  t.end();
});

t.test("a value moves towards its target, not past it", (t) => {
  t.equal(towards(10, 20, 3, 5), 13);
  t.equal(towards(10, 0, 3, 5), 5);
  t.equal(towards(10, 12, 3, 5), 12);
  t.equal(towards(10, 6, 3, 5), 6);
  t.equal(towards(10, 10, 3, 5), 10);
  t.end();
});

t.test("the brake is pressed and released at its rates", (t) => {
  const pressed = limitPedals(RELEASED, { acceleratorPercent: 0, brakePercent: 50 }, STILL, SCALE, LIMITS);
  // 10 m/s³ of a pedal of 7 m/s² are 143 %/s, less than the 300 %/s it may move.
  near(t, pressed.brakePercent, 1000 / 7 / 100, "pressed");
  t.equal(pressed.limitedBy, "slew");
  const stiff = { acceleratorMps2: 4, brakeMps2: 2 };
  near(t, limitPedals(RELEASED, { acceleratorPercent: 0, brakePercent: 50 }, STILL, stiff, LIMITS).brakePercent, 3, "pressed, slew");
  const held = { acceleratorPercent: 0, brakePercent: 40 };
  // 5 m/s³ of 7 m/s² are 71.4 %/s; of 1 m/s² the 300 %/s bind.
  near(t, limitPedals(held, RELEASED, STILL, SCALE, LIMITS).brakePercent, 40 - 500 / 7 / 100, "released");
  near(t, limitPedals(held, RELEASED, STILL, { acceleratorMps2: 4, brakeMps2: 1 }, LIMITS).brakePercent, 37, "released, slew");
  t.same(limitPedals(held, held, STILL, SCALE, LIMITS), { ...held, limitedBy: "none" });
  t.end();
});

t.test("the brake goes up to the deceleration limit, and not below 0", (t) => {
  let last = { acceleratorPercent: 0, brakePercent: 0 };
  for (let tick = 0; tick < 200; tick++) last = limitPedals(last, { acceleratorPercent: 0, brakePercent: 100 }, STILL, SCALE, LIMITS);
  t.equal(last.brakePercent, 50);
  for (let tick = 0; tick < 200; tick++) last = limitPedals(last, { acceleratorPercent: 0, brakePercent: -50 }, STILL, SCALE, LIMITS);
  t.equal(last.brakePercent, 0);
  t.end();
});

t.test("a brake asked for in no number stays where it is, and keeps the accelerator released", (t) => {
  for (const brakePercent of [NaN, Infinity, -Infinity]) {
    const last = { acceleratorPercent: 0, brakePercent: 30 };
    t.equal(limitPedals(last, { acceleratorPercent: 0, brakePercent }, STILL, SCALE, LIMITS).brakePercent, 30);
  }
  const none = limitPedals(
    { acceleratorPercent: 20, brakePercent: 0 },
    { acceleratorPercent: 20, brakePercent: NaN },
    STILL,
    SCALE,
    LIMITS,
  );
  t.same(none, { acceleratorPercent: 0, brakePercent: 0, limitedBy: "brake" });
  t.end();
});

t.test("the accelerator is pressed at its rate and released at once", (t) => {
  const ask = { acceleratorPercent: 40, brakePercent: 0 };
  // 5 m/s³ of 4 m/s² are 125 %/s: the 100 %/s bind.
  const pressed = limitPedals(RELEASED, ask, STILL, SCALE, LIMITS);
  t.same(pressed, { acceleratorPercent: 1, brakePercent: 0, limitedBy: "slew" });
  // Of 10 m/s² they are 50 %/s.
  near(
    t,
    limitPedals(RELEASED, { ...ask, acceleratorPercent: 15 }, STILL, { ...SCALE, acceleratorMps2: 10 }, LIMITS).acceleratorPercent,
    0.5,
    "jerk",
  );
  t.same(limitPedals({ acceleratorPercent: 40, brakePercent: 0 }, { ...ask, acceleratorPercent: 5 }, STILL, SCALE, LIMITS), {
    acceleratorPercent: 5,
    brakePercent: 0,
    limitedBy: "none",
  });
  t.same(limitPedals({ acceleratorPercent: 40, brakePercent: 0 }, RELEASED, STILL, SCALE, LIMITS), { ...RELEASED, limitedBy: "none" });
  for (const acceleratorPercent of [NaN, Infinity, -Infinity, -1]) {
    const driven = limitPedals({ acceleratorPercent: 40, brakePercent: 0 }, { acceleratorPercent, brakePercent: 0 }, STILL, SCALE, LIMITS);
    t.equal(driven.acceleratorPercent, 0, String(acceleratorPercent));
  }
  t.end();
});

t.test("the brake wins over the accelerator, from the moment it is asked for until it is released", (t) => {
  const both = { acceleratorPercent: 40, brakePercent: 10 };
  const driven = limitPedals({ acceleratorPercent: 40, brakePercent: 0 }, both, STILL, SCALE, LIMITS);
  t.equal(driven.acceleratorPercent, 0);
  t.equal(driven.limitedBy, "brake");
  t.ok(driven.brakePercent > 0);
  const releasing = limitPedals(
    { acceleratorPercent: 0, brakePercent: 10 },
    { acceleratorPercent: 40, brakePercent: 0 },
    STILL,
    SCALE,
    LIMITS,
  );
  t.equal(releasing.acceleratorPercent, 0);
  t.equal(releasing.limitedBy, "brake");
  const frozen = limitPedals(RELEASED, both, { ...STILL, stepMs: 0 }, SCALE, LIMITS);
  t.same(frozen, { ...RELEASED, limitedBy: "brake" }, "also before it has moved");
  const little = { acceleratorPercent: 40, brakePercent: 0.5 };
  t.equal(limitPedals(RELEASED, little, { ...STILL, stepMs: 0 }, SCALE, LIMITS).acceleratorPercent, 0, "however little is asked for");
  const rest = limitPedals({ acceleratorPercent: 0, brakePercent: 0.9 }, { acceleratorPercent: 40, brakePercent: 0 }, STILL, SCALE, LIMITS);
  t.ok(rest.brakePercent > 0 && rest.acceleratorPercent === 0, "however little is left");
  t.end();
});

t.test("the accelerator has the lowest of its ceilings, and says which", (t) => {
  const top = { acceleratorPercent: 100, brakePercent: 0 };
  const at = (acceleratorPercent: number, situation: Partial<PedalSituation>, limits = LIMITS) =>
    limitPedals({ acceleratorPercent, brakePercent: 0 }, top, { ...STILL, stepMs: 20, ...situation }, SCALE, limits);
  t.same(at(50, {}), { acceleratorPercent: 50, brakePercent: 0, limitedBy: "range" });
  t.same(at(25, { inTransition: true }), { acceleratorPercent: 25, brakePercent: 0, limitedBy: "transition" });
  t.same(at(80, { inTransition: true }), { acceleratorPercent: 25, brakePercent: 0, limitedBy: "transition" }, "falls at once");
  t.same(at(25, { degraded: true }), { acceleratorPercent: 25, brakePercent: 0, limitedBy: "degraded" });
  t.equal(at(25, { degraded: true, inTransition: true }).limitedBy, "transition");
  const slow = pedalLimitsSchema.parse({ degradedAccelerationMps2: 0.4 });
  t.same(at(25, { degraded: true, inTransition: true }, slow), { acceleratorPercent: 10, brakePercent: 0, limitedBy: "degraded" });
  const strong = pedalLimitsSchema.parse({ degradedAccelerationMps2: 5 });
  t.same(at(50, { degraded: true }, strong), { acceleratorPercent: 50, brakePercent: 0, limitedBy: "range" });
  t.same(at(50, { speedMps: 25 }), { ...RELEASED, limitedBy: "speed" });
  t.same(at(50, { speedMps: 24.99 }), { acceleratorPercent: 50, brakePercent: 0, limitedBy: "range" });
  t.same(at(50, { speedMps: undefined }), { acceleratorPercent: 50, brakePercent: 0, limitedBy: "range" });
  t.same(at(50, { shifting: true }), { ...RELEASED, limitedBy: "gear" });
  // Just after arming 0.5 m/s³ of 4 m/s² are 12.5 %/s.
  near(t, at(0, { inTransition: true, stepMs: 10 }).acceleratorPercent, 0.125, "transition's jerk");
  t.equal(at(0, { inTransition: true }).limitedBy, "slew");
  t.end();
});

t.test("the clutch moves at its rate between 0 and 100, and stays for what is no number", (t) => {
  t.equal(limitClutch(0, 100, 10, LIMITS), 2);
  t.equal(limitClutch(100, 0, 10, LIMITS), 98);
  t.equal(limitClutch(99, 200, 10, LIMITS), 100);
  t.equal(limitClutch(1, -200, 10, LIMITS), 0);
  t.equal(limitClutch(40, NaN, 10, LIMITS), 40);
  t.equal(limitClutch(40, 41, 10, LIMITS), 41);
  t.end();
});

t.test("gears drive forward, in reverse or not at all", (t) => {
  t.same(GEARS.map(directionOf), [
    "none",
    "reverse",
    "none",
    "forward",
    "forward",
    "forward",
    "forward",
    "forward",
    "forward",
    "forward",
    "forward",
    "forward",
  ]);
  t.end();
});

const PARKED: GearSituation = { acceleratorPercent: 0, clutchPercent: undefined, standing: true, speedMps: 0, rolling: "none" };

t.test("at standstill, with the accelerator released and the clutch pressed, every gear may be changed to every other", (t) => {
  for (const from of GEARS) {
    for (const to of GEARS) {
      for (const clutchPercent of [undefined, 90, 100])
        t.equal(gearRefusal(from, to, { ...PARKED, clutchPercent, rolling: "reverse" }, LIMITS), undefined);
      const same = from === to;
      const refused = (situation: Partial<GearSituation>): boolean =>
        gearRefusal(from, to, { ...PARKED, ...situation }, LIMITS) !== undefined;
      t.equal(refused({ acceleratorPercent: 0.1 }), !same, `${from} to ${to}, accelerator`);
      t.equal(refused({ clutchPercent: 89.9 }), !same, `${from} to ${to}, clutch`);
    }
  }
  t.match(gearRefusal("N", "D", { ...PARKED, acceleratorPercent: 1 }, LIMITS), /accelerator has to be released/);
  t.match(gearRefusal("N", "D", { ...PARKED, clutchPercent: 41.6 }, LIMITS), /pressed to 90 % first; it is at 42 %/);
  t.end();
});

t.test("while it rolls, reverse and park are refused, forward after reverse too, the rest above its speed", (t) => {
  const rolling: GearSituation = { ...PARKED, standing: false, speedMps: 2, rolling: "forward" };
  for (const from of GEARS) {
    for (const to of GEARS) {
      if (from === to) continue;
      const sharp = to === "P" || to === "R";
      const forward = to !== "P" && to !== "R" && to !== "N";
      const refusal = (situation: Partial<GearSituation>): string => gearRefusal(from, to, { ...rolling, ...situation }, LIMITS) ?? "";
      t.equal(refusal({}) !== "", sharp, `${from} to ${to}`);
      t.equal(refusal({ rolling: "reverse" }) !== "", sharp || forward, `${from} to ${to}, rolling backwards`);
      t.equal(refusal({ speedMps: 3 }) !== "", sharp, `${from} to ${to} at the limit`);
      t.not(refusal({ speedMps: 3.01 }), "", `${from} to ${to} above it`);
      t.not(refusal({ speedMps: undefined }), "", `${from} to ${to}, speed unknown`);
    }
  }
  t.equal(gearRefusal("D", "R", rolling, LIMITS), "R is engaged at standstill only");
  t.match(gearRefusal("R", "D", { ...rolling, rolling: "reverse" }, LIMITS), /from reverse to forward/);
  t.match(gearRefusal("D", "N", { ...rolling, speedMps: 3.14 }, LIMITS), /up to 3 m\/s; it is 3.1 m\/s/);
  t.match(gearRefusal("D", "N", { ...rolling, speedMps: undefined }, LIMITS), /without a measured speed/);
  t.end();
});

t.test("the lateral angle is that of the bicycle model", (t) => {
  near(t, lateralAngleDeg(10, 2.5, 3), (Math.atan(0.075) * 180) / Math.PI, "10 m/s");
  near(t, lateralAngleDeg(-10, 2.5, 3), (Math.atan(0.075) * 180) / Math.PI, "backwards");
  t.equal(lateralAngleDeg(0, 2.5, 3), 90);
  near(t, lateralReachDeg(0, 3, 10, 2.5), lateralAngleDeg(10, 2.5, 3), "from straight ahead");
  near(t, lateralReachDeg(lateralAngleDeg(10, 2.5, 1), 2, 10, 2.5), lateralAngleDeg(10, 2.5, 3), "from one side");
  near(t, lateralReachDeg(lateralAngleDeg(10, 2.5, 1), -2, 10, 2.5), -lateralAngleDeg(10, 2.5, 1), "to the other");
  t.equal(lateralReachDeg(10, 1, 0, 2.5), 90);
  t.equal(lateralReachDeg(10, -1, 0, 2.5), -90);
  t.end();
});

t.test("the steering rate falls from 20 to 30 m/s", (t) => {
  for (const [speedMps, rate] of [
    [0, 57.3],
    [20, 57.3],
    [22.5, 54.425],
    [25, 51.55],
    [30, 45.8],
    [60, 45.8],
  ] as const) {
    near(t, steeringRateDegPerS(speedMps, STEERING), rate, `${speedMps} m/s`);
  }
  t.end();
});

const ROLLING = { speedMps: 10, stepMs: 10, inTransition: false };

t.test("wheels turn at their rate where speed does not matter, to either side, and within their range", (t) => {
  const still = { ...ROLLING, speedMps: undefined };
  for (const sign of [1, -1]) {
    t.same(limitAngle(0, sign * 20, still, 2.5, STEERING), { angleDeg: sign * 0.573, limitedBy: "slew" });
    t.same(limitAngle(0, sign * 0.5, still, 2.5, STEERING), { angleDeg: sign * 0.5, limitedBy: "none" });
    t.same(limitAngle(sign * 35, sign * 40, still, 2.5, STEERING), { angleDeg: sign * 35, limitedBy: "lateral" });
    t.same(limitAngle(sign * 35, sign * 35, { ...still, speedMps: 0 }, 2.5, STEERING), { angleDeg: sign * 35, limitedBy: "none" });
  }
  t.same(limitAngle(35, 35, still, 0.05, STEERING), { angleDeg: 35, limitedBy: "none" }, "however short the vehicle is");
  t.same(limitAngle(12, NaN, still, 2.5, STEERING), { angleDeg: 12, limitedBy: "none" });
  t.same(limitAngle(12, 20, { ...still, stepMs: 0 }, 2.5, STEERING), { angleDeg: 12, limitedBy: "slew" });
  t.end();
});

t.test("at speed the lateral acceleration bounds the angle, less of it just after arming, and its jerk the rate", (t) => {
  const boundDeg = lateralAngleDeg(10, 2.5, 3);
  const armingDeg = lateralAngleDeg(10, 2.5, 2);
  for (const sign of [1, -1]) {
    t.same(limitAngle(sign * boundDeg, sign * 20, ROLLING, 2.5, STEERING), { angleDeg: sign * boundDeg, limitedBy: "lateral" });
    const arming = limitAngle(sign * armingDeg, sign * 20, { ...ROLLING, inTransition: true }, 2.5, STEERING);
    near(t, arming.angleDeg, sign * armingDeg, "just after arming");
    // 3 m/s³ for 10 ms are 0.03 m/s².
    near(t, limitAngle(0, sign * 20, ROLLING, 2.5, STEERING).angleDeg, sign * lateralAngleDeg(10, 2.5, 0.03), "jerk, outwards");
    near(t, limitAngle(sign * 2, 0, ROLLING, 2.5, STEERING).angleDeg, lateralReachDeg(sign * 2, sign * -0.03, 10, 2.5), "jerk, inwards");
    // The vehicle became faster: back as fast as the wheels may be turned.
    t.same(limitAngle(sign * 10, sign * 10, ROLLING, 2.5, STEERING), { angleDeg: sign * (10 - 0.573), limitedBy: "slew" });
  }
  t.end();
});

t.test("whatever is asked for, the angle that is written keeps range and rate, and does not go further beyond the lateral limit", (t) => {
  const number = fc.double({ min: -120, max: 120, noNaN: true });
  fc.assert(
    fc.property(
      fc.double({ min: -35, max: 35, noNaN: true }),
      fc.oneof(number, fc.constantFrom(NaN, Infinity, -Infinity)),
      fc.option(fc.double({ min: 0, max: 45, noNaN: true }), { nil: undefined }),
      fc.oneof(fc.constantFrom(0, 10, 20, -10, 1000), fc.double({ min: 0, max: 30, noNaN: true })),
      fc.boolean(),
      (lastDeg, targetDeg, speedMps, stepMs, inTransition) => {
        const { angleDeg } = limitAngle(lastDeg, targetDeg, { speedMps, stepMs, inTransition }, 2.7, STEERING);
        const bound = lateralAngleDeg(speedMps ?? 0, 2.7, inTransition ? 2 : 3);
        const step = 57.3 * Math.min(Math.max(stepMs, 0), 20) * 1e-3 + 1e-9;
        return (
          Math.abs(angleDeg) <= 35 &&
          Math.abs(angleDeg - lastDeg) <= step &&
          (Math.abs(angleDeg) <= bound + 1e-9 || Math.abs(angleDeg) <= Math.abs(lastDeg))
        );
      },
    ),
    { numRuns: 2000 },
  );
  t.end();
});

t.test("whatever is asked for, the pedals that are written keep ranges and rates and are never both pressed", (t) => {
  const percent = fc.oneof(fc.double({ min: -50, max: 150, noNaN: true }), fc.constantFrom(NaN, Infinity, -Infinity, 0, 100));
  fc.assert(
    fc.property(
      fc.constantFrom(
        { acceleratorPercent: 0, brakePercent: 0 },
        { acceleratorPercent: 50, brakePercent: 0 },
        { acceleratorPercent: 0, brakePercent: 50 },
        { acceleratorPercent: 0, brakePercent: 0.5 },
      ),
      fc.record({ acceleratorPercent: percent, brakePercent: percent }),
      fc.record({
        speedMps: fc.option(fc.double({ min: 0, max: 40, noNaN: true }), { nil: undefined }),
        stepMs: fc.constantFrom(0, 10, 20, 500, -10, NaN),
        inTransition: fc.boolean(),
        degraded: fc.boolean(),
        shifting: fc.boolean(),
      }),
      (last, target, situation) => {
        const { acceleratorPercent, brakePercent } = limitPedals(last, target, situation, SCALE, LIMITS);
        const seconds = stepSeconds(situation.stepMs);
        const ceiling = situation.inTransition || situation.degraded ? 25 : 50;
        return (
          acceleratorPercent >= 0 &&
          acceleratorPercent <= ceiling &&
          acceleratorPercent - last.acceleratorPercent <= 100 * seconds + 1e-9 &&
          !(acceleratorPercent > 0 && brakePercent > 0) &&
          !(acceleratorPercent > 0 && (situation.shifting || (situation.speedMps ?? 0) >= 25)) &&
          brakePercent >= 0 &&
          brakePercent <= 50 &&
          Math.abs(brakePercent - last.brakePercent) <= (1000 / 7) * seconds + 1e-9
        );
      },
    ),
    { numRuns: 2000 },
  );
  t.end();
});
