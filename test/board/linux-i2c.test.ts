// I2C and PCA9685 channels on the kernel's simulated bus, through the package i2c-bus and through the kernel's own call, which threads use.
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { Worker } from "node:worker_threads";
import t from "tap";

import { createSystemClock } from "../../agent/clock.ts";
import { createLinuxBoard } from "../../drivers/board/linux/linux-board.ts";
import { boardDefinitionSchema } from "../../agent/contract/board-definition.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { expectCode } from "../contract/board.ts";
import { i2cContract } from "../contract/i2c.ts";
import { pca9685Contract } from "../contract/pca9685.ts";
import * as world from "./world.ts";
import type { I2cBackend } from "../../drivers/board/linux/i2c.ts";

const SENSOR = 0x48;
const PWM = 0x41;
const KERNELS = 0x40;
const ABSENT = 0x50;
const SERVO_PERIOD_NS = 20_000_000;

/** This board's one processor may be somebody else's for a while; what times out is tested elsewhere. */
const definition = boardDefinitionSchema.parse({ name: "virtual", i2c: { limitMs: 5000 } });

world.loadI2cBus([KERNELS, PWM, SENSOR]);
const kernels = world.addPwmChip(KERNELS);

function open(i2c?: I2cBackend) {
  return createLinuxBoard({ clock: createSystemClock(), definition, log: createFakeLog(), i2c });
}

for (const backend of ["i2c-bus", "ioctl"] as const) {
  t.test(`the contract of I2C through ${backend}`, async (t) => {
    i2cContract(t, {
      open: () => open(backend),
      bus: 0,
      alias: "SMBus stub driver",
      address: SENSOR,
      absent: ABSENT,
      wordsAreBytes: false,
    });
  });

  t.test(`the contract of PCA9685 channels through ${backend}`, async (t) => {
    const chip = world.stubChip(PWM);
    pca9685Contract(t, {
      async open() {
        chip.clear();
        return {
          board: await open(backend),
          world: {
            ticks: (channel) => chip.onTicks(channel),
            register: (register) => chip.register(register),
            enableLevel: () => world.level("GPIO5"),
            leaveRunning() {
              for (const [register, value] of [
                [0xfe, 0x79],
                [0x00, 0x20],
                [0x06 + 4 * 5 + 2, 0],
                [0x06 + 4 * 5 + 3, 8],
              ] as const) {
                chip.setRegister(register, value);
              }
            },
          },
        };
      },
      bus: 0,
      address: PWM,
      absent: ABSENT,
      enableLine: "GPIO5",
      allChannelsRegister: false,
    });
  });
}

t.test("a chip the kernel drives is named with its driver, and its PWM channels go through that driver", async (t) => {
  const board = await open();
  t.teardown(() => board.close());
  await expectCode(t, "IN_USE", ["i2c 0:0x40", "pca9685"], () => board.openI2c("sensor", { bus: 0, address: KERNELS }));
  const pca9685 = { bus: "SMBus stub driver", address: KERNELS, channel: 4 };
  const output = await board.openPwm("servo", { pca9685 }, SERVO_PERIOD_NS);
  await output.write(0.5);
  t.equal(kernels.onTicks(4), 2048);
  t.ok(existsSync(`${kernels.folder}/pwm4`), "in sysfs");
  await expectCode(t, "IN_USE", ["servo"], () => board.openPwm("lamp", { pca9685: { ...pca9685, bus: 0 } }, SERVO_PERIOD_NS));
  await expectCode(t, "IN_USE", ["servo"], () => board.openPwm("lamp", { chip: kernels.chip, channel: 4 }, SERVO_PERIOD_NS));
  await expectCode(t, "ARGUMENT", ["GPIO5", "device tree"], () =>
    board.openPwm("lamp", { pca9685: { ...pca9685, channel: 5, outputEnable: "GPIO5" } }, SERVO_PERIOD_NS),
  );
  await output.close();
  t.equal(kernels.onTicks(4), 0);
});

t.test("a chip another board of this machine has open is IN_USE, until that one is gone", async (t) => {
  const first = await open("i2c-bus");
  const second = await open("ioctl");
  t.teardown(() => second.close());
  const servo = await first.openPwm("servo", { pca9685: { bus: 0, address: PWM, channel: 0 } }, SERVO_PERIOD_NS);
  await servo.write(0.5);
  await expectCode(t, "IN_USE", ["i2c 0:0x41", "another process or thread"], () =>
    second.openPwm("lamp", { pca9685: { bus: 0, address: PWM, channel: 1 } }, SERVO_PERIOD_NS),
  );
  const sensor = await second.openI2c("sensor", { bus: 0, address: SENSOR });
  await sensor.writeByte(0, 1);
  t.equal(world.stubChip(PWM).onTicks(0), 2048, "its pulses go on");
  await first.close();
  const lamp = await second.openPwm("lamp", { pca9685: { bus: 0, address: PWM, channel: 1 } }, SERVO_PERIOD_NS);
  await lamp.write(1);
  t.equal(world.stubChip(PWM).onTicks(1), 4096);
});

t.test("two threads of one process have chips of one bus open, and the chips of a thread that died can be opened again", async (t) => {
  const board = await open();
  t.teardown(() => board.close());
  const sensor = await board.openI2c("sensor", { bus: 0, address: SENSOR });
  await sensor.writeByte(0x20, 1);
  const thread = new Worker(new URL("i2c-thread.mjs", import.meta.url), { workerData: { address: PWM, sensor: SENSOR } });
  const [held] = (await once(thread, "message")) as [string];
  t.match(held, /i2c 0:0x48 is in use by another process or thread/);
  t.equal(world.stubChip(PWM).onTicks(7), 2048);
  await expectCode(t, "IN_USE", ["i2c 0:0x41"], () => board.openI2c("other", { bus: 0, address: PWM }));
  t.equal(await sensor.readByte(0x20), 1);
  await thread.terminate();
  t.equal(world.stubChip(PWM).onTicks(7), 2048, "nobody told the chip");
  await board.openPwm("servo", { pca9685: { bus: 0, address: PWM, channel: 0 } }, SERVO_PERIOD_NS);
  t.equal(world.stubChip(PWM).onTicks(7), 0, "the next one does, before anything else");
});

t.test("descriptors of closed boards are given back", async (t) => {
  const count = (): number => readdirSync("/proc/self/fd").length;
  async function live(): Promise<void> {
    const board = await open();
    const servo = await board.openPwm("servo", { pca9685: { bus: 0, address: PWM, channel: 0 } }, SERVO_PERIOD_NS);
    const sensor = await board.openI2c("sensor", { bus: 0, address: SENSOR });
    await Promise.all([servo.write(0.5), sensor.readByte(0)]);
    await board.close();
  }
  await live();
  const before = count();
  for (let i = 0; i < 5; i++) await live();
  t.equal(count(), before);
});
