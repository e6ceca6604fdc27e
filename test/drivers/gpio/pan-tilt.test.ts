import t from "tap";

import { AgentError } from "../../../agent/contract/errors.ts";
import {
  callDevice,
  createFakeDeviceContext,
  openDevice,
  optionErrors,
  type FakeDeviceContext,
} from "../../helpers/fake-device-context.ts";
import { expectCode } from "../../contract/board.ts";
import { panTiltDriver } from "../../../drivers/gpio/pan-tilt.ts";
import { pulses, pulseTrace } from "./pulse-trace.ts";
import { slowPwm } from "./slow-pwm.ts";
import type { Device } from "../../../agent/contract/device.ts";

const OPTIONS = {
  pan: { pwm: { chip: "sim", channel: 0 } },
  tilt: { pwm: { chip: "sim", channel: 1 }, range: [-45, 45], pulseUs: [1000, 2000] },
};

const PAN = "pwm sim:0";
const TILT = "pwm sim:1";

const panUs = (angleDeg: number): number => Math.round(1500 + (angleDeg * 1000) / 90);

const tiltUs = (angleDeg: number): number => Math.round(1500 + (angleDeg * 500) / 45);

async function openHead(options: Record<string, unknown> = {}): Promise<{ context: FakeDeviceContext; head: Device }> {
  const context = createFakeDeviceContext({ id: "camera" });
  return { context, head: await openDevice(panTiltDriver, context, { ...OPTIONS, ...options }) };
}

const startingAt = (panDeg: number, tiltDeg: number): Record<string, unknown> => ({
  pan: { ...OPTIONS.pan, startDeg: panDeg },
  tilt: { ...OPTIONS.tilt, startDeg: tiltDeg },
});

t.test("a head is silent until its first command, looks, and lets go without another pulse", async (t) => {
  const { context, head } = await openHead();
  const { world } = context.board;
  await context.clock.advance(1000);
  t.same(callDevice(head, "state"), {
    panDeg: null,
    tiltDeg: null,
    panTargetDeg: null,
    tiltTargetDeg: null,
    attached: false,
    moving: false,
  });
  t.same(callDevice(head, "look", { panDeg: 30, tiltDeg: -70 }), { panDeg: 30, tiltDeg: -45 }, "clamped");
  await context.clock.advance(1000);
  await head.failsafe?.("safe");
  await head.close();
  t.equal(pulseTrace(world, PAN), `open:0 ${panUs(30)} 0 release:0`);
  t.equal(pulseTrace(world, TILT), `open:0 ${tiltUs(-45)} 0 release:0`);
  t.equal(context.clock.pending(), 0);
  t.same(world.claimed(), []);
});

t.test("each axis moves no faster than its own speed, both in the same ticks", async (t) => {
  const { context, head } = await openHead({
    pan: { ...OPTIONS.pan, startDeg: 0, maxDegPerS: 100 },
    tilt: { ...OPTIONS.tilt, startDeg: 0, maxDegPerS: 50 },
  });
  const { world } = context.board;
  t.same(callDevice(head, "look", { panDeg: 6, tiltDeg: 2 }), { panDeg: 6, tiltDeg: 2 });
  t.equal(context.latest.get("moving"), true);
  await context.clock.advance(200);
  t.equal(pulseTrace(world, PAN), `open:0 ${[2, 4, 6].map(panUs).join(" ")}`);
  t.equal(pulseTrace(world, TILT), `open:0 ${[1, 2].map(tiltUs).join(" ")}`);
  const atMs = (channel: string): number[] =>
    pulses(world, channel)
      .slice(1)
      .map((pulse) => pulse.atMs);
  t.same(atMs(PAN).slice(0, 2), atMs(TILT));
  t.same([context.latest.get("pan"), context.latest.get("tilt"), context.latest.get("moving")], [6, 2, false]);
});

t.test("one axis alone leaves the other one silent", async (t) => {
  const { context, head } = await openHead();
  const { world } = context.board;
  t.equal(callDevice(head, "tilt", { tiltDeg: 10 }), 10);
  await context.clock.advance(100);
  t.equal(pulseTrace(world, PAN), "open:0");
  t.equal(callDevice(head, "pan", { panDeg: -200 }), -90);
  await context.clock.advance(100);
  t.equal(pulseTrace(world, PAN), `open:0 ${panUs(-90)}`);
  t.equal(pulseTrace(world, TILT), `open:0 ${tiltUs(10)}`);
});

t.test("move turns at a speed until it is told otherwise, the soft stops or the end of the lease", async (t) => {
  const { context, head } = await openHead({ ...startingAt(0, 0), pan: { ...OPTIONS.pan, startDeg: 0, stops: [-20, 5], maxDegPerS: 100 } });
  t.same(callDevice(head, "move", { panDegPerS: 50, tiltDegPerS: -25 }), { panDegPerS: 50, tiltDegPerS: -25 });
  await context.clock.advance(60);
  t.same([context.latest.get("pan"), context.latest.get("tilt")], [4, -2]);
  await context.clock.advance(1000);
  t.equal(context.latest.get("pan"), 5, "the soft stop");
  t.equal(context.latest.get("tilt"), -27);
  t.same(callDevice(head, "move", { panDegPerS: -1000, tiltDegPerS: 0 }), { panDegPerS: -100, tiltDegPerS: 0 }, "its own speed at most");
  await context.clock.advance(100);
  t.equal(context.latest.get("tilt"), -27);
  t.ok((context.latest.get("pan") as number) < -4);
  await head.failsafe?.("safe");
  const panDeg = context.latest.get("pan");
  await context.clock.advance(1000);
  t.equal(context.latest.get("pan"), panDeg);
  t.equal(context.board.world.duty(PAN), 0);
  t.equal(context.clock.pending(), 0);
});

t.test("a head that nobody knows the direction of does not move at a speed", async (t) => {
  const { context, head } = await openHead({ pan: { ...OPTIONS.pan, startDeg: 0 } });
  await expectCode(t, "NOT_READY", ["camera", "tilt", "tilt.startDeg"], async () =>
    callDevice(head, "move", { panDegPerS: 0, tiltDegPerS: 1 }),
  );
  t.same(callDevice(head, "move", { panDegPerS: 0, tiltDegPerS: 0 }), { panDegPerS: 0, tiltDegPerS: 0 });
  await context.clock.advance(100);
  t.equal(pulseTrace(context.board.world, PAN), "open:0", "stopping what does not move gives no pulse");
  t.same(callDevice(head, "move", { panDegPerS: 1, tiltDegPerS: 0 }), { panDegPerS: 1, tiltDegPerS: 0 });
  await context.clock.advance(100);
  t.equal(pulseTrace(context.board.world, TILT), "open:0");
});

t.test("presets and home are directions with names", async (t) => {
  const { head } = await openHead({
    presets: { door: { panDeg: 45, tiltDeg: 10 }, sky: { panDeg: 0, tiltDeg: 90 } },
    home: { panDeg: 5, tiltDeg: 0 },
  });
  t.same(callDevice(head, "preset", { name: "door" }), { panDeg: 45, tiltDeg: 10 });
  t.same(callDevice(head, "preset", { name: "sky" }), { panDeg: 0, tiltDeg: 45 });
  t.same(callDevice(head, "home"), { panDeg: 5, tiltDeg: 0 });
  t.throws(() => callDevice(head, "preset", { name: "window" }));
  const without = await openHead();
  t.notOk("preset" in without.head.functions);
});

t.test("a safe direction is driven at once, others of the safe states end the pulses", async (t) => {
  const { context, head } = await openHead({ ...startingAt(0, 0), safe: { panDeg: 90, tiltDeg: -45 } });
  const { world } = context.board;
  await callDevice(head, "look", { panDeg: -90, tiltDeg: 45 });
  await head.failsafe?.("safe");
  t.same([world.duty(PAN) * 20_000, world.duty(TILT) * 20_000], [2500, 1000]);
  await context.clock.advance(1000);
  t.same([world.duty(PAN) * 20_000, world.duty(TILT) * 20_000], [2500, 1000]);
  await head.failsafe?.({ value: 10 });
  t.same([world.duty(PAN), world.duty(TILT)], [0, 0], "one value is no direction");
  await head.failsafe?.("safe");
  await head.failsafe?.("off");
  t.same([world.duty(PAN), world.duty(TILT)], [0, 0]);
  t.equal(await callDevice(head, "detach"), false);
});

t.test("when one axis cannot be let go the other one is all the same", async (t) => {
  const { context, head } = await openHead();
  const { world } = context.board;
  await callDevice(head, "look", { panDeg: 1, tiltDeg: 1 });
  world.failNth("pwmWrite", 1);
  await expectCode(t, "IO", [PAN], async () => head.failsafe?.("safe"));
  t.not(world.duty(PAN), 0);
  t.equal(world.duty(TILT), 0);
  world.failNth("close", 1);
  await expectCode(t, "IO", [PAN], async () => head.close());
  t.same(world.claimed(), []);
});

t.test("a step that fails over a bus is the device's fault", async (t) => {
  const context = createFakeDeviceContext({ id: "camera" });
  const slow = slowPwm(context.board);
  const head = await openDevice(panTiltDriver, { ...context, board: slow.board }, OPTIONS);
  await callDevice(head, "look", { panDeg: 1, tiltDeg: 1 });
  slow.finish(new AgentError("IO", "chip 1:0x40 does not answer"));
  slow.finish(new AgentError("IO", "chip 1:0x40 does not answer"));
  await context.clock.advance(0);
  t.match(context.faults, [{ code: "IO" }, { code: "IO" }]);
});

t.test("options that do not fit are refused with what to do", (t) => {
  const { pan, tilt } = OPTIONS;
  const cases: readonly [Record<string, unknown>, RegExp][] = [
    [{ pan }, /^tilt: /],
    [{ pan: { ...pan, stops: [91, 100] }, tilt }, /^pan\.stops: .*nothing of the range/],
    [{ pan: { ...pan, stops: [10, -10] }, tilt }, /^pan\.stops: .*smaller one/],
    [{ pan: { ...pan, maxDegPerS: 0 }, tilt }, /^pan\.maxDegPerS: /],
    [{ pan, tilt, presets: { "a b": { panDeg: 0, tiltDeg: 0 } } }, /^presets\.a b: /],
    [{ pan, tilt, presets: { door: { panDeg: 0 } } }, /^presets\.door\.tiltDeg: /],
    [{ pan: { ...pan, pulseUs: [500, 2701] }, tilt, periodMs: 3 }, /^periodMs: .*nine tenths/],
    [{ pan, tilt, safe: "hold" }, /^safe/],
    [{ pan, tilt, safe: { panDeg: 0 } }, /^safe/],
  ];
  for (const [options, expected] of cases) t.match(optionErrors(panTiltDriver, options).join("; "), expected, JSON.stringify(options));
  t.same(panTiltDriver.claims(panTiltDriver.options.parse(OPTIONS)), [PAN, TILT]);
  t.equal(panTiltDriver.moves, true);
  t.end();
});
