import fc from "fast-check";
import t from "tap";

import { createDurations, DURATION_WORDS } from "../../agent/host/motion-durations.ts";
import { createMotionMemory, MAX_MOTION_DEVICES, NO_MOTION_LEASE, sinceLeaseMs } from "../../agent/host/motion-memory.ts";
import type { SafeTarget } from "../../agent/contract/device.ts";

t.test("both sides of the memory see the same orders, the latest target and how many there were", (t) => {
  const host = createMotionMemory();
  const thread = createMotionMemory(host.buffer);
  const targets: readonly SafeTarget[] = ["safe", "off", { value: 12.5 }, { value: -3 }, { value: true }, { value: false }];
  for (const device of [0, 7, MAX_MOTION_DEVICES - 1]) {
    t.equal(thread.orders(device), 0);
    for (const [index, target] of targets.entries()) {
      t.equal(host.order(device, target), index + 1);
      t.equal(thread.orders(device), index + 1);
      t.strictSame(thread.target(device), target);
    }
  }
  t.equal(thread.orders(1), 0, "other devices have none");
  t.end();
});

t.test("a wake ends one sleep, also when it came before it", (t) => {
  const host = createMotionMemory();
  const thread = createMotionMemory(host.buffer);
  t.equal(thread.sleep(0), false);
  host.wake();
  host.wake();
  t.equal(thread.sleep(600_000), true, "at once: the test would not end otherwise");
  t.equal(thread.sleep(0), false, "both were seen");
  t.end();
});

t.test("the beat is counted", (t) => {
  const host = createMotionMemory();
  const thread = createMotionMemory(host.buffer);
  thread.beat();
  thread.beat();
  t.equal(host.beats(), 2);
  t.end();
});

t.test("a lease ends to the millisecond, however long the machine has been up", (t) => {
  const memory = createMotionMemory();
  t.equal(memory.lease(3), NO_MOTION_LEASE);
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 2 ** 45, noNaN: true }),
      fc.double({ min: -60_000, max: 60_000, noNaN: true }),
      (untilMs, laterMs) => {
        memory.setLease(3, untilMs);
        const lease = memory.lease(3);
        const sinceMs = sinceLeaseMs(lease, untilMs + laterMs);
        return lease !== NO_MOTION_LEASE && sinceMs <= laterMs + 1 && sinceMs >= laterMs - 3;
      },
    ),
  );
  memory.setLease(3, 0);
  t.not(memory.lease(3), NO_MOTION_LEASE, "a lease of that very moment is one");
  memory.setLease(3, 2 ** 32);
  t.not(memory.lease(3), NO_MOTION_LEASE);
  memory.setLease(3, -Infinity);
  t.equal(memory.lease(3), NO_MOTION_LEASE);
  t.equal(memory.lease(2), NO_MOTION_LEASE);
  t.end();
});

t.test("a lease that has not ended is never taken for one that has", (t) => {
  const memory = createMotionMemory();
  fc.assert(
    fc.property(fc.double({ min: 0, max: 2 ** 45, noNaN: true }), fc.double({ min: 0, max: 60_000, noNaN: true }), (nowMs, leftMs) => {
      memory.setLease(0, nowMs + leftMs);
      return sinceLeaseMs(memory.lease(0), nowMs) <= 0;
    }),
  );
  t.end();
});

t.test("figures are read on the other side, and start anew", (t) => {
  const host = createMotionMemory();
  const thread = createMotionMemory(host.buffer);
  thread.lateness.add(0.05);
  thread.execution.add(0.002);
  thread.addOverrun();
  thread.addMissed(3);
  t.match(host.figures(), { lateness: { count: 1, maxUs: 50 }, execution: { count: 1, maxUs: 2 }, overruns: 1, missed: 3 });
  host.clearFigures();
  const none = { count: 0, p50Us: 0, p99Us: 0, p999Us: 0, maxUs: 0 };
  t.strictSame(thread.figures(), { lateness: none, execution: none, overruns: 0, missed: 0 });
  t.end();
});

t.test("quantiles of durations are exact below 32 µs, and at most a sixteenth too high above", (t) => {
  const exact = createDurations(new Uint32Array(DURATION_WORDS));
  for (let us = 0; us < 32; us++) exact.add(us / 1000);
  t.strictSame(exact.figures(), { count: 32, p50Us: 15, p99Us: 31, p999Us: 31, maxUs: 31 });

  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 2 ** 31 - 1 }), { minLength: 1, maxLength: 2000 }), (values) => {
      const durations = createDurations(new Uint32Array(DURATION_WORDS));
      for (const us of values) durations.add(us / 1000);
      const sorted = values.toSorted((a, b) => a - b);
      const figures = durations.figures();
      const within = (share: number, found: number): boolean => {
        const right = sorted[Math.ceil(share * sorted.length) - 1]!;
        return found >= right && found <= right * (17 / 16);
      };
      return (
        figures.count === values.length &&
        figures.maxUs === sorted.at(-1) &&
        within(0.5, figures.p50Us) &&
        within(0.99, figures.p99Us) &&
        within(0.999, figures.p999Us)
      );
    }),
  );
  t.end();
});

t.test("a duration that is only half counted while somebody reads counts as the longest", (t) => {
  const words = new Uint32Array(DURATION_WORDS);
  const durations = createDurations(words);
  durations.add(0.02);
  words[0] = 3;
  t.strictSame(durations.figures(), { count: 3, p50Us: 20, p99Us: 20, p999Us: 20, maxUs: 20 });
  t.end();
});

t.test("durations that cannot be are counted as the nearest that can", (t) => {
  const durations = createDurations(new Uint32Array(DURATION_WORDS));
  durations.add(-5);
  t.match(durations.figures(), { count: 1, maxUs: 0 });
  durations.add(Infinity);
  t.match(durations.figures(), { count: 2, p99Us: 2 ** 31 - 1, maxUs: 2 ** 31 - 1 });
  t.end();
});
