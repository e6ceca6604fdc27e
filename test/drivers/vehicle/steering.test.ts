import t from "tap";

import { angleOf, arm, CHANNELS, openWheels, type Options, type Rig } from "../../../bench/campaigns/limits/rig.ts";
import { optionErrors } from "../../helpers/fake-device-context.ts";
import { steeringDriver } from "../../../drivers/vehicle/steering.ts";

const SPEED = { speed: "speed" };

const wheels = (rig: Rig): number => angleOf(rig.pulseUs(CHANNELS.angle));
const turn = (rig: Rig, angleDeg: number): unknown => rig.call("angle", { angleDeg });

async function armed(options: Options = {}, speedMps = 0): Promise<Rig> {
  const rig = await openWheels(options);
  arm(rig, () => {
    rig.set("speed", speedMps);
    turn(rig, 0);
  });
  return rig;
}

function steer(rig: Rig, ms: number, angleDeg: number, speedMps = 2): void {
  rig.run(ms, () => {
    rig.set("speed", speedMps);
    turn(rig, angleDeg);
  });
}

t.test("no pulse before it is armed; then it starts straight ahead, or where the wheels are measured to be", async (t) => {
  const rig = await openWheels({ measuredAngle: "measured" });
  rig.run(3000, () => t.equal(turn(rig, 10), "NOT_READY"));
  t.equal(rig.pulseUs(CHANNELS.angle), 0);
  t.equal(rig.call("arm"), "NOT_READY", "the measured angle is missing");
  for (const value of ["left", 36, -36, NaN]) {
    rig.set("measured", value);
    t.equal(
      arm(rig, () => turn(rig, 10)),
      "NOT_READY",
      String(value),
    );
  }
  rig.set("measured", -12);
  t.equal(
    arm(rig, () => turn(rig, -12)),
    true,
  );
  rig.tick();
  t.equal(wheels(rig), -12);
  const straight = await armed();
  straight.tick();
  t.equal(wheels(straight), 0);
  t.equal(straight.call("arm"), true, "again changes nothing");
});

t.test("it goes to the angle asked for at its rate and refuses what is out of range, also while disarmed", async (t) => {
  const rig = await armed();
  t.equal(turn(rig, 30), 30);
  rig.tick();
  t.ok(Math.abs(wheels(rig) - 0.573) < 1e-5);
  steer(rig, 1000, 30);
  t.equal(wheels(rig), 30);
  t.equal(turn(rig, 35.1), "LIMIT");
  t.equal(turn(rig, -35.1), "LIMIT");
  steer(rig, 3000, -35);
  t.equal(wheels(rig), -35);
  t.match(rig.call("state"), { armed: true, angle: -35, limited: "none", speedMps: null, phase: "armed" });
  t.equal(turn(await openWheels(), 40), "LIMIT");
});

t.test("it does not arm, and does not stay armed, without a fresh speed where one is configured", async (t) => {
  const rig = await openWheels(SPEED);
  t.equal(
    arm(rig, () => turn(rig, 0)),
    "NOT_READY",
  );
  const driving = await armed(SPEED);
  steer(driving, 500, 10);
  driving.run(150, () => turn(driving, 10));
  t.match(driving.call("state"), { armed: false, phase: "stopping", reason: "speed unclear" });
});

t.test("when nobody steers the angle is held while the vehicle is stopped; then it is let go, straightened or kept", async (t) => {
  for (const [whenDisarmed, expected] of [
    ["detach", undefined],
    ["neutral", 0],
    ["hold", 20],
  ] as const) {
    const rig = await armed({ ...SPEED, whenDisarmed });
    steer(rig, 2000, 20);
    void rig.device.failsafe?.("safe");
    rig.run(10_000, () => rig.set("speed", 2));
    t.equal(wheels(rig), 20, "held");
    t.match(rig.call("state"), { armed: false, phase: "stopping", reason: "nobody steers" });
    t.equal(turn(rig, 0), "NOT_READY");
    t.equal(rig.call("arm"), "NOT_READY");
    void rig.device.failsafe?.("safe");
    rig.run(6100, () => rig.set("speed", 2));
    rig.run(1000);
    t.equal(rig.pulseUs(CHANNELS.angle) === 0 ? undefined : wheels(rig), expected, whenDisarmed);
    t.match(rig.call("state"), { phase: whenDisarmed === "detach" ? "silent" : "held" });
    void rig.device.failsafe?.("safe");
    t.equal(rig.pulseUs(CHANNELS.angle) === 0 ? undefined : wheels(rig), expected);
    t.equal(
      arm(rig, () => {
        rig.set("speed", 0);
        turn(rig, 0);
      }),
      true,
      "it may be armed again",
    );
  }
});

t.test("a standing vehicle's wheels are let go at once", async (t) => {
  const rig = await armed(SPEED);
  steer(rig, 1000, 10, 0);
  t.equal(rig.call("disarm"), false);
  t.equal(wheels(rig), 10);
  rig.set("speed", 0);
  rig.tick();
  t.equal(rig.pulseUs(CHANNELS.angle), 0);
  t.equal(rig.call("disarm"), false, "again changes nothing");
});

t.test("told to go safe before it was armed it leaves the wheels alone; switched off it lets them go", async (t) => {
  const rig = await openWheels();
  void rig.device.failsafe?.("safe");
  rig.run(100);
  t.equal(rig.pulseUs(CHANNELS.angle), 0);
  const driving = await armed();
  steer(driving, 500, 10);
  void driving.device.failsafe?.("off");
  t.equal(driving.pulseUs(CHANNELS.angle), 0);
  t.match(driving.call("state"), { phase: "silent", reason: "switched off" });
});

t.test("while the speed is not known any more the wheels keep what the last one allowed", async (t) => {
  const rig = await armed({ ...SPEED, wheelbaseM: 2.5, limits: { transitionMs: 500 } });
  steer(rig, 1000, 20, 0);
  steer(rig, 2000, 20, 10);
  const boundDeg = (Math.atan((3 * 2.5) / 100) * 180) / Math.PI;
  t.ok(Math.abs(wheels(rig) - boundDeg) < 1e-3);
  rig.run(3000, () => turn(rig, 20));
  t.match(rig.call("state"), { phase: "stopping", reason: "speed unclear" });
  t.ok(Math.abs(wheels(rig) - boundDeg) < 1e-3);
});

t.test("a late control loop ends steering", async (t) => {
  const rig = await armed();
  steer(rig, 500, 10);
  rig.tick(9);
  t.match(rig.call("state"), { armed: true, overruns: 9 });
  rig.tick(2);
  t.match(rig.call("state"), { armed: false, reason: "control loop late", overruns: 11 });
});

t.test("pulse trace: boot, arm, steer, loss and close without a pulse that nobody meant", async (t) => {
  const rig = await armed(SPEED);
  rig.set("speed", 0);
  rig.tick();
  steer(rig, 2000, 10);
  void rig.device.failsafe?.("safe");
  rig.run(1000, () => rig.set("speed", 0));
  await rig.device.close();
  const pulses = rig.board.world.dutyHistory(`pwm sim:${CHANNELS.angle}`).entries.map(({ dutyRatio }) => dutyRatio * 20_000);
  t.same([pulses[0], Math.round(pulses[1] ?? 0), pulses.at(-2), pulses.at(-1)], [0, 1500, 0, 0]);
  const driven = pulses.slice(1, -2);
  t.ok(
    driven.every((us, i) => i === 0 || us >= (driven[i - 1] ?? 0)),
    "straight to the angle, then held",
  );
  t.ok(Math.abs((driven.at(-1) ?? 0) - 1600) < 1e-6);
  t.same(rig.board.world.claimed(), []);
});

t.test("its options: one port, a range the points cover, what it reads and claims", async (t) => {
  const pwm = { chip: "sim", channel: 4 };
  t.same(optionErrors(steeringDriver, { angle: { pwm } }), []);
  t.match(optionErrors(steeringDriver, { angle: {} }).join(), /exactly one of pwm and can/);
  t.match(optionErrors(steeringDriver, { angle: { pwm }, limits: { lateralMps2: 1 } }).join(), /transitionLateralMps2 has to be up to/);
  await t.rejects(
    openWheels({
      limits: { angleDeg: 90 },
      angle: {
        pwm,
        points: [
          [-89, 1000],
          [90, 2000],
        ],
      },
    }),
    { message: /from -89 to 90; -90 to 90/ },
  );
  const options = steeringDriver.options.parse({ angle: { pwm }, speed: "v", measuredAngle: "a" });
  t.same(steeringDriver.reads?.(options), ["v", "a"]);
  t.same(steeringDriver.claims(options), ["pwm sim:4"]);
  t.equal(steeringDriver.thread, "motion");
  t.equal(steeringDriver.moves, true);
});
