import t from "tap";

import {
  arm,
  CHANNELS,
  CLUTCH,
  GEAR,
  openCar,
  percentOf,
  POSITIONS,
  TICK_MS,
  type Options,
  type Rig,
} from "../../../bench/campaigns/limits/rig.ts";
import { gcbafDriver } from "../../../drivers/vehicle/gcbaf.ts";
import { optionErrors, pinTrace } from "../../helpers/fake-device-context.ts";

const FUEL = { fuel: { line: "GPIO5" } };
const SPEED = { speed: "speed" };

const drive = (rig: Rig, acceleratorPercent: number, brakePercent: number): unknown =>
  rig.call("drive", { acceleratorPercent, brakePercent });

const accelerator = (rig: Rig): number => percentOf(rig.pulseUs(CHANNELS.accelerator));
const brake = (rig: Rig): number => percentOf(rig.pulseUs(CHANNELS.brake));

/** Armed with the brake pressed, standing where a speed is measured. */
async function armed(options: Options = {}): Promise<Rig> {
  const rig = await openCar({ accelerator: { fullMps2: 2 }, brake: { fullMps2: 3.5 }, ...options });
  arm(rig, () => {
    rig.set("speed", 0);
    drive(rig, 0, 50);
  });
  rig.tick();
  return rig;
}

/** Drives for a while at a measured speed. */
function cruise(rig: Rig, ms: number, acceleratorPercent: number, speedMps = 3): void {
  rig.run(ms, () => {
    rig.set("speed", speedMps);
    drive(rig, acceleratorPercent, 0);
  });
}

t.test("it boots silent and disarmed: no pulse, fuel cut, and stays so whatever is asked for", async (t) => {
  const rig = await openCar({ ...FUEL, ...GEAR, ...CLUTCH });
  rig.run(500, () => {
    t.equal(drive(rig, 10, 0), "NOT_READY");
    t.equal(rig.call("accelerator", { percent: 10 }), "NOT_READY");
    t.equal(rig.call("brake", { percent: 10 }), "NOT_READY");
    t.equal(rig.call("clutch", { percent: 10 }), "NOT_READY");
    t.equal(rig.call("gear", { gear: "D" }), "NOT_READY");
  });
  for (const channel of Object.values(CHANNELS))
    t.equal(rig.board.world.dutyHistory(`pwm sim:${channel}`).entries.at(-1)?.dutyRatio ?? 0, 0);
  t.equal(pinTrace(rig.board.world, "GPIO5"), "output:low");
  t.equal(rig.published.get("armed"), false);
  t.equal(rig.published.get("gear"), "unknown");
  t.equal(rig.published.get("fuel"), "cut");
  await rig.device.close();
  t.equal(pinTrace(rig.board.world, "GPIO5"), "output:low release:low");
  t.same(rig.board.world.claimed(), []);
});

t.test("commands that are refused while it is disarmed are the stream that arms it", async (t) => {
  const rig = await openCar({ ...FUEL, ...GEAR });
  t.equal(rig.call("arm"), "NOT_READY");
  rig.run(1990, () => drive(rig, 0, 30));
  t.equal(rig.call("arm"), "NOT_READY", "not for long enough");
  rig.run(100, () => drive(rig, 0, 30));
  rig.run(300);
  t.equal(rig.call("arm"), "NOT_READY", "there was a gap");
  t.equal(
    arm(rig, () => drive(rig, 0, 101)),
    "NOT_READY",
    "what is out of range is no command",
  );
  t.equal(
    arm(rig, () => drive(rig, 0, 30)),
    true,
  );
  t.equal(rig.call("arm"), true, "again changes nothing");
  rig.tick();
  t.equal(rig.published.get("armed"), true);
  t.equal(rig.published.get("gear"), "N");
  t.equal(rig.published.get("fuel"), "on");
  t.equal(rig.pulseUs(CHANNELS.gear), POSITIONS.N);
  t.equal(rig.board.world.level("GPIO5"), true);
  t.equal(rig.pulseUs(CHANNELS.accelerator), 1000);
});

t.test("it does not arm without a fresh speed, while it rolls without brake, or in gear", async (t) => {
  const rig = await openCar({ ...SPEED, ...GEAR, measuredGear: "gear" });
  let speed: number | string | undefined;
  let gear: string | number | undefined = "P";
  let brakePercent = 0;
  const armNow = (): unknown =>
    arm(rig, () => {
      if (speed !== undefined) rig.set("speed", speed);
      if (gear !== undefined) rig.set("gear", gear);
      drive(rig, 0, brakePercent);
    });
  t.equal(armNow(), "NOT_READY", "no speed at all");
  speed = "fast";
  t.equal(armNow(), "NOT_READY", "a speed that is none");
  speed = NaN;
  t.equal(armNow(), "NOT_READY", "nor is that");
  speed = 1;
  t.equal(armNow(), "NOT_READY", "it rolls");
  gear = "D";
  speed = 0;
  t.equal(armNow(), "NOT_READY", "in gear");
  gear = 3;
  t.equal(armNow(), "NOT_READY", "in third gear");
  gear = "backwards";
  t.equal(armNow(), "NOT_READY", "in no gear there is");
  gear = "N";
  speed = 1;
  brakePercent = 30;
  t.equal(armNow(), true, "it rolls, with the brake asked for");
});

t.test("accelerator and brake go where they are told, never both", async (t) => {
  const rig = await armed();
  rig.run(1000, () => drive(rig, 0, 0));
  t.same(drive(rig, 40, 0), { acceleratorPercent: 40, brakePercent: 0 });
  cruise(rig, 4000, 40);
  t.equal(accelerator(rig), 40);
  t.same(drive(rig, 40, 10), { acceleratorPercent: 0, brakePercent: 10 }, "the brake wins");
  rig.tick();
  t.equal(accelerator(rig), 0, "at once");
  t.equal(rig.call("brake", { percent: 0 }), 0);
  rig.run(1000, () => rig.call("brake", { percent: 0 }));
  t.equal(accelerator(rig), 0, "what the brake has released stays released");
  t.equal(rig.call("accelerator", { percent: 20 }), 20);
  rig.run(1000, () => rig.call("accelerator", { percent: 20 }));
  t.equal(accelerator(rig), 20);
  t.equal(rig.call("brake", { percent: 30 }), 30);
  t.equal(rig.call("accelerator", { percent: 20 }), 0);
  rig.run(1000, () => rig.call("brake", { percent: 30 }));
  t.equal(brake(rig), 30);
  t.match(rig.call("state"), { armed: true, accelerator: 0, brake: 30, limited: "none", stage: "none", speedMps: null });
});

t.test("when nobody drives any more the accelerator is released within the call, then it brakes, holds, and is disarmed", async (t) => {
  const rig = await armed({ ...SPEED, ...GEAR, ...FUEL });
  rig.call("gear", { gear: "D" });
  cruise(rig, 5000, 60);
  t.equal(accelerator(rig), 60);
  t.equal(rig.pulseUs(CHANNELS.gear), POSITIONS.D);
  void rig.device.failsafe?.("safe");
  t.equal(accelerator(rig), 0, "before the call returns");
  t.equal(brake(rig), 0);
  const rolls = (): void => rig.set("speed", 2);
  rig.run(1000, rolls);
  t.ok(Math.abs(brake(rig) - 150 / 3.5) < 0.1, "1.5 m/s³");
  t.match(rig.call("state"), { armed: false, phase: "stopping", stage: "brake", reason: "nobody drives" });
  t.equal(drive(rig, 50, 0), "NOT_READY");
  t.equal(rig.call("arm"), "NOT_READY", "not while it is being stopped");
  rig.run(20_000, rolls);
  t.ok(Math.abs(brake(rig) - 250 / 3.5) < 0.1, "2.5 m/s² until it stands");
  t.equal(rig.published.get("stage"), "brake");
  t.equal(rig.board.world.level("GPIO5"), true, "fuel flows until it stands");
  t.equal(rig.pulseUs(CHANNELS.gear), POSITIONS.D);
  rig.run(20, () => rig.set("speed", 0));
  t.equal(rig.published.get("stage"), "hold");
  t.equal(rig.board.world.level("GPIO5"), false);
  t.equal(rig.pulseUs(CHANNELS.gear), POSITIONS.N);
  rig.run(1100, () => rig.set("speed", 0));
  t.match(rig.call("state"), { phase: "held", stage: "done", gear: "N", fuel: "cut" });
  t.ok(Math.abs(brake(rig) - 250 / 3.5) < 0.1, "the brake is held");
  rig.run(5000);
  t.ok(Math.abs(brake(rig) - 250 / 3.5) < 0.1);
  t.equal(
    arm(rig, () => {
      rig.set("speed", 0);
      drive(rig, 0, 0);
    }),
    true,
    "it may be armed again",
  );
  rig.run(3000, () => {
    rig.set("speed", 0);
    drive(rig, 10, 0);
  });
  t.equal(accelerator(rig), 10);
  t.equal(rig.board.world.level("GPIO5"), true);
});

t.test("stopped, it may be told to be silent", async (t) => {
  const rig = await armed({ ...SPEED, whenDisarmed: "silent" });
  cruise(rig, 3000, 20);
  t.equal(rig.call("disarm"), false);
  t.equal(accelerator(rig), 0, "within the call");
  rig.run(5000, () => rig.set("speed", 0));
  t.match(rig.call("state"), { phase: "silent", reason: "disarmed", armed: false });
  t.equal(rig.pulseUs(CHANNELS.accelerator), 0);
  t.equal(rig.pulseUs(CHANNELS.brake), 0);
  void rig.device.failsafe?.("safe");
  rig.run(1000);
  t.equal(rig.pulseUs(CHANNELS.brake), 0, "it was left alone on purpose");
});

t.test("a speed that is stale or makes no sense while driving stops it", async (t) => {
  for (const [what, lose] of [
    ["stale", () => undefined],
    ["no number", (rig: Rig) => rig.set("speed", "fast")],
    ["infinite", (rig: Rig) => rig.set("speed", Infinity)],
  ] as const) {
    const rig = await armed(SPEED);
    cruise(rig, 3000, 30);
    rig.run(150, () => {
      lose(rig);
      drive(rig, 30, 0);
    });
    t.match(rig.call("state"), { armed: false, phase: "stopping", reason: "speed unclear", accelerator: 0 }, what);
    rig.run(30_000);
    t.match(rig.call("state"), { phase: "held" }, "without a speed it takes its time");
  }
});

t.test("a late control loop first accelerates less, then stops", async (t) => {
  const rig = await armed();
  rig.run(4000, () => drive(rig, 80, 0));
  t.equal(accelerator(rig), 80);
  rig.tick(3);
  t.equal(accelerator(rig), 50, "1 of 2 m/s²");
  t.match(rig.call("state"), { armed: true, limited: "degraded", overruns: 3 });
  rig.run(4000, () => drive(rig, 80, 0));
  t.equal(accelerator(rig), 80, "on time again");
  rig.tick(10);
  t.match(rig.call("state"), { armed: false, reason: "control loop late", accelerator: 0, overruns: 13 });
});

t.test("cut fuel stays cut until the vehicle is disarmed, stands, and fuel is switched on", async (t) => {
  const rig = await armed({ ...SPEED, ...FUEL });
  cruise(rig, 500, 10);
  t.equal(rig.call("fuel", { fuel: "on" }), "NOT_READY", "it is on");
  t.equal(rig.call("fuel", { fuel: "cut" }), "cut");
  t.equal(rig.board.world.level("GPIO5"), false, "within the call");
  cruise(rig, 500, 10);
  t.equal(rig.board.world.level("GPIO5"), false);
  t.equal(rig.call("fuel", { fuel: "on" }), "LIMIT");
  rig.call("disarm");
  t.equal(rig.call("fuel", { fuel: "on" }), "LIMIT");
  rig.run(6000, () => rig.set("speed", 0));
  rig.set("speed", 1);
  t.equal(rig.call("fuel", { fuel: "on" }), "LIMIT", "it rolls");
  const standing = (): void => {
    rig.set("speed", 0);
    drive(rig, 0, 50);
  };
  t.equal(arm(rig, standing), true);
  rig.run(100, standing);
  t.equal(rig.board.world.level("GPIO5"), false, "arming does not switch it on");
  rig.call("disarm");
  rig.run(6000, () => rig.set("speed", 0));
  t.equal(rig.call("fuel", { fuel: "on" }), "on");
  t.equal(rig.board.world.level("GPIO5"), false, "it flows once armed");
  t.equal(arm(rig, standing), true);
  rig.tick();
  t.equal(rig.board.world.level("GPIO5"), true);
  t.equal(pinTrace(rig.board.world, "GPIO5"), "output:low high low high");
});

t.test(
  "fuel is cut as soon as nobody drives, or not at all, where that is configured; without a speed a held vehicle stands",
  async (t) => {
    const levels = async (cutOn: string): Promise<readonly boolean[]> => {
      const rig = await armed({ fuel: { line: "GPIO5", activeLow: true, cutOn } });
      rig.tick();
      void rig.device.failsafe?.("safe");
      rig.tick();
      const lost = rig.board.world.level("GPIO5");
      rig.run(30_000);
      if (cutOn === "stop") {
        t.equal(rig.call("fuel", { fuel: "cut" }), "cut");
        t.equal(rig.call("fuel", { fuel: "on" }), "on");
      }
      return [lost, rig.board.world.level("GPIO5")];
    };
    // The relay is energised while the line is low.
    t.same(await levels("loss"), [true, true]);
    t.same(await levels("stop"), [false, true]);
    t.same(await levels("command"), [false, false]);
  },
);

t.test("gears change with the clutch pressed, at standstill, and not while the accelerator is pressed", async (t) => {
  const rig = await armed({ ...SPEED, ...GEAR, ...CLUTCH });
  let speedMps = 0;
  const run = (ms: number, percent: number, clutch: number): void =>
    rig.run(ms, () => {
      rig.set("speed", speedMps);
      rig.call("clutch", { percent: clutch });
      drive(rig, percent, 0);
    });
  run(1000, 0, 0);
  t.equal(rig.call("gear", { gear: "1" }), "LIMIT", "clutch released");
  run(1000, 0, 100);
  t.equal(rig.call("gear", { gear: "8" }), "UNKNOWN");
  t.equal(rig.call("gear", { gear: "1" }), "1");
  run(600, 0, 100);
  t.equal(rig.pulseUs(CHANNELS.gear), POSITIONS["1"]);
  run(3000, 30, 0);
  speedMps = 2.5;
  run(1000, 30, 100);
  t.equal(rig.call("gear", { gear: "2" }), "LIMIT", "accelerator pressed");
  run(100, 0, 100);
  t.equal(rig.call("gear", { gear: "R" }), "LIMIT", "it rolls");
  t.equal(rig.call("gear", { gear: "P" }), "LIMIT", "it rolls");
  t.equal(rig.call("gear", { gear: "2" }), "2");
  drive(rig, 30, 0);
  rig.tick();
  t.equal(accelerator(rig), 0, "while the gear is changed");
  t.equal(rig.published.get("limited"), "gear");
  speedMps = 0;
  run(600, 0, 100);
  t.equal(rig.call("gear", { gear: "R" }), "R");
  run(600, 0, 100);
  speedMps = -1;
  run(100, 0, 100);
  t.equal(rig.call("gear", { gear: "N" }), "N");
  run(100, 0, 100);
  t.equal(rig.call("gear", { gear: "1" }), "LIMIT", "it still rolls backwards");
  speedMps = 0;
  run(100, 0, 100);
  t.equal(rig.call("gear", { gear: "1" }), "1");
});

t.test("a gear that may no longer be changed when its turn comes is not", async (t) => {
  const rig = await armed({ ...SPEED, ...GEAR });
  rig.set("speed", 0);
  t.equal(rig.call("gear", { gear: "D" }), "D");
  rig.run(100, () => {
    rig.set("speed", 10);
    drive(rig, 0, 0);
  });
  t.equal(rig.pulseUs(CHANNELS.gear), POSITIONS.N, "the vehicle began to roll before the tick");
  rig.run(100, () => {
    rig.set("speed", 0);
    drive(rig, 0, 0);
  });
  t.equal(rig.pulseUs(CHANNELS.gear), POSITIONS.N, "and it is forgotten");
});

t.test("told to go safe just after it was opened, it stops the vehicle: nobody knows what it was doing", async (t) => {
  const rig = await openCar({ ...FUEL, ...GEAR, ...CLUTCH });
  void rig.device.failsafe?.("safe");
  t.equal(rig.pulseUs(CHANNELS.accelerator), 1000);
  t.equal(rig.pulseUs(CHANNELS.brake), 1000);
  t.equal(rig.pulseUs(CHANNELS.clutch), 2000, "pressed");
  t.equal(rig.pulseUs(CHANNELS.gear), 0, "the gear stays, whatever it is");
  rig.run(30_000);
  t.match(rig.call("state"), { phase: "held", gear: "N", fuel: "cut" });
  t.equal(pinTrace(rig.board.world, "GPIO5"), "output:low", "fuel was never on");
  void rig.device.failsafe?.("safe");
  t.equal(brake(rig) > 20, true, "going safe again changes nothing");
});

t.test("it may be told to stop the vehicle when it opens", async (t) => {
  const rig = await openCar({ ...FUEL, ...GEAR, atStart: "stop" });
  t.equal(rig.pulseUs(CHANNELS.accelerator), 1000);
  rig.run(30_000);
  t.match(rig.call("state"), { phase: "held", gear: "N", fuel: "cut", reason: "nobody drives" });
  t.ok(brake(rig) > 20);
  t.equal(
    arm(rig, () => drive(rig, 0, 30)),
    true,
  );
});

t.test("left alone on purpose it stays silent when it is told to go safe", async (t) => {
  const open = await openCar(FUEL);
  open.tick();
  void open.device.failsafe?.("safe");
  open.run(1000);
  t.equal(open.pulseUs(CHANNELS.brake), 0, "it was opened, and nobody armed it");
  for (const leave of ["disarm", "fuel"]) {
    const rig = await openCar(FUEL);
    t.ok(["cut", false].includes(rig.call(leave, leave === "fuel" ? { fuel: "cut" } : {}) as string | boolean));
    void rig.device.failsafe?.("safe");
    rig.run(1000);
    t.equal(rig.pulseUs(CHANNELS.brake), 0, leave);
  }
});

t.test("switched off, nothing is driven", async (t) => {
  const rig = await armed({ ...FUEL, ...GEAR, ...CLUTCH });
  rig.run(500, () => drive(rig, 0, 50));
  void rig.device.failsafe?.("off");
  for (const channel of Object.values(CHANNELS)) t.equal(rig.pulseUs(channel), 0);
  t.equal(rig.board.world.level("GPIO5"), false);
  t.match(rig.call("state"), { phase: "silent", reason: "switched off", gear: "unknown" });
  rig.run(1000);
  t.equal(rig.pulseUs(CHANNELS.brake), 0);
});

t.test("pin and pulse trace: arm, drive, loss and close without a pulse that nobody meant", async (t) => {
  const rig = await armed({ ...SPEED, ...FUEL, ...GEAR });
  rig.call("gear", { gear: "D" });
  cruise(rig, 2000, 30);
  void rig.device.failsafe?.("safe");
  rig.run(8000, () => rig.set("speed", 0));
  await rig.device.close();
  const pulses = (channel: number): readonly number[] =>
    rig.board.world.dutyHistory(`pwm sim:${channel}`).entries.map(({ dutyRatio }) => Math.round(dutyRatio * 20_000));
  t.equal(pinTrace(rig.board.world, "GPIO5"), "output:low high low release:low");
  t.same(pulses(CHANNELS.gear), [0, 1400, 1600, 1400, 0, 0], "open, N, D, N, duty 0, release");
  const pedal = pulses(CHANNELS.accelerator);
  t.same([pedal[0], pedal[1], pedal.at(-1)], [0, 1000, 0]);
  t.ok(pedal.slice(1, -2).every((us) => us >= 1000 && us <= 1300));
  const braked = pulses(CHANNELS.brake).slice(1, -2);
  t.ok(braked.every((us) => us >= 1000 && us <= 1715));
  t.same(rig.board.world.claimed(), []);
  t.equal(rig.clock.pending(), 0);
});

t.test("a port that fails in a tick is thrown there, the others are written all the same, and the next tick tries again", async (t) => {
  const rig = await armed();
  rig.run(1000, () => drive(rig, 0, 0));
  cruise(rig, 1000, 30);
  rig.board.world.failNth("pwmWrite", 1);
  drive(rig, 0, 60);
  t.throws(() => rig.tick(), { code: "IO" });
  t.not(brake(rig), 0, "the accelerator's write failed, the brake's did not");
  t.not(accelerator(rig), 0);
  rig.tick();
  t.equal(accelerator(rig), 0);
  rig.board.world.failNth("pwmWrite", 1);
  await t.rejects(async () => rig.device.failsafe?.("safe"), { code: "IO" });
  rig.tick();
  t.ok(brake(rig) > 0);
});

t.test("what it publishes changes at once in words and ten times a second in numbers", async (t) => {
  const rig = await armed();
  const seen: unknown[] = [];
  rig.run(300, () => {
    drive(rig, 0, 100);
    const now = rig.published.get("brake");
    if (now !== seen.at(-1)) seen.push(now);
  });
  t.ok(seen.length <= 4, `${seen.length} in 300 ms`);
  t.equal(rig.published.get("armed"), true);
});

t.test("options that do not fit are refused where they are written", (t) => {
  const pwm = { chip: "sim", channel: 0 };
  const base = { accelerator: { pwm }, brake: { pwm: { chip: "sim", channel: 1 } } };
  t.same(optionErrors(gcbafDriver, base), []);
  const errors = (more: object): string => optionErrors(gcbafDriver, { ...base, ...more }).join("; ");
  t.match(errors({ brake: {} }), /exactly one of pwm and can/);
  t.match(errors({ brake: { pwm, can: { frame: "a", signal: "b" } } }), /exactly one of pwm and can/);
  t.match(errors({ fuel: {} }), /exactly one of line and can/);
  t.match(errors({ brake: { pwm, points: [[0, 1000]] } }), /points/);
  t.match(
    errors({
      brake: {
        pwm,
        points: [
          [0, 1000],
          [0, 2000],
        ],
      },
    }),
    /values of the points have to rise/,
  );
  t.match(
    errors({
      brake: {
        pwm,
        points: [
          [0, 1000],
          [50, 2000],
          [100, 1500],
        ],
      },
    }),
    /rise all along, or to fall all along/,
  );
  t.same(
    errors({
      brake: {
        pwm,
        points: [
          [0, 2000],
          [100, 1000],
        ],
      },
    }),
    "",
    "a servo the other way round",
  );
  t.match(errors({ gear: { pwm, positions: { D: 1500 } } }), /P or N is needed/);
  t.match(errors({ gear: { pwm, positions: { P: 1500 } } }), /safe gear needs a position/);
  t.match(errors({ gear: { pwm, positions: { N: 15 } } }), /300 to 2700/);
  t.match(errors({ gear: { pwm, positions: { N: 1500, X: 1 } } }), /X/);
  t.match(errors({ speed: "no name" }), /no name of a variable/);
  t.match(errors({ brake: { pwm, fullMps2: 20 } }), /could not be armed/);
  t.match(errors({ limits: { decelerationMps2: 2, brakePressedPercent: 10 } }), /cannot be braked harder/);
  t.match(errors({ limits: { degradeMissed: 10 } }), /degradeMissed has to be less than stopMissed/);
  t.end();
});

t.test("it is for the motion thread, moves, reads what is configured, and claims its ports", (t) => {
  const options = gcbafDriver.options.parse({
    accelerator: { pwm: { chip: "sim", channel: 0 } },
    brake: { pwm: { pca9685: { bus: 1, channel: 3 } } },
    ...FUEL,
    speed: "speed",
    measuredGear: "gear",
  });
  t.equal(gcbafDriver.thread, "motion");
  t.equal(gcbafDriver.moves, true);
  t.same(gcbafDriver.reads?.(options), ["speed", "gear"]);
  t.same(gcbafDriver.claims(options), ["pwm sim:0", "pwm pca9685@1:0x40:3", "line GPIO5"]);
  t.equal(TICK_MS, 10);
  t.end();
});
