import t from "tap";

import { compilePermits } from "../../agent/access/permits.ts";
import { AgentError } from "../../agent/contract/errors.ts";
import { bytesReply, errorReply, OK, valueReply, type Reply } from "../../agent/contract/request.ts";
import { ask, caller, createPair, createStoppableClock, quiet, textOfReply } from "./pair.ts";
import type { Caller } from "../../agent/contract/request.ts";
import type { Value } from "../../agent/contract/value.ts";

t.test("a call reaches the device host and its reply comes back", async (t) => {
  const { front, host } = await createPair();
  t.equal(textOfReply(await front.call(ask("CLONE", "lamp.on", "50"), caller)), "1");
  t.strictSame(host.asked[0]?.request, ask("CLONE", "lamp.on", "50"));
  t.match(host.asked[0]?.caller, { name: "ada", priority: 100, maxPriority: 255, address: "10.0.0.1", cause: 0 });
  t.equal(host.asked[0]?.caller.permits, undefined);
  t.strictSame(front.host.verbs, [{ verb: "CLONE", usage: "device.function", summary: "call" }]);
});

t.test("every kind of reply arrives as it was", async (t) => {
  const { front, host } = await createPair();
  const values: Value[] = [null, true, false, 0, -1.5, Infinity, 2n ** 70n, "", "grün", [1, [2, "x"]], { a: { b: null }, ü: [true] }];
  for (const value of values) {
    host.answer = () => valueReply(value);
    const reply = await front.call(ask("CLONE", "x.y"), caller);
    t.strictSame(reply, valueReply(value));
    t.strictSame(await front.call(ask("CLONE", "x.y"), caller), valueReply(value), "the second time too");
  }
  host.answer = () => bytesReply("\xff\x00\r\n");
  t.strictSame(await front.call(ask("CLONE", "x.y"), caller), valueReply(new Uint8Array([255, 0, 13, 10])));
  host.answer = () => OK;
  t.strictSame(await front.call(ask("CLONE", "x.y"), caller), OK);
  host.answer = () => errorReply(new AgentError("IN_USE", "lamp is held by bob"));
  t.equal(textOfReply(await front.call(ask("CLONE", "x.y"), caller)), "-IN_USE lamp is held by bob");
  host.answer = () => ({ kind: "value", value: undefined }) as unknown as Reply;
  t.match(textOfReply(await front.call(ask("CLONE", "x.y"), caller)), /^-IO /, "a value that cannot be written");
  t.equal(textOfReply(await front.call(ask("CLONE", "x.y"), caller)).startsWith("-IO "), true);
});

t.test("words of any bytes, any number and any length arrive as they are", async (t) => {
  const { front, host } = await createPair();
  const args = ["", "\0\r\n\xff", "*3\r\n$1\r\n", "x".repeat(200_000), ...Array.from({ length: 300 }, (_, i) => String(i))];
  await front.call({ verb: "CLONE", args }, caller);
  t.strictSame(host.asked[0]?.request, { verb: "CLONE", args });
  await front.call(ask("DEVICES"), caller);
  t.strictSame(host.asked[1]?.request, ask("DEVICES"));
});

/** Replies that are given when the test says so. */
function createLater(): {
  readonly answer: () => Promise<Reply>;
  readonly give: (index: number, reply: Reply) => void;
  readonly count: () => number;
} {
  const waiting: ((reply: Reply) => void)[] = [];
  return {
    answer: () => new Promise((resolve) => waiting.push(resolve)),
    give: (index, reply) => waiting[index]?.(reply),
    count: () => waiting.length,
  };
}

t.test("a call that takes its time does not hold up those after it", async (t) => {
  const { front, host, quiet } = await createPair();
  const later = createLater();
  host.answer = ({ args }) => (args[0] === "slow.read" ? later.answer() : valueReply(args[0] ?? ""));
  const answered: string[] = [];
  const asks = ["a.x", "slow.read", "b.x", "slow.read", "c.x"].map(async (name, i) => {
    const reply = await front.call(ask("CLONE", name), caller);
    answered.push(`${i} ${textOfReply(reply)}`);
  });
  await quiet();
  t.strictSame(answered, ['0 "a.x"', '2 "b.x"', '4 "c.x"']);
  t.equal(front.host.figures()["open_calls"], 2);
  later.give(1, valueReply("second"));
  await quiet();
  later.give(0, errorReply(new AgentError("TIMEOUT", "too slow")));
  await Promise.all(asks);
  t.strictSame(answered.slice(3), ['3 "second"', "1 -TIMEOUT too slow"]);
  t.equal(front.host.figures()["open_calls"], 0);
});

t.test("what a service rejects with all the same is an answer", async (t) => {
  const { front, host } = await createPair();
  host.answer = () => Promise.reject(new Error("a bug"));
  t.equal(textOfReply(await front.call(ask("CLONE", "x.y"), caller)), "-IO a bug");
});

t.test("thousands of calls keep their order, whatever is answered later", async (t) => {
  const { front, host } = await createPair();
  host.answer = ({ args }) => {
    const reply = valueReply(args[1] ?? "");
    return Number(args[1]) % 7 === 0 ? Promise.resolve(reply) : reply;
  };
  const replies = await Promise.all(Array.from({ length: 5000 }, (_, i) => front.call(ask("CLONE", "x.y", String(i)), caller)));
  t.equal(
    replies.findIndex((reply, i) => textOfReply(reply) !== JSON.stringify(String(i))),
    -1,
  );
  t.equal(
    host.asked.findIndex(({ request }, i) => request.args[1] !== String(i)),
    -1,
  );
});

t.test("a caller is told of once, again when it has changed, and forgotten when it is gone", async (t) => {
  const { front, host, quiet } = await createPair();
  const gone = new AbortController();
  const bob: { -readonly [key in keyof Caller]: Caller[key] } = { name: "bob", priority: 10, signal: gone.signal };
  await front.call(ask("CLONE", "x.y"), bob);
  const first = host.asked[0]?.caller ?? caller;
  t.match(first, { name: "bob", priority: 10, maxPriority: 10 });
  t.equal(first.address, undefined);
  await front.call(ask("CLONE", "x.y"), { ...bob });
  t.equal(host.asked[1]?.caller, first, "the same signal and name, whatever the object");

  bob.priority = 20;
  bob.permits = compilePermits(["lamp.*"]);
  await front.call(ask("CLONE", "x.y"), bob);
  t.equal(host.asked[2]?.caller, first);
  t.equal(first.priority, 20);
  t.equal(first.permits?.allows("function", "lamp.on"), true);
  t.equal(first.permits?.allows("function", "pump.on"), false);
  delete bob.permits;
  await front.call(ask("CLONE", "x.y"), bob);
  t.equal(first.permits, undefined);

  const { signal } = first;
  t.equal(front.host.figures()["callers"], 1);
  gone.abort();
  await quiet();
  t.equal(signal.aborted, true);
  t.equal(front.host.figures()["callers"], 0);
});

t.test("a caller that is gone before its call reaches the device host is forgotten too", async (t) => {
  const { front, host, quiet } = await createPair();
  await front.call(ask("CLONE", "x.y"), { name: "bob", priority: 10, signal: AbortSignal.abort() });
  await quiet();
  t.equal(host.asked.length, 1);
  t.equal(front.host.figures()["callers"], 0);
});

t.test("permits that cannot be sent give no power", async (t) => {
  const { front, host } = await createPair();
  const eve: Caller = { ...caller, name: "eve", permits: { allows: () => false } };
  const denied = "-DENIED the permits of eve have no list that the device host could check";
  t.equal(textOfReply(await front.call(ask("CLONE", "lamp.on"), eve)), denied);
  t.equal(textOfReply(await front.call(ask("ESTOP"), eve)), denied);
  const nobody: Caller = { ...caller, name: "nobody", permits: compilePermits([]) };
  await front.call(ask("CLONE", "lamp.on"), nobody);
  t.equal(host.asked.length, 1);
  t.equal(host.asked[0]?.caller.permits?.allows("function", "lamp.on"), false);
});

t.test("the event a call follows from is that call's alone, and marked as the front's", async (t) => {
  const { front, host } = await createPair();
  const causes: unknown[] = [];
  host.answer = (_request, by) => {
    causes.push(by.cause);
    return OK;
  };
  const rule: Caller = { ...caller, cause: 17 };
  await Promise.all([rule, caller, rule].map((by) => front.call(ask("CLONE", "lamp.on"), by)));
  t.strictSame(causes.map(String), ["-17", "0", "-17"]);
});

t.test("orders that were on their way for too long are refused, questions and the emergency stop are not", async (t) => {
  const clock = createStoppableClock();
  const { front, host, quiet } = await createPair({ clock });
  clock.stand(300);
  const words = [
    ["CLONE", "lamp.on"],
    ["CLONE", "LEASE", "100", "lamp", "on"],
    ["RESET", "lamp"],
    ["ESTOP", "RESET"],
  ] as const;
  for (const request of words) {
    const reply = await front.call(ask(...request), caller);
    t.match(textOfReply(reply), /^-STALE .* was on its way for 300 ms, more than the 200 ms an order may be; send it again$/);
  }
  t.strictSame(
    host.journal.latest(9).map(({ kind, subject, caller, detail }) => [kind, subject, caller, detail].join(" ")),
    [
      "refuse lamp ada lamp.on: STALE",
      "refuse lamp ada lamp.on: STALE",
      "refuse lamp ada RESET lamp: STALE",
      "refuse estop ada ESTOP RESET: STALE",
    ],
  );
  t.equal(host.asked.length, 0);
  for (const request of [["CLONE", "lamp.state"], ["DEVICES"], ["DESCRIBE", "lamp"], ["ESTOP"]]) await front.call(ask(...request), caller);
  t.equal(host.asked.length, 4);
  await clock.advance(50);
  await quiet();
  await front.call(ask("CLONE", "lamp.on"), caller);
  t.equal(host.asked.length, 5, "what is sent once everything that waited was read");
});

t.test("orders that waited because the device host stood still are refused", async (t) => {
  const { clock, front, host, hostEnd, quiet } = await createPair();
  hostEnd.pause();
  const reply = front.call(ask("CLONE", "lamp.on"), caller);
  await quiet();
  await clock.advance(201);
  hostEnd.resume();
  t.match(textOfReply(await reply), /^-STALE lamp.on was on its way for 20\d ms/);
  t.equal(host.asked.length, 0);
});

t.test("the emergency stop overtakes the calls of its turn", async (t) => {
  const { front, host } = await createPair();
  host.answer = ({ verb, args }) => valueReply([verb, ...args].join(" "));
  const bob: Caller = { ...caller, name: "bob" };
  const replies = await Promise.all([
    front.call(ask("CLONE", "a.x"), caller),
    front.call(ask("CLONE", "b.x"), bob),
    front.call(ask("ESTOP"), bob),
    front.call(ask("CLONE", "c.x"), caller),
  ]);
  t.strictSame(replies.map(textOfReply), ['"CLONE a.x"', '"CLONE b.x"', '"ESTOP"', '"CLONE c.x"']);
  t.strictSame(
    host.asked.map(({ request, caller: by }) => `${request.verb} ${by.name}`),
    ["ESTOP bob", "CLONE ada", "CLONE bob", "CLONE ada"],
  );
});

t.test("a reset that was asked before it does not undo an emergency stop that overtakes it", async (t) => {
  const { front, host } = await createPair();
  host.answer = ({ verb, args }) => valueReply([verb, ...args].join(" "));
  const requests = [ask("ESTOP", "RESET"), ask("CLONE", "a.x"), ask("ESTOP"), ask("CLONE", "b.x")];
  const replies = await Promise.all(requests.map((request) => front.call(request, caller)));
  t.strictSame(replies.map(textOfReply), ['"ESTOP RESET"', '"CLONE a.x"', '"ESTOP"', '"CLONE b.x"']);
  t.strictSame(
    host.asked.map(({ request: { verb, args } }) => [verb, ...args].join(" ")),
    ["ESTOP", "ESTOP RESET", "CLONE a.x", "ESTOP", "CLONE b.x"],
  );
  await front.call(ask("ESTOP", "RESET"), caller);
  await front.call(ask("CLONE", "a.x"), caller);
  await front.call(ask("ESTOP"), caller);
  t.equal(host.asked.length, 8, "once where no reset waits");
});

t.test("a device host that does not read bounds what waits for it, and is stopped all the same", async (t) => {
  const { front, host, hostEnd } = await createPair({
    front: { limits: { maxOpenCalls: 1000, maxHeldBytes: 200_000, maxOrderAgeMs: 200 } },
  });
  hostEnd.pause();
  const long = "x".repeat(1000);
  const replies = Array.from({ length: 500 }, () => front.host.handle(ask("CLONE", "a.x", long), caller));
  await quiet();
  const refused = replies.filter((reply) => !(reply instanceof Promise));
  t.ok(refused.length > 250 && refused.length < 350, `${refused.length} of 500 refused`);
  t.match(textOfReply((await refused[0]) as Reply), /^-FULL the device host does not read: 20\d{4} bytes wait for it; ask again later$/);
  const stop = front.host.handle(ask("ESTOP"), caller);
  const before = host.asked.length;
  hostEnd.resume();
  await stop;
  await Promise.all(replies.map(async (reply) => reply));
  const stopAt = host.asked.findIndex(({ request }) => request.verb === "ESTOP");
  t.ok(stopAt - before < 150, `it overtook what had not been written: ${stopAt} of ${host.asked.length}`);
  t.equal(host.asked.length, 501 - refused.length);
});

t.test("open calls are bounded, and reads that are answered make room", async (t) => {
  const { front, host, quiet } = await createPair({ front: { limits: { maxOpenCalls: 64, maxHeldBytes: 1e6, maxOrderAgeMs: 200 } } });
  const later = createLater();
  host.answer = later.answer;
  const open = Array.from({ length: 64 }, () => front.call(ask("CLONE", "a.x"), caller));
  const full = await front.call(ask("CLONE", "a.x"), caller);
  t.equal(textOfReply(full), "-FULL 64 calls are open in the device host; ask again when some are answered");
  await quiet();
  later.give(5, OK);
  await open[5];
  const next = front.call(ask("CLONE", "a.x"), caller);
  await quiet();
  t.equal(later.count(), 65);
  for (let i = 0; i < 65; i++) later.give(i, OK);
  await Promise.all([...open, next]);
});

t.test("a front that does not read stops the device host from reading, not from working", async (t) => {
  const { front, host, frontEnd, quiet } = await createPair();
  const big = "x".repeat(100_000);
  host.answer = () => valueReply(big);
  frontEnd.pause();
  const replies = Array.from({ length: 400 }, () => front.call(ask("DEVICES"), caller));
  await quiet();
  const handled = host.asked.length;
  t.ok(handled < 40, `${handled} of 400 handled`);
  for (let i = 0; i < 100; i++) host.journal.record("safe", "pump", "", "off");
  frontEnd.resume();
  t.equal((await Promise.all(replies)).filter((reply) => reply.kind === "value").length, 400);
  t.equal(host.asked.length, 400);
  t.equal(front.journal.recorded, 100);
});
