import type { Clock } from "../contract/clock.ts";

/** How far a copy is, on one line of a terminal. */
export interface Progress {
  /** Bytes done so far. */
  update(done: number): void;
  /** Takes the line away. */
  end(): void;
}

export interface ProgressOptions {
  readonly total: number;
  readonly clock: Clock;
  readonly write: (text: string) => void;
}

/** What takes less shows nothing. */
const QUIET_MS = 1000;

const REDRAW_MS = 100;

/** The rate is that of so long. */
const RATE_MS = 5000;

const BAR_WIDTH = 20;

const UNITS = ["KiB", "MiB", "GiB", "TiB"];

/** A bar with bytes, rate and the time left: `[######--------------]  30 %  3.0 of 10.0 MiB  1.5 MiB/s  0:05 left`. */
export function createProgress({ total, clock, write }: ProgressOptions): Progress {
  const startMs = clock.monotonicMs();
  const samples: { readonly ms: number; readonly bytes: number }[] = [{ ms: startMs, bytes: 0 }];
  let drawnMs: number | undefined;

  /** Bytes a second, lately. */
  function rateAt(nowMs: number, done: number): number {
    samples.push({ ms: nowMs, bytes: done });
    while (samples.length > 2 && nowMs - (samples[1]?.ms ?? nowMs) >= RATE_MS) samples.shift();
    const oldest = samples[0] ?? { ms: nowMs, bytes: done };
    return nowMs > oldest.ms ? (1000 * (done - oldest.bytes)) / (nowMs - oldest.ms) : 0;
  }

  return {
    update(done) {
      const nowMs = clock.monotonicMs();
      if (nowMs - startMs < QUIET_MS || nowMs - (drawnMs ?? -Infinity) < REDRAW_MS) return;
      drawnMs = nowMs;
      write(`\r${progressText(done, total, rateAt(nowMs, done))}\x1b[K`);
    },
    end() {
      if (drawnMs !== undefined) write("\r\x1b[K");
    },
  };
}

function progressText(done: number, total: number, rate: number): string {
  const ratio = total === 0 ? 1 : Math.min(1, done / total);
  const bar = "#".repeat(Math.floor(ratio * BAR_WIDTH)).padEnd(BAR_WIDTH, "-");
  const percent = `${Math.floor(100 * ratio)} %`.padStart(5);
  const left = rate > 0 ? `  ${durationText((total - done) / rate)} left` : "";
  return `[${bar}] ${percent}  ${bytesText(done)} of ${bytesText(total)}  ${bytesText(rate)}/s${left}`;
}

/** `17 B`, `1.5 KiB`, `3.0 GiB`. */
export function bytesText(bytes: number): string {
  if (bytes < 1024) return `${Math.floor(bytes)} B`;
  let value = bytes / 1024;
  let unit = 0;
  for (; value >= 1023.95 && unit < UNITS.length - 1; unit++) value /= 1024;
  return `${value.toFixed(1)} ${UNITS[unit] ?? ""}`;
}

/** `0:05`, `12:00`, `1:02:03`. */
function durationText(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  const minutes = Math.floor(whole / 60);
  const tail = String(whole % 60).padStart(2, "0");
  if (minutes < 60) return `${minutes}:${tail}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${tail}`;
}
