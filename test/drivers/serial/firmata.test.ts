import fc from "fast-check";
import t from "tap";

import {
  analogMessage,
  capabilitiesOf,
  digitalMessage,
  MODE,
  reportAnalogMessage,
  samplingMessage,
  servoConfigMessage,
} from "../../../drivers/serial/firmata-messages.ts";
import { buttonDriver } from "../../../drivers/gpio/button.ts";
import { callDevice, openDevice, optionErrors } from "../../helpers/fake-device-context.ts";
import { createDeviceScope } from "../../../agent/host/device-context.ts";
import { createFakeClock } from "../../helpers/fake-clock.ts";
import { createFakeLog } from "../../helpers/fake-log.ts";
import { createFirmataParser } from "../../../drivers/serial/firmata-parser.ts";
import { createOffers, chipInClaim } from "../../../agent/host/offers.ts";
import { createSimArduino } from "../../../drivers/board/sim/instruments/firmata.ts";
import { createSimBoard } from "../../../drivers/board/sim/sim-board.ts";
import { createVariableStore } from "../../../analytics/store.ts";
import { cuts } from "../../helpers/cuts.ts";
import { expectCode } from "../../contract/board.ts";
import { firmataDriver } from "../../../drivers/serial/firmata.ts";
import { lightDriver } from "../../../drivers/gpio/light.ts";
import { limitsSchema } from "../../../agent/contract/limits.ts";
import { servoDriver } from "../../../drivers/gpio/servo.ts";
import type { AgentError } from "../../../agent/contract/errors.ts";
import type { Device, Driver } from "../../../agent/contract/device.ts";

const PATH = "/dev/serial/by-id/usb-uno";

function parse(pieces: readonly Uint8Array[]): { readonly told: string[]; readonly broken: number } {
  const told: string[] = [];
  const parser = createFirmataParser({
    version: (major, minor) => told.push(`version ${major}.${minor}`),
    digital: (port, levels) => told.push(`port ${port} ${levels.toString(2)}`),
    analog: (channel, value) => told.push(`analog ${channel} ${value}`),
    sysex: (command, data) => told.push(`sysex ${command.toString(16)} ${Buffer.from(data).toString("hex")}`),
  });
  for (const piece of pieces) parser.push(piece);
  return { told, broken: parser.broken };
}

t.test("messages are found however they arrive; others are skipped", async (t) => {
  const bytes = Buffer.from("f90205" + "91" + "0501" + "e00a02" + "f0790205f7" + "f06c7f000101017ff7" + "c001" + "f07af7", "hex");
  const expected = {
    told: ["version 2.5", "port 1 10000101", "analog 0 266", "sysex 79 0205", "sysex 6c 7f000101017f", "sysex 7a "],
    broken: 0,
  };
  for (const pieces of cuts(bytes.toString("latin1"))) t.same(parse(pieces), expected);
});

t.test("a message that another begins within is broken and counted, also one without end", async (t) => {
  t.same(parse([Buffer.from("9105" + "f90205", "hex")]), { told: ["version 2.5"], broken: 1 });
  t.same(parse([Buffer.from("f06c01" + "f90205" + "f7", "hex")]), { told: ["version 2.5"], broken: 1 });
  t.same(parse([Buffer.concat([Buffer.from([0xf0]), Buffer.alloc(5000, 1), Buffer.from("f7f90205", "hex")])]), {
    told: ["version 2.5"],
    broken: 1,
  });
});

t.test("behind garbage of any kind a message is found, cut anywhere or not", async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 20 }), (garbage, step) => {
      const bytes = Buffer.concat([garbage, Buffer.from("f90203", "hex")]);
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; at += step) pieces.push(bytes.subarray(at, at + step));
      t.same(parse(pieces), parse([bytes]));
      return parse([bytes]).told.at(-1) === "version 2.3";
    }),
    { numRuns: 200 },
  );
});

t.test("messages have the bytes of the protocol's tables", async (t) => {
  t.same(digitalMessage(1, 0b1010_0001), Uint8Array.of(0x91, 0x21, 0x01));
  t.same(analogMessage(9, 1500), Uint8Array.of(0xe9, 0x5c, 0x0b));
  t.same(analogMessage(44, 1500), Uint8Array.of(0xf0, 0x6f, 44, 0x5c, 0x0b, 0, 0xf7));
  t.same(servoConfigMessage(9, 544, 2400), Uint8Array.of(0xf0, 0x70, 9, 0x20, 0x04, 0x60, 0x12, 0xf7));
  t.same(reportAnalogMessage(3, true), Uint8Array.of(0xc3, 1));
  t.same(samplingMessage(1000), Uint8Array.of(0xf0, 0x7a, 0x68, 0x07, 0xf7));
  // The two pins of protocol.md's example: none, then input, output, PWM of 8 bits and servo.
  const pins = capabilitiesOf(Uint8Array.of(0x7f, 0, 1, 1, 1, 3, 8, 4, 14, 0x7f));
  t.equal(pins?.[0]?.size, 0);
  t.equal(pins?.[1]?.get(MODE.pwm), 8);
  t.equal(capabilitiesOf(Uint8Array.of(0, 1)), undefined);
  t.equal(capabilitiesOf(Uint8Array.of(0, 0x7f)), undefined);
});

t.test("a chip is seen in the claims of its ports", async (t) => {
  t.equal(chipInClaim("line uno:13"), "uno");
  t.equal(chipInClaim("pwm uno:9"), "uno");
  for (const claim of ["line GPIO17", "pwm pca9685@1:0x40:3", "i2c 1:0x40", "serial /dev/ttyUSB0"])
    t.equal(chipInClaim(claim), undefined, claim);
});

interface Opened {
  readonly device: Device;
  readonly faults: AgentError[];
}

/** A board, an Arduino, and devices that see each other's offers. */
const workshop = async (options: { readonly plugged?: boolean; readonly uno?: Readonly<Record<string, unknown>> } = {}) => {
  const clock = createFakeClock();
  const board = createSimBoard({ clock });
  const variables = createVariableStore({ clock, limits: limitsSchema.parse({}), declared: {}, defaultStaleMs: 1000 });
  const offers = createOffers();
  const arduino = createSimArduino();
  const world = board.world.serial(PATH);
  if (options.plugged !== false) world.attach(arduino);

  async function open(id: string, driver: Driver, fields: Readonly<Record<string, unknown>>): Promise<Opened> {
    const faults: AgentError[] = [];
    const scope = createDeviceScope({
      id,
      board,
      clock,
      variables,
      offers,
      log: createFakeLog(),
      fault: (error) => faults.push(error as AgentError),
    });
    const opening = openDevice(driver, scope.context, fields);
    const settled = Promise.allSettled([opening]).then(() => "settled");
    for (let waits = 0; (await Promise.race([settled, clock.advance(10)])) === undefined && waits < 1000; waits++);
    return { device: await opening, faults };
  }

  const uno = await open("uno", firmataDriver, { path: PATH, ...options.uno });
  return { clock, board, variables, arduino, world, open, uno, value: (name: string) => variables.get(name)?.value };
};

t.test("a light, a servo and a button work on an Arduino's pins", async (t) => {
  const { clock, arduino, open, uno, value } = await workshop();
  t.equal(value("uno.connected"), true);
  t.match(await callDevice(uno.device, "state"), { connected: true, version: "2.5", pins: 20 });
  const lamp = await open("lamp", lightDriver, { line: "uno:13" });
  const pan = await open("pan", servoDriver, { pwm: { chip: "uno", channel: 9 } });
  const button = await open("button", buttonDriver, { line: "uno:2" });
  t.same(arduino.pin(13), { mode: "output", level: false, value: 0 });
  t.same(arduino.pin(9), { mode: "output", level: false, value: 0 }, "no pulse before the first command");
  t.same(arduino.pin(2), { mode: "pullup", level: true, value: 0 });

  await callDevice(lamp.device, "on");
  await callDevice(pan.device, "angle", { angleDeg: 0 });
  await clock.advance(1);
  t.equal(arduino.pin(13).level, true);
  t.same(arduino.pin(9), { mode: "servo", level: false, value: 1500 });

  arduino.drive(2, false);
  await clock.advance(5);
  arduino.drive(2, true);
  await clock.advance(5);
  t.equal(value("button.presses"), 0, "5 ms are bounce");
  arduino.drive(2, false);
  await clock.advance(20);
  t.equal(value("button.presses"), 1);
  t.equal(value("button.pressed"), true);

  await pan.device.failsafe?.("off");
  await clock.advance(1);
  t.equal(arduino.pin(9).mode, "output", "a servo that lets go has no pulses");
  for (const { device, faults } of [lamp, pan, button, uno]) {
    await device.close();
    t.same(faults, []);
  }
  arduino.freeze(true);
  await clock.advance(100);
  t.equal(clock.pending(), 0);
});

t.test("a line that starts high does so without an edge to low", async (t) => {
  const { clock, arduino, open } = await workshop();
  await open("lamp", lightDriver, { line: "uno:8", activeLow: true });
  await clock.advance(1);
  t.same(
    arduino.trace.filter((text) => text.startsWith("8 ")),
    ["8 input:high", "8 output:high"],
  );
});

t.test("PWM has the resolution the Arduino tells", async (t) => {
  const { clock, arduino, open } = await workshop();
  const lamp = await open("lamp", lightDriver, { pwm: { chip: "uno", channel: 5 } });
  await callDevice(lamp.device, "on");
  await clock.advance(1);
  t.same(arduino.pin(5), { mode: "pwm", level: false, value: 255 });
  await callDevice(lamp.device, "off");
  await clock.advance(1);
  t.same(arduino.pin(5), { mode: "output", level: false, value: 0 });
});

t.test("what is not there or taken is said, and nothing of it stays taken", async (t) => {
  const { open } = await workshop();
  await open("lamp", lightDriver, { line: "uno:13" });
  const refused = async (code: AgentError["code"], text: RegExp, driver: Driver, fields: Readonly<Record<string, unknown>>) => {
    const error = await open("other", driver, fields).then(
      () => undefined,
      (thrown: unknown) => thrown as AgentError,
    );
    t.equal(error?.code, code);
    t.match(error?.message, text);
  };
  await refused("IN_USE", /pin uno:13 is in use by lamp/, buttonDriver, { line: "uno:13" });
  await refused("UNKNOWN", /uno:40 is no pin; it has 20/, lightDriver, { line: "uno:40" });
  await refused("UNKNOWN", /uno:0 is no pin/, lightDriver, { line: "uno:0" });
  await refused("UNKNOWN", /uno:4 is no PWM pin; those are 3, 5, 6, 9, 10, 11/, lightDriver, { pwm: { chip: "uno", channel: 4 } });
  await refused("ARGUMENT", /490 or 980 Hz/, lightDriver, { pwm: { chip: "uno", channel: 5 }, frequencyHz: 20_000 });
  await refused("ARGUMENT", /no pull-down/, buttonDriver, { line: "uno:4", pull: "down" });
  await refused("ARGUMENT", /not on one chip/, lightDriver, { lines: { low: "uno:5", high: "GPIO17" } });
  await refused("UNKNOWN", /due/, lightDriver, { line: "due:5" });
  await open("other", lightDriver, { lines: { low: "uno:5", high: "uno:6" } });
});

t.test("an Arduino that is not there keeps nobody from opening; devices on its pins say why they cannot", async (t) => {
  const { clock, world, open, arduino, value } = await workshop({ plugged: false });
  t.equal(value("uno.connected"), false);
  await expectCode(t, "NOT_READY", ["uno cannot be reached"], () => open("lamp", lightDriver, { line: "uno:13" }));
  world.attach(arduino);
  await clock.advance(12_000);
  t.equal(value("uno.connected"), true);
  await open("lamp", lightDriver, { line: "uno:13" });
  t.equal(arduino.pin(13).mode, "output");
});

t.test(
  "a pulled cable faults the devices on the pins; back again, the pins are as these last wanted them, before anything else",
  async (t) => {
    const { clock, world, arduino, open, value } = await workshop();
    const lamp = await open("lamp", lightDriver, { line: "uno:13" });
    const button = await open("button", buttonDriver, { line: "uno:2" });
    await callDevice(lamp.device, "on");
    await clock.advance(1);
    t.equal(arduino.pin(13).level, true);
    world.unplug();
    await clock.advance(1);
    for (const { faults } of [lamp, button]) {
      t.equal(faults.length, 1);
      t.equal(faults[0]?.code, "IO");
      t.match(faults[0]?.message, /uno cannot be reached/);
    }
    t.equal(value("uno.connected"), false);
    // What the supervisor does then. It is not heard, but known when the cable is back.
    await expectCode(t, "IO", ["uno"], async () => lamp.device.failsafe?.("safe"));
    await expectCode(t, "IO", ["uno"], async () => callDevice(button.device, "state"));
    const before = arduino.trace.length;
    world.plug();
    await clock.advance(12_000);
    t.equal(value("uno.connected"), true);
    t.same(arduino.pin(13), { mode: "output", level: false, value: 0 });
    t.notOk(
      arduino.trace.slice(before).some((text) => text === "13 output:high"),
      "it never was on again",
    );
    arduino.drive(2, false);
    await clock.advance(50);
    t.equal(value("button.pressed"), true, "inputs are heard again");
    await callDevice(lamp.device, "on");
    await clock.advance(1);
    t.equal(arduino.pin(13).level, true);
    t.equal(lamp.faults.length, 1);
  },
);

t.test("an Arduino that hangs is lost within lostMs; one that started anew is set up anew", async (t) => {
  const { clock, arduino, world, open, value } = await workshop();
  const lamp = await open("lamp", lightDriver, { line: "uno:13" });
  await callDevice(lamp.device, "on");
  arduino.freeze(true);
  await clock.advance(1600);
  t.equal(lamp.faults.length, 1);
  t.equal(value("uno.connected"), false);
  arduino.freeze(false);
  await clock.advance(10_000);
  t.equal(value("uno.connected"), true);
  t.ok(world.opens() > 1);
  arduino.restart();
  t.equal(arduino.pin(13).mode, "input");
  await clock.advance(12_000);
  t.equal(lamp.faults.length, 2, "its pins were not what the lamp believes");
  t.equal(value("uno.connected"), true);
  t.equal(arduino.pin(13).mode, "output");
});

t.test("a plug pulled after any byte: connected again, pins set, no fault without a loss", async (t) => {
  const { clock, arduino, world, open, value, uno } = await workshop();
  const lamp = await open("lamp", lightDriver, { line: "uno:13" });
  for (let bytes = 1; bytes < 200; bytes += 3) {
    world.unplugAfter(bytes);
    for (let waits = 0; world.isOpen() && waits < 1000; waits++) await clock.advance(50);
    world.plug();
    for (let waits = 0; value("uno.connected") !== true && waits < 1000; waits++) await clock.advance(50);
    if (value("uno.connected") !== true || arduino.pin(13).mode !== "output") t.fail(`after ${bytes} bytes`);
  }
  t.ok(lamp.faults.length > 20);
  t.same(uno.faults, []);
});

t.test("closing waits for the devices on its pins, which have the last word", async (t) => {
  const { clock, arduino, open, uno, board } = await workshop();
  const lamp = await open("lamp", lightDriver, { line: "uno:13" });
  await callDevice(lamp.device, "on");
  const closing = Promise.resolve(uno.device.close());
  await clock.advance(10);
  await lamp.device.failsafe?.("off");
  await lamp.device.close();
  await clock.advance(10);
  await closing;
  t.equal(arduino.pin(13).level, false);
  t.same(lamp.faults, []);
  t.same(board.world.claimed(), []);
});

t.test("closing does not wait for ever: who still has a pin then is told", async (t) => {
  const { clock, open, uno } = await workshop();
  const lamp = await open("lamp", lightDriver, { line: "uno:13" });
  const closing = Promise.resolve(uno.device.close());
  await clock.advance(600);
  await closing;
  t.match(lamp.faults[0]?.message, /uno is closed/);
});

t.test("options that make no sense are refused", async (t) => {
  t.match(optionErrors(firmataDriver, { path: PATH, readyMs: 10_000 }).join(), /readyMs/);
  t.match(optionErrors(firmataDriver, { path: PATH, silentMs: 1 }).join(), /silentMs/);
});

t.test("analog inputs are published as often as is asked for, with their scale, and go stale with the Arduino", async (t) => {
  const analog = { battery: { channel: 0, scale: 5 / 1024, unit: "V" }, light: { channel: 5, scale: -1, offset: 1023 } };
  const { clock, arduino, variables, world, value, uno, open } = await workshop({ uno: { analog, samplingMs: 50 } });
  arduino.measure(0, 512);
  arduino.measure(5, 1000);
  await clock.advance(50);
  t.equal(value("uno.battery"), 2.5);
  t.equal(value("uno.light"), 23);
  t.equal(arduino.pin(14).mode, "analog");
  t.equal(arduino.pin(15).mode, "input", "the others are left alone");
  await expectCode(t, "IN_USE", ["pin uno:19 is in use by uno"], () => open("lamp", lightDriver, { line: "uno:19" }));
  const updates = variables.get("uno.battery")?.updates ?? 0;
  await clock.advance(500);
  t.equal((variables.get("uno.battery")?.updates ?? 0) - updates, 10);
  world.unplug();
  await clock.advance(140);
  t.equal(variables.get("uno.battery")?.stale, false);
  await clock.advance(20);
  t.equal(variables.get("uno.battery")?.stale, true);
  arduino.measure(0, 256);
  world.plug();
  await clock.advance(12_000);
  t.equal(value("uno.battery"), 1.25);
  arduino.restart();
  arduino.measure(0, 128);
  await clock.advance(12_000);
  t.equal(value("uno.battery"), 0.625, "also after it has started anew");
  world.send(Uint8Array.of(0xe0, 0x7f, 0x7f));
  t.equal(value("uno.battery"), 0.625, "ten bits do not have that much");
  t.same(uno.faults, []);
  await uno.device.close();
  world.unplug();
  t.equal(clock.pending(), 0);
});

t.test("an analog channel that is not there is said, and does not keep the pins from being used", async (t) => {
  const { uno, open } = await workshop({ uno: { analog: { battery: { channel: 9 } } } });
  t.match(uno.faults, [{ code: "UNKNOWN", message: "uno has no analog channel 9; those are 0, 1, 2, 3, 4, 5" }]);
  await open("lamp", lightDriver, { line: "uno:13" });
});

t.test("no analog value is published that was not there, wherever the cable is cut", async (t) => {
  const { clock, arduino, world, value } = await workshop({ uno: { analog: { light: { channel: 2 } }, samplingMs: 10 } });
  arduino.measure(2, 697);
  await clock.advance(100);
  const seen = new Set<unknown>();
  for (let bytes = 1; bytes < 60; bytes++) {
    world.unplugAfter(bytes);
    for (let waits = 0; world.isOpen() && waits < 1000; waits++) await clock.advance(5);
    world.plug();
    world.setChunkBytes(bytes % 3);
    for (let waits = 0; value("uno.connected") !== true && waits < 1000; waits++) await clock.advance(50);
    await clock.advance(50);
    seen.add(value("uno.light"));
  }
  t.same([...seen], [697]);
});

t.test("analog inputs that make no sense are refused", async (t) => {
  const refused = (analog: unknown): string => optionErrors(firmataDriver, { path: PATH, analog }).join();
  t.match(refused({ a: { channel: 16 } }), /channel/);
  t.match(refused({ a: { channel: 1 }, b: { channel: 1 } }), /a channel can have one name only/);
  t.match(refused({ connected: { channel: 1 } }), /analog/);
  t.match(refused({ a: { channel: 1, scale: 0 } }), /scale/);
  t.match(optionErrors(firmataDriver, { path: PATH, samplingMs: 5 }).join(), /samplingMs/);
});
