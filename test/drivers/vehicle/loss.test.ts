import fc from "fast-check";
import t from "tap";

import { HEALTHY, lossCause, loopVerdict, noteTick, startLadder, stepLadder, type Ladder } from "../../../drivers/vehicle/loss.ts";
import { pedalLimitsSchema } from "../../../drivers/vehicle/limit-table.ts";

const LIMITS = pedalLimitsSchema.parse({});

const near = (a: number, b: number): boolean => Math.abs(a - b) < 1e-9;

/** The ladder after `ms` of ticks. */
function after(ladder: Ladder, ms: number, standing: boolean | undefined, stepMs = 10): Ladder {
  let now = ladder;
  for (let at = 0; at < ms; at += stepMs) now = stepLadder(now, stepMs, standing, LIMITS);
  return now;
}

t.test("the brake builds up at 1.5 m/s³ to 2.5 m/s² and stays", (t) => {
  t.same(startLadder(0), { stage: "brake", brakeMps2: 0, stageMs: 0 });
  const first = stepLadder(startLadder(0), 10, false, LIMITS);
  t.ok(near(first.brakeMps2, 0.015));
  t.equal(first.stageMs, 10);
  t.ok(near(after(startLadder(0), 1000, false).brakeMps2, 1.5));
  t.equal(after(startLadder(0), 5000, false).brakeMps2, 2.5);
  t.ok(near(stepLadder(startLadder(0), 5000, false, LIMITS).brakeMps2, 0.03), "a late tick builds up no more than two");
  t.equal(stepLadder(startLadder(0), -10, false, LIMITS).brakeMps2, 0);
  t.equal(stepLadder(startLadder(0), -10, false, LIMITS).stageMs, 0, "time does not run backwards");
  t.end();
});

t.test("a brake that was pressed harder stays so", (t) => {
  t.equal(after(startLadder(3.4), 3000, false).brakeMps2, 3.4);
  t.equal(after(startLadder(3.4), 3000, true).brakeMps2, 3.4);
  t.ok(near(stepLadder(startLadder(2), 10, false, LIMITS).brakeMps2, 2.015), "one that was pressed less goes on from there");
  t.end();
});

t.test("standing, and braked by the whole deceleration, the vehicle is held, then done", (t) => {
  t.equal(after(startLadder(0), 1600, true).stage, "brake", "the brake has not built up yet");
  t.same(after(startLadder(2.5), 10, true), { stage: "hold", brakeMps2: 2.5, stageMs: 0 });
  t.equal(after(startLadder(2.5), 60_000, false).stage, "brake", "as long as it rolls it is braked");
  t.same(after(startLadder(2.5), 1000, true), { stage: "hold", brakeMps2: 2.5, stageMs: 990 });
  const done = after(startLadder(2.5), 1010, true);
  t.same(done, { stage: "done", brakeMps2: 2.5, stageMs: 1000 });
  t.equal(stepLadder(done, 10, false, LIMITS), done, "that is the end");
  t.end();
});

t.test("a held vehicle that rolls is braked again", (t) => {
  const held: Ladder = { stage: "hold", brakeMps2: 2.5, stageMs: 900 };
  t.same(stepLadder(held, 10, false, LIMITS), { stage: "brake", brakeMps2: 2.5, stageMs: 0 });
  t.equal(stepLadder(held, 10, undefined, LIMITS).stage, "hold", "nobody knows that it does");
  t.equal(stepLadder(held, 100, undefined, LIMITS).stage, "done");
  t.end();
});

t.test("where nobody knows the speed, fifteen seconds of braking count as standing", (t) => {
  t.equal(after(startLadder(2.5), 14_990, undefined).stage, "brake");
  t.same(after(startLadder(2.5), 15_000, undefined), { stage: "hold", brakeMps2: 2.5, stageMs: 0 });
  t.end();
});

t.test("whatever happens, the brake is never released, and rises by its jerk at the most", (t) => {
  const tick = fc.record({ stepMs: fc.constantFrom(10, 10, 10, 20, 3000, 0, -20), standing: fc.constantFrom(true, false, undefined) });
  fc.assert(
    fc.property(fc.double({ min: 0, max: 5, noNaN: true }), fc.array(tick, { maxLength: 400 }), (brakeMps2, ticks) => {
      let ladder = startLadder(brakeMps2);
      for (const { stepMs, standing } of ticks) {
        const next = stepLadder(ladder, stepMs, standing, LIMITS);
        const rise = next.brakeMps2 - ladder.brakeMps2;
        if (rise < 0 || rise > 1.5 * 0.02 + 1e-9 || next.brakeMps2 > Math.max(2.5, brakeMps2)) return false;
        if (next.stage !== "brake" && next.brakeMps2 < 2.5) return false;
        ladder = next;
      }
      return true;
    }),
  );
  t.end();
});

t.test("missed ticks add up, and a hundred on time make up for one", (t) => {
  t.same(HEALTHY, { missed: 0 });
  t.same(noteTick(HEALTHY, 0), { missed: 0 });
  t.same(noteTick(HEALTHY, 3), { missed: 3 });
  let health = noteTick(HEALTHY, 2);
  for (let tick = 0; tick < 100; tick++) health = noteTick(health, 0);
  t.ok(near(health.missed, 1));
  t.ok(near(noteTick(health, 1).missed, 1.99));
  for (let tick = 0; tick < 200; tick++) health = noteTick(health, 0);
  t.equal(health.missed, 0);
  t.end();
});

t.test("three missed ticks degrade, ten stop", (t) => {
  for (const [missed, verdict] of [
    [0, "on-time"],
    [2.99, "on-time"],
    [3, "degrade"],
    [9.99, "degrade"],
    [10, "stop"],
    [1000, "stop"],
  ] as const) {
    t.equal(loopVerdict({ missed }, LIMITS), verdict, String(missed));
  }
  t.end();
});

t.test("an unclear speed and a late loop end driving, each by its name", (t) => {
  t.equal(lossCause(false, "on-time"), undefined);
  t.equal(lossCause(false, "degrade"), undefined);
  t.equal(lossCause(false, "stop"), "control loop late");
  t.equal(lossCause(true, "on-time"), "speed unclear");
  t.equal(lossCause(true, "stop"), "speed unclear");
  t.end();
});
