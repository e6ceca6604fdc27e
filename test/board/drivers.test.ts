// Devices on the kernel's own ports: what the chips' registers and the lines say while a supervisor drives them by the machine's clock.
import { execFileSync } from "node:child_process";
import { setImmediate as turn } from "node:timers/promises";
import t from "tap";

import { boardDefinitionSchema } from "../../agent/contract/board-definition.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { createLinuxBoard } from "../../drivers/board/linux/linux-board.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { createVariableStore } from "../../analytics/store.ts";
import { gpio } from "../../drivers/gpio/index.ts";
import { vehicle } from "../../drivers/vehicle/index.ts";
import { openHost } from "../../agent/host/host.ts";
import { addVcan, ip, PEDALS, PEDALS_CAN, watchPedals } from "./pedal-frames.ts";
import * as world from "./world.ts";
import type { Board, Edge } from "../../agent/contract/board.ts";
import type { DeviceSpec } from "../../agent/contract/device.ts";
import type { Value } from "../../agent/contract/value.ts";

const KERNELS = 0x40;
const OWN = 0x41;
const EXPANDER = 0x20;
const METER = 0x44;
const COMPASS = 0x0d;

/** OFF register of channel 0, low and high byte (PCA9685 data sheet, 7.3.3). */
const OFF_LOW = 0x08;
const OFF_HIGH = 0x09;

addVcan();
world.loadI2cBus([KERNELS, OWN, EXPANDER, METER, COMPASS]);
const kernels = world.addPwmChip(KERNELS);
const own = world.stubChip(OWN);
const expander = world.stubChip(EXPANDER);
const compass = world.stubChip(COMPASS);
const clock = createSystemClock();

/** This board's one processor may be somebody else's for a while. */
const definition = boardDefinitionSchema.parse({ name: "virtual", i2c: { limitMs: 5000 } });

/** A word with the high byte first, as the meter has them: the bus's words have the low one first. */
function setMeter(register: number, word: number): void {
  const swapped = ((word & 0xff) << 8) | (word >> 8);
  execFileSync("i2cset", ["-f", "-y", "0", String(METER), String(register), String(swapped), "w"]);
}

/** A host with these devices on the kernel's ports. */
async function openDevices(
  devices: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  wired: (board: Board) => Board = (board) => board,
) {
  const log = createFakeLog();
  const variables = createVariableStore({
    clock,
    limits: { maxVariables: 100, maxVariableBytes: 1000 },
    declared: {},
    defaultStaleMs: 3_600_000,
  });
  const specs = Object.entries(devices).map(([id, { driver: name, leaseMs, ...options }]): DeviceSpec => {
    const driver = [...gpio.drivers, ...vehicle.drivers].find((candidate) => candidate.name === name);
    if (driver === undefined) throw new Error(`no driver ${String(name)}`);
    const policy = {
      enabled: true,
      leaseMs: Number(leaseMs ?? 5000),
      onLoss: "safe",
      onExit: "safe",
      exclusive: false,
      callMs: 20_000,
    } as const;
    return { id, driver, options: driver.options.parse(options), policy };
  });
  const board = await createLinuxBoard({ clock: createSystemClock(), definition, log });
  const host = await openHost({ node: "virtual", specs, board: wired(board), clock, variables, journal: createJournal(clock), log });
  const caller = { name: "test", priority: 100, signal: new AbortController().signal };
  return {
    variable: (name: string) => variables.get(name)?.value,
    async call(name: string, ...args: readonly (string | number | boolean)[]): Promise<Value> {
      const reply = await host.handle({ verb: "CLONE", args: [name, ...args.map(String)] }, caller);
      if (reply.kind === "value") return reply.value;
      throw reply.kind === "error" ? reply.error : new Error(reply.text);
    },
    async faultOf(id: string): Promise<string> {
      const reply = await host.handle({ verb: "DESCRIBE", args: [id] }, caller);
      return JSON.stringify(reply);
    },
    async stop(): Promise<void> {
      await host.stop();
      await board.close();
    },
  };
}

t.test("a servo on the kernel's PCA9685 is silent, turns, and has no pulse when its lease is over", async (t) => {
  const devices = await openDevices({ pan: { driver: "servo", pwm: { chip: kernels.chip, channel: 0 }, leaseMs: 2000 } });
  t.equal(kernels.onTicks(0), 0);
  t.equal(await devices.call("pan.angle", 0), 0);
  t.equal((kernels.register(OFF_HIGH) << 8) | kernels.register(OFF_LOW), 0x0134, "1.5 ms of 20 ms");
  await world.until("the lease to end", () => kernels.onTicks(0) === 0);
  t.equal(devices.variable("pan.attached"), false);
  t.equal(await devices.call("pan.angle", 500), 90);
  t.equal(kernels.onTicks(0), 512, "2.5 ms of 20 ms: the end of its range");
  await devices.stop();
  t.equal(kernels.onTicks(0), 0);
});

t.test("a camera head on a PCA9685 that the agent drives itself goes where it is told, step by step, and lets go", async (t) => {
  own.clear();
  const axis = (channel: number): Record<string, unknown> => ({
    pwm: { pca9685: { bus: 0, address: OWN, channel } },
    startDeg: 0,
    maxDegPerS: 500,
  });
  const devices = await openDevices({ camera: { driver: "pan-tilt", pan: axis(0), tilt: axis(1) } });
  t.same([own.onTicks(0), own.onTicks(1)], [0, 0]);
  t.same(await devices.call("camera.look", 45, -45), { panDeg: 45, tiltDeg: -45 });
  await world.until("the head to arrive", () => devices.variable("camera.moving") === false);
  t.same([devices.variable("camera.pan"), devices.variable("camera.tilt")], [45, -45]);
  await world.until("the last step to be in the chip", () => own.onTicks(0) === 410 && own.onTicks(1) === 205);
  t.equal(await devices.call("camera.detach"), false);
  t.same([own.onTicks(0), own.onTicks(1)], [0, 0]);
  await devices.call("camera.home");
  await devices.stop();
  t.same([own.onTicks(0), own.onTicks(1)], [0, 0]);
});

t.test("a motor's inputs and duty go forward, back by way of nothing, and off", async (t) => {
  const pwm = { chip: kernels.chip, channel: 3 };
  const devices = await openDevices({
    left: { driver: "motor", in1: "GPIO5", in2: "GPIO6", pwm, frequencyHz: 50, slewPercentPerS: 10_000, brakeInputs: "high" },
  });
  const state = (): readonly unknown[] => [world.level("GPIO5"), world.level("GPIO6"), kernels.onTicks(3)];
  t.same(state(), [false, false, 0]);
  t.equal(await devices.call("left.speed", 50), 50);
  await world.until("it to turn forward", () => kernels.onTicks(3) === 2048);
  t.same(state(), [true, false, 2048]);
  t.equal(await devices.call("left.speed", -25), -25);
  await world.until("it to turn backward", () => kernels.onTicks(3) === 1024);
  t.same(state(), [false, true, 1024]);
  t.equal(await devices.call("left.brake"), 0);
  t.same(state(), [true, true, 4096]);
  await devices.stop();
  t.same(state(), [false, false, 0]);
});

t.test("an expander sets levels before directions, reads inputs, and is a fault by name when it forgets", async (t) => {
  expander.clear();
  expander.setRegister(3, 0xff);
  const outputs = { pump: { line: 0 }, horn: { line: 1, activeLow: true } };
  const inputs = { door: { line: 7 } };
  const devices = await openDevices({
    box: { driver: "expander", chip: "pca9534", bus: 0, address: EXPANDER, outputs, inputs, faultAfter: 1 },
  });
  t.same([expander.register(1), expander.register(3)], [0b10, 0b1111_1100]);
  t.equal(await devices.call("box.set", "pump", true), true);
  t.equal(expander.register(1), 0b11);
  expander.setRegister(0, 0x80);
  await world.until("the input to be read", () => devices.variable("box.door") === true);
  expander.setRegister(3, 0xff);
  let shown = "";
  for (let i = 0; i < 1000 && !shown.includes("holds directions"); i++) {
    shown = await devices.faultOf("box");
    await turn();
  }
  t.match(shown, /pca9534 at i2c 0:0x20 holds directions 11111111/);
  await world.until("it to be safe again", () => expander.register(1) === 0b10 && expander.register(3) === 0b1111_1100);
  await devices.stop();
});

t.test("a meter and a compass are read by their registers", async (t) => {
  setMeter(2, (3000 << 3) | 2);
  setMeter(1, 1000);
  setMeter(4, 1024);
  setMeter(3, 300);
  compass.clear();
  compass.setRegister(6, 1);
  // 3600 counts to the left: the sensor points to the east.
  compass.setRegister(2, 0x10);
  compass.setRegister(3, 0x0e);
  const devices = await openDevices({
    battery: { driver: "ina219", bus: 0, address: METER },
    nose: { driver: "compass", bus: 0 },
  });
  await world.until("the first readings", () => devices.variable("battery.ok") === true && devices.variable("nose.ok") === true);
  t.equal(devices.variable("battery.voltage"), 12);
  t.ok(Math.abs(Number(devices.variable("battery.current")) - 0.1) < 0.0001);
  t.equal(devices.variable("nose.heading"), 90);
  t.equal(devices.variable("nose.field"), 30);
  await devices.stop();
});

t.test("a distance is what sound goes between the kernel's stamps of the echo, whenever they are read", async (t) => {
  world.drive("GPIO24", false);
  const edges: Edge[] = [];
  const devices = await openDevices(
    { front: { driver: "ultrasonic", trigger: "GPIO23", echo: "GPIO24", samples: 1, periodMs: 2000, maxM: 6, faultAfter: 1000 } },
    (board) => ({
      ...board,
      async openInput(owner, line, options) {
        const input = await board.openInput(owner, line, options);
        return {
          ...input,
          onEdge: (listener, failed) =>
            input.onEdge((edge) => {
              edges.push(edge);
              listener(edge);
            }, failed),
        };
      },
    }),
  );
  // The board's one processor may be away during an echo, which is then longer than anything that is measured.
  for (let tries = 0; tries < 20 && devices.variable("front.ok") !== true; tries++) {
    while (!world.level("GPIO23")) await turn();
    while (world.level("GPIO23")) await turn();
    edges.length = 0;
    world.drive("GPIO24", true);
    await world.until("the rising edge", () => edges.length === 1);
    world.drive("GPIO24", false);
    await world.until("the falling edge", () => edges.length === 2);
  }
  const [rise, fall] = edges;
  t.same([rise?.rising, fall?.rising, rise?.kernelStamp, fall?.kernelStamp], [true, false, true, true]);
  const widthNs = Number((fall?.timestampNs ?? 0n) - (rise?.timestampNs ?? 0n));
  t.ok(widthNs > 0);
  t.ok(Math.abs(Number(devices.variable("front.distance")) - (widthNs * 343.42) / 2e9) < 1e-9);
  await devices.stop();
});

const STREAM = { limits: { armStreamMs: 500, armStreamHz: 2 }, streamHz: 2 };

/** Calls these functions again and again, as whoever drives does, until `done`. */
async function keepCalling(
  devices: Awaited<ReturnType<typeof openDevices>>,
  calls: readonly (readonly [string, ...number[]])[],
  done: () => boolean,
) {
  for (let at = 0; at < 2000 && !done(); at++) {
    // Disarmed it refuses, and counts.
    for (const [name, ...args] of calls) await devices.call(name, ...args).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  if (!done()) throw new Error(`${calls.map(([name]) => name).join(" and ")}: called in vain`);
}

t.test("a vehicle on CAN and its wheels on a PCA9685 are armed, driven, and brought to a stop when nobody drives", async (t) => {
  own.clear();
  const watched = watchPedals();
  t.teardown(() => watched.stop());
  const last = () => watched.frames.at(-1) ?? { atMs: 0, accelerator: -1, brake: -1 };
  const devices = await openDevices({
    car: { driver: "gcbaf", leaseMs: 1000, ...PEDALS, can: PEDALS_CAN, ...STREAM },
    wheels: { driver: "steering", leaseMs: 1000, angle: { pwm: { pca9685: { bus: 0, address: OWN, channel: 5 } } }, ...STREAM },
  });
  t.same([watched.frames.length, own.onTicks(5)], [0, 0], "silent until it is armed");
  await keepCalling(devices, [["car.drive", 0, 20], ["wheels.angle", 0], ["car.arm"], ["wheels.arm"]], () =>
    ["car", "wheels"].every((id) => devices.variable(`${id}.armed`) === true),
  );
  await keepCalling(
    devices,
    [
      ["car.drive", 20, 0],
      ["wheels.angle", 7],
    ],
    () => last().accelerator === 20 && devices.variable("wheels.angle") === 7,
  );
  t.equal(last().brake, 0);
  const held = own.onTicks(5);
  t.equal(held, Math.round(((1500 + 100) / 20_000) * 4096), "7 of 35 degrees to the left");
  await world.until("the leases to end", () => last().accelerator === 0);
  await world.until("it to be braked", () => last().brake >= 20);
  t.equal(watched.frames.findLast(({ accelerator }) => accelerator > 0)?.brake, 0, "never both pedals");
  await world.until("the wheels to be disarmed too", () => devices.variable("wheels.armed") === false);
  t.match(devices.variable("car.phase"), /stopping|held/);
  await devices.stop();
});

t.test("a vehicle whose bus is lost is a fault by name", async (t) => {
  const car = { driver: "gcbaf", leaseMs: 1000, ...PEDALS, can: PEDALS_CAN, ...STREAM };
  for (const [lose, regain, fault] of [
    [
      () => execFileSync("cansend", ["vcan0", "20000040#0000000000000000"]),
      () => execFileSync("cansend", ["vcan0", "20000100#0000000000000000"]),
      /vcan0 is bus-off: the controller left the bus/,
    ],
    [() => ip("link set vcan0 down"), () => ip("link set vcan0 up"), /vcan0 is down: the interface was taken down/],
  ] as const) {
    const devices = await openDevices({ car });
    lose();
    let shown = "";
    for (let i = 0; i < 1000 && !fault.test(shown); i++) {
      shown = await devices.faultOf("car");
      await turn();
    }
    t.match(shown, fault);
    regain();
    await devices.stop();
  }
  ip("link set vcan0 down");
  const silent = await openDevices({ car });
  t.match(await silent.faultOf("car"), /vcan0 is down; check wiring, termination and bit rate, then bring it up/, "and it does not open");
  await silent.stop();
  ip("link set vcan0 up");
});
