import fc from "fast-check";
import t from "tap";

import { keeperSchema } from "../../agent/keeper/options.ts";
import { createBeatWatch, createRestartPolicy } from "../../agent/keeper/policy.ts";

const OPTIONS = keeperSchema.parse({});

t.test("the waits double from the shortest to the longest, and begin again after a healthy while", async (t) => {
  const policy = createRestartPolicy({ ...OPTIONS, crashes: 100 });
  const waits = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => policy.ended(1000 + i, 0));
  t.strictSame(
    waits.map((verdict) => verdict.kind === "restart" && verdict.waitMs),
    [100, 200, 400, 800, 1600, 3200, 5000, 5000],
  );
  t.strictSame(policy.ended(2000, OPTIONS.healthyMs - 1), { kind: "restart", waitMs: 5000 });
  t.strictSame(policy.ended(3000, OPTIONS.healthyMs), { kind: "restart", waitMs: 100 });
  t.strictSame(policy.ended(3000, 0), { kind: "restart", waitMs: 200 });
});

t.test("with restartMinMs: 0 the first wait is none and the next ones still grow", async (t) => {
  const policy = createRestartPolicy({ ...OPTIONS, restartMinMs: 0, restartMaxMs: 3, crashes: 100 });
  t.strictSame(
    [1, 2, 3, 4].map((ms) => policy.ended(ms, 0)),
    [0, 1, 2, 3].map((waitMs) => ({ kind: "restart", waitMs })),
  );
});

t.test("the third end within the window keeps it down; ends that are older do not count", async (t) => {
  const policy = createRestartPolicy(OPTIONS);
  t.equal(policy.ended(1000, 0).kind, "restart");
  t.equal(policy.ended(2000, 0).kind, "restart");
  t.equal(policy.recentEnds(2000), 2);
  t.strictSame(policy.ended(60_999, 0), { kind: "stay-down", ends: 3 });
  const other = createRestartPolicy(OPTIONS);
  other.ended(1000, 0);
  other.ended(2000, 0);
  t.equal(other.ended(61_000, 0).kind, "restart", "the first one is exactly as old as the window is long");
  t.equal(other.recentEnds(61_000), 2);
  t.equal(other.recentEnds(61_999), 2);
  t.equal(other.recentEnds(62_000), 1);
});

t.test("forgiven, nothing counts any more", async (t) => {
  const policy = createRestartPolicy(OPTIONS);
  policy.ended(1000, 0);
  policy.ended(1001, 0);
  t.equal(policy.ended(1002, 0).kind, "stay-down");
  policy.forgive();
  t.equal(policy.recentEnds(1002), 0);
  t.strictSame(policy.ended(1003, 0), { kind: "restart", waitMs: 100 });
});

t.test("silence is the end after three periods, counted from the last beat", async (t) => {
  const watch = createBeatWatch(OPTIONS, 1000);
  t.equal(watch.check(1149, 0), 1, "to be asked again when the time is over");
  watch.beat(1149);
  t.equal(watch.check(1150, 0), 149);
  t.equal(watch.check(1298, 0), 1);
  t.equal(watch.check(1299, 0), 0);
});

t.test("a check that comes late gives it one period more, for the beats that are unread", async (t) => {
  const watch = createBeatWatch(OPTIONS, 1000);
  t.equal(watch.check(1175, 25), 0, "half a period is not late");
  t.equal(watch.check(1176, 26), 50);
  t.equal(watch.check(1226, 26), 0, "they were read since");
  const other = createBeatWatch(OPTIONS, 1000);
  t.equal(other.check(1500, 350), 50);
  other.beat(1501);
  t.equal(other.check(1550, 0), 101, "they were there");
  t.equal(other.check(2500, 849), 50, "and every standstill is excused anew");
  other.beat(2501);
  t.equal(other.check(2700, 150), 50, "also two of them with one beat in between");
});

t.test("a process that beats is never killed, however late this one looks", async () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 10_000, noNaN: true })), (lateness) => {
      const watch = createBeatWatch({ heartbeatMs: 50, missedBeats: 2 }, 0);
      let nowMs = 0;
      let waitMs = 100;
      return lateness.every((lateMs) => {
        // The last beat before a standstill is read in time; those of the standstill, up to its end, after the check.
        watch.beat(nowMs + waitMs - (waitMs % 50));
        nowMs += waitMs + lateMs;
        waitMs = watch.check(nowMs, lateMs);
        watch.beat(nowMs);
        return waitMs > 0;
      });
    }),
  );
});

t.test("a process that is silent is noticed, however late this one looks", async () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 10_000, noNaN: true }), { minLength: 4, maxLength: 4 }), (lateness) => {
      const watch = createBeatWatch({ heartbeatMs: 50, missedBeats: 3 }, 0);
      let nowMs = 0;
      let waitMs = 150;
      return lateness.some((lateMs) => {
        nowMs += waitMs + lateMs;
        waitMs = watch.check(nowMs, lateMs);
        return waitMs === 0;
      });
    }),
  );
});

t.test("options that contradict each other are refused by name", async (t) => {
  t.match(keeperSchema.safeParse({ restartMinMs: 500, restartMaxMs: 100 }).error?.issues, [
    { path: ["restartMaxMs"], message: "restartMaxMs is below restartMinMs; make one of them smaller or the other larger" },
  ]);
  t.equal(keeperSchema.safeParse({ restartMinMs: 100, restartMaxMs: 100 }).success, true);
});
