import fc from "fast-check";
import t from "tap";

import { createGround } from "../../../analytics/driving/ground.ts";
import { createDrive, drivingOptions, nothing, RAYS } from "./scene.ts";

const DEG = Math.PI / 180;
const OPTIONS = drivingOptions();
const { heightM, maxRangeM } = OPTIONS.sensor;

interface Scene {
  /** The ground ends so far ahead of the sensor. */
  readonly dropM?: number;
  /** Something hangs or stands so far ahead, from this height to that. */
  readonly thing?: { readonly aheadM: number; readonly fromM: number; readonly toM: number };
  /** The sensor looks up by so much. */
  readonly pitchDeg?: number;
}

/** What the upright plane ahead looks like. */
function upright({ dropM = Infinity, thing, pitchDeg = 0 }: Scene): number[] {
  return Array.from({ length: RAYS }, (_, ray) => {
    const up = Math.sin((ray + pitchDeg) * DEG);
    const along = Math.cos((ray + pitchDeg) * DEG);
    let range = up < 0 ? Math.min(maxRangeM, heightM / -up) : maxRangeM;
    if (along > 0 && range * along > dropM) range = maxRangeM;
    if (thing === undefined || along <= 0) return range;
    const height = heightM + (thing.aheadM / along) * up;
    return height >= thing.fromM && height <= thing.toM ? Math.min(range, thing.aheadM / along) : range;
  });
}

const ground = createGround(OPTIONS);
/** The sensor is 0.1 m behind the bumper. */
const OVER_M = 0.1;

t.test("level ground is clear as far as the sensor reaches", (t) => {
  t.equal(ground.clearAhead(upright({})), maxRangeM - OVER_M);
  t.equal(ground.clearAhead([]), maxRangeM - OVER_M, "no readings say nothing");
  t.equal(ground.clearAhead(Array<number>(RAYS).fill(0)), maxRangeM - OVER_M);
  t.end();
});

t.test("braking and bumps make no obstacles of level ground", (t) => {
  fc.assert(
    fc.property(fc.double({ min: -2, max: 2, noNaN: true }), (pitchDeg) => ground.clearAhead(upright({ pitchDeg })) === maxRangeM - OVER_M),
  );
  t.end();
});

t.test("a drop ends the way, not after it and within what the pitch leaves in doubt before it", (t) => {
  fc.assert(
    fc.property(fc.double({ min: 1, max: 9, noNaN: true }), (dropM) => {
      const clear = ground.clearAhead(upright({ dropM })) + OVER_M;
      return clear <= dropM + 1e-6 && clear > 0.6 * dropM - 0.3;
    }),
  );
  t.end();
});

t.test("a drop is seen no later than the ground is said to be seen", (t) => {
  t.ok(ground.sightM > 3, `${ground.sightM} m`);
  const seen = ground.clearAhead(upright({ dropM: ground.sightM + OVER_M }));
  t.ok(seen <= ground.sightM + 1e-6);
  t.end();
});

t.test("what is too low to pass under ends the way, what is higher does not", (t) => {
  const beam = (fromM: number) => ground.clearAhead(upright({ thing: { aheadM: 6, fromM, toM: fromM + 0.5 } }));
  t.ok(Math.abs(beam(1.4) - (6 - OVER_M)) < 0.05, "1.4 m high for a vehicle of 1.8 m");
  t.equal(beam(2.6), maxRangeM - OVER_M);
  t.end();
});

t.test("a box on the road ends the way, a kerb does not", (t) => {
  const box = (toM: number) => ground.clearAhead(upright({ thing: { aheadM: 5, fromM: 0, toM } }));
  t.ok(Math.abs(box(0.6) - (5 - OVER_M)) < 0.3);
  t.equal(box(0.08), maxRangeM - OVER_M);
  t.end();
});

t.test("one wrong reading stops nobody", (t) => {
  const table = upright({});
  table[2] = 3;
  t.equal(ground.clearAhead(table), maxRangeM - OVER_M);
  table[3] = 3;
  t.ok(ground.clearAhead(table) < 3.1, "two that agree do");
  t.end();
});

t.test("a sensor that never sees the ground says so", (t) => {
  t.equal(createGround(drivingOptions({ sensor: { heightM: 5, maxRangeM: 2 } })).sightM, 0);
  t.end();
});

t.test("a sensor that looks down is taken as looking down", (t) => {
  const tilted = createGround(drivingOptions({ sensor: { pitchDeg: -10 } }));
  t.equal(tilted.clearAhead(upright({ pitchDeg: -10 })), maxRangeM - OVER_M);
  t.ok(tilted.clearAhead(upright({ pitchDeg: -10, dropM: 4 })) <= 4);
  t.end();
});

t.test("a drop stops the vehicle, and the ground's sight bounds its speed", (t) => {
  const free = createDrive().hold(nothing(), 4, 700, { vertical: upright({}) });
  t.match(free, { reason: "ground not seen farther" });
  t.ok(free.speedMps < 6 && free.speedMps > 3);
  t.match(createDrive().hold(nothing(), 0, 700, { vertical: upright({ dropM: 0.8 }) }), {
    speedMps: 0,
    reason: "obstacle ahead",
    acceleratorPercent: 0,
  });
  t.end();
});
