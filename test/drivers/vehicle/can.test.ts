import t from "tap";

import { arm, openCar, openWheels, type Options, type Rig } from "../../../bench/campaigns/limits/rig.ts";
import { checksumOf } from "../../../drivers/vehicle/can-layout.ts";
import { createFakeDeviceContext, openDevice } from "../../helpers/fake-device-context.ts";
import { expectCode } from "../../contract/board.ts";
import { gcbafDriver } from "../../../drivers/vehicle/gcbaf.ts";

const PEDALS_ID = 0x2e4;
const GEAR_ID = 0x18ff_1234;

/** Pedals share a frame with a counter and a checksum; gear and fuel have one of their own. */
const ON_CAN: Options = {
  can: {
    interface: "can0",
    enable: { frame: "pedals", signal: "enable" },
    frames: {
      pedals: {
        id: PEDALS_ID,
        length: 8,
        signals: {
          accelerator: { startBit: 7, lengthBits: 16, endian: "big", scale: 0.01 },
          brake: { startBit: 16, lengthBits: 10, scale: 0.1 },
          clutch: { startBit: 32, lengthBits: 8, scale: 0.5, rest: 100 },
          enable: { startBit: 40, lengthBits: 1 },
          version: { startBit: 44, lengthBits: 3, rest: 5 },
        },
        counter: { startBit: 48, lengthBits: 4 },
        checksum: { kind: "toyota", byte: 7 },
      },
      gear: {
        id: GEAR_ID,
        extended: true,
        length: 2,
        periodMs: 50,
        signals: { gear: { startBit: 0, lengthBits: 4 }, fuel: { startBit: 8, lengthBits: 1 } },
      },
    },
  },
  accelerator: { pwm: undefined, can: { frame: "pedals", signal: "accelerator" }, fullMps2: 2 },
  brake: { pwm: undefined, can: { frame: "pedals", signal: "brake" }, fullMps2: 3.5 },
  clutch: { can: { frame: "pedals", signal: "clutch" } },
  gear: { can: { frame: "gear", signal: "gear" }, positions: { P: 0, R: 1, N: 2, D: 3 } },
  fuel: { can: { frame: "gear", signal: "fuel" } },
};

interface Seen {
  readonly accelerator: number;
  readonly brake: number;
  readonly clutch: number;
  readonly enable: number;
  readonly version: number;
  readonly counter: number;
  readonly sound: boolean;
}

/** What the vehicle reads from a pedals frame. */
function read(data: Uint8Array): Seen {
  const byte = (i: number): number => data[i] ?? 0;
  return {
    accelerator: (byte(0) * 256 + byte(1)) / 100,
    brake: (byte(2) + (byte(3) & 3) * 256) / 10,
    clutch: byte(4) / 2,
    enable: byte(5) & 1,
    version: (byte(5) >> 4) & 7,
    counter: byte(6) & 15,
    sound: byte(7) === checksumOf("toyota", PEDALS_ID, data, 7),
  };
}

const frames = (rig: Rig, id: number) =>
  rig.board.world
    .can("can0")
    .sent()
    .entries.filter((frame) => frame.id === id);
const lastPedals = (rig: Rig): Seen => read(frames(rig, PEDALS_ID).at(-1)?.data ?? new Uint8Array(8));

const drive = (rig: Rig, acceleratorPercent: number, brakePercent: number): unknown =>
  rig.call("drive", { acceleratorPercent, brakePercent });

async function armed(): Promise<Rig> {
  const rig = await openCar(ON_CAN);
  t.equal(
    arm(rig, () => drive(rig, 0, 50)),
    true,
  );
  return rig;
}

t.test("no frame is sent before it is armed", async (t) => {
  const rig = await openCar(ON_CAN);
  rig.run(3000, () => drive(rig, 0, 50));
  t.same(rig.board.world.can("can0").sent().entries, []);
});

t.test("armed, every frame comes every period, with its counter, its checksum and all of its signals", async (t) => {
  const rig = await armed();
  rig.run(1000, () => drive(rig, 0, 50));
  rig.run(1000, () => drive(rig, 0, 0));
  rig.run(4000, () => drive(rig, 37.5, 0));
  rig.call("gear", { gear: "D" });
  const pedals = frames(rig, PEDALS_ID);
  t.equal(pedals.length, 600, "one every 10 ms");
  t.ok(pedals.every(({ data }, i) => read(data).sound && read(data).counter === i % 16));
  t.ok(pedals.every(({ data, extended }) => data.length === 8 && !extended && read(data).version === 5 && read(data).enable === 1));
  t.match(lastPedals(rig), { accelerator: 37.5, brake: 0, clutch: 100 });
  const gears = frames(rig, GEAR_ID);
  t.equal(gears.length, 120, "one every 50 ms");
  t.ok(gears.every(({ extended }) => extended));
  t.same([...(gears.at(-1)?.data ?? [])], [2, 1], "neutral, fuel on");
});

t.test("nobody drives: a frame with the accelerator at 0 goes out within the call", async (t) => {
  const rig = await armed();
  rig.run(1000, () => drive(rig, 0, 0));
  rig.run(3000, () => drive(rig, 50, 0));
  const before = frames(rig, PEDALS_ID).length;
  void rig.device.failsafe?.("safe");
  t.equal(frames(rig, PEDALS_ID).length, before + 1);
  t.match(lastPedals(rig), { accelerator: 0, enable: 1, sound: true, counter: before % 16 });
  rig.run(20_000);
  t.match(lastPedals(rig), { accelerator: 0, enable: 1, sound: true });
  t.ok(lastPedals(rig).brake > 71, "held");
  t.same([...(frames(rig, GEAR_ID).at(-1)?.data ?? [])], [2, 0], "fuel cut");
  void rig.device.failsafe?.("off");
  t.match(lastPedals(rig), { accelerator: 0, brake: 0, clutch: 100, enable: 0, version: 5 }, "the last frame says that nothing is driven");
  const last = frames(rig, PEDALS_ID).length;
  rig.run(500);
  t.equal(frames(rig, PEDALS_ID).length, last);
  await rig.device.close();
  t.same(rig.board.world.claimed(), []);
});

t.test("fuel is cut in a frame of the same call", async (t) => {
  const rig = await armed();
  rig.run(500, () => drive(rig, 0, 0));
  t.equal(rig.call("fuel", { fuel: "cut" }), "cut");
  t.same([...(frames(rig, GEAR_ID).at(-1)?.data ?? [])], [2, 0]);
});

t.test("bus-off is a fault that names the interface and what to look at", async (t) => {
  const rig = await armed();
  const { world } = rig.board;
  world.can("can0").setState("warning", "many errors");
  t.same(rig.faults, [], "that is none yet");
  world.can("can0").setState("bus-off", "256 transmit errors");
  t.equal(rig.faults.length, 1);
  t.match(rig.faults[0], { code: "IO", message: /can0 is bus-off: 256 transmit errors; check wiring/ });
  t.throws(() => rig.tick(), { code: "IO" });
  await t.rejects(async () => rig.device.failsafe?.("safe"), { code: "IO" });
  world.can("can0").setState("active");
  rig.tick();
  t.equal(lastPedals(rig).accelerator, 0);
});

t.test("a full queue is waited for, up to the frame's time limit", async (t) => {
  const rig = await armed();
  const bus = rig.board.world.can("can0");
  rig.run(100, () => drive(rig, 0, 50));
  const sent = frames(rig, PEDALS_ID).length;
  bus.setFull(true);
  rig.run(90);
  bus.setFull(false);
  rig.run(10);
  t.equal(frames(rig, PEDALS_ID).length, sent + 1);
  t.equal(lastPedals(rig).counter, sent % 16, "what was not sent was not counted");
  rig.run(100);
  bus.setFull(true);
  t.throws(() => rig.run(200), { code: "TIMEOUT", message: /frame (pedals|gear) found no room on can0 for 100 ms/ });
});

t.test("late ticks send one frame, not those that were missed", async (t) => {
  const rig = await armed();
  rig.run(100, () => drive(rig, 0, 50));
  const [pedals, gears] = [frames(rig, PEDALS_ID).length, frames(rig, GEAR_ID).length];
  rig.tick(7);
  t.equal(frames(rig, PEDALS_ID).length, pedals + 1);
  t.equal(frames(rig, GEAR_ID).length, gears + 1);
  rig.tick();
  t.equal(frames(rig, PEDALS_ID).length, pedals + 2);
  t.equal(frames(rig, GEAR_ID).length, gears + 1);
});

t.test("steering by CAN: the angle is signed, and the enable signal says whether anybody steers", async (t) => {
  const rig = await openWheels({
    angle: { can: { frame: "steer", signal: "angle" } },
    can: {
      interface: "can1",
      enable: { frame: "steer", signal: "enable" },
      frames: {
        steer: {
          id: 0x25,
          length: 4,
          signals: { angle: { startBit: 0, lengthBits: 12, signed: true, scale: 0.1 }, enable: { startBit: 16, lengthBits: 1 } },
          checksum: { kind: "crc8", byte: 3 },
        },
      },
    },
  });
  const sent = () => rig.board.world.can("can1").sent().entries;
  const turn = (angleDeg: number): unknown => rig.call("angle", { angleDeg });
  t.equal(
    arm(rig, () => turn(0)),
    true,
  );
  t.equal(sent().length, 0);
  rig.run(1000, () => turn(-20));
  const data = sent().at(-1)?.data ?? new Uint8Array(4);
  t.equal((((data[0] ?? 0) + ((data[1] ?? 0) & 15) * 256) << 20) >> 20, -200);
  t.equal((data[2] ?? 0) & 1, 1);
  t.equal(data[3], checksumOf("crc8", 0x25, data, 3));
  void rig.device.failsafe?.("safe");
  rig.run(16_100);
  const last = sent().at(-1)?.data ?? new Uint8Array(4);
  t.same([...last.slice(0, 3)], [0, 0, 0], "detached");
  await rig.device.close();
});

t.test("channels and frames that do not fit each other are refused when they open, and nothing is kept", async (t) => {
  const can = ON_CAN["can"] as { frames: object };
  const cases: readonly (readonly [Options, RegExp])[] = [
    [{ brake: { can: { frame: "pedals", signal: "nothing" } } }, /brake is signal nothing of frame pedals, which can.frames does not have/],
    [{ brake: { can: { frame: "nothing", signal: "brake" } } }, /frame nothing/],
    [{ brake: { can: { frame: "pedals", signal: "accelerator" } } }, /accelerator, which another channel drives already/],
    [{ brake: { can: { frame: "pedals", signal: "version" } } }, /brake may be 100, which signal pedals.version of 3 bits cannot hold/],
    [{ can: undefined }, /accelerator is on CAN; can with interface and frames is needed/],
    [
      {
        brake: {
          pwm: { chip: "sim", channel: 0 },
          points: [
            [10, 1000],
            [100, 2000],
          ],
        },
      },
      /points of brake go from 10 to 100; 0 to 100 is needed/,
    ],
    [{ can: { ...can, interface: "can7" } }, /can7/],
  ];
  for (const [options, message] of cases) {
    const context = createFakeDeviceContext();
    await t.rejects(openDevice(gcbafDriver, context, { ...ON_CAN, fuel: { line: "GPIO5" }, ...options }), { message });
    t.same(context.board.world.claimed(), []);
  }
});

t.test("an interface that is not up does not open", async (t) => {
  const context = createFakeDeviceContext();
  context.board.world.can("can0").setState("bus-off");
  await expectCode(t, "IO", ["can0", "bus-off"], () => openDevice(gcbafDriver, context, ON_CAN));
  t.same(context.board.world.claimed(), []);
});

t.test("it claims its frames, not the interface", (t) => {
  const claims = gcbafDriver.claims(gcbafDriver.options.parse({ ...ON_CAN, can: ON_CAN["can"] }));
  t.same(claims, ["can can0:0x2e4", "can can0:0x18ff1234 extended"]);
  t.end();
});
