// The kernel's own PCA9685 driver on a simulated I2C bus: what the registers say after each step.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";

import { createSystemClock } from "../../agent/clock.ts";
import { createLinuxBoard } from "../../drivers/board/linux/linux-board.ts";
import { expectCode } from "../contract/board.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import * as world from "./world.ts";

const SERVO_PERIOD_NS = 20_000_000;
/** OFF register of channel 0, low and high byte (PCA9685 data sheet, 7.3.3). */
const OFF_LOW = 0x08;
const OFF_HIGH = 0x09;

world.loadI2cBus([0x40, 0x41]);
const pwm = world.addPwmChip(0x40);
const other = world.addPwmChip(0x41);
const board = await createLinuxBoard({ clock: createSystemClock(), log: createFakeLog() });
t.teardown(() => board.close());

t.test("a servo's 1.5 ms of 20 ms are 308 of 4096 ticks in the chip", async (t) => {
  const servo = await board.openPwm("servo", { chip: pwm.chip, channel: 0 }, SERVO_PERIOD_NS);
  t.equal(pwm.onTicks(0), 0, "no pulse until the first command");
  await servo.write(1.5 / 20);
  t.equal((pwm.register(OFF_HIGH) << 8) | pwm.register(OFF_LOW), 0x0134);
  t.equal(pwm.onTicks(0), 308);
  await servo.close();
  t.equal(pwm.onTicks(0), 0);
  t.notOk(existsSync(join(pwm.folder, "pwm0")), "given back");
});

t.test("channels that share a chip share its period, and a second one is refused by name", async (t) => {
  const servo = await board.openPwm("servo", { chip: pwm.chip, channel: 0 }, SERVO_PERIOD_NS);
  const second = await board.openPwm("lamp", { chip: pwm.chip, channel: 1 }, SERVO_PERIOD_NS);
  await expectCode(t, "IN_USE", [`pwm ${pwm.chip}:2`, "1000000 ns", "share one period"], () =>
    board.openPwm("fan", { chip: pwm.chip, channel: 2 }, 1_000_000),
  );
  t.notOk(existsSync(join(pwm.folder, "pwm2")), "given back");
  await servo.write(0.1);
  await second.write(0.9);
  t.same([pwm.onTicks(0), pwm.onTicks(1)], [410, 3687]);
  const apart = await board.openPwm("fan", { chip: other.chip, channel: 2 }, 1_000_000);
  await apart.write(0.5);
  t.equal(other.onTicks(2), 2048, "another chip has a period of its own");
  for (const output of [servo, second, apart]) await output.close();
});

t.test("a period the chip cannot do is ARGUMENT", async (t) => {
  for (const periodNs of [1000, 1_000_000_000]) {
    await expectCode(t, "ARGUMENT", [`pwm ${pwm.chip}:0`, `${periodNs} ns`], () =>
      board.openPwm("servo", { chip: pwm.chip, channel: 0 }, periodNs),
    );
  }
  t.notOk(existsSync(join(pwm.folder, "pwm0")));
});

t.test("two chips of one kind are told apart by their devices", async (t) => {
  await expectCode(t, "ARGUMENT", ["pca9685", pwm.chip, other.chip], () =>
    board.openPwm("servo", { chip: "pca9685", channel: 0 }, SERVO_PERIOD_NS),
  );
});

t.test("a channel left on by somebody who died is taken over at duty 0", async (t) => {
  const folder = join(pwm.folder, "pwm5");
  writeFileSync(join(pwm.folder, "export"), "5");
  for (const [name, text] of [
    ["period", String(SERVO_PERIOD_NS)],
    ["duty_cycle", "15000000"],
    ["enable", "1"],
  ] as const) {
    writeFileSync(join(folder, name), text);
  }
  t.equal(pwm.onTicks(5), 3072);
  const output = await board.openPwm("lamp", { chip: pwm.chip, channel: 5 }, 10_000_000);
  t.equal(pwm.onTicks(5), 0);
  t.equal(readFileSync(join(folder, "period"), "utf8"), "10000000\n");
  await output.write(1);
  t.equal(pwm.onTicks(5), 4096);
  await output.close();
  t.equal(pwm.onTicks(5), 0);
});
