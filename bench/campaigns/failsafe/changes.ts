// What happened at a port, and since when it has been safe.

/** A change at a port. */
export interface Change {
  /** CLOCK_MONOTONIC, milliseconds. */
  readonly atMs: number;
  /** 0 is safe. */
  readonly value: number;
}

/** CLOCK_MONOTONIC, which all processes share. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** When the port was safe for the first time after `fromMs`, if only for a moment; otherwise as `safeSince`. */
export function firstSafe(changes: readonly Change[], fromMs: number): number | undefined {
  if (safeSince(changes, fromMs) === undefined) return undefined;
  return changes.find(({ atMs, value }) => atMs > fromMs && value === 0)?.atMs ?? Infinity;
}

/** When the port became safe after `fromMs` and has been ever since; undefined when it was not unsafe then, Infinity when it still is. */
export function safeSince(changes: readonly Change[], fromMs: number): number | undefined {
  let unsafe = changes.findLast(({ atMs }) => atMs <= fromMs)?.value !== 0;
  if (changes.length === 0 || !unsafe) return undefined;
  let sinceMs = Infinity;
  for (const { atMs, value } of changes) {
    if (atMs <= fromMs) continue;
    if (value === 0 && unsafe) sinceMs = atMs;
    if (value !== 0) sinceMs = Infinity;
    unsafe = value !== 0;
  }
  return sinceMs;
}
