import fc from "fast-check";
import t from "tap";

import {
  callDevice,
  createFakeDeviceContext,
  openDevice,
  optionErrors,
  type FakeDeviceContext,
} from "../../helpers/fake-device-context.ts";
import { createWordChip, type WordChip } from "./word-chip.ts";
import { expectCode } from "../../contract/board.ts";
import { ina219Driver } from "../../../drivers/gpio/ina219.ts";
import { readingOf, REGISTER, setUpOf } from "../../../drivers/gpio/ina219-registers.ts";
import type { Device } from "../../../agent/contract/device.ts";

const OPTIONS = { bus: 1 };

/** The lowest bit of the calibration register cannot be set. */
const asStored = (register: number, word: number): number => (register === REGISTER.calibration ? word & ~1 : word);

const READY = 2;
const OVERFLOW = 1;

interface Bench {
  readonly context: FakeDeviceContext;
  readonly chip: WordChip;
  readonly meter: Device;
}

async function openMeter(options: Record<string, unknown> = {}): Promise<Bench> {
  const context = createFakeDeviceContext({ id: "battery" });
  const chip = createWordChip(asStored);
  context.board.world.i2c.attach(1, 0x40, chip);
  const meter = await openDevice(ina219Driver, context, { ...OPTIONS, ...options });
  return { context, chip, meter };
}

/** What the chip would hold, for volts and amperes over 0.1 ohm with the default calibration of 0.1 mA a bit (nearly). */
function measure(chip: WordChip, voltageV: number, currentA: number, flags = READY): void {
  const lsbA = 0.04096 / (4194 * 0.1);
  const word = (value: number): number => Math.round(value) & 0xffff;
  chip.words.set(REGISTER.bus, (Math.round(voltageV / 0.004) << 3) | flags);
  chip.words.set(REGISTER.shunt, word((currentA * 0.1) / 0.00001));
  chip.words.set(REGISTER.current, word(currentA / lsbA));
  chip.words.set(REGISTER.power, word(Math.abs((voltageV * currentA) / (20 * lsbA))));
}

t.test("the data sheet's example comes out: 10 A on 2 milliohms at 12 V", (t) => {
  // SBOS448G 8.5.4 with a current LSB of 1 mA: its calibration register is 20480 (5000h), and 15 A expected are rounded to 32.768 A.
  const setup = setUpOf({ shuntOhm: 0.002, maxCurrentA: 32.768, averaging: 1, busRangeV: 16 });
  t.equal(setup?.calibration, 0x5000);
  t.equal(setup?.currentLsbA, 0.001);
  t.same(setup && readingOf(setup, { bus: (2995 << 3) | READY, shunt: 2000, current: 0x2710, power: 0x1766 }), {
    ready: true,
    overflow: false,
    voltageV: 11.98,
    shuntV: 0.02,
    currentA: 10,
    powerW: 119.8,
  });
  t.end();
});

t.test("configuration: range, gain for the shunt's voltage, averaging, continuous", (t) => {
  const config = (shuntOhm: number, maxCurrentA: number, averaging: number, busRangeV: 16 | 32): string =>
    (setUpOf({ shuntOhm, maxCurrentA, averaging, busRangeV })?.config ?? 0).toString(2).padStart(16, "0");
  t.equal(config(0.1, 3.2, 1, 32), "0011110001000111", "0x399f of the data sheet but for the code of one sample, 1000 instead of 0011");
  t.equal(config(0.1, 0.4, 1, 16), "0000010001000111");
  t.equal(config(0.1, 0.8, 128, 16), "0000111111111111");
  t.equal(config(0.1, 1.6, 8, 32), "0011010111011111");
  t.end();
});

t.test("voltage, current and power are published, fresh for three periods, with what the reading takes and nothing else", async (t) => {
  const fresh: unknown[] = [];
  const context = createFakeDeviceContext({ id: "battery" });
  const chip = createWordChip(asStored);
  context.board.world.i2c.attach(1, 0x40, chip);
  const watching = {
    ...context,
    publish(name: string, value: number, freshMs?: number) {
      fresh.push(freshMs);
      context.publish(name, value, freshMs);
    },
  };
  const meter = await openDevice(ina219Driver, watching, OPTIONS);
  t.same(callDevice(meter, "state"), { voltageV: null, currentA: null, powerW: null, overflow: null });
  measure(chip, 12, 1.5);
  chip.reads.length = 0;
  await context.clock.advance(100);
  t.same(chip.reads, [2, 1, 4, 5, 3], "the power register last: reading it clears the ready flag");
  t.equal(context.latest.get("voltage"), 12);
  t.ok(Math.abs((context.latest.get("current") as number) - 1.5) < 0.0001);
  t.ok(Math.abs((context.latest.get("power") as number) - 18) < 0.002);
  t.equal(context.latest.get("ok"), true);
  measure(chip, 12, -0.5);
  await context.clock.advance(100);
  t.ok(Math.abs((context.latest.get("current") as number) + 0.5) < 0.0001, "charging");
  t.ok((context.latest.get("power") as number) < 0, "the power has the current's sign");
  t.ok(fresh.every((freshMs) => freshMs === 300));
  await meter.close();
  t.equal(context.clock.pending(), 0);
  t.same(context.board.world.claimed(), []);
});

t.test("an overflow, or a shunt at its limit, has a voltage and no current", async (t) => {
  const { context, chip, meter } = await openMeter();
  measure(chip, 11, 1, READY | OVERFLOW);
  await context.clock.advance(100);
  t.equal(context.latest.get("voltage"), 11);
  t.notOk(context.latest.has("current"));
  t.notOk(context.latest.has("power"));
  t.equal(context.latest.get("ok"), false);
  t.same(callDevice(meter, "state"), { voltageV: 11, currentA: null, powerW: null, overflow: true });
  measure(chip, 11, 1);
  chip.words.set(REGISTER.shunt, 32_000);
  await context.clock.advance(100);
  t.equal(context.latest.get("ok"), false);
  chip.words.set(REGISTER.shunt, -32_000 & 0xffff);
  await context.clock.advance(100);
  t.notOk(context.latest.has("current"));
  t.same(context.faults, [], "that is no fault of the chip");
  await meter.close();
});

t.test("a chip that stops answering is missing at once and a fault after a few readings, and comes back", async (t) => {
  const { context, chip, meter } = await openMeter({ faultAfter: 3 });
  const { world } = context.board;
  measure(chip, 12, 1);
  await context.clock.advance(100);
  world.i2c.detach(1, 0x40);
  await context.clock.advance(100);
  t.equal(context.latest.get("ok"), false);
  t.same(callDevice(meter, "state"), { voltageV: null, currentA: null, powerW: null, overflow: null });
  await context.clock.advance(100);
  t.same(context.faults, []);
  await context.clock.advance(100);
  t.match(context.faults, [{ code: "IO", message: /1:0x40 does not answer/ }]);
  world.i2c.attach(1, 0x40, chip);
  await context.clock.advance(100);
  t.equal(context.latest.get("ok"), true);
  await meter.close();
});

t.test("a stuck bus is a fault by name within its limit, and readings do not pile up", async (t) => {
  const { context, chip, meter } = await openMeter({ faultAfter: 1, periodMs: 20, averaging: 1 });
  measure(chip, 12, 1);
  context.board.world.i2c.stick(1);
  await context.clock.advance(300);
  t.match(context.faults[0], { code: "TIMEOUT" });
  context.board.world.i2c.free(1);
  await context.clock.advance(100);
  t.equal(context.latest.get("ok"), true);
  await meter.close();
});

t.test("closing during a reading publishes and reports nothing more", async (t) => {
  const { context, meter } = await openMeter({ faultAfter: 1 });
  context.board.world.i2c.stick(1);
  await context.clock.advance(100);
  const published = context.published.length;
  await meter.close();
  await context.clock.advance(1000);
  t.equal(context.published.length, published);
  t.same(context.faults, []);
});

t.test("a lost calibration and a measurement that does not end are faults by name", async (t) => {
  const { context, chip, meter } = await openMeter({ faultAfter: 1 });
  measure(chip, 12, 1, 0);
  await context.clock.advance(100);
  t.match(context.faults[0], { code: "IO", message: /measured nothing within 100 ms/ });
  measure(chip, 12, 1);
  chip.words.set(REGISTER.calibration, 0);
  await context.clock.advance(100);
  t.match(context.faults[1], { code: "IO", message: /lost its calibration \(0x0000\); did its supply drop\?/ });
  t.notOk(context.latest.has("current"));
  await meter.close();
});

t.test("what is at the address and is no INA219 does not open", async (t) => {
  const context = createFakeDeviceContext({ id: "battery" });
  context.board.world.i2c.attach(
    1,
    0x40,
    createWordChip(() => 0x1234),
  );
  await expectCode(t, "IO", ["battery", "1:0x40", "no INA219", "0x1234"], () => openDevice(ina219Driver, context, OPTIONS));
  context.board.world.i2c.detach(1, 0x40);
  await expectCode(t, "IO", ["does not answer"], () => openDevice(ina219Driver, context, OPTIONS));
  t.same(context.board.world.claimed(), []);
  await expectCode(t, "ARGUMENT", ["battery", "no calibration"], () =>
    ina219Driver.open(context, { ...ina219Driver.options.parse(OPTIONS), shuntOhm: 10, maxCurrentA: 10 }),
  );
});

t.test("options that do not fit are refused with what to do", (t) => {
  const cases: readonly [Record<string, unknown>, RegExp][] = [
    [{}, /^bus: /],
    [{ bus: 1, shuntOhm: 0.1, maxCurrentA: 3.3 }, /^maxCurrentA: .*0\.32 V/],
    [{ bus: 1, averaging: 3 }, /^averaging: /],
    [{ bus: 1, averaging: 128, periodMs: 159 }, /^periodMs: .*1\.25 ms/],
    [{ bus: 1, busRangeV: 24 }, /^busRangeV/],
    [{ bus: 1, address: 0x80 }, /^address: /],
  ];
  for (const [options, expected] of cases) t.match(optionErrors(ina219Driver, options).join("; "), expected, JSON.stringify(options));
  t.same(optionErrors(ina219Driver, { bus: 1, averaging: 128, periodMs: 160 }), []);
  t.same(ina219Driver.claims(ina219Driver.options.parse({ bus: 1, address: 0x41 })), ["i2c 1:0x41"]);
  t.end();
});

t.test("whatever the shunt, the registers hold the largest current and give it back", (t) => {
  fc.assert(
    fc.property(fc.double({ min: 0.001, max: 10, noNaN: true }), fc.double({ min: 0.01, max: 1, noNaN: true }), (shuntOhm, part) => {
      const maxCurrentA = (0.32 / shuntOhm) * part;
      const setup = setUpOf({ shuntOhm, maxCurrentA, averaging: 1, busRangeV: 32 });
      if (setup === undefined) return false;
      const current = Math.floor(maxCurrentA / setup.currentLsbA);
      const reading = readingOf(setup, { bus: READY, shunt: 0, current: Math.min(current, 0x7fff), power: 0 });
      return (
        setup.calibration <= 0xfffe &&
        current <= 0x8000 &&
        Math.abs(reading.currentA - maxCurrentA) <= maxCurrentA / 1000 + setup.currentLsbA + 1e-6
      );
    }),
  );
  t.end();
});
