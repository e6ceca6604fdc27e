import fc from "fast-check";
import t from "tap";

import { freeAlong, type Points } from "../../../analytics/driving/arc.ts";
import { requiredBraking, stoppingDistance, stoppingSpeed, yieldingSpeed } from "../../../analytics/driving/speed.ts";
import { brakingMps2, corridor, createDrive, drivingOptions, nothing, RAYS, shaken, withThing } from "./scene.ts";

const OUTLINE = { frontM: 2.5, rearM: 0.6, halfWidthM: 0.75 };

function pointsOf(...places: readonly (readonly [number, number])[]): Points {
  return { x: Float64Array.from(places, ([x]) => x), y: Float64Array.from(places, ([, y]) => y), count: places.length };
}

t.test("on a free road it speeds up to its limit, straight on", (t) => {
  const drive = createDrive();
  const standing = drive.hold(nothing(), 0, 700);
  t.match(standing, { ok: true, reason: "looks no farther", brakePercent: 0, fuel: "on", gear: "D" });
  t.equal(standing.acceleratorPercent, 75, "1.5 m/s² of the 2 m/s² the whole accelerator gives");
  t.equal(standing.directionDeg, 0);
  t.match(drive.hold(nothing(), 5, 100), { ok: true, reason: "speed limit", speedMps: 6, brakePercent: 0 });
  const fast = drive.hold(nothing(), 6.4, 100);
  t.equal(fast.acceleratorPercent, 0);
  t.ok(fast.brakePercent > 0, "faster than the limit it brakes");
  t.end();
});

t.test("it goes no faster than it is asked to, and stops when asked to", (t) => {
  const drive = createDrive();
  t.match(drive.hold(nothing(), 2, 600, { demandedMps: 2 }), {
    speedMps: 2,
    reason: "demanded speed",
    acceleratorPercent: 0,
    brakePercent: 0,
  });
  t.match(drive.hold(nothing(), 2, 100, { demandedMps: 0 }), { speedMps: 0, acceleratorPercent: 0 });
  t.match(drive.hold(nothing(), 0, 100, { demandedMps: 0 }), { brakePercent: 40 }, "it holds the vehicle");
  t.match(drive.hold(nothing(), 0, 100, { demandedMps: -3 }), { speedMps: 0, acceleratorPercent: 0 }, "backwards is nothing it does");
  t.end();
});

t.test("the nearer a wall, the slower, by the distance it needs to stop", (t) => {
  const { limits, sensor, vehicle } = drivingOptions();
  for (const aheadM of [5, 7, 9, 12]) {
    const plan = createDrive().glance(corridor(1.2, aheadM), 1);
    const wayM = sensor.forwardM + aheadM - vehicle.frontM - limits.stopM;
    const most = Math.min(wayM / limits.timeToCollisionS, stoppingSpeed(wayM, limits.brakingMps2, limits.reactionMs / 1000));
    t.ok(plan.speedMps <= most + 0.05, `${aheadM} m ahead: ${plan.speedMps} m/s, ${most} m/s at the most`);
    t.ok(plan.speedMps > 0.2, "and it moves");
  }
  t.match(createDrive().hold(corridor(1.2, 1.4), 0, 700), {
    speedMps: 0,
    acceleratorPercent: 0,
    brakePercent: 40,
    reason: "obstacle ahead",
  });
  t.end();
});

t.test("what comes nearer than the plan allows is an emergency until it is no more", (t) => {
  const near = corridor(1.2, 3.2);
  const drive = createDrive();
  t.equal(drive.glance(near, 3).brakePercent, 100);
  t.equal(drive.hold(near, 2, 30).brakePercent, 100, "still too fast for the rest of the way");
  t.equal(drive.hold(near, 0.3, 30).brakePercent, 0, "slow enough");
  t.end();
});

t.test("it heads for the gap it fits through", (t) => {
  const blockedRight = withThing(corridor(6, 30), -70, 2, 6);
  const left = createDrive().hold(blockedRight, 2, 700);
  t.ok(left.directionDeg > 2, `to the left: ${left.directionDeg}`);
  const blockedLeft = withThing(corridor(6, 30), -2, 70, 6);
  const right = createDrive().hold(blockedLeft, 2, 700);
  t.ok(right.directionDeg < -2, `to the right: ${right.directionDeg}`);
  t.ok(Math.abs(right.directionDeg) <= drivingOptions().vehicle.maxSteeringDeg);
  t.end();
});

t.test("a gap narrower than the vehicle is no gap", (t) => {
  // 12° at 6 m are 1.25 m; the vehicle is 1.5 m wide.
  let table = withThing(nothing(), -90, 90, 6);
  for (let deg = -6; deg <= 6; deg++) table[(deg + RAYS) % RAYS] = 30;
  const narrow = createDrive().glance(table, 3);
  t.ok(narrow.speedMps < stoppingSpeed(6.7 - 1.5, 2, 0.45), `${narrow.speedMps} m/s`);
  table = withThing(nothing(), -90, 90, 6);
  // 34° at 6 m are 3.5 m.
  for (let deg = -17; deg <= 17; deg++) table[(deg + RAYS) % RAYS] = 30;
  const wide = createDrive().glance(table, 3);
  t.ok(wide.speedMps > narrow.speedMps, "a wide one is driven through");
  t.end();
});

t.test("it turns to the goal where both sides are free", (t) => {
  t.ok(createDrive().hold(nothing(), 2, 900, { goalDeg: 40 }).directionDeg > 5);
  t.ok(createDrive().hold(nothing(), 2, 900, { goalDeg: -40 }).directionDeg < -5);
  t.end();
});

t.test("while the wheels turn, the way they still point to counts as well", (t) => {
  const table = withThing(nothing(), -40, 12, 2.5);
  const { limits } = drivingOptions();
  const drive = createDrive();
  drive.hold(nothing(), 0, 300);
  const plan = drive.hold(table, 1.5, 30, { goalDeg: 60 });
  t.ok(plan.directionDeg > 0, "it turns away");
  // 1.8 m from the bumper.
  t.ok(plan.speedMps <= stoppingSpeed(1.8 + 0.01 - limits.stopM, limits.brakingMps2, limits.reactionMs / 1000), `${plan.speedMps} m/s`);
  t.end();
});

t.test("the wheels are asked to turn no faster than they can", (t) => {
  const drive = createDrive();
  let before = drive.hold(nothing(), 2, 700).directionDeg;
  for (let step = 0; step < 100; step++) {
    const { directionDeg } = drive.step(shaken(nothing(), step), 2, { goalDeg: 60 });
    t.ok(Math.abs(directionDeg - before) <= 0.4 + 1e-9, "40 degrees per second");
    before = directionDeg;
  }
  t.ok(before > 5);
  t.end();
});

t.test("a manual gearbox goes up and down by speed, with the clutch pressed", (t) => {
  const drive = createDrive(drivingOptions({ vehicle: { gearsUpMps: [2, 4] } }));
  t.match(drive.hold(nothing(), 0.2, 700, { demandedMps: 0 }), { gear: "1", clutchPercent: 100 });
  t.match(drive.hold(nothing(), 1.5, 500), { gear: "1", clutchPercent: 0 });
  t.match(drive.step(nothing(), 2.1), { gear: "2", clutchPercent: 100 });
  t.match(drive.hold(nothing(), 2.2, 500), { gear: "2", clutchPercent: 0 });
  t.match(drive.step(nothing(), 1.9), { gear: "2" }, "it does not go back at once");
  t.match(drive.step(nothing(), 1.4), { gear: "1", clutchPercent: 100 });
  t.match(drive.hold(nothing(), 5, 500), { gear: "3" });
  t.end();
});

t.test("a brake that does nothing has the fuel cut, until the vehicle stands", (t) => {
  const drive = createDrive();
  const stop = { demandedMps: 0 };
  t.match(drive.hold(nothing(), 3, 700, stop), { fuel: "on", acceleratorPercent: 0 });
  t.match(drive.hold(nothing(), 3, 400, stop), { fuel: "cut" });
  t.match(drive.hold(nothing(), 3, 900), { fuel: "cut", acceleratorPercent: 0 }, "it stays cut though nobody wants to stop any more");
  t.match(drive.hold(nothing(), 0, 100), { fuel: "on" });
  t.end();
});

t.test("a brake that works has the fuel left on", (t) => {
  const drive = createDrive();
  for (let speed = 3; speed > 0.1; speed -= 0.03) t.equal(drive.step(nothing(), speed, { demandedMps: 0 }).fuel, "on");
  t.end();
});

t.test("stopping distance and speed belong together", (t) => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.05, max: 40, noNaN: true }),
      fc.double({ min: 0.5, max: 9, noNaN: true }),
      fc.double({ min: 0, max: 2, noNaN: true }),
      (speed, braking, reaction) => {
        const distance = stoppingDistance(speed, braking, reaction);
        return Math.abs(stoppingSpeed(distance, braking, reaction) - speed) < 1e-6 * (1 + speed);
      },
    ),
  );
  t.equal(stoppingSpeed(0, 2, 0.2), 0);
  t.equal(stoppingSpeed(-1, 2, 0.2), 0);
  t.equal(stoppingDistance(10, 5, 0.5), 15, "5 m before the brake works, 10 m with it");
  t.equal(requiredBraking(4, 2), 4);
  t.equal(requiredBraking(0, 0), 0);
  t.equal(requiredBraking(1, 0), Infinity);
  t.end();
});

t.test("the brake is at least what stops before the obstacle, whatever the speed and the way", (t) => {
  const { limits, sensor, vehicle } = drivingOptions();
  fc.assert(
    fc.property(fc.double({ min: 0.2, max: 8, noNaN: true }), fc.double({ min: 2, max: 15, noNaN: true }), (speed, aheadM) => {
      const plan = createDrive().glance(corridor(1.1, aheadM), speed);
      const wayM = sensor.forwardM + aheadM + 0.01 - vehicle.frontM - limits.stopM;
      const needed = requiredBraking(speed, wayM);
      // Less than that the plan keeps for later.
      if (needed <= limits.brakingMps2) return plan.acceleratorPercent === 0 || needed < limits.brakingMps2;
      return plan.acceleratorPercent === 0 && brakingMps2(plan) >= Math.min(needed, limits.emergencyMps2) - 0.05;
    }),
    { numRuns: 100 },
  );
  t.end();
});

t.test("what moves is yielded to by how far it may get until the vehicle stands", (t) => {
  const yielding = { obstacleMps: 2, brakingMps2: 3.5, reactionS: 0.4, marginM: 0.3 };
  t.equal(yieldingSpeed(100, 0, 6, yielding), 6);
  t.equal(yieldingSpeed(0, 0, 6, yielding), 0);
  t.equal(yieldingSpeed(0, 1, 6, yielding), 0, "1 m is walked in half a second");
  t.ok(yieldingSpeed(0, 3, 6, yielding) > 1, "beside the road is less than in it");
  let before = 0;
  for (let ahead = 0; ahead < 12; ahead += 0.5) {
    const speed = yieldingSpeed(ahead, 0.5, 6, yielding);
    t.ok(speed >= before, "farther away is never slower");
    before = speed;
  }
  t.end();
});

t.test("the way along an arc ends where the outline meets a point", (t) => {
  t.equal(freeAlong(pointsOf([6, 0]), 0, OUTLINE, 0.3, 10), 3.5);
  t.equal(freeAlong(pointsOf([6, 1.2]), 0, OUTLINE, 0.3, 10), 10, "beside the road");
  t.equal(freeAlong(pointsOf([6, 1]), 0, OUTLINE, 0.3, 10), 3.5, "within the margin");
  t.equal(freeAlong(pointsOf([1, 0.2]), 0, OUTLINE, 0.3, 10), 0, "inside");
  t.equal(freeAlong(pointsOf([1, 0.8]), 0, OUTLINE, 0.3, 10), 10, "alongside");
  t.equal(freeAlong(pointsOf([-3, 0]), 0.1, OUTLINE, 0.3, 10), 10, "behind");
  t.equal(freeAlong(pointsOf(), 0.1, OUTLINE, 0.3, 10), 10);
  t.end();
});

t.test("an arc is no freer than driving it step by step shows, also for what is within the margin already", (t) => {
  const touched = (x: number, y: number): boolean => x <= OUTLINE.frontM && x >= 0 && Math.abs(y) <= OUTLINE.halfWidthM;
  fc.assert(
    fc.property(
      fc.double({ min: -0.3, max: 0.3, noNaN: true }),
      fc.double({ min: -0.6, max: 9, noNaN: true }),
      fc.oneof(fc.double({ min: -5, max: 5, noNaN: true }), fc.double({ min: 0.63, max: 1.1, noNaN: true })),
      fc.constantFrom(0, 0.3),
      (curvature, px, py, marginM) => {
        const claimed = freeAlong(pointsOf([px, py]), curvature, OUTLINE, marginM, 8);
        let driven = 8;
        for (let s = 0; s < 8; s += 0.01) {
          const yaw = curvature * s;
          const x = Math.abs(curvature) < 1e-9 ? s : Math.sin(yaw) / curvature;
          const y = Math.abs(curvature) < 1e-9 ? 0 : (1 - Math.cos(yaw)) / curvature;
          const dx = px - x;
          const dy = py - y;
          if (!touched(dx * Math.cos(yaw) + dy * Math.sin(yaw), dy * Math.cos(yaw) - dx * Math.sin(yaw))) continue;
          driven = s;
          break;
        }
        // A reading within the flank is taken for one beside it unless the vehicle turns to it; corners that only graze may fall to either side of a step.
        return driven === 0 ? claimed === 0 || Math.abs(py) > OUTLINE.halfWidthM - 0.13 : claimed <= driven + 0.02;
      },
    ),
    { numRuns: 3000 },
  );
  t.end();
});
