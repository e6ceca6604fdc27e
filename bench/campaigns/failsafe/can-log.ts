// What can-utils' candump sees on an interface of this kernel: another process, with the kernel's own times.
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, truncateSync } from "node:fs";

import { monotonicMs } from "./changes.ts";
import type { SeenFrame } from "./pedal-frames.ts";

export interface CanLog {
  clear(): void;
  frames(): readonly SeenFrame[];
  stop(): void;
}

/** `(1700000000.123456) vcan0 200#5000` */
const LOGGED = /^\((\d+\.\d+)\) \S+ (\S+)/;

/** The lines of `candump -L`, in the time they would have on CLOCK_MONOTONIC, which is `aheadMs` behind the time of day. */
export function framesOf(text: string, aheadMs: number): readonly SeenFrame[] {
  const frames: SeenFrame[] = [];
  for (const line of text.split("\n")) {
    const [, seconds, frame] = LOGGED.exec(line) ?? [];
    if (frame !== undefined) frames.push({ atMs: Number(seconds) * 1000 - aheadMs, text: frame });
  }
  return frames;
}

/** How far the time of day is ahead of CLOCK_MONOTONIC. Node tells it in whole milliseconds: the moment it changes counts. */
function wallAheadMs(): number {
  const before = Date.now();
  let now = before;
  while (now === before) now = Date.now();
  return now - monotonicMs();
}

/** Starts candump on the interface, which has to be up. */
export function startCanLog(name: string, file: string): CanLog {
  const aheadMs = wallAheadMs();
  const log = openSync(file, "a");
  truncateSync(file);
  const child = spawn("stdbuf", ["--output=L", "candump", "-L", name], { stdio: ["ignore", log, "inherit"] });
  closeSync(log);
  return {
    clear: () => truncateSync(file),
    frames: () => framesOf(readFileSync(file, "latin1"), aheadMs),
    stop() {
      child.kill();
    },
  };
}
