import t from "tap";

import { callDevice, createFakeDeviceContext, openDevice, type FakeDeviceContext } from "../../helpers/fake-device-context.ts";
import { createRegisterChip } from "../../../drivers/board/sim/i2c.ts";
import { createWordChip } from "./word-chip.ts";
import { driverNamed, live, openWithoutRoom, sweepFaults } from "../faults.ts";
import { expectCode } from "../../contract/board.ts";
import { gpio } from "../../../drivers/gpio/index.ts";
import type { SimOperation } from "../../../drivers/board/sim/faults.ts";

const OPERATIONS: readonly SimOperation[] = [
  "openOutput",
  "openInput",
  "openPwm",
  "openI2c",
  "write",
  "pwmWrite",
  "i2cRead",
  "i2cWrite",
  "read",
  "close",
];

const CHANNEL = { chip: "sim", channel: 0 };

const OTHER_CHANNEL = { chip: "sim", channel: 1 };

/** Each kind of device: its options, what is done with it, and how many operations of all kinds that takes. */
const SUBJECTS: readonly [
  driver: string,
  options: Record<string, unknown>,
  calls: readonly [string, Record<string, unknown>?][],
  operations: number,
][] = [
  ["light", { line: "GPIO17", beam: { low: 30, high: 100 } }, [["on"], ["beam", { beam: "low" }], ["off"]], 6],
  ["light", { lines: { low: "GPIO5", high: "GPIO6" }, safe: "on" }, [["on"], ["beam", { beam: "low" }], ["off"]], 6],
  ["light", { pwm: { chip: "sim", channel: 0 }, safe: 20 }, [["on"], ["brightness", { percent: 50 }], ["off"]], 7],
  ["relay", { line: "GPIO17", activeLow: true }, [["on"], ["off"], ["pulse", { durationMs: 10 }]], 6],
  ["button", { line: "GPIO4" }, [["state"]], 4],
  ["switch", {}, [["on"], ["state"]], 0],
  ["servo", { pwm: CHANNEL }, [["angle", { angleDeg: 10 }], ["angle", { angleDeg: 20 }], ["detach"]], 6],
  ["servo", { pwm: CHANNEL, slewDegPerS: 100, startDeg: 0, safe: { angleDeg: 0 } }, [["angle", { angleDeg: 10 }]], 4],
  [
    "pan-tilt",
    { pan: { pwm: CHANNEL }, tilt: { pwm: OTHER_CHANNEL } },
    [["look", { panDeg: 1, tiltDeg: 2 }], ["pan", { panDeg: 3 }], ["detach"]],
    10,
  ],
  ["motor", { in1: "GPIO5", in2: "GPIO6", pwm: CHANNEL, standby: "GPIO7", brakeInputs: "high" }, [["coast"], ["brake"], ["coast"]], 20],
  ["motor", { forward: CHANNEL, reverse: OTHER_CHANNEL, brakeInputs: "high", safe: "brake" }, [["brake"], ["coast"]], 14],
  ["dimmer", { pwm: CHANNEL, safe: 20 }, [["on"], ["brightness", { percent: 50 }], ["off"]], 7],
  ["ultrasonic", { trigger: "GPIO23", echo: "GPIO24" }, [["state"]], 4],
  [
    "expander",
    { chip: "pca9534", bus: 1, address: 0x20, outputs: { pump: { line: 0 } }, interrupt: "GPIO4" },
    [["set", { name: "pump", on: true }], ["state"]],
    18,
  ],
  ["ina219", { bus: 1, address: 0x41 }, [["state"]], 6],
  ["compass", { bus: 1 }, [["state"]], 6],
];

/** With the chips that the subjects talk to. */
function createContext(): FakeDeviceContext {
  const context = createFakeDeviceContext();
  const { i2c } = context.board.world;
  i2c.attach(1, 0x20, createRegisterChip());
  i2c.attach(1, 0x41, createWordChip());
  i2c.attach(1, 0x0d, createRegisterChip());
  return context;
}

for (const [name, options, calls, operations] of SUBJECTS) {
  t.test(`${name} ${JSON.stringify(options)}: any one operation may fail, the error shows and no port is kept`, async (t) => {
    const swept = await sweepFaults(t, {
      operations: OPERATIONS,
      repeated: "i2cRead",
      createContext,
      live: (context) =>
        live(t, context, driverNamed(gpio, name), options, async (device, attempt) => {
          for (const [fn, args] of calls) await attempt(() => callDevice(device, fn, args));
          await attempt(() => device.failsafe?.("safe"));
          await attempt(() => device.close());
        }),
    });
    t.equal(swept, operations);
  });
}

t.test("a port that does not open and does not close either reports both", async (t) => {
  const context = createFakeDeviceContext();
  const { world } = context.board;
  world.failNth("pwmWrite", 1);
  world.failNth("close", 1);
  await expectCode(t, "IO", ["pwmWrite", "giving the port back failed too", "close"], () =>
    openDevice(driverNamed(gpio, "light"), context, { pwm: { chip: "sim", channel: 0 }, safe: 10 }),
  );
  t.same(world.claimed(), []);
});

t.test("a device whose variables have no room gives its port back", async (t) => {
  for (const [name, options] of SUBJECTS) await openWithoutRoom(t, createContext(), driverNamed(gpio, name), options);
});
