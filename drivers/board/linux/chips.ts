import { closeSync, constants, openSync } from "node:fs";
import { join } from "node:path";

import { AgentError, toAgentError } from "../../../agent/contract/errors.ts";
import { decodeChipInfo, decodeLineInfo, encodeLineInfoQuery, IOCTL, SIZE, type LineInfo } from "./gpio-abi.ts";
import { errnoText, type Libc } from "./libc.ts";
import { isHeaderChip, type GpioChip } from "./line-lookup.ts";
import { deniedError, readFolder, readProperty, systemCode, type Roots } from "./sysfs-file.ts";

/** The GPIO character devices, in the order of their numbers. */
export function chipPaths(roots: Roots): string[] {
  const numbers = readFolder(roots.dev)
    .map((name) => /^gpiochip(\d+)$/.exec(name)?.[1])
    .filter((number) => number !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
  return numbers.map((number) => join(roots.dev, `gpiochip${number}`));
}

export interface FoundChips {
  readonly chips: readonly GpioChip[];
  /** Why others could not be opened: DENIED, or NOT_READY where the kernel has only the first version of the interface. */
  readonly refused: readonly AgentError[];
}

/** Every chip there is now, with its lines' names. */
export function readChips(libc: Libc, roots: Roots): FoundChips {
  const chips: GpioChip[] = [];
  const refused: AgentError[] = [];
  for (const path of chipPaths(roots)) {
    try {
      chips.push(readChip(libc, roots, path));
    } catch (thrown) {
      refused.push(toAgentError(thrown));
    }
  }
  return { chips, refused };
}

/** Opens a character device for the time of `use`. Throws DENIED naming the group, IO otherwise. */
export function withChip<Result>(path: string, use: (fd: number) => Result): Result {
  const fd = openChip(path);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

/** What the kernel says about one line of an open chip. */
export function readLineInfo(libc: Libc, chipFd: number, path: string, offset: number): LineInfo {
  const query = encodeLineInfoQuery(offset);
  const errno = libc.ioctl(chipFd, IOCTL.getLineInfo, query);
  if (errno !== 0) {
    throw new AgentError("NOT_READY", `${path} does not speak GPIO interface version 2, Linux 5.10 or later: ${errnoText(errno)}`);
  }
  return decodeLineInfo(query);
}

function readChip(libc: Libc, roots: Roots, path: string): GpioChip {
  return withChip(path, (fd) => {
    const bytes = Buffer.alloc(SIZE.chipInfo);
    const errno = libc.ioctl(fd, IOCTL.getChipInfo, bytes);
    if (errno !== 0) throw new AgentError("IO", `${path} is no GPIO chip: ${errnoText(errno)}`);
    const { name, label, lines } = decodeChipInfo(bytes);
    const lineNames = Array.from({ length: lines }, (_, offset) => readLineInfo(libc, fd, path, offset).name);
    const compatible = readProperty(join(roots.sys, "bus/gpio/devices", name, "of_node/compatible"));
    return { label, path, lines, lineNames, header: isHeaderChip(compatible) };
  });
}

function openChip(path: string): number {
  try {
    return openSync(path, constants.O_RDWR);
  } catch (thrown) {
    const code = systemCode(thrown);
    if (code === "EACCES" || code === "EPERM") throw deniedError(path, "gpio", thrown);
    throw toAgentError(thrown);
  }
}
