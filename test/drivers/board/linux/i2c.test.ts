// The Linux side of I2C with folders that stand for /dev and /sys, and the kernel's call answered by the test.
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";

import { createFakeLog } from "../../../helpers/fake-log.ts";
import { createLinuxI2c, type I2cBackend } from "../../../../drivers/board/linux/i2c.ts";
import { expectCode } from "../../../contract/board.ts";
import { loadLibc, type Libc } from "../../../../drivers/board/linux/libc.ts";
import type { I2cTiming } from "../../../../drivers/board/i2c-queue.ts";

const libc = await loadLibc();

// linux/errno.h.
const ENXIO = 6;
const EIO = 5;
const EAGAIN = 11;
const EBUSY = 16;
const EOPNOTSUPP = 95;
const ETIMEDOUT = 110;
const EREMOTEIO = 121;

/** Where a byte of the data lies in the structure of one transfer. */
const DATA_AT = 16;

interface Setup {
  readonly buses?: Readonly<Record<number, string>>;
  /** Answers a transfer: 0, or an error number. */
  readonly answer?: (structure: Buffer) => number | Promise<number>;
  /** Whether nobody else has the address. */
  readonly free?: boolean;
  readonly timing?: I2cTiming;
  readonly backend?: I2cBackend;
  readonly slaveErrno?: number;
}

function setUp(t: Test, setup: Setup) {
  const folder = t.testdir({ dev: {}, sys: { bus: { i2c: { devices: {}, drivers: { bme280: {} } } } }, proc: {} });
  const roots = { dev: join(folder, "dev"), sys: join(folder, "sys"), proc: join(folder, "proc") };
  for (const [number, name] of Object.entries(setup.buses ?? { 1: "bcm2835 (i2c@7e804000)" })) {
    writeFileSync(join(roots.dev, `i2c-${number}`), "");
    mkdirSync(join(roots.sys, "bus/i2c/devices", `i2c-${number}`));
    if (name !== "") writeFileSync(join(roots.sys, "bus/i2c/devices", `i2c-${number}`, "name"), `${name}\n`);
  }
  const fake: Libc = {
    ...libc,
    ioctlNumber: () => setup.slaveErrno ?? 0,
    ioctlAsync: async (_fd, _request, structure) => (setup.answer ?? (() => 0))(structure),
    lockByte: () => setup.free ?? true,
  };
  const log = createFakeLog();
  const i2c = createLinuxI2c({
    roots,
    log,
    timing: setup.timing ?? { limitMs: 1000, retries: 1 },
    backend: setup.backend ?? "ioctl",
    loadLibc: () => Promise.resolve(fake),
  });
  const open = (bus: number | string, address: number, repeatWrites = false) =>
    i2c.open("sensor", i2c.find({ bus, address }), repeatWrites);
  return { roots, i2c, open, log };
}

t.test("a bus is found by its number or its adapter's name, and its chips have one key", (t) => {
  const { i2c } = setUp(t, { buses: { 1: "bcm2835 (i2c@7e804000)", 20: "fef04500.i2c" } });
  t.match(i2c.find({ bus: 1, address: 0x40 }), { bus: 1, key: "i2c 1:0x40", device: "1-0040" });
  t.match(i2c.find({ bus: "fef04500.i2c", address: 8 }), { bus: 20, key: "i2c 20:0x08", device: "20-0008" });
  t.end();
});

t.test("a bus that is not there is UNKNOWN, with what there is, what may have been meant and what to do", async (t) => {
  const none = setUp(t, { buses: {} });
  await expectCode(t, "UNKNOWN", ["i2c bus 1", "none", "dtparam=i2c_arm=on", "modprobe i2c-dev"], () =>
    none.i2c.find({ bus: 1, address: 8 }),
  );
  const some = setUp(t, { buses: { 3: "fef04500.i2c", 4: "" } });
  await expectCode(t, "UNKNOWN", ["bus 1", "3 (fef04500.i2c), 4 (unnamed)"], () => some.i2c.find({ bus: 1, address: 8 }));
  await expectCode(t, "UNKNOWN", ["did you mean fef04500.i2c?"], () => some.i2c.find({ bus: "fef0450.i2c", address: 8 }));
  const twins = setUp(t, { buses: { 3: "mux", 5: "mux" } });
  await expectCode(t, "ARGUMENT", ["mux", "3, 5", "number"], () => twins.i2c.find({ bus: "mux", address: 8 }));
});

t.test("a chip a kernel driver has is IN_USE naming the driver, one another process has too", async (t) => {
  const { roots, open } = setUp(t, {});
  const device = join(roots.sys, "bus/i2c/devices/1-0076");
  mkdirSync(device);
  symlinkSync(join(roots.sys, "bus/i2c/drivers/bme280"), join(device, "driver"));
  await expectCode(t, "IN_USE", ["i2c 1:0x76", "bme280", "sensor"], () => open(1, 0x76));
  const held = setUp(t, { free: false });
  await expectCode(t, "IN_USE", ["i2c 1:0x76", "another process"], () => held.open(1, 0x76));
  const taken = setUp(t, { slaveErrno: EBUSY });
  await expectCode(t, "IN_USE", ["i2c 1:0x76", "a driver of the kernel"], () => taken.open(1, 0x76));
});

t.test("every error of the kernel is said in words", async (t) => {
  for (const [errno, code, words] of [
    [ENXIO, "IO", ["chip i2c 1:0x40 does not answer (ENXIO)", "wired and powered"]],
    [EREMOTEIO, "IO", ["does not answer (EREMOTEIO)"]],
    [EIO, "IO", ["does not answer (EIO)"]],
    [ETIMEDOUT, "TIMEOUT", ["i2c 1:0x40", "ETIMEDOUT", "held low"]],
    [EBUSY, "IN_USE", ["i2c 1:0x40"]],
    [EOPNOTSUPP, "NOT_READY", ["i2c 1:0x40", "bcm2835", "cannot do this transfer"]],
    [EAGAIN, "IO", ["i2c 1:0x40 cannot be reached: EAGAIN"]],
  ] as const) {
    const { open } = setUp(t, { answer: () => errno });
    const device = await open(1, 0x40);
    await expectCode(t, code, words, () => device.readByte(0));
    await expectCode(t, code, words, () => device.writeBlock(0, Uint8Array.of(1)));
    device.close();
  }
});

t.test("what is repeated: reads, and writes that may be", async (t) => {
  let failures = 0;
  const { open } = setUp(t, {
    answer(structure) {
      if (failures > 0) {
        failures -= 1;
        return EREMOTEIO;
      }
      structure[DATA_AT] = 42;
      return 0;
    },
  });
  const device = await open(1, 0x40);
  failures = 1;
  t.equal(await device.readByte(0), 42);
  failures = 2;
  await expectCode(t, "IO", ["EREMOTEIO"], () => device.readByte(0));
  failures = 1;
  await expectCode(t, "IO", ["EREMOTEIO"], () => device.writeByte(0, 1));
  device.close();
  const repeating = await open(1, 0x40, true);
  failures = 1;
  await repeating.writeByte(0, 1);
  t.equal(failures, 0);
  repeating.close();
});

t.test("a block of another length than asked for is an error", async (t) => {
  const { open } = setUp(t, {
    answer(structure) {
      structure[DATA_AT] = 3;
      return 0;
    },
  });
  const device = await open(1, 0x40);
  await expectCode(t, "IO", ["i2c 1:0x40", "3 bytes", "4"], () => device.readBlock(0, 4));
  t.same([...(await device.readBlock(0, 3))], [0, 0, 0]);
  device.close();
});

t.test("a bus that hangs times out by name, refuses the rest, and is used again once the call has ended", async (t) => {
  let hang: ((errno: number) => void) | undefined;
  const { open } = setUp(t, {
    timing: { limitMs: 20, retries: 1 },
    answer(structure) {
      // The register: only 0xee hangs.
      if (structure[1] !== 0xee) return 0;
      return new Promise((resolve) => {
        hang = resolve;
      });
    },
  });
  const device = await open(1, 0x40);
  const other = await open(1, 0x41);
  const waiting = device.readByte(0xee);
  const behind = other.readByte(0);
  await Promise.all([
    expectCode(t, "TIMEOUT", ["i2c 1:0x40", "20 ms"], () => waiting),
    expectCode(t, "TIMEOUT", ["i2c 1:0x41", "i2c 1:0x40"], () => behind),
  ]);
  await expectCode(t, "TIMEOUT", ["i2c 1:0x41", "i2c 1:0x40"], () => other.readByte(0));
  // Closed while the kernel still has its descriptor: given back when the call ends.
  device.close();
  hang?.(ETIMEDOUT);
  await new Promise(setImmediate);
  await other.writeByte(0, 1);
  await expectCode(t, "IO", ["closed"], () => device.readByte(0));
  other.close();
});
