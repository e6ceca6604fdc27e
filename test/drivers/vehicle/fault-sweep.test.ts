import t from "tap";

import { AgentError } from "../../../agent/contract/errors.ts";
import { callDevice, createFakeDeviceContext, openDevice, type FakeDeviceContext } from "../../helpers/fake-device-context.ts";
import { driverNamed, live, openWithoutRoom, sweepFaults, type Attempt } from "../faults.ts";
import { expectCode } from "../../contract/board.ts";
import { vehicle } from "../../../drivers/vehicle/index.ts";
import type { Device } from "../../../agent/contract/device.ts";
import type { SimOperation } from "../../../drivers/board/sim/faults.ts";

const OPERATIONS: readonly SimOperation[] = [
  "openOutput",
  "openPwm",
  "openI2c",
  "openCan",
  "write",
  "pwmWrite",
  "i2cWrite",
  "canSend",
  "close",
];

const FRAMES = {
  pedals: { id: 0x100, length: 4, signals: { brake: { startBit: 0, lengthBits: 8 }, angle: { startBit: 8, lengthBits: 8, signed: true } } },
};

type Command = readonly [name: string, args: Record<string, unknown>];

/** Each kind of vehicle: its options, what is streamed to it, and how many operations of all kinds that takes at the least. */
const SUBJECTS: readonly [driver: string, what: string, options: Record<string, unknown>, stream: Command, operations: number][] = [
  [
    "gcbaf",
    "on pulses and a line",
    {
      accelerator: { pwm: { chip: "sim", channel: 0 } },
      brake: { pwm: { chip: "sim", channel: 1 } },
      gear: { pwm: { chip: "sim", channel: 2 }, positions: { P: 1000, N: 1500 } },
      fuel: { line: "GPIO5" },
    },
    ["drive", { acceleratorPercent: 0, brakePercent: 50 }],
    39,
  ],
  [
    "gcbaf",
    "on an I2C chip and CAN",
    {
      accelerator: { pwm: { pca9685: { bus: 1, channel: 0 } } },
      brake: { can: { frame: "pedals", signal: "brake" } },
      can: { interface: "can0", frames: FRAMES },
    },
    ["drive", { acceleratorPercent: 0, brakePercent: 50 }],
    30,
  ],
  ["steering", "on pulses", { angle: { pwm: { chip: "sim", channel: 0 } } }, ["angle", { angleDeg: 10 }], 19],
  [
    "steering",
    "on CAN",
    { angle: { can: { frame: "pedals", signal: "angle" } }, can: { interface: "can0", frames: FRAMES } },
    ["angle", { angleDeg: 10 }],
    24,
  ],
];

/** Arms, drives for a moment, goes safe, closes. */
async function drive(context: FakeDeviceContext, device: Device, attempt: Attempt, [command, args]: Command): Promise<void> {
  const stream = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      try {
        await callDevice(device, command, args);
      } catch (error) {
        if (!(error instanceof AgentError && error.code === "NOT_READY")) throw error;
      }
      await context.clock.advance(50);
    }
  };
  await attempt(() => stream(45));
  await attempt(() => callDevice(device, "arm"));
  await attempt(() => stream(3));
  await attempt(() => device.failsafe?.("safe"));
  await context.clock.advance(50);
  await attempt(() => device.failsafe?.("off"));
  await attempt(() => device.close());
  await context.clock.advance(1000);
}

for (const [name, what, options, command, operations] of SUBJECTS) {
  t.test(`${name} ${what}: any one operation may fail, the error shows and no port is kept`, async (t) => {
    const swept = await sweepFaults(t, {
      operations: OPERATIONS,
      repeated: "i2cWrite",
      createContext: () => createFakeDeviceContext({ id: "car" }),
      live: async (context) => {
        const thrown = await live(t, context, driverNamed(vehicle, name), options, (device, attempt) =>
          drive(context, device, attempt, command),
        );
        return thrown ?? context.faults[0];
      },
    });
    t.ok(swept >= operations, `${swept} operations`);
  });
}

t.test("a device whose variables have no room gives its ports back", async (t) => {
  for (const [name, , options] of SUBJECTS)
    await openWithoutRoom(t, createFakeDeviceContext({ id: "car" }), driverNamed(vehicle, name), options);
});

t.test("ports that do not open and do not close either report both", async (t) => {
  const context = createFakeDeviceContext();
  const { world } = context.board;
  world.failNth("openPwm", 2);
  world.failNth("close", 1);
  await expectCode(t, "IO", ["openPwm", "giving the ports back failed too", "close"], () =>
    openDevice(driverNamed(vehicle, "gcbaf"), context, {
      accelerator: { pwm: { chip: "sim", channel: 0 } },
      brake: { pwm: { chip: "sim", channel: 1 } },
    }),
  );
  t.same(world.claimed(), []);
});
