// What the kernel itself did to a line, in order: its GPIO trace events, which every backend passes through.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { locate, sysfsBase } from "./world.ts";

const TRACING = "/sys/kernel/tracing";

/** Begins a trace of every line; returns its reader. */
export function tracePins(): { life(line: string): string } {
  if (!existsSync(join(TRACING, "trace"))) execFileSync("mount", ["-t", "tracefs", "tracefs", TRACING]);
  writeFileSync(join(TRACING, "events/gpio/enable"), "1");
  writeFileSync(join(TRACING, "trace"), "");
  return {
    /** `output:low high low`: became an output at that level, then was set to each of these. Inputs show as `input`. */
    life(line) {
      const { chip, offset } = locate(line);
      const number = sysfsBase(chip.label) + offset;
      return livesOf(readFileSync(join(TRACING, "trace"), "utf8"), number);
    },
  };
}

/**
 * The kernel reports a new output in two events, first its level, then its direction; both come from one call of the driver, which sets the level first
 * (gpiod_direction_output_raw_commit in drivers/gpio/gpiolib.c).
 */
function livesOf(trace: string, number: number): string {
  const words: string[] = [];
  for (const line of trace.split("\n")) {
    const [, kind, what, value] =
      new RegExp(String.raw` gpio_(value|direction): ${number} +(set|get|out|in) \(?(-?\d+)\)?`).exec(line) ?? [];
    const level = value === "1" ? "high" : "low";
    if (kind === "value" && what === "set") words.push(level);
    else if (what === "out") words.push(`output:${words.pop() ?? "?"}`);
    else if (what === "in") words.push("input");
  }
  return words.join(" ");
}
