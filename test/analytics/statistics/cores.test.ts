import fc from "fast-check";
import * as ss from "simple-statistics";
import t from "tap";

import { createAnomalyDetector } from "../../../analytics/statistics/anomaly.ts";
import { createEwma } from "../../../analytics/statistics/ewma.ts";
import { createHeavyHitters } from "../../../analytics/statistics/heavy-hitters.ts";
import { createRate } from "../../../analytics/statistics/rate.ts";
import { createWelford } from "../../../analytics/statistics/welford.ts";
import { createWindow, type WindowOptions } from "../../../analytics/statistics/window.ts";

const sample = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 2, maxLength: 60 });

/** Equal but for rounding, relative to the size of what was summed. */
function near(actual: number | undefined, expected: number, scale = 1e6): boolean {
  return actual !== undefined && Math.abs(actual - expected) <= 1e-9 * Math.max(scale, Math.abs(expected));
}

function windowOf(options: Partial<WindowOptions> & Pick<WindowOptions, "show">): ReturnType<typeof createWindow> {
  return createWindow({ maxValues: 1000, percent: 50, ...options });
}

function last<T>(values: readonly number[], push: (value: number, atMs: number) => T): T | undefined {
  let result: T | undefined;
  values.forEach((value, i) => (result = push(value, i * 10)));
  return result;
}

t.test("a window's figures are those of simple-statistics over the values in it", async (t) => {
  const figures = [
    ["mean", ss.mean],
    ["min", ss.min],
    ["max", ss.max],
    ["stddev", ss.sampleStandardDeviation],
    ["percentile", ss.median],
    ["count", (values: number[]) => values.length],
  ] as const;
  for (const [show, expected] of figures) {
    fc.assert(
      fc.property(sample, fc.integer({ min: 2, max: 40 }), (values, maxValues) => {
        const window = windowOf({ show, maxValues });
        return near(last(values, window.push), expected(values.slice(-maxValues)));
      }),
    );
    fc.assert(
      fc.property(sample, fc.integer({ min: 10, max: 300 }), (values, overMs) => {
        const window = windowOf({ show, overMs });
        const lastMs = (values.length - 1) * 10;
        const inside = values.filter((_, i) => i * 10 >= lastMs - overMs);
        return near(last(values, window.push), expected(inside));
      }),
    );
  }
  t.pass("both bounds, every figure");
});

t.test("percentiles lie between the neighbours in rank, and on them where a rank is hit", async (t) => {
  fc.assert(
    fc.property(sample, fc.double({ min: 0, max: 100, noNaN: true }), (values, percent) => {
      const found = last(values, windowOf({ show: "percentile", percent }).push) as number;
      const sorted = values.toSorted((a, b) => a - b);
      const rank = ((values.length - 1) * percent) / 100;
      return found >= sorted[Math.floor(rank)]! - 1e-9 && found <= sorted[Math.ceil(rank)]! + 1e-9;
    }),
  );
  t.equal(last([4, 1, 3, 2, 5], windowOf({ show: "percentile", percent: 25 }).push), 2);
  t.ok(near(last([4, 1, 3, 2], windowOf({ show: "percentile", percent: 10 }).push), 1.3, 1));
});

t.test("a window loses what is too old also when nothing comes", async (t) => {
  const window = windowOf({ show: "count", overMs: 100 });
  t.equal(window.push(1, 0), 1);
  t.equal(window.push(1, 100), 2, "exactly as old as the window is still in it");
  t.equal(window.at(150), 1);
  t.equal(window.at(300), 0);
  const mean = windowOf({ show: "mean", overMs: 100 });
  mean.push(1, 0);
  t.equal(mean.at(101), undefined);
  t.equal(windowOf({ show: "stddev" }).push(1, 0), undefined, "one value has none");
});

t.test("a large value leaves no error of rounding behind when it leaves the window", async (t) => {
  for (const show of ["mean", "stddev"] as const) {
    const window = windowOf({ show, maxValues: 4 });
    for (const value of [1e17, 0.1, 0.2, 0.3]) window.push(value, 0);
    const expected = (show === "mean" ? ss.mean : ss.sampleStandardDeviation)([0.1, 0.2, 0.3, 0.4]);
    t.ok(near(window.push(0.4, 1), expected, 1), show);
  }
});

t.test("Welford's mean and variance are those of simple-statistics, also far from zero", async (t) => {
  fc.assert(
    fc.property(sample, fc.constantFrom(0, 1e9), (values, offset) => {
      const shifted = values.map((value) => value / 1e3 + offset);
      const welford = createWelford();
      for (const value of shifted) welford.push(value);
      const variance = ss.sampleVariance(values.map((value) => value / 1e3));
      return near(welford.mean, ss.mean(shifted)) && Math.abs(welford.variance - variance) <= 1e-6 * Math.max(1, variance, offset / 1e6);
    }),
  );
  t.equal(createWelford().variance, 0);
});

t.test("Welford's past weighs no more than its memory", async (t) => {
  const welford = createWelford(10);
  for (let i = 0; i < 1000; i++) welford.push(i % 2);
  t.ok(Math.abs(welford.variance - 0.27) < 0.05, "the variance is kept while old values lose weight");
  for (let i = 0; i < 100; i++) welford.push(50);
  t.ok(Math.abs(welford.mean - 50) < 0.01, "a new level is learned");
  t.equal(welford.count, 10);
});

t.test("an average halves what it knew after the half-life, whatever the rate of values", async (t) => {
  for (const stepMs of [1, 7, 50, 100]) {
    const ewma = createEwma(350);
    ewma.push(0, 0);
    let average = 0;
    for (let atMs = stepMs; atMs <= 700; atMs += stepMs) average = ewma.push(1, atMs);
    t.ok(Math.abs(average - 0.75) < 1e-9, `every ${stepMs} ms`);
  }
  fc.assert(
    fc.property(sample, (values) => {
      const alpha = 1 - 2 ** -0.1;
      const expected = values.slice(1).reduce((average, value) => average + alpha * (value - average), values[0]!);
      return near(last(values, createEwma(100).push), expected);
    }),
  );
  const ewma = createEwma(10);
  ewma.push(5, 100);
  t.equal(ewma.push(9, 100), 5, "a value at the same moment stands for no time");
  t.equal(ewma.push(9, 50), 5, "nor one before it");
  t.equal(ewma.push(Number.MAX_VALUE, 110), 5 / 2 + Number.MAX_VALUE / 2);
  t.ok(Number.isFinite(ewma.push(-Number.MAX_VALUE, 120)));
});

t.test("a rate is the slope of what rises evenly", async (t) => {
  fc.assert(
    fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.integer({ min: 2, max: 30 }), (perSecond, count) => {
      const values = Array.from({ length: count }, (_, i) => (i * perSecond) / 100);
      const line = ss.linearRegression(values.map((value, i) => [(i * 10) / 1000, value]));
      const rate = last(values, createRate({ overMs: 100, counter: false, maxValues: 1000 }).push);
      return near(rate, line.m);
    }),
  );
  const rate = createRate({ overMs: 1000, counter: false, maxValues: 10 });
  t.equal(rate.push(5, 0), undefined);
  t.equal(rate.push(6, 0), undefined, "no time has passed");
  t.equal(rate.push(10, 500), 10);
  t.equal(rate.push(0, 2000), -10 / 1.5, "measured from the latest value that is old enough");
});

t.test("a counter that falls was restarted", async (t) => {
  const rate = createRate({ overMs: 1000, counter: true, maxValues: 100 });
  rate.push(1000, 0);
  t.equal(rate.push(2000, 1000), 1000);
  t.equal(rate.push(10, 2000), undefined);
  t.equal(rate.push(30, 3000), 20);
});

t.test("more values than are kept shorten the time a rate is measured over", async (t) => {
  const rate = createRate({ overMs: 1000, counter: false, maxValues: 3 });
  rate.push(100, 0);
  rate.push(0, 10);
  rate.push(0, 20);
  t.equal(rate.push(3, 30), 150);
});

t.test("a score is the z-score of simple-statistics against what came before", async (t) => {
  const options = { threshold: 3, warmUp: 2, memory: 1_000_000, minDeviation: 1e-9 };
  fc.assert(
    fc.property(sample, fc.double({ min: -1e6, max: 1e6, noNaN: true }), (values, value) => {
      const deviation = ss.sampleStandardDeviation(values);
      fc.pre(deviation > 1e-3);
      const detector = createAnomalyDetector(options);
      for (const known of values) detector.push(known);
      const expected = ss.zScore(value, ss.mean(values), deviation);
      const found = detector.push(value);
      return found !== undefined && near(found.score, expected, 1e3) && found.anomalous === Math.abs(found.score) > 3;
    }),
  );
  t.pass();
});

t.test("a detector says nothing while it warms up, then tells the outlier", async (t) => {
  const detector = createAnomalyDetector({ threshold: 3, warmUp: 5, memory: 100, minDeviation: 0.5 });
  for (const value of [10, 10, 10, 10]) t.equal(detector.push(value), undefined);
  t.equal(detector.push(10), undefined);
  t.strictSame(detector.push(11), { score: 2, anomalous: false }, "what never changed has the smallest deviation");
  t.match(detector.push(-20), { anomalous: true });
});

t.test("values whose squares no number holds give no score and are forgotten", async (t) => {
  const detector = createAnomalyDetector({ threshold: 3, warmUp: 2, memory: 100, minDeviation: 1e-9 });
  for (const value of [1, 2, Number.MAX_VALUE, -Number.MAX_VALUE, 1, 2, 3]) {
    const found = detector.push(value);
    t.ok(found === undefined || Number.isFinite(found.score));
  }
  t.match(detector.push(2), { anomalous: false });
});

const keys = fc.array(fc.integer({ min: 0, max: 12 }).map(String), { minLength: 1, maxLength: 300 });

t.test("with a counter for every key the most prominent one is the mode", async (t) => {
  fc.assert(
    fc.property(keys, (stream) => {
      const hitters = createHeavyHitters({ counters: 16 });
      for (const key of stream) hitters.push(key, 0);
      const count = (key: string): number => stream.filter((other) => other === key).length;
      const top = hitters.top(0)!;
      const most = count(String(ss.mode(stream.map(Number))));
      return count(top.key) === most && top.weight === most && near(top.share, most / stream.length, 1);
    }),
  );
  t.equal(createHeavyHitters({ counters: 4 }).top(0), undefined);
});

t.test("with few counters the bounds hold for every key, and none that is frequent is missing", async (t) => {
  fc.assert(
    fc.property(keys, fc.integer({ min: 2, max: 8 }), (stream, counters) => {
      const hitters = createHeavyHitters({ counters });
      for (const key of stream) hitters.push(key, 0);
      return [...new Set(stream)].every((key) => {
        const count = stream.filter((other) => other === key).length;
        const bounds = hitters.bounds(key, 0);
        return bounds === undefined ? count <= stream.length / counters : bounds.least <= count && count <= bounds.most;
      });
    }),
  );
  t.pass();
});

t.test("a flood of keys that come once each does not hide the prominent one", async (t) => {
  const hitters = createHeavyHitters({ counters: 64 });
  for (let i = 0; i < 20_000; i++) hitters.push(i % 20 === 0 ? "10.0.0.1" : `random ${i}`, i);
  t.match(hitters.top(20_000), { key: "10.0.0.1" });
  t.ok(hitters.top(20_000)!.share > 0.04);
});

t.test("what was counted loses half its weight in a half-life, over any time", async (t) => {
  const hitters = createHeavyHitters({ counters: 4, halfLifeMs: 1000 });
  hitters.push("old", 0, 100);
  hitters.push("new", 1000, 40);
  t.strictSame(hitters.top(1000), { key: "old", weight: 50, share: 50 / 90 });
  hitters.push("new", 2000, 10);
  t.strictSame(hitters.top(2000), { key: "new", weight: 30, share: 30 / 55 });
  hitters.push("newest", 10_000_000, 1);
  t.match(
    hitters.top(10_000_000),
    { key: "newest", weight: 1, share: 1 },
    "after ten thousand half-lives nothing is left, and nothing overflows",
  );
  t.equal(hitters.bounds("nobody", 0), undefined);
});
