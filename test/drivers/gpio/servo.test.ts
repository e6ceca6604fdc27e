import fc from "fast-check";
import t from "tap";

import { AgentError } from "../../../agent/contract/errors.ts";
import { approach, createTravel } from "../../../drivers/gpio/servo-motion.ts";
import {
  callDevice,
  createFakeDeviceContext,
  openDevice,
  optionErrors,
  type FakeDeviceContext,
} from "../../helpers/fake-device-context.ts";
import { expectCode } from "../../contract/board.ts";
import { pulses, pulseTrace } from "./pulse-trace.ts";
import { servoDriver } from "../../../drivers/gpio/servo.ts";
import { slowPwm } from "./slow-pwm.ts";
import type { Device } from "../../../agent/contract/device.ts";

const CHANNEL = { chip: "sim", channel: 0 };

const PWM = "pwm sim:0";

/** 500 to 2500 µs for -90 to 90 degrees. */
const usOf = (angleDeg: number): number => Math.round(1500 + (angleDeg * 1000) / 90);

async function openServo(options: Record<string, unknown> = {}): Promise<{ context: FakeDeviceContext; servo: Device }> {
  const context = createFakeDeviceContext({ id: "pan" });
  return { context, servo: await openDevice(servoDriver, context, { pwm: CHANNEL, ...options }) };
}

t.test("a servo is silent until its first command, then turns, lets go and closes without another pulse", async (t) => {
  const { context, servo } = await openServo();
  const { world } = context.board;
  await context.clock.advance(1000);
  t.same(callDevice(servo, "state"), { angleDeg: null, targetDeg: null, pulseUs: 0, attached: false, moving: false });
  t.same(context.published, ["pan.moving=false", "pan.attached=false"]);
  t.equal(callDevice(servo, "angle", { angleDeg: 0 }), 0);
  t.equal(callDevice(servo, "angle", { angleDeg: 45 }), 45);
  t.same(callDevice(servo, "state"), { angleDeg: 45, targetDeg: 45, pulseUs: 2000, attached: true, moving: false });
  await servo.failsafe?.("safe");
  t.same(callDevice(servo, "state"), { angleDeg: 45, targetDeg: null, pulseUs: 0, attached: false, moving: false });
  await servo.failsafe?.("safe");
  await servo.close();
  t.equal(pulseTrace(world, PWM), "open:0 1500 2000 0 release:0");
  t.same(context.published.slice(2), ["pan.angle=0", "pan.attached=true", "pan.angle=45", "pan.attached=false"]);
  t.equal(context.clock.pending(), 0);
  t.same(world.claimed(), []);
});

t.test("the pulse of the middle is 1.5 ms of 20 ms", async (t) => {
  const { context, servo } = await openServo();
  await callDevice(servo, "angle", { angleDeg: 0 });
  t.equal(context.board.world.dutyHistory(PWM).entries[0]?.periodNs, 20_000_000);
  t.equal(context.board.world.duty(PWM), 0.075);
});

t.test("angles outside of the range are clamped, and the answer says so", async (t) => {
  const { context, servo } = await openServo({ range: [-60, 120], pulseUs: [900, 2100] });
  for (const [asked, driven, us] of [
    [-61, -60, 900],
    [-60, -60, 900],
    [30, 30, 1500],
    [120, 120, 2100],
    [1e9, 120, 2100],
  ]) {
    t.equal(callDevice(servo, "angle", { angleDeg: asked }), driven);
    t.equal(pulses(context.board.world, PWM).at(-1)?.pulseUs, us);
  }
  for (const angleDeg of [Number.NaN, Infinity, "30", undefined]) t.throws(() => callDevice(servo, "angle", { angleDeg }));
});

t.test("trim shifts and invert mirrors the pulse, which stays within pulseUs", async (t) => {
  const { context, servo } = await openServo({ trimDeg: 9, invert: true });
  t.equal(callDevice(servo, "angle", { angleDeg: 0 }), 0);
  t.equal(callDevice(servo, "angle", { angleDeg: 90 }), 81, "the trim pushes the last 9 degrees beyond the pulses");
  t.equal(callDevice(servo, "angle", { angleDeg: -90 }), -90);
  t.equal(pulseTrace(context.board.world, PWM), "open:0 1400 500 2400");
});

t.test("a slew rate moves the horn one step per pulse, after the first command where nobody knows where it is", async (t) => {
  const { context, servo } = await openServo({ slewDegPerS: 100 });
  const { world } = context.board;
  t.equal(callDevice(servo, "angle", { angleDeg: -10 }), -10);
  await context.clock.advance(100);
  t.equal(context.clock.pending(), 0, "nothing to do, nothing runs");
  const startMs = context.clock.monotonicMs();
  t.equal(callDevice(servo, "angle", { angleDeg: -3 }), -3);
  t.equal(context.latest.get("moving"), true);
  await context.clock.advance(1000);
  t.same(
    pulses(world, PWM)
      .slice(2)
      .map(({ atMs, pulseUs }) => [atMs - startMs, pulseUs]),
    [
      [0, usOf(-8)],
      [20, usOf(-6)],
      [40, usOf(-4)],
      [60, usOf(-3)],
    ],
  );
  t.equal(context.latest.get("moving"), false);
  t.equal(context.latest.get("angle"), -3);
  t.equal(context.clock.pending(), 0);
});

t.test("a start angle is where the first slew begins", async (t) => {
  const { context, servo } = await openServo({ slewDegPerS: 500, startDeg: 20 });
  t.same(callDevice(servo, "state"), { angleDeg: 20, targetDeg: null, pulseUs: 0, attached: false, moving: false });
  t.equal(context.latest.get("angle"), 20);
  t.equal(callDevice(servo, "angle", { angleDeg: 45 }), 45);
  await context.clock.advance(100);
  t.equal(pulseTrace(context.board.world, PWM), `open:0 ${usOf(30)} ${usOf(40)} ${usOf(45)}`);
});

t.test("a command on the way turns round at once, and repeating it changes nothing", async (t) => {
  const { context, servo } = await openServo({ slewDegPerS: 500, startDeg: 0 });
  await callDevice(servo, "angle", { angleDeg: 90 });
  await context.clock.advance(40);
  t.equal(context.latest.get("angle"), 30);
  for (let i = 0; i < 10; i++) {
    await callDevice(servo, "angle", { angleDeg: 0 });
    await context.clock.advance(10);
  }
  t.equal(context.latest.get("angle"), 0);
  t.equal(pulseTrace(context.board.world, PWM), `open:0 ${[10, 20, 30, 20, 10, 0].map(usOf).join(" ")}`);
});

t.test("late ticks move the horn on by one step only: it is slower then, never faster", async (t) => {
  const { context, servo } = await openServo({ slewDegPerS: 100, startDeg: 0 });
  let late: ((nowMs: number, missed: number) => void) | undefined;
  const device = await openDevice(
    servoDriver,
    { ...context, every: (_, tick) => ((late = tick), () => undefined) },
    { pwm: { chip: "sim", channel: 1 }, slewDegPerS: 100, startDeg: 0 },
  );
  await callDevice(device, "angle", { angleDeg: 90 });
  late?.(500, 24);
  t.same(callDevice(device, "state"), { ...stateOf(4), targetDeg: 90, moving: true, attached: true });
  await servo.close();
});

function stateOf(angleDeg: number): Record<string, number> {
  return { angleDeg, pulseUs: usOf(angleDeg) };
}

t.test("the lease's end, a fault and closing stop a slew where it is", async (t) => {
  for (const end of ["failsafe", "close", "detach"]) {
    const { context, servo } = await openServo({ slewDegPerS: 500, startDeg: 0 });
    await callDevice(servo, "angle", { angleDeg: 90 });
    await context.clock.advance(20);
    if (end === "failsafe") await servo.failsafe?.("safe");
    else if (end === "detach") t.equal(await callDevice(servo, "detach"), false);
    else await servo.close();
    await context.clock.advance(1000);
    const last = end === "close" ? "0 release:0" : "0";
    t.equal(pulseTrace(context.board.world, PWM), `open:0 ${usOf(10)} ${usOf(20)} ${last}`, end);
    t.equal(context.clock.pending(), 0);
  }
});

t.test("after it let go it goes on from where it was driven last", async (t) => {
  const { context, servo } = await openServo({ slewDegPerS: 500, startDeg: 0 });
  await callDevice(servo, "angle", { angleDeg: 20 });
  await context.clock.advance(100);
  await servo.failsafe?.("safe");
  await callDevice(servo, "angle", { angleDeg: 20 });
  await context.clock.advance(100);
  t.same(callDevice(servo, "state"), { ...stateOf(20), targetDeg: 20, attached: true, moving: false });
  await callDevice(servo, "angle", { angleDeg: 0 });
  await context.clock.advance(100);
  t.equal(pulseTrace(context.board.world, PWM), `open:0 ${usOf(10)} ${usOf(20)} 0 ${usOf(20)} ${usOf(10)} ${usOf(0)}`);
});

t.test("the safe state is no pulse, or an angle driven at once whatever the slew rate", async (t) => {
  const { context, servo } = await openServo({ slewDegPerS: 10, startDeg: 0, safe: { angleDeg: -30 } });
  const { world } = context.board;
  t.equal(pulseTrace(world, PWM), "open:0", "the safe angle is not driven before anything asks for it");
  await callDevice(servo, "angle", { angleDeg: 90 });
  const last = (): number | undefined => pulses(world, PWM).at(-1)?.pulseUs;
  await servo.failsafe?.("safe");
  t.equal(last(), usOf(-30));
  await context.clock.advance(1000);
  t.equal(last(), usOf(-30), "nothing moves on from there");
  for (const [to, us] of [
    [{ value: 60 }, usOf(60)],
    [{ value: 600 }, usOf(90)],
    ["off", 0],
    [{ value: 60 }, usOf(60)],
    [{ value: true }, 0],
    ["safe", usOf(-30)],
    [{ value: Number.NaN }, 0],
  ] as const) {
    await servo.failsafe?.(to);
    t.equal(last(), us, JSON.stringify(to));
  }
  t.equal(context.clock.pending(), 0);
});

t.test("a servo may let go some time after it arrived; commands keep it attached", async (t) => {
  for (const slew of [{}, { slewDegPerS: 500 }]) {
    const { context, servo } = await openServo({ ...slew, startDeg: 0, detach: { afterMs: 500 } });
    const { world } = context.board;
    await callDevice(servo, "angle", { angleDeg: 30 });
    await context.clock.advance(499);
    t.equal(context.latest.get("attached"), true);
    await callDevice(servo, "angle", { angleDeg: 30 });
    await context.clock.advance(499);
    t.equal(context.latest.get("attached"), true);
    await context.clock.advance(50);
    t.equal(context.latest.get("attached"), false);
    t.equal(world.duty(PWM), 0);
    t.equal(context.clock.pending(), 0);
    world.failNth("pwmWrite", 2);
    await callDevice(servo, "angle", { angleDeg: 30 });
    await context.clock.advance(600);
    t.match(context.faults[0], { code: "IO" }, "a pulse that does not end is a fault");
  }
});

t.test("a step that fails is the device's fault and the last one", async (t) => {
  const { context, servo } = await openServo({ slewDegPerS: 500, startDeg: 0 });
  await callDevice(servo, "angle", { angleDeg: 90 });
  context.board.world.failNth("pwmWrite", 1);
  await context.clock.advance(1000);
  t.equal(context.faults.length, 1);
  t.match(context.faults[0], { code: "IO", message: /pwmWrite/ });
  t.equal(context.clock.pending(), 0);
  context.board.world.failNth("pwmWrite", 1);
  t.throws(() => callDevice(servo, "angle", { angleDeg: 0 }), { code: "IO" }, "one within a call is the call's error");
});

t.test("over a bus, steps do not queue up and going safe is what is written last", async (t) => {
  const context = createFakeDeviceContext({ id: "pan" });
  const slow = slowPwm(context.board);
  const servo = await openDevice(servoDriver, { ...context, board: slow.board }, { pwm: CHANNEL, slewDegPerS: 500, startDeg: 0 });
  t.equal(callDevice(servo, "angle", { angleDeg: 90 }), 90, "the answer does not wait for the way");
  await context.clock.advance(80);
  t.equal(slow.waiting.length, 1, "the bus is slow: one step is under way, the newest one waits");
  slow.finish();
  await context.clock.advance(0);
  t.equal(slow.waiting.length, 1);
  slow.finish();
  await context.clock.advance(0);
  const us = (duty: number | undefined): number => Math.round((duty ?? 0) * 20_000);
  t.same(slow.written.map(us), [usOf(10), usOf(50)]);
  await context.clock.advance(40);
  const safe = servo.failsafe?.("safe");
  while (slow.waiting.length > 0) slow.finish();
  await safe;
  await context.clock.advance(1000);
  t.equal(slow.written.at(-1), 0);
  t.equal(slow.waiting.length, 0);
});

t.test("over a bus, a command without a slew rate answers when it is driven, and what fails is reported", async (t) => {
  const context = createFakeDeviceContext({ id: "pan" });
  const slow = slowPwm(context.board);
  const fast = await openDevice(servoDriver, { ...context, board: slow.board }, { pwm: CHANNEL, detach: { afterMs: 100 } });
  const answered = callDevice(fast, "angle", { angleDeg: 99 });
  t.ok(answered instanceof Promise);
  slow.finish();
  t.equal(await answered, 90);
  const refused = callDevice(fast, "angle", { angleDeg: 0 });
  slow.finish(new AgentError("IO", "chip 1:0x40 does not answer"));
  await expectCode(t, "IO", ["0x40"], async () => refused);
  await context.clock.advance(100);
  slow.finish(new AgentError("IO", "chip 1:0x40 does not answer"));
  await context.clock.advance(0);
  t.match(context.faults, [{ code: "IO" }], "letting go failed");
  const gone = callDevice(fast, "detach");
  slow.finish();
  t.equal(await gone, false);

  const slewed = await openDevice(servoDriver, { ...context, board: slow.board }, { pwm: CHANNEL, slewDegPerS: 100, startDeg: 0 });
  await callDevice(slewed, "angle", { angleDeg: 90 });
  await context.clock.advance(40);
  slow.finish(new AgentError("IO", "chip 1:0x40 does not answer"));
  await context.clock.advance(0);
  t.equal(context.faults.length, 2, "a step failed");
  t.equal(slow.waiting.length, 0, "and the one that waited for it is dropped");
  await slewed.close();
});

t.test("a horn that is not where it is driven is blocked, by name, within its limit", async (t) => {
  const feedback = { variable: "horn.deg", toleranceDeg: 10, withinMs: 500 };
  const { context, servo } = await openServo({ feedback });
  context.setVariable("horn.deg", 41);
  await callDevice(servo, "angle", { angleDeg: 50 });
  await context.clock.advance(5000);
  t.same(context.faults, [], "9 degrees off is near enough");
  await callDevice(servo, "angle", { angleDeg: 60 });
  await context.clock.advance(480);
  t.same(context.faults, []);
  await context.clock.advance(40);
  t.equal(context.faults.length, 1);
  t.match(context.faults[0], {
    code: "FAULTED",
    message: /^pan: the horn is blocked: it is at 41\.0 degrees by horn\.deg, driven to 60\.0/,
  });
  await servo.failsafe?.("safe");
  await context.clock.advance(5000);
  t.equal(context.faults.length, 1, "without pulses nothing is driven");
  t.equal(context.clock.pending(), 0);
  t.same(servoDriver.reads?.(servoDriver.options.parse({ pwm: CHANNEL, feedback })), ["horn.deg"]);
  t.same(servoDriver.reads?.(servoDriver.options.parse({ pwm: CHANNEL })), []);
});

t.test("a horn that comes in time is not blocked; feedback that is not there, old or no number is a fault of its own", async (t) => {
  const feedback = { variable: "horn.deg", toleranceDeg: 10, withinMs: 500 };
  const { context, servo } = await openServo({ feedback, slewDegPerS: 500, startDeg: 0 });
  context.setVariable("horn.deg", 0);
  await callDevice(servo, "angle", { angleDeg: 50 });
  await context.clock.advance(400);
  context.setVariable("horn.deg", 50);
  await context.clock.advance(5000);
  t.same(context.faults, []);
  context.setVariable("horn.deg", "middle");
  await context.clock.advance(1000);
  t.match(context.faults, [{ code: "STALE", message: /horn\.deg.* is middle, which is no number/ }]);
  t.equal(context.clock.pending(), 0);

  const missing = await openServo({ feedback });
  await callDevice(missing.servo, "angle", { angleDeg: 0 });
  await missing.context.clock.advance(600);
  t.match(missing.context.faults, [{ code: "STALE", message: /is not there/ }]);

  const old = await openServo({ feedback });
  const stale = { name: "horn.deg", value: 0, unit: undefined, ageMs: 9000, stale: true, source: "test", updates: 1 };
  const device = await openDevice(servoDriver, { ...old.context, variable: () => stale }, { pwm: { chip: "sim", channel: 1 }, feedback });
  await callDevice(device, "angle", { angleDeg: 0 });
  await old.context.clock.advance(600);
  t.match(old.context.faults, [{ code: "STALE", message: /is stale/ }]);
});

t.test("options that do not fit are refused with what to do", (t) => {
  const cases: readonly [Record<string, unknown>, RegExp][] = [
    [{}, /^pwm: /],
    [{ range: [90, -90] }, /^range: .*smaller one/],
    [{ range: [-400, 0] }, /^range\.0: /],
    [{ pulseUs: [2500, 500] }, /^pulseUs: .*smaller one/],
    [{ pulseUs: [299, 2500] }, /^pulseUs\.0: /],
    [{ pulseUs: [500, 3001] }, /^pulseUs\.1: /],
    [{ periodMs: 3, pulseUs: [500, 2701] }, /^pulseUs: .*nine tenths/],
    [{ periodMs: 2.9 }, /^periodMs: /],
    [{ periodMs: 26 }, /^periodMs: /],
    [{ slewDegPerS: 0 }, /^slewDegPerS: /],
    [{ startDeg: 91 }, /^startDeg: .*outside of its range/],
    [{ safe: "hold" }, /^safe: /],
    [{ detach: "never" }, /^detach: .*needs a safe angle/],
    [{ detach: "onLoss", safe: { angleDeg: 0 } }, /^detach: .*only if its safe state is detach/],
    [{ detach: { afterMs: 99 } }, /^detach/],
    [{ trimDeg: 46 }, /^trimDeg: /],
    [{ trimDeg: 40, range: [-20, 20] }, /^trimDeg: .*nothing of the range/],
    [{ speed: 3 }, /speed/],
  ];
  for (const [options, expected] of cases) {
    const given = Object.keys(options).length === 0 ? options : { pwm: CHANNEL, ...options };
    t.match(optionErrors(servoDriver, given).join("; "), expected, JSON.stringify(options));
  }
  const fits: readonly Record<string, unknown>[] = [
    { detach: "never", safe: { angleDeg: 0 } },
    { detach: "onLoss" },
    { detach: { afterMs: 100 }, safe: { angleDeg: 0 } },
    { periodMs: 3, pulseUs: [900, 2100] },
    { pwm: { pca9685: { bus: 1, channel: 3 } } },
  ];
  for (const options of fits) t.same(optionErrors(servoDriver, { pwm: CHANNEL, ...options }), [], JSON.stringify(options));
  t.equal(servoDriver.moves, true);
  t.same(servoDriver.claims(servoDriver.options.parse({ pwm: { pca9685: { bus: 1, channel: 3 } } })), ["pwm pca9685@1:0x40:3"]);
  t.end();
});

const travels = fc
  .record({
    pulseUs: fc.tuple(fc.integer({ min: 300, max: 1400 }), fc.integer({ min: 1500, max: 3000 })),
    range: fc.tuple(fc.integer({ min: -360, max: -1 }), fc.integer({ min: 1, max: 360 })),
    trimDeg: fc.integer({ min: -45, max: 45 }),
    invert: fc.boolean(),
  })
  .filter(({ range, trimDeg }) => range[0] - trimDeg < range[1] && range[1] - trimDeg > range[0]);

t.test("whatever angle is asked for, the pulse is within pulseUs and the answer within the range", (t) => {
  fc.assert(
    fc.property(travels, fc.double({ min: -1e6, max: 1e6, noNaN: true }), (options, asked) => {
      const travel = createTravel(options);
      const angle = travel.clampDeg(asked);
      const us = travel.pulseUsOf(angle);
      return angle >= options.range[0] && angle <= options.range[1] && us >= options.pulseUs[0] - 1e-6 && us <= options.pulseUs[1] + 1e-6;
    }),
  );
  t.end();
});

t.test("approaching never goes beyond, nor faster than its step, and gets there", (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: -500, max: 500 }),
      fc.integer({ min: -500, max: 500 }),
      fc.integer({ min: 1, max: 100 }),
      (from, to, step) => {
        let at = from;
        for (let i = 0; i < 1001 && at !== to; i++) {
          const next = approach(at, to, step);
          if (Math.abs(next - at) > step || Math.abs(to - next) >= Math.abs(to - at)) return false;
          at = next;
        }
        return at === to;
      },
    ),
  );
  t.end();
});

t.test("after any orders no step is faster than the slew rate and no pulse outside of pulseUs", async (t) => {
  const order = fc.oneof(
    fc.double({ min: -120, max: 120, noNaN: true }).map((angleDeg) => ({ angleDeg })),
    fc.constantFrom("safe" as const, "detach" as const),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(order, fc.integer({ min: 0, max: 90 })), { maxLength: 15 }), async (given) => {
      const { context, servo } = await openServo({ slewDegPerS: 250, startDeg: 0, range: [-80, 80], pulseUs: [1000, 2000] });
      const { world } = context.board;
      for (const [what, waitMs] of given) {
        if (what === "safe") await servo.failsafe?.("safe");
        else if (what === "detach") await callDevice(servo, "detach");
        else await callDevice(servo, "angle", what);
        await context.clock.advance(waitMs);
      }
      await servo.close();
      let before = 1500;
      let beforeMs = -Infinity;
      for (const { atMs, pulseUs } of pulses(world, PWM).filter(({ event, pulseUs }) => event === "duty" && pulseUs > 0)) {
        t.ok(pulseUs >= 1000 && pulseUs <= 2000);
        // 250 degrees per second are 5 degrees per pulse, of 6.25 µs each.
        t.ok(Math.abs(pulseUs - before) <= 5 * 6.25 + 1, `${before} to ${pulseUs}`);
        t.ok(atMs - beforeMs >= 20, "one step per period");
        before = pulseUs;
        beforeMs = atMs;
      }
      t.equal(world.duty(PWM), 0);
      t.equal(context.clock.pending(), 0);
    }),
    { numRuns: 40 },
  );
});
