import fc from "fast-check";
import t from "tap";

import { AgentError } from "../../../agent/contract/errors.ts";
import {
  callDevice,
  createFakeDeviceContext,
  openDevice,
  optionErrors,
  type FakeDeviceContext,
} from "../../helpers/fake-device-context.ts";
import { dimmerDriver, dutyOfBrightness } from "../../../drivers/gpio/dimmer.ts";
import { expectCode } from "../../contract/board.ts";
import { slowPwm } from "./slow-pwm.ts";
import type { Device } from "../../../agent/contract/device.ts";

const PWM = { pwm: { chip: "sim", channel: 0 } };

async function openDimmer(options: Record<string, unknown> = {}): Promise<{ context: FakeDeviceContext; lamp: Device }> {
  const context = createFakeDeviceContext();
  return { context, lamp: await openDevice(dimmerDriver, context, { ...PWM, gamma: 1, ...options }) };
}

function duties(context: FakeDeviceContext): number[] {
  return context.board.world.dutyHistory("pwm sim:0").entries.map(({ dutyRatio }) => Math.round(dutyRatio * 1e6) / 1e6);
}

t.test("a dimmer without a ramp changes at once, is clamped, and remembers what `on` lights", async (t) => {
  const { context, lamp } = await openDimmer();
  t.same(context.published, ["lamp.on=false", "lamp.brightness=0"]);
  t.equal(callDevice(lamp, "on"), 100);
  t.equal(callDevice(lamp, "brightness", { percent: 30 }), 30);
  t.equal(callDevice(lamp, "off"), 0);
  t.equal(callDevice(lamp, "on"), 30);
  t.equal(callDevice(lamp, "brightness", { percent: 300 }), 100);
  t.equal(callDevice(lamp, "brightness", { percent: -5 }), 0);
  t.equal(callDevice(lamp, "on"), 100, "dark is not what on lights");
  t.same(callDevice(lamp, "state"), { on: true, percent: 100, targetPercent: 100 });
  await lamp.close();
  t.same(duties(context), [0, 1, 0.3, 0, 0.3, 1, 0, 1, 0, 0]);
  t.equal(context.board.world.dutyHistory("pwm sim:0").entries[0]?.periodNs, 1_000_000);
  t.same(context.board.world.claimed(), []);
});

t.test("a ramp changes by as much per second, turns round at once, and repeating an order does not slow it down", async (t) => {
  const { context, lamp } = await openDimmer({ rampPercentPerS: 500 });
  t.equal(callDevice(lamp, "brightness", { percent: 50 }), 50);
  for (let i = 0; i < 10; i++) {
    await context.clock.advance(10);
    t.equal(callDevice(lamp, "brightness", { percent: 50 }), 50);
  }
  t.same(duties(context), [0, 0.1, 0.2, 0.3, 0.4, 0.5]);
  t.equal(context.clock.pending(), 0);
  await callDevice(lamp, "off");
  await context.clock.advance(40);
  t.equal(context.latest.get("brightness"), 30);
  t.same(callDevice(lamp, "state"), { on: true, percent: 30, targetPercent: 0 });
  await callDevice(lamp, "on");
  await context.clock.advance(1000);
  t.same(duties(context).slice(6), [0.4, 0.3, 0.4, 0.5]);
  t.equal(context.clock.pending(), 0);
});

t.test("a fade takes its own time; 0 is at once", async (t) => {
  const { context, lamp } = await openDimmer({ rampPercentPerS: 500 });
  t.equal(callDevice(lamp, "fade", { percent: 100, durationMs: 1000 }), 100);
  await context.clock.advance(500);
  t.equal(context.latest.get("brightness"), 50);
  await context.clock.advance(500);
  t.equal(context.latest.get("brightness"), 100);
  t.equal(context.clock.pending(), 0);
  t.equal(callDevice(lamp, "fade", { percent: 0, durationMs: 0 }), 0);
  t.equal(context.board.world.duty("pwm sim:0"), 0);
  for (const durationMs of [-1, 0.5, 60_001]) t.throws(() => callDevice(lamp, "fade", { percent: 1, durationMs }));
});

t.test("the safe state is taken at once, whatever is fading", async (t) => {
  const { context, lamp } = await openDimmer({ safe: 20, rampPercentPerS: 10 });
  const { world } = context.board;
  t.equal(world.duty("pwm sim:0"), 0.2);
  await callDevice(lamp, "on");
  t.equal(context.latest.get("brightness"), 20, "on lights what it was safe with");
  for (const [to, duty] of [
    ["safe", 0.2],
    ["off", 0],
    [{ value: 60 }, 0.6],
    [{ value: 600 }, 1],
    [{ value: Number.NaN }, 0],
    [{ value: true }, 1],
    [{ value: false }, 0],
  ] as const) {
    await callDevice(lamp, "fade", { percent: 90, durationMs: 10_000 });
    await lamp.failsafe?.(to);
    t.equal(world.duty("pwm sim:0"), duty, JSON.stringify(to));
    await context.clock.advance(1000);
    t.equal(world.duty("pwm sim:0"), duty);
  }
  t.equal(context.clock.pending(), 0);
});

t.test("over a slow bus steps do not queue up, and going safe is written last", async (t) => {
  const context = createFakeDeviceContext();
  const slow = slowPwm(context.board);
  const opening = openDevice(dimmerDriver, { ...context, board: slow.board }, { ...PWM, gamma: 1 });
  await context.clock.advance(0);
  slow.finish();
  const lamp = await opening;
  await callDevice(lamp, "fade", { percent: 100, durationMs: 100 });
  await context.clock.advance(60);
  t.equal(slow.waiting.length, 1);
  const safe = lamp.failsafe?.("safe");
  while (slow.waiting.length > 0) slow.finish();
  await safe;
  await context.clock.advance(1000);
  t.equal(slow.written.at(-1), 0);
  const lit = callDevice(lamp, "brightness", { percent: 40 });
  slow.finish();
  t.equal(await lit, 40);
  const failing = callDevice(lamp, "brightness", { percent: 50 });
  slow.finish(new AgentError("IO", "chip 1:0x40 does not answer"));
  await expectCode(t, "IO", ["0x40"], async () => failing);
  await callDevice(lamp, "fade", { percent: 0, durationMs: 100 });
  slow.finish(new AgentError("IO", "chip 1:0x40 does not answer"));
  await context.clock.advance(0);
  t.match(context.faults, [{ code: "IO" }]);
  await lamp.close();
});

t.test("options that do not fit are refused", (t) => {
  const cases: readonly [Record<string, unknown>, RegExp][] = [
    [{}, /^pwm: /],
    [{ ...PWM, gamma: 0.9 }, /^gamma: /],
    [{ ...PWM, minPercent: 51 }, /^minPercent: /],
    [{ ...PWM, rampPercentPerS: 0 }, /^rampPercentPerS: /],
    [{ ...PWM, safe: "dim" }, /^safe/],
    [{ ...PWM, frequencyHz: 23 }, /^frequencyHz: /],
  ];
  for (const [options, expected] of cases) t.match(optionErrors(dimmerDriver, options).join("; "), expected, JSON.stringify(options));
  t.same(dimmerDriver.claims(dimmerDriver.options.parse(PWM)), ["pwm sim:0"]);
  t.end();
});

t.test("brightness rises with the percent, is dark at 0 only, and full at 100", (t) => {
  t.equal(dutyOfBrightness(50, 2.2, 0).toFixed(4), "0.2176");
  fc.assert(
    fc.property(fc.double({ min: 1, max: 4, noNaN: true }), fc.integer({ min: 0, max: 50 }), (gamma, minPercent) => {
      const levels = Array.from({ length: 101 }, (_, percent) => dutyOfBrightness(percent, gamma, minPercent));
      const rises = levels.every((level, i) => i === 0 || level > (levels[i - 1] ?? 1));
      return rises && levels[0] === 0 && Math.abs((levels[100] ?? 0) - 1) < 1e-12 && (levels[1] ?? 0) > minPercent / 100;
    }),
  );
  t.end();
});
