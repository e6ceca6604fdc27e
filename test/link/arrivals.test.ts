import t from "tap";

import { createArrivals } from "../../agent/link/arrivals.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createStoppableClock } from "./pair.ts";

t.test("what arrives while all goes well arrives now", (t) => {
  const clock = createStoppableClock();
  const arrivals = createArrivals(clock, 100);
  for (const ms of [0, 10, 500, 3]) {
    clock.advanceNow(ms);
    t.equal(arrivals.nowMs(), clock.monotonicMs());
  }
  clock.stand(100);
  t.equal(arrivals.nowMs(), clock.monotonicMs(), "a pause that is allowed");
  arrivals.close();
  t.end();
});

t.test("what is read after a standstill may be as old as it, until everything that waited was read", (t) => {
  const clock = createStoppableClock();
  const arrivals = createArrivals(clock, 100);
  clock.advanceNow(60);
  const beforeMs = arrivals.nowMs();
  clock.stand(1000);
  t.equal(arrivals.nowMs(), beforeMs);
  t.equal(arrivals.nowMs(), beforeMs, "also what is read next");
  clock.advanceNow(25);
  t.equal(arrivals.nowMs(), beforeMs, "sockets may not have been read between the timer and now");
  clock.advanceNow(25);
  t.equal(arrivals.nowMs(), clock.monotonicMs());
  arrivals.close();
  t.end();
});

t.test("a standstill is noticed by the timer where nothing is read at first, and two in a row count as one", (t) => {
  const clock = createStoppableClock();
  const arrivals = createArrivals(clock, 100);
  clock.advanceNow(50);
  const beforeMs = clock.monotonicMs();
  clock.stand(500);
  clock.advanceNow(25);
  t.equal(arrivals.nowMs(), beforeMs);
  clock.stand(500);
  t.equal(arrivals.nowMs(), beforeMs);
  clock.advanceNow(50);
  t.equal(arrivals.nowMs(), clock.monotonicMs());
  arrivals.close();
  t.end();
});

t.test("closing leaves no timer", (t) => {
  const clock = createFakeClock();
  const arrivals = createArrivals(clock, 100);
  clock.advanceNow(60);
  arrivals.close();
  t.equal(clock.pending(), 0);
  t.end();
});
