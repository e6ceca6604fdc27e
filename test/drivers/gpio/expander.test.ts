import t from "tap";

import {
  callDevice,
  createFakeDeviceContext,
  openDevice,
  optionErrors,
  type FakeDeviceContext,
} from "../../helpers/fake-device-context.ts";
import { createRegisterChip, type RegisterChip, type SimI2cChip } from "../../../drivers/board/sim/i2c.ts";
import { expanderDriver } from "../../../drivers/gpio/expander.ts";
import { expectCode } from "../../contract/board.ts";
import { quasiBidirectional, registerExpander, type ExpanderKind, type ExpanderSpy } from "../../helpers/expander-chips.ts";
import type { Device } from "../../../agent/contract/device.ts";

const LINES = {
  outputs: { pump: { line: 0 }, horn: { line: 1, activeLow: true }, lock: { line: 2, safe: "on" } },
  inputs: { door: { line: 7, activeLow: true } },
};

interface Bench {
  readonly context: FakeDeviceContext;
  readonly chip: RegisterChip;
  readonly spy: ExpanderSpy;
  readonly device: Device;
}

async function openExpander(kind: ExpanderKind = "pca9534", options: Record<string, unknown> = LINES): Promise<Bench> {
  const context = createFakeDeviceContext({ id: "box" });
  const chip = createRegisterChip();
  const spy = kind === "pcf8574" ? quasiBidirectional() : registerExpander(kind, chip);
  context.board.world.i2c.attach(1, 0x20, spy);
  return { context, chip, spy, device: await openDevice(expanderDriver, context, { chip: kind, bus: 1, ...options }) };
}

for (const kind of ["pca9534", "mcp23008", "pcf8574"] as const) {
  t.test(`${kind}: outputs begin in their safe state without any other edge, are switched, read back and made safe`, async (t) => {
    const { context, spy, device } = await openExpander(kind);
    // Line 0 pump, line 1 horn (active low), line 2 lock (safe on).
    const safe = "011";
    t.same(spy.trace, [kind === "pcf8574" ? "111" : "zzz", safe], "levels before directions");
    t.same([context.latest.get("pump"), context.latest.get("horn"), context.latest.get("lock")], [false, false, true]);
    t.equal(await callDevice(device, "set", { name: "pump", on: true }), true);
    t.equal(await callDevice(device, "set", { name: "horn", on: true }), true);
    t.equal(await callDevice(device, "set", { name: "lock", on: false }), false);
    t.equal(await callDevice(device, "set", { name: "lock", on: false }), false);
    t.same(spy.trace.slice(2), ["111", "101", "100"]);
    t.match(callDevice(device, "state"), { outputs: { pump: true, horn: true, lock: false }, inputs: null });
    await context.clock.advance(500);
    await device.failsafe?.("off");
    t.same(spy.trace.slice(5), ["010"], "off is off, whatever is safe");
    await device.failsafe?.("safe");
    await device.failsafe?.({ value: 1 });
    await device.failsafe?.("safe");
    await device.close();
    t.same(spy.trace.slice(6), [safe, "101", safe]);
    t.same(context.faults, []);
    t.same(context.board.world.claimed(), []);
    t.equal(context.clock.pending(), 0);
  });

  t.test(`${kind}: inputs are published as they are read, without moving an output`, async (t) => {
    const { context, spy, device } = await openExpander(kind);
    spy.world = 0xff;
    await context.clock.advance(50);
    t.equal(context.latest.get("door"), false);
    spy.world = 0x7f;
    await context.clock.advance(50);
    t.equal(context.latest.get("door"), true);
    t.match(callDevice(device, "state"), { inputs: { door: true } });
    t.equal(spy.trace.length, 2);
    await device.close();
  });
}

t.test("the interrupt line reads at once, and edges during a reading are not lost", async (t) => {
  const { context, spy, device } = await openExpander("mcp23008", { ...LINES, interrupt: "GPIO4", pollMs: 60_000 });
  const { world } = context.board;
  t.equal(context.latest.has("door"), false);
  spy.world = 0xff;
  world.drive("GPIO4", false);
  await context.clock.advance(0);
  t.equal(context.latest.get("door"), false);
  world.drive("GPIO4", true);
  world.drive("GPIO4", false);
  world.drive("GPIO4", true);
  world.drive("GPIO4", false);
  spy.world = 0x7f;
  await context.clock.advance(0);
  t.equal(context.latest.get("door"), true);
  await device.close();
  t.same(world.claimed(), []);
});

t.test("an MCP23008 gets the pull-ups and interrupts that were asked for, and an open-drain interrupt output", async (t) => {
  const { chip, device } = await openExpander("mcp23008", { inputs: { door: { line: 7, pullUp: true }, gate: { line: 5 } } });
  t.same([...chip.registers.slice(0, 7)], [0xff, 0, 0b1010_0000, 0, 0, 0x04, 0b1000_0000]);
  t.notOk("set" in device.functions, "nothing to set");
  await device.close();
});

t.test("a chip that does not answer is missing at once and a fault by name after a few readings", async (t) => {
  const { context, spy, device } = await openExpander();
  context.board.world.i2c.detach(1, 0x20);
  await context.clock.advance(100);
  t.equal(context.latest.get("ok"), false);
  t.match(callDevice(device, "state"), { inputs: null });
  t.same(context.faults, []);
  await context.clock.advance(50);
  t.match(context.faults, [{ code: "IO", message: /1:0x20 does not answer/ }]);
  await expectCode(t, "IO", ["1:0x20"], async () => callDevice(device, "set", { name: "pump", on: true }));
  context.board.world.i2c.attach(1, 0x20, spy);
  await device.failsafe?.("safe");
  await context.clock.advance(50);
  t.equal(context.latest.get("ok"), true);
  context.board.world.i2c.stick(1);
  const stuck = expectCode(t, "TIMEOUT", ["1:0x20"], async () => callDevice(device, "set", { name: "pump", on: true }));
  await context.clock.advance(1000);
  await stuck;
  await device.close();
});

t.test("a chip that forgot its registers is a fault, and going safe sets it up again", async (t) => {
  const { context, chip, device } = await openExpander("pca9534", { ...LINES, faultAfter: 1 });
  chip.registers[3] = 0xff;
  await context.clock.advance(50);
  t.match(context.faults[0], {
    code: "IO",
    message: /^box: pca9534 at i2c 1:0x20 holds directions 11111111 where 11111000 was written; did its supply drop/,
  });
  chip.registers[1] = 0xff;
  await context.clock.advance(50);
  t.match(context.faults[1], { code: "IO", message: /holds levels 11111111 where 00000110/ });
  const faults = context.faults.length;
  await device.failsafe?.("safe");
  t.same([chip.registers[1], chip.registers[3]], [0b110, 0xf8]);
  await context.clock.advance(500);
  t.equal(context.faults.length, faults);
  await device.close();
});

t.test("what is read back wrong is the command's error; a shorted output of a PCF8574 too", async (t) => {
  const { context, device } = await openExpander();
  context.board.world.failNth("i2cData", 2);
  await expectCode(t, "IO", ["holds levels"], async () => callDevice(device, "set", { name: "pump", on: true }));
  await device.close();
  const shorted: SimI2cChip = { read: () => Uint8Array.of(0xff), write: () => undefined };
  const other = createFakeDeviceContext({ id: "box" });
  other.board.world.i2c.attach(1, 0x20, shorted);
  await expectCode(t, "IO", ["box", "11111111", "is an output shorted?"], () =>
    openDevice(expanderDriver, other, { chip: "pcf8574", bus: 1, ...LINES }),
  );
  t.same(other.board.world.claimed(), []);
});

t.test("going safe during a command is what the lines have in the end, and no false alarm", async (t) => {
  const { context, chip, device } = await openExpander("pca9534", { ...LINES, pollMs: 10 });
  const asked = callDevice(device, "set", { name: "pump", on: true });
  const off = device.failsafe?.("off");
  const safe = device.failsafe?.("safe");
  await Promise.all([asked, off, safe]);
  t.equal(await asked, false, "the answer is what the line has");
  t.equal(chip.registers[1], 0b110);
  t.equal(context.latest.get("pump"), false);
  await context.clock.advance(100);
  t.same(context.faults, []);
  await device.close();
});

t.test("an interrupt line that fails later is a fault; one that does not open gives the chip back", async (t) => {
  const context = createFakeDeviceContext({ id: "box" });
  context.board.world.i2c.attach(1, 0x20, registerExpander("pca9534", createRegisterChip()));
  context.board.world.failNth("openInput", 1);
  await expectCode(t, "IO", ["openInput"], () =>
    openDevice(expanderDriver, context, { chip: "pca9534", bus: 1, ...LINES, interrupt: "GPIO4" }),
  );
  t.same(context.board.world.claimed(), []);
  let fail: ((error: Error) => void) | undefined;
  const input = {
    read: () => true,
    onEdge: (_: unknown, failed?: (error: never) => void) => ((fail = failed as typeof fail), () => undefined),
    close: () => undefined,
  };
  const device = await openDevice(
    expanderDriver,
    { ...context, board: { ...context.board, openInput: async () => input } },
    { chip: "pca9534", bus: 1, ...LINES, interrupt: "GPIO4" },
  );
  fail?.(new Error("gone"));
  t.match(context.faults, [{ message: "gone" }]);
  await device.close();
});

t.test("options that do not fit are refused with what to do", (t) => {
  const base = { chip: "pca9534", bus: 1 };
  const cases: readonly [Record<string, unknown>, RegExp][] = [
    [base, /^: an expander needs outputs or inputs$/],
    [{ ...base, outputs: { a: { line: 0 } }, inputs: { b: { line: 0 } } }, /a line of the chip has one name/],
    [{ ...base, outputs: { a: { line: 0 } }, inputs: { a: { line: 1 } } }, /^inputs: .*name of an output/],
    [{ ...base, outputs: { a: { line: 8 } } }, /^outputs\.a\.line: /],
    [{ ...base, outputs: { "a b": { line: 0 } } }, /^outputs\.a b: /],
    [{ ...base, inputs: { a: { line: 0, pullUp: true } } }, /^inputs: only an MCP23008/],
    [{ ...base, chip: "pca9535", inputs: { a: { line: 0 } } }, /^chip: /],
    [{ ...base, inputs: { a: { line: 0 } }, pollMs: 9 }, /^pollMs: /],
    [{ ...base, outputs: { a: { line: 0, safe: "hold" } } }, /^outputs\.a\.safe: /],
  ];
  for (const [options, expected] of cases) t.match(optionErrors(expanderDriver, options).join("; "), expected, JSON.stringify(options));
  t.same(expanderDriver.claims(expanderDriver.options.parse({ ...base, ...LINES, interrupt: "GPIO4" })), ["i2c 1:0x20", "line GPIO4"]);
  t.same(expanderDriver.claims(expanderDriver.options.parse({ ...base, ...LINES })), ["i2c 1:0x20"]);
  t.end();
});
