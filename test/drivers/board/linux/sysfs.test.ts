// What is read from /sys, /dev and /proc, with folders in their place. What the kernel does with what is written there is test/board's matter.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import t from "tap";
import type { Test } from "tap";

import { boardDefinitionSchema, modelMatches } from "../../../../agent/contract/board-definition.ts";
import { chipPaths } from "../../../../drivers/board/linux/chips.ts";
import { createSystemClock } from "../../../../agent/clock.ts";
import { createLinuxBoard, readModel } from "../../../../drivers/board/linux/linux-board.ts";
import { findPwmChannel, openPwmChannel } from "../../../../drivers/board/linux/pwm-sysfs.ts";
import { consumerOf, readSysfsChips } from "../../../../drivers/board/linux/sysfs-chips.ts";
import { holderOf, waitForAccess, type Roots } from "../../../../drivers/board/linux/sysfs-file.ts";
import { expectCode } from "../../../contract/board.ts";
import { createFakeLog } from "../../../helpers/fake-log.ts";

interface Machine {
  readonly roots: Roots;
  file(path: string, content: string): string;
  folder(path: string): string;
  link(path: string, target: string): void;
}

/** An empty machine: its /dev, /sys and /proc are folders. */
function machine(t: Test): Machine {
  const root = t.testdir({ dev: {}, sys: {}, proc: {} });
  return {
    roots: { dev: join(root, "dev"), sys: join(root, "sys"), proc: join(root, "proc") },
    file(path, content) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), content);
      return join(root, path);
    },
    folder(path) {
      mkdirSync(join(root, path), { recursive: true });
      return join(root, path);
    },
    link(path, target) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      symlinkSync(join(root, target), join(root, path));
    },
  };
}

/** A chip of /sys/class/gpio that is a device of its own, as on the Raspberry Pi. */
function classChip(m: Machine, base: number, label: string, lines: number, node: Record<string, string>): void {
  const device = `sys/devices/platform/${label}`;
  m.file(`${device}/gpio/gpiochip${base}/label`, `${label}\n`);
  m.file(`${device}/gpio/gpiochip${base}/base`, `${base}\n`);
  m.file(`${device}/gpio/gpiochip${base}/ngpio`, `${lines}\n`);
  m.folder(`${device}/gpiochip0`);
  for (const [name, content] of Object.entries(node)) m.file(`${device}/of_node/${name}`, content);
  m.link(`${device}/gpio/gpiochip${base}/device`, device);
  m.link(`sys/class/gpio/gpiochip${base}`, `${device}/gpio/gpiochip${base}`);
}

t.test("sysfs chips are told by their label, with the names of the device tree, whatever their base", (t) => {
  const m = machine(t);
  classChip(m, 571, "pinctrl-rp1", 54, {
    compatible: "raspberrypi,rp1-gpio\0",
    "gpio-line-names": "ID_SDA\0ID_SCL\0GPIO2\0\0GPIO4\0",
  });
  classChip(m, 512, "gpio-brcmstb@107d508500", 32, { compatible: "brcm,bcm7445-gpio\0brcm,brcmstb-gpio\0" });
  m.file("sys/class/gpio/export", "");
  const chips = readSysfsChips(m.roots);
  t.match(
    [...chips].sort((a, b) => a.label.localeCompare(b.label)),
    [
      { label: "gpio-brcmstb@107d508500", lines: 32, lineNames: [], header: false },
      { label: "pinctrl-rp1", lines: 54, lineNames: ["ID_SDA", "ID_SCL", "GPIO2", "", "GPIO4"], header: true },
    ],
  );
  t.end();
});

t.test("of several banks of one device each gets the names of the node with its label, and none gets another's", (t) => {
  const m = machine(t);
  const device = "sys/devices/platform/soc:gpio-sim";
  for (const [bank, base, label] of [
    [0, 512, "pinctrl-virtual"],
    [1, 544, "virtual-leds"],
    [2, 552, "nameless"],
  ] as const) {
    m.file(`${device}/gpio/gpiochip${base}/label`, `${label}\n`);
    m.file(`${device}/gpio/gpiochip${base}/ngpio`, "8\n");
    m.link(`${device}/gpio/gpiochip${base}/device`, device);
    m.link(`sys/class/gpio/gpiochip${base}`, `${device}/gpio/gpiochip${base}`);
    m.file(`${device}/gpiochip${bank}/of_node/gpio-line-names`, `BANK${bank}\0`);
    if (label !== "nameless") m.file(`${device}/gpiochip${bank}/of_node/gpio-sim,label`, `${label}\0`);
  }
  const names = Object.fromEntries(readSysfsChips(m.roots).map(({ label, lineNames }) => [label, lineNames]));
  t.same(names, { "pinctrl-virtual": ["BANK0"], "virtual-leds": ["BANK1"], nameless: [] });
  t.end();
});

t.test("character devices are listed in the order of their numbers", (t) => {
  const m = machine(t);
  for (const name of ["gpiochip10", "gpiochip2", "gpiochip0", "gpiomem", "i2c-1"]) m.file(`dev/${name}`, "");
  t.same(
    chipPaths(m.roots).map((path) => path.slice(m.roots.dev.length)),
    ["/gpiochip0", "/gpiochip2", "/gpiochip10"],
  );
  t.same(chipPaths({ ...m.roots, dev: join(m.roots.dev, "none") }), []);
  t.end();
});

t.test("who holds a line is read from the kernel's debug file where that may be read", (t) => {
  const m = machine(t);
  t.equal(consumerOf(545, m.roots), undefined);
  m.file(
    "sys/kernel/debug/gpio",
    [
      "gpiochip0: GPIOs 512-543, parent: platform/soc:gpio-sim, pinctrl-virtual, can sleep:",
      " gpio-517 (GPIO5               |virgo lamp          ) out hi ",
      " gpio-518 (                    |pump                ) in  lo ",
      " gpio-519 (GPIO7               )",
      "",
    ].join("\n"),
  );
  t.equal(consumerOf(517, m.roots), "virgo lamp");
  t.equal(consumerOf(518, m.roots), "pump");
  t.equal(consumerOf(51, m.roots), undefined);
  t.end();
});

t.test("another process that has a file of a folder open is found and named", async (t) => {
  const folder = t.testdir({ value: "0", sub: {} });
  const roots = { dev: "/dev", sys: "/sys", proc: "/proc" };
  t.equal(holderOf(folder, roots), undefined);
  t.equal(holderOf(join(folder, "nothing"), roots), undefined);
  const holder = spawn("sh", ["-c", `exec 3<"$1"; echo open; read line`, "sh", join(folder, "value")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.teardown(() => holder.kill());
  await once(holder.stdout, "data");
  t.equal(holderOf(folder, roots), `sh (process ${String(holder.pid)})`);
  t.equal(holderOf(join(folder, "sub"), roots), undefined);
  holder.stdin.end();
  await once(holder, "exit");
  t.equal(holderOf(folder, roots), undefined);
});

t.test("files that are there already, or come a little later, can be waited for", async (t) => {
  const folder = t.testdir({ here: "" });
  t.equal(await waitForAccess([join(folder, "here")]), undefined);
  const waiting = waitForAccess([join(folder, "here"), join(folder, "later")]);
  setImmediate(() => writeFileSync(join(folder, "later"), ""));
  t.equal(await waiting, undefined);
  t.equal(await waitForAccess([join(folder, "here"), join(folder, "never")]), join(folder, "never"), "not for ever");
});

/** A PWM chip as the kernel shows it; `channels` are exported already. */
function pwmChip(m: Machine, number: number, device: string, npwm: number, more: Record<string, string> = {}): void {
  m.file(`sys/devices/platform/${device}/pwm/pwmchip${number}/npwm`, `${npwm}\n`);
  m.file(`sys/devices/platform/${device}/pwm/pwmchip${number}/export`, "");
  m.file(`sys/devices/platform/${device}/pwm/pwmchip${number}/unexport`, "");
  m.link(`sys/devices/platform/${device}/pwm/pwmchip${number}/device`, `sys/devices/platform/${device}`);
  m.link(`sys/class/pwm/pwmchip${number}`, `sys/devices/platform/${device}/pwm/pwmchip${number}`);
  for (const [name, content] of Object.entries(more)) m.file(`sys/devices/platform/${device}/pwm/pwmchip${number}/${name}`, content);
}

t.test("a PWM chip is found by its device's name, its node or its kind, never by number", async (t) => {
  const m = machine(t);
  pwmChip(m, 0, "1f00098000.pwm", 4);
  pwmChip(m, 2, "0-0040", 17);
  pwmChip(m, 6, "0-0041", 17);
  m.folder("sys/firmware/pwm@98000");
  m.link("sys/devices/platform/1f00098000.pwm/of_node", "sys/firmware/pwm@98000");
  for (const device of ["0-0040", "0-0041"]) m.file(`sys/devices/platform/${device}/name`, "pca9685\n");

  t.match(findPwmChannel({ chip: "1f00098000.pwm", channel: 2 }, {}, m.roots), { key: "pwm 1f00098000.pwm:2", channel: 2 });
  t.equal(findPwmChannel({ chip: "pwm@98000", channel: 2 }, {}, m.roots).key, "pwm 1f00098000.pwm:2");
  t.equal(findPwmChannel({ chip: "0-0041", channel: 0 }, {}, m.roots).chipFolder, join(m.roots.sys, "class/pwm/pwmchip6"));

  const aliases = { PWM0: { chip: "1f00098000.pwm", channel: 3 } };
  t.equal(findPwmChannel({ chip: "PWM0", channel: 0 }, aliases, m.roots).key, "pwm 1f00098000.pwm:3");
  await expectCode(t, "ARGUMENT", ["PWM0:1", "1f00098000.pwm:3"], () => findPwmChannel({ chip: "PWM0", channel: 1 }, aliases, m.roots));

  await expectCode(t, "ARGUMENT", ["pca9685", "0-0040", "0-0041"], () => findPwmChannel({ chip: "pca9685", channel: 0 }, {}, m.roots));
  await expectCode(t, "UNKNOWN", ["pwmchip0", "chips here"], () => findPwmChannel({ chip: "pwmchip0", channel: 0 }, {}, m.roots));
  await expectCode(t, "UNKNOWN", ["1f00098001.pwm", "did you mean 1f00098000.pwm?"], () =>
    findPwmChannel({ chip: "1f00098001.pwm", channel: 0 }, {}, m.roots),
  );
  await expectCode(t, "UNKNOWN", ["channel 4", "0 to 3"], () => findPwmChannel({ chip: "pwm@98000", channel: 4 }, {}, m.roots));
  await expectCode(t, "UNKNOWN", ["dtoverlay"], () => findPwmChannel({ chip: "x", channel: 0 }, {}, { ...m.roots, sys: m.roots.dev }));
});

t.test("a PWM channel left by somebody who died is taken over, and ends at 0, disabled and given back", async (t) => {
  const m = machine(t);
  const left = { "pwm1/period": "1000000\n", "pwm1/duty_cycle": "700000\n", "pwm1/enable": "1\n", "pwm1/polarity": "inversed\n" };
  pwmChip(m, 0, "1f00098000.pwm", 4, left);
  const found = findPwmChannel({ chip: "1f00098000.pwm", channel: 1 }, {}, m.roots);
  const state = (name: string): string => readFileSync(join(found.chipFolder, name), "utf8");
  // A file keeps what was longer; an attribute of the kernel does not.
  const duty = (): number => parseInt(state("pwm1/duty_cycle"), 10);

  for (const periodNs of [0, -1, 1.5, Number.NaN, 1e12]) {
    await expectCode(t, "ARGUMENT", ["pwm 1f00098000.pwm:1", String(periodNs)], () => openPwmChannel("lamp", found, periodNs, m.roots));
  }
  t.equal(state("pwm1/duty_cycle"), "700000\n", "nothing was changed by what was refused");

  const output = await openPwmChannel("lamp", found, 20_000_000, m.roots);
  t.same(
    ["period", "duty_cycle", "enable", "polarity"].map((name) => state(`pwm1/${name}`)),
    ["20000000", "0", "1", "normal"],
  );
  void output.write(0.075);
  t.equal(duty(), 1_500_000);
  t.equal(state("export"), "", "it was exported already");
  writeFileSync(join(found.chipFolder, "pwm1/duty_cycle"), "");
  await output.close();
  t.same([duty(), state("pwm1/enable"), state("unexport")], [0, "0", "1"]);
});

t.test("a PWM channel that cannot be exported is refused by name", async (t) => {
  const m = machine(t);
  pwmChip(m, 0, "1f00098000.pwm", 4);
  const found = findPwmChannel({ chip: "1f00098000.pwm", channel: 1 }, {}, m.roots);
  rmSync(join(found.chipFolder, "export"));
  mkdirSync(join(found.chipFolder, "export"));
  await expectCode(t, "IO", ["pwm 1f00098000.pwm:1"], () => openPwmChannel("lamp", found, 20_000_000, m.roots));
});

t.test("a machine without GPIO is NOT_READY and told about the simulated board", async (t) => {
  const m = machine(t);
  await expectCode(t, "NOT_READY", ["gpiochip", "class/gpio", "board: sim"], () =>
    createLinuxBoard({ clock: createSystemClock(), log: createFakeLog(), roots: m.roots }),
  );
  for (const gpio of ["cdev", "sysfs"] as const) {
    const definition = boardDefinitionSchema.parse({ name: "bare", gpio });
    const missing = gpio === "cdev" ? "gpiochip" : "class/gpio";
    await expectCode(t, "NOT_READY", [missing], () =>
      createLinuxBoard({ clock: createSystemClock(), definition, log: createFakeLog(), roots: m.roots }),
    );
  }
});

t.test("a device that is no GPIO chip is logged, and refused when it is all there is", async (t) => {
  const m = machine(t);
  m.file("dev/gpiochip0", "");
  const log = createFakeLog();
  await expectCode(t, "IO", ["gpiochip0 is no GPIO chip", "ENOTTY", "board: sim"], () =>
    createLinuxBoard({ clock: createSystemClock(), log, roots: m.roots }),
  );
  t.same(log.lines, ["warn a GPIO chip cannot be used"]);
});

t.test("sysfs is chosen where there is no character device, and the board says why", async (t) => {
  const m = machine(t);
  classChip(m, 512, "pinctrl-bcm2711", 58, { "gpio-line-names": "ID_SDA\0ID_SCL\0" });
  m.file("sys/class/gpio/export", "");
  m.file("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0");
  const board = await createLinuxBoard({ clock: createSystemClock(), log: createFakeLog(), roots: m.roots });
  t.match(board.describe(), {
    kind: "linux-sysfs",
    model: "Raspberry Pi 4 Model B Rev 1.4",
    why: /^sysfs because there is no GPIO character device.*chip pinctrl-bcm2711$/,
    chips: [{ label: "pinctrl-bcm2711", path: join(m.roots.sys, "class/gpio/gpiochip512"), lines: 58 }],
  });
  await expectCode(t, "UNKNOWN", ["ID_SDB", "did you mean ID_SDA?"], () => board.openOutput("lamp", { name: "ID_SDB" }, false));
  for (const pull of ["up", "down"] as const) {
    await expectCode(t, "ARGUMENT", ["line ID_SDA", `pull ${pull}`], () => board.openInput("button", { name: "ID_SDA" }, { pull }));
  }
  await expectCode(t, "ARGUMENT", ["line ID_SDA", "-1"], () => board.openInput("button", { name: "ID_SDA" }, { debounceUs: -1 }));
  await expectCode(t, "ARGUMENT", ["no lines"], () => board.openOutputs("lamp", [], []));
  await board.close();
});

t.test("a board file for another model is refused before anything opens", async (t) => {
  const m = machine(t);
  t.equal(readModel(m.roots), undefined);
  m.file("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0");
  t.equal(readModel(m.roots), "Raspberry Pi 5 Model B Rev 1.0");
  const definition = boardDefinitionSchema.parse({ name: "pi4", model: "Raspberry Pi 4" });
  await expectCode(t, "NOT_READY", ["pi4", "Raspberry Pi 4", "Raspberry Pi 5 Model B Rev 1.0"], () =>
    createLinuxBoard({ clock: createSystemClock(), definition, log: createFakeLog(), roots: m.roots }),
  );
});

t.test("a model is matched as text or as an expression, whatever its case", (t) => {
  t.ok(modelMatches("raspberry pi 4", "Raspberry Pi 4 Model B Rev 1.4"));
  t.ok(modelMatches("/pi (4|5) model b/", "Raspberry Pi 5 Model B Rev 1.0"));
  t.notOk(modelMatches("/pi (4|5) model b/", "Raspberry Pi 3 Model B"));
  t.notOk(modelMatches("Pi 4", ""));
  t.throws(() => boardDefinitionSchema.parse({ name: "x", model: "/(/" }), /regular expression/);
  t.throws(() => boardDefinitionSchema.parse({ name: "x", lines: { GPIO17: "17" } }), /chip label and an offset/);
  t.throws(() => boardDefinitionSchema.parse({ name: "x", pins: {} }));
  t.same(boardDefinitionSchema.parse({ name: "x" }), {
    name: "x",
    kind: "linux",
    gpio: "auto",
    lines: {},
    pwm: {},
    i2c: { limitMs: 100, retries: 1 },
    sim: { pca9685: [{ bus: 1, address: 0x40 }], can: ["can0", "can1"] },
  });
  t.end();
});
