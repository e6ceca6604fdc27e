import fc from "fast-check";
import t, { type Test } from "tap";

import type { Variable, VariableValue } from "../../../agent/contract/variable.ts";
import { createPairCounts, createPairParser } from "../../../analytics/pairs.ts";
import { linesText, pairText } from "../../../analytics/sinks/lines.ts";
import { createMatcher, createSelection, type Selection, type SelectionRule } from "../../../analytics/sinks/selection.ts";
import { rulesOf } from "../../../analytics/sinks/sink.ts";
import { createVariableStore, type VariableStore } from "../../../analytics/store.ts";
import { createFakeClock, settled, type FakeClock } from "../../helpers/fake-clock.ts";

interface Bench {
  readonly clock: FakeClock;
  readonly store: VariableStore;
  readonly selection: Selection;
  /** `1000 a=1 b=2`, one for each batch. */
  readonly batches: string[];
  readonly set: (values: Record<string, VariableValue>) => Promise<void>;
}

function createStore(clock: FakeClock): VariableStore {
  return createVariableStore({ clock, limits: { maxVariables: 100, maxVariableBytes: 10_000 }, declared: {}, defaultStaleMs: 2000 });
}

function bench(t: Test, rules: readonly SelectionRule[]): Bench {
  const clock = createFakeClock(0);
  const store = createStore(clock);
  const batches: string[] = [];
  const emit = (batch: readonly Variable[]): void => {
    batches.push(`${clock.monotonicMs()} ${batch.map(({ name, value }) => pairText(name, value)).join(" ")}`);
  };
  const selection = createSelection({ variables: store, rules, clock, emit });
  t.teardown(() => selection.close());
  const set = async (values: Record<string, VariableValue>): Promise<void> => {
    for (const [name, value] of Object.entries(values)) store.set(name, value, "test");
    await settled();
  };
  return { clock, store, selection, batches, set };
}

t.test("without limits every turn's values are one batch, of the names that fit", async (t) => {
  const { set, batches, clock } = bench(t, [{ variables: ["cpu_*", "!cpu_temp", "gear"] }]);
  await set({ cpu_load: 1, cpu_temp: 50, gear: "D", speed: 3 });
  await set({ cpu_load: 1 });
  await set({ speed: 3 });
  t.strictSame(batches, ["0 cpu_load=1 gear=D", "0 cpu_load=1"]);
  t.equal(clock.pending(), 0);
});

t.test("a rate is kept whatever comes, and what is sent is the latest", async (t) => {
  const { set, batches, clock } = bench(t, [{ variables: ["*"], rateHz: 10 }]);
  for (let i = 0; i < 500; i++) {
    await set({ speed: i });
    await clock.advance(1);
  }
  t.equal(batches.length, 6);
  t.strictSame(batches.slice(0, 3), ["0 speed=0", "100 speed=99", "200 speed=199"]);
  await clock.advance(1000);
  t.strictSame(batches.slice(5), ["500 speed=499"], "the last value is sent as well, and then nothing");
});

t.test("timers that are late do not lower the rate", async (t) => {
  const { set, batches, clock } = bench(t, [{ variables: ["*"], rateHz: 100 }]);
  for (let i = 0; i < 1000; i++) {
    await set({ speed: i });
    await clock.advance(0.7);
  }
  t.ok(Math.abs(batches.length - 70) <= 1, `${batches.length} in 700 ms`);
});

t.test("a deadband holds back what is like the value that was sent, not the one before", async (t) => {
  const { set, batches } = bench(t, [{ variables: ["*"], deadband: 0.5 }]);
  for (const value of [1, 1.4, 1.5, 1.6, 1.1, 1]) await set({ a: value });
  await set({ a: "text" });
  await set({ a: "text" });
  await set({ a: true });
  for (const list of [[1, 2], [1.5, 2], [1.5, 2.6], [1.5], [1.5]]) await set({ a: list });
  t.strictSame(batches, ["0 a=1", "0 a=1.6", "0 a=1", "0 a=text", "0 a=true", "0 a=[1 2]", "0 a=[1.5 2.6]", "0 a=[1.5]"]);
});

t.test("a deadband of 0 sends changes only; an update is repeated after repeatMs, and nothing by itself", async (t) => {
  const { set, batches, clock } = bench(t, [{ variables: ["*"], deadband: 0, repeatMs: 1000 }]);
  for (let i = 0; i < 30; i++) {
    await set({ a: 7 });
    await clock.advance(100);
  }
  await clock.advance(60_000);
  t.strictSame(batches, ["0 a=7", "1000 a=7", "2000 a=7"]);
});

t.test("a batch collects for its time, each variable once with its latest value", async (t) => {
  const { set, batches, clock } = bench(t, [{ variables: ["*"], batchMs: 50 }]);
  await set({ a: 1 });
  await clock.advance(20);
  await set({ b: 1 });
  await set({ a: 2 });
  await clock.advance(30);
  await clock.advance(100);
  t.strictSame(batches, ["50 a=2", "70 b=1"]);
});

t.test("the first rule that fits decides, so that one table may have a pace of its own", async (t) => {
  const pace = { variables: ["horizontal"], rateHz: 100 };
  const { set, batches, clock } = bench(
    t,
    rulesOf({ variables: ["*", "!secret"], rateHz: 1, batchMs: 0, paces: [{ ...pace, batchMs: 0 }] }),
  );
  for (let i = 0; i < 20; i++) {
    await set({ horizontal: [i, 2], speed: i, secret: i });
    await clock.advance(10);
  }
  t.equal(batches.filter((line) => line.includes("horizontal")).length, 20);
  t.equal(batches.filter((line) => line.includes("speed")).length, 1);
  t.notOk(batches.some((line) => line.includes("secret")));
});

t.test("what has gone stale while it waited is not sent", async (t) => {
  const { set, batches, clock, selection } = bench(t, [{ variables: ["*"], rateHz: 0.1 }]);
  await set({ a: 1 });
  await set({ a: 2 });
  t.match(selection.latest("a"), { value: 2 });
  await clock.advance(20_000);
  t.strictSame(batches, ["0 a=1"]);
  t.equal(selection.latest("a"), undefined);
  t.strictSame(selection.snapshot(), []);
});

t.test("a snapshot has everything that is selected; flushing sends what waits; closing ends it", async (t) => {
  const { set, batches, clock, selection } = bench(t, [{ variables: ["a", "b"], batchMs: 1000 }]);
  await set({ a: 1, b: 2, c: 3 });
  t.strictSame(
    selection.snapshot().map(({ name }) => name),
    ["a", "b"],
  );
  t.equal(selection.latest("c"), undefined);
  selection.flush();
  t.strictSame(batches, ["0 a=1 b=2"]);
  await set({ a: 5 });
  selection.close();
  await set({ a: 6 });
  await clock.advance(5000);
  t.equal(batches.length, 1);
  t.equal(clock.pending(), 0);
});

t.test("patterns fit as the same regular expression does, and take no time for many stars", async (t) => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "*", "?"), maxLength: 8 });
  fc.assert(
    fc.property(word, fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 8 }), (pattern, name) => {
      const expected = new RegExp(`^${pattern.replaceAll("*", ".*").replaceAll("?", ".")}$`);
      return createMatcher([pattern])(name) === expected.test(name);
    }),
  );
  t.equal(createMatcher(["*a".repeat(60)])("a".repeat(127) + "b"), false);
  t.equal(createMatcher(["!a"])("b"), true);
  t.equal(createMatcher(["!a"])("a"), false);
});

/** What the analytics make of the text. */
function readBack(text: string): Record<string, unknown> {
  const store = createStore(createFakeClock());
  const counts = createPairCounts();
  const parser = createPairParser({ sink: store.intake("test", counts), counts, maxPairBytes: 100_000 });
  parser.push(Buffer.from(text));
  t.match(counts, { malformed: 0, tooLong: 0, torn: 0, refused: 0 });
  return Object.fromEntries(store.names().map((name) => [name, store.get(name)?.value]));
}

t.test("whatever is written is read back as what it was", async (t) => {
  const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
  const text = fc
    .oneof(
      fc.string({ maxLength: 30 }),
      fc.string({ unit: fc.constantFrom(...Array.from("a1 ,[]{}'=.-+\"\n")), maxLength: 12 }),
      fc.constantFrom("true", "nan", "-inf", "1e5", "", ".5"),
    )
    .map((value) => value.replace(/[\r\n\0]/g, " "))
    .filter((value) => !(value.includes('"') && value.includes("'")));
  const value = fc.oneof(number, text, fc.boolean(), fc.array(number, { maxLength: 20 }));
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 5 }), (values) => {
      const batch = values.map((one, i) => ({ name: `v${i}`, value: one }) as Variable);
      t.strictSame(readBack(linesText(batch)), Object.fromEntries(batch.map((one) => [one.name, one.value])));
      t.strictSame(
        readBack(batch.map((one) => pairText(one.name, one.value)).join(",") + "\n"),
        Object.fromEntries(batch.map((one) => [one.name, one.value])),
      );
    }),
  );
});

t.test("text is always one line; a table is one short line", async (t) => {
  t.equal(pairText("a", `it's "so"\nnow`), `a="it's 'so' now"`);
  t.equal(pairText("scan", [1, 2.5, -3]), "scan=[1 2.5 -3]");
  t.equal(pairText("a", 'say "so"'), `a='say "so"'`);
});
