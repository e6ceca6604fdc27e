import t from "tap";

import { freeAlong, type Outline, type Points } from "../../../analytics/driving/arc.ts";
import { stoppingDistance } from "../../../analytics/driving/speed.ts";
import { createSteer, HARD_MARGIN_M } from "../../../analytics/driving/steer.ts";
import { drivingOptions, RAYS } from "./scene.ts";

const OUTLINE: Outline = { frontM: 2.5, rearM: 0.6, halfWidthM: 0.75 };

/** Places about the rear axle as the sensor's table and as the points that are made of it. */
function sceneOf(places: readonly (readonly [number, number])[]): { readonly ranges: Float64Array; readonly points: Points } {
  const { forwardM, maxRangeM } = drivingOptions().sensor;
  const ranges = new Float64Array(RAYS).fill(maxRangeM);
  for (const [x, y] of places) {
    const deg = Math.round((Math.atan2(y, x - forwardM) * 180) / Math.PI);
    const ray = (deg + RAYS) % RAYS;
    ranges[ray] = Math.min(ranges[ray]!, Math.hypot(x - forwardM, y));
  }
  const points: Points = { x: Float64Array.from(places, ([x]) => x), y: Float64Array.from(places, ([, y]) => y), count: places.length };
  return { ranges, points };
}

/** Places every 5 cm from one to another. */
function line(fromX: number, fromY: number, toX: number, toY: number): (readonly [number, number])[] {
  const steps = Math.ceil(Math.hypot(toX - fromX, toY - fromY) / 0.05);
  return Array.from({ length: steps + 1 }, (_, i) => [fromX + ((toX - fromX) * i) / steps, fromY + ((toY - fromY) * i) / steps] as const);
}

t.test("who is within the margin already is not evaded into what stands on the other side", (t) => {
  const options = drivingOptions();
  const { limits } = options;
  // Somebody at the left corner of the bumper, and something parked 0.3 m aside of the way on the right.
  const somebody = line(2.3, 1.1, 2.55, 0.95);
  const parked = [...line(2.4, -2.6, 3, -1.3), ...line(3, -1.3, 3.1, -1.05), ...line(3.1, -1.05, 4.2, -1.5)];
  for (const speedMps of [2, 2.5, 3]) {
    for (const mirrored of [1, -1]) {
      const { ranges, points } = sceneOf([...somebody, ...parked].map(([x, y]) => [x, y * mirrored] as const));
      const { curvature } = createSteer(options, OUTLINE).choose(ranges, points, 0, speedMps, 9, mirrored);
      const roomM = freeAlong(points, curvature, OUTLINE, HARD_MARGIN_M, 9);
      const neededM = stoppingDistance(speedMps, limits.emergencyMps2, limits.reactionMs / 1000 / 2);
      t.ok(roomM >= neededM, `${speedMps} m/s needs ${neededM.toFixed(1)} m, the way has ${roomM.toFixed(1)} m`);
    }
  }
  t.end();
});

t.test("who comes from a side is evaded to the other side where that is free", (t) => {
  const { ranges, points } = sceneOf(line(5, 1.2, 5.3, 0.6));
  const { curvature } = createSteer(drivingOptions(), OUTLINE).choose(ranges, points, 0, 3, 9, 1);
  t.ok(curvature < -0.05, `${curvature} 1/m`);
  t.end();
});
