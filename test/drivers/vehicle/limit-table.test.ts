import t from "tap";

import { allCases, failures } from "../../../bench/campaigns/limits/cases.ts";
import { PEDAL_ROWS, pedalLimitsSchema, STEERING_ROWS, steeringLimitsSchema, type LimitRow } from "../../../drivers/vehicle/limit-table.ts";
import type { z } from "zod";

const TABLES: readonly (readonly [string, readonly LimitRow[], z.ZodType])[] = [
  ["gcbaf", PEDAL_ROWS, pedalLimitsSchema],
  ["steering", STEERING_ROWS, steeringLimitsSchema],
];

for (const [device, rows, schema] of TABLES) {
  t.test(`every limit of ${device} has a range, a default within it and a source, and is an option`, async (t) => {
    const defaults = schema.parse({}) as Record<string, number>;
    t.same(Object.keys(defaults).toSorted(), rows.map(({ name }) => name).toSorted());
    for (const { name, min, max, default: usual, what, source } of rows) {
      t.ok(min <= usual && usual <= max && min < max, name);
      t.ok(what.length > 10 && source.length > 10, name);
      t.equal(defaults[name], usual, name);
      // Just after arming the limits may not be wider than later.
      const related = { accelerationMps2: 5, accelerationJerkMps3: 80, lateralMps2: 5, degradeMissed: 1, stopMissed: 1000 };
      const narrow = { transitionAccelerationMps2: 0.1, transitionJerkMps3: 0.1, transitionLateralMps2: 0.5 };
      const all = { ...related, ...(!name.startsWith("transition") && narrow) };
      const own = Object.fromEntries(Object.entries(all).filter(([key]) => key in defaults));
      for (const value of [min, usual, max]) t.ok(schema.safeParse({ ...own, [name]: value }).success, `${name} ${value}`);
      for (const value of [min - 0.001, max + 0.001, NaN, Infinity, "1"])
        t.notOk(schema.safeParse({ ...own, [name]: value }).success, `${name} ${value}`);
    }
    t.notOk(schema.safeParse({ nothing: 1 }).success);
  });
}

for (const { device, row, value, probe } of allCases()) {
  t.test(`${device} keeps ${row.name} of ${value} ${row.unit}: below, at and above`, async (t) => {
    const checks = await probe(value);
    t.ok(checks.length > 0);
    t.same(failures(checks), []);
  });
}
