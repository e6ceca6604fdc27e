import { createWindow } from "../statistics/window.ts";
import type { LogSourceOptions } from "./options.ts";

export interface Bandwidth {
  push(byteLength: number, atMs: number): void;
  /** Bytes per second; undefined before a second has passed. */
  limit(atMs: number): number | undefined;
}

const MS_PER_S = 1000;

/** A limit that what was seen in most seconds stays below: a percentile of the bytes per second, those without any included, times headroom. */
export function createBandwidth({ overS, percent, headroom, min, max }: LogSourceOptions["bandwidth"]): Bandwidth {
  const seconds = createWindow({ show: "percentile", maxValues: overS, percent });
  let second: number | undefined;
  let bytes = 0;
  let seen: number | undefined;

  /** Closes the seconds before the one that holds `atMs`. */
  function turn(atMs: number): void {
    const now = Math.floor(atMs / MS_PER_S);
    second ??= now;
    // After a long silence only the seconds that are looked at count.
    if (now - second > overS) second = now - overS - 1;
    for (; second < now; second++) {
      seen = seconds.push(bytes, second * MS_PER_S);
      bytes = 0;
    }
  }

  return {
    push(byteLength, atMs) {
      turn(atMs);
      bytes += byteLength;
    },
    limit(atMs) {
      turn(atMs);
      return seen === undefined ? undefined : Math.round(Math.min(Math.max(seen * headroom, min), max));
    },
  };
}
