import { cpSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import t from "tap";

import type { Reply } from "../../agent/contract/request.ts";
import type { Value } from "../../agent/contract/value.ts";
import { queueOptionsSchema } from "../../agent/services/queue/options.ts";
import { settled } from "../helpers/fake-clock.ts";
import { createClient, openRig, scratch, told } from "./queue/rig.ts";

t.test("what is put on the queue comes off it, first in first out, and is gone once acknowledged", async (t) => {
  const { ask, next, clock } = await openRig(t, { folder: scratch(t) });
  t.equal(await ask("ENQUEUE one"), 1);
  t.equal(await ask("ENQUEUE two TOPIC kingcobra correlation job-7 priority 4"), 2);
  t.strictSame(await next(), {
    id: 1,
    topic: "kingcobra",
    payload: Buffer.from("one"),
    deliveries: 1,
    priority: 4,
    correlation: null,
    from: "127.0.0.1",
    wallMs: clock.wallMs(),
    origin: null,
    reason: null,
  });
  t.match(await next(), { id: 2, payload: Buffer.from("two"), correlation: "job-7" });
  t.equal(await ask("DEQUEUE"), null);
  t.equal(await ask("ACK 1"), "OK");
  t.equal(await ask("ACK 1"), "UNKNOWN no message 1 is queued: it was acknowledged already, or never was");
  t.equal(await ask("ACK 2"), "OK");
  await clock.advance(60_000);
  t.equal(await ask("DEQUEUE"), null, "acknowledged messages do not come again");
});

t.test("a payload is any bytes, none included", async (t) => {
  const { handle, next } = await openRig(t, { folder: scratch(t) });
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  for (const payload of [bytes.toString("latin1"), "", "\n\t\n", "x".repeat(70_000)]) {
    t.type(told(await handle({ verb: "ENQUEUE", args: [payload] })), "number");
    t.equal((await next()).payload.toString("latin1"), payload);
  }
});

t.test("topics are apart, and within one the higher priority comes first, then the earlier message", async (t) => {
  const { ask, drain } = await openRig(t, { folder: scratch(t) });
  for (const line of ["a PRIORITY 0", "b", "c PRIORITY 9", "d", "e PRIORITY 9", "f TOPIC grün", "g PRIORITY 5"])
    await ask(`ENQUEUE ${line}`);
  t.strictSame(await drain(), ["c", "e", "g", "b", "d", "a"]);
  t.strictSame(await drain("TOPIC grün"), ["f"]);
  t.strictSame(await drain("TOPIC other"), []);
});

t.test("a message that is not acknowledged comes again when its visibility ends, in its old place", async (t) => {
  const { ask, next, drain, clock } = await openRig(t, { folder: scratch(t), queue: { visibilityMs: 1000 } });
  for (const word of ["a", "b", "c"]) await ask(`ENQUEUE ${word}`);
  t.match(await next(), { id: 1, deliveries: 1 });
  t.match(await next("VISIBILITY 5000"), { id: 2, deliveries: 1 });
  await clock.advance(999);
  t.strictSame(await ask("QSTAT kingcobra"), {
    topic: "kingcobra",
    ready: 1,
    inFlight: 2,
    delayed: 0,
    waiting: 0,
    bytes: 3,
    oldestMs: 999,
  });
  await clock.advance(1);
  t.match(await next(), { id: 1, deliveries: 2 }, "before the third, which was never delivered");
  await ask("ACK 1");
  t.match(await next(), { id: 3 });
  await ask("ACK 3");
  await clock.advance(4000);
  t.strictSame(await drain(), ["b"]);
});

t.test("a late acknowledgement counts: the message is not delivered a third time", async (t) => {
  const { ask, next, clock } = await openRig(t, { folder: scratch(t) });
  await ask("ENQUEUE late");
  await next();
  await clock.advance(30_000);
  t.equal(await ask("ACK 1"), "OK", "it is ready again, and was never taken a second time");
  t.equal(await ask("DEQUEUE"), null);
  t.strictSame(await ask("QSTAT"), []);
});

t.test("NACK gives a message back at once or after a delay, and says why", async (t) => {
  const { ask, next, clock } = await openRig(t, { folder: scratch(t) });
  await ask("ENQUEUE job");
  await next();
  t.equal(await ask("NACK 1 REASON busy"), "OK");
  t.match(await next(), { id: 1, deliveries: 2, reason: "busy" });
  t.equal(await ask("NACK 1 DELAY 500"), "OK");
  t.equal(await ask("DEQUEUE"), null);
  t.match(await ask("QSTAT kingcobra"), { delayed: 1, inFlight: 0, ready: 0, oldestMs: null });
  await clock.advance(500);
  t.match(await next(), { id: 1, deliveries: 3 });
  await ask("NACK 1");
  t.equal(await ask("NACK 1"), "NOT_READY message 1 is with nobody; only what was delivered can be given back");
});

t.test("after too many deliveries a message is in its dead-letter topic, and stays there", async (t) => {
  const { ask, next, clock, log, service } = await openRig(t, { folder: scratch(t), queue: { maxDeliveries: 2 } });
  await ask("ENQUEUE poison TOPIC orders PRIORITY 7");
  await next("TOPIC orders");
  await ask("NACK 1 REASON broken");
  await next("TOPIC orders");
  await clock.advance(30_000);
  t.equal(await ask("DEQUEUE TOPIC orders"), null);
  t.match(log.lines.at(-1), "warn message 1 of orders was not acknowledged and is in dead.orders");
  t.match(service.figures(), { dead: 1, dead_lettered: 1, depth: 1 });
  for (let delivery = 3; delivery <= 6; delivery++) {
    t.match(await next("TOPIC dead.orders"), { id: 1, deliveries: delivery, origin: "orders", reason: "broken", priority: 7 });
    await ask("NACK 1 REASON broken");
  }
  t.match(await ask("QSTAT"), [{ topic: "dead.orders", ready: 1 }]);
  await next("TOPIC dead.orders");
  t.equal(await ask("ACK 1"), "OK");
  t.match(service.figures(), { dead: 0, depth: 0, bytes: 0, topics: 0 });
});

t.test("who waits is served in the order they came, once each", async (t) => {
  const { ask, clock, service } = await openRig(t, { folder: scratch(t) });
  const served: string[] = [];
  const wait = (name: string, words: string) =>
    ask(`DEQUEUE ${words}`).then((value) => served.push(`${name} ${value === null ? "nothing" : String((value as { id: number }).id)}`));
  const waits = [wait("first", "WAIT 1000"), wait("second", "WAIT 300"), wait("third", "WAIT 1000"), wait("other", "TOPIC x WAIT 1000")];
  await settled();
  t.match(service.figures(), { waiting: 4 });
  t.match(await ask("QSTAT"), [
    { topic: "kingcobra", waiting: 3 },
    { topic: "x", waiting: 1 },
  ]);
  await clock.advance(300);
  t.strictSame(served, ["second nothing"]);
  await ask("ENQUEUE a");
  await ask("ENQUEUE b");
  await ask("ENQUEUE c");
  await clock.advance(700);
  await Promise.all(waits);
  t.strictSame(served, ["second nothing", "first 1", "third 2", "other nothing"]);
  t.match(await ask("DEQUEUE"), { id: 3 });
  t.match(service.figures(), { waiting: 0 });
});

t.test("a message is not lost to a client that is gone", async (t) => {
  const { ask, next, handle, clock, service } = await openRig(t, { folder: scratch(t) });
  const { caller, leave } = createClient("leaver");
  const waiting = ask("DEQUEUE WAIT 60000", caller);
  const other = ask("DEQUEUE WAIT 60000");
  leave();
  t.equal(await waiting, null);
  await ask("ENQUEUE a");
  t.match(await other, { id: 1, deliveries: 1 }, "it goes to the next who waits");
  t.equal(await ask("DEQUEUE WAIT 60000", caller), null, "who is gone already does not wait");
  const { caller: late, leave: leaveLate } = createClient("late");
  const delivered = handle({ verb: "DEQUEUE", args: ["WAIT", "60000"] }, late) as Promise<Reply>;
  await ask("ENQUEUE b");
  leaveLate();
  t.match(told(await delivered), { id: 2 }, "delivered in the moment it left");
  await clock.advance(30_000);
  t.match(await next(), { id: 1, deliveries: 2 });
  t.match(await next(), { id: 2, deliveries: 2 });
  t.match(service.figures(), { waiting: 0, redelivered: 2 });
});

t.test("what is too much is refused by the name of the limit, and leaves room for what fits", async (t) => {
  const queue = { maxMessages: 3, maxBytes: 1024, maxMessageBytes: 1000, maxWaiting: 1, maxWaitMs: 100, maxVisibilityMs: 60_000 };
  const { ask, next, clock, service } = await openRig(t, { folder: scratch(t), queue });
  t.equal(await ask(`ENQUEUE ${"x".repeat(1001)}`), "LIMIT a message of 1001 bytes is refused; it may have 1000 (queue.maxMessageBytes)");
  await ask(`ENQUEUE ${"x".repeat(1000)}`);
  t.equal(
    await ask(`ENQUEUE ${"x".repeat(25)}`),
    "FULL 1000 bytes are queued already, at most 1024 may be (queue.maxBytes); acknowledge some first",
  );
  await ask("ENQUEUE b");
  await next();
  t.equal(await ask(`REPLY 1 ${"y".repeat(1001)}`), "LIMIT a reply of 1001 bytes is refused; it may have 1000 (queue.maxMessageBytes)");
  await ask("ENQUEUE c");
  t.equal(await ask("ENQUEUE d"), "FULL 3 messages are queued already (queue.maxMessages); acknowledge some first");
  t.match(service.figures(), { refused: 4, depth: 3, bytes: 1002 });
  await ask("ACK 1");
  t.type(await ask("ENQUEUE e"), "number");
  const waits = [ask("DEQUEUE TOPIC x WAIT 100"), ask("AWAIT 3 WAIT 100")];
  t.equal(await waits[1], "FULL 1 requests wait already (queue.maxWaiting); ask without WAIT");
  t.equal(await ask("DEQUEUE TOPIC x WAIT 101"), "LIMIT WAIT 101 is refused; at most 100 may be asked for (queue.maxWaitMs)");
  t.match(await ask("DEQUEUE VISIBILITY 60001"), /^LIMIT VISIBILITY 60001 .*queue\.maxVisibilityMs/);
  await next();
  t.match(await ask("NACK 2 DELAY 60001"), /^LIMIT DELAY 60001 .*queue\.maxVisibilityMs/);
  await clock.advance(100);
  t.equal(await waits[0], null);
});

t.test("many enqueued in one turn count before they are on disk", async (t) => {
  const { ask, service } = await openRig(t, { folder: scratch(t), queue: { maxMessages: 5 } });
  const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => ask(`ENQUEUE m${i}`)));
  t.strictSame(answers.slice(0, 5), [1, 2, 3, 4, 5]);
  t.match(answers.slice(5), [/^FULL/, /^FULL/, /^FULL/]);
  t.match(service.figures(), { depth: 5, log_writes: 1, refused: 3 }, "in one write");
});

t.test("a reply acknowledges its message and is kept for who sent it", async (t) => {
  const { ask, next, handle, clock, service } = await openRig(t, { folder: scratch(t), queue: { replyMs: 5000 } });
  await ask("ENQUEUE question CORRELATION q1");
  const early = ask("AWAIT 1 WAIT 10000");
  const marked = ask("AWAIT correlation q1 WAIT 10000");
  t.equal(await ask("AWAIT 1"), null);
  t.equal(await ask("AWAIT 1 WAIT 0"), null);
  await next();
  t.equal(told(await handle({ verb: "REPLY", args: ["1", "yes \0\xff"] })), "OK");
  const answer = Buffer.from("yes \0\xff", "latin1");
  t.strictSame([await early, await marked], [answer, answer]);
  await clock.advance(4999);
  t.strictSame([await ask("AWAIT 1"), await ask("AWAIT CORRELATION q1 WAIT 10")], [answer, answer], "as often as it is asked for");
  t.match(service.figures(), { depth: 0, replies: 1, reply_bytes: 6, answered: 1 });
  await clock.advance(1);
  t.equal(await ask("AWAIT 1"), "UNKNOWN no message 1 is queued and no reply to it is kept");
  t.equal(await ask("AWAIT CORRELATION q1"), "UNKNOWN no message with the mark q1 is queued and no reply to one is kept");
  t.match(service.figures(), { replies: 0, reply_bytes: 0 });
});

t.test("who awaits a reply that will not come is told so", async (t) => {
  const { ask, next, clock } = await openRig(t, { folder: scratch(t), queue: { maxDeliveries: 1 } });
  const { caller, leave } = createClient();
  for (const word of ["a", "b", "c"]) await ask(`ENQUEUE ${word}`);
  const waits = [ask("AWAIT 1 WAIT 90000"), ask("AWAIT 2 WAIT 90000"), ask("AWAIT 3 WAIT 300"), ask("AWAIT 3 WAIT 90000", caller)];
  await next();
  await ask("ACK 1");
  t.equal(await waits[0], "UNKNOWN message 1 was acknowledged without a reply");
  await next();
  await ask("NACK 2 REASON no");
  t.equal(await waits[1], "FAULTED message 2 is in dead.kingcobra after 1 deliveries: no");
  t.equal(await ask("AWAIT 2 WAIT 90000"), "FAULTED message 2 is in dead.kingcobra after 1 deliveries: no");
  await clock.advance(300);
  t.equal(await waits[2], null);
  leave();
  t.equal(await waits[3], null);
  await next("TOPIC dead.kingcobra");
  await ask("REPLY 2 after-all");
  t.strictSame(await ask("AWAIT 2"), Buffer.from("after-all"));
});

t.test("replies beyond their limits push the oldest out", async (t) => {
  const { ask, next, service } = await openRig(t, { folder: scratch(t), queue: { maxReplies: 2, maxReplyBytes: 1024 * 1024 } });
  for (let id = 1; id <= 4; id++) {
    await ask(`ENQUEUE ${id}`);
    await next();
    await ask(`REPLY ${id} ${"r".repeat(id === 4 ? 1024 * 1024 : id)}`);
  }
  t.match(await ask("AWAIT 1"), /^UNKNOWN/);
  t.match(await ask("AWAIT 3"), /^UNKNOWN/, "the fourth takes all the bytes there are");
  t.equal(((await ask("AWAIT 4")) as Buffer).length, 1024 * 1024);
  t.match(service.figures(), { replies: 1, replies_evicted: 3 });
});

t.test("what cannot be understood is refused and changes nothing", async (t) => {
  const { ask, service } = await openRig(t, { folder: scratch(t) });
  const enqueue = "usage: ENQUEUE payload [TOPIC t] [PRIORITY 0-9] [CORRELATION mark]";
  const dequeue = "usage: DEQUEUE [TOPIC t] [WAIT ms] [VISIBILITY ms]";
  for (const [line, error] of [
    ["ENQUEUE", `ENQUEUE got 0 words; ${enqueue}`],
    ["ENQUEUE a b c", `"b" is not understood; ${enqueue}`],
    ["ENQUEUE a TOPIC", `TOPIC needs a word after it; ${enqueue}`],
    ["ENQUEUE a TOPIC x topic y", `TOPIC is said twice; ${enqueue}`],
    ["ENQUEUE a PRIORITY 10", 'PRIORITY is a whole number of 0 to 9, not "10"'],
    ["ENQUEUE a PRIORITY high", 'PRIORITY is a whole number of 0 to 9, not "high"'],
    [`ENQUEUE a TOPIC ${"t".repeat(129)}`, `TOPIC is 1 to 128 bytes of text without blanks, not "${"t".repeat(40)}..."`],
    ["ENQUEUE a TOPIC a\tb", 'TOPIC is 1 to 128 bytes of text without blanks, not "a\\tb"'],
    ["ENQUEUE a CORRELATION \uFFFD", 'CORRELATION is 1 to 128 bytes of text without blanks, not "\uFFFD"'],
    ["DEQUEUE 5", `"5" is not understood; ${dequeue}`],
    ["DEQUEUE WAIT soon", 'WAIT is a whole number of 0 to 300000, not "soon"'],
    ["DEQUEUE VISIBILITY 9", 'VISIBILITY is a whole number of 10 to 86400000, not "9"'],
    ["ACK", "ACK got 0 words; usage: ACK id"],
    ["ACK 1 2", "ACK got 2 words; usage: ACK id"],
    ["ACK first", 'ACK takes the id of a message, a whole number, not "first"'],
    ["ACK 9007199254740993", 'ACK takes the id of a message, a whole number, not "9007199254740993"'],
    ["NACK", "NACK got 0 words; usage: NACK id [DELAY ms] [REASON text]"],
    ["REPLY 1", "REPLY got 1 words; usage: REPLY id payload"],
    ["AWAIT", "AWAIT got 0 words; usage: AWAIT id | CORRELATION mark [WAIT ms]"],
    ["AWAIT x", 'AWAIT takes the id of a message, a whole number, not "x"'],
    ["AWAIT CORRELATION", "CORRELATION needs a word after it; usage: AWAIT id | CORRELATION mark [WAIT ms]"],
    ["QSTAT a b", "QSTAT got 2 words; usage: QSTAT [topic]"],
  ] as const) {
    t.equal(await ask(line), `ARGUMENT ${error}`, line);
  }
  for (const verb of ["ACK 7", "NACK 7", "REPLY 7 x"]) {
    t.equal(await ask(verb), "UNKNOWN no message 7 is queued: it was acknowledged already, or never was");
  }
  t.equal(await ask("NOPE"), "UNKNOWN the queue has no verb NOPE");
  t.match(service.figures(), { depth: 0, taken: 0, refused: 0 });
  t.strictSame(
    service.verbs.map(({ verb }) => verb),
    ["ENQUEUE", "DEQUEUE", "ACK", "NACK", "REPLY", "AWAIT", "QSTAT"],
  );
});

t.test("who may not use a topic may neither see it nor touch its messages", async (t) => {
  const { ask, next, service, client } = await openRig(t, { folder: scratch(t) });
  const { caller } = createClient("guest", ["news"]);
  const denied = "DENIED guest may not use queue:orders; its user's allow list does not cover it";
  await ask("ENQUEUE secret TOPIC orders CORRELATION c");
  t.type(await ask("ENQUEUE hello TOPIC news", caller), "number");
  for (const line of [
    "ENQUEUE x TOPIC orders",
    "DEQUEUE TOPIC orders",
    "DEQUEUE TOPIC orders WAIT 10",
    "ACK 1",
    "NACK 1",
    "REPLY 1 x",
    "AWAIT 1",
    "AWAIT CORRELATION c WAIT 10",
    "QSTAT orders",
  ]) {
    t.equal(await ask(line, caller), denied, line);
  }
  t.match(await ask("ENQUEUE x", caller), /^DENIED guest may not use queue:kingcobra/);
  t.match(told(await service.accept("x", caller)), /^DENIED guest may not use queue:kingcobra/);
  t.strictSame(
    ((await ask("QSTAT", caller)) as unknown as { topic: string }[]).map(({ topic }) => topic),
    ["news"],
  );
  await next("TOPIC orders");
  await ask("REPLY 1 answer", client.caller);
  t.equal(await ask("AWAIT 1", caller), denied, "nor the reply that is left of one");
});

t.test("everything acknowledged is there after a restart, in order, and ids go on", async (t) => {
  const folder = scratch(t);
  const first = await openRig(t, { folder, queue: { replyMs: 60_000 } });
  for (let i = 1; i <= 20; i++) await first.ask(`ENQUEUE m${i} PRIORITY ${i % 2 === 0 ? 4 : 5} CORRELATION c${i}`);
  for (let i = 0; i < 10; i++) await first.next();
  await first.ask("ACK 3");
  await first.ask("REPLY 5 five");
  await first.ask("NACK 7 DELAY 50000");
  await first.clock.advance(10_000);
  await first.close();
  const second = await openRig(t, { folder, clock: first.clock, queue: { replyMs: 60_000 } });
  const odd = Array.from({ length: 10 }, (_, i) => 2 * i + 1).filter((i) => i !== 3 && i !== 5);
  const even = Array.from({ length: 10 }, (_, i) => 2 * i + 2);
  t.match(await second.ask("DEQUEUE"), { id: 1, deliveries: 2, correlation: "c1", from: "127.0.0.1" }, "its first delivery counts");
  t.strictSame(
    [1, ...(await second.drain()).map((payload) => Number(payload.slice(1)))],
    [...odd, ...even],
    "in the order of their ids, what was in flight or delayed included",
  );
  t.strictSame(await second.ask("AWAIT 5"), Buffer.from("five"));
  t.strictSame(await second.ask("AWAIT CORRELATION c5"), Buffer.from("five"));
  t.equal(await second.ask("AWAIT 3"), "UNKNOWN no message 3 is queued and no reply to it is kept");
  t.equal(await second.ask("ENQUEUE next"), 21);
  await second.clock.advance(50_000);
  t.match(await second.ask("AWAIT 5"), /^UNKNOWN/, "the reply's time goes on from when it was given");
});

t.test("an id is never given out again, also when nothing was left", async (t) => {
  const folder = scratch(t);
  for (let id = 1; id <= 5; id++) {
    const { ask, next, close } = await openRig(t, { folder });
    t.equal(await ask("ENQUEUE x"), id);
    t.equal((await next()).id, id);
    t.equal(await ask(`ACK ${id}`), "OK");
    await close();
  }
});

t.test("what a crash leaves is what was answered: a copy of the folder opens with it", async (t) => {
  const folder = scratch(t);
  const live = join(folder, "live");
  const { ask, next, enqueue } = await openRig(t, { folder: live });
  const queued = new Set<string>();
  for (let round = 1; round <= 5; round++) {
    const words = Array.from({ length: 20 }, (_, i) => `r${round}m${i}`);
    await Promise.all(words.map((word) => ask(`ENQUEUE ${word}`)));
    for (const word of words) queued.add(word);
    for (let i = 0; i < 7; i++) {
      const { id, payload } = await next();
      await ask(`ACK ${id}`);
      queued.delete(payload.toString());
    }
    // Asked for and not answered yet: may be in the copy or not.
    const pending = Promise.all(Array.from({ length: 3 }, (_, i) => enqueue(`pending${round}.${i}`)));
    const copy = join(folder, `copy${round}`);
    cpSync(live, copy, { recursive: true });
    const opened = await openRig(t, { folder: copy });
    const found = (await opened.drain()).filter((word) => !word.startsWith("pending"));
    t.strictSame(found, [...queued]);
    await opened.close();
    for (const id of await pending) await ask(`ACK ${id}`);
  }
});

t.test("a message whose every delivery ends the agent is in its dead-letter topic in the end", async (t) => {
  const folder = scratch(t);
  const deliveries: number[] = [];
  let rig = await openRig(t, { folder, queue: { maxDeliveries: 3 } });
  await rig.ask("ENQUEUE poison");
  for (let crash = 0; crash < 3; crash++) {
    deliveries.push((await rig.next()).deliveries);
    await rig.close();
    rig = await openRig(t, { folder, queue: { maxDeliveries: 3 } });
  }
  t.strictSame(deliveries, [1, 2, 3]);
  t.equal(await rig.ask("DEQUEUE"), null);
  await rig.close();
  rig = await openRig(t, { folder, queue: { maxDeliveries: 1000 } });
  t.match(await rig.next("TOPIC dead.kingcobra"), {
    id: 1,
    deliveries: 4,
    origin: "kingcobra",
    reason: "delivered 3 times and never acknowledged",
  });
});

t.test("the log stays small while an old message stays in it", async (t) => {
  const folder = scratch(t);
  const first = await openRig(t, { folder, queue: { fileBytes: 0 } });
  await first.ask("ENQUEUE old TOPIC keep CORRELATION old");
  await first.next("TOPIC keep");
  await first.ask("ENQUEUE question TOPIC keep");
  await first.ask("REPLY 2 answer");
  const payload = "x".repeat(60_000);
  for (let round = 0; round < 30; round++) {
    const ids = await Promise.all(Array.from({ length: 16 }, () => first.enqueue(payload)));
    await Promise.all(ids.map((id) => first.ask(`ACK ${id}`)));
  }
  t.ok(Number(first.service.figures()["log_bytes_written"]) > 28_000_000);
  t.ok(readdirSync(join(folder, "log")).length <= 5, "of 4 MiB each");
  const next = (await first.ask("ENQUEUE last")) as number;
  t.equal(next, 483);
  await first.close();
  const second = await openRig(t, { folder, queue: { fileBytes: 0 } });
  t.match(await second.next("TOPIC keep"), { id: 1, deliveries: 2, correlation: "old", payload: Buffer.from("old") });
  t.strictSame(await second.ask("AWAIT 2"), Buffer.from("answer"));
  t.strictSame(await second.drain(), ["last"]);
  t.equal(await second.ask("ENQUEUE more"), 484);
});

t.test("when no more can be written nothing is acknowledged, and what was stays and can be acknowledged", async (t) => {
  const folder = scratch(t);
  const { ask, handle, next, service } = await openRig(t, { folder, queue: { fileBytes: 0 } });
  await ask("ENQUEUE kept");
  rmSync(join(folder, "log"), { recursive: true });
  const payload = "x".repeat(1_000_000);
  let taken = 0;
  let refused: Value = null;
  while (refused === null) {
    const answer = told(await handle({ verb: "ENQUEUE", args: [payload] }));
    if (typeof answer === "number") taken += 1;
    else refused = answer;
  }
  t.match(refused, /^IO queue: cannot make room for more records in /);
  t.match(service.figures(), { depth: taken + 1, bytes: taken * payload.length + 4 });
  t.match(await next(), { id: 1 });
  t.equal(await ask("ACK 1"), "OK", "there is room left for what makes room");
  t.match(service.figures(), { depth: taken });
});

t.test("closing answers who waits, and keeps what was being written", async (t) => {
  const folder = scratch(t);
  const { ask, close, clock } = await openRig(t, { folder });
  const waits = [ask("DEQUEUE WAIT 1000"), ask("DEQUEUE TOPIC b WAIT 1000")];
  await settled();
  const last = ask("ENQUEUE last TOPIC c");
  await close();
  t.strictSame(await Promise.all(waits), [null, null]);
  t.equal(await last, 1);
  t.equal(await ask("ENQUEUE x"), "IO queue: the log is closed");
  t.equal(clock.pending(), 0, "no timers are left");
  const again = await openRig(t, { folder });
  t.strictSame(await again.drain("TOPIC c"), ["last"]);
});

t.test("classic payloads are queued under one topic, replies find their request and are never queued", async (t) => {
  const { ask, next, service, client } = await openRig(t, { folder: scratch(t) });
  const accept = async (payload: string) => told(await service.accept(payload, client.caller));
  t.equal(await accept("KingCobra_17August2015"), 1);
  t.equal(await ask("QUEUE.TOKEN virgo_queue_12June2019"), 2);
  t.equal(await accept(""), null, "nothing is nothing to keep");
  const { id, wallMs } = await next();
  const stamp = `${Math.floor(wallMs / 1000)}:${(wallMs % 1000) * 1_000_000 + id}`;
  const answered = ask("AWAIT 1 WAIT 1000");
  t.equal(await accept(`REPLY#7f000001#${stamp} :--- from kingcobra_servicerequest_kernelspace() to client`), "OK");
  t.strictSame(await answered, Buffer.from(":--- from kingcobra_servicerequest_kernelspace() to client"));
  const unmatched = `UNKNOWN no request 7f000001#${stamp} waits for a reply`;
  t.equal(await accept(`REPLY#7f000001#${stamp}#again`), unmatched, "once");
  t.match(await accept("REPLY#1000000#1408964032:335925644 :--- from"), /^UNKNOWN no request 1000000#1408964032:335925644/);
  t.match(await accept("REPLY#1000000#574982121246:574982121006virgo_queue_12June2019 $$"), /^UNKNOWN/);
  t.match(await accept("REPLY#"), /^SYNTAX a reply begins with REPLY#/);
  t.match(service.figures(), { depth: 1, replies_unmatched: 3 });
  await ask("ENQUEUE own CORRELATION 1000000#1408964032:335925644");
  t.equal(await accept("REPLY#1000000#1408964032:335925644#marked"), "OK", "a mark may be the header of somebody else's request");
  t.strictSame(await ask("AWAIT 3"), Buffer.from("marked"));
});

t.test("a handler has either a function or an executable, and topics have no blanks", (t) => {
  const problems = (queue: object): string[] => {
    const result = queueOptionsSchema.safeParse(queue);
    return result.success ? [] : result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  };
  t.strictSame(problems({ handlers: [{ topic: "a", call: "lamp.on" }] }), []);
  t.strictSame(problems({ handlers: [{ topic: "a" }] }), ["handlers.0: a handler has either call or run"]);
  t.strictSame(problems({ handlers: [{ topic: "a", call: "b.c", run: "/bin/x" }] }), ["handlers.0: a handler has either call or run"]);
  t.match(problems({ handlers: [{ topic: "a b", call: "b.c" }] }), [/^handlers\.0\.topic: a topic is named/]);
  t.match(problems({ deadLetter: " " }), [/^deadLetter: /]);
  t.end();
});
