import t from "tap";

import { createMotionLoop, type MotionLoop, type MotionLoopOptions } from "../../agent/host/motion-loop.ts";
import { createSteppedThread, type SteppedThread } from "./motion-rig.ts";

const LIMITS = { watchdogPeriods: 3, overruns: 4, overrunWindowMs: 1000 };

interface Rig extends SteppedThread {
  readonly loop: MotionLoop;
  /** What the loop called, in order. */
  readonly calls: string[];
}

function rig(options: Partial<MotionLoopOptions> = {}): Rig {
  const thread = createSteppedThread();
  const calls: string[] = [];
  const loop = createMotionLoop({
    clock: thread.clock,
    memory: thread.memory,
    limits: LIMITS,
    later: thread.later,
    urgent: () => undefined,
    work: () => false,
    settle: () => undefined,
    busy: () => false,
    ...options,
  });
  return Object.assign(thread, { loop, calls });
}

/** When the loop ticked, from the thread's start on. */
function recorder({ clock, loop }: Rig, periodMs: number, during: (missed: number) => void = () => undefined) {
  const startMs = clock.monotonicMs();
  const times: number[] = [];
  const misses: number[] = [];
  const overruns: string[] = [];
  const cancel = loop.every(
    periodMs,
    (nowMs, missed) => {
      times.push(nowMs - startMs);
      misses.push(missed);
      during(missed);
    },
    (text) => overruns.push(text),
  );
  return { times, misses, overruns, cancel };
}

t.test("ticks come at their deadlines, however late timers are", (t) => {
  const thread = rig();
  const { times, misses } = recorder(thread, 10);
  for (const lateMs of [0, 0.3, 0.9, 1]) {
    thread.lateMs = lateMs;
    thread.run(250);
  }
  t.strictSame(
    times,
    Array.from({ length: 100 }, (_, i) => (i + 1) * 10),
  );
  t.ok(misses.every((missed) => missed === 0));
  t.match(thread.memory.figures(), { lateness: { count: 100, maxUs: 0 }, execution: { count: 100, maxUs: 0 }, overruns: 0, missed: 0 });
  t.end();
});

t.test("between ticks the event loop gets its turn, and the thread sleeps no longer than 2.5 ms", (t) => {
  const thread = rig();
  thread.lateMs = 0.5;
  const { times } = recorder(thread, 10);
  thread.run(1005);
  t.equal(times.length, 100);
  t.equal(thread.sleeps.length, 100);
  t.ok(
    thread.sleeps.every((ms) => ms > 0 && ms <= 2.5),
    "the rest of each period belongs to the event loop",
  );
  t.end();
});

t.test("at 1 kHz the event loop gets one turn for each tick", (t) => {
  let turns = 0;
  const inner = createSteppedThread();
  const thread = rig({
    clock: inner.clock,
    memory: inner.memory,
    later(delayMs, run) {
      t.equal(delayMs, 0);
      turns += 1;
      return inner.later(delayMs, run);
    },
  });
  let ticks = 0;
  thread.loop.every(1, () => (ticks += 1));
  inner.run(99.5);
  t.equal(ticks, 100);
  t.equal(turns, 101);
  t.end();
});

t.test("deadlines that have passed are left out, and the next ones are where they were", (t) => {
  const thread = rig();
  let slowNext = false;
  const { times, misses } = recorder(thread, 10, () => {
    if (slowNext) thread.spend(34);
    slowNext = false;
  });
  thread.run(25);
  slowNext = true;
  thread.run(75);
  t.strictSame(times, [10, 20, 30, 64, 70, 80, 90, 100]);
  t.strictSame(misses, [0, 0, 0, 2, 0, 0, 0, 0]);
  t.match(thread.memory.figures(), { overruns: 1, missed: 2, lateness: { maxUs: 24_000 }, execution: { maxUs: 34_000 } });
  t.end();
});

t.test("all periods count from the same moment, whenever they begin", (t) => {
  const thread = rig();
  const startMs = thread.clock.monotonicMs();
  const fast = recorder(thread, 10);
  thread.run(13);
  const times: number[] = [];
  thread.loop.every(20, (nowMs) => times.push(nowMs - startMs));
  thread.run(7);
  thread.loop.every(50, (nowMs) => times.push(nowMs - startMs));
  thread.run(90);
  t.strictSame(times, [20, 40, 50, 60, 80, 100, 100]);
  t.equal(fast.times.length, 11);
  t.end();
});

t.test("who is woken before a deadline is given a turn of the event loop, and still ticks on time", (t) => {
  const queue: string[] = [];
  const thread = rig({
    work() {
      const item = queue.shift();
      if (item === undefined) return false;
      done.push(`${item} at ${thread.clock.monotonicMs()}`);
      return true;
    },
  });
  const done: string[] = [];
  const { times } = recorder(thread, 10, () => done.push("tick"));
  thread.run(7);
  thread.wakeIn(2, () => queue.push("order"));
  thread.run(10);
  t.strictSame(done, ["order at 1009", "tick"]);
  t.strictSame(times, [10]);
  t.end();
});

t.test("a tick waits for one thing at the most, not for everything that waits", (t) => {
  let left = 0;
  const thread = rig({
    work() {
      if (left === 0) return false;
      left -= 1;
      thread.spend(1);
      return true;
    },
  });
  const { times } = recorder(thread, 10);
  thread.run(5.5);
  left = 100;
  thread.loop.poke();
  thread.run(60);
  t.ok(left > 0);
  t.ok(times.length >= 6);
  t.ok(
    times.every((ms) => ms % 10 <= 1),
    "never later than that one thing took",
  );
  t.end();
});

t.test("what is urgent is looked at before ticks, after each thing that waited, and when it wakes the thread", (t) => {
  const calls: string[] = [];
  let waiting = 2;
  const thread = rig({
    urgent: () => calls.push("urgent"),
    work() {
      if (waiting === 0) return false;
      waiting -= 1;
      calls.push("work");
      return true;
    },
    settle: () => calls.push("settle"),
  });
  thread.loop.every(1, () => calls.push("tick"));
  thread.run(1);
  t.strictSame(calls.slice(0, 8), ["urgent", "work", "urgent", "work", "urgent", "settle", "urgent", "tick"]);
  t.end();
});

t.test("while a transfer is under way the thread looks for its end all the time", (t) => {
  let busy = true;
  const thread = rig({ busy: () => busy });
  const { times } = recorder(thread, 2);
  thread.run(20);
  t.ok(thread.sleeps.every((ms) => ms <= 0.25));
  t.strictSame(times, [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
  busy = false;
  thread.sleeps.length = 0;
  thread.run(20);
  t.equal(Math.max(...thread.sleeps), 2);
  t.end();
});

t.test("a loop that stood still for as long as its watchdog allows says so", (t) => {
  const thread = rig();
  let spendMs = 0;
  const { overruns } = recorder(thread, 10, () => {
    thread.spend(spendMs);
    spendMs = 0;
  });
  thread.run(15);
  spendMs = 39.9;
  thread.run(100);
  t.strictSame(overruns, [], "two deadlines were left out");
  spendMs = 40;
  thread.run(100);
  t.strictSame(overruns, ["control loop stood still for 4 periods of 10 ms; 3 are allowed"]);
  t.end();
});

t.test("a loop that is late again and again says so, and starts counting anew", (t) => {
  const thread = rig();
  let late = 0;
  let spaceMs = 100;
  let nextMs = 0;
  const { overruns } = recorder(thread, 10, () => {
    if (late === 0 || thread.clock.monotonicMs() < nextMs) return;
    late -= 1;
    nextMs = thread.clock.monotonicMs() + spaceMs;
    thread.spend(25);
  });
  late = 3;
  thread.run(1000);
  t.strictSame(overruns, [], "three within a second");
  thread.run(1000);
  late = 4;
  thread.run(1000);
  t.strictSame(overruns, ["control loop overran 4 times in 1 s"]);
  late = 3;
  thread.run(1000);
  t.equal(overruns.length, 1);
  thread.run(1000);
  spaceMs = 600;
  late = 8;
  thread.run(10_000);
  t.equal(overruns.length, 1, "those too far apart do not add up");
  t.end();
});

t.test("ticks that nobody is told of are in no figures", (t) => {
  const thread = rig();
  let ticks = 0;
  thread.loop.every(10, () => {
    ticks += 1;
    thread.spend(50);
  });
  thread.run(500);
  t.ok(ticks > 5);
  t.match(thread.memory.figures(), { lateness: { count: 0 }, overruns: 0, missed: 0 });
  t.end();
});

t.test("a cancelled tick never comes again, also when it cancels itself or one that is due with it", (t) => {
  const thread = rig();
  const first = recorder(thread, 10, () => {
    if (first.times.length === 3) first.cancel();
    if (first.times.length === 2) second.cancel();
  });
  const second = recorder(thread, 10);
  thread.run(100);
  t.strictSame(first.times, [10, 20, 30]);
  t.strictSame(second.times, [10]);
  first.cancel();
  thread.run(100);
  t.equal(first.times.length, 3);
  const third = recorder(thread, 10);
  thread.run(20);
  t.strictSame(third.times, [10, 20], "and others begin as if nothing had been");
  t.end();
});

t.test("a tick begun by a tick comes as well", (t) => {
  const thread = rig();
  const times: number[] = [];
  const cancel = thread.loop.every(10, () => {
    cancel();
    thread.loop.every(5, (nowMs) => times.push(nowMs));
  });
  thread.run(30);
  t.strictSame(times, [1015, 1020, 1025, 1030]);
  t.end();
});

t.test("a stopped loop does nothing any more", (t) => {
  const thread = rig({ settle: () => calls.push("settle") });
  const calls: string[] = [];
  const { times } = recorder(thread, 10, () => {
    if (times.length === 2) thread.loop.stop();
  });
  thread.run(100);
  t.equal(times.length, 2);
  thread.loop.poke();
  thread.run(100);
  t.equal(times.length, 2);
  const idle = rig();
  idle.loop.poke();
  idle.loop.stop();
  idle.run(10);
  t.strictSame(idle.sleeps, []);
  t.end();
});

t.test("without ticks the thread is left to its event loop", (t) => {
  let worked = 0;
  const thread = rig({ work: () => worked++ < 3 });
  thread.loop.poke();
  thread.loop.poke();
  thread.run(100);
  t.equal(worked, 4);
  t.strictSame(thread.sleeps, []);
  t.end();
});
