import t from "tap";

import { CAR, createCar, moveCar, type Car, type Pedals } from "./car.ts";
import { FAULT_KINDS, drawFaults, sense } from "./faults.ts";
import { castHorizontal, castVertical, MAX_RANGE_M, RAYS } from "./lidar.ts";
import { momentOf, wasAvoidable } from "./oracle.ts";
import { createPlannerSubject } from "./planner-subject.ts";
import { createPortWatch } from "./port-watch.ts";
import { createRandom } from "./random.ts";
import { DT_S, runScenario, type Subject } from "./scenario.ts";
import { createWorld, moveMover, stationOf, touchesCircle, touchesSegment, type Mover, type World } from "./world.ts";

const RELEASED: Pedals = { acceleratorPercent: 0, brakePercent: 0, steeringDeg: 0, fuelCut: false };

function worldOf(segments: readonly number[], movers: readonly Mover[] = []): World {
  const straight = createWorld(createRandom(1)).track;
  return { segments: Float64Array.from(segments), movers, barrier: undefined, track: straight, speedMps: 5 };
}

function moverAt(x: number, y: number, vx: number, vy: number): Mover {
  return { radiusM: 0.3, fromX: x, fromY: y, vx, vy, wayM: 100, startsAtM: 0, x, y, walkedM: 0, started: true };
}

/** Drives on until `done`, at most 20 s; returns the seconds. */
function drive(car: Car, pedals: Pedals, done: () => boolean): number {
  let steps = 0;
  for (; steps < 2000 && !done(); steps++) moveCar(car, pedals, DT_S);
  return steps * DT_S;
}

t.test("the car brakes as it is said to, after its brake's lag", (t) => {
  const car = { ...createCar(0, 0, 0), speedMps: 7 };
  const seconds = drive(car, { ...RELEASED, brakePercent: 100 }, () => car.speedMps === 0);
  const ideal = 7 / (CAR.fullBrakeMps2 + CAR.dragMps2);
  t.ok(seconds > ideal && seconds < ideal + 2 * CAR.brakeLagS, `${seconds} s`);
  t.equal(car.y, 0);
  drive(car, { ...RELEASED, brakePercent: 100 }, () => false);
  t.equal(car.speedMps, 0, "it does not roll backwards");
  t.end();
});

t.test("the car turns about its rear axle's circle", (t) => {
  const car = { ...createCar(0, 0, 0), speedMps: 1, steeringRad: (20 * Math.PI) / 180 };
  const radius = CAR.wheelbaseM / Math.tan(car.steeringRad);
  for (let i = 0; i < 300; i++) {
    car.speedMps = 1;
    moveCar(car, { ...RELEASED, steeringDeg: 20 }, DT_S);
    t.ok(Math.abs(Math.hypot(car.x, car.y - radius) - radius) < 0.01);
  }
  t.end();
});

t.test("too fast for the tyres the car runs wide, and its wheels turn at their rate", (t) => {
  const car = { ...createCar(0, 0, 0), speedMps: 15 };
  moveCar(car, { ...RELEASED, steeringDeg: 30 }, DT_S);
  t.ok(Math.abs((car.steeringRad * 180) / Math.PI - CAR.steeringRateDegPerS * DT_S) < 1e-9);
  car.steeringRad = 0.5;
  const before = car.yaw;
  moveCar(car, { ...RELEASED, steeringDeg: 30 }, DT_S);
  t.ok(Math.abs((car.yaw - before) / DT_S) * car.speedMps <= CAR.gripMps2 * 1.01);
  t.end();
});

t.test("fuel that is cut drives nothing", (t) => {
  const car = createCar(0, 0, 0);
  drive(car, { ...RELEASED, acceleratorPercent: 100, fuelCut: true }, () => false);
  t.equal(car.speedMps, 0);
  t.end();
});

t.test("the lidar measures walls and people from its own place, whatever the heading", (t) => {
  const ranges = new Float64Array(RAYS);
  const seen = new Uint8Array(1);
  castHorizontal(worldOf([5, -10, 5, 10]), createCar(0, 0, 0), ranges, seen);
  t.ok(Math.abs(ranges[0]! - (5 - CAR.sensorForwardM)) < 1e-9);
  t.ok(Math.abs(ranges[60]! - 2 * (5 - CAR.sensorForwardM)) < 1e-9);
  t.equal(ranges[180], MAX_RANGE_M);
  castHorizontal(worldOf([-10, 5, 10, 5]), createCar(0, 0, Math.PI / 2), ranges, seen);
  t.ok(Math.abs(ranges[0]! - (5 - CAR.sensorForwardM)) < 1e-9);
  castHorizontal(worldOf([], [moverAt(6, 0, 0, 1)]), createCar(0, 0, 0), ranges, seen);
  t.ok(Math.abs(ranges[0]! - (6 - 0.3 - CAR.sensorForwardM)) < 1e-9);
  t.equal(seen[0], 1);
  seen[0] = 0;
  castHorizontal(worldOf([4, -2, 4, 2], [moverAt(6, 0, 0, 1)]), createCar(0, 0, 0), ranges, seen);
  t.equal(seen[0], 0, "hidden by the wall");
  t.end();
});

t.test("the upright sensor sees level ground, and a wall", (t) => {
  const ranges = new Float64Array(RAYS);
  castVertical(worldOf([]), createCar(0, 0, 0), MAX_RANGE_M, 0, 0, ranges);
  t.equal(ranges[0], MAX_RANGE_M);
  t.ok(Math.abs(ranges[270]! - CAR.sensorHeightM) < 1e-9);
  t.ok(Math.abs(ranges[330]! - 2 * CAR.sensorHeightM) < 1e-9);
  castVertical(worldOf([]), createCar(0, 0, 0), 5, 0, 0, ranges);
  t.ok(Math.abs(ranges[0]! - (5 + CAR.sensorForwardM - CAR.verticalForwardM)) < 1e-9);
  t.end();
});

t.test("what touches the car touches, what passes by does not", (t) => {
  const car = createCar(0, 0, 0);
  t.ok(touchesSegment(car, worldOf([CAR.frontM - 0.1, -5, CAR.frontM - 0.1, 5])));
  t.notOk(touchesSegment(car, worldOf([CAR.frontM + 0.1, -5, CAR.frontM + 0.1, 5])));
  t.notOk(touchesSegment(car, worldOf([-5, 0.8, 5, 0.8])));
  t.ok(touchesSegment({ ...car, yaw: Math.PI / 2 }, worldOf([-5, 0.8, 5, 0.8])));
  t.ok(touchesCircle(car, CAR.frontM + 0.2, 0, 0.3));
  t.notOk(touchesCircle(car, CAR.frontM + 0.25, CAR.widthM / 2 + 0.25, 0.3), "the corner is farther away");
  t.end();
});

t.test("nobody walks into a standing car", (t) => {
  const mover = moverAt(1, 3, 0, -1);
  for (let i = 0; i < 1000; i++) moveMover(mover, createCar(0, 0, 0), DT_S);
  t.notOk(touchesCircle(createCar(0, 0, 0), mover.x, mover.y, mover.radiusM));
  t.ok(mover.y < 1.2 && mover.y > 1);
  t.end();
});

t.test("a road is the same for the same seed, and has its stations in order", (t) => {
  const one = createWorld(createRandom(7));
  t.strictSame(one, createWorld(createRandom(7)));
  t.notSame(one.segments, createWorld(createRandom(8)).segments);
  let station = 0;
  for (let i = 3; i < 40; i++) {
    station = stationOf(one.track, one.track.x[i]!, one.track.y[i]!, station);
    t.ok(Math.abs(station - 2 * i) < 0.5);
  }
  t.end();
});

t.test("every kind of fault spoils what the sensor says, each in its way", (t) => {
  const truth = new Float64Array(RAYS).fill(10);
  const before = Array<number>(RAYS).fill(5);
  const random = createRandom(3);
  const said = (kind: (typeof FAULT_KINDS)[number]) => sense(truth, { kind, fromS: 0, toS: 1, strength: 0.5, ray: 350 }, before, random);
  t.equal(said("stale"), undefined);
  t.equal(said("stuck"), before);
  t.equal(said("nan")!.filter((range) => Number.isNaN(range)).length, 180);
  t.equal(said("short")!.length, 180);
  t.ok(said("dropout")!.filter((range) => range === 0).length > 100);
  t.strictSame(said("sector")!.slice(0, 20), Array(20).fill(0));
  t.ok(said("burst")!.filter((range) => Math.abs(range - 10) > 0.3).length > 50);
  const sound = sense(truth, undefined, before, random)!;
  t.ok(sound.filter((range) => range === 0).length < 15 && sound.every((range) => range === 0 || Math.abs(range - 10) < 0.2));
  const kinds = new Set(
    Array.from({ length: 200 }, (_, seed) => drawFaults(createRandom(seed), 10)).flatMap((faults) => faults.map(({ kind }) => kind)),
  );
  t.equal(kinds.size, FAULT_KINDS.length, "all of them come up");
  t.end();
});

t.test("the oracle lets nobody off who could have stopped, and blames nobody who could not", (t) => {
  const moving = { ...createCar(0, 0, 0), speedMps: 5 };
  const road = [-10, 1.6, 100, 1.6, -10, -1.6, 100, -1.6];
  const judged = (x: number): boolean => {
    const world = worldOf([...road, x, -1.6, x, 1.6]);
    return wasAvoidable(momentOf(moving, world), world, DT_S);
  };
  // 5²/7 m at the full brake, and about 1.5 m until it is pressed.
  const stopM = CAR.frontM + 25 / (2 * (CAR.fullBrakeMps2 + CAR.dragMps2));
  t.notOk(judged(stopM), "no time for the brake to come on");
  t.ok(judged(stopM + 2));
  t.ok(wasAvoidable(momentOf(moving, worldOf(road, [moverAt(9, 3, 0, -1)])), worldOf(road, [moverAt(9, 3, 0, -1)]), DT_S));
  t.notOk(wasAvoidable(momentOf(moving, worldOf(road, [moverAt(3, 0, 0, 0)])), worldOf(road, [moverAt(3, 0, 0, 0)]), DT_S));
  t.end();
});

t.test("the watch at the ports notices each limit that is passed", (t) => {
  const steady = { acceleratorPercent: 0, brakePercent: 0, steeringDeg: 0 };
  const found = (before: Partial<typeof steady>, after: Partial<typeof steady>, speedMps = 3): string => {
    const watch = createPortWatch(CAR.wheelbaseM);
    watch.look({ ...steady, ...before }, speedMps, 10);
    return watch.look({ ...steady, ...after }, speedMps, DT_S).join("; ");
  };
  t.equal(found({}, {}), "");
  t.equal(found({}, { acceleratorPercent: 1, steeringDeg: 0.1 }), "");
  t.match(found({}, { acceleratorPercent: 1.1 }), /accelerator rises/);
  t.equal(found({ acceleratorPercent: 90 }, { acceleratorPercent: 0 }), "", "it is released at once");
  t.match(found({ acceleratorPercent: 100 }, { acceleratorPercent: 101 }), /out of range/);
  t.match(found({}, { brakePercent: 3.1 }), /brake moves/);
  t.match(found({ brakePercent: 5 }, { brakePercent: 5, acceleratorPercent: 0.5 }), /with brake/);
  t.match(found({ brakePercent: -1 }, { brakePercent: -1 }), /out of range/);
  t.match(found({}, { steeringDeg: 0.6 }, 0), /wheels turn/);
  t.match(found({ steeringDeg: 30 }, { steeringDeg: 30.2 }, 0), /wheels at/);
  t.match(found({ steeringDeg: 4 }, { steeringDeg: 4.3 }, 5), /lateral jump/);
  t.match(found({ steeringDeg: 13 }, { steeringDeg: 13.2 }, 5), /lateral /);
  t.end();
});

t.test("the planner by itself drives roads without a collision, the same way each time", async (t) => {
  const subject = createPlannerSubject();
  for (const seed of [3, 4, 9]) {
    const options = { seed, seconds: 5, faulty: seed % 3 === 0 };
    const outcome = await runScenario(options, subject);
    t.match(outcome, { seed, collision: "none" });
    t.strictSame(await runScenario(options, subject), outcome);
  }
});

t.test("who does not brake collides, and is told that it could have been avoided", async (t) => {
  const reckless: Subject = {
    begin: () => undefined,
    step(_frame, pedals) {
      pedals.acceleratorPercent = 100;
    },
  };
  const lines: string[] = [];
  const outcome = await runScenario({ seed: 5, seconds: 15, faulty: false, trace: (line) => lines.push(line) }, reckless);
  t.match(outcome, { collision: "avoidable", answerS: Infinity, what: /^wall at .* m\/s after/ });
  t.ok(lines.length > 10 && outcome.metres > 10);
});
