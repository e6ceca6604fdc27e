/** What of a window is shown. */
export const WINDOW_STATISTICS = ["mean", "min", "max", "stddev", "count", "percentile"] as const;

export interface WindowOptions {
  readonly show: (typeof WINDOW_STATISTICS)[number];
  /** Older values than this leave the window, milliseconds; absent: values leave by their number alone. */
  readonly overMs?: number | undefined;
  /** The most values kept; the oldest leaves for the newest. */
  readonly maxValues: number;
  /** For `percentile`, 0 to 100. */
  readonly percent: number;
}

export interface Window {
  /** Takes a value; returns the figure of the window with it, undefined while there is none: one value has no standard deviation. */
  readonly push: (value: number, atMs: number) => number | undefined;
  /** The figure without those that are too old at `atMs`. */
  at(atMs: number): number | undefined;
}

/**
 * The last values and one figure of them. Sums are made anew for every figure, so that no error of rounding stays behind when a large value leaves: one
 * figure costs a pass over the window.
 */
export function createWindow({ show, overMs, maxValues, percent }: WindowOptions): Window {
  const values = createRing(maxValues);
  const sorted = show === "percentile" ? createSorted(maxValues) : undefined;

  function dropOldest(): void {
    sorted?.remove(values.valueAt(0));
    values.drop();
  }

  function dropOlderThan(atMs: number): void {
    if (overMs === undefined) return;
    while (values.count > 0 && values.timeAt(0) < atMs - overMs) dropOldest();
  }

  function figure(): number | undefined {
    if (show === "count") return values.count;
    if (values.count === 0) return undefined;
    switch (show) {
      case "mean":
        return meanOf(values);
      case "stddev":
        return sampleDeviationOf(values);
      case "min":
        return extremeOf(values, Math.min);
      case "max":
        return extremeOf(values, Math.max);
      case "percentile":
        return sorted?.percentile(percent);
    }
  }

  return {
    push(value, atMs) {
      if (values.count === maxValues) dropOldest();
      values.add(value, atMs);
      sorted?.add(value);
      dropOlderThan(atMs);
      return figure();
    },
    at(atMs) {
      dropOlderThan(atMs);
      return figure();
    },
  };
}

/** Values with their times, oldest first. */
export interface Ring {
  readonly count: number;
  valueAt(index: number): number;
  timeAt(index: number): number;
  /** There must be room. */
  add(value: number, atMs: number): void;
  /** The oldest goes. */
  drop(): void;
}

/** Room for `capacity` values. */
export function createRing(capacity: number): Ring {
  const values = new Float64Array(capacity);
  const times = new Float64Array(capacity);
  let first = 0;
  let count = 0;
  const place = (index: number): number => (first + index) % capacity;
  return {
    get count() {
      return count;
    },
    valueAt: (index) => values[place(index)] as number,
    timeAt: (index) => times[place(index)] as number,
    add(value, atMs) {
      values[place(count)] = value;
      times[place(count)] = atMs;
      count += 1;
    },
    drop() {
      first = place(1);
      count -= 1;
    },
  };
}

function meanOf(values: Ring): number {
  let mean = 0;
  for (let i = 0; i < values.count; i++) mean += (values.valueAt(i) - mean) / (i + 1);
  return mean;
}

/** With n − 1 in the denominator: the window is a sample. Two passes, since the difference of two large sums would be noise. */
function sampleDeviationOf(values: Ring): number | undefined {
  if (values.count < 2) return undefined;
  const mean = meanOf(values);
  let squares = 0;
  for (let i = 0; i < values.count; i++) squares += (values.valueAt(i) - mean) ** 2;
  return Math.sqrt(squares / (values.count - 1));
}

function extremeOf(values: Ring, choose: (a: number, b: number) => number): number {
  let found = values.valueAt(0);
  for (let i = 1; i < values.count; i++) found = choose(found, values.valueAt(i));
  return found;
}

interface Sorted {
  add(value: number): void;
  /** `value` must be there. */
  remove(value: number): void;
  percentile(percent: number): number;
}

function createSorted(capacity: number): Sorted {
  const sorted = new Float64Array(capacity);
  let count = 0;

  /** The first place whose value is not below `value`. */
  function placeOf(value: number): number {
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((sorted[middle] as number) < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  return {
    add(value) {
      const place = placeOf(value);
      sorted.copyWithin(place + 1, place, count);
      sorted[place] = value;
      count += 1;
    },
    remove(value) {
      const place = placeOf(value);
      sorted.copyWithin(place, place + 1, count);
      count -= 1;
    },
    // Interpolated between neighbours, definition 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996): that of R, NumPy and spreadsheets.
    percentile(percent) {
      const position = ((count - 1) * percent) / 100;
      const below = sorted[Math.floor(position)] as number;
      const above = sorted[Math.ceil(position)] as number;
      const share = position - Math.floor(position);
      return below * (1 - share) + above * share;
    },
  };
}
