import fc from "fast-check";
import t from "tap";

import { MOTION_LEASE, STILL_LEASE } from "../../agent/contract/device.ts";
import { AgentError } from "../../agent/contract/errors.ts";
import { isLive, keepsOut, leaseLengthMs, NO_LEASE } from "../../agent/host/lease.ts";

const HELD = { holder: "bench", priority: 100, untilMs: 500 };

t.test("a lease is live until its end, and no longer", (t) => {
  t.equal(isLive(HELD, 499.999), true);
  t.equal(isLive(HELD, 500), false);
  t.equal(isLive(HELD, 501), false);
  t.equal(isLive(NO_LEASE, -1e9), false);
  t.end();
});

t.test("the highest live lease wins, and an ended one keeps nobody out", (t) => {
  t.equal(keepsOut(HELD, "other", 99, false, 0), true, "a lower priority is refused");
  t.equal(keepsOut(HELD, "bench", 99, false, 0), true, "also the holder's own");
  t.equal(keepsOut(HELD, "other", 101, true, 0), false, "a higher one takes over, exclusive or not");
  t.equal(keepsOut(HELD, "other", 100, false, 0), false, "among equals the latest command wins");
  t.equal(keepsOut(HELD, "other", 100, true, 0), true, "unless the device is exclusive");
  t.equal(keepsOut(HELD, "bench", 100, true, 0), false, "to its holder it stays open");
  t.equal(keepsOut(HELD, "other", 0, true, 500), false);
  t.equal(keepsOut(NO_LEASE, "other", 0, true, 0), false);
  t.end();
});

t.test("of any two callers at least one may drive, and a strictly higher priority always may", (t) => {
  const priority = fc.integer({ min: 0, max: 255 });
  fc.assert(
    fc.property(priority, priority, fc.boolean(), fc.integer({ min: 0, max: 1000 }), (held, asked, exclusive, nowMs) => {
      const lease = { holder: "a", priority: held, untilMs: 500 };
      const out = keepsOut(lease, "b", asked, exclusive, nowMs);
      if (nowMs >= 500 || asked > held) return !out;
      if (asked < held) return out;
      return out === exclusive;
    }),
  );
  t.end();
});

t.test("a lease length is the default, or what was asked for within the device's range", (t) => {
  t.equal(leaseLengthMs("lamp", undefined, 2000, STILL_LEASE), 2000);
  t.equal(leaseLengthMs("lamp", 30, 2000, STILL_LEASE), 30);
  t.equal(leaseLengthMs("lamp", 60_000, 2000, STILL_LEASE), 60_000);
  for (const [askedMs, range] of [
    [29, STILL_LEASE],
    [60_001, STILL_LEASE],
    [5001, MOTION_LEASE],
    [29.9, MOTION_LEASE],
    [NaN, MOTION_LEASE],
  ] as const) {
    t.throws(
      () => leaseLengthMs("lamp", askedMs, 2000, range),
      new AgentError(
        "LIMIT",
        `lamp: a lease of ${askedMs} ms is outside ${range.floorMs} to ${range.ceilingMs} ms; repeat the command instead of asking for longer`,
      ),
    );
  }
  t.end();
});

t.test("nobody's lease has a priority below every caller's", (t) => {
  t.equal(NO_LEASE.priority < 0, true);
  t.equal(NO_LEASE.holder, "");
  t.end();
});

t.test("what moves has no lease longer than five seconds", (t) => {
  t.equal(MOTION_LEASE.ceilingMs, 5000);
  t.equal(MOTION_LEASE.defaultMs, 200);
  t.equal(MOTION_LEASE.floorMs, 30);
  t.end();
});
