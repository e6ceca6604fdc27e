import t from "tap";

import { tickEvery } from "../../agent/host/ticker.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import type { Clock } from "../../agent/contract/clock.ts";

/** Ticks of 10 ms on `clock`, from its start on: `10`, or `30+1` when one deadline was left out before. */
function ticksOn(clock: Clock, during: () => void = () => undefined) {
  const startMs = clock.monotonicMs();
  const ticks: string[] = [];
  const cancel = tickEvery(clock, 10, (nowMs, missed) => {
    ticks.push(`${nowMs - startMs}${missed > 0 ? `+${missed}` : ""}`);
    during();
  });
  return { ticks, cancel };
}

t.test("ticks do not drift, however late each timer is", (t) => {
  const clock = createFakeClock();
  const late: Clock = { ...clock, after: (delayMs, run) => clock.after(delayMs + 3, run) };
  const { ticks } = ticksOn(late);
  clock.advanceNow(1000);
  t.equal(ticks.length, 99);
  t.strictSame(ticks.slice(0, 3), ["13", "23", "33"]);
  t.equal(ticks.at(-1), "993");
  t.end();
});

t.test("deadlines that passed before a late timer are left out and counted", (t) => {
  const clock = createFakeClock();
  let extraMs = 25;
  const { ticks } = ticksOn({
    ...clock,
    after(delayMs, run) {
      const cancel = clock.after(delayMs + extraMs, run);
      extraMs = 0;
      return cancel;
    },
  });
  clock.advanceNow(60);
  t.strictSame(ticks, ["35+2", "40", "50", "60"]);
  t.end();
});

t.test("a timer that fires early still counts as its deadline", (t) => {
  const clock = createFakeClock();
  const { ticks } = ticksOn({ ...clock, after: (delayMs, run) => clock.after(Math.max(0, delayMs - 0.4), run) });
  clock.advanceNow(31);
  t.equal(ticks.length, 3);
  t.ok(ticks.every((tick) => !tick.includes("+")));
  t.end();
});

t.test("a cancelled ticker leaves no timer, also when it is cancelled by its own tick", (t) => {
  const clock = createFakeClock();
  const { ticks, cancel } = ticksOn(clock);
  clock.advanceNow(25);
  cancel();
  cancel();
  t.equal(clock.pending(), 0);
  clock.advanceNow(100);
  t.strictSame(ticks, ["10", "20"]);
  const own = ticksOn(clock, () => own.cancel());
  clock.advanceNow(100);
  t.equal(own.ticks.length, 1);
  t.equal(clock.pending(), 0);
  t.end();
});
