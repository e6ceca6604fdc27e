import fc from "fast-check";
import t from "tap";

import { brakingMps2, corridor, createDrive, drivingOptions, nothing, RAYS, shaken, withThing } from "./scene.ts";

const ROAD = corridor(2.5, 25);

t.test("before the first tables were believed for a while it does not move", (t) => {
  const drive = createDrive();
  t.match(drive.step(undefined, 0), { ok: false, acceleratorPercent: 0, gear: "N" });
  t.match(drive.step(ROAD, undefined), { ok: false, reason: "speed unknown", acceleratorPercent: 0 });
  t.match(drive.step(shaken(ROAD, 1), 0), { ok: true });
  t.end();
});

t.test("without tables it accelerates no more at once, and stops after the stale limit", (t) => {
  const drive = createDrive();
  t.ok(drive.hold(ROAD, 2, 700).acceleratorPercent > 0);
  for (let ms = 0; ms < 100; ms += 10) t.match(drive.step(undefined, 2), { acceleratorPercent: 0 });
  const stopping = drive.step(undefined, 2);
  t.match(stopping, { ok: false, reason: "table late", speedMps: 0 });
  t.ok(brakingMps2(stopping) >= drivingOptions().limits.brakingMps2);
  t.match(drive.step(undefined, 0), { acceleratorPercent: 0 });
  t.ok(drive.step(undefined, 0).brakePercent >= 40, "it holds the vehicle");
  t.match(
    drive.hold(ROAD, 0, 100),
    { acceleratorPercent: 75, ok: true },
    "a stream that comes again is believed: nothing was wrong with its tables",
  );
  t.end();
});

t.test("a table that cannot be believed is believed again only after a while", (t) => {
  for (const [what, table] of [
    ["not 360 numbers", ROAD.slice(0, 359)],
    ["too few readings", ROAD.map((range, ray) => (ray % 2 === 0 ? 0 : range))],
    ["too few readings", ROAD.map(() => Number.NaN)],
    ["impossible jumps", ROAD.map((range, ray) => (ray % 3 === 0 ? range + 2 : range))],
  ] as const) {
    const drive = createDrive();
    drive.hold(ROAD, 2, 700);
    t.match(drive.step(table, 2), { ok: false, reason: what, acceleratorPercent: 0 }, what);
    drive.hold(ROAD, 2, 100);
    t.match(drive.hold(ROAD, 2, 350), { ok: false, reason: "recovering", acceleratorPercent: 0 });
    t.match(drive.hold(ROAD, 2, 250), { ok: true, acceleratorPercent: 75 });
  }
  t.end();
});

t.test("a sensor that repeats itself while the vehicle moves is stuck until something changes", (t) => {
  const drive = createDrive();
  const table = shaken(ROAD, 1);
  for (let i = 0; i < 50; i++) t.not(drive.step(table, 0).reason, "stuck", "standing, nothing changes");
  t.match(drive.step(table, 0.5), { reason: "stuck", ok: false, acceleratorPercent: 0 });
  for (let i = 0; i < 50; i++) t.match(drive.step(table, 0), { reason: "stuck", acceleratorPercent: 0 }, "standing does not repair it");
  t.not(drive.step(shaken(ROAD, 2), 0).reason, "stuck");
  t.end();
});

t.test("an empty field looks the same all the time, and is no stuck sensor", (t) => {
  const drive = createDrive();
  for (let i = 0; i < 50; i++) t.match(drive.step(nothing(), 3), { ok: true });
  t.end();
});

t.test("with few readings it slows down and does not accelerate", (t) => {
  const drive = createDrive();
  drive.hold(ROAD, 2, 700);
  const holes = ROAD.map((range, ray) => (ray % 5 === 0 ? 0 : range));
  for (let i = 0; i < 20; i++)
    t.match(drive.step(shaken(holes, i), 2), { ok: false, reason: "few readings", speedMps: 1, acceleratorPercent: 0 });
  t.end();
});

t.test("a narrow hole is taken for its neighbours, a wide one ahead for an obstacle, one behind for the vehicle itself", (t) => {
  const hole = (from: number, to: number): number[] => {
    const table = [...ROAD];
    for (let deg = from; deg <= to; deg++) table[(deg + RAYS) % RAYS] = 0;
    return table;
  };
  t.ok(createDrive().hold(hole(0, 1), 1, 700).speedMps > 2);
  t.match(createDrive().hold(hole(-5, 5), 1, 700), { speedMps: 0, reason: "obstacle ahead" });
  t.ok(createDrive().hold(hole(150, 200), 1, 700).speedMps > 2);
  t.end();
});

t.test("a hole that opens while driving leaves what was seen there for a moment only", (t) => {
  const drive = createDrive();
  drive.hold(ROAD, 1, 700);
  const table = [...ROAD];
  for (let deg = -5; deg <= 5; deg++) table[(deg + RAYS) % RAYS] = 0;
  t.ok(drive.hold(table, 1, 100).speedMps > 2);
  t.match(drive.hold(table, 1, 100), { speedMps: 0, acceleratorPercent: 0 });
  t.end();
});

t.test("who does not see every way keeps to the one that was free, whatever the goal, and stops hard", (t) => {
  const drive = createDrive();
  const road = corridor(3, 25);
  const before = drive.hold(road, 3, 700, { goalDeg: 0 }).directionDeg;
  const table = [...road];
  for (let deg = 10; deg <= 40; deg++) table[(deg + RAYS) % RAYS] = 0;
  // What was there last stands for 150 ms.
  drive.hold(table, 3, 150, { goalDeg: 0 });
  const plan = drive.hold(table, 3, 600, { goalDeg: -30 });
  t.ok(Math.abs(plan.directionDeg - before) < 1, `from ${before}° to ${plan.directionDeg}°`);
  t.equal(plan.brakePercent, 100);
  t.end();
});

t.test("a speed that is lost stops the vehicle although it sees", (t) => {
  const drive = createDrive();
  drive.hold(ROAD, 2, 700);
  t.match(drive.step(shaken(ROAD, 1), undefined), { ok: false, reason: "speed unknown", acceleratorPercent: 0 });
  let plan = drive.step(shaken(ROAD, 2), undefined);
  for (let ms = 0; ms < 150; ms += 10) plan = drive.step(shaken(ROAD, ms), undefined);
  t.ok(brakingMps2(plan) >= drivingOptions().limits.brakingMps2);
  t.end();
});

t.test("a vertical table that is lost stops the vehicle although it sees", (t) => {
  const drive = createDrive();
  drive.hold(ROAD, 2, 700);
  let plan = drive.step(shaken(ROAD, 1), 2, { vertical: "lost" });
  t.match(plan, { ok: false, reason: "no vertical table", acceleratorPercent: 0 });
  for (let ms = 0; ms < 150; ms += 10) plan = drive.step(shaken(ROAD, ms), 2, { vertical: "lost" });
  t.ok(brakingMps2(plan) >= drivingOptions().limits.brakingMps2);
  t.end();
});

t.test("what walks into free space is yielded to before it is in the way", (t) => {
  const drive = createDrive();
  const road = corridor(6, 30);
  t.not(drive.hold(road, 4, 1200).reason, "something moves");
  // Two metres beside the road, 6 m ahead, walking towards it: 3° in a tenth of a second is 3 m/s.
  let plan = drive.step(withThing(road, 30, 34, 6), 4);
  for (let step = 0; step < 30; step++)
    plan = drive.step(shaken(withThing(road, 30 - Math.floor(step / 3), 34 - Math.floor(step / 3), 6), step), 4);
  t.match(plan, { reason: "something moves", acceleratorPercent: 0 });
  t.equal(plan.brakePercent, 100, "an emergency");
  t.end();
});

t.test("what was seen to move and has gone behind something is not forgotten at once", (t) => {
  const drive = createDrive();
  const road = corridor(6, 30);
  drive.hold(road, 1, 1200);
  for (let step = 0; step < 60; step++)
    drive.step(shaken(withThing(road, 40 - Math.floor(step / 3), 44 - Math.floor(step / 3), 6), step), 1);
  const gone = drive.hold(road, 1, 600);
  t.ok(gone.speedMps < 6, "it may come out again");
  t.equal(gone.reason, "something moves");
  t.equal(drive.hold(road, 0, 2000).reason, "looks no farther");
  t.end();
});

t.test("whatever the tables, it never accelerates with one it cannot believe, and never presses both pedals", (t) => {
  const range = fc.oneof(
    { weight: 5, arbitrary: fc.double({ min: 0, max: 40, noNaN: true }) },
    { weight: 1, arbitrary: fc.constantFrom(0, -1, Number.NaN, Infinity, 1e9) },
  );
  const table = fc.oneof(
    { weight: 3, arbitrary: fc.array(range, { minLength: RAYS, maxLength: RAYS }) },
    { weight: 1, arbitrary: fc.array(range, { maxLength: 400 }) },
    { weight: 2, arbitrary: fc.constantFrom(ROAD, nothing(), corridor(1.2, 3)) },
    { weight: 1, arbitrary: fc.constant(undefined) },
  );
  const speed = fc.oneof(
    { weight: 4, arbitrary: fc.double({ min: 0, max: 10, noNaN: true }) },
    { weight: 1, arbitrary: fc.constant(undefined) },
  );
  const { limits, vehicle } = drivingOptions();
  fc.assert(
    fc.property(fc.array(fc.tuple(table, speed), { maxLength: 40 }), (frames) => {
      const drive = createDrive();
      for (const [next, speedMps] of frames) {
        const plan = drive.step(next, speedMps);
        if (plan.acceleratorPercent > 0 && (!plan.ok || plan.brakePercent > 0)) return false;
        const numbers = [plan.acceleratorPercent, plan.brakePercent, plan.clutchPercent, plan.speedMps, plan.directionDeg];
        if (!numbers.every(Number.isFinite)) return false;
        if (plan.acceleratorPercent < 0 || plan.acceleratorPercent > 100 || plan.brakePercent < 0 || plan.brakePercent > 100) return false;
        if (Math.abs(plan.directionDeg) > vehicle.maxSteeringDeg || plan.speedMps > limits.speedMps) return false;
      }
      return true;
    }),
    { numRuns: 150 },
  );
  t.end();
});
