import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import t from "tap";
import type { Test } from "tap";

import * as world from "./world.ts";

/** The tools of libgpiod 1 and 2 do the same and are told so differently. */
const gpiodIsOld = execFileSync("gpioset", ["--version"], { encoding: "utf8" }).includes("v1.");

function start(test: Test, program: string, args: readonly string[]): ChildProcess {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  test.teardown(() => child.kill());
  return child;
}

/** Holds a line as an output until it is stopped, without any code of the agent. */
function gpioset(test: Test, line: string, high: boolean): () => Promise<void> {
  const { chip, offset } = world.locate(line);
  const setting = `${offset}=${high ? 1 : 0}`;
  const child = start(test, "gpioset", gpiodIsOld ? ["--mode=signal", chip.name, setting] : ["-c", chip.name, setting]);
  return async () => {
    const ended = once(child, "exit");
    child.kill();
    await ended;
  };
}

function gpioget(line: string): string {
  const { chip, offset } = world.locate(line);
  const args = gpiodIsOld ? [chip.name, String(offset)] : ["--numeric", "-c", chip.name, String(offset)];
  return execFileSync("gpioget", args, { encoding: "utf8" }).trim();
}

t.test("the board says what it is in the device tree", async (t) => {
  t.equal(readFileSync("/proc/device-tree/model", "utf8").replace("\0", ""), "Virtual board");
});

t.test("the header has 32 lines, 28 of them named, and the LED's chip is the second", async (t) => {
  t.match(world.chips(), [
    { label: "pinctrl-virtual", name: "gpiochip0", path: "/dev/gpiochip0", lines: 32 },
    { label: "virtual-leds", name: "gpiochip1", path: "/dev/gpiochip1", lines: 8 },
  ]);
  const names = world.chip("pinctrl-virtual").lineNames;
  t.same(
    [...names.entries()],
    Array.from({ length: 28 }, (_, offset) => [offset, `GPIO${offset}`]),
  );
  t.equal(world.sysfsBase("pinctrl-virtual"), 512, "numbered as on the kernels of today's Raspberry Pi OS");
});

t.test("a line or chip that is not there is an error that names it", async (t) => {
  t.throws(() => world.level("GPIO99"), { message: "no line GPIO99" });
  t.throws(() => world.level("pinctrl-other:3"), { message: /no chip pinctrl-other among pinctrl-virtual/ });
});

t.test("the world sees the level a program drives, who holds the line, and the pull once it is given back", async (t) => {
  t.equal(world.level("GPIO17"), false);
  t.equal(world.holder("GPIO17"), undefined);
  const giveBack = gpioset(t, "GPIO17", true);
  await world.levelBecomes("GPIO17", true);
  t.equal(world.level("pinctrl-virtual:17"), true, "by chip and offset too");
  t.equal(world.holder("GPIO17"), "gpioset");
  t.equal(world.level("GPIO16"), false, "its neighbour is left alone");
  await giveBack();
  await world.levelBecomes("GPIO17", false);
  t.equal(world.holder("GPIO17"), undefined);
});

t.test("a program reads what the world drives", async (t) => {
  t.teardown(() => world.drive("GPIO4", false));
  t.equal(gpioget("GPIO4"), "0");
  world.drive("GPIO4", true);
  t.equal(gpioget("GPIO4"), "1");
  world.drive("GPIO4", false);
  t.equal(gpioget("GPIO4"), "0");
});

t.test("every edge the world drives arrives, in order, with the kernel's time", async (t) => {
  t.teardown(() => world.drive("GPIO5", false));
  const { chip, offset } = world.locate("GPIO5");
  const format = gpiodIsOld ? "%e %s.%n" : "%e %S";
  const where = gpiodIsOld ? [chip.name, String(offset)] : ["-c", chip.name, String(offset)];
  // Unbuffered, so that each edge is seen before the next is driven: two within one tick of the kernel would be one, or none.
  const monitor = start(t, "stdbuf", ["--output=L", "gpiomon", "--num-events=4", `--format=${format}`, ...where]);
  await world.until("gpiomon has the interrupt", () => readFileSync("/proc/interrupts", "utf8").includes("gpiomon"));
  const events: string[][] = [];
  if (monitor.stdout !== null) createInterface({ input: monitor.stdout }).on("line", (line) => events.push(line.split(" ")));
  const ended = once(monitor, "close");
  for (const high of [true, false, true, false]) {
    const before = events.length;
    world.drive("GPIO5", high);
    await world.until(`gpiomon prints edge ${before + 1}`, () => events.length === before + 1);
  }
  t.same(await ended, [0, null]);
  const rising = events.map(([edge]) => edge === "1");
  t.same(rising, [true, false, true, false]);
  // Seconds and nanoseconds; old gpiomon leaves out the zeros between.
  const timesNs = events.map(([, time = ""]) => time.split(".").map(BigInt)).map(([s = 0n, ns = 0n]) => s * 1_000_000_000n + ns);
  t.ok(
    timesNs.every((timeNs, i) => timeNs > (timesNs[i - 1] ?? 0n)),
    `times rise: ${timesNs.join(" ")}`,
  );
});

t.test("the kernel's LED driver holds the line of the LED and drives it", async (t) => {
  const led = "/sys/class/leds/virgo:green:act";
  t.equal(world.holder("ACT_LED"), "virgo:green:act");
  writeFileSync(join(led, "brightness"), "1");
  t.equal(world.level("virtual-leds:1"), true);
  writeFileSync(join(led, "brightness"), "0");
  t.equal(world.level("virtual-leds:1"), false);
});

t.test("a chip made by a test is there with its names, and gone when it is removed", async (t) => {
  const remove = world.createChip({ label: "expander", lines: 4, lineNames: { 2: "PUMP" } });
  t.match(world.chip("expander"), { name: "gpiochip2", lines: 4 });
  t.same(world.locate("PUMP").offset, 2);
  const giveBack = gpioset(t, "PUMP", true);
  await world.levelBecomes("expander:2", true);
  await giveBack();
  remove();
  t.throws(() => world.chip("expander"), { message: /no chip expander/ });
  t.notOk(existsSync("/dev/gpiochip2"));
});

t.test("a chip put before the others changes their numbers and bases, not their labels and names", async (t) => {
  const restore = world.renumber({ label: "newcomer", lines: 16 });
  t.same(
    world.chips().map(({ label, name }) => [label, name]),
    [
      ["newcomer", "gpiochip0"],
      ["pinctrl-virtual", "gpiochip1"],
      ["virtual-leds", "gpiochip2"],
    ],
  );
  t.equal(world.sysfsBase("pinctrl-virtual"), 528);
  const giveBack = gpioset(t, "GPIO17", true);
  await world.levelBecomes("GPIO17", true);
  t.equal(world.level("pinctrl-virtual:17"), true);
  t.equal(world.level("newcomer:0"), false);
  await giveBack();
  restore();
  t.same(
    world.chips().map(({ label, name }) => [label, name]),
    [
      ["pinctrl-virtual", "gpiochip0"],
      ["virtual-leds", "gpiochip1"],
    ],
  );
  t.equal(world.sysfsBase("pinctrl-virtual"), 512);
  t.equal(world.holder("ACT_LED"), "virgo:green:act", "the LED is back on its line");
});

t.test("the PWM chip's registers hold what is written to its channels in sysfs", async (t) => {
  world.loadI2cBus([0x40]);
  const pwm = world.addPwmChip(0x40);
  t.equal(pwm.chip, "0-0040");
  t.equal(pwm.folder, "/sys/class/pwm/pwmchip0");
  t.equal(readFileSync(join(pwm.folder, "npwm"), "utf8").trim(), "17");
  writeFileSync(join(pwm.folder, "export"), "2");
  const channel = join(pwm.folder, "pwm2");
  writeFileSync(join(channel, "period"), "20000000");
  writeFileSync(join(channel, "duty_cycle"), "1500000");
  writeFileSync(join(channel, "enable"), "1");
  t.equal(pwm.register(0x10) + (pwm.register(0x11) << 8), 0x0134, "1.5 ms of 20 ms: a servo's middle");
  t.equal(pwm.onTicks(2), 0x0134);
  writeFileSync(join(channel, "duty_cycle"), "20000000");
  t.equal(pwm.onTicks(2), 4096);
  writeFileSync(join(channel, "duty_cycle"), "0");
  t.equal(pwm.onTicks(2), 0);
  writeFileSync(join(channel, "enable"), "0");
  t.equal(pwm.onTicks(2), 0);
});
