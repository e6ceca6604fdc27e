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

t.test("three periods without a beat are the end, and a beat begins anew", async (t) => {
  const watch = createBeatWatch(OPTIONS);
  t.equal(watch.check(0), false, "the period it began in counts as seen");
  t.equal(watch.check(0), false);
  t.equal(watch.check(0), false);
  t.equal(watch.missed, 2);
  watch.beat();
  t.equal(watch.missed, 0);
  t.equal(watch.check(0), false);
  t.equal(watch.check(0), false);
  t.equal(watch.check(0), false);
  t.equal(watch.check(0), true);
  t.equal(watch.check(0), true, "and stays so");
});

t.test("a check that comes late says nothing about the other process, unless the one before was late too", async (t) => {
  const watch = createBeatWatch({ heartbeatMs: 50, missedBeats: 1 });
  watch.check(0);
  t.equal(watch.check(500), false, "the beats of that time are unread still");
  t.equal(watch.check(26), true, "they were read since");
  const onTheEdge = createBeatWatch({ heartbeatMs: 50, missedBeats: 1 });
  onTheEdge.check(0);
  t.equal(onTheEdge.check(25), true, "half a period is not late");
});

t.test("a process that beats is never killed, however late this one looks", async () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 10_000, noNaN: true })), (lateness) => {
      const watch = createBeatWatch({ heartbeatMs: 50, missedBeats: 2 });
      // Between two checks its beats are read, except those of a standstill, which come after the check that was late.
      return lateness.every((lateMs) => {
        if (lateMs <= 25) watch.beat();
        const dead = watch.check(lateMs);
        if (lateMs > 25) watch.beat();
        return !dead;
      });
    }),
  );
});

t.test("a process that is silent is noticed, however late this one looks", async () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 10_000, noNaN: true }), { minLength: 9, maxLength: 9 }), (lateness) => {
      const watch = createBeatWatch({ heartbeatMs: 50, missedBeats: 3 });
      return lateness.some((lateMs) => watch.check(lateMs));
    }),
  );
});

t.test("options that contradict each other are refused by name", async (t) => {
  t.match(keeperSchema.safeParse({ restartMinMs: 500, restartMaxMs: 100 }).error?.issues, [
    { path: ["restartMaxMs"], message: "restartMaxMs is below restartMinMs; make one of them smaller or the other larger" },
  ]);
  t.equal(keeperSchema.safeParse({ restartMinMs: 100, restartMaxMs: 100 }).success, true);
});
