import assert from "node:assert/strict";

import fc from "fast-check";
import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import type { VariableValue } from "../../agent/contract/variable.ts";
import { createKeyTable } from "../../analytics/key-table.ts";
import { createPairCounts, createPairParser, type PairCounts } from "../../analytics/pairs.ts";
import { createVariableStore, type Declaration, type Intake, type VariableStore } from "../../analytics/store.ts";
import { createFakeClock, settled, type FakeClock } from "../helpers/fake-clock.ts";

interface Bench {
  readonly clock: FakeClock;
  readonly store: VariableStore;
  readonly counts: PairCounts;
  readonly intake: Intake;
  /** Sends text through a parser, as a stream does. */
  readonly send: (text: string) => void;
}

function bench(declared: Record<string, Declaration> = {}, limits = { maxVariables: 8, maxVariableBytes: 64 }): Bench {
  const clock = createFakeClock();
  const store = createVariableStore({ clock, limits, declared, defaultStaleMs: 2000 });
  const counts = createPairCounts();
  const intake = store.intake("test", counts);
  const parser = createPairParser({ sink: intake, counts, maxPairBytes: 1000 });
  return { clock, store, counts, intake, send: (text) => parser.push(Buffer.from(text)) };
}

t.test("a variable shows its latest value, age, source and number of updates", (t) => {
  const { clock, store, send } = bench({ battery_v: { unit: "V", staleMs: 500 } });
  t.equal(store.get("battery_v"), undefined, "declared, but never set");
  t.strictSame(store.names(), []);
  send("battery_v=12.5\n");
  clock.advanceNow(300);
  t.strictSame(store.get("battery_v"), { name: "battery_v", value: 12.5, unit: "V", ageMs: 300, stale: false, source: "test", updates: 1 });
  send("battery_v=11,lamp=on,scan=[1 2],ok=true\n");
  store.set("lamp.on", true, "lamp");
  t.strictSame(store.get("battery_v"), { name: "battery_v", value: 11, unit: "V", ageMs: 0, stale: false, source: "test", updates: 2 });
  t.strictSame(store.get("lamp.on"), { name: "lamp.on", value: true, unit: undefined, ageMs: 0, stale: false, source: "lamp", updates: 1 });
  t.strictSame(store.get("scan")?.value, [1, 2]);
  t.strictSame(store.names(), ["battery_v", "lamp", "scan", "ok", "lamp.on"]);
  send("scan=5\n");
  t.equal(store.get("scan")?.value, 5);
  t.equal(store.get("nothing"), undefined);
  t.end();
});

t.test("a variable is stale when it is older than declared, by the monotonic clock", (t) => {
  const { clock, store, send } = bench({ fast: { staleMs: 100 } });
  send("fast=1,slow=1\n");
  clock.advanceNow(100);
  clock.jumpWall(86_400_000);
  t.equal(store.get("fast")?.stale, false);
  clock.advanceNow(1);
  t.equal(store.get("fast")?.stale, true);
  t.equal(store.get("slow")?.stale, false);
  clock.advanceNow(1900);
  t.equal(store.get("slow")?.stale, true, "2000 ms where nothing is declared");
  store.set("own.speed", 1, "own", 50);
  t.strictSame(
    ["fast", "slow", "own.speed", "unknown"].map((name) => store.staleMsOf(name)),
    [100, 2000, 50, 2000],
    "and says for every name how old it may be",
  );
  store.set("fast", 2, "lamp");
  t.equal(store.get("fast")?.stale, false);
  t.end();
});

t.test("a value that arrived elsewhere is as old here as it is there", (t) => {
  const { clock, store } = bench({ fast: { staleMs: 100 } });
  clock.advanceNow(1000);
  const nowMs = clock.monotonicMs();
  store.setAt("fast", 1, "tcp", nowMs - 90);
  t.strictSame(store.get("fast"), { name: "fast", value: 1, unit: undefined, ageMs: 90, stale: false, source: "tcp", updates: 1 });
  clock.advanceNow(11);
  t.equal(store.get("fast")?.stale, true);

  store.setAt("fast", 2, "tcp", nowMs - 91);
  t.equal(store.get("fast")?.value, 1, "older than what is there");
  store.setAt("fast", 3, "tcp", nowMs - 90);
  t.equal(store.get("fast")?.value, 3, "two of one moment: the later one counts");
  store.setAt("fast", [4, 5], "tcp", nowMs + 10_000);
  t.equal(store.get("fast")?.ageMs, 0, "nothing arrives in the future");
  t.equal(
    refusal(() => store.setAt("fast", 1, "tcp", NaN)),
    "ARGUMENT fast arrived at a time that is no number",
  );
  t.equal(store.get("fast")?.updates, 3);
  t.end();
});

t.test("a list that arrived elsewhere is kept as it was", (t) => {
  const { store } = bench();
  const list = [1, 2];
  store.setAt("scan", list, "tcp", 0);
  list[0] = 9;
  t.strictSame(store.get("scan")?.value, [1, 2]);
  t.end();
});

t.test("what a device says of itself stays its own wherever it arrived", (t) => {
  const { clock, store, send } = bench();
  store.setAt("lamp.on", true, "lamp", clock.monotonicMs(), Infinity);
  send("lamp.on=false\n");
  const denied = "DENIED lamp.on is published by lamp; nothing else can set it";
  t.equal(
    refusal(() => store.setAt("lamp.on", false, "tcp", clock.monotonicMs())),
    denied,
  );
  t.equal(store.get("lamp.on")?.value, true);
  clock.advanceNow(1e9);
  t.equal(store.get("lamp.on")?.stale, false);
  store.setAt("lamp.on", false, "lamp", clock.monotonicMs(), 50);
  clock.advanceNow(51);
  t.equal(store.get("lamp.on")?.stale, true);
  t.end();
});

t.test("what arrived elsewhere is refused as anything else is", (t) => {
  const { store } = bench({ percent: { staleMs: 100, min: 0, max: 100 } }, { maxVariables: 2, maxVariableBytes: 64 });
  t.equal(
    refusal(() => store.setAt("percent", 101, "tcp", 1)),
    "ARGUMENT percent is 101; 0 to 100 is expected",
  );
  t.match(
    refusal(() => store.setAt("a name", 1, "tcp", 1)),
    /^ARGUMENT "a name" is no name/,
  );
  store.setAt("other", 1, "tcp", 1);
  t.match(
    refusal(() => store.setAt("third", 1, "tcp", 1)),
    /^FULL no slot is free for third/,
  );
  t.end();
});

function refusal(run: () => void): string {
  try {
    run();
  } catch (error) {
    if (error instanceof AgentError) return `${error.code} ${error.message}`;
    throw error;
  }
  return "accepted";
}

const REFUSED: readonly (readonly [string, VariableValue, string])[] = [
  ["percent", 101, "ARGUMENT percent is 101; 0 to 100 is expected"],
  ["percent", -0.5, "ARGUMENT percent is -0.5; 0 to 100 is expected"],
  ["percent", "high", 'ARGUMENT percent is "high"; it is declared with a range, so a number is expected'],
  ["percent", true, 'ARGUMENT percent is "true"; it is declared with a range, so a number is expected'],
  ["percent", [1], 'ARGUMENT percent is "[1]"; it is declared with a range, so a number is expected'],
  ["height", -1, "ARGUMENT height is -1; 0 or more is expected"],
  ["depth", 1, "ARGUMENT depth is 1; 0 or less is expected"],
  ["plain", NaN, "ARGUMENT plain is NaN; a finite number is expected"],
  ["plain", -Infinity, "ARGUMENT plain is -Infinity; a finite number is expected"],
  ["plain", [1, 2, NaN], "ARGUMENT plain has 3 numbers and number 3 is NaN; finite numbers are expected"],
  ["plain", "é".repeat(33), "LIMIT plain has 66 bytes; limits.maxVariableBytes allows 64"],
  ["plain", [1, 2, 3, 4, 5, 6, 7, 8, 9], "LIMIT plain has 72 bytes; limits.maxVariableBytes allows 64"],
  ["new", NaN, "ARGUMENT new is NaN; a finite number is expected"],
  ["", 1, 'ARGUMENT "" is no name: a variable is named by 1 to 128 characters without blanks, = , and quotes'],
  ["two words", 1, 'ARGUMENT "two words" is no name: a variable is named by 1 to 128 characters without blanks, = , and quotes'],
  [
    "x".repeat(129),
    1,
    `ARGUMENT "${"x".repeat(40)}…" is no name: a variable is named by 1 to 128 characters without blanks, = , and quotes`,
  ],
];

t.test("what may not be stored is refused by name, value and bound, and what was there stays and ages", (t) => {
  const { clock, store } = bench({
    percent: { staleMs: 100, min: 0, max: 100 },
    height: { staleMs: 100, min: 0 },
    depth: { staleMs: 100, max: 0 },
  });
  for (const name of ["percent", "height", "depth", "plain"]) store.set(name, 0, "test");
  clock.advanceNow(50);
  for (const [name, value, message] of REFUSED) {
    t.equal(
      refusal(() => store.set(name, value, "test")),
      message,
    );
  }
  for (const name of ["percent", "height", "depth", "plain"]) t.match(store.get(name), { value: 0, ageMs: 50, updates: 1 });
  t.strictSame(store.names(), ["percent", "height", "depth", "plain"]);
  t.equal(
    refusal(() => store.set("percent", 100, "test")),
    "accepted",
  );
  t.equal(
    refusal(() => store.set("plain", "é".repeat(32), "test")),
    "accepted",
  );
  t.throws(() => bench({ "a b": { staleMs: 1 } }), { code: "ARGUMENT" });
  t.end();
});

t.test("a stream's refused pairs are counted, one of a chunk is worded, and the rest of the chunk is stored", (t) => {
  const { store, counts, intake, send } = bench({ percent: { staleMs: 100, min: 0, max: 100 } });
  send("percent=50,a=nan,percent=101,percent=high,scan=[1 inf],two words=1,ok=1\n");
  t.match(counts, { pairs: 2, refused: 5, malformed: 0 });
  t.equal(intake.lastRefusal(), "a is NaN; a finite number is expected", "the first of the chunk");
  t.equal(store.get("percent")?.value, 50);
  t.equal(store.get("a"), undefined);
  t.equal(store.get("ok")?.value, 1);
  send("two words=1\n");
  t.match(intake.lastRefusal(), /^"two words" is no name/);
  t.end();
});

t.test("a list that was set is the store's own", (t) => {
  const { store } = bench();
  const list = [1, 2];
  store.set("scan", list, "lidar");
  list[0] = 9;
  t.strictSame(store.get("scan")?.value, [1, 2]);
  t.end();
});

t.test("a device's own value holds as long as the device says, and nobody else can set it", (t) => {
  const { clock, store, counts, intake, send } = bench({ "lamp.hot": { staleMs: 100 } });
  store.set("lamp.on", true, "lamp", Infinity);
  store.set("lamp.hot", false, "lamp", Infinity);
  store.set("sonar.distance", 2, "sonar", 50);
  clock.advanceNow(86_400_000);
  t.match(store.get("lamp.on"), { stale: false, ageMs: 86_400_000 });
  t.equal(store.get("lamp.hot")?.stale, true, "unless the configuration declares otherwise");
  t.equal(store.get("sonar.distance")?.stale, true);
  send("lamp.on=false,sonar.distance=9,other=1\n");
  t.match(counts, { pairs: 1, refused: 2 });
  t.equal(intake.lastRefusal(), "lamp.on is published by lamp; nothing else can set it");
  t.equal(
    refusal(() => {
      store.setPairs([{ name: "lamp.on", text: "false" }], "client");
    }),
    "DENIED lamp.on is published by lamp; nothing else can set it",
  );
  t.match(store.get("lamp.on"), { value: true, source: "lamp", updates: 1 });
  t.end();
});

t.test("a full store refuses new names, keeps serving the old ones, and always has room for declared ones", (t) => {
  const { store, counts, intake, send } = bench({ declared: { staleMs: 100 } }, { maxVariables: 4, maxVariableBytes: 64 });
  for (let i = 0; i < 10; i++) send(`v${i}=${i}\n`);
  t.match(counts, { pairs: 3, refused: 7 });
  t.equal(intake.lastRefusal(), "no slot is free for v9: 4 variables are kept; raise limits.maxVariables");
  t.equal(
    refusal(() => store.set("v9", 1, "x")),
    "FULL no slot is free for v9: 4 variables are kept; raise limits.maxVariables",
  );
  send("declared=1,v0=5\n");
  t.equal(store.get("declared")?.value, 1);
  t.equal(store.get("v0")?.value, 5);
  t.end();
});

t.test("pairs set together are set all or none", (t) => {
  const { store } = bench({ percent: { staleMs: 100, min: 0, max: 100 } }, { maxVariables: 4, maxVariableBytes: 64 });
  const set = (...pairs: [string, string][]): string =>
    refusal(() => {
      store.setPairs(
        pairs.map(([name, text]) => ({ name, text })),
        "client",
      );
    });
  t.equal(set(["a", "1"], ["percent", "101"]), "ARGUMENT percent is 101; 0 to 100 is expected");
  t.match(set(["a", "1"], ["b c", "1"]), /^ARGUMENT "b c" is no name/);
  t.equal(set(["a", "1"], ["b", "nan"]), "ARGUMENT b is NaN; a finite number is expected");
  t.match(set(["a", "1"], ["b", "1"], ["c", "1"], ["d", "1"]), /^FULL no slot is free for d/);
  t.strictSame(store.names(), []);
  t.strictSame(store.slots(), []);
  t.equal(set(["a", "1"], ["a", "[1 2]"], ["b", '"7"'], ["c", "True"], ["percent", "50"]), "accepted");
  t.strictSame(
    store.names().map((name) => store.get(name)?.value),
    [50, [1, 2], "7", true],
  );
  t.equal(store.get("a")?.updates, 2);
  t.end();
});

t.test("the positional view holds the latest 500 pairs, each where its turn put it", (t) => {
  const { store, send } = bench({}, { maxVariables: 1000, maxVariableBytes: 64 });
  send("match=True,a=1.50,a=[1 2]\n");
  store.set("lamp.on", true, "lamp");
  store.setPairs([{ name: "b", text: "x y" }], "client");
  t.strictSame(store.slots(), [
    { name: "match", text: "true" },
    { name: "a", text: "1.5" },
    { name: "a", text: "[1 2]" },
    { name: "b", text: "x y" },
  ]);
  for (let i = 4; i < 502; i++) send(`v${i}=${i}\n`);
  const slots = store.slots();
  t.equal(slots.length, 500);
  t.strictSame(slots.slice(0, 3), [
    { name: "v500", text: "500" },
    { name: "v501", text: "501" },
    { name: "a", text: "[1 2]" },
  ]);
  t.strictSame(slots[499], { name: "v499", text: "499" });
  t.end();
});

t.test("listeners are told once per turn, each name once, and what they set belongs to the next turn", async (t) => {
  const { store, send } = bench();
  const told: string[][] = [];
  let answers = 3;
  const cancel = store.onChange((names) => {
    told.push([...names]);
    if (names.has("a") && answers-- > 0) store.set("a", answers, "listener");
  });
  send("a=1,a=2,b=1\n");
  t.strictSame(told, [], "not within the code that sets");
  await Promise.resolve();
  t.strictSame(told, [["a", "b"]], "before any other work of the loop");
  send("b=2\n");
  await Promise.resolve();
  t.equal(told.length, 1, "not twice in one turn");
  for (let turn = 0; turn < 5; turn++) await settled();
  t.strictSame(told.slice(1), [["a", "b"], ["a"], ["a"]]);
  cancel();
  cancel();
  send("a=3\n");
  await settled();
  t.equal(told.length, 4);
  t.end();
});

t.test("what listeners are given is a set of names while they are told, and empty afterwards", async (t) => {
  const { store, send } = bench();
  store.set("quiet", 1, "test");
  let kept: ReadonlySet<string> = new Set();
  store.onChange((names) => {
    kept = names;
    t.equal(names.size, 2);
    t.strictSame([names.has("a"), names.has("b"), names.has("quiet"), names.has("unknown")], [true, true, false, false]);
    const visited: string[] = [];
    names.forEach((name, same) => visited.push(name, same));
    t.strictSame(visited, ["a", "a", "b", "b"]);
    t.strictSame(
      [[...names], [...names.keys()], [...names.values()]],
      [
        ["a", "b"],
        ["a", "b"],
        ["a", "b"],
      ],
    );
    t.strictSame(
      [...names.entries()],
      [
        ["a", "a"],
        ["b", "b"],
      ],
    );
  });
  send("a=1,b=1\n");
  await settled();
  t.strictSame([kept.size, kept.has("a"), [...kept]], [0, false, []]);
  t.end();
});

t.test("a listener that throws does not leave the others deaf", async (t) => {
  const { store } = bench();
  const told: string[][] = [];
  const thrown = new Promise((resolve) => process.once("uncaughtException", resolve));
  const cancel = store.onChange(() => {
    throw new Error("listener");
  });
  store.set("a", 1, "x");
  t.match(await thrown, { message: "listener" });
  cancel();
  store.onChange((names) => told.push([...names]));
  await settled();
  store.set("b", 1, "x");
  await settled();
  t.strictSame(told, [["b"]]);
  t.end();
});

t.test("the key table finds every name it was given and no other", (t) => {
  const name = fc.uint8Array({ minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(fc.uniqueArray(name, { maxLength: 300, selector: (bytes) => bytes.join() }), fc.array(name), (names, others) => {
      const table = createKeyTable(Math.max(1, names.length));
      for (const bytes of names) table.add(bytes);
      names.forEach((bytes, slot) => {
        assert.equal(table.find(bytes, 0, bytes.length), slot);
        assert.equal(table.find(Buffer.concat([Buffer.from("="), bytes, Buffer.from("=")]), 1, 1 + bytes.length), slot);
      });
      for (const bytes of others) {
        const slot = names.findIndex((known) => Buffer.compare(known, bytes) === 0);
        assert.equal(table.find(bytes, 0, bytes.length), slot);
      }
    }),
  );
  t.end();
});
