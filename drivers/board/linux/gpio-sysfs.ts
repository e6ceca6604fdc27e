import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Gpio } from "onoff";

import { AgentError, messageOf } from "../../../agent/contract/errors.ts";
import type { DigitalInput, DigitalOutputs, Edge, InputOptions } from "../../../agent/contract/board.ts";
import type { Log } from "../../../agent/contract/log.ts";
import { createEdgeListeners, createOutputs, keysOf, MAX_DEBOUNCE_US, type BackendLine, type GpioBackend } from "./gpio-backend.ts";
import { findLine, lineKey, type PinMap } from "./line-lookup.ts";
import { consumerOf, readSysfsChips } from "./sysfs-chips.ts";
import {
  deniedError,
  holderOf,
  readAttribute,
  systemCode,
  waitForAccess,
  writeAttribute,
  writeIfPossible,
  type Roots,
} from "./sysfs-file.ts";

export interface SysfsBackendOptions {
  readonly roots: Roots;
  readonly pins: PinMap;
  readonly log: Log;
}

/** onoff's words; `high` and `low` are an output that starts at that level: value before direction. */
type Direction = "high" | "low" | "in";

/**
 * Lines through the package onoff and /sys/class/gpio: for kernels and containers without a GPIO character device. No pull, no kernel
 * time stamps; pulses shorter than the time it takes to read them are lost; debounce in whole milliseconds of this process's time;
 * several lines are written one after the other. Rejects NOT_READY naming the package when it does not load.
 */
export async function createSysfsBackend(options: SysfsBackendOptions): Promise<GpioBackend> {
  const { roots, pins } = options;
  const onoff = await import("onoff").catch((thrown: unknown) => {
    throw new AgentError(
      "NOT_READY",
      `package onoff does not load (${messageOf(thrown)}); run: sudo apt-get install python3 make g++ && npm install onoff`,
      { cause: thrown },
    );
  });

  async function openLine(owner: string, line: BackendLine, direction: Direction, debounceMs = 0): Promise<Gpio> {
    const number = Number(readAttribute(join(line.chip.path, "base"))) + line.offset;
    await exportLine(owner, line, number, options);
    try {
      const gpio = new onoff.Gpio(number, direction, "none", { activeLow: false, debounceTimeout: debounceMs });
      // onoff swallows what goes wrong on a line that was exported before it came.
      const actual = gpio.direction();
      if (actual === (direction === "in" ? "in" : "out")) return gpio;
      throw new AgentError("IO", `${line.key} stays an ${actual}put: its chip or the kernel refuses another direction`);
    } catch (thrown) {
      writeIfPossible(join(roots.sys, "class/gpio/unexport"), String(number));
      throw thrown instanceof AgentError ? thrown : new AgentError("IO", `${line.key}: ${messageOf(thrown)}`, { cause: thrown });
    }
  }

  return {
    kind: "linux-sysfs",
    chips: () => readSysfsChips(roots),
    find(ref) {
      const chips = readSysfsChips(roots);
      const found = findLine(ref, chips, pins);
      return { key: lineKey(found, chips), ...found };
    },
    async openOutputs(owner, lines, initial) {
      const gpios: Gpio[] = [];
      try {
        for (const [i, line] of lines.entries()) gpios.push(await openLine(owner, line, initial[i] === true ? "high" : "low"));
      } catch (thrown) {
        for (const gpio of gpios) gpio.unexport();
        throw thrown;
      }
      return outputsOf(gpios, keysOf(lines), initial);
    },
    async openInput(owner, line, inputOptions) {
      const debounceMs = debounceOf(line, inputOptions);
      return inputOf(await openLine(owner, line, "in", debounceMs), line.key);
    },
  };
}

/** Whole milliseconds. Throws ARGUMENT for what sysfs cannot do. */
function debounceOf({ key }: BackendLine, { pull, debounceUs = 0 }: InputOptions): number {
  if (pull === "up" || pull === "down") {
    throw new AgentError("ARGUMENT", `${key}: pull ${pull} needs the GPIO character device; without it use a resistor and no pull`);
  }
  if (!Number.isInteger(debounceUs) || debounceUs < 0 || debounceUs > MAX_DEBOUNCE_US) {
    throw new AgentError("ARGUMENT", `${key}: debounce of ${debounceUs} µs; it is a whole number from 0 to ${MAX_DEBOUNCE_US}`);
  }
  return Math.ceil(debounceUs / 1000);
}

/** Exports the line and waits until its files may be used: onoff itself would wait in a busy loop. */
async function exportLine(owner: string, { key }: BackendLine, number: number, { roots, log }: SysfsBackendOptions): Promise<void> {
  const gpio = join(roots.sys, "class/gpio");
  const folder = join(gpio, `gpio${number}`);
  if (existsSync(folder)) {
    const holder = holderOf(folder, roots);
    if (holder !== undefined) throw new AgentError("IN_USE", `${key} is in use by ${holder}; ${owner} cannot open it too`);
    log.warn({ line: key, number, owner }, "line was left exported and nobody has it open: taken over");
  } else {
    try {
      writeAttribute(join(gpio, "export"), String(number));
    } catch (thrown) {
      throw exportError(thrown, owner, key, number, roots);
    }
  }
  const files = ["value", "direction", "active_low", "edge"].map((name) => join(folder, name)).filter((path) => existsSync(path));
  const refused = await waitForAccess(files);
  if (refused === undefined) return;
  writeIfPossible(join(gpio, "unexport"), String(number));
  throw deniedError(refused, "gpio");
}

function exportError(thrown: unknown, owner: string, key: string, number: number, roots: Roots): AgentError {
  const code = systemCode(thrown);
  if (code === "EBUSY") {
    const holder = consumerOf(number, roots) ?? "the kernel or another program";
    return new AgentError("IN_USE", `${key} is in use by ${holder}; ${owner} cannot open it too`, { cause: thrown });
  }
  if (code === "EACCES" || code === "EPERM") return deniedError(join(roots.sys, "class/gpio/export"), "gpio", thrown);
  return new AgentError("IO", `${key} cannot be exported as number ${number}: ${messageOf(thrown)}`, { cause: thrown });
}

function outputsOf(gpios: readonly Gpio[], what: string, initial: readonly boolean[]): DigitalOutputs {
  return createOutputs(what, initial, {
    drive(levels, driven) {
      try {
        for (let i = 0; i < driven.length; i++) {
          const level = levels[i] === true;
          gpios[i]?.writeSync(level ? 1 : 0);
          driven[i] = level;
        }
      } catch (thrown) {
        throw new AgentError("IO", `${what} cannot be written: ${messageOf(thrown)}`, { cause: thrown });
      }
    },
    release() {
      for (const gpio of gpios) gpio.unexport();
    },
  });
}

function inputOf(gpio: Gpio, key: string): DigitalInput {
  let open = true;
  let last = false;
  const listeners = createEdgeListeners(watch, unwatch);

  function read(): boolean {
    if (!open) throw new AgentError("IO", `${key} is closed`);
    try {
      return gpio.readSync() === 1;
    } catch (thrown) {
      throw new AgentError("IO", `${key} cannot be read: ${messageOf(thrown)}`, { cause: thrown });
    }
  }

  function watch(): void {
    try {
      gpio.setEdge("both");
    } catch (thrown) {
      throw new AgentError("IO", `${key} cannot report edges, its chip may have no interrupt: ${messageOf(thrown)}`, { cause: thrown });
    }
    last = read();
    gpio.watch((error, value) => {
      if (error !== null && error !== undefined) {
        listeners.fail(new AgentError("IO", `${key} reports no more edges: ${messageOf(error)}`, { cause: error }));
        return;
      }
      const rising = value === 1;
      // The level is read after the interrupt; where it is back already, there is nothing to report.
      if (rising === last) return;
      last = rising;
      const edge: Edge = { rising, timestampNs: process.hrtime.bigint(), kernelStamp: false };
      listeners.emit(edge);
    });
  }

  function unwatch(): void {
    gpio.unwatchAll();
    gpio.setEdge("none");
  }

  return {
    read,
    onEdge(edge, failed) {
      if (!open) throw new AgentError("IO", `${key} is closed`);
      return listeners.add(edge, failed);
    },
    close() {
      if (!open) return;
      listeners.clear();
      open = false;
      gpio.unexport();
    },
  };
}
