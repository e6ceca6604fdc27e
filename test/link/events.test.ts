import t from "tap";

import { valueReply } from "../../agent/contract/request.ts";
import { ask, caller, createHost, createPair, createStreams, quiet } from "./pair.ts";
import type { Journal } from "../../agent/contract/journal.ts";
import type { Value } from "../../agent/contract/value.ts";

interface Described {
  readonly value: {
    readonly id: string;
    readonly events: readonly { readonly id: number; readonly kind: string; readonly cause: number }[];
  };
}

function textOf(journal: Journal): readonly string[] {
  return journal.latest(20).map(({ id, kind, subject, caller: by, detail, cause }) => `${id} ${kind} ${subject} ${by} ${detail} <${cause}`);
}

t.test("the device host's events are in the front's journal, each with its cause there", async (t) => {
  const { front, host } = await createPair();
  const began = front.journal.record("message", "queue", "", "order 7");
  host.answer = (_request, by) => {
    const first = host.journal.record("actuate", "lamp", by.name, "beam(low)", by.cause);
    host.journal.record("lease-end", "lamp", by.name, "not renewed", first);
    return valueReply(null);
  };
  await front.call(ask("CLONE", "lamp.beam", "low"), { ...caller, cause: began });
  t.strictSame(textOf(front.journal), [
    "1 message queue  order 7 <0",
    "2 actuate lamp ada beam(low) <1",
    "3 lease-end lamp ada not renewed <2",
  ]);
  t.strictSame(
    front.journal.chain(3).map(({ kind }) => kind),
    ["lease-end", "actuate", "message"],
    "from the end of the lease back to the message",
  );
});

t.test("what happens without being asked is told too", async (t) => {
  const { front, host } = await createPair();
  host.journal.record("fault", "lamp", "", "IO broken");
  await quiet();
  t.strictSame(textOf(front.journal), ["1 fault lamp  IO broken <0"]);
});

t.test("a description shows the events as they are in the front", async (t) => {
  const { front, host } = await createPair();
  for (let i = 0; i < 5; i++) front.journal.record("message", "queue", "", `order ${i}`);
  host.answer = (request, by) => {
    if (request.verb !== "DESCRIBE") return valueReply(host.journal.record("actuate", "lamp", by.name, "on", by.cause));
    return valueReply({ id: "lamp", events: host.journal.chain(2).map((event) => ({ ...event })) });
  };
  await front.call(ask("CLONE", "pump.on"), caller);
  await front.call(ask("CLONE", "lamp.on"), { ...caller, cause: 5 });
  const reply = await front.call(ask("DESCRIBE", "lamp"), caller);
  const { id, events } = (reply as unknown as Described).value;
  t.equal(id, "lamp");
  t.strictSame(
    events.map((event) => `${event.id} ${event.kind} <${event.cause}`),
    ["7 actuate <5", "5 message <0"],
  );
});

t.test("a description without events, and one that is none, stay as they are", async (t) => {
  const { front, host } = await createPair();
  const values: Value[] = [{ id: "lamp", events: [] }, { id: "lamp" }, "lamp", null, [1]];
  for (const value of values) {
    host.answer = () => valueReply(value);
    t.strictSame(await front.call(ask("DESCRIBE", "lamp"), caller), valueReply(value));
  }
  host.answer = () => valueReply({ events: [{ id: 99, kind: "actuate" }] });
  t.strictSame(await front.call(ask("DESCRIBE", "lamp"), caller), valueReply({ events: [] }), "an event that nobody told of");
  host.link.close();
  t.match(await front.call(ask("DESCRIBE", "lamp"), caller), { kind: "error" });
});

t.test("a device host that is started again counts its events from 1", async (t) => {
  const { clock, front, host } = await createPair();
  host.journal.record("open", "lamp", "", "");
  host.journal.record("actuate", "lamp", "ada", "on", 1);
  await quiet();
  host.link.close();
  await quiet();
  const [frontEnd, hostEnd] = createStreams();
  const next = createHost(clock, hostEnd);
  await front.host.attach(frontEnd, "begin");
  next.journal.record("open", "lamp", "", "");
  next.journal.record("actuate", "lamp", "bob", "on", 1);
  next.journal.record("safe", "lamp", "", "off", 7);
  await quiet();
  t.strictSame(textOf(front.journal), [
    "1 open lamp   <0",
    "2 actuate lamp ada on <1",
    "3 open lamp   <0",
    "4 actuate lamp bob on <3",
    "5 safe lamp  off <0",
  ]);
});

t.test("events for a front that does not read are bounded, and what was lost is counted", async (t) => {
  const { front, host, frontEnd } = await createPair();
  frontEnd.pause();
  host.answer = () => valueReply("x".repeat(200_000));
  const reply = front.call(ask("DEVICES"), caller);
  await quiet();
  const many = 200_000;
  for (let i = 0; i < many; i++) host.journal.record("actuate", "lamp", "rule dusk", "on");
  t.ok((host.link.figures()["events_lost"] as number) > 0);
  frontEnd.resume();
  await reply;
  for (let i = 0; i < 50; i++) await quiet();
  t.equal(front.journal.recorded + (host.link.figures()["events_lost"] as number), many);
});
