import type { Duplex } from "node:stream";

import fc from "fast-check";
import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { OK, valueReply, type Reply } from "../../agent/contract/request.ts";
import { messageOf } from "../../agent/link/messages.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { ask, caller, createFront, createHost, createPair, createStreams, quiet, textOfReply, type Status } from "./pair.ts";
import type { Beat } from "../../agent/link/remote-host.ts";

async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof AgentError) return `${error.code} ${error.message}`;
    throw error;
  }
  return "resolved";
}

t.test("without a device host calls are answered with the reason", async (t) => {
  const clock = createFakeClock();
  const front = createFront(clock, { verbs: [{ verb: "CLONE", usage: "", summary: "" }] });
  const answer = async (): Promise<string> => textOfReply(await front.call(ask("CLONE", "lamp.on"), caller));
  t.strictSame(
    front.host.verbs.map(({ verb }) => verb),
    ["CLONE"],
    "what it will answer is known before",
  );
  t.equal(await answer(), "-NOT_READY the device host is down: it was not started");
  t.equal(front.host.status(), undefined);
  const [frontEnd, hostEnd] = createStreams();
  let ready: () => void = () => undefined;
  const opening = new Promise<void>((resolve) => {
    ready = resolve;
  });
  const host = createHost(clock, hostEnd, {
    onStart: async (text) => {
      t.equal(text, 'START "ü"');
      await opening;
      return { verbs: [], handle: () => OK };
    },
  });
  const attaching = front.host.attach(frontEnd, 'START "ü"');
  t.equal(await answer(), "-NOT_READY the device host is starting; ask again in a moment");
  t.equal(front.host.ready, false);
  await quiet();
  ready();
  await attaching;
  t.equal(front.host.ready, true);
  t.equal(await answer(), "+OK");
  t.strictSame(front.host.status(), { devices: 1 });

  front.host.detach("it crashed three times in a minute; virgo restart tries again");
  t.equal(await answer(), "-NOT_READY the device host is down: it crashed three times in a minute; virgo restart tries again");
  t.strictSame(front.host.status(), { devices: 1 }, "what it said last");
  await quiet();
  t.strictSame(host.lost, ["the front has ended"]);
  t.equal(clock.pending(), 0);
});

t.test("a device host that cannot start says why", async (t) => {
  const clock = createFakeClock();
  const front = createFront(clock);
  const [frontEnd, hostEnd] = createStreams();
  createHost(clock, hostEnd, { onStart: () => Promise.reject(new AgentError("NOT_READY", "no board, no pins")) });
  t.equal(await refusal(front.host.attach(frontEnd, "begin")), "NOT_READY no board, no pins");
  t.equal(front.host.ready, false);
  front.host.close();
});

t.test("a stream that ends before the device host is ready ends the attempt", async (t) => {
  const clock = createFakeClock();
  const front = createFront(clock);
  const [frontEnd, hostEnd] = createStreams();
  const attaching = refusal(front.host.attach(frontEnd, "begin"));
  hostEnd.end();
  t.equal(await attaching, "IO the device host has ended");
  const [second, third] = createStreams();
  const again = refusal(front.host.attach(second, "begin"));
  const other = front.host.attach(createStreams()[0], "begin");
  t.equal(await again, "NOT_READY another device host takes its place");
  front.host.close();
  t.equal(await refusal(other), "NOT_READY the agent is stopping");
  third.destroy();
  t.equal(clock.pending(), 0);
});

t.test("calls that are open when the device host ends are answered, and it is said once", async (t) => {
  const { front, host, hostEnd, quiet } = await createPair();
  const ends: string[] = [];
  front.host.onEnded(({ message }) => ends.push(message));
  host.answer = () => new Promise(() => undefined);
  const replies = [ask("CLONE", "a.x"), ask("DESCRIBE", "a"), ask("ESTOP")].map((request) => front.call(request, caller));
  await quiet();
  const unsent = front.call(ask("CLONE", "b.x"), caller);
  hostEnd.destroy();
  const text = "-IO the device host ended; whether it was carried out is not known";
  t.strictSame((await Promise.all([...replies, unsent])).map(textOfReply), [text, text, text, text]);
  t.equal(textOfReply(await front.call(ask("CLONE", "a.x"), caller)), "-NOT_READY the device host is down: the device host has ended");
  t.strictSame(ends, ["the device host has ended"]);
  t.strictSame(host.lost.length, 1);
});

t.test("a stream that breaks is the end for both, and is said once", async (t) => {
  const { front, host, frontEnd, hostEnd, quiet } = await createPair();
  const ends: string[] = [];
  front.host.onEnded(({ message }) => ends.push(message));
  frontEnd.destroy(new Error("read ECONNRESET"));
  hostEnd.destroy(new Error("write EPIPE"));
  await quiet();
  t.strictSame(ends, ["the device host is gone: read ECONNRESET"]);
  t.strictSame(host.lost, ["the front is gone: write EPIPE"]);
});

t.test("after the front is lost nothing is asked, and what is answered late goes nowhere", async (t) => {
  const { front, host, quiet, clock } = await createPair();
  let answer: (reply: Reply) => void = () => undefined;
  host.answer = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  void front.call(ask("CLONE", "a.x"), caller);
  await quiet();
  const { signal } = host.asked[0]?.caller ?? caller;
  front.host.close();
  await quiet();
  t.equal(signal.aborted, true, "its callers are gone");
  answer(OK);
  host.link.variables.set("a.on", true, "a");
  host.link.doing("device b");
  host.link.statusChanged();
  host.journal.record("safe", "a", "", "");
  await clock.advance(5000);
  t.equal(host.lost.length, 1);
  t.equal(front.journal.recorded, 0);
  t.equal(clock.pending(), 0);
});

t.test("signs of life come on time, with what the loops say and how late they are", async (t) => {
  const loops = { "motion.overruns": 0 };
  const { clock, front } = await createPair({ host: { loops: () => loops } });
  const beats: Beat[] = [];
  const cancel = front.host.onBeat((beat) => beats.push(beat));
  await clock.advance(50);
  await quiet();
  loops["motion.overruns"] = 2;
  await clock.advance(50);
  await quiet();
  t.strictSame(beats, [
    { count: 1, lateMs: 0, loops: { "motion.overruns": 0 } },
    { count: 2, lateMs: 0, loops: { "motion.overruns": 2 } },
  ]);
  cancel();
  await clock.advance(50);
  await quiet();
  t.equal(beats.length, 2);
});

t.test("a front that does not read finds no heap of signs of life", async (t) => {
  const { clock, front, host, frontEnd } = await createPair();
  let beats = 0;
  front.host.onBeat(() => (beats += 1));
  frontEnd.pause();
  host.answer = () => valueReply("x".repeat(300_000));
  const reply = front.call(ask("DEVICES"), caller);
  await quiet();
  for (let i = 0; i < 100; i++) await clock.advance(50);
  frontEnd.resume();
  await reply;
  await quiet();
  t.ok(beats < 10, `${beats} of 100`);
  await clock.advance(50);
  await quiet();
  t.ok(beats >= 1);
});

t.test("the status is told when it has changed: at once after a fault, otherwise within a second", async (t) => {
  const { clock, front, host } = await createPair();
  const told: Status[] = [];
  front.host.onStatus((status) => told.push(status));
  await clock.advance(3000);
  await quiet();
  t.strictSame(told, [], "nothing has changed");
  host.status = { devices: 2 };
  await clock.advance(1050);
  await quiet();
  t.strictSame(told, [{ devices: 2 }]);
  host.status = { devices: 3 };
  host.journal.record("fault", "lamp", "", "blown");
  await quiet();
  t.strictSame(told.at(-1), { devices: 3 });
  host.status = { devices: 4 };
  host.link.statusChanged();
  await quiet();
  t.strictSame(told.at(-1), { devices: 4 });
  t.strictSame(front.host.status(), { devices: 4 });
});

t.test("what may end the device host is said before it does", async (t) => {
  const { front, host } = await createPair();
  const told: (string | undefined)[] = [];
  front.host.onDoing((doing) => told.push(doing));
  host.link.doing("module ./fan.js");
  host.link.doing(undefined);
  await quiet();
  t.strictSame(told, ["module ./fan.js", undefined]);
});

/** Hands on what is written to `from`, a given number of bytes at a time. */
function connect(from: Duplex, to: Duplex, bytes: number): void {
  from.on("data", (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; at += bytes) to.write(chunk.subarray(at, at + bytes));
  });
  from.on("close", () => to.destroy());
}

t.test("bytes may come in pieces of any size", async (t) => {
  for (const bytes of [1, 2, 3, 7, 64]) {
    const clock = createFakeClock();
    const front = createFront(clock);
    const [frontEnd, a] = createStreams();
    const [b, hostEnd] = createStreams();
    connect(a, b, bytes);
    connect(b, a, bytes);
    const host = createHost(clock, hostEnd);
    front.variables.set("scan", [1, 2, 3], "tcp");
    await front.host.attach(frontEnd, "begin");
    host.answer = ({ args }) => (args[1] === "later" ? Promise.resolve(valueReply("later")) : valueReply({ a: [1.5, "ü"] }));
    const replies = await Promise.all(["now", "later", "now"].map((word) => front.call(ask("CLONE", "x.y", word), caller)));
    t.strictSame(replies.map(textOfReply), ['{"a":[1.5,"ü"]}', '"later"', '{"a":[1.5,"ü"]}'], `${bytes} at a time`);
    t.strictSame(host.variables.get("scan")?.value, [1, 2, 3]);
    front.host.close();
  }
});

/** What a device host sends in a short life, one character per byte. */
async function transcript(): Promise<string> {
  const clock = createFakeClock();
  const [near, far] = createStreams();
  let sent = "";
  near.on("data", (chunk: Buffer) => (sent += chunk.toString("latin1")));
  const host = createHost(clock, far);
  host.answer = ({ args }) => (args[0] === "b.x" ? Promise.resolve(OK) : valueReply([1, "two"]));
  near.write(messageOf("START", ["begin"]));
  await quiet();
  near.write(
    messageOf("CALLER", ["1", "ada", "100", "255", "", "ALL"]) + messageOf("1", ["CLONE", "a.x"]) + messageOf("1", ["CLONE", "b.x"]),
    "latin1",
  );
  host.link.variables.set("lamp.on", true, "lamp", 100);
  host.journal.record("actuate", "lamp", "ada", "on");
  await clock.advance(50);
  await quiet();
  host.link.close();
  return sent;
}

t.test("a stream that is cut at any byte answers every call and stores nothing that is half there", async (t) => {
  const whole = await transcript();
  t.ok(whole.length > 300);
  for (let end = 0; end < whole.length; end++) {
    const front = createFront(createFakeClock());
    const [frontEnd, hostEnd] = createStreams();
    const attaching = refusal(front.host.attach(frontEnd, "begin"));
    const asked: Promise<Reply>[] = [];
    const first = Math.min(end, whole.indexOf("*2\r\n$1\r\nR"));
    hostEnd.write(whole.slice(0, first), "latin1");
    await quiet();
    if (front.host.ready) asked.push(front.call(ask("CLONE", "a.x"), caller), front.call(ask("CLONE", "b.x"), caller));
    hostEnd.end(whole.slice(first, end), "latin1");
    const outcome = await attaching;
    const answers = (await Promise.all(asked)).map(textOfReply);
    await quiet();
    if (!["resolved", "IO the device host has ended"].includes(outcome)) t.fail(`cut at ${end}: ${outcome}`);
    const allowed = [/^\[1,"two"\]$|^-IO the device host ended/, /^\+OK$|^-IO the device host ended/];
    if (answers.some((answer, i) => !allowed[i]?.test(answer))) t.fail(`cut at ${end}: ${answers.join(", ")}`);
    if (front.host.ready || front.host.figures()["open_calls"] !== 0) t.fail(`cut at ${end}: it is taken for alive`);
    front.host.close();
  }
});

t.test("whatever a device host sends, the front goes on", async (t) => {
  const parts = [
    "*2\r\n",
    "$1\r\n",
    "R\r\n",
    "L\r\n",
    "D\r\n",
    "$4\r\nVARS\r\n",
    "$6\r\nEVENTS\r\n",
    "$5\r\nREADY\r\n",
    "+OK\r\n",
    "1",
    "\r\n",
    "\xff",
  ];
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.constantFrom(...parts), fc.string({ unit: "binary", maxLength: 6 })), { maxLength: 12 }),
      async (words) => {
        const { front, hostEnd } = await createPair();
        const reply = front.call(ask("CLONE", "a.x"), caller);
        hostEnd.write(Buffer.from(words.join(""), "latin1"));
        await quiet();
        front.host.close();
        t.match((await reply).kind, /error|value|status/);
      },
    ),
    { numRuns: 200 },
  );
});

const MISTAKES: readonly (readonly [string, RegExp])[] = [
  ["*2\r\n$1\r\nR\r\n$5\r\n+OK\r\n\r\n", /an answer came that nobody waits for/],
  ["*2\r\n$1\r\nL\r\n$1\r\n9\r\n", /call 9 is put off, but call 1 is the oldest/],
  ["*3\r\n$1\r\nD\r\n$1\r\n9\r\n$5\r\n+OK\r\n\r\n", /call 9 is answered, but was not put off/],
  ["*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n", /there is no message "HELLO"/],
  ["*2\r\n$4\r\nVARS\r\n$1\r\n\x05\r\n", /end within one/],
  ["*x", /the number of arguments must follow/],
  ["*3\r\n$5\r\nREADY\r\n$1\r\n{\r\n$2\r\n[]\r\n", /JSON/],
];

t.test("a device host that sends what cannot be understood is given up, with what it was", async (t) => {
  for (const [bytes, reason] of MISTAKES) {
    const { front, hostEnd } = await createPair();
    const ends: string[] = [];
    front.host.onEnded(({ message }) => ends.push(message));
    hostEnd.write(bytes, "latin1");
    await quiet();
    t.equal(ends.length, 1);
    t.match(ends[0], reason);
    t.match(ends[0], /^the device host sent what cannot be understood: /);
  }
  const { front, hostEnd } = await createPair();
  const reply = front.call(ask("CLONE", "a.x"), caller);
  hostEnd.write("*2\r\n$1\r\nR\r\n$10\r\n+OK\r\n+OK\r\n\r\n", "latin1");
  t.match(textOfReply(await reply), /^-IO the device host ended/, "two replies in one");
});

const FRONT_MISTAKES: readonly (readonly [string, RegExp])[] = [
  [messageOf("7", ["CLONE", "a.x"]), /a call by caller 7 came before it was introduced, or before READY/],
  [messageOf("CALLER", ["7", "ada"]), /a caller cannot be understood from 2 words/],
  [messageOf("NONSENSE", []), /there is no message "NONSENSE"/],
  [messageOf("VARS", ["?"]), /end within one/],
  ["*1\r\n$x", /the length of an argument must follow/],
];

t.test("a front that sends what cannot be understood is lost, with the reason, once", async (t) => {
  for (const [bytes, reason] of FRONT_MISTAKES) {
    const { host, frontEnd } = await createPair();
    frontEnd.write(bytes, "latin1");
    frontEnd.write(bytes, "latin1");
    await quiet();
    t.equal(host.lost.length, 1);
    t.match(host.lost[0], reason);
  }
});

t.test("a device host gets the ports of its devices when whoever holds them has given them back, and not before", async (t) => {
  const clock = createFakeClock();
  let giveBack: (text: string) => void = () => undefined;
  let asked = 0;
  const handOver = (): Promise<string> => {
    asked += 1;
    return new Promise((resolve) => {
      giveBack = resolve;
    });
  };
  const { host, hostEnd } = await createPair({ clock, front: { handOver } });
  let got: string | undefined;
  const taking = host.link.takePorts().then((text) => (got = text));
  await quiet();
  t.equal(asked, 1);
  t.equal(got, undefined);
  giveBack('{"car.phase":"stöpping"}');
  await taking;
  t.equal(got, '{"car.phase":"stöpping"}');
  hostEnd.destroy();
  await quiet();
  void host.link.takePorts();
  t.equal(asked, 1, "nobody is asked who is gone");
});

t.test("where nobody holds the ports they are had at once", async (t) => {
  const { host } = await createPair();
  t.equal(await host.link.takePorts(), "{}");
});
