import { accessSync, constants, readdirSync, readFileSync, readlinkSync, realpathSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { AgentError } from "../../../agent/contract/errors.ts";

/** Where the kernel shows itself; tests put folders of their own in place. */
export interface Roots {
  readonly dev: string;
  readonly sys: string;
  readonly proc: string;
}

export const SYSTEM_ROOTS: Roots = { dev: "/dev", sys: "/sys", proc: "/proc" };

/** Time that udev may take to hand an exported file to its group. onoff and rpi_hardware_pwm met 0.1 to 1 s on a booting Pi. */
const ACCESS_MS = 2000;
const ACCESS_RETRY_MS = 10;

/** The content without the end of line, or undefined when there is no such readable file. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trimEnd();
  } catch {
    return undefined;
  }
}

/** The same of what must be there. */
export function readAttribute(path: string): string {
  return readFileSync(path, "utf8").trimEnd();
}

export function writeAttribute(path: string, text: string): void {
  writeFileSync(path, text);
}

/** The same where an error before matters more: giving back what did not open. Whether it was written. */
export function writeIfPossible(path: string, text: string): boolean {
  try {
    writeFileSync(path, text);
    return true;
  } catch {
    return false;
  }
}

/** A device tree property that lists texts, each ended by NUL; empty when there is none. */
export function readProperty(path: string): string[] {
  const text = readText(path);
  return text === undefined ? [] : text.replace(/\0$/, "").split("\0");
}

/** The names in a folder, or none when it cannot be read. */
export function readFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** The path without links, or undefined when it leads nowhere. */
export function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

/** The system's word for what went wrong: `EACCES`. */
export function systemCode(thrown: unknown): string | undefined {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : undefined;
}

/**
 * Waits until all of `paths` can be read and written: exporting creates them, udev then changes their group. The first that could not be, else undefined.
 * In real time, and the process stays alive meanwhile: a command that only opens ports has nothing else to wait for.
 */
export async function waitForAccess(paths: readonly string[]): Promise<string | undefined> {
  for (let waitedMs = 0; ; waitedMs += ACCESS_RETRY_MS) {
    const refused = paths.find((path) => !isAccessible(path, constants.R_OK | constants.W_OK));
    if (refused === undefined || waitedMs >= ACCESS_MS) return refused;
    await delay(ACCESS_RETRY_MS);
  }
}

export function isWritable(path: string): boolean {
  return isAccessible(path, constants.W_OK);
}

/** Another process that has a file of `folder` open, as `name (process 123)`; only what this user may look at is found. */
export function holderOf(folder: string, roots: Roots): string | undefined {
  const real = realPath(folder);
  if (real === undefined) return undefined;
  for (const pid of readFolder(roots.proc)) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const fds = join(roots.proc, pid, "fd");
    if (readFolder(fds).some((fd) => linkOf(join(fds, fd))?.startsWith(`${real}/`) === true)) {
      return `${readText(join(roots.proc, pid, "comm")) ?? "a program"} (process ${pid})`;
    }
  }
  return undefined;
}

/** What to do about a file only another group may open. */
export function deniedError(path: string, group: string, cause?: unknown): AgentError {
  const fix = `add this user to group ${group} and log in again: sudo usermod -aG ${group} ${userInfo().username}`;
  return new AgentError("DENIED", `may not open ${path}: ${fix}`, { cause });
}

/** The last part of what a link leads to. */
export function linkName(path: string): string | undefined {
  const target = realPath(path);
  return target === undefined ? undefined : basename(target);
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function isAccessible(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
