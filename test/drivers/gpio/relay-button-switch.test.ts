import t from "tap";

import { AgentError } from "../../../agent/contract/errors.ts";
import { buttonDriver } from "../../../drivers/gpio/button.ts";
import { callDevice, createFakeDeviceContext, openDevice, optionErrors, pinTrace } from "../../helpers/fake-device-context.ts";
import { relayDriver } from "../../../drivers/gpio/relay.ts";
import { switchDriver } from "../../../drivers/gpio/switch.ts";
import type { DigitalInput } from "../../../agent/contract/board.ts";

t.test("a relay answers whether it is energised and publishes changes only", async (t) => {
  const context = createFakeDeviceContext({ id: "pump" });
  const relay = await openDevice(relayDriver, context, { line: "GPIO17" });
  t.same(callDevice(relay, "state"), { on: false });
  t.equal(callDevice(relay, "on"), true);
  t.equal(callDevice(relay, "on"), true);
  t.equal(context.board.world.level("GPIO17"), true);
  t.same(callDevice(relay, "state"), { on: true });
  t.equal(callDevice(relay, "off"), false);
  t.same(context.published, ["pump.on=false", "pump.on=true", "pump.on=false"]);
  t.same(relayDriver.claims(relayDriver.options.parse({ line: "sim:17" })), ["line sim:17"]);
});

t.test("a relay goes to the state it is told, without an unintended edge from opening to closing", async (t) => {
  const word = (level: boolean): string => (level ? "high" : "low");
  for (const activeLow of [false, true]) {
    for (const safe of ["on", "off"] as const) {
      const context = createFakeDeviceContext({ id: "pump" });
      const { world } = context.board;
      const safeLevel = (safe === "on") !== activeLow;
      world.resistor("GPIO17", safeLevel ? "up" : "down");
      const relay = await openDevice(relayDriver, context, { line: "GPIO17", activeLow, safe });
      await callDevice(relay, safe === "on" ? "off" : "on");
      await relay.failsafe?.("safe");
      await relay.failsafe?.({ value: safe === "on" });
      await relay.failsafe?.({ value: safe === "on" ? 1 : 0 });
      await relay.failsafe?.("safe");
      await relay.close();
      const before = safeLevel ? "high " : "";
      const expected = `${before}output:${word(safeLevel)} ${word(!safeLevel)} ${word(safeLevel)} release:${word(safeLevel)}`;
      t.equal(pinTrace(world, "GPIO17"), expected, `activeLow ${activeLow}, safe ${safe}`);
    }
  }
});

t.test("`off` releases the coil also where the safe state is on", async (t) => {
  const context = createFakeDeviceContext({ id: "pump" });
  const relay = await openDevice(relayDriver, context, { line: "GPIO17", safe: "on", activeLow: true });
  t.equal(context.board.world.level("GPIO17"), false);
  await relay.failsafe?.("off");
  t.equal(context.board.world.level("GPIO17"), true);
});

t.test("a pulse ends by itself, and a later one ends later", async (t) => {
  const context = createFakeDeviceContext({ id: "door" });
  const { world } = context.board;
  const relay = await openDevice(relayDriver, context, { line: "GPIO17" });
  const startMs = context.clock.monotonicMs();
  t.equal(callDevice(relay, "pulse", { durationMs: 100 }), true);
  await context.clock.advance(60);
  await callDevice(relay, "pulse", { durationMs: 100 });
  await context.clock.advance(1000);
  t.same(
    world.history("GPIO17").entries.map(({ atMs, level }) => [atMs - startMs, level]),
    [
      [0, false],
      [0, true],
      [160, false],
    ],
  );
  t.equal(context.clock.pending(), 0);
  for (const durationMs of [0, -1, 0.5, 60_001, Number.NaN]) t.throws(() => callDevice(relay, "pulse", { durationMs }), String(durationMs));
});

t.test("another command, going safe and closing end a pulse's timer", async (t) => {
  for (const end of ["on", "off", "failsafe", "close"]) {
    const context = createFakeDeviceContext({ id: "door" });
    const { world } = context.board;
    const relay = await openDevice(relayDriver, context, { line: "GPIO17" });
    await callDevice(relay, "pulse", { durationMs: 100 });
    if (end === "failsafe") await relay.failsafe?.("safe");
    else if (end === "close") await relay.close();
    else await callDevice(relay, end);
    t.equal(context.clock.pending(), 0, end);
    const after = world.level("GPIO17");
    await context.clock.advance(200);
    t.equal(world.level("GPIO17"), after, `${end} stands`);
    t.same(context.faults, []);
  }
});

t.test("a pulse that cannot be ended is a fault", async (t) => {
  const context = createFakeDeviceContext({ id: "door" });
  const relay = await openDevice(relayDriver, context, { line: "GPIO17" });
  await callDevice(relay, "pulse", { durationMs: 100 });
  context.board.world.failNth("write", 1);
  await context.clock.advance(100);
  t.match(context.faults, [{ code: "IO" }]);
  t.same(callDevice(relay, "state"), { on: true }, "it still says what was driven last");
  await relay.failsafe?.("safe");
  t.equal(context.board.world.level("GPIO17"), false);
});

t.test("a button publishes debounced presses with their time stamps", async (t) => {
  const context = createFakeDeviceContext({ id: "bell" });
  const { clock } = context;
  const { world } = context.board;
  const button = await openDevice(buttonDriver, context, { line: "GPIO4" });
  t.equal(world.level("GPIO4"), true, "pulled up");
  t.same(callDevice(button, "state"), { pressed: false, presses: 0, lastPressNs: null });
  t.same(context.published, ["bell.pressed=false", "bell.presses=0", "bell.pressed_at_us=0"]);

  world.drive("GPIO4", false);
  await clock.advance(4);
  world.drive("GPIO4", true);
  await clock.advance(4);
  world.drive("GPIO4", false);
  t.equal(context.published.length, 3, "bouncing is no press");
  await clock.advance(50);
  const pressedAtMs = 1000 + 8 + 10;
  t.same(context.published.slice(3), ["bell.presses=1", `bell.pressed_at_us=${pressedAtMs * 1000}`, "bell.pressed=true"]);
  t.same(callDevice(button, "state"), { pressed: true, presses: 1, lastPressNs: BigInt(pressedAtMs) * 1_000_000n });

  world.letGo("GPIO4");
  await clock.advance(50);
  t.same(context.published.slice(6), ["bell.pressed=false"]);
  await button.close();
  world.drive("GPIO4", false);
  await clock.advance(50);
  t.equal(context.published.length, 7, "closed, it hears nothing");
  t.same(world.claimed(), []);
  t.equal(clock.pending(), 0);
});

t.test("a button whose line can report nothing more is a fault, not a button that nobody presses", async (t) => {
  const context = createFakeDeviceContext({ id: "door" });
  let fail: ((error: AgentError) => void) | undefined;
  const openInput: typeof context.board.openInput = async (...args) => {
    const input = await context.board.openInput(...args);
    return {
      ...input,
      onEdge(listener, failed) {
        fail = failed;
        return input.onEdge(listener);
      },
    };
  };
  await openDevice(buttonDriver, { ...context, board: { ...context.board, openInput } }, { line: "GPIO4" });
  const gone = new AgentError("IO", "line GPIO4 reports no more edges: ENODEV");
  fail?.(gone);
  t.same(context.faults, [gone]);
});

t.test("a button may be active high, without debounce, and pressed when it opens", async (t) => {
  const context = createFakeDeviceContext({ id: "bell" });
  const { world } = context.board;
  world.drive("GPIO4", true);
  const button = await openDevice(buttonDriver, context, { line: "GPIO4", pull: "down", activeLow: false, debounceMs: 0 });
  t.same(callDevice(button, "state"), { pressed: true, presses: 0, lastPressNs: null }, "pressed before counts as no press");
  world.drive("GPIO4", false);
  world.drive("GPIO4", true);
  world.drive("GPIO4", false);
  t.equal(context.latest.get("presses"), 1);
  t.equal(context.latest.get("pressed"), false);
  t.notOk("failsafe" in button, "it moves nothing");
  t.same(buttonDriver.claims(buttonDriver.options.parse({ line: "GPIO4" })), ["line GPIO4"]);
});

t.test("a press whose release was lost counts, and is published as what changed", async (t) => {
  const context = createFakeDeviceContext({ id: "bell" });
  let press: (timestampNs: bigint) => void = () => undefined;
  const openInput = async (): Promise<DigitalInput> => ({
    read: () => true,
    onEdge(listener) {
      press = (timestampNs) => listener({ rising: false, timestampNs, kernelStamp: true });
      return () => undefined;
    },
    close: () => undefined,
  });
  await openDevice(buttonDriver, { ...context, board: { ...context.board, openInput } }, { line: "GPIO4" });
  press(5_000_000n);
  press(9_999_999n);
  t.same(context.published.slice(3), [
    "bell.presses=1",
    "bell.pressed_at_us=5000",
    "bell.pressed=true",
    "bell.presses=2",
    "bell.pressed_at_us=9999",
  ]);
});

t.test("a switch is a demand that ends with its lease", async (t) => {
  const context = createFakeDeviceContext({ id: "lights" });
  const demand = await openDevice(switchDriver, context, {});
  t.same(callDevice(demand, "state"), { on: false });
  t.equal(callDevice(demand, "on"), true);
  t.equal(callDevice(demand, "on"), true);
  t.same(callDevice(demand, "state"), { on: true });
  await demand.failsafe?.("safe");
  t.same(callDevice(demand, "state"), { on: false });
  await demand.failsafe?.({ value: true });
  t.equal(callDevice(demand, "off"), false);
  await demand.close();
  t.same(context.published, ["lights.on=false", "lights.on=true", "lights.on=false", "lights.on=true", "lights.on=false"]);
  t.same(context.board.world.claimed(), []);
  t.same(switchDriver.claims({}), []);
});

t.test("options that do not fit are refused", (t) => {
  const cases = [
    [relayDriver, {}, /^line: /],
    [relayDriver, { line: "GPIO17", safe: "hold" }, /^safe: /],
    [relayDriver, { line: "GPIO17", activelow: true }, /activelow/],
    [buttonDriver, { line: "GPIO4", pull: "sideways" }, /^pull: /],
    [buttonDriver, { line: "GPIO4", debounceMs: 1001 }, /^debounceMs: /],
    [buttonDriver, { line: "GPIO4", debounceMs: -1 }, /^debounceMs: /],
    [switchDriver, { line: "GPIO4" }, /line/],
  ] as const;
  for (const [driver, options, expected] of cases)
    t.match(optionErrors(driver, options).join("; "), expected, `${driver.name} ${JSON.stringify(options)}`);
  t.end();
});
