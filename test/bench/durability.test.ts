import fc from "fast-check";
import t from "tap";

import { createAppends } from "../../bench/campaigns/durability/appends.ts";
import { createCell, createCounter } from "../../bench/campaigns/durability/cell.ts";
import { createFindings, MISTAKES, type Mistake } from "../../bench/campaigns/durability/findings.ts";
import { readRecord, readRecords, recordText } from "../../bench/campaigns/durability/record.ts";
import { createSequence } from "../../bench/campaigns/durability/sequence.ts";

/** What a check of `found` counts. */
function mistakesOf(check: (findings: ReturnType<typeof createFindings>) => void): Partial<Record<Mistake, number>> {
  const findings = createFindings();
  check(findings);
  return Object.fromEntries(MISTAKES.map((mistake) => [mistake, findings.count(mistake)] as const).filter(([, count]) => count > 0));
}

/** A sequence with `kept` acknowledged and then `asked` without an answer. */
function sequenceOf(kept: number, asked = 0) {
  const sequence = createSequence("edge");
  for (let i = 0; i < kept; i++) sequence.kept(sequence.ask());
  for (let i = 0; i < asked; i++) sequence.ask();
  return sequence;
}

t.test("a record is read back whole, alone and in a row", async (t) => {
  for (const bytes of [0, 20, 21, 500, 70_000]) {
    const text = recordText({ name: "orders", number: 7 }, bytes);
    t.same(readRecord(text), { name: "orders", number: 7 });
    t.ok(text.length >= bytes);
  }
  const [a, b] = [1, 2].map((number) => recordText({ name: "log-0", number }, 100 * number));
  t.same(readRecords(`${a}${b}tail`), {
    records: [
      { name: "log-0", number: 1 },
      { name: "log-0", number: 2 },
    ],
    rest: "tail",
  });
});

t.test("a part of a record, one with a changed byte, and a mixture of two are torn", async (t) => {
  const text = recordText({ name: "orders", number: 12 }, 3000);
  const other = recordText({ name: "orders", number: 13 }, 3000);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2999 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
      t.equal(readRecord(text.slice(0, at)), "torn", `cut at ${at}`);
      const changed = String.fromCharCode(text.charCodeAt(at) ^ change);
      t.not(JSON.stringify(readRecord(text.slice(0, at) + changed + text.slice(at + 1))), JSON.stringify({ name: "orders", number: 12 }));
    }),
  );
  t.equal(readRecord(text.slice(0, 1500) + other.slice(1500)), "torn");
  t.equal(readRecord(`${text}\0`), "torn");
  t.equal(readRecord("\0".repeat(3000)), "torn");
});

t.test("in a sequence, what was asked may be there or not, what was acknowledged must be", async (t) => {
  for (const found of [
    [1, 2, 3],
    [1, 2, 3, 4],
    [1, 2, 3, 5],
    [1, 2, 3, 4, 5],
  ]) {
    t.same(
      mistakesOf((findings) => sequenceOf(3, 2).check(found, findings)),
      {},
      found.join(" "),
    );
  }
});

t.test("a sequence that lost, doubled, reordered or tore something is found out", async (t) => {
  const cases: readonly (readonly [readonly (number | "torn")[], Partial<Record<Mistake, number>>])[] = [
    [[1, 2], { lost: 1 }],
    [[2, 3], { lost: 1 }],
    [[], { lost: 3 }],
    [[1, 2, 2, 3], { doubled: 1 }],
    [[1, 2, 3, 1], { doubled: 1 }],
    [[2, 1, 3], { "out of order": 1 }],
    [[1, 3, 2, 4], { "out of order": 1 }],
    [[1, 2, 3, "torn"], { "half-written": 1 }],
    [[1, "torn", 3], { "half-written": 1, lost: 1 }],
    [[1, 2, 3, 9], { "came back": 1 }],
  ];
  for (const [found, expected] of cases) {
    t.same(
      mistakesOf((findings) => sequenceOf(3, 1).check(found, findings)),
      expected,
      found.join(" "),
    );
  }
});

t.test("what was taken must not come back, what was being taken may", async (t) => {
  const taken = sequenceOf(3);
  taken.take(1);
  taken.taken(1);
  taken.take(2);
  t.same(taken.expected, [3]);
  t.same(
    mistakesOf((findings) => sequenceWithTwoTaken().check([3], findings)),
    {},
  );
  t.same(
    mistakesOf((findings) => sequenceWithTwoTaken().check([2, 3], findings)),
    {},
  );
  t.same(
    mistakesOf((findings) => sequenceWithTwoTaken().check([1, 3], findings)),
    { "came back": 1 },
  );
  t.same(
    mistakesOf((findings) => sequenceWithTwoTaken().check([2], findings)),
    { lost: 1 },
  );

  /** 1 was taken, 2 is being taken, 3 is kept. */
  function sequenceWithTwoTaken() {
    const sequence = sequenceOf(3);
    sequence.take(1);
    sequence.taken(1);
    sequence.take(2);
    return sequence;
  }
});

t.test("a message that was taken before its sender heard of it counts as taken", async (t) => {
  const sequence = createSequence("message");
  const number = sequence.ask();
  sequence.take(number);
  sequence.taken(number);
  sequence.kept(number);
  t.same(sequence.expected, []);
  t.same(
    mistakesOf((findings) => sequence.check([number], findings)),
    { "came back": 1 },
  );
});

t.test("what was refused must not be there, what could not be taken must", async (t) => {
  const sequence = sequenceOf(1);
  sequence.refused(sequence.ask());
  sequence.take(1);
  sequence.leave(1);
  t.same(
    mistakesOf((findings) => sequence.check([], findings)),
    { lost: 1 },
  );
  const again = sequenceOf(1);
  again.refused(again.ask());
  t.same(
    mistakesOf((findings) => again.check([1, 2], findings)),
    { "came back": 1 },
  );
});

t.test("a check settles what was open: the next one demands what was seen and nothing else", async (t) => {
  const sequence = sequenceOf(1, 2);
  t.same(
    mistakesOf((findings) => sequence.check([1, 3], findings)),
    {},
  );
  t.same(
    mistakesOf((findings) => sequence.check([1], findings)),
    { lost: 1 },
  );
  const other = sequenceOf(1, 2);
  t.same(
    mistakesOf((findings) => other.check([1], findings)),
    {},
  );
  t.same(
    mistakesOf((findings) => other.check([1, 2], findings)),
    { "came back": 1 },
  );
});

/** A file with two appends acknowledged and a third on its way; and the texts of all three. */
function appendsInUse() {
  const appends = createAppends("log-1");
  const texts = [200, 300, 400].map((bytes) => appends.append(bytes).text) as [string, string, string];
  appends.kept(1);
  appends.kept(2);
  return { appends, texts };
}

t.test("a file holds what was acknowledged, and of what was not its beginning at most", async (t) => {
  const [first, second, third] = appendsInUse().texts;
  for (const [text, expected] of [
    [first + second, {}],
    [first + second + third, {}],
    [first + second + third.slice(0, 250), {}],
    [first, { lost: 1 }],
    [first + second.slice(0, 250), { lost: 1, "half-written": 1 }],
    [first + first + second, { doubled: 1 }],
    [second + first, { "out of order": 1 }],
    [first + second + third.slice(1, 250), { "half-written": 1 }],
    [`${first + second}\0\0`, { "half-written": 1 }],
    [first + second + third.slice(0, 250) + third, { "half-written": 1 }],
  ] as const) {
    const { appends } = appendsInUse();
    t.same(
      mistakesOf((findings) => appends.check(text, findings)),
      expected,
      JSON.stringify(text.slice(-40)),
    );
  }
});

t.test("the beginning of an append that is found once stays, and spoils the file for more", async (t) => {
  const { appends, texts } = appendsInUse();
  const [first, second, third] = texts;
  const text = first + second + third.slice(0, 100);
  for (let i = 0; i < 2; i++) {
    t.same(
      mistakesOf((findings) => appends.check(text, findings)),
      {},
    );
    t.equal(appends.isSpoilt, true);
  }
  t.same(
    mistakesOf((findings) => appends.check(first + second + third.slice(0, 50), findings)),
    { "half-written": 1 },
  );
  const refused = appendsInUse();
  refused.appends.refused(3);
  t.same(
    mistakesOf((findings) => refused.appends.check(text, findings)),
    { "half-written": 1 },
  );
});

/** Version 1 and 2 acknowledged, 3 on its way. */
function cellInUse() {
  const cell = createCell("volume");
  cell.done(cell.write().ticket);
  cell.done(cell.write().ticket);
  cell.write();
  return cell;
}

t.test("a cell holds what was acknowledged last, or what was sent after it", async (t) => {
  for (const number of [2, 3]) {
    t.same(
      mistakesOf((findings) => cellInUse().check({ name: "volume", number }, findings)),
      {},
    );
  }
  const emptied = cellInUse();
  emptied.empty();
  t.same(
    mistakesOf((findings) => emptied.check(null, findings)),
    {},
  );
  t.same(
    mistakesOf((findings) => createCell("volume").check(null, findings)),
    {},
  );
});

t.test("a cell that is lost, older than acknowledged, torn, or somebody else's is found out", async (t) => {
  t.same(
    mistakesOf((findings) => cellInUse().check(null, findings)),
    { lost: 1 },
  );
  t.same(
    mistakesOf((findings) => cellInUse().check({ name: "volume", number: 1 }, findings)),
    { lost: 1 },
  );
  t.same(
    mistakesOf((findings) => cellInUse().check("torn", findings)),
    { "half-written": 1 },
  );
  t.same(
    mistakesOf((findings) => cellInUse().check({ name: "balance", number: 2 }, findings)),
    { "half-written": 1 },
  );
  t.same(
    mistakesOf((findings) => cellInUse().check({ name: "volume", number: 4 }, findings)),
    { "came back": 1 },
  );
});

t.test("a cell that was emptied or refused a value must not hold it", async (t) => {
  const emptied = cellInUse();
  emptied.done(emptied.empty());
  t.same(
    mistakesOf((findings) => emptied.check({ name: "volume", number: 3 }, findings)),
    { "came back": 1 },
  );
  const refused = cellInUse();
  refused.refused(refused.write().ticket);
  t.same(
    mistakesOf((findings) => refused.check({ name: "volume", number: 4 }, findings)),
    { "came back": 1 },
  );
});

t.test("a check settles a cell: what was open and is not there must not appear later", async (t) => {
  const cell = cellInUse();
  t.same(
    mistakesOf((findings) => cell.check({ name: "volume", number: 2 }, findings)),
    {},
  );
  t.equal(cell.acknowledged, 2);
  t.same(
    mistakesOf((findings) => cell.check({ name: "volume", number: 3 }, findings)),
    { "came back": 1 },
  );
});

t.test("a counter is between what was acknowledged and what was asked, and rises by one", async (t) => {
  const raised = () => {
    const counter = createCounter("visits");
    const findings = createFindings();
    for (const value of [1, 2, 3]) {
      counter.raise();
      counter.raised(value, findings);
    }
    counter.raise();
    t.equal(findings.total, 0);
    return counter;
  };
  for (const found of [3, 4])
    t.same(
      mistakesOf((findings) => raised().check(found, findings)),
      {},
    );
  t.same(
    mistakesOf((findings) => raised().check(2, findings)),
    { lost: 1 },
  );
  t.same(
    mistakesOf((findings) => raised().check(5, findings)),
    { doubled: 1 },
  );
  t.same(
    mistakesOf((findings) => raised().raised(3, findings)),
    { lost: 1 },
  );
  t.same(
    mistakesOf((findings) => raised().raised(5, findings)),
    { doubled: 1 },
  );
});

t.test("findings are counted all, and the first ones described", async (t) => {
  const findings = createFindings();
  for (let i = 0; i < 100; i++) findings.add("lost", `edge ${i}`);
  findings.add("doubled", "edge 1");
  t.equal(findings.count("lost"), 100);
  t.equal(findings.total, 101);
  t.equal(findings.notes[0], "lost: edge 0");
  t.ok(findings.notes.length < 50);
});
