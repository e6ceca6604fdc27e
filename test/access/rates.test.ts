import t from "tap";

import { createBackOff, createRates, networkOf } from "../../agent/access/rates.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";

t.test("a second's worth may come at once, then as many as the rate has", (t) => {
  const clock = createFakeClock();
  const rates = createRates({ perSecond: 10, maxAddresses: 16, clock });
  const bucket = rates.ofAddress("192.0.2.1");
  t.ok(bucket);
  for (let i = 0; i < 10; i++) t.equal(bucket?.take(), 0);
  t.equal(bucket?.take(), 100);
  clock.advanceNow(50);
  t.equal(Math.round(bucket?.take() ?? 0), 50, "asking does not make it longer");
  clock.advanceNow(50);
  t.equal(bucket?.take(), 0);
  t.not(bucket?.take(), 0);
  clock.advanceNow(3_600_000);
  let passed = 0;
  while (bucket?.take() === 0) passed++;
  t.equal(passed, 10, "more than a second's worth is not saved up");
  t.end();
});

t.test("all connections of one address, one IPv6 network, or one user share a bucket", (t) => {
  const clock = createFakeClock();
  const rates = createRates({ perSecond: 2, maxAddresses: 16, clock });
  t.equal(rates.ofAddress("192.0.2.1"), rates.ofAddress("192.0.2.1"));
  t.not(rates.ofAddress("192.0.2.1"), rates.ofAddress("192.0.2.2"));
  t.equal(rates.ofAddress("2001:db8::1"), rates.ofAddress("2001:db8:0:0:ffff::2"));
  const ada = { name: "ada", perSecond: 5 };
  t.equal(rates.ofUser(ada), rates.ofUser({ ...ada }));
  t.not(rates.ofUser(ada), rates.ofUser({ ...ada, perSecond: 6 }), "a changed rate counts from now on");
  t.equal(rates.ofUser({ name: "bob", perSecond: undefined }), undefined);
  t.equal(createRates({ perSecond: undefined, maxAddresses: 16, clock }).ofAddress("192.0.2.1"), undefined);
  t.end();
});

t.test("addresses beyond measure: the one not heard of longest is forgotten", (t) => {
  const rates = createRates({ perSecond: 2, maxAddresses: 16, clock: createFakeClock() });
  const first = rates.ofAddress("10.0.0.0");
  const second = rates.ofAddress("10.0.0.1");
  for (let i = 2; i < 16; i++) rates.ofAddress(`10.0.0.${i}`);
  t.equal(rates.ofAddress("10.0.0.0"), first);
  rates.ofAddress("10.0.0.16");
  t.equal(rates.ofAddress("10.0.0.0"), first);
  t.not(rates.ofAddress("10.0.0.1"), second);
  t.end();
});

t.test("wrong tokens cost nothing at first, then twice as long each time, and are forgotten in the end", (t) => {
  const clock = createFakeClock();
  const backOff = createBackOff({ free: 3, waitMs: 1000, maxWaitMs: 8000, maxAddresses: 16, clock });
  const waits: number[] = [];
  for (let i = 0; i < 8; i++) {
    backOff.wrong("192.0.2.1");
    waits.push(backOff.waitMs("192.0.2.1"));
    clock.advanceNow(waits.at(-1) ?? 0);
    t.equal(backOff.waitMs("192.0.2.1"), 0);
  }
  t.strictSame(waits, [0, 0, 1000, 2000, 4000, 8000, 8000, 8000]);
  t.equal(backOff.waitMs("192.0.2.2"), 0, "others do not pay for it");
  clock.advanceNow(79_999);
  backOff.wrong("192.0.2.1");
  t.equal(backOff.waitMs("192.0.2.1"), 8000);
  clock.advanceNow(88_000);
  backOff.wrong("192.0.2.1");
  t.equal(backOff.waitMs("192.0.2.1"), 0, "forgotten");
  t.end();
});

t.test("an IPv6 address counts for its /64, whatever way it is written", (t) => {
  for (const [address, network] of [
    ["192.0.2.1", "192.0.2.1"],
    ["local", "local"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:0db8:0001:0002::6", "2001:db8:1:2::/64"],
    ["2001:db8::6", "2001:db8:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["2001:db8::", "2001:db8:0:0::/64"],
    ["1::2:3:4:5:6:7", "1:0:2:3::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ] as const)
    t.equal(networkOf(address), network, address);
  t.end();
});
