import { join } from "node:path";

import { isHeaderChip, type GpioChip } from "./line-lookup.ts";
import { readFolder, readProperty, readText, type Roots } from "./sysfs-file.ts";

/**
 * The chips of /sys/class/gpio, whose folders carry the number of their first line: 0, 512 or 571, as the kernel likes.
 * Only the label says which chip it is.
 */
export function readSysfsChips(roots: Roots): readonly GpioChip[] {
  const gpio = join(roots.sys, "class/gpio");
  return readFolder(gpio)
    .filter((name) => /^gpiochip\d+$/.test(name))
    .map((name) => readSysfsChip(join(gpio, name)));
}

/** Who holds the line with this global number, as the kernel's debug file tells root; undefined when it does not say. */
export function consumerOf(number: number, roots: Roots): string | undefined {
  const text = readText(join(roots.sys, "kernel/debug/gpio")) ?? "";
  // ` gpio-545 (GPIO17 |lamp ) out hi`, or without the name.
  const holder = new RegExp(String.raw`^\s*gpio-${number}\s+\((?:[^|)]*\|)?([^)]*)\)`, "m").exec(text)?.[1]?.trim();
  return holder === undefined || holder === "" ? undefined : holder;
}

function readSysfsChip(path: string): GpioChip {
  const label = readText(join(path, "label")) ?? "";
  const node = treeNode(join(path, "device"), label);
  return {
    label,
    path,
    lines: Number(readText(join(path, "ngpio")) ?? 0),
    lineNames: readProperty(join(node, "gpio-line-names")),
    header: isHeaderChip(readProperty(join(node, "compatible"))),
  };
}

/** The chip's node of the device tree: its device's, or of several banks of one device the one that carries the chip's label. */
function treeNode(device: string, label: string): string {
  const banks = readFolder(device).filter((name) => /^gpiochip\d+$/.test(name));
  if (banks.length > 1) {
    for (const bank of banks) {
      const node = join(device, bank, "of_node");
      const labels = readFolder(node).filter((property) => property === "label" || property.endsWith(",label"));
      if (labels.some((property) => readProperty(join(node, property))[0] === label)) return node;
    }
    return join(device, "no-bank-of-that-label");
  }
  return join(device, "of_node");
}
