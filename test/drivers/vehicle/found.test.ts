// A vehicle whose earlier process was lost, as it is opened by whoever makes it safe and by the next process.
import t from "tap";

import {
  angleOf,
  arm,
  CHANNELS,
  CLUTCH,
  GEAR,
  openCar,
  openWheels,
  percentOf,
  POSITIONS,
  type Rig,
} from "../../../bench/campaigns/limits/rig.ts";

const PEDALS = { accelerator: { fullMps2: 2 }, brake: { fullMps2: 3.5 } };
const brake = (rig: Rig): number => percentOf(rig.pulseUs(CHANNELS.brake));

for (const phase of ["armed", "stopping", "held"]) {
  t.test(`found ${phase}, it is stopped with no less brake than there was, whether anybody says so or not`, async (t) => {
    for (const told of [true, false]) {
      const rig = await openCar({ ...PEDALS, ...GEAR, ...CLUTCH }, { phase, brake: 30, accelerator: 12 });
      t.match(rig.call("state"), { phase: "stopping", brake: 30, accelerator: 0, reason: "nobody drives" });
      t.equal(rig.pulseUs(CHANNELS.brake), 0, "opening writes nothing");
      if (told) void rig.device.failsafe?.("safe");
      else rig.tick();
      let pressed = brake(rig);
      t.ok(pressed >= 30);
      t.equal(rig.pulseUs(CHANNELS.accelerator), 1000);
      rig.run(30_000, () => {
        t.ok(brake(rig) >= pressed);
        pressed = brake(rig);
      });
      t.match(rig.call("state"), { phase: "held", gear: "N" });
      t.equal(rig.pulseUs(CHANNELS.gear), POSITIONS.N);
      t.equal(
        arm(rig, () => rig.call("drive", { acceleratorPercent: 0, brakePercent: 50 })),
        true,
        "and it can be armed again",
      );
    }
  });
}

t.test("found silent it is left to whoever sits in it, unless it is to stop at the start", async (t) => {
  const rig = await openCar(PEDALS, { phase: "silent", brake: 30 });
  void rig.device.failsafe?.("safe");
  rig.run(1000);
  t.equal(rig.pulseUs(CHANNELS.brake), 0);
  const stops = await openCar({ ...PEDALS, atStart: "stop" }, { phase: "silent", brake: 30 });
  t.equal(brake(stops), 0);
  stops.run(10_000);
  t.ok(brake(stops) > 20);
});

t.test("what nobody can have said is not believed", async (t) => {
  for (const [said, percent] of [
    ["much", 0],
    [-5, 0],
    [1e9, 100],
  ] as const) {
    const rig = await openCar({ ...PEDALS, limits: { decelerationMps2: 3.5 } }, { phase: "armed", brake: said });
    void rig.device.failsafe?.("safe");
    t.equal(brake(rig), percent, String(said));
  }
});

t.test("wheels that were steered are held where they were driven to, then let go; others are left alone", async (t) => {
  const rig = await openWheels({}, { phase: "armed", angle: -12 });
  void rig.device.failsafe?.("safe");
  t.equal(angleOf(rig.pulseUs(CHANNELS.angle)), -12);
  rig.run(1000);
  t.equal(angleOf(rig.pulseUs(CHANNELS.angle)), -12);
  t.match(rig.call("state"), { phase: "stopping", reason: "nobody steers" });
  rig.run(60_000);
  t.equal(rig.pulseUs(CHANNELS.angle), 0);
  const far = await openWheels({}, { phase: "held", angle: 80 });
  far.tick();
  t.equal(angleOf(far.pulseUs(CHANNELS.angle)), 35);
  for (const found of [{ phase: "armed" }, { phase: "silent", angle: 5 }, {}]) {
    const left = await openWheels({}, found);
    void left.device.failsafe?.("safe");
    left.run(1000);
    t.equal(left.pulseUs(CHANNELS.angle), 0);
  }
});
