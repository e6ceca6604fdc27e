import t from "tap";

import { createRemembered, type Moved, type Pose, type Remembered } from "../../../analytics/driving/remembered.ts";

const HERE: Pose = { x: 0, y: 0, yaw: 0 };

/** Places that are known to move since a time; just now, where none is given. */
function pointsOf(...places: readonly (readonly [number, number, number?])[]): Moved {
  return {
    x: Float64Array.from(places, ([x]) => x),
    y: Float64Array.from(places, ([, y]) => y),
    sinceMs: Float64Array.from(places, ([, , sinceMs = Infinity]) => sinceMs),
    count: places.length,
  };
}

function hidden(remembered: Remembered, pose: Pose, nowMs: number): { x: number; y: number; ageMs: number }[] {
  const found: { x: number; y: number; ageMs: number }[] = [];
  remembered.forHidden(pose, nowMs, (x, y, ageMs) => found.push({ x, y, ageMs }));
  return found;
}

/** The places seen for 200 ms from 0 on. */
function seen(...places: readonly (readonly [number, number])[]): Remembered {
  const remembered = createRemembered();
  for (let nowMs = 0; nowMs <= 200; nowMs += 10) remembered.take(pointsOf(...places), HERE, nowMs);
  return remembered;
}

t.test("what is in sight is not hidden; what is gone is, for a while", (t) => {
  const remembered = seen([5, 2]);
  t.strictSame(hidden(remembered, HERE, 200), []);
  t.strictSame(hidden(remembered, HERE, 500), [{ x: 5, y: 2, ageMs: 300 }]);
  t.strictSame(hidden(remembered, HERE, 1701), []);
  t.end();
});

t.test("it stays where it was while the vehicle moves and turns", (t) => {
  const [found] = hidden(seen([5, 2]), { x: 5, y: 0, yaw: Math.PI / 2 }, 500);
  t.ok(Math.abs(found!.x - 2) < 1e-9 && Math.abs(found!.y) < 1e-9);
  t.end();
});

t.test("neighbours are one thing, what lies apart is another, a glimpse is nothing", (t) => {
  t.strictSame(hidden(seen([5, 2], [5, 2.4]), HERE, 300), [{ x: 5, y: 2.2, ageMs: 100 }]);
  t.equal(hidden(seen([5, 2], [5, -2]), HERE, 300).length, 2);
  const remembered = createRemembered();
  remembered.take(pointsOf([5, 2]), HERE, 0);
  remembered.take(pointsOf(), HERE, 10);
  t.strictSame(hidden(remembered, HERE, 300), []);
  t.end();
});

t.test("it follows what moves, and keeps a dozen things", (t) => {
  const remembered = createRemembered();
  for (let nowMs = 0; nowMs <= 1000; nowMs += 10) remembered.take(pointsOf([5, 2 - nowMs / 1000]), HERE, nowMs);
  t.equal(hidden(remembered, HERE, 1100).length, 1);
  t.ok(Math.abs(hidden(remembered, HERE, 1100)[0]!.y - 1) < 1e-9);
  const crowd = seen(...Array.from({ length: 20 }, (_, i) => [i, i % 2 === 0 ? 3 : -3] as const));
  t.equal(hidden(crowd, HERE, 300).length, 12);
  t.end();
});

t.test("a glance is not remembered unless it tells of the time before", (t) => {
  const glance = createRemembered();
  glance.take(pointsOf([5, 2]), HERE, 1000);
  t.strictSame(hidden(glance, HERE, 1200), []);
  const telling = createRemembered();
  telling.take(pointsOf([5, 2, 500]), HERE, 1000);
  t.strictSame(hidden(telling, HERE, 1200), [{ x: 5, y: 2, ageMs: 200 }]);
  t.end();
});
