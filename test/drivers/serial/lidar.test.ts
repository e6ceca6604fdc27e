import t from "tap";

import {
  callDevice,
  createFakeDeviceContext,
  openDevice,
  optionErrors,
  type FakeDeviceContext,
} from "../../helpers/fake-device-context.ts";
import { createSimRplidar } from "../../../drivers/board/sim/instruments/rplidar.ts";
import { createSimTfmini } from "../../../drivers/board/sim/instruments/tfmini.ts";
import { lidarDriver } from "../../../drivers/serial/lidar.ts";
import type { AgentError } from "../../../agent/contract/errors.ts";

const PATH = "/dev/serial/by-id/usb-lidar";

function count(context: FakeDeviceContext, name: string): number {
  return context.published.filter((text) => text.startsWith(`lidar.${name}=`)).length;
}

const tfmini = async () => {
  const context = createFakeDeviceContext({ id: "lidar" });
  const instrument = createSimTfmini();
  const world = context.board.world.serial(PATH);
  world.attach(instrument);
  const device = await openDevice(lidarDriver, context, { model: "tfmini", path: PATH });
  return { context, clock: context.clock, instrument, world, device, latest: context.latest };
};

t.test("a TFmini's distance is published in metres with its strength", async (t) => {
  const { clock, instrument, latest, device, context } = await tfmini();
  instrument.measure(250, 900);
  await clock.advance(100);
  t.equal(latest.get("distance_m"), 2.5);
  t.equal(latest.get("strength"), 900);
  t.equal(latest.get("ok"), true);
  t.equal(count(context, "distance_m"), 10);
  t.match(await callDevice(device, "state"), { distanceM: 2.5, strength: 900, frames: 10, badFrames: 0 });
  await device.close();
  t.equal(context.board.world.claimed().length, 0);
});

t.test("a weak, overexposed, empty or too far measurement of a TFmini is none", async (t) => {
  const { clock, instrument, latest, device, context } = await tfmini();
  for (const [distanceCm, strength] of [
    [250, 99],
    [250, 65_535],
    [0, 900],
    [1201, 900],
    [65_535, 50],
  ] as const) {
    instrument.measure(250, 900);
    await clock.advance(10);
    const before = count(context, "distance_m");
    instrument.measure(distanceCm, strength);
    await clock.advance(50);
    t.equal(count(context, "distance_m"), before, `${distanceCm} cm of strength ${strength}`);
    t.equal(latest.get("ok"), false);
    t.match(await callDevice(device, "state"), { distanceM: null, strength });
  }
  await device.close();
});

t.test("a TFmini without its cable is not ok, and is again when it returns", async (t) => {
  const { clock, world, latest, device, context } = await tfmini();
  await clock.advance(95);
  t.equal(latest.get("ok"), true);
  world.unplug();
  await clock.advance(300);
  t.equal(latest.get("ok"), false);
  t.match(await callDevice(device, "state"), { distanceM: null });
  world.plug();
  await clock.advance(6000);
  t.equal(latest.get("ok"), true);
  t.same(context.faults, []);
  await device.close();
  t.equal(clock.pending(), 1, "only the instrument's own timer is left");
});

const scanner = async (options: Readonly<Record<string, unknown>> = {}, turnHz = 10) => {
  const context = createFakeDeviceContext({ id: "lidar" });
  const instrument = createSimRplidar({ turnHz });
  const world = context.board.world.serial(PATH);
  world.attach(instrument);
  const open = () => openDevice(lidarDriver, context, { model: "rplidar-a", path: PATH, scanner: options });
  return { context, clock: context.clock, instrument, world, open, latest: context.latest };
};

const own = (angleDeg: number): number => (1000 + Math.round(angleDeg)) / 1000;

t.test("a scanner is asked who it is and how, then its turns are published as tables", async (t) => {
  const { clock, instrument, world, open, latest } = await scanner();
  instrument.see(own);
  const device = await open();
  await clock.advance(1000);
  const sent = world.sent().entries.map(({ bytes }) => Buffer.from(bytes).toString("hex"));
  t.same(sent, ["a525", "a550", "a552", "a520"]);
  const table = latest.get("distances") as readonly number[];
  t.equal(table.length, 360);
  t.same([table[0], table[1], table[90], table[359]], [own(0), own(359), own(270), own(1)]);
  t.equal(latest.get("ok"), true);
  t.equal(latest.get("health"), "good");
  t.match(await callDevice(device, "state"), { phase: "scanning", firmware: "1.29", model: 24, health: "good", turnsHz: 10, resyncs: 0 });
  await device.close();
  t.equal(instrument.scanning, false, "closing stops it");
  t.equal(clock.pending(), 0);
});

t.test("a scanner that goes on scanning for somebody who is gone is stopped first", async (t) => {
  const { clock, world, open, latest, context } = await scanner();
  const before = await open();
  await clock.advance(500);
  world.alter((bytes) => bytes);
  await before.close();
  world.send(Uint8Array.of(0xa5, 0x5a, 0x05));
  const device = await open();
  world.send(Uint8Array.of(0xa5, 0x5a, 0x05, 0, 0, 0x40, 0x81, 1, 2, 3));
  await clock.advance(500);
  t.equal(latest.get("ok"), true);
  t.same(context.faults, []);
  await device.close();
});

t.test("the table has the name it is given, and the motor of an A2 the duty", async (t) => {
  const { clock, instrument, open, latest } = await scanner({ publish: "horizontal", motorPwm: 660 });
  const device = await open();
  await clock.advance(500);
  t.equal(latest.has("horizontal"), true);
  t.equal(latest.has("distances"), false);
  t.equal(instrument.motorPwm, 660);
  await device.close();
});

t.test("a scanner that reports an error faults the device; a warning is published", async (t) => {
  const { clock, instrument, open, latest, context } = await scanner();
  instrument.health(2, 0x8001);
  const device = await open();
  await clock.advance(500);
  t.equal((context.faults[0] as AgentError).code, "FAULTED");
  t.match((context.faults[0] as AgentError).message, /lidar: the scanner reports error 32769/);
  t.equal(latest.get("ok"), false);
  t.equal(latest.get("health"), "error");
  await device.close();
  instrument.health(1, 2);
  const again = await open();
  await clock.advance(500);
  t.equal(latest.get("health"), "warning");
  t.equal(latest.get("ok"), true);
  await again.close();
});

t.test("one that does not answer is opened again until it does", async (t) => {
  const { clock, instrument, world, open, latest } = await scanner({ replyMs: 500 });
  instrument.deafen(true);
  const device = await open();
  await clock.advance(400);
  t.equal(world.opens(), 1);
  await clock.advance(2000);
  t.ok(world.opens() > 1, "opened again");
  t.match(await callDevice(device, "state"), { health: null, turnsHz: null });
  instrument.deafen(false);
  await clock.advance(8000);
  t.equal(latest.get("ok"), true);
  await device.close();
});

t.test("one that stands still is no longer ok within turnMs, and starts over until it turns", async (t) => {
  const { clock, instrument, world, open, latest, context } = await scanner({ turnMs: 1000 });
  const device = await open();
  await clock.advance(1000);
  const tables = count(context, "distances");
  t.ok(tables > 5);
  instrument.stall(true);
  await clock.advance(1200);
  t.equal(latest.get("ok"), false);
  const after = count(context, "distances");
  t.ok(after <= tables + 1);
  await clock.advance(5000);
  t.equal(count(context, "distances"), after, "nothing is published of a scanner that stands");
  t.ok(world.opens() > 1);
  instrument.stall(false);
  await clock.advance(10_000);
  t.equal(latest.get("ok"), true);
  t.same(context.faults, []);
  await device.close();
});

t.test("a plug pulled after any byte: no wrong distance, and tables again when it is back", async (t) => {
  const { clock, instrument, world, open, latest, context } = await scanner({}, 50);
  instrument.see(own);
  const device = await open();
  const good = Array.from({ length: 360 }, (_, place) => own((360 - place) % 360)).join();
  for (let bytes = 1; bytes < 160; bytes++) {
    world.unplugAfter(bytes);
    for (let waits = 0; world.isOpen() && waits < 200; waits++) await clock.advance(10);
    t.equal(latest.get("ok"), false, `after ${bytes} bytes`);
    world.plug();
    for (let waits = 0; latest.get("ok") !== true && waits < 1000; waits++) await clock.advance(10);
    if (latest.get("ok") !== true) t.fail(`not ok again after ${bytes} bytes`);
  }
  const wrong = context.published.filter((text) => text.startsWith("lidar.distances=") && text !== `lidar.distances=${good}`);
  t.same(wrong, []);
  t.same(context.faults, []);
  await device.close();
});

t.test("options that make no sense are refused", async (t) => {
  t.match(optionErrors(lidarDriver, { model: "rplidar-c", path: PATH }).join(), /model/);
  t.match(optionErrors(lidarDriver, { model: "tfmini", path: "ttyUSB0" }).join(), /path/);
  t.match(optionErrors(lidarDriver, { model: "tfmini", path: PATH, scanner: { publish: "a b" } }).join(), /letters, digits/);
  t.match(optionErrors(lidarDriver, { model: "tfmini", path: PATH, lines: 3 }).join(), /lines/);
  t.same(lidarDriver.claims(lidarDriver.options.parse({ model: "tfmini", path: PATH })), [`serial ${PATH}`]);
});
