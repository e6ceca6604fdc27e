// What the meter at the simulated board's ports has written (sim-meter.mjs).
import { readFileSync, truncateSync, writeFileSync } from "node:fs";

import type { Change } from "./changes.ts";
import type { SeenFrame } from "./pedal-frames.ts";

export interface SimLog {
  clear(): void;
  text(): string;
}

/** `1234.567 4321 line:GPIO17 1`: when, who, where and what. */
const NOTED = /^(\d+\.?\d*) (\d+) (\S+) (\S+)$/;

function entriesOf(text: string, port: string): readonly { readonly atMs: number; readonly value: string }[] {
  const entries: { atMs: number; value: string }[] = [];
  for (const line of text.split("\n")) {
    const [, atMs, , where, value] = NOTED.exec(line) ?? [];
    if (where === port && value !== undefined) entries.push({ atMs: Number(atMs), value });
  }
  return entries;
}

/** Everything that was written to a line (`line:GPIO17`) or a channel (`pwm:1`, `pca9685:0`). */
export function portChanges(text: string, port: string): readonly Change[] {
  return entriesOf(text, port).map(({ atMs, value }) => ({ atMs, value: Number(value) }));
}

export function framesIn(text: string): readonly SeenFrame[] {
  return entriesOf(text, "can").map(({ atMs, value }) => ({ atMs, text: value }));
}

export function openSimLog(file: string): SimLog {
  writeFileSync(file, "");
  return { clear: () => truncateSync(file), text: () => readFileSync(file, "latin1") };
}
