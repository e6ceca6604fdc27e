import fc from "fast-check";
import t, { type Test } from "tap";

import { AgentError } from "../../../agent/contract/errors.ts";
import {
  callDevice,
  createFakeDeviceContext,
  openDevice,
  optionErrors,
  pinTrace,
  type FakeDeviceContext,
} from "../../helpers/fake-device-context.ts";
import { expectCode } from "../../contract/board.ts";
import { motorDriver } from "../../../drivers/gpio/motor.ts";
import { pulseTrace } from "./pulse-trace.ts";
import { recordingBoard, type Moment } from "./recording-board.ts";
import { slowPwm } from "./slow-pwm.ts";
import type { Device } from "../../../agent/contract/device.ts";

const P0 = "pwm sim:0";
const P1 = "pwm sim:1";

const TWO_INPUTS = { in1: "GPIO5", in2: "GPIO6", pwm: { chip: "sim", channel: 0 }, brakeInputs: "high" };
const PHASE = { phase: "GPIO5", pwm: { chip: "sim", channel: 0 }, standby: "GPIO7" };
const TWO_CHANNELS = { forward: { chip: "sim", channel: 0 }, reverse: { chip: "sim", channel: 1 }, brakeInputs: "high" };
const BTS7960 = { ...TWO_CHANNELS, brakeInputs: "low", standby: "GPIO7" };

/** Fast enough to get anywhere in one step. */
const AT_ONCE = { slewPercentPerS: 100_000 };

interface Bench {
  readonly context: FakeDeviceContext;
  readonly motor: Device;
  readonly moments: Moment[];
}

async function openMotor(options: Record<string, unknown>, busMs = 0): Promise<Bench> {
  const context = createFakeDeviceContext({ id: "left" });
  const { board, moments } = recordingBoard(context.board, context.clock, busMs);
  const motor = await openDevice(motorDriver, { ...context, board }, options);
  return { context, motor, moments };
}

/** One word per moment that differs from the one before: what the named outputs drove. */
function story(moments: readonly Moment[], names: readonly string[]): string {
  const words = moments.map(({ drives }) => names.map((name) => String(drives[name] ?? 0)).join("/"));
  return words.filter((word, i) => word !== words[i - 1]).join(" ");
}

const INPUTS = ["GPIO5", "GPIO6", P0];

t.test("a motor turns both ways, each change of way by way of nothing driven for the dead time", async (t) => {
  const { context, motor, moments } = await openMotor({ ...TWO_INPUTS, ...AT_ONCE });
  await context.clock.advance(100);
  t.equal(callDevice(motor, "speed", { percent: 50 }), 50);
  t.same(callDevice(motor, "state"), { percent: 50, targetPercent: 50, mode: "drive" });
  t.equal(context.clock.pending(), 0, "nothing to do, nothing runs");
  await context.clock.advance(100);
  const reversedMs = context.clock.monotonicMs();
  t.equal(callDevice(motor, "speed", { percent: -25 }), -25);
  t.same(callDevice(motor, "state"), { percent: 0, targetPercent: -25, mode: "coast" });
  await context.clock.advance(100);
  t.equal(callDevice(motor, "speed", { percent: 0 }), 0);
  await motor.close();
  t.equal(story(moments, INPUTS), "0/0/0 1/0/0 1/0/0.5 1/0/0 0/0/0 0/1/0 0/1/0.25 0/1/0 0/0/0");
  const driven = moments.find(({ drives }) => drives["GPIO6"] === 1);
  t.ok(driven !== undefined && driven.atMs - reversedMs >= 20 && driven.atMs - reversedMs <= 30, "20 ms, to the next step");
  t.same(context.published, [
    "left.speed=0",
    "left.mode=coast",
    "left.speed=50",
    "left.mode=drive",
    "left.speed=0",
    "left.mode=coast",
    "left.speed=-25",
    "left.mode=drive",
    "left.speed=0",
    "left.mode=coast",
  ]);
  t.same(context.board.world.claimed(), []);
  t.equal(context.clock.pending(), 0);
});

t.test("the speed changes by its slew rate, down to nothing before it turns the other way", async (t) => {
  const { context, motor } = await openMotor({ ...TWO_CHANNELS, slewPercentPerS: 1000, deadTimeMs: 10, periodMs: 10 });
  const { world } = context.board;
  await context.clock.advance(100);
  await callDevice(motor, "speed", { percent: 25 });
  await context.clock.advance(100);
  await callDevice(motor, "speed", { percent: -15 });
  await context.clock.advance(200);
  const duties = (channel: string): string[] =>
    world.dutyHistory(channel).entries.map(({ event, dutyRatio }) => `${event}:${dutyRatio.toFixed(2)}`);
  t.same(duties(P0), ["open:0.00", "duty:0.10", "duty:0.20", "duty:0.25", "duty:0.15", "duty:0.05", "duty:0.00"]);
  t.same(duties(P1), ["open:0.00", "duty:0.10", "duty:0.15"]);
  t.equal(context.clock.pending(), 0);
});

t.test("braking short-circuits at once; from there it drives again by way of nothing driven", async (t) => {
  const { context, motor, moments } = await openMotor({ ...TWO_INPUTS, ...AT_ONCE });
  await context.clock.advance(100);
  await callDevice(motor, "speed", { percent: 50 });
  t.equal(callDevice(motor, "brake"), 0);
  t.equal(callDevice(motor, "brake"), 0);
  t.same(callDevice(motor, "state"), { percent: 0, targetPercent: 0, mode: "brake" });
  await callDevice(motor, "speed", { percent: 20 });
  await context.clock.advance(100);
  t.equal(callDevice(motor, "coast"), 0);
  t.equal(
    story(moments, INPUTS),
    "0/0/0 1/0/0 1/0/0.5 1/0/0 0/0/0 1/1/0 1/1/1 1/1/0 0/0/0 1/1/0 1/1/1 1/1/0 0/0/0 1/0/0 1/0/0.2 1/0/0 0/0/0",
  );
});

t.test("each kind of bridge has its own way to turn, coast and brake", async (t) => {
  const cases: readonly [Record<string, unknown>, readonly string[], string][] = [
    [PHASE, ["GPIO5", P0, "GPIO7"], "0/0/0 0/0/1 0/0.5/1 0/0/1 0/0/0 1/0/0 1/0/1 1/0.5/1 1/0/1 1/0/0"],
    [BTS7960, [P0, P1, "GPIO7"], "0/0/0 0/0/1 0.5/0/1 0/0/1 0/0/0 0/0/1 0/0.5/1 0/0/1"],
    [TWO_CHANNELS, [P0, P1], "0/0 0.5/0 0/0 0/0.5 0/0 1/0 1/1"],
  ];
  for (const [options, names, expected] of cases) {
    const { context, motor, moments } = await openMotor({ ...options, ...AT_ONCE });
    await context.clock.advance(100);
    await callDevice(motor, "speed", { percent: 50 });
    await callDevice(motor, "speed", { percent: -50 });
    await context.clock.advance(100);
    if ("brake" in motor.functions) await callDevice(motor, "brake");
    else await callDevice(motor, "coast");
    t.equal(story(moments, names), expected, JSON.stringify(options));
    await motor.close();
    t.same(context.board.world.claimed(), []);
  }
});

t.test("the safe state is coasting, or braking where that is configured; no value keeps a motor running", async (t) => {
  const coasting = await openMotor({ ...TWO_INPUTS, ...AT_ONCE });
  const braking = await openMotor({ ...TWO_INPUTS, ...AT_ONCE, safe: "brake" });
  for (const { context, motor } of [coasting, braking]) {
    await context.clock.advance(100);
    await callDevice(motor, "speed", { percent: 50 });
    await motor.failsafe?.("safe");
    await context.clock.advance(1000);
  }
  t.equal(coasting.context.latest.get("mode"), "coast");
  t.equal(pinTrace(coasting.context.board.world, "GPIO5"), "output:low high low");
  t.equal(braking.context.latest.get("mode"), "brake");
  t.equal(pinTrace(braking.context.board.world, "GPIO6"), "output:low high");
  for (const to of ["off", { value: 50 }, { value: true }] as const) {
    await braking.motor.failsafe?.(to);
    t.equal(braking.context.latest.get("mode"), "coast");
    t.equal(braking.context.board.world.duty(P0), 0);
    await braking.motor.failsafe?.("safe");
  }
});

t.test("going safe ends a slew and a dead time", async (t) => {
  for (const waitMs of [5, 25]) {
    const { context, motor } = await openMotor({ ...TWO_CHANNELS, slewPercentPerS: 2000 });
    const { world } = context.board;
    await context.clock.advance(100);
    await callDevice(motor, "speed", { percent: 30 });
    await context.clock.advance(100);
    await callDevice(motor, "speed", { percent: -100 });
    await context.clock.advance(waitMs);
    await motor.failsafe?.("safe");
    await context.clock.advance(1000);
    t.equal(pulseTrace(world, P1), "open:0");
    t.equal(world.duty(P0), 0);
    t.equal(context.clock.pending(), 0);
  }
});

t.test("switching off tries every half, whatever fails", async (t) => {
  const { context, motor } = await openMotor({ ...TWO_INPUTS, standby: "GPIO7", ...AT_ONCE });
  const { world } = context.board;
  await context.clock.advance(100);
  await callDevice(motor, "speed", { percent: 50 });
  world.failNth("pwmWrite", 1);
  await expectCode(t, "IO", ["pwmWrite"], async () => motor.failsafe?.("off"));
  t.equal(world.level("GPIO5"), false);
  t.equal(world.level("GPIO7"), false, "without its standby line the bridge drives nothing");
  t.not(world.duty(P0), 0);
  await motor.failsafe?.("off");
  await callDevice(motor, "speed", { percent: 50 });
  await context.clock.advance(100);
  world.failNth("pwmWrite", 2);
  await expectCode(t, "IO", ["pwmWrite"], async () => callDevice(motor, "brake"));
  t.same(
    [world.level("GPIO5"), world.level("GPIO6"), world.level("GPIO7"), world.duty(P0)],
    [false, false, false, 0],
    "a brake that fails is off",
  );
});

t.test("a step that fails is the device's fault and the last one", async (t) => {
  const { context, motor } = await openMotor({ ...TWO_CHANNELS, slewPercentPerS: 1000 });
  await context.clock.advance(100);
  await callDevice(motor, "speed", { percent: 50 });
  context.board.world.failNth("pwmWrite", 2);
  await context.clock.advance(1000);
  t.match(context.faults, [{ code: "IO" }]);
  t.equal(context.clock.pending(), 0);
});

t.test("over a bus, what fails while switching or changing the duty is a fault", async (t) => {
  const context = createFakeDeviceContext({ id: "left" });
  const slow = slowPwm(context.board);
  const motor = await openDevice(motorDriver, { ...context, board: slow.board }, { ...TWO_INPUTS, slewPercentPerS: 1000 });
  await context.clock.advance(100);
  await callDevice(motor, "speed", { percent: 50 });
  await context.clock.advance(50);
  t.equal(slow.waiting.length, 1, "nothing else is asked for while the bridge is being switched");
  slow.finish();
  await context.clock.advance(10);
  slow.finish(new AgentError("IO", "chip 1:0x40 does not answer"));
  await context.clock.advance(0);
  t.match(context.faults, [{ code: "IO" }], "a duty");
  const off = motor.failsafe?.("safe");
  while (slow.waiting.length > 0) slow.finish();
  await off;
  await callDevice(motor, "speed", { percent: 50 });
  await context.clock.advance(40);
  slow.finish(new AgentError("IO", "chip 1:0x40 does not answer"));
  await context.clock.advance(0);
  t.equal(context.faults.length, 2, "turning");
  const braked = callDevice(motor, "brake");
  slow.finish(new AgentError("IO", "chip 1:0x40 does not answer"));
  await context.clock.advance(0);
  while (slow.waiting.length > 0) slow.finish();
  await expectCode(t, "IO", ["0x40"], async () => braked);
  t.same([context.board.world.level("GPIO5"), context.board.world.level("GPIO6")], [false, false]);
});

t.test("options that do not fit are refused with what to do", (t) => {
  const cases: readonly [Record<string, unknown>, RegExp][] = [
    [{}, /^: a motor needs in1, in2 and pwm; or phase and pwm; or forward and reverse$/],
    [{ ...TWO_INPUTS, in2: undefined }, /a motor needs/],
    [{ ...TWO_INPUTS, phase: "GPIO9" }, /a motor needs/],
    [{ ...TWO_CHANNELS, pwm: { chip: "sim", channel: 2 } }, /a motor needs/],
    [{ ...TWO_INPUTS, frequencyHz: 40 }, /^deadTimeMs: .*one period/],
    [{ ...TWO_INPUTS, frequencyHz: 23 }, /frequencyHz/],
    [{ ...PHASE, brakeInputs: "high" }, /^brakeInputs: /],
    [{ ...TWO_CHANNELS, brakeInputs: "low" }, /^brakeInputs: .*standby/],
    [{ ...PHASE, safe: "brake" }, /^safe: .*brakeInputs/],
    [{ ...PHASE, safe: "hold" }, /^safe: /],
    [{ ...PHASE, slewPercentPerS: 0 }, /^slewPercentPerS: /],
    [{ ...PHASE, deadTimeMs: 0 }, /^deadTimeMs: /],
  ];
  for (const [options, expected] of cases) t.match(optionErrors(motorDriver, options).join("; "), expected, JSON.stringify(options));
  const claims = (options: Record<string, unknown>): readonly string[] => motorDriver.claims(motorDriver.options.parse(options));
  t.same(claims(TWO_INPUTS), ["line GPIO5", "line GPIO6", P0]);
  t.same(claims(BTS7960), ["line GPIO7", P0, P1]);
  t.equal(motorDriver.moves, true);
  t.end();
});

t.test("a speed beyond 100 percent is refused", async (t) => {
  const { motor } = await openMotor(PHASE);
  for (const percent of [100.1, -100.1, Number.NaN, "50"]) t.throws(() => callDevice(motor, "speed", { percent }));
  t.notOk("brake" in motor.functions, "a bridge that was not said to brake has no brake");
});

type Order = { readonly percent: number } | "brake" | "coast" | "safe";

const orders: fc.Arbitrary<readonly [Order, number]> = fc.tuple(
  fc.oneof(
    fc.integer({ min: -100, max: 100 }).map((percent): Order => ({ percent })),
    fc.constantFrom<Order>("brake", "coast", "safe"),
  ),
  fc.integer({ min: 0, max: 80 }),
);

/** Which way the bridge drives: 0 for not at all. */
function wayOf({ drives }: Moment, wiring: "inputs" | "channels"): number {
  if (wiring === "channels") return Math.sign((drives[P0] ?? 0) - (drives[P1] ?? 0));
  return (drives[P0] ?? 0) > 0 ? (drives["GPIO5"] ?? 0) - (drives["GPIO6"] ?? 0) : 0;
}

/** What holds at every moment of every bridge. */
function checkBridge(t: Test, moments: readonly Moment[], wiring: "inputs" | "channels"): void {
  let lastWay = 0;
  let lastDrivenMs = -Infinity;
  for (const [i, moment] of moments.entries()) {
    const way = wayOf(moment, wiring);
    const before = moments[i - 1];
    const risen = ["GPIO5", "GPIO6"].some((line) => (moment.drives[line] ?? 0) > (before?.drives[line] ?? 0));
    if (risen) t.equal(moment.drives[P0], 0, "an input rises while there is no duty");
    if (wiring === "channels" && (moment.drives[P0] ?? 0) > 0 && (moment.drives[P1] ?? 0) > 0) {
      t.same([moment.drives[P0], moment.drives[P1]], [1, 1], "both halves only to brake");
    }
    // Two channels are written one after the other, so that one is on alone for a moment before and after both are.
    const braking = wiring === "channels" && [before, moments[i + 1]].some((one) => one?.drives[P0] === 1 && one.drives[P1] === 1);
    if (way !== 0 && !braking) {
      if (way !== lastWay) t.ok(moment.atMs - lastDrivenMs >= 20, `${moment.atMs - lastDrivenMs} ms`);
      lastWay = way;
    }
    if (lastWay !== 0 && before !== undefined && wayOf(before, wiring) !== 0) lastDrivenMs = moment.atMs;
  }
}

t.test(
  "after any orders, on any bus: never both halves but to brake, the way is chosen without duty, and changes after the dead time",
  async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("inputs" as const, "channels" as const),
        fc.constantFrom(0, 1, 3, 12),
        fc.constantFrom(50, 500, 100_000),
        fc.array(orders, { maxLength: 12 }),
        async (wiring, busMs, slewPercentPerS, given) => {
          const { context, motor, moments } = await openMotor(
            { ...(wiring === "inputs" ? TWO_INPUTS : TWO_CHANNELS), slewPercentPerS, deadTimeMs: 20 },
            busMs,
          );
          const pending: unknown[] = [];
          for (const [order, waitMs] of given) {
            if (order === "safe") pending.push(motor.failsafe?.("safe"));
            else if (typeof order === "string") pending.push(callDevice(motor, order));
            else pending.push(callDevice(motor, "speed", order));
            // As the supervisor does, which lets a later call wait for one in progress.
            if (pending.at(-1) instanceof Promise) await context.clock.advance(busMs * 6);
            await context.clock.advance(waitMs);
          }
          await context.clock.advance(busMs * 10);
          const off = motor.failsafe?.("safe");
          await context.clock.advance(busMs * 10);
          await off;
          t.equal(context.board.world.duty(P0) + context.board.world.duty(P1), 0);
          checkBridge(t, moments, wiring);
          const closed = motor.close();
          await context.clock.advance(busMs * 10);
          await closed;
          t.equal(context.clock.pending(), 0);
          t.same(context.board.world.claimed(), []);
          t.same(context.faults, []);
        },
      ),
      { numRuns: 120 },
    );
  },
);
