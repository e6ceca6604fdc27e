import { userInfo } from "node:os";
import { dirname, join } from "node:path";

import { chipPaths, readChips } from "../../drivers/board/linux/chips.ts";
import { createSysfsBackend } from "../../drivers/board/linux/gpio-sysfs.ts";
import { loadLibc } from "../../drivers/board/linux/libc.ts";
import { readSysfsChips } from "../../drivers/board/linux/sysfs-chips.ts";
import { isWritable, linkName, readFolder, readText } from "../../drivers/board/linux/sysfs-file.ts";
import { shippedBoardsFolder } from "../config/board-file.ts";
import { messageOf } from "../contract/errors.ts";
import { mend, note, ok } from "./finding.ts";
import type { Libc } from "../../drivers/board/linux/libc.ts";
import type { Roots } from "../../drivers/board/linux/sysfs-file.ts";
import type { AgentConfig } from "../config/load.ts";
import type { Log } from "../contract/log.ts";
import type { Finding } from "./finding.ts";

export interface HardwareQuestion {
  /** Without one, what any configuration could need is looked at, and GPIO counts as needed. */
  readonly config: AgentConfig | undefined;
  readonly model: string | undefined;
  readonly roots: Roots;
  readonly knownGroups: ReadonlySet<string>;
}

/** What the configuration wants of the hardware. */
interface Needs {
  readonly lines: boolean;
  readonly pwm: boolean;
}

/** GPIO, the packages behind it, and PWM: by trying, not by looking for files of a package. */
export async function hardwareFindings(question: HardwareQuestion): Promise<readonly Finding[]> {
  const needs = needsOf(question.config);
  const gpio = await gpioFindings(question, needs.lines);
  return [...gpio, ...pwmFindings(question, needs.pwm)];
}

function needsOf(config: AgentConfig | undefined): Needs {
  if (config === undefined) return { lines: true, pwm: false };
  const { board, devices } = config;
  if (board === "sim" || (board !== "auto" && board.kind === "sim")) return { lines: false, pwm: false };
  const claims = devices.filter(({ common }) => common.enabled).flatMap(({ driver, options }) => driver.claims(options));
  return { lines: board === "auto" || board.gpio !== "none", pwm: claims.some((claim) => claim.startsWith("pwm ")) };
}

async function gpioFindings(question: HardwareQuestion, needed: boolean): Promise<readonly Finding[]> {
  const { roots } = question;
  const paths = chipPaths(roots);
  const libc = await loadLibc().catch((thrown: unknown) => messageOf(thrown));
  const cdev = typeof libc === "string" ? [] : cdevFindings(question, libc, needed);
  const works = cdev.some(({ verdict }) => verdict === "ok");
  return [packageFinding(libc, paths.length > 0 && needed), ...cdev, ...(await sysfsFindings(question, needed && !works))];
}

function packageFinding(libc: Libc | string, needed: boolean): Finding {
  if (typeof libc !== "string") return ok("koffi", "loads: GPIO character devices can be driven");
  return needed ? mend("koffi", libc, "npm install koffi") : note("koffi", libc);
}

function cdevFindings(question: HardwareQuestion, libc: Libc, needed: boolean): readonly Finding[] {
  const { chips, refused } = readChips(libc, question.roots);
  const good = chips.map(({ label, path, lines, header }) =>
    ok("gpio", `${label}, ${lines} lines, ${path}${header ? ", the pin header" : ""}`),
  );
  // One that opens is enough; a chip of the board's own that does not is no trouble.
  const report = (text: string): Finding => (needed && good.length === 0 ? mend("gpio", text, accessFix(question)) : note("gpio", text));
  return [...good, ...refused.map((error) => report(error.message))];
}

async function sysfsFindings(question: HardwareQuestion, needed: boolean): Promise<readonly Finding[]> {
  const { roots } = question;
  const chips = readSysfsChips(roots);
  if (chips.length === 0) return needed ? noChips(question) : [note("sysfs", "no GPIO in /sys/class/gpio; it is not needed")];
  const found = chips.map(({ label, lines }) => `${label} (${lines} lines)`).join(", ");
  if (!needed) return [note("sysfs", `${found}; it is not needed`)];
  if (!isWritable(join(roots.sys, "class/gpio/export")))
    return [mend("sysfs", `${found}, and /sys/class/gpio/export may not be written`, accessFix(question))];
  try {
    await createSysfsBackend({ roots, pins: {}, log: SILENT });
    return [ok("sysfs", `${found}, and onoff loads`)];
  } catch (thrown) {
    return [mend("sysfs", messageOf(thrown), "sudo apt-get install python3 make g++ && npm install onoff")];
  }
}

function noChips({ roots }: HardwareQuestion): readonly Finding[] {
  // Those that are there and cannot be used were reported one by one.
  if (chipPaths(roots).length > 0) return [];
  return [
    mend(
      "gpio",
      "this machine has no GPIO: neither /dev/gpiochip* nor chips in /sys/class/gpio; board: no-gpio does without",
      "virgo agent --board sim",
    ),
  ];
}

function pwmFindings(question: HardwareQuestion, needed: boolean): readonly Finding[] {
  const folder = join(question.roots.sys, "class/pwm");
  const chips = readFolder(folder).filter((name) => /^pwmchip\d+$/.test(name));
  if (chips.length === 0) {
    const text = "the kernel offers no PWM chip";
    return needed ? [mend("pwm", text, overlayFix(question.model))] : [note("pwm", `${text}; none is needed`)];
  }
  return chips.map((name) => {
    const chip = join(folder, name);
    const text = `${linkName(join(chip, "device")) ?? name}, ${readText(join(chip, "npwm")) ?? "?"} channels`;
    if (isWritable(join(chip, "export"))) return ok("pwm", text);
    const denied = `${text}, and ${name}/export may not be written`;
    return needed ? mend("pwm", denied, accessFix(question)) : note("pwm", denied);
  });
}

/** What lets this user at the ports. A new group counts from the next login on. */
function accessFix({ knownGroups }: HardwareQuestion): string {
  const rules = join(dirname(shippedBoardsFolder()), "udev", "60-virgo-gpio.rules");
  return [
    ...(knownGroups.has("gpio") ? [] : ["sudo groupadd --system gpio"]),
    `sudo usermod -aG gpio ${userInfo().username}`,
    `sudo cp ${rules} /etc/udev/rules.d/`,
    "sudo udevadm control --reload",
    "sudo udevadm trigger --subsystem-match=gpio --subsystem-match=pwm",
  ].join(" && ");
}

function overlayFix(model: string | undefined): string | undefined {
  if (model?.includes("Raspberry Pi") !== true) return undefined;
  return "echo dtoverlay=pwm-2chan,pin=12,func=4,pin2=13,func2=4 | sudo tee -a /boot/firmware/config.txt && sudo reboot";
}

const SILENT: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
