import t from "tap";

import { goalMet, median, quantile, row, tableText } from "../../bench/report.ts";

t.test("a goal is about the value, or with × about the ratio to the peer", async (t) => {
  t.equal(goalMet("≤ 80", 80, 3), true);
  t.equal(goalMet("≤ 80", 80.1, 3), false);
  t.equal(goalMet("≥ 0.4 ×", 1, 0.4), true);
  t.equal(goalMet("≥ 0.4 ×", 1, 0.39), false);
  t.equal(goalMet("= 0", 0, null), true);
  t.equal(goalMet("= 0", 1, null), false);
});

t.test("a goal that cannot be read, or has no peer to be about, is a mistake", async (t) => {
  t.throws(() => goalMet("fast", 1, 1), { message: /^goal fast is not of the form/ });
  t.throws(() => goalMet("≤ 1.1 ×", 1, null), { message: /no peer/ });
});

t.test("a row says what it is compared with, and null where there is nothing", async (t) => {
  t.same(row({ name: "call", value: 30, unit: "µs", peer: { name: "bare", value: 20 }, goal: "≤ 1.25 ×" }), {
    name: "call",
    value: 30,
    unit: "µs",
    peer: "bare",
    peerValue: 20,
    ratio: 1.5,
    goal: "≤ 1.25 ×",
    met: false,
  });
  t.same(row({ name: "size", value: 18, unit: "MB" }), {
    name: "size",
    value: 18,
    unit: "MB",
    peer: null,
    peerValue: null,
    ratio: null,
    goal: null,
    met: null,
  });
});

t.test("the table keeps three digits and every zero that counts", async (t) => {
  const table = tableText([
    row({ name: "start", value: 390.4, unit: "ms", peer: { name: "bare", value: 71.64 }, goal: "≤ 300" }),
    row({ name: "rate", value: 506_329.2, unit: "1/s" }),
    row({ name: "share", value: 0.00123, unit: "" }),
  ]);
  t.equal(
    table,
    [
      "figure    value  unit  peer  peer value   ratio  goal",
      "start       390  ms    bare        71.6  5.45 ×  ≤ 300  NOT MET",
      "rate    506,329  1/s",
      "share   0.00123",
    ].join("\n"),
  );
});

t.test("quantiles are interpolated", async (t) => {
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, 1, 2, 3]), 2.5);
  t.equal(quantile([10, 20, 30], 0.25), 15);
});
