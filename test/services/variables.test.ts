import fc from "fast-check";
import t from "tap";

import { bytesOf, type Caller, type Reply, type Service } from "../../agent/contract/request.ts";
import type { Value } from "../../agent/contract/value.ts";
import { compilePermits } from "../../agent/access/permits.ts";
import { createVariablesService } from "../../agent/services/variables.ts";
import { createPairCounts, createPairParser } from "../../analytics/pairs.ts";
import { createVariableStore, type VariableStore } from "../../analytics/store.ts";
import { createFakeClock, settled, type FakeClock } from "../helpers/fake-clock.ts";

interface Bench {
  readonly clock: FakeClock;
  readonly store: VariableStore;
  readonly service: Service;
  /** `OK`, `CODE message`, or the value. */
  readonly ask: (line: string, caller?: Caller) => Value;
}

function bench(): Bench {
  const clock = createFakeClock();
  const store = createVariableStore({
    clock,
    limits: { maxVariables: 100, maxVariableBytes: 1000 },
    declared: { battery_v: { unit: "V", staleMs: 500, min: 0, max: 60 } },
    defaultStaleMs: 2000,
  });
  const service = createVariablesService({ variables: store });
  const ask = (line: string, caller = createCaller().caller): Value => {
    const [verb = "", ...args] = line.split(" ");
    return told(service.handle({ verb, args: args.map(bytesOf) }, caller) as Reply);
  };
  return { clock, store, service, ask };
}

function told(reply: Reply): Value {
  if (reply.kind === "error") return `${reply.error.code} ${reply.error.message}`;
  return reply.kind === "status" ? reply.text : reply.value;
}

interface Listener {
  readonly caller: Caller;
  readonly pushed: (readonly Value[])[];
  readonly leave: () => void;
}

function createCaller(name = "127.0.0.1"): Listener {
  const pushed: (readonly Value[])[] = [];
  const gone = new AbortController();
  const caller = { name, priority: 100, signal: gone.signal, push: (message: readonly Value[]) => pushed.push(message) };
  return {
    caller,
    pushed,
    leave: () => {
      gone.abort();
    },
  };
}

t.test("variables are set as a stream would set them, and read back", (t) => {
  const { ask, clock, store } = bench();
  t.equal(ask("VAR.SET battery_v 12.5 gear D ok True scan [1,2] höhe größer"), "OK");
  t.equal(ask("VAR.GET battery_v"), 12.5);
  t.equal(ask("VAR.GET gear"), "D");
  t.equal(ask("VAR.GET ok"), true);
  t.same(ask("VAR.GET scan"), [1, 2]);
  t.equal(ask("VAR.GET höhe"), "größer");
  clock.advanceNow(1200.4);
  t.equal(ask("VAR.GET battery_v"), 12.5, "also when it is stale");
  t.strictSame(ask("VAR.LIST b*"), [
    { name: "battery_v", value: 12.5, unit: "V", ageMs: 1200, stale: true, source: "127.0.0.1", updates: 1 },
  ]);
  store.set("lamp.on", true, "lamp");
  t.strictSame(
    (ask("VAR.LIST") as { name: string }[]).map(({ name }) => name),
    ["battery_v", "gear", "höhe", "lamp.on", "ok", "scan"],
  );
  t.strictSame(ask("VAR.LIST nothing*"), []);
  t.strictSame(ask("VAR.SLOTS"), [
    ["battery_v", "12.5"],
    ["gear", "D"],
    ["ok", "true"],
    ["scan", "[1 2]"],
    ["höhe", "größer"],
  ]);
  t.end();
});

t.test("what cannot be done is refused by name, and changes nothing", (t) => {
  const { ask, service } = bench();
  t.equal(ask("VAR.SET battery_v"), "ARGUMENT VAR.SET takes pairs of name and value, got 1 words");
  t.equal(ask("VAR.SET"), "ARGUMENT VAR.SET takes pairs of name and value, got 0 words");
  t.equal(ask("VAR.SET a 1 battery_v 61"), "ARGUMENT battery_v is 61; 0 to 60 is expected");
  t.match(ask("VAR.SET a=b 1"), /^ARGUMENT "a=b" is no name/);
  t.equal(ask("VAR.GET a"), "UNKNOWN no variable a; VAR.LIST lists them");
  ask("VAR.SET battery_v 12");
  t.equal(ask("VAR.GET batery_v"), "UNKNOWN no variable batery_v (did you mean battery_v?); VAR.LIST lists them");
  t.equal(ask("VAR.GET"), "ARGUMENT VAR.GET takes one name, got 0 words");
  t.equal(ask("VAR.LIST a b"), "ARGUMENT VAR.LIST takes one pattern, got 2 words");
  t.equal(ask("VAR.WATCH a b"), "ARGUMENT VAR.WATCH takes one pattern, got 2 words");
  t.equal(ask("VAR.NOPE"), "UNKNOWN variables have no verb VAR.NOPE");
  const deaf = { name: "rule x", priority: 10, signal: new AbortController().signal };
  t.equal(ask("VAR.WATCH *", deaf), "ARGUMENT this connection cannot be pushed to; ask with VAR.LIST");
  t.strictSame(
    service.verbs.map(({ verb }) => verb),
    ["VAR.SET", "VAR.GET", "VAR.LIST", "VAR.WATCH", "VAR.UNWATCH", "VAR.SLOTS"],
  );
  t.end();
});

t.test("who watches is pushed the latest value of what matches, once per turn, until the end", async (t) => {
  const { ask, store } = bench();
  const { caller, pushed, leave } = createCaller();
  const other = createCaller("other");
  t.equal(ask("VAR.WATCH battery_*", caller), "OK");
  t.equal(ask("VAR.WATCH *_v", caller), "OK");
  t.equal(ask("VAR.WATCH gear", other.caller), "OK");
  ask("VAR.SET battery_v 12 gear D");
  store.set("battery_v", 13, "test");
  await settled();
  t.strictSame(pushed, [["var", "battery_v", 13, "V"]], "once, though two patterns match");
  t.strictSame(other.pushed, [["var", "gear", "D", null]]);
  t.equal(ask("VAR.UNWATCH battery_*", caller), "OK");
  await settled();
  ask("VAR.SET battery_v 14");
  await settled();
  t.equal(pushed.length, 2, "the other pattern is still watched");
  t.equal(ask("VAR.WATCH", caller), "OK");
  ask("VAR.SET battery_v 15");
  await settled();
  t.equal(pushed.length, 2);
  t.equal(ask("VAR.WATCH *", caller), "OK");
  leave();
  other.leave();
  ask("VAR.SET battery_v 16 gear N");
  await settled();
  t.equal(pushed.length, 2, "who is gone is not pushed to");
  t.equal(other.pushed.length, 1);
  t.equal(ask("VAR.WATCH *", caller), "NOT_READY 127.0.0.1 is gone");
  t.equal(ask("VAR.UNWATCH", caller), "OK");
  t.equal(ask("VAR.UNWATCH x", caller), "OK");
  t.end();
});

t.test("one caller watches 64 patterns at most", (t) => {
  const { ask } = bench();
  const { caller } = createCaller();
  for (let i = 0; i < 64; i++) t.equal(ask(`VAR.WATCH v${i}`, caller), "OK");
  t.equal(ask("VAR.WATCH v64", caller), "FULL 127.0.0.1 watches 64 patterns already; VAR.UNWATCH ends some");
  t.equal(ask("VAR.WATCH v3", caller), "OK");
  t.end();
});

t.test("patterns match as * and ? do elsewhere, and cannot be made slow", (t) => {
  const { ask, store } = bench();
  const listed = (pattern: string): unknown => (ask(`VAR.LIST ${pattern}`) as { name: string }[]).map(({ name }) => name);
  for (const name of ["a", "ab", "abc", "b.c", "x*y"]) store.set(name, 1, "test");
  t.strictSame(listed("a?"), ["ab"]);
  t.strictSame(listed("a*"), ["a", "ab", "abc"]);
  t.strictSame(listed("*c"), ["abc", "b.c"]);
  t.strictSame(listed("*b*c*"), ["abc", "b.c"]);
  t.strictSame(listed("?.?"), ["b.c"]);
  t.strictSame(listed("x*y"), ["x*y"]);
  t.strictSame(listed(".*"), []);
  store.set("a".repeat(128), 1, "test");
  t.strictSame(listed(`${"*a".repeat(60)}b`), []);
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("a", "b", "*", "?"), minLength: 1, maxLength: 8 }),
      fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 8 }),
      (pattern, name) => {
        store.set(name, 1, "test");
        const expected = new RegExp(`^${pattern.replaceAll("*", ".*").replaceAll("?", ".")}$`).test(name);
        return (listed(pattern) as string[]).includes(name) === expected;
      },
    ),
    { numRuns: 60 },
  );
  t.end();
});

t.test("a stream and VAR.SET of the same text give the same values", (t) => {
  const text = fc.oneof(
    fc.double().map(String),
    fc.constantFrom("true", "False", "[1 2]", '"7"', "nan", "x y", "[1,", "{a}", ""),
    fc.string({ unit: fc.constantFrom("0", "1", ".", "e", "-", "+") }),
  );
  fc.assert(
    fc.property(text, (value) => {
      const { ask, store } = bench();
      const counts = createPairCounts();
      const parser = createPairParser({ sink: store.intake("stream", counts), counts, maxPairBytes: 1000 });
      parser.push(Buffer.from(`streamed=${value}\n`));
      if (counts.malformed === 1) return true;
      const answer = told(
        createVariablesService({ variables: store }).handle(
          { verb: "VAR.SET", args: ["sent", value.trim()] },
          createCaller().caller,
        ) as Reply,
      );
      return counts.refused === 1
        ? JSON.stringify(answer).startsWith('"ARGUMENT')
        : JSON.stringify(ask("VAR.GET sent")) === JSON.stringify(ask("VAR.GET streamed"));
    }),
  );
  t.end();
});

t.test("whoever may use some variables only sets, reads and is told of these", async (t) => {
  const { ask, store } = bench();
  const { caller, pushed } = createCaller("ada");
  const ada: Caller = { ...caller, permits: compilePermits(["vars:battery_*"]) };
  const denied = (name: string) => `DENIED ada may not use vars:${name}; its user's allow list does not cover it`;
  t.equal(ask("VAR.SET battery_v 12 battery_a 3", ada), "OK");
  t.equal(ask("VAR.SET battery_v 13 gear D", ada), denied("gear"));
  t.equal(ask("VAR.GET battery_v", ada), 12, "all or none");
  ask("VAR.SET gear D");
  t.equal(ask("VAR.GET gear", ada), denied("gear"));
  t.equal(ask("VAR.GET nothing", ada), denied("nothing"), "whether there is one is not said");
  ask("VAR.SET battery_secret 1");
  const bob: Caller = { ...caller, permits: compilePermits(["vars:gaer", "vars:battery_v"]) };
  t.equal(ask("VAR.GET gaer", bob), "UNKNOWN no variable gaer; VAR.LIST lists them", "others are not suggested");
  t.strictSame(
    (ask("VAR.LIST", ada) as { name: string }[]).map(({ name }) => name),
    ["battery_a", "battery_secret", "battery_v"],
  );
  t.strictSame((ask("VAR.LIST g*", ada) as unknown[]).length, 0);
  t.strictSame(ask("VAR.SLOTS", bob), [
    ["battery_v", "12"],
    ["", ""],
    ["", ""],
    ["", ""],
  ]);
  await settled();
  t.equal(ask("VAR.WATCH *", ada), "OK");
  store.set("gear", "N", "test");
  store.set("battery_v", 14, "test");
  await settled();
  t.strictSame(pushed, [["var", "battery_v", 14, "V"]]);
});
