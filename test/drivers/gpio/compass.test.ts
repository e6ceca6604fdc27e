import fc from "fast-check";
import t from "tap";

import {
  callDevice,
  createFakeDeviceContext,
  openDevice,
  optionErrors,
  type FakeDeviceContext,
} from "../../helpers/fake-device-context.ts";
import { compassDriver } from "../../../drivers/gpio/compass.ts";
import { createRegisterChip, type RegisterChip } from "../../../drivers/board/sim/i2c.ts";
import { expectCode } from "../../contract/board.ts";
import { headingDeg } from "../../../drivers/gpio/heading.ts";
import type { Device } from "../../../agent/contract/device.ts";

const FLAT = { offset: [0, 0], scale: [1, 1], declinationDeg: 0, mountingDeg: 0 } as const;

const STATUS = 6;
const CONTROL = 9;

/** 30 µT at 12000 counts a gauss. */
const COUNTS = 3600;

/** What the sensor measures when it points there; `noise` makes two readings differ. */
function point(chip: RegisterChip, degrees: number, counts = COUNTS, noise = 0): void {
  const radians = (degrees * Math.PI) / 180;
  const view = new DataView(chip.registers.buffer);
  view.setInt16(0, Math.round(counts * Math.cos(radians)), true);
  view.setInt16(2, Math.round(counts * Math.sin(radians)), true);
  view.setInt16(4, -4000 + noise, true);
  chip.registers[STATUS] = 1;
}

async function openCompass(
  options: Record<string, unknown> = {},
): Promise<{ context: FakeDeviceContext; chip: RegisterChip; compass: Device }> {
  const context = createFakeDeviceContext({ id: "nose" });
  const chip = createRegisterChip();
  context.board.world.i2c.attach(1, 0x0d, chip);
  return { context, chip, compass: await openDevice(compassDriver, context, { bus: 1, ...options }) };
}

t.test("the four directions: x forward, y to the left, degrees clockwise", (t) => {
  t.equal(headingDeg(1, 0, FLAT), 0, "the field is ahead: north");
  t.equal(headingDeg(0, 1, FLAT), 90, "the field is to the left: east");
  t.equal(headingDeg(-1, 0, FLAT), 180);
  t.equal(headingDeg(0, -1, FLAT), 270);
  t.equal(headingDeg(1, 0, { ...FLAT, declinationDeg: 5 }), 5);
  t.equal(headingDeg(1, 0, { ...FLAT, mountingDeg: 90 }), 270, "the chip's x points to the right");
  t.equal(headingDeg(110, 20, { ...FLAT, offset: [10, 20] }), 0);
  t.equal(Math.round(headingDeg(100, 50, { ...FLAT, scale: [1, 2] })), 45);
  t.end();
});

t.test("a heading is published after the sensor was set up as its data sheet says", async (t) => {
  const { context, chip, compass } = await openCompass({ declinationDeg: 3.5 });
  t.equal(chip.registers[0x0a], 0x80, "reset");
  t.equal(chip.registers[0x0b], 0x01);
  t.equal(chip.registers[CONTROL], 0b0000_0101);
  t.same(callDevice(compass, "state"), { headingDeg: null, fieldUt: null });
  point(chip, 90);
  await context.clock.advance(100);
  t.equal(context.latest.get("heading"), 93.5);
  t.equal(context.latest.get("field"), 30);
  t.equal(context.latest.get("ok"), true);
  t.same(callDevice(compass, "state"), { headingDeg: 93.5, fieldUt: 30 });
  await compass.close();
  t.equal(context.clock.pending(), 0);
  t.same(context.board.world.claimed(), []);
  const wide = await openCompass({ rangeGauss: 8 });
  t.equal(wide.chip.registers[CONTROL], 0b0001_0101);
  point(wide.chip, 0, 900);
  await wide.context.clock.advance(100);
  t.equal(wide.context.latest.get("field"), 30);
  await wide.compass.close();
});

t.test("iron, a magnet and an overflow leave the heading out", async (t) => {
  const { context, chip, compass } = await openCompass();
  for (const counts of [1000, 13_000]) {
    point(chip, 45, counts);
    await context.clock.advance(100);
    t.equal(context.latest.get("ok"), false);
  }
  point(chip, 45);
  chip.registers[STATUS] = 3;
  await context.clock.advance(100);
  t.equal(context.latest.get("ok"), false);
  t.notOk(context.latest.has("heading"));
  t.match(callDevice(compass, "state"), { headingDeg: null });
  t.same(context.faults, []);
  await compass.close();
});

t.test("data that never changes is stuck: noise alone would change it", async (t) => {
  const { context, chip, compass } = await openCompass({ stuckAfter: 5, faultAfter: 1 });
  for (let i = 0; i < 20; i++) {
    point(chip, 45, COUNTS, i % 2);
    await context.clock.advance(100);
  }
  t.same(context.faults, []);
  await context.clock.advance(400);
  t.same(context.faults, []);
  await context.clock.advance(100);
  t.match(context.faults, [{ code: "FAULTED", message: /^nose: i2c 1:0x0d is stuck: 6 readings are the same/ }]);
  t.equal(context.latest.get("ok"), false);
  point(chip, 46);
  await context.clock.advance(100);
  t.equal(context.latest.get("ok"), true);
  await compass.close();
});

t.test("a chip that does not answer, measure or keep its settings is missing, then a fault by name", async (t) => {
  const { context, chip, compass } = await openCompass({ faultAfter: 2 });
  const { world } = context.board;
  world.i2c.detach(1, 0x0d);
  await context.clock.advance(100);
  t.same(context.faults, []);
  t.equal(context.latest.get("ok"), false);
  await context.clock.advance(100);
  t.match(context.faults, [{ code: "IO", message: /0x0d does not answer/ }]);
  world.i2c.attach(1, 0x0d, chip);
  point(chip, 10);
  chip.registers[STATUS] = 0;
  await context.clock.advance(200);
  t.match(context.faults[1], { code: "IO", message: /measured nothing within 100 ms/ });
  chip.registers[STATUS] = 1;
  chip.registers[CONTROL] = 0;
  await context.clock.advance(200);
  t.match(context.faults[2], { code: "IO", message: /lost its settings/ });
  world.i2c.stick(1);
  await context.clock.advance(400);
  t.match(context.faults[3], { code: "TIMEOUT" });
  t.notOk(context.latest.has("heading"));
  await compass.close();
});

t.test("what is at the address and is no QMC5883L does not open", async (t) => {
  const context = createFakeDeviceContext({ id: "nose" });
  context.board.world.i2c.attach(1, 0x0d, { read: () => Uint8Array.of(0x42), write: () => undefined });
  await expectCode(t, "IO", ["nose", "1:0x0d", "no QMC5883L"], () => openDevice(compassDriver, context, { bus: 1 }));
  t.same(context.board.world.claimed(), []);
});

t.test("options that do not fit are refused", (t) => {
  const cases: readonly [Record<string, unknown>, RegExp][] = [
    [{}, /^bus: /],
    [{ bus: 1, rangeGauss: 4 }, /^rangeGauss/],
    [{ bus: 1, fieldUt: [50, 50] }, /^fieldUt: .*smaller one/],
    [{ bus: 1, periodMs: 19 }, /^periodMs: /],
    [{ bus: 1, declinationDeg: 181 }, /^declinationDeg: /],
    [{ bus: 1, stuckAfter: 1 }, /^stuckAfter: /],
  ];
  for (const [options, expected] of cases) t.match(optionErrors(compassDriver, options).join("; "), expected, JSON.stringify(options));
  t.same(compassDriver.claims(compassDriver.options.parse({ bus: 1 })), ["i2c 1:0x0d"]);
  t.end();
});

t.test("calibration undoes iron: a displaced, squeezed circle gives the heading back", (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 359 }),
      fc.tuple(fc.integer({ min: -2000, max: 2000 }), fc.integer({ min: -2000, max: 2000 })),
      fc.double({ min: 0.5, max: 2, noNaN: true }),
      fc.integer({ min: -180, max: 180 }),
      (degrees, offset, squeeze, mountingDeg) => {
        const radians = ((degrees + mountingDeg) * Math.PI) / 180;
        const x = 3000 * Math.cos(radians) + offset[0];
        const y = (3000 * Math.sin(radians)) / squeeze + offset[1];
        const found = headingDeg(x, y, { offset, scale: [1, squeeze], declinationDeg: 0, mountingDeg });
        const error = Math.abs(((found - degrees + 540) % 360) - 180);
        return found >= 0 && found < 360 && error < 1e-6;
      },
    ),
  );
  t.end();
});
