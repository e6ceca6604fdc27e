import t from "tap";

import { buttonDriver } from "../../drivers/gpio/button.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { createSimArduino } from "../../drivers/board/sim/instruments/firmata.ts";
import { createSimBoard } from "../../drivers/board/sim/sim-board.ts";
import { createVariableStore } from "../../analytics/store.ts";
import { firmataDriver } from "../../drivers/serial/firmata.ts";
import { gcbafDriver } from "../../drivers/vehicle/gcbaf.ts";
import { lightDriver } from "../../drivers/gpio/light.ts";
import { limitsSchema } from "../../agent/contract/limits.ts";
import { openHost } from "../../agent/host/host.ts";
import type { Caller } from "../../agent/contract/request.ts";
import type { DeviceSpec, Driver } from "../../agent/contract/device.ts";

const PATH = "/dev/serial/by-id/usb-uno";

function specOf(id: string, driver: Driver, options: Readonly<Record<string, unknown>>): DeviceSpec {
  const policy = { enabled: true, onLoss: "safe", onExit: "safe", exclusive: false, callMs: 1000 } as const;
  return { id, driver, options: driver.options.parse(options), policy };
}

interface HostTrial {
  readonly plugged?: boolean;
  readonly quarantine?: readonly string[];
}

const hostOf = async (specs: readonly DeviceSpec[], { plugged = true, quarantine = [] }: HostTrial = {}) => {
  const clock = createFakeClock();
  const board = createSimBoard({ clock });
  const arduino = createSimArduino();
  const world = board.world.serial(PATH);
  if (plugged) world.attach(arduino);
  const log = createFakeLog();
  const variables = createVariableStore({ clock, limits: limitsSchema.parse({}), declared: {}, defaultStaleMs: 1000 });
  const opening = openHost({ node: "garage", specs, board, clock, variables, journal: createJournal(clock), log, quarantine });
  // An Arduino that is not there is waited for as long as 4 s.
  for (let waits = 0; waits < 500; waits++) await clock.advance(10);
  const host = await opening;

  async function stop(): Promise<void> {
    const stopping = host.stop();
    for (let waits = 0; waits < 200; waits++) await clock.advance(10);
    await stopping;
  }

  return {
    host,
    arduino,
    world,
    clock,
    stop,
    value: (name: string) => variables.get(name)?.value,
    state: (id: string) => {
      const entry = host.entries().find(({ spec }) => spec.id === id);
      return entry?.slot?.fault === undefined ? entry?.outcome : `faulted: ${entry.slot.fault.message}`;
    },
    clone: async (...args: readonly string[]) => {
      const reply = await host.handle({ verb: "CLONE", args }, CALLER);
      return reply.kind === "error" ? `${reply.error.code} ${reply.error.message}` : "done";
    },
  };
};

const CALLER: Caller = { name: "bench", priority: 100, signal: new AbortController().signal };
const UNO = specOf("uno", firmataDriver, { path: PATH });
const LAMP = specOf("lamp", lightDriver, { line: "uno:13" });

t.test("who offers ports is opened before who uses them, and after everything else, in whatever order they are written", async (t) => {
  const { host, arduino, stop } = await hostOf([
    specOf("lamp", lightDriver, { line: "uno:13", safe: "on" }),
    specOf("uno", firmataDriver, { path: PATH }),
    specOf("own", lightDriver, { line: "GPIO17" }),
  ]);
  t.same(
    host.entries().map(({ spec, outcome }) => `${spec.id} ${outcome}`),
    ["own opened", "uno opened", "lamp opened"],
  );
  t.equal(arduino.pin(13).level, true);
  await stop();
});

t.test("a device of the motion thread is told that it cannot use another's ports", async (t) => {
  const { host, stop } = await hostOf([
    specOf("uno", firmataDriver, { path: PATH }),
    specOf("car", gcbafDriver, { accelerator: { pwm: { chip: "uno", channel: 9 } }, brake: { pwm: { chip: "sim", channel: 1 } } }),
  ]);
  const car = host.entries().find(({ spec }) => spec.id === "car");
  t.equal(car?.outcome, "failed");
  t.match(car?.reason, /ARGUMENT pwm uno:9 is a port of uno, which car cannot use: a gcbaf needs ports of the board/);
  await stop();
});

t.test("devices on an Arduino that comes late open as soon as it is there, and only those", async (t) => {
  const broken = specOf("broken", lightDriver, { line: "GPIO99" });
  const { host, arduino, world, clock, state, clone, stop } = await hostOf([LAMP, UNO, broken], { plugged: false });
  t.equal(state("uno"), "opened");
  t.equal(state("lamp"), "failed");
  t.equal(state("broken"), "failed");
  t.match(await clone("lamp.on"), /^NOT_READY lamp was failed: NOT_READY uno cannot be reached/);
  world.attach(arduino);
  await clock.advance(12_000);
  t.equal(state("lamp"), "opened");
  t.equal(state("broken"), "failed");
  t.same(arduino.pin(13), { mode: "output", level: false, value: 0 }, "what was ordered before it was there is not carried out");
  t.equal(await clone("lamp.on"), "done");
  await clock.advance(1);
  t.equal(arduino.pin(13).level, true);
  t.ok(host.reads("lamp.state"));
  await stop();
});

t.test("devices on an Arduino that is pulled fault, and are back with it, safe, until somebody gives a new order", async (t) => {
  const button = specOf("button", buttonDriver, { line: "uno:2" });
  const { arduino, world, clock, state, clone, value, stop } = await hostOf([UNO, LAMP, button]);
  for (let time = 0; time < 3; time++) {
    t.equal(await clone("lease", "10000", "lamp.on"), "done");
    await clock.advance(1);
    t.equal(arduino.pin(13).level, true);
    world.unplug();
    await clock.advance(1);
    t.match(state("lamp"), /^faulted: uno cannot be reached/);
    t.match(state("button"), /^faulted: uno cannot be reached/);
    t.match(await clone("lamp.on"), /^FAULTED lamp is faulted: uno cannot be reached: .*; it can be used again when that is over$/);
    arduino.drive(2, false);
    const seen = arduino.trace.length;
    world.plug();
    await clock.advance(12_000);
    t.equal(state("lamp"), "opened");
    t.equal(state("button"), "opened");
    t.notOk(arduino.trace.slice(seen).includes("13 output:high"), "it never was on again");
    t.equal(value("button.pressed"), true);
    arduino.drive(2, undefined);
    await clock.advance(50);
  }
  await stop();
});

t.test("an Arduino that comes back while the e-stop is latched ends no e-stop", async (t) => {
  const { host, world, clock, state, stop } = await hostOf([UNO, LAMP]);
  await host.handle({ verb: "ESTOP", args: [] }, CALLER);
  world.unplug();
  await clock.advance(1);
  world.plug();
  await clock.advance(12_000);
  t.equal(state("lamp"), "opened");
  t.equal(host.eStoppedBy, "bench", "an e-stop is still latched");
  await stop();
});

t.test("a device that the device host did not survive opening is not opened because its Arduino came", async (t) => {
  const { host, arduino, world, clock, state, stop } = await hostOf([UNO, LAMP], { plugged: false, quarantine: ["device lamp"] });
  world.attach(arduino);
  await clock.advance(12_000);
  t.equal(state("lamp"), "failed");
  t.equal(arduino.pin(13).mode, "input");
  t.equal((await host.handle({ verb: "RESET", args: ["lamp"] }, CALLER)).kind, "status");
  t.equal(state("lamp"), "opened");
  await stop();
});

t.test("an Arduino that goes while a device opens on it, and comes back, has that device work in the end", async (t) => {
  for (let cutMs = 0; cutMs < 60; cutMs += 4) {
    const button = specOf("button", buttonDriver, { line: "uno:2" });
    const { arduino, world, clock, state, stop } = await hostOf([UNO, button], { plugged: false });
    world.attach(arduino);
    for (let waits = 0; arduino.pin(2).mode !== "pullup" && waits < 10_000; waits++) await clock.advance(1);
    await clock.advance(cutMs);
    world.unplug();
    await clock.advance(1);
    world.plug();
    await clock.advance(12_000);
    t.equal(state("button"), "opened", `gone ${cutMs} ms after the pin was set`);
    await stop();
  }
});
