import { closeSync, constants, existsSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { AgentError, messageOf, toAgentError } from "../../../agent/contract/errors.ts";
import { pwmText, type PwmOutput, type PwmChipRef } from "../../../agent/contract/board.ts";
import { didYouMean } from "../../../agent/contract/nearest.ts";
import {
  deniedError,
  holderOf,
  linkName,
  readAttribute,
  readFolder,
  readText,
  systemCode,
  waitForAccess,
  writeAttribute,
  writeIfPossible,
  type Roots,
} from "./sysfs-file.ts";

/** Periods the kernel's interface can hold and hardware can have: 1 ns to 100 s. */
const MAX_PERIOD_NS = 100_000_000_000;

/** Longer periods are those of heaters and lamps, which do not mind half a pulse. */
const MAX_LAST_PULSE_MS = 100;

/** What `waitForAccess` must see before a channel is set up. */
const CHANNEL_FILES = ["period", "duty_cycle", "enable"];

/** Digits of the longest period, and one to spare. */
const DIGITS = 16;
const ZERO = 0x30;

/** A channel found in /sys/class/pwm. */
export interface PwmChannel {
  /** What claims and errors call it, the same however it was named: `pwm 1f00098000.pwm:2`. */
  readonly key: string;
  /** /sys/class/pwm/pwmchipN */
  readonly chipFolder: string;
  readonly channel: number;
}

/** Other names of channels, from a board definition. */
export type PwmAliases = Readonly<Record<string, PwmChipRef>>;

interface PwmChip {
  readonly folder: string;
  /** The device's name first; then what else it may be called. */
  readonly names: readonly string[];
  readonly channels: number;
}

/**
 * The channel `ref` stands for. Its chip is named by its device (`1f00098000.pwm`, `0-0040`), device tree node (`pwm@98000`) or kind (`pca9685`), never by
 * number: that depends on what was probed first. Throws UNKNOWN with near matches, ARGUMENT when several chips fit.
 */
export function findPwmChannel(ref: PwmChipRef, aliases: PwmAliases, roots: Roots): PwmChannel {
  const { chip: name, channel } = resolveAlias(ref, aliases);
  const chips = readPwmChips(roots);
  const [exact] = chips.filter((one) => one.names[0] === name);
  const fitting = exact === undefined ? chips.filter((one) => one.names.includes(name)) : [exact];
  const [chip] = fitting;
  const names = chips.map((one) => one.names[0] ?? one.folder);
  if (chip === undefined) {
    const known = names.length === 0 ? "the kernel offers none, is the overlay (dtoverlay=pwm) loaded?" : `chips here: ${names.join(", ")}`;
    throw new AgentError("UNKNOWN", `no PWM chip is called ${name}${didYouMean(name, names)}; ${known}`);
  }
  if (fitting.length > 1) {
    const devices = fitting.map((one) => one.names[0] ?? one.folder).join(", ");
    throw new AgentError("ARGUMENT", `PWM chip ${name} is ambiguous: ${devices}; use one of these names`);
  }
  if (channel >= chip.channels) {
    throw new AgentError("UNKNOWN", `PWM chip ${name} has no channel ${channel}: its channels are 0 to ${chip.channels - 1}`);
  }
  return { key: pwmText({ chip: chip.names[0] ?? name, channel }), chipFolder: chip.folder, channel };
}

/** Sets the channel up at duty 0 and enables it. Rejects IN_USE, DENIED, ARGUMENT for a period the chip cannot do, IO. */
export async function openPwmChannel(owner: string, found: PwmChannel, periodNs: number, roots: Roots): Promise<PwmOutput> {
  const { key, chipFolder, channel } = found;
  if (!Number.isInteger(periodNs) || periodNs < 1 || periodNs > MAX_PERIOD_NS) {
    throw new AgentError("ARGUMENT", `${key}: period of ${periodNs} ns; it is a whole number from 1 to ${MAX_PERIOD_NS}`);
  }
  const folder = join(chipFolder, `pwm${channel}`);
  exportChannel(owner, found, folder, roots);
  try {
    const refused = await waitForAccess(CHANNEL_FILES.map((name) => join(folder, name)));
    if (refused !== undefined) throw deniedError(refused, "gpio");
    setUp(folder, key, periodNs);
    return outputOf(found, folder, periodNs);
  } catch (thrown) {
    writeIfPossible(join(chipFolder, "unexport"), String(channel));
    throw toAgentError(thrown);
  }
}

/** An alias is a chip of one channel. */
function resolveAlias(ref: PwmChipRef, aliases: PwmAliases): PwmChipRef {
  const alias = Object.hasOwn(aliases, ref.chip) ? aliases[ref.chip] : undefined;
  if (alias === undefined) return ref;
  if (ref.channel === 0) return alias;
  throw new AgentError("ARGUMENT", `${pwmText(ref)}: ${ref.chip} stands for one channel, ${pwmText(alias)}; its channel number is 0`);
}

function readPwmChips(roots: Roots): PwmChip[] {
  const folder = join(roots.sys, "class/pwm");
  return readFolder(folder)
    .filter((name) => /^pwmchip\d+$/.test(name))
    .map((name) => {
      const chip = join(folder, name);
      const device = join(chip, "device");
      const names = [linkName(device), linkName(join(device, "of_node")), readText(join(device, "name"))];
      return { folder: chip, names: names.filter((one) => one !== undefined), channels: Number(readText(join(chip, "npwm")) ?? 0) };
    });
}

function exportChannel(owner: string, { key, chipFolder, channel }: PwmChannel, folder: string, roots: Roots): void {
  if (existsSync(folder)) {
    // Left by somebody who died, or in use: the files of a channel in use are open.
    const holder = holderOf(folder, roots);
    if (holder === undefined) return;
    throw new AgentError("IN_USE", `${key} is in use by ${holder}; ${owner} cannot open it too`);
  }
  try {
    writeAttribute(join(chipFolder, "export"), String(channel));
  } catch (thrown) {
    const code = systemCode(thrown);
    if (code === "EBUSY") {
      throw new AgentError("IN_USE", `${key} is in use by the kernel; ${owner} cannot open it too`, { cause: thrown });
    }
    if (code === "EACCES" || code === "EPERM") throw deniedError(join(chipFolder, "export"), "gpio", thrown);
    throw new AgentError("IO", `${key} cannot be exported: ${messageOf(thrown)}`, { cause: thrown });
  }
}

/**
 * The kernel refuses a period below the duty, so a duty that was left goes first; an enabled channel at duty 0 stays as it is until its period is right,
 * because chips refuse every change as long as what they woke up with is out of their range.
 */
function setUp(folder: string, key: string, periodNs: number): void {
  function set(name: string, text: string): void {
    try {
      writeAttribute(join(folder, name), text);
    } catch (thrown) {
      throw setUpError(thrown, key, name, periodNs);
    }
  }
  if (readAttribute(join(folder, "duty_cycle")) !== "0") set("duty_cycle", "0");
  set("period", String(periodNs));
  // Absent where the chip has one polarity only; fixed while the channel is enabled.
  if ((readText(join(folder, "polarity")) ?? "normal") !== "normal") {
    set("enable", "0");
    set("polarity", "normal");
  }
  set("duty_cycle", "0");
  set("enable", "1");
}

function setUpError(thrown: unknown, key: string, name: string, periodNs: number): AgentError {
  const code = systemCode(thrown);
  if (code === "EBUSY") {
    const why = "the channels of its chip share one period, and others run with another";
    return new AgentError("IN_USE", `${key}: period ${periodNs} ns refused, ${why}`, { cause: thrown });
  }
  if (name === "period" && (code === "EINVAL" || code === "ERANGE")) {
    return new AgentError("ARGUMENT", `${key}: period ${periodNs} ns is outside the range of its chip`, { cause: thrown });
  }
  return new AgentError("IO", `${key}: ${name} cannot be set: ${messageOf(thrown)}`, { cause: thrown });
}

function outputOf(found: PwmChannel, folder: string, periodNs: number): PwmOutput {
  const { key, chipFolder, channel } = found;
  const dutyFd = openSync(join(folder, "duty_cycle"), constants.O_WRONLY);
  const text = Buffer.alloc(DIGITS);
  let open = true;

  function write(dutyNs: number): void {
    const start = writeDigits(text, dutyNs);
    try {
      writeSync(dutyFd, text, start, DIGITS - start, 0);
    } catch (thrown) {
      throw new AgentError("IO", `${key} cannot be written: ${messageOf(thrown)}`, { cause: thrown });
    }
  }

  return {
    write(dutyRatio) {
      if (!open) throw new AgentError("IO", `${key} is closed`);
      if (!(dutyRatio >= 0 && dutyRatio <= 1)) throw new AgentError("ARGUMENT", `${key}: duty ${dutyRatio}; it is a ratio from 0 to 1`);
      write(Math.round(dutyRatio * periodNs));
    },
    async close() {
      if (!open) return;
      open = false;
      try {
        write(0);
        // The pulse that is on its way ends by itself, in the hardware's time: a servo jerks on half a one.
        await delay(Math.min(Math.ceil(periodNs / 1e6), MAX_LAST_PULSE_MS));
        writeAttribute(join(folder, "enable"), "0");
      } finally {
        closeSync(dutyFd);
        writeAttribute(join(chipFolder, "unexport"), String(channel));
      }
    },
  };
}

/** Writes the decimal digits of a non-negative integer to the end of `text`; the index of the first. Nothing is allocated. */
function writeDigits(text: Buffer, value: number): number {
  let at = DIGITS;
  let rest = value;
  do {
    at -= 1;
    text[at] = ZERO + (rest % 10);
    rest = Math.floor(rest / 10);
  } while (rest > 0);
  return at;
}
