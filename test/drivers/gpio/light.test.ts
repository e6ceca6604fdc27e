import fc from "fast-check";
import t from "tap";

import { callDevice, createFakeDeviceContext, openDevice, optionErrors, pinTrace } from "../../helpers/fake-device-context.ts";
import { expectCode } from "../../contract/board.ts";
import { gpio } from "../../../drivers/gpio/index.ts";
import { lightDriver } from "../../../drivers/gpio/light.ts";
import { pwmText, type PwmOutput } from "../../../agent/contract/board.ts";
import type { Device, SafeTarget } from "../../../agent/contract/device.ts";
import type { SimBoard } from "../../../drivers/board/sim/sim-board.ts";

const CHANNEL = { chip: "sim", channel: 0 };

const BEAMS = { low: 30, high: 100 };

t.test("a lamp on a plain line is on or off, whatever level is asked for", async (t) => {
  const context = createFakeDeviceContext();
  const lamp = await openDevice(lightDriver, context, { line: "GPIO17", beam: BEAMS });
  t.same(Object.keys(lamp.functions).toSorted(), ["beam", "off", "on", "state"], "it cannot be dimmed");
  t.same(context.published, ["lamp.on=false", "lamp.brightness=0", "lamp.beam=high"]);
  t.equal(callDevice(lamp, "beam", { beam: "low" }), 100, "the reply says what is really driven");
  t.equal(context.board.world.level("GPIO17"), true);
  t.same(callDevice(lamp, "state"), { on: true, percent: 100, beam: "low" });
  t.equal(callDevice(lamp, "beam", { beam: "high" }), 100);
  t.equal(callDevice(lamp, "off"), 0);
  t.same(callDevice(lamp, "state"), { on: false, percent: 0, beam: "high" });
  t.equal(callDevice(lamp, "on"), 100);
  t.same(context.published.slice(3), [
    "lamp.on=true",
    "lamp.brightness=100",
    "lamp.beam=low",
    "lamp.beam=high",
    "lamp.on=false",
    "lamp.brightness=0",
    "lamp.on=true",
    "lamp.brightness=100",
  ]);
  t.equal(pinTrace(context.board.world, "GPIO17"), "output:low high low high");
});

t.test("a lamp without beams has no beam function and publishes none", async (t) => {
  const context = createFakeDeviceContext();
  const lamp = await openDevice(lightDriver, context, { line: "GPIO17" });
  t.same(Object.keys(lamp.functions).toSorted(), ["off", "on", "state"]);
  t.same(callDevice(lamp, "state"), { on: false, percent: 0 });
  t.notOk(context.latest.has("beam"));
});

t.test("a two-filament lamp lights one filament at a time, both lines changing together", async (t) => {
  const context = createFakeDeviceContext();
  const { world } = context.board;
  const lamp = await openDevice(lightDriver, context, { lines: { low: "GPIO5", high: "GPIO6" } });
  const filaments = (): string => `${world.level("GPIO5") ? "low" : ""}${world.level("GPIO6") ? "high" : ""}`;
  t.equal(filaments(), "");
  t.equal(callDevice(lamp, "on"), 100);
  t.equal(filaments(), "high");
  t.equal(callDevice(lamp, "beam", { beam: "low" }), 30);
  t.equal(filaments(), "low");
  t.equal(callDevice(lamp, "off"), 0);
  t.equal(filaments(), "");
  t.equal(callDevice(lamp, "on"), 30, "with the beam last selected");
  t.equal(filaments(), "low");
  await lamp.failsafe?.({ value: 60 });
  t.equal(filaments(), "high", "more than the low beam takes the high one");
  t.equal(context.latest.get("beam"), "high");
  await lamp.failsafe?.("off");
  t.equal(callDevice(lamp, "on"), 30, "going safe selects no beam");
  await lamp.close();
  t.same(world.claimed(), []);
});

t.test("a two-filament lamp may be safe on its low beam", async (t) => {
  const context = createFakeDeviceContext();
  const { world } = context.board;
  const lamp = await openDevice(lightDriver, context, {
    lines: { low: "GPIO5", high: "GPIO6" },
    beam: { low: 40, high: 90 },
    safe: 40,
    activeLow: true,
  });
  t.same(callDevice(lamp, "state"), { on: true, percent: 40, beam: "low" });
  t.equal(callDevice(lamp, "on"), 90);
  await lamp.failsafe?.("safe");
  await lamp.close();
  t.equal(pinTrace(world, "GPIO5"), "output:low high low release:low");
  t.equal(pinTrace(world, "GPIO6"), "output:high low high release:low");
});

t.test("a lamp on PWM is dimmed, clamped, and says what it gives", async (t) => {
  const context = createFakeDeviceContext();
  const { world } = context.board;
  const lamp = await openDevice(lightDriver, context, { pwm: CHANNEL, frequencyHz: 500, beam: { low: 25, high: 80 } });
  t.equal(world.dutyHistory(pwmText(CHANNEL)).entries[0]?.periodNs, 2_000_000);
  for (const [asked, driven] of [
    [50, 50],
    [0.5, 0.5],
    [250, 100],
    [-3, 0],
    [100, 100],
  ]) {
    t.equal(callDevice(lamp, "brightness", { percent: asked }), driven);
    t.equal(world.duty(pwmText(CHANNEL)), (driven ?? 0) / 100);
  }
  t.equal(callDevice(lamp, "beam", { beam: "low" }), 25);
  t.equal(callDevice(lamp, "brightness", { percent: 60 }), 60);
  t.equal(context.latest.get("beam"), "high", "the beam the level amounts to");
  t.equal(callDevice(lamp, "on"), 25, "brightness selects no beam");
  t.throws(() => callDevice(lamp, "brightness", { percent: Number.NaN }));
  t.throws(() => callDevice(lamp, "brightness", { percent: "60" }));
  t.throws(() => callDevice(lamp, "beam", { beam: "full" }));
  await lamp.close();
  t.equal(world.duty(pwmText(CHANNEL)), 0);
});

t.test("no unintended edge from opening through going safe to closing", async (t) => {
  const word = (level: boolean): string => (level ? "high" : "low");
  for (const activeLow of [false, true]) {
    for (const safe of ["on", "off", 50] as const) {
      const context = createFakeDeviceContext();
      const { world } = context.board;
      // The resistor that keeps the lamp where its safe state has it while nobody drives the line.
      const safeLevel = (safe !== "off") !== activeLow;
      world.resistor("GPIO17", safeLevel ? "up" : "down");
      const before = safeLevel ? "high " : "";
      const lamp = await openDevice(lightDriver, context, { line: "GPIO17", activeLow, safe });
      await callDevice(lamp, "off");
      await callDevice(lamp, "on");
      await callDevice(lamp, "on");
      await lamp.failsafe?.("safe");
      await lamp.failsafe?.("safe");
      await lamp.close();
      const lit = word(!activeLow);
      const dark = word(activeLow);
      const middle = safe === "off" ? `output:${dark} ${lit} ${dark}` : `output:${lit} ${dark} ${lit}`;
      t.equal(pinTrace(world, "GPIO17"), `${before}${middle} release:${word(safeLevel)}`, `activeLow ${activeLow}, safe ${safe}`);
    }
  }
});

t.test("a PWM lamp shows the latest order, also when an earlier one takes longer", async (t) => {
  const context = createFakeDeviceContext();
  const slow = slowPwm(context.board);
  const opening = openDevice(lightDriver, { ...context, board: slow.board }, { pwm: CHANNEL });
  await context.clock.advance(0);
  slow.finish(0);
  const lamp = await opening;
  const lit = callDevice(lamp, "on");
  const safe = lamp.failsafe?.("safe");
  t.equal(slow.waiting(), 2, "going safe does not wait for the call in progress");
  slow.finish(1);
  await safe;
  slow.finish(0);
  t.equal(await lit, 0, "the order that was overtaken answers what the lamp gives");
  t.same(callDevice(lamp, "state"), { on: false, percent: 0 });
  t.same(context.published, ["lamp.on=false", "lamp.brightness=0"]);
});

/** A board whose duty cycles take until the test says so. */
function slowPwm(board: SimBoard) {
  const pending: (() => void)[] = [];
  return {
    waiting: () => pending.length,
    /** Lets the `i`th of the writes still waiting succeed. */
    finish: (i: number) => pending.splice(i, 1)[0]?.(),
    board: {
      ...board,
      openPwm: async (): Promise<PwmOutput> => ({
        write: () =>
          new Promise<void>((resolve) => {
            pending.push(resolve);
          }),
        close: () => undefined,
      }),
    },
  };
}

t.test("options that do not fit are refused with what to do", (t) => {
  const cases: readonly [Record<string, unknown>, RegExp][] = [
    [{}, /^: a light needs exactly one of line, lines and pwm$/],
    [{ line: "GPIO17", pwm: CHANNEL }, /exactly one/],
    [{ line: "GPIO17", lines: { low: "GPIO5", high: "GPIO6" } }, /exactly one/],
    [{ pwm: CHANNEL, activeLow: true }, /^activeLow: .*invert it/],
    [{ line: "17 18" }, /^line: a line is named by/],
    [{ line: "GPIO17", beam: { low: 100, high: 30 } }, /^beam: the low beam has to be less/],
    [{ line: "GPIO17", beam: { low: 30, high: 101 } }, /^beam\.high: .*100/],
    [{ line: "GPIO17", beam: { low: 30 } }, /^beam\.high: /],
    [{ line: "GPIO17", safe: 101 }, /^safe: /],
    [{ line: "GPIO17", safe: "dim" }, /^safe: /],
    [{ pwm: CHANNEL, frequencyHz: 0 }, /^frequencyHz: /],
    [{ line: "GPIO17", brightness: 3 }, /brightness/],
  ];
  for (const [options, expected] of cases) t.match(optionErrors(lightDriver, options).join("; "), expected, JSON.stringify(options));
  t.end();
});

t.test("options that went past the schema open nothing", async (t) => {
  const context = createFakeDeviceContext();
  await expectCode(t, "ARGUMENT", ["lamp", "exactly one"], () => lightDriver.open(context, { safe: "off" }));
  t.same(context.board.world.claimed(), []);
});

t.test("the ports a light claims are known before it opens", (t) => {
  const claims = (options: Record<string, unknown>): readonly string[] => lightDriver.claims(lightDriver.options.parse(options));
  t.same(claims({ line: "GPIO17" }), ["line GPIO17"]);
  t.same(claims({ lines: { low: "GPIO5", high: "sim:6" } }), ["line GPIO5", "line sim:6"]);
  t.same(claims({ pwm: CHANNEL }), ["pwm sim:0"]);
  t.same(
    gpio.drivers.map(({ name }) => name),
    ["light", "relay", "button", "switch", "servo", "pan-tilt", "motor", "ultrasonic", "dimmer", "expander", "ina219", "compass", "cover"],
  );
  t.end();
});

type Order = { name: "on" | "off" } | { beam: "low" | "high" } | { percent: number } | { to: SafeTarget };

const orders: fc.Arbitrary<Order> = fc.oneof(
  fc.constantFrom<Order>({ name: "on" }, { name: "off" }, { beam: "low" }, { beam: "high" }),
  fc.double({ min: -20, max: 120, noNaN: true }).map((percent): Order => ({ percent })),
  fc
    .constantFrom<SafeTarget>("safe", "off", { value: true }, { value: false }, { value: 20 }, { value: 1000 }, { value: Number.NaN })
    .map((to): Order => ({ to })),
);

type PortKind = "line" | "lines" | "pwm";

const lamps = fc.record({
  port: fc.constantFrom<PortKind>("line", "lines", "pwm"),
  activeLow: fc.boolean(),
  safe: fc.constantFrom<"on" | "off" | number>("on", "off", 0, 20, 55),
});

const PORTS: Record<PortKind, Record<string, unknown>> = {
  line: { line: "GPIO17" },
  lines: { lines: { low: "GPIO5", high: "GPIO6" } },
  pwm: { pwm: CHANNEL },
};

const clamp = (percent: number): number => (percent > 0 ? Math.min(percent, 100) : 0);

/** What a lamp should do, told in the plainest way. */
function createModel(port: PortKind, activeLow: boolean, safe: "on" | "off" | number) {
  const percentOf = (state: "on" | "off" | number): number => (typeof state === "number" ? state : state === "on" ? 100 : 0);
  const valueOf = (value: number | boolean): number => (typeof value === "number" ? clamp(value) : value ? 100 : 0);
  let selected: "low" | "high" = "high";
  let asked = percentOf(safe);

  function askedBy(order: Order): number {
    if ("to" in order) return typeof order.to === "string" ? percentOf(order.to === "safe" ? safe : "off") : valueOf(order.to.value);
    if ("percent" in order) return clamp(order.percent);
    return "name" in order && order.name === "off" ? 0 : BEAMS[selected];
  }

  return {
    give(order: Order): void {
      if ("beam" in order) selected = order.beam;
      asked = askedBy(order);
    },
    percent(): number {
      if (port === "pwm") return asked;
      if (asked === 0) return 0;
      return port === "lines" && asked <= BEAMS.low ? BEAMS.low : 100;
    },
    /** Duty cycle, or the levels of the line, the low filament and the high one. */
    pins(): unknown {
      if (port === "pwm") return asked / 100;
      if (port === "line") return [asked > 0 !== activeLow, false, false];
      return [false, (asked > 0 && asked <= BEAMS.low) !== activeLow, asked > BEAMS.low !== activeLow];
    },
  };
}

async function giveTo(lamp: Device, order: Order): Promise<unknown> {
  if ("to" in order) return lamp.failsafe?.(order.to);
  if ("percent" in order) return callDevice(lamp, "brightness", order);
  return "beam" in order ? callDevice(lamp, "beam", order) : callDevice(lamp, order.name);
}

t.test("after any orders the pins, the answers, the state and the variables tell the same", async (t) => {
  await fc.assert(
    fc.asyncProperty(lamps, fc.array(orders, { maxLength: 12 }), async ({ port, activeLow, safe }, given) => {
      const context = createFakeDeviceContext();
      const { world } = context.board;
      const options = port === "pwm" ? PORTS.pwm : { ...PORTS[port], activeLow };
      const lamp = await openDevice(lightDriver, context, { ...options, beam: BEAMS, safe });
      const model = createModel(port, activeLow, safe);
      const pins = (): unknown =>
        port === "pwm" ? world.duty("pwm sim:0") : ["GPIO17", "GPIO5", "GPIO6"].map((line) => world.level(line));

      for (const order of given.filter((order) => port === "pwm" || !("percent" in order))) {
        const answer = await giveTo(lamp, order);
        model.give(order);
        const percent = model.percent();
        if (!("to" in order)) t.equal(answer, percent);
        t.same(pins(), model.pins());
        t.same(await callDevice(lamp, "state"), { on: percent > 0, percent, beam: context.latest.get("beam") });
        t.same([context.latest.get("on"), context.latest.get("brightness")], [percent > 0, percent]);
      }
      for (const name of ["on", "brightness", "beam"]) {
        const values = context.published.filter((text) => text.startsWith(`lamp.${name}=`));
        t.notOk(
          values.some((text, i) => text === values[i - 1]),
          `${name} is published only when it changes`,
        );
      }
      await lamp.close();
      t.same(world.claimed(), []);
    }),
    { numRuns: 60 },
  );
});
