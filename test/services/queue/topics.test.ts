import fc from "fast-check";
import t from "tap";

import { createHeap } from "../../../agent/services/queue/heap.ts";
import { createMessage, type Message } from "../../../agent/services/queue/message.ts";
import { createTopics, type Topics } from "../../../agent/services/queue/topics.ts";
import { createFakeClock } from "../../helpers/fake-clock.ts";

function message(id: number, priority = 4, topic = "t"): Message {
  return createMessage({ id, topic, priority, correlation: "", wallMs: id, ip: "0", from: "", payload: "xx" });
}

function rig() {
  const clock = createFakeClock();
  const delivered: string[] = [];
  const topics: Topics = createTopics({
    clock,
    delivered: ({ id, deliveries }) => delivered.push(`${id}:${deliveries}`),
    expired: (late) => {
      topics.giveBack(late, 0);
    },
  });
  return { clock, delivered, topics };
}

t.test("a heap gives the least first, whatever was put in, taken out or dropped before", async (t) => {
  await t.resolves(
    fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(fc.nat(50), fc.constant("pop" as const), fc.constant("odd" as const))), async (steps) => {
        const heap = createHeap<number>((a, b) => a < b);
        let model: number[] = [];
        for (const step of steps) {
          if (step === "odd") {
            heap.retain((item) => item % 2 === 0);
            model = model.filter((item) => item % 2 === 0);
          } else if (step === "pop") {
            const least = model.length === 0 ? undefined : Math.min(...model);
            if (heap.peek() !== least || heap.pop() !== least) throw new Error("not the least");
            if (least !== undefined) model.splice(model.indexOf(least), 1);
          } else {
            heap.push(step);
            model.push(step);
          }
          if (heap.size !== model.length) throw new Error("not all of them");
        }
      }),
    ),
  );
});

/** The order of delivery by looking at everything each time. */
function expected(all: readonly Message[]): number | undefined {
  const ready = all.filter(({ state, gone, leaving }) => state === "ready" && !gone && !leaving);
  return ready.sort((a, b) => b.priority - a.priority || a.id - b.id)[0]?.id;
}

type Step =
  | { readonly do: "add"; readonly priority: number }
  | { readonly do: "receive"; readonly ms: number }
  | { readonly do: "giveBack" | "remove" | "leave" | "stay"; readonly pick: number; readonly ms: number }
  | { readonly do: "advance"; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("add" as const), priority: fc.constantFrom(0, 4, 9) }),
  fc.record({ do: fc.constant("receive" as const), ms: fc.constantFrom(10, 100, Infinity) }),
  fc.record({
    do: fc.constantFrom("giveBack" as const, "remove" as const, "leave" as const, "stay" as const),
    pick: fc.nat(),
    ms: fc.constantFrom(0, 10, 100),
  }),
  fc.record({ do: fc.constant("advance" as const), ms: fc.constantFrom(5, 10, 100) }),
);

/** Topics beside all their messages, and what may be done to them. */
function model() {
  const { clock, topics } = rig();
  const all: Message[] = [];
  const alive = () => all.filter(({ gone }) => !gone);
  const count = (state: Message["state"]) => alive().filter((one) => one.state === state).length;

  function add(priority: number): void {
    const added = message(all.length + 1, priority);
    all.push(added);
    topics.add(added);
  }

  function receive(ms: number): void {
    const first = expected(all);
    const got = topics.receive("t", ms)?.id;
    if (got !== first) throw new Error(`${String(got)} was delivered, not ${String(first)}`);
  }

  function change(what: "giveBack" | "remove" | "leave" | "stay", one: Message, ms: number): void {
    if (what === "remove") topics.remove(one);
    else if (what === "leave") topics.leave(one);
    else if (what === "stay" && one.leaving) topics.stay(one);
    else if (what === "giveBack" && one.state === "held") topics.giveBack(one, ms);
  }

  return {
    play: (next: Step): void => {
      if (next.do === "add") add(next.priority);
      else if (next.do === "receive") receive(next.ms);
      else if (next.do === "advance") clock.advanceNow(next.ms);
      else {
        const one = alive()[next.pick % Math.max(1, alive().length)];
        if (one !== undefined) change(next.do, one, next.ms);
      }
    },
    check: (): void => {
      const { ready, held, delayed, bytes } = topics.counts("t");
      const right = ready === count("ready") && held === count("held") && delayed === count("delayed") && bytes === 2 * alive().length;
      if (!right) throw new Error(`counts ${ready} ${held} ${delayed} ${bytes} are wrong`);
    },
    finish: (): void => {
      for (const one of alive()) topics.remove(one);
      if (topics.list().length > 0) throw new Error("an empty topic is left");
      topics.close();
      if (clock.pending() > 0) throw new Error("a timer is left");
    },
  };
}

t.test("what is delivered is always the first of what may be, and the counts are right", async (t) => {
  await t.resolves(
    fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 300 }), async (steps) => {
        const { play, check, finish } = model();
        for (const next of steps) {
          play(next);
          check();
        }
        finish();
      }),
      { numRuns: 300 },
    ),
  );
});

t.test("thousands that come back or go leave nothing behind", (t) => {
  const { clock, topics } = rig();
  for (let round = 0; round < 5; round++) {
    const some = Array.from({ length: 3000 }, (_, i) => message(round * 3000 + i + 1));
    for (const one of some) topics.add(one);
    const held = some.map(() => topics.receive("t", 1000) as Message);
    t.strictSame(
      held.map(({ id }) => id),
      some.map(({ id }) => id),
    );
    for (const one of held.filter(({ id }) => id % 3 > 0)) topics.remove(one);
    clock.advanceNow(1000);
    const again = some.filter(({ id }) => id % 3 === 0);
    t.match(topics.counts("t"), { ready: 1000, held: 0, oldestWallMs: again[0]?.id });
    for (const one of again.slice(1)) topics.remove(one);
    t.equal(topics.receive("t", 1000), again[0]);
    topics.remove(again[0] as Message);
    t.equal(topics.receive("t", 1000), undefined);
    t.strictSame(topics.list(), []);
  }
  t.equal(clock.pending() <= 1, true);
  t.end();
});

t.test("who gave up waiting is passed over, also in the middle of many", (t) => {
  const { topics } = rig();
  const served: string[] = [];
  const cancels = Array.from({ length: 100 }, (_, i) =>
    topics.wait("t", 1000, ({ id }) => {
      served.push(`waiter ${i}: ${id}`);
    }),
  );
  for (const [i, cancel] of cancels.entries()) if (![7, 50, 99].includes(i)) cancel();
  cancels[0]?.();
  t.match(topics.counts("t"), { waiting: 3 });
  for (let id = 1; id <= 4; id++) topics.add(message(id));
  t.strictSame(served, ["waiter 7: 1", "waiter 50: 2", "waiter 99: 3"]);
  t.match(topics.counts("t"), { waiting: 0, ready: 1, held: 3 });
  cancels[50]?.();
  t.match(topics.counts("t"), { waiting: 0 });
  t.end();
});

t.test("a waiter that waits again while it is served comes after the others", (t) => {
  const { topics } = rig();
  const served: string[] = [];
  const waitForEver = (name: string): void => {
    topics.wait("t", 1000, ({ id }) => {
      served.push(`${name}${id}`);
      waitForEver(name);
    });
  };
  waitForEver("a");
  const cancel = topics.wait("t", 1000, () => {
    cancelled.push("served");
  });
  const cancelled: string[] = [];
  topics.wait("t", 1000, ({ id }) => {
    served.push(`b${id}`);
    cancel();
  });
  cancel();
  for (let id = 1; id <= 4; id++) topics.add(message(id));
  t.strictSame(served, ["a1", "b2", "a3", "a4"]);
  t.strictSame(cancelled, []);
  t.end();
});

t.test("a message moved to another topic goes to who waits there", (t) => {
  const { topics, delivered } = rig();
  topics.add(message(1));
  const one = topics.receive("t", Infinity) as Message;
  const served: number[] = [];
  topics.wait("dead.t", 1000, ({ id }) => served.push(id));
  topics.move(one, "dead.t");
  t.strictSame(served, [1]);
  t.strictSame(delivered, ["1:1", "1:2"]);
  t.strictSame(
    topics.list().map(({ topic, held }) => [topic, held]),
    [["dead.t", 1]],
  );
  t.end();
});
