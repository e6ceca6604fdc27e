import t from "tap";

import { createVariableStore, type VariableStore } from "../../analytics/store.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import type { Clock } from "../../agent/contract/clock.ts";
import { ask, caller, createHost, createPair, createStoppableClock, createStreams, quiet } from "./pair.ts";

t.test("what changes in the front is in the device host, as old as it is there", async (t) => {
  const { clock, front, host } = await createPair();
  front.variables.set("battery_v", 12.5, "tcp 127.0.0.1:64000");
  front.variables.set("gear", "D", "tcp 127.0.0.1:64000");
  front.variables.set("night", true, "file");
  front.variables.set("scan", [1, 2.5, -3], "tcp 127.0.0.1:64000");
  await clock.advance(30);
  await quiet();
  t.match(host.variables.get("battery_v"), { value: 12.5, source: "tcp 127.0.0.1:64000", ageMs: 30, updates: 1 });
  t.equal(host.variables.get("gear")?.value, "D");
  t.equal(host.variables.get("night")?.value, true);
  t.strictSame(host.variables.get("scan")?.value, [1, 2.5, -3]);
});

t.test("what was set before is there before the device host begins to open devices", async (t) => {
  const { clock, front, host } = await createPair();
  front.variables.set("battery_v", 12.5, "tcp");
  await clock.advance(40);
  host.link.close();
  await quiet();
  await clock.advance(60);
  const [frontEnd, hostEnd] = createStreams();
  let seen: unknown;
  const next = createHost(clock, hostEnd, {
    onStart: async () => {
      await quiet();
      seen = next.variables.get("battery_v");
      return { verbs: [], handle: () => ({ kind: "value", value: null }) };
    },
  });
  await front.host.attach(frontEnd, "begin");
  t.match(seen, { value: 12.5, source: "tcp", ageMs: 100 });
});

t.test("what the front publishes for a time of its own is fresh for that time in the device host too", async (t) => {
  const { clock, front, host } = await createPair();
  front.variables.set("average", 7, "derived average", 300);
  await clock.advance(300);
  await quiet();
  t.match(host.variables.get("average"), { value: 7, ageMs: 300, stale: false });
  await clock.advance(1);
  t.equal(host.variables.get("average")?.stale, true);
  front.variables.set("average", 8, "derived average", 50);
  await quiet();
  await clock.advance(60);
  t.match(host.variables.get("average"), { value: 8, stale: true });
});

t.test("of what changes many times in a turn only the latest is sent", async (t) => {
  const { front, host, hostEnd } = await createPair();
  let bytes = 0;
  hostEnd.on("data", (chunk: Buffer) => (bytes += chunk.length));
  for (let i = 0; i < 1000; i++) front.variables.set("speed", i, "tcp");
  await quiet();
  t.equal(host.variables.get("speed")?.value, 999);
  t.ok((host.variables.get("speed")?.updates ?? 0) <= 2);
  t.ok(bytes < 400, `${bytes} bytes`);
});

t.test("while the device host does not read, only the latest values wait", async (t) => {
  const { clock, front, host, hostEnd } = await createPair();
  hostEnd.pause();
  const scan = Array.from({ length: 360 }, (_, i) => i / 7);
  for (let i = 0; i < 500; i++) {
    front.variables.set("scan", [...scan, i], "tcp");
    await clock.advance(10);
  }
  hostEnd.resume();
  await quiet();
  await quiet();
  t.strictSame(host.variables.get("scan")?.value, [...scan, 499]);
  t.ok((host.variables.get("scan")?.updates ?? 0) < 50, `${host.variables.get("scan")?.updates ?? 0} updates`);
});

t.test("many large values come in several messages, and all of them come", async (t) => {
  const { front, host } = await createPair();
  const text = "x".repeat(60_000);
  for (let i = 0; i < 40; i++) front.variables.set(`text${i}`, text, "tcp");
  for (let i = 0; i < 10; i++) await quiet();
  for (let i = 0; i < 40; i++) if (host.variables.get(`text${i}`)?.value !== text) t.fail(`text${i}`);
  t.equal(host.variables.names().length, 40);
});

t.test("what a front reads after it stood still is as old as that", async (t) => {
  const clock = createStoppableClock();
  const { front, host } = await createPair({ clock });
  front.variables.set("speed", 1, "tcp");
  await quiet();
  clock.stand(1000);
  front.variables.set("speed", 2, "tcp");
  await quiet();
  t.match(host.variables.get("speed"), { value: 2, ageMs: 1000 }, "it may have waited in the kernel all that time");
  await clock.advance(50);
  front.variables.set("speed", 3, "tcp");
  await quiet();
  t.match(host.variables.get("speed"), { value: 3, ageMs: 0 });
});

t.test("what devices publish is in the front, for as long as the device says, and theirs alone", async (t) => {
  const { clock, front, host } = await createPair();
  host.link.variables.set("lamp.on", true, "lamp", Infinity);
  host.link.variables.set("sonar.distance_m", 1.25, "sonar", 100);
  await quiet();
  t.match(front.variables.get("lamp.on"), { value: true, source: "lamp", ageMs: 0, stale: false });
  t.throws(() => front.variables.setPairs([{ name: "lamp.on", text: "false" }], "tcp"), { code: "DENIED" });
  await clock.advance(101);
  t.equal(front.variables.get("sonar.distance_m")?.stale, true);
  t.equal(front.variables.get("lamp.on")?.stale, false);
  t.equal(host.link.variables.get("lamp.on")?.value, true);
  t.strictSame(host.link.variables.names(), ["lamp.on", "sonar.distance_m"]);
});

t.test("nothing is sent back to where it came from", async (t) => {
  const { front, host, frontEnd, hostEnd } = await createPair();
  host.link.variables.set("lamp.on", true, "lamp", Infinity);
  host.link.variables.set("steer_deg", 3, "driving");
  front.variables.set("speed", 1, "tcp");
  await quiet();
  let bytes = 0;
  for (const end of [frontEnd, hostEnd]) end.on("data", (chunk: Buffer) => (bytes += chunk.length));
  await quiet();
  t.equal(bytes, 0);
  t.strictSame(
    ["lamp.on", "steer_deg", "speed"].map((name) => `${front.variables.get(name)?.updates} ${host.variables.get(name)?.updates}`),
    ["1 1", "1 1", "1 1"],
  );
  host.link.variables.set("lamp.on", false, "lamp", Infinity);
  await quiet();
  t.equal(front.variables.get("lamp.on")?.value, false);
  t.equal(host.variables.get("lamp.on")?.updates, 2);
});

t.test("a plain variable may be set on either side: the later one counts on both", async (t) => {
  const { clock, front, host } = await createPair();
  host.link.variables.set("steer_deg", 3, "driving");
  await quiet();
  await clock.advance(1);
  front.variables.set("steer_deg", 5, "tcp");
  await quiet();
  t.match([front.variables.get("steer_deg")?.value, host.variables.get("steer_deg")?.value], [5, 5]);
  await clock.advance(1);
  host.link.variables.set("steer_deg", 7, "driving");
  await quiet();
  t.match([front.variables.get("steer_deg")?.value, host.variables.get("steer_deg")?.value], [7, 7]);
});

t.test("a name that a stream set first is the device's from when it publishes it", async (t) => {
  const { front, host } = await createPair();
  front.variables.set("lamp.on", "maybe", "tcp");
  await quiet();
  host.link.variables.set("lamp.on", true, "lamp", Infinity);
  await quiet();
  t.match(front.variables.get("lamp.on"), { value: true, source: "lamp" });
  t.throws(() => front.variables.setPairs([{ name: "lamp.on", text: "false" }], "tcp"), { code: "DENIED" });
});

t.test("when the device host is gone nothing is believed of what devices said, until another one says it", async (t) => {
  const { clock, front, host } = await createPair();
  host.link.variables.set("lamp.on", true, "lamp", Infinity);
  host.link.variables.set("steer_deg", 3, "driving");
  await quiet();
  host.link.close();
  await quiet();
  t.match(front.variables.get("lamp.on"), { value: true, stale: true });
  t.match(front.variables.get("steer_deg"), { value: 3, stale: false }, "what is no device's own ages as it is");

  const [frontEnd, hostEnd] = createStreams();
  const next = createHost(clock, hostEnd);
  await front.host.attach(frontEnd, "begin");
  await quiet();
  t.equal(next.variables.get("lamp.on"), undefined, "and nothing of it is told to the next one");
  await clock.advance(1);
  next.link.variables.set("lamp.on", false, "lamp", Infinity);
  await quiet();
  t.match(front.variables.get("lamp.on"), { value: false, stale: false });
});

t.test("a value that the other side cannot take is said once, and the others come", async (t) => {
  const narrow = (clock: Clock): VariableStore =>
    createVariableStore({
      clock,
      limits: { maxVariables: 10, maxVariableBytes: 64 },
      declared: { percent: { staleMs: 100, min: 0, max: 100 } },
      defaultStaleMs: 2000,
    });
  const clock = createFakeClock();
  const there = narrow(clock);
  const here = await createPair({ clock, host: { variables: there } });
  for (const value of [101, 102, 50]) {
    here.front.variables.set("percent", value, "tcp");
    here.front.variables.set("speed", value, "tcp");
    await quiet();
  }
  t.strictSame([there.get("percent")?.value, there.get("speed")?.value], [50, 50]);
  const reason = "percent cannot be taken over: percent is 101; 0 to 100 is expected";
  t.strictSame(here.host.log.lines, [`warn ${reason}`]);

  const back = narrow(clock);
  const other = await createPair({ clock, front: { variables: back } });
  for (const value of [101, 102, 50]) {
    other.host.link.variables.set("percent", value, "pump", Infinity);
    await quiet();
  }
  t.equal(back.get("percent")?.value, 50);
  t.strictSame(other.front.log.lines, [`warn ${reason}`]);
});

t.test("a full store in the front does not keep the device host from working", async (t) => {
  const { front, host } = await createPair();
  for (let i = 0; i < 1000; i++) front.variables.set(`v${i}`, i, "tcp");
  await quiet();
  for (let i = 0; i < 3; i++) {
    host.variables.setAt("v1", i, "x", 0);
    t.throws(() => host.link.variables.set("lamp.on", true, "lamp", Infinity), { code: "FULL" });
  }
  await front.call(ask("CLONE", "x.y"), caller);
  t.equal(host.asked.length, 1);
});
