import t from "tap";

import { createMoving, type Moving } from "../../../analytics/driving/moving.ts";
import { drivingOptions, RAYS } from "./scene.ts";

const WALL_M = 6.6;
const BOX_M = 5;

/** A wall, a box before it on the right, and somebody between them whose right half the box hides: what is seen of him reaches to `leftDeg`. */
function behindBox(leftDeg: number, step: number): Float64Array {
  const noise = (ray: number): number => 0.01 * Math.sin(ray * 7.3 + step * 3.1);
  return Float64Array.from({ length: RAYS }, (_, ray) => {
    if (ray >= 4 && ray <= 18) return BOX_M + noise(ray);
    return (ray > 18 && ray <= leftDeg ? 5.8 : WALL_M) + noise(ray);
  });
}

/** Whether any ray about the box has moved. */
function moves(moving: Moving, nowMs: number): boolean {
  return Array.from({ length: 30 }, (_, ray) => moving.has(ray, nowMs)).includes(true);
}

t.test("who walks behind something is found by the place he leaves", (t) => {
  const moving = createMoving(drivingOptions());
  let nowMs = 1000;
  let step = 0;
  const look = (leftDeg: number, ms: number): void => {
    for (const endMs = nowMs + ms; nowMs < endMs; nowMs += 10) moving.take(behindBox(leftDeg, step++), nowMs, 0, 0);
  };
  look(24, 1500);
  t.notOk(moves(moving, nowMs), "who stands has not moved");
  look(23, 150);
  t.notOk(moves(moving, nowMs), "one ray is an edge");
  look(21, 150);
  t.ok(moves(moving, nowMs - 10));
  t.ok(
    [...Array(30).keys()].some((ray) => moving.has(ray, nowMs - 10) && moving.sinceMs(ray) <= nowMs - 150),
    "it is known since before",
  );
  t.end();
});

t.test("a hole that is filled with what is beside it has left no place", (t) => {
  const moving = createMoving(drivingOptions());
  for (let step = 0; step < 200; step++) {
    const table = behindBox(18, step);
    // Now and then the box's last reading stands for the next two, which are missing.
    if (step % 40 < 12) table.fill(table[18]!, 19, 21);
    moving.take(table, 1000 + 10 * step, 0, 0);
    for (let ray = 10; ray <= 18; ray++) t.notOk(moving.has(ray, 1000 + 10 * step));
  }
  t.end();
});
