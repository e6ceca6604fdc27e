import t from "tap";

import { AgentError } from "../../../agent/contract/errors.ts";
import { errorReply, OK, valueReply, type Caller, type Reply, type Request } from "../../../agent/contract/request.ts";
import type { Value } from "../../../agent/contract/value.ts";
import { settled, type FakeClock } from "../../helpers/fake-clock.ts";
import { openRig, scratch, type Rig } from "./rig.ts";

/** Lets writes reach the disk and what follows from them happen, until `check` holds. */
async function until(check: () => boolean): Promise<void> {
  while (!check()) await settled();
}

interface Work {
  readonly words: readonly string[];
  readonly caller: Caller;
  end(reply: Reply): void;
}

/** Devices that do what the test says. */
function createDevices() {
  const works: Work[] = [];
  return {
    works,
    handle: (request: Request, caller: Caller) =>
      new Promise<Reply>((resolve) => {
        works.push({ words: [request.verb, ...request.args], caller, end: resolve });
      }),
  };
}

const figure = (rig: Rig, name: string): number => Number(rig.service.figures()[name]);

t.test("a handler calls its function with the payload's words, two messages at once, and the value is the reply", async (t) => {
  const { works, handle } = createDevices();
  const queue = { handlers: [{ topic: "lights", call: "lamp.beam" }] };
  const rig = await openRig(t, { folder: scratch(t), queue, devices: handle });
  for (const payload of ["low", " high  50\tslow\r\n", "", "off"]) await rig.enqueue(payload, "lights");
  await until(() => works.length === 2);
  t.match(rig.service.figures(), { handlers: 1, handlers_running: 2, in_flight: 2, ready: 2 });
  t.strictSame(
    works.map(({ words }) => words),
    [
      ["CLONE", "lamp.beam", "low"],
      ["CLONE", "lamp.beam", "high", "50", "slow"],
    ],
  );
  t.match(works[0]?.caller, { name: "queue lights", priority: 10 });
  t.equal(works[0]?.caller.address, undefined);
  t.match(rig.journal.chain(works[1]?.caller.cause ?? 0), [
    { kind: "message", subject: "lights", caller: "127.0.0.1", detail: "message 2:  high  50\tslow\r\n" },
  ]);
  const answers = Promise.all([1, 2, 3, 4].map((id) => rig.ask(`AWAIT ${id} WAIT 1000`)));
  works[1]?.end(valueReply({ on: true, level: 50n, raw: Buffer.from("x"), list: [1, null] }));
  await until(() => works.length === 3);
  works[0]?.end(valueReply("grün"));
  works[2]?.end(OK);
  await until(() => works.length === 4);
  works[3]?.end(valueReply(Buffer.from([0, 255])));
  t.strictSame(
    (await answers).map((answer: Value) => (answer as Buffer).toString("latin1")),
    ["gr\xc3\xbcn", '{"on":true,"level":"50","raw":"x","list":[1,null]}', "OK", "\0\xff"],
  );
  await until(() => figure(rig, "handlers_running") === 0);
  t.match(rig.service.figures(), { depth: 0, handled: 4, handlers_failed: 0, waiting: 0 });
});

/** Lets time pass until the failed message has been given back and taken again. */
async function advanceUntil(clock: FakeClock, ms: number, check: () => boolean): Promise<void> {
  await clock.advance(ms - 1);
  await settled();
  if (check()) throw new Error(`it did not wait ${ms} ms`);
  await clock.advance(1);
  await until(check);
}

t.test("what a handler fails on is tried again after longer and longer, then is in the dead-letter topic with the error", async (t) => {
  const { works, handle } = createDevices();
  const queue = { handlers: [{ topic: "t", call: "a.b", inFlight: 1 }], retryMs: 100, maxDeliveries: 3, visibilityMs: 10 };
  const rig = await openRig(t, { folder: scratch(t), queue, devices: handle });
  await rig.ask("ENQUEUE x TOPIC t");
  const failure = errorReply(new AgentError("IN_USE", "a is in use by operator"));
  await until(() => works.length === 1);
  const waiting = rig.ask("AWAIT 1 WAIT 100000");
  works[0]?.end(failure);
  await until(() => figure(rig, "delayed") === 1);
  await advanceUntil(rig.clock, 100, () => works.length === 2);
  await rig.clock.advance(5000);
  t.equal(works.length, 2, "while it works the message is its own, however long that takes");
  works[1]?.end(failure);
  await until(() => figure(rig, "delayed") === 1);
  await advanceUntil(rig.clock, 200, () => works.length === 3);
  works[2]?.end(failure);
  t.equal(await waiting, "FAULTED message 1 is in dead.t after 3 deliveries: IN_USE a is in use by operator");
  t.match(await rig.next("TOPIC dead.t"), { id: 1, origin: "t", reason: "IN_USE a is in use by operator" });
  t.match(rig.service.figures(), { handlers_failed: 3, handled: 0 });
  t.match(
    rig.log.lines.filter((line) => line.includes("failed")),
    [/message 1 failed: IN_USE a is in use by operator/, /message 1 failed/, /message 1 failed/],
  );
});

t.test("a handler runs its executable with the payload as the only argument, and what it prints is the reply", async (t) => {
  const ran: (readonly string[])[] = [];
  const queue = { handlers: [{ topic: "t", run: "/opt/work" }], retryMs: 100, maxMessageBytes: 1024, maxDeliveries: 1 };
  const rig = await openRig(t, {
    folder: scratch(t),
    queue,
    run: async (path, args) => {
      ran.push([path, ...args]);
      if (args[0] === "bad") throw new AgentError("FAULTED", "/opt/work ended with 3");
      return Buffer.from(`did ${String(args[0])}${"!".repeat(2000)}`);
    },
  });
  const payloads = ["grün; rm -rf /", "bad", "--option", "a\0b", "\xff", "x".repeat(1000)];
  for (const payload of payloads) await rig.enqueue(Buffer.from(payload).toString("latin1"), "t");
  await rig.enqueue("\xff", "t");
  await until(() => figure(rig, "handled") + figure(rig, "dead_lettered") === 7);
  t.strictSame(ran.slice(0, 2), [
    ["/opt/work", "grün; rm -rf /"],
    ["/opt/work", "bad"],
  ]);
  t.strictSame(((await rig.ask("AWAIT 1")) as Buffer).toString().slice(0, 20), "did grün; rm -rf /!!");
  t.equal(((await rig.ask("AWAIT 1")) as Buffer).length, 1024, "as much as a message may have");
  t.equal(await rig.ask("AWAIT 2"), "FAULTED message 2 is in dead.t after 1 deliveries: FAULTED /opt/work ended with 3");
  const cannot = "ARGUMENT the payload cannot be an argument of a program:";
  t.match(await rig.ask("AWAIT 3"), `${cannot} it begins with - and would be taken for an option`);
  t.match(await rig.ask("AWAIT 4"), `${cannot} it holds a NUL`);
  t.match(await rig.ask("AWAIT 7"), `${cannot} it is not UTF-8`);
  t.equal(ran.length, 4);
});

t.test("an argument longer than the kernel takes is refused before it is tried", async (t) => {
  const queue = { handlers: [{ topic: "t", run: "/opt/work" }], maxDeliveries: 1 };
  const rig = await openRig(t, { folder: scratch(t), queue, run: () => Promise.reject(new Error("not to be run")) });
  await rig.enqueue("x".repeat(131_072), "t");
  await until(() => figure(rig, "dead_lettered") === 1);
  t.match(await rig.ask("AWAIT 1"), /it has 131072 bytes, at most 131071 are possible/);
});

t.test("when other work takes every place, the delivery does not count", async (t) => {
  let places = 0;
  let tries = 0;
  const queue = { handlers: [{ topic: "t", run: "/opt/work", inFlight: 1 }], retryMs: 100, maxDeliveries: 2 };
  const rig = await openRig(t, {
    folder: scratch(t),
    queue,
    run: async () => {
      tries += 1;
      if (places === 0) throw new AgentError("FULL", "4 executables are running already (clone.maxRunning)");
      return Buffer.from("done");
    },
  });
  await rig.ask("ENQUEUE x TOPIC t");
  for (let round = 1; round <= 5; round++) {
    await until(() => tries === round && figure(rig, "delayed") === 1);
    await rig.clock.advance(100);
  }
  places = 1;
  await until(() => figure(rig, "delayed") === 1 || figure(rig, "handled") === 1);
  await rig.clock.advance(100);
  await until(() => figure(rig, "handled") === 1);
  t.match(rig.service.figures(), { dead_lettered: 0, handlers_failed: 0 });
});

t.test("what is thrown and is no error of the agent fails the message too", async (t) => {
  const queue = { handlers: [{ topic: "t", run: "/opt/work" }], maxDeliveries: 1 };
  const rig = await openRig(t, { folder: scratch(t), queue, run: () => Promise.reject(new Error("two\nlines")) });
  await rig.ask("ENQUEUE x TOPIC t");
  await until(() => figure(rig, "dead_lettered") === 1);
  t.equal(await rig.ask("AWAIT 1"), "FAULTED message 1 is in dead.t after 1 deliveries: two lines");
});

t.test("a message that somebody acknowledges or takes while it is worked on is not done twice", async (t) => {
  const { works, handle } = createDevices();
  const queue = { handlers: [{ topic: "t", call: "a.b" }], retryMs: 100 };
  const rig = await openRig(t, { folder: scratch(t), queue, devices: handle });
  await rig.ask("ENQUEUE x TOPIC t");
  await rig.ask("ENQUEUE y TOPIC t");
  await until(() => works.length === 2);
  t.equal(await rig.ask("ACK 1"), "OK");
  t.equal(await rig.ask("ACK 2"), "OK");
  works[0]?.end(valueReply(1));
  works[1]?.end(errorReply(new AgentError("IO", "gone")));
  await until(() => figure(rig, "handlers_running") === 0);
  await rig.clock.advance(10_000);
  t.match(rig.service.figures(), { depth: 0, bytes: 0, acknowledged: 2, answered: 0, handlers_failed: 0 });
  t.strictSame(rig.log.lines, []);
  t.equal(works.length, 2);
});

t.test("a result that cannot be kept does not make the work be done again", async (t) => {
  const queue = { handlers: [{ topic: "t", call: "a.b" }], maxMessageBytes: 10 };
  const rig = await openRig(t, { folder: scratch(t), queue, devices: () => valueReply("x".repeat(11)) });
  await rig.ask("ENQUEUE x TOPIC t");
  await until(() => figure(rig, "acknowledged") === 1);
  t.match(rig.log.lines, [/^warn the result of message 1 cannot be kept: a reply of 11 bytes is refused/]);
  t.match(rig.service.figures(), { depth: 0, handled: 1 });
});

t.test("closing aborts what runs, waits for it, and gives back what was not done without counting it", async (t) => {
  const folder = scratch(t);
  const aborted: string[] = [];
  const queue = {
    handlers: [
      { topic: "t", run: "/opt/work", inFlight: 2 },
      { topic: "idle", call: "a.b" },
    ],
    maxDeliveries: 1,
  };
  const first = await openRig(t, {
    folder,
    queue,
    run: (_path, [word = ""], signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener("abort", () => {
          aborted.push(word);
          if (word === "quick") resolve(Buffer.from("made it"));
          else reject(new AgentError("FAULTED", "/opt/work ended with SIGKILL"));
        });
      }),
  });
  for (const word of ["slow", "quick", "later"]) await first.ask(`ENQUEUE ${word} TOPIC t`);
  await until(() => figure(first, "handlers_running") === 2);
  await first.close();
  t.strictSame(aborted, ["slow", "quick"]);
  const second = await openRig(t, { folder, clock: first.clock });
  t.strictSame(await second.ask("AWAIT 2"), Buffer.from("made it"));
  t.match(await second.next("TOPIC t"), { id: 1, deliveries: 1 });
  t.match(await second.next("TOPIC t"), { id: 3, deliveries: 1 });
});

t.test("once handlers are stopped no message fails any more, and none is begun", async (t) => {
  const { works, handle } = createDevices();
  const queue = { handlers: [{ topic: "t", call: "a.b" }], maxDeliveries: 1 };
  const rig = await openRig(t, { folder: scratch(t), queue, devices: handle });
  await rig.ask("ENQUEUE x TOPIC t");
  await until(() => works.length === 1);
  rig.service.stopHandlers();
  t.equal(works[0]?.caller.signal.aborted, true);
  works[0]?.end(errorReply(new AgentError("NOT_READY", "the agent is stopping")));
  await rig.ask("ENQUEUE y TOPIC t");
  await until(() => figure(rig, "handlers_running") === 0);
  await rig.clock.advance(1000);
  t.match(rig.service.figures(), { ready: 2, dead_lettered: 0, handlers_failed: 0 });
  t.equal(works.length, 1);
});

t.test("a handler begins only when the delivery is on disk", async (t) => {
  const folder = scratch(t);
  const found: unknown[] = [];
  const queue = { handlers: [{ topic: "t", call: "a.b" }], maxDeliveries: 3 };
  const first = await openRig(t, {
    folder,
    queue,
    devices: () => {
      found.push(first.service.figures()["log_records"]);
      return valueReply(1);
    },
  });
  await first.ask("ENQUEUE x TOPIC t");
  await until(() => found.length === 1);
  t.ok(Number(found[0]) >= 3, "ids, message, delivery");
});
