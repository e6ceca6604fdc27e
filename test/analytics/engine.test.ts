import t, { type Test } from "tap";

import { AgentError, type ErrorCode } from "../../agent/contract/errors.ts";
import { errorReply, OK, type Caller, type Reply, type Service } from "../../agent/contract/request.ts";
import type { Journal } from "../../agent/contract/journal.ts";
import type { Eventually } from "../../agent/contract/value.ts";
import { startEngine, type Engine, type RuleState } from "../../analytics/engine.ts";
import { compileRule, type RuleSource } from "../../analytics/rule.ts";
import { createVariableStore, type VariableStore } from "../../analytics/store.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { createFakeClock, settled, type FakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog, type FakeLog } from "../helpers/fake-log.ts";

interface Bench {
  readonly clock: FakeClock;
  readonly store: VariableStore;
  readonly engine: Engine;
  readonly log: FakeLog;
  /** `at: words`, milliseconds since the start, in order. */
  readonly calls: string[];
  /** The caller of each call, as it was then. */
  readonly callers: Caller[];
  readonly journal: Journal;
  /** What the service answers from now on. */
  answer: (words: string) => Eventually<Reply>;
  /** Sets variables and lets the engine notice. */
  readonly set: (values: Record<string, number | boolean | string>) => Promise<void>;
  readonly state: (name: string) => RuleState | undefined;
}

const LEASES: Readonly<Record<string, number>> = { lamp: 300, pan: 200, fan: 30 };

function bench(t: Test, rules: Record<string, Omit<RuleSource, "priority">>): Bench {
  const clock = createFakeClock();
  const startMs = clock.monotonicMs();
  const store = createVariableStore({
    clock,
    limits: { maxVariables: 100, maxVariableBytes: 1000 },
    declared: { battery_v: { staleMs: 1000 }, angle: { staleMs: 1000 } },
    defaultStaleMs: 3_600_000,
  });
  const log = createFakeLog();
  const calls: string[] = [];
  const callers: Caller[] = [];
  const journal = createJournal(clock);
  const made = { answer: (_words: string): Eventually<Reply> => OK };
  const service: Service = {
    verbs: [],
    handle({ verb, args }, caller) {
      t.equal(verb, "CLONE");
      calls.push(`${clock.monotonicMs() - startMs}: ${args.join(" ")}`);
      callers.push({ ...caller });
      return made.answer(args.join(" "));
    },
  };
  const engine = startEngine({
    rules: Object.entries(rules).map(([name, source]) => compileRule(name, { ...source, priority: 10 })),
    variables: store,
    service,
    leaseMsOf: (device) => LEASES[device] ?? 2000,
    journal,
    clock,
    log,
  });
  t.teardown(() => {
    engine.close();
  });
  return Object.assign(made, {
    clock,
    store,
    log,
    calls,
    callers,
    journal,
    engine,
    async set(values: Record<string, number | boolean | string>) {
      for (const [name, value] of Object.entries(values)) store.set(name, value, "test");
      await settled();
      await settled();
    },
    state: (name: string) => engine.state().find((rule) => rule.name === name),
  });
}

const LOW_BEAM = { when: "lights.on && battery_v < 11.5", call: 'lamp.beam("low")' };
const HIGH_BEAM = { when: "lights.on && battery_v >= 11.5", call: 'lamp.beam("high")' };

t.test("a rule calls at once when its condition becomes true, and repeats within the lease while it lasts", async (t) => {
  const { calls, callers, clock, set, state } = bench(t, { "low-beam": LOW_BEAM });
  t.match(state("low-beam"), { holding: false, calling: false, blocked: "lights.on has not been set", fired: 0 });
  await set({ battery_v: 12, "lights.on": true });
  t.match(state("low-beam"), { holding: false, blocked: "the condition is false" });
  await clock.advance(10);
  await set({ battery_v: 11 });
  t.strictSame(calls, ["10: PRIORITY 10 lamp.beam low"]);
  t.match(callers, [{ name: "rule low-beam", priority: 10 }]);
  await clock.advance(250);
  t.strictSame(calls.slice(1), ["110: PRIORITY 10 lamp.beam low", "210: PRIORITY 10 lamp.beam low"], "a third of the lamp's 300 ms");
  t.match(state("low-beam"), { holding: true, calling: true, blocked: undefined, fired: 3, refused: 0, lastError: undefined });
  await set({ battery_v: 10 });
  t.equal(calls.length, 3, "another value that means the same is no news");
  await set({ battery_v: 12 });
  await clock.advance(1000);
  t.equal(calls.length, 3, "nothing opposite is called when the condition ends");
  t.equal(clock.pending(), 0);
  t.end();
});

t.test("a rule stops within one repetition after a variable it reads goes stale, and says so", async (t) => {
  const { calls, clock, set, state } = bench(t, { "low-beam": LOW_BEAM });
  await set({ "lights.on": true, battery_v: 11 });
  await clock.advance(5000);
  t.equal(calls.at(-1), "1000: PRIORITY 10 lamp.beam low", "still fresh at exactly its 1000 ms");
  t.match(state("low-beam"), { holding: false, calling: false, blocked: "battery_v is stale: set 5000 ms ago" });
  t.equal(clock.pending(), 0);
  await set({ "lights.on": true });
  t.equal(calls.at(-1), "1000: PRIORITY 10 lamp.beam low", "another variable's news does not make the stale one fresh");
  await set({ battery_v: 11 });
  t.equal(calls.at(-1), "5000: PRIORITY 10 lamp.beam low", "fresh again");
  t.end();
});

t.test("a change of the arguments is called at once and starts the repetition afresh", async (t) => {
  const { calls, clock, set } = bench(t, { follow: { when: "angle > -90 && angle < 90", call: "pan.to(angle)", leaseMs: 150 } });
  await set({ angle: 10 });
  await clock.advance(30);
  await set({ angle: 20 });
  await clock.advance(60);
  await set({ angle: 20 });
  t.strictSame(calls, ["0: LEASE 150 PRIORITY 10 pan.to 10", "30: LEASE 150 PRIORITY 10 pan.to 20", "80: LEASE 150 PRIORITY 10 pan.to 20"]);
  t.end();
});

t.test("a short lease is repeated every 10 ms at most", async (t) => {
  const { calls, clock, set } = bench(t, { cool: { when: "hot", call: "fan.on()" }, fast: { when: "hot", call: "pan.on()", leaseMs: 3 } });
  await set({ hot: true });
  calls.length = 0;
  await clock.advance(30);
  t.equal(calls.filter((call) => call.endsWith("fan.on")).length, 3);
  t.equal(calls.filter((call) => call.endsWith("pan.on")).length, 3);
  t.end();
});

t.test("of the rules of one device the first that holds calls; the next takes over when it ends", async (t) => {
  const { calls, clock, set, state } = bench(t, {
    fog: { when: "fog", call: 'lamp.beam("low")' },
    "high-beam": HIGH_BEAM,
    fan: { when: "fog", call: "fan.on()", leaseMs: 600_000 },
  });
  await set({ "lights.on": true, battery_v: 12 });
  t.match(state("fog"), { blocked: "fog has not been set" });
  await clock.advance(100);
  await set({ fog: true });
  await clock.advance(100);
  t.strictSame(calls, [
    "0: PRIORITY 10 lamp.beam high",
    "100: PRIORITY 10 lamp.beam high",
    "100: PRIORITY 10 lamp.beam low",
    "100: LEASE 600000 PRIORITY 10 fan.on",
    "200: PRIORITY 10 lamp.beam low",
  ]);
  t.match(state("high-beam"), { holding: true, calling: false, blocked: "rule fog comes first" });
  t.match(state("fan"), { calling: true });
  await set({ fog: false });
  t.equal(calls.at(-1), "200: PRIORITY 10 lamp.beam high");
  t.strictSame(
    bench(t, { b: HIGH_BEAM, a: LOW_BEAM })
      .engine.state()
      .map(({ name }) => name),
    ["b", "a"],
    "states come in the order of the configuration",
  );
  t.end();
});

function refusing(code: ErrorCode, message: string): () => Reply {
  return () => errorReply(new AgentError(code, message));
}

t.test("a refused call is counted, told once, and repeated until it is accepted", async (t) => {
  const made = bench(t, { "low-beam": LOW_BEAM });
  const { calls, clock, log, set, state } = made;
  made.answer = refusing("IN_USE", "lamp is held by operator");
  await set({ "lights.on": true, battery_v: 11 });
  await clock.advance(250);
  t.equal(calls.length, 3);
  t.match(state("low-beam"), {
    holding: true,
    calling: true,
    blocked: "IN_USE lamp is held by operator",
    fired: 0,
    refused: 3,
    lastError: "IN_USE lamp is held by operator",
  });
  t.strictSame(log.lines, ["info rule low-beam waits: lamp is held by operator"]);
  made.answer = () => OK;
  await clock.advance(100);
  t.match(state("low-beam"), { blocked: undefined, fired: 1, refused: 3, lastError: "IN_USE lamp is held by operator" });
  made.answer = refusing("FAULTED", "lamp is faulted");
  await clock.advance(200);
  t.strictSame(log.lines.slice(1), ["warn rule low-beam was refused: FAULTED lamp is faulted"]);
  t.end();
});

t.test("while a call is unanswered no other is made, and then only the latest", async (t) => {
  const made = bench(t, { follow: { when: "angle > -90", call: "pan.to(angle)" } });
  const { calls, clock, set } = made;
  const answers: ((reply: Reply) => void)[] = [];
  made.answer = () => new Promise((resolve) => answers.push(resolve));
  await set({ angle: 1 });
  await set({ angle: 2 });
  await clock.advance(100);
  await set({ angle: 3 });
  t.equal(calls.length, 1);
  answers.shift()?.(OK);
  await settled();
  t.strictSame(calls.slice(1), ["100: PRIORITY 10 pan.to 3"]);
  await set({ angle: -90 });
  answers.shift()?.(OK);
  await clock.advance(500);
  t.equal(calls.length, 2, "the condition ended meanwhile");
  t.end();
});

t.test("a rule whose values do not fit does not call, says why, and is told once", async (t) => {
  const { calls, clock, log, set, state } = bench(t, { "low-beam": LOW_BEAM, bad: { when: "x > 0", call: "pan.to(1 / (x - 1))" } });
  await set({ "lights.on": true, battery_v: "low", x: 1 });
  await set({ battery_v: "low" });
  t.strictSame(calls, []);
  t.match(state("low-beam"), { holding: false, blocked: "no such overload: dyn<string> < double" });
  t.match(state("bad"), { holding: false, blocked: /^argument 1 of the call is Infinity/ });
  t.strictSame(
    log.lines.map((line) => line.slice(0, 42)),
    ["warn rule low-beam cannot be worked out: n", "warn rule bad cannot be worked out: argume"],
  );
  await set({ battery_v: 11 });
  t.equal(calls.length, 1);
  await clock.advance(0);
  t.end();
});

t.test("a rule that reads nothing holds from the start, and closing ends everything", async (t) => {
  const { calls, callers, clock, engine, set } = bench(t, { always: { when: "true", call: "fan.on()" }, "low-beam": LOW_BEAM });
  t.strictSame(calls, ["0: PRIORITY 10 fan.on"]);
  await set({ "lights.on": true, battery_v: 11 });
  engine.close();
  t.equal(callers[0]?.signal.aborted, true);
  t.equal(clock.pending(), 0);
  calls.length = 0;
  await set({ battery_v: 12 });
  await set({ battery_v: 11 });
  await clock.advance(1000);
  t.strictSame(calls, []);
  t.end();
});

t.test("an answer that comes after closing is not followed by another call", async (t) => {
  const made = bench(t, { follow: { when: "angle > 0", call: "pan.to(angle)" } });
  let answer: (reply: Reply) => void = () => undefined;
  made.answer = () => new Promise((resolve) => (answer = resolve));
  await made.set({ angle: 1 });
  await made.set({ angle: 2 });
  made.engine.close();
  answer(OK);
  await settled();
  t.equal(made.calls.length, 1);
  t.end();
});

t.test("what a rule decided on is recorded once, and every call follows from it", async (t) => {
  const { callers, clock, journal, set } = bench(t, { "low-beam": LOW_BEAM, turn: { when: "size(gaps) > 2", call: "pan.to(angle)" } });
  await set({ battery_v: 11.2 });
  await clock.advance(40);
  await set({ "lights.on": true });
  await clock.advance(250);
  t.match(journal.latest(10), [
    {
      id: 1,
      kind: "rule",
      subject: "low-beam",
      caller: "rule low-beam",
      detail: "lights.on=true (test, 0 ms old), battery_v=11.2 (test, 40 ms old)",
    },
  ]);
  t.same([...new Set(callers.map(({ cause }) => cause))], [1], "repetitions follow from the same decision");
  await set({ "lights.on": false });
  await set({ "lights.on": true });
  t.equal(callers.at(-1)?.cause, 2, "a new decision is a new event");
});

t.test("a long list is told by its length, a short one in full", async (t) => {
  const { clock, journal, store, set } = bench(t, { turn: { when: "size(gaps) > 2", call: "pan.to(angle)" } });
  store.set("gaps", [1, 2, 3], "lidar");
  await set({ angle: 30 });
  store.set(
    "gaps",
    Array.from({ length: 100 }, () => 1),
    "lidar",
  );
  await set({ angle: 31 });
  await clock.advance(0);
  t.same(
    journal.latest(10).map(({ detail }) => detail),
    ["gaps=[1 2 3] (lidar, 0 ms old), angle=30 (test, 0 ms old)", "gaps=100 numbers (lidar, 0 ms old), angle=31 (test, 0 ms old)"],
  );
});
