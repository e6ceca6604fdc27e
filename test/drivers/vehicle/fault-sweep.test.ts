import t, { type Test } from "tap";

import { AgentError } from "../../../agent/contract/errors.ts";
import { callDevice, createFakeDeviceContext, openDevice, type FakeDeviceContext } from "../../helpers/fake-device-context.ts";
import { expectCode } from "../../contract/board.ts";
import { vehicle } from "../../../drivers/vehicle/index.ts";
import type { Device, Driver } from "../../../agent/contract/device.ts";
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

/** Each kind of vehicle: its options, what is streamed to it, and how many operations of all kinds that takes at the least. */
const SUBJECTS: readonly [
  driver: string,
  what: string,
  options: Record<string, unknown>,
  stream: [string, Record<string, unknown>],
  operations: number,
][] = [
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

function driverNamed(name: string): Driver {
  const driver = vehicle.drivers.find((candidate) => candidate.name === name);
  if (driver === undefined) throw new Error(`no driver ${name}`);
  return driver;
}

/** Opens, arms, drives for a moment, goes safe, closes, whatever failed before. Returns the first error, thrown or reported. */
async function live(t: Test, context: FakeDeviceContext, [name, , options, [command, args]]: (typeof SUBJECTS)[number]): Promise<unknown> {
  const errors: unknown[] = [];
  const attempt = async (run: () => unknown): Promise<void> => {
    try {
      await run();
    } catch (error) {
      errors.push(error);
    }
  };
  let device: Device | undefined;
  await attempt(async () => {
    device = await openDevice(driverNamed(name), context, options);
  });
  if (device === undefined) {
    t.same(context.board.world.claimed(), [], "what did not open keeps nothing");
    return errors[0];
  }
  const opened = device;
  const stream = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      try {
        await callDevice(opened, command, args);
      } catch (error) {
        if (!(error instanceof AgentError && error.code === "NOT_READY")) throw error;
      }
      await context.clock.advance(50);
    }
  };
  await attempt(() => stream(45));
  await attempt(() => callDevice(opened, "arm"));
  await attempt(() => stream(3));
  await attempt(() => opened.failsafe?.("safe"));
  await context.clock.advance(50);
  await attempt(() => opened.failsafe?.("off"));
  await attempt(() => opened.close());
  await context.clock.advance(1000);
  return errors[0] ?? context.faults[0];
}

for (const subject of SUBJECTS) {
  const [name, what, , , operations] = subject;
  t.test(`${name} ${what}: any one operation may fail, the error shows and no port is kept`, async (t) => {
    let swept = 0;
    for (const operation of OPERATIONS) {
      for (let nth = 1; ; nth++) {
        const context = createFakeDeviceContext({ id: "car" });
        const { world } = context.board;
        world.failNth(operation, nth);
        // A transfer that fails is repeated once.
        if (operation === "i2cWrite") world.failNth(operation, nth + 1);
        const error = await live(t, context, subject);
        t.same(world.claimed(), []);
        t.equal(context.clock.pending(), 0, `${operation} ${nth}: timers left`);
        if (world.pendingFailures() > 0) {
          t.equal(error, undefined, `${operation} ${nth} does not happen`);
          break;
        }
        t.ok(error instanceof AgentError && error.code === "IO", `${operation} ${nth}: ${String(error)}`);
        swept += 1;
      }
    }
    t.ok(swept >= operations, `${swept} operations`);
  });
}

t.test("a device whose variables have no room gives its ports back", async (t) => {
  for (const [name, , options] of SUBJECTS) {
    const context = createFakeDeviceContext();
    const full: FakeDeviceContext = {
      ...context,
      publish() {
        throw new AgentError("FULL", "no slot is free for car.armed");
      },
    };
    await expectCode(t, "FULL", ["car.armed"], () => openDevice(driverNamed(name), full, options));
    t.same(context.board.world.claimed(), [], name);
  }
});

t.test("ports that do not open and do not close either report both", async (t) => {
  const context = createFakeDeviceContext();
  const { world } = context.board;
  world.failNth("openPwm", 2);
  world.failNth("close", 1);
  await expectCode(t, "IO", ["openPwm", "giving the ports back failed too", "close"], () =>
    openDevice(driverNamed("gcbaf"), context, {
      accelerator: { pwm: { chip: "sim", channel: 0 } },
      brake: { pwm: { chip: "sim", channel: 1 } },
    }),
  );
  t.same(world.claimed(), []);
});
