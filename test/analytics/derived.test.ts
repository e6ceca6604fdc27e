import t, { type Test } from "tap";

import type { VariableValue } from "../../agent/contract/variable.ts";
import { startDerived, type DerivedVariables, type ModelShelf } from "../../analytics/derived.ts";
import { derivedNames, derivedVariablesSchema } from "../../analytics/statistics/options.ts";
import { createVariableStore, type Declaration, type VariableStore } from "../../analytics/store.ts";
import { createFakeClock, settled, type FakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog, type FakeLog } from "../helpers/fake-log.ts";

const load = "load";

interface Shelf extends ModelShelf {
  readonly models: Map<string, string>;
  /** The next writes fail. */
  full: boolean;
  writes: number;
}

function createShelf(models: Record<string, string> = {}): Shelf {
  const shelf: Shelf = {
    models: new Map(Object.entries(models)),
    full: false,
    writes: 0,
    read: async (name) => shelf.models.get(name),
    async write(name, text) {
      if (shelf.full) throw new Error("no space left");
      shelf.writes += 1;
      shelf.models.set(name, text);
    },
  };
  return shelf;
}

interface Bench {
  readonly clock: FakeClock;
  readonly store: VariableStore;
  readonly derived: DerivedVariables;
  readonly shelf: Shelf;
  readonly log: FakeLog;
  readonly value: (name: string) => VariableValue | undefined;
  /** Sets variables, lets them be noticed, and 100 ms pass. */
  readonly step: (values: Record<string, VariableValue>) => Promise<void>;
}

interface BenchOptions {
  readonly shelf?: Shelf;
  readonly declared?: Record<string, Declaration>;
  readonly maxVariables?: number;
}

async function bench(
  t: Test,
  fields: unknown,
  { shelf = createShelf(), declared = {}, maxVariables = 100 }: BenchOptions = {},
): Promise<Bench> {
  const clock = createFakeClock();
  const log = createFakeLog();
  const store = createVariableStore({ clock, limits: { maxVariables, maxVariableBytes: 1000 }, declared, defaultStaleMs: 2000 });
  const derived = await startDerived({ derived: derivedVariablesSchema.parse(fields), variables: store, shelf, clock, log });
  t.teardown(() => derived.close());
  return {
    clock,
    store,
    derived,
    shelf,
    log,
    value: (name) => store.get(name)?.value,
    async step(values) {
      for (const [name, value] of Object.entries(values)) store.set(name, value, "test");
      await settled();
      await clock.advance(100);
    },
  };
}

t.test("every kind is published when its variable is set, by the derived variable's name", async (t) => {
  const { step, value, store } = await bench(t, {
    average: { of: load, ewma: { halfLifeMs: 100 } },
    highest: { of: load, window: { show: "max", maxValues: 2 } },
    climb: { of: load, rate: {} },
    odd: { of: load, anomaly: { warmUp: 2, minDeviation: 1 } },
    most: { of: "who", top: {} },
  });
  await step({ load: 10, who: "a" });
  t.equal(value("climb"), undefined, "nothing to compare with yet");
  await step({ load: 20, who: "b" });
  await step({ load: 30, who: "b" });
  t.equal(value("average"), 22.5);
  t.equal(value("highest"), 30);
  t.equal(value("climb"), 100);
  t.ok(Math.abs(Number(value("odd.score")) - 15 / Math.sqrt(50)) < 1e-12);
  t.equal(value("odd.anomalous"), false);
  t.equal(value("most.key"), "b");
  t.ok(Number(value("most.share")) > 0.66);
  t.match(store.get("average"), { source: "derived average", stale: false });
});

t.test("what it is made from goes stale, and so does it, no earlier and no later", async (t) => {
  const { step, store, clock } = await bench(
    t,
    {
      average: { of: load, ewma: { halfLifeMs: 100 } },
      again: { of: "average", window: { show: "mean" } },
      own: { of: load, staleMs: 50, rate: {} },
    },
    { declared: { load: { staleMs: 500 } } },
  );
  await step({ load: 1 });
  await step({ load: 1 });
  t.equal(store.get("own")?.stale, true, "a limit of its own");
  await clock.advance(400);
  for (const name of ["load", "average", "again"]) t.match(store.get(name), { ageMs: 500, stale: false }, name);
  await clock.advance(1);
  for (const name of ["load", "average", "again"]) t.equal(store.get(name)?.stale, true, name);
});

t.test("nothing is made of what was stale when it came", async (t) => {
  const { store, clock, derived } = await bench(t, { average: { of: load, ewma: { halfLifeMs: 100 } } });
  await clock.advance(10_000);
  store.setAt(load, 7, "device", clock.monotonicMs() - 5000);
  await settled();
  t.equal(store.get("average"), undefined);
  t.match(derived.state(), [{ name: "average", kind: "ewma", published: 0, ignored: 1 }]);
});

t.test("true counts as 1; text and lists are no numbers and are counted", async (t) => {
  const { step, value, derived } = await bench(t, { lit: { of: load, window: { show: "mean" } } });
  await step({ load: true });
  await step({ load: false });
  await step({ load: "much" });
  await step({ load: [1, 2] });
  t.equal(value("lit"), 0.5);
  t.match(derived.state(), [{ published: 2, ignored: 2, silent: 0 }]);
});

t.test("what no number holds is not published", async (t) => {
  const { step, value, derived } = await bench(t, { spread: { of: load, window: { show: "stddev" } }, climb: { of: load, rate: {} } });
  await step({ load: Number.MAX_VALUE });
  await step({ load: -Number.MAX_VALUE });
  t.equal(value("spread"), undefined);
  t.equal(value("climb"), undefined);
  t.match(derived.state(), [{ silent: 2 }, { silent: 2 }]);
});

t.test("nobody else may set what is derived", async (t) => {
  const { step, store } = await bench(t, { average: { of: load, ewma: { halfLifeMs: 100 } } });
  await step({ load: 1 });
  t.throws(() => store.setPairs([{ name: "average", text: "5" }], "client"), { code: "DENIED" });
});

t.test("what cannot be published is said once and shown, until it can", async (t) => {
  const { step, derived, log } = await bench(
    t,
    { average: { of: load, ewma: { halfLifeMs: 1 } } },
    { declared: { average: { staleMs: 100, max: 5 } } },
  );
  await step({ load: 9 });
  await step({ load: 9 });
  t.match(derived.state(), [{ lastError: "average is 9; 5 or less is expected" }]);
  t.equal(log.lines.length, 1);
  await step({ load: 1 });
  t.equal(derived.state()[0]?.lastError, undefined);
});

t.test("nothing is published after closing, and no timer is left", async (t) => {
  const { step, derived, value, clock } = await bench(t, {
    average: { of: load, ewma: { halfLifeMs: 100 } },
    risk: { logistic: { features: [load], label: "fault" } },
  });
  await derived.close();
  await step({ load: 1, fault: true });
  t.equal(value("average"), undefined);
  t.equal(clock.pending(), 0);
});

const RISK = { risk: { logistic: { features: ["heat", "noise"], label: "fault", learningRate: 0.3, saveMs: 1000 } } };

async function teach({ step }: Bench, rounds: number): Promise<void> {
  for (let i = 0; i < rounds; i++) {
    const hot = i % 2 === 0;
    await step({ heat: hot ? 80 + (i % 7) : 20 + (i % 5), noise: (i * 31) % 10, fault: hot });
  }
}

t.test("a model learns when its label is set and predicts when its features are", async (t) => {
  const node = await bench(t, RISK);
  await node.step({ heat: 50, noise: 1 });
  t.equal(node.value("risk.probability"), undefined, "nothing was learned yet");
  await teach(node, 200);
  t.equal(node.value("risk.examples"), 200);
  await node.step({ heat: 85 });
  t.ok(Number(node.value("risk.probability")) > 0.9);
  await node.step({ heat: 20 });
  t.ok(Number(node.value("risk.probability")) < 0.1);
  t.equal(node.value("risk.examples"), 200, "features alone teach nothing");
});

t.test("without a feature, and with a label that is none, nothing is learned", async (t) => {
  const node = await bench(t, RISK);
  await node.step({ heat: 50, fault: true });
  await node.step({ noise: 1 });
  await node.step({ fault: "maybe" });
  t.equal(node.value("risk.examples"), undefined);
  await node.clock.advance(5000);
  await node.step({ fault: true, noise: 1 });
  t.equal(node.value("risk.examples"), undefined, "heat is stale");
});

t.test("a prediction is as fresh as its features", async (t) => {
  const node = await bench(t, RISK, { declared: { heat: { staleMs: 300 } } });
  await teach(node, 2);
  await node.clock.advance(200);
  t.equal(node.store.get("risk.probability")?.stale, false);
  await node.clock.advance(1);
  t.equal(node.store.get("risk.probability")?.stale, true);
});

t.test("what was learned is saved when it changed and at the end, and goes on after a restart", async (t) => {
  const node = await bench(t, RISK);
  await teach(node, 30);
  t.equal(node.shelf.writes, 3, "once in 1000 ms");
  await node.clock.advance(5000);
  t.equal(node.shelf.writes, 3, "nothing new, nothing saved");
  await teach(node, 3);
  await node.derived.close();
  t.equal(node.shelf.writes, 4);
  const text = node.shelf.models.get("risk");
  const again = await bench(t, RISK, { shelf: node.shelf });
  await again.step({ heat: 85, noise: 1 });
  t.equal(again.value("risk.examples"), 33);
  t.ok(Number(again.value("risk.probability")) > 0.9);
  await again.derived.close();
  t.equal(again.shelf.models.get("risk"), text);
});

t.test("what cannot be saved is said once and saved later", async (t) => {
  const node = await bench(t, RISK);
  node.shelf.full = true;
  await teach(node, 30);
  t.equal(node.log.lines.length, 1);
  t.match(node.derived.state(), [{ lastError: "no space left" }]);
  node.shelf.full = false;
  await node.clock.advance(1000);
  t.equal(node.shelf.writes, 1);
  t.equal(node.derived.state()[0]?.lastError, undefined);
});

t.test("damaged weights are reported and learned anew", async (t) => {
  const node = await bench(t, RISK, { shelf: createShelf({ risk: "{" }) });
  t.match(node.log.lines, [/^warn risk begins to learn anew: the weights are not JSON/]);
  await teach(node, 2);
  t.equal(node.value("risk.examples"), 2);
});

t.test("a perceptron predicts true or false", async (t) => {
  const node = await bench(t, { alarm: { perceptron: { features: ["heat"], label: "fault", standardise: false } } });
  for (let i = 0; i < 300; i++) await node.step({ heat: i % 10, fault: i % 10 > 4 });
  await node.step({ heat: 9 });
  t.equal(node.value("alarm.predicted"), true);
  await node.step({ heat: 0 });
  t.equal(node.value("alarm.predicted"), false);
});

t.test("a configuration says one kind, and what it is made from", async (t) => {
  const problemsOf = (fields: unknown): readonly string[] =>
    derivedVariablesSchema.safeParse(fields).error?.issues.map(({ path, message }) => `${path.join(".")}: ${message}`) ?? [];
  const model = { features: ["a"], label: "b" };
  t.strictSame(problemsOf({ x: { of: "a" } }), ["x: say one of ewma, window, rate, anomaly, top, logistic, perceptron"]);
  t.strictSame(problemsOf({ x: { of: "a", rate: {}, top: {} } }), [
    "x: say one of ewma, window, rate, anomaly, top, logistic, perceptron, not rate and top",
  ]);
  t.strictSame(problemsOf({ x: { rate: {} } }), ["x: of names the variable it is made from, for example of: cpu_load"]);
  t.strictSame(problemsOf({ x: { of: "a", logistic: model } }), ["x: logistic has features and a label; take away of"]);
  t.strictSame(problemsOf({ x: { logistic: model } }), []);
  t.strictSame(problemsOf({ a: { of: "b", rate: {} }, b: { of: "c", rate: {} }, c: { of: "a", rate: {} }, d: { of: "a", rate: {} } }), [
    "a: it is made from itself: a from b from c from a",
    "b: it is made from itself: b from c from a from b",
    "c: it is made from itself: c from a from b from c",
  ]);
  t.strictSame(problemsOf({ a: { of: "a.score", anomaly: {} } }), ["a: it is made from itself: a from a"]);
  t.strictSame(derivedNames({ a: { of: "b", anomaly: {} }, b: { of: "c", rate: {} }, c: 7, d: {} }), ["a.score", "a.anomalous", "b"]);
});
