import fc from "fast-check";
import t from "tap";

import { attachEcho, echoPulseMs } from "../../../../../drivers/board/sim/physics/echo.ts";
import { attachMotor, stepMotor, TT_MOTOR } from "../../../../../drivers/board/sim/physics/dc-motor.ts";
import { attachServo, SG90, stepServo } from "../../../../../drivers/board/sim/physics/servo.ts";
import { callDevice, createFakeDeviceContext, openDevice } from "../../../../helpers/fake-device-context.ts";
import { createFakeClock } from "../../../../helpers/fake-clock.ts";
import { createSimBoard } from "../../../../../drivers/board/sim/sim-board.ts";
import { motorDriver } from "../../../../../drivers/gpio/motor.ts";
import { servoDriver } from "../../../../../drivers/gpio/servo.ts";

const STEP_MS = 2;

t.test("a servo goes where its pulse says, no faster than it can, and stays there", (t) => {
  let horn = { angleDeg: -90, degPerS: 0 };
  let arrivedMs = 0;
  for (let ms = 0; ms < 1000; ms += STEP_MS) {
    horn = stepServo(SG90, horn, 1500, STEP_MS / 1000);
    t.ok(Math.abs(horn.degPerS) <= SG90.maxDegPerS);
    t.ok(horn.angleDeg <= 1, "it does not swing beyond");
    if (arrivedMs === 0 && Math.abs(horn.angleDeg) < 1) arrivedMs = ms;
  }
  t.ok(Math.abs(horn.angleDeg) < 0.1);
  t.ok(arrivedMs > 150 && arrivedMs < 220, `90 degrees at 0.1 s for 60: ${arrivedMs} ms`);
  t.end();
});

t.test("without pulses it comes to rest where it is; what is in its way stops it", (t) => {
  let horn = { angleDeg: 0, degPerS: 600 };
  for (let i = 0; i < 100; i++) horn = stepServo(SG90, horn, 0, STEP_MS / 1000);
  t.equal(horn.degPerS, 0);
  t.ok(horn.angleDeg > 0 && horn.angleDeg < 10);
  for (let i = 0; i < 200; i++) horn = stepServo(SG90, horn, 2500, STEP_MS / 1000, [-90, 30]);
  t.equal(horn.angleDeg, 30);
  t.equal(horn.degPerS, 0);
  t.end();
});

t.test("whatever pulses come, the horn stays between its stops and never jumps", (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 1, max: 100 })), { maxLength: 20 }), (given) => {
      let horn = { angleDeg: 0, degPerS: 0 };
      return given.every(([pulseUs, steps]) => {
        for (let i = 0; i < steps; i++) {
          const next = stepServo(SG90, horn, pulseUs, STEP_MS / 1000);
          if (Math.abs(next.angleDeg - horn.angleDeg) > (SG90.maxDegPerS * STEP_MS) / 1000 + 1e-9) return false;
          if (Math.abs(next.angleDeg) > 90) return false;
          horn = next;
        }
        return true;
      });
    }),
  );
  t.end();
});

t.test("a driver turns the simulated servo by its slew rate, and finds a blocked horn by its feedback", async (t) => {
  const context = createFakeDeviceContext({ id: "pan" });
  const feedback = { variable: "horn", toleranceDeg: 10, withinMs: 300 };
  const device = await openDevice(servoDriver, context, { pwm: { chip: "sim", channel: 0 }, startDeg: 0, slewDegPerS: 200, feedback });
  const servo = attachServo(context.board.world, { channel: "pwm sim:0", periodMs: 20, startDeg: 0 });
  async function live(ms: number): Promise<void> {
    for (let at = 0; at < ms; at += STEP_MS) {
      servo.step(STEP_MS / 1000);
      context.setVariable("horn", servo.angleDeg());
      await context.clock.advance(STEP_MS);
    }
  }
  await callDevice(device, "angle", { angleDeg: 60 });
  await live(200);
  t.ok(servo.angleDeg() > 25 && servo.angleDeg() < 45, `${servo.angleDeg()}`);
  await live(300);
  t.ok(Math.abs(servo.angleDeg() - 60) < 1);
  t.ok(Math.abs(servo.degPerS()) < 20);
  t.same(context.faults, []);
  servo.block([20, 65]);
  await callDevice(device, "angle", { angleDeg: -60 });
  await live(1000);
  t.equal(servo.angleDeg(), 20);
  t.equal(context.faults.length, 1);
  t.match(context.faults[0], { code: "FAULTED", message: /the horn is blocked: it is at 20\.0 degrees/ });
  await device.failsafe?.("safe");
  servo.block();
  await device.close();
});

t.test("a motor approaches its speed, runs out, and stops sooner when it is short-circuited", (t) => {
  t.ok(Math.abs(stepMotor(TT_MOTOR, 0, 1, TT_MOTOR.driveS) - 200 * (1 - Math.exp(-1))) < 1e-9);
  t.equal(stepMotor(TT_MOTOR, 0, -1, 100), -200);
  const coasting = stepMotor(TT_MOTOR, 200, "coast", 0.1);
  const braking = stepMotor(TT_MOTOR, 200, "brake", 0.1);
  t.ok(braking < coasting && coasting < 200 && braking > 0);
  t.end();
});

t.test("a driver turns the simulated motor both ways and brakes it", async (t) => {
  const context = createFakeDeviceContext({ id: "left" });
  const wiring = { in1: "GPIO5", in2: "GPIO6" };
  const device = await openDevice(motorDriver, context, { ...wiring, pwm: { chip: "sim", channel: 0 }, brakeInputs: "high" });
  const motor = attachMotor(context.board.world, { ...wiring, channel: "pwm sim:0" });
  async function live(ms: number): Promise<void> {
    for (let at = 0; at < ms; at += STEP_MS) {
      motor.step(STEP_MS / 1000);
      await context.clock.advance(STEP_MS);
    }
  }
  await live(50);
  t.equal(motor.rpm(), 0);
  await callDevice(device, "speed", { percent: 50 });
  await live(1000);
  t.ok(Math.abs(motor.rpm() - 100) < 1);
  await callDevice(device, "speed", { percent: -50 });
  await live(1000);
  t.ok(Math.abs(motor.rpm() + 100) < 1);
  await callDevice(device, "brake");
  await live(200);
  t.ok(Math.abs(motor.rpm()) < 1);
  await device.close();
});

t.test("an echo answers each trigger with a pulse as long as sound is on its way", async (t) => {
  const clock = createFakeClock();
  const board = createSimBoard({ clock });
  const { world } = board;
  const trigger = await board.openOutput("test", { name: "GPIO23" }, false);
  const echo = attachEcho(world, clock, { trigger: "GPIO23", echo: "GPIO24", temperatureC: 0 });
  async function pulseMs(): Promise<number | undefined> {
    const before = world.history("GPIO24").entries.length;
    trigger.write(true);
    await clock.advance(1);
    trigger.write(false);
    await clock.advance(50);
    const [rise, fall] = world.history("GPIO24").entries.slice(before);
    return rise === undefined || fall === undefined ? undefined : fall.atMs - rise.atMs;
  }
  t.equal(await pulseMs(), 38, "nothing there");
  echo.place(3.313);
  t.equal((await pulseMs())?.toFixed(6), "20.000000");
  t.equal(echoPulseMs(3.313, 0).toFixed(6), "20.000000");
  echo.behave("silent");
  t.equal(await pulseMs(), undefined);
  echo.behave("stuck");
  t.equal(world.level("GPIO24"), true);
  echo.behave("well");
  t.equal((await pulseMs())?.toFixed(6), "20.000000");
  t.equal(echo.triggered(), 4);
  echo.stop();
  t.equal(clock.pending(), 0);
  trigger.close();
});
