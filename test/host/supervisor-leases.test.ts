import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { hang, refusal, rig } from "./supervisor-rig.ts";

t.test("a command answers its value at once, and the device goes safe when its lease ends", async (t) => {
  const { clock, journal, device } = rig();
  const lamp = device("lamp");
  t.same(lamp.move({ leaseMs: 300 }), { kind: "value", value: 1 });
  t.match(lamp.slot.current, { holder: "bench", priority: 100, untilMs: 1300 });
  await clock.advance(299);
  t.same(lamp.did, ["call"]);
  await clock.advance(1);
  t.same(lamp.did, ["call", "failsafe safe"]);
  t.same(
    journal.chain(lamp.slot.event).map(({ kind, caller }) => `${kind} ${caller}`),
    ["safe lease end", "lease-end bench", "actuate bench"],
    "the journal explains it",
  );
  await clock.advance(60_000);
  t.same(lamp.did, ["call", "failsafe safe"], "once");
  t.equal(clock.pending(), 0);
});

t.test("without a lease of its own a command gets the configured one, else the driver's", async (t) => {
  const { clock, device } = rig();
  const lamp = device("lamp");
  const beacon = device("beacon", { leaseMs: 700 });
  void lamp.move();
  void beacon.move();
  await clock.advance(700);
  t.same(beacon.did, ["call", "failsafe safe"]);
  await clock.advance(1299);
  t.same(lamp.did, ["call"]);
  await clock.advance(1);
  t.same(lamp.did, ["call", "failsafe safe"]);
});

t.test("a lease outside the device's range is refused and nothing is called", async (t) => {
  const { device } = rig();
  const lamp = device("lamp");
  t.match(await refusal(lamp.move({ leaseMs: 29 })), /^LIMIT lamp: a lease of 29 ms is outside 30 to 60000 ms/);
  t.same(lamp.did, []);
  t.equal(lamp.slot.fault, undefined);
});

t.test("a renewal moves the end of the lease; a shorter one brings it forward", async (t) => {
  const { clock, device } = rig();
  const lamp = device("lamp");
  for (let i = 0; i < 10; i++) {
    void lamp.move({ leaseMs: 100 });
    await clock.advance(60);
  }
  t.equal(lamp.did.includes("failsafe safe"), false);
  void lamp.move({ leaseMs: 5000 });
  void lamp.move({ leaseMs: 50 });
  await clock.advance(50);
  t.equal(lamp.did.at(-1), "failsafe safe");
});

t.test("leases of several devices end each at its own time", async (t) => {
  const { clock, device } = rig();
  const [a, b, c] = [device("a"), device("b"), device("c")];
  void a.move({ leaseMs: 300 });
  void b.move({ leaseMs: 100 });
  void c.move({ leaseMs: 200 });
  const safe = () => [a, b, c].map(({ did }) => did.length > 1);
  t.same(safe(), [false, false, false]);
  await clock.advance(100);
  t.same(safe(), [false, true, false]);
  await clock.advance(100);
  t.same(safe(), [false, true, true]);
  await clock.advance(100);
  t.same(safe(), [true, true, true]);
});

t.test("a lower priority is refused while the lease is live, and the holder is named", async (t) => {
  const { clock, device } = rig();
  const lamp = device("lamp");
  void lamp.move({ caller: "operator", leaseMs: 300 });
  t.equal(
    await refusal(lamp.move({ caller: "rule low-beam", priority: 10 })),
    "IN_USE lamp is held by operator with priority 100 for another 300 ms; rule low-beam asked with 10",
  );
  t.same(lamp.did, ["call"]);
  await clock.advance(300);
  t.match(lamp.move({ caller: "rule low-beam", priority: 10 }), { kind: "value" });
  t.equal(lamp.slot.current.holder, "rule low-beam");
  t.match(lamp.move({ caller: "operator" }), { kind: "value" }, "a higher one takes over");
  t.equal(lamp.slot.current.holder, "operator");
});

t.test("among equals the latest command wins, unless the device is exclusive", async (t) => {
  const { device } = rig();
  const lamp = device("lamp");
  void lamp.move({ caller: "a" });
  t.match(lamp.move({ caller: "b" }), { kind: "value" });
  t.equal(lamp.slot.current.holder, "b");
  const gate = device("gate", { exclusive: true });
  void gate.move({ caller: "a" });
  t.match(await refusal(gate.move({ caller: "b" })), /^IN_USE gate is held by a/);
  t.match(gate.move({ caller: "a" }), { kind: "value" });
});

t.test("a command of a stream that is not newer than the last is stale; another caller starts its own count", async (t) => {
  const { device } = rig();
  const pan = device("pan");
  t.match(pan.move({ seq: 7 }), { kind: "value" });
  t.equal(await refusal(pan.move({ seq: 7 })), "STALE pan: command 7 of bench is not newer than 7");
  t.match(await refusal(pan.move({ seq: 6 })), /^STALE/);
  t.match(pan.move({ seq: 8 }), { kind: "value" });
  t.match(pan.move({ caller: "other", seq: 1 }), { kind: "value" });
  t.match(pan.move({ caller: "other" }), { kind: "value" }, "a command without a number is not part of a stream");
  t.match(await refusal(pan.move({ caller: "other", seq: 1 })), /^STALE/, "and does not let an old one of it through");
  t.same(pan.did.length, 4);
});

t.test("a lease that ended while the process was busy ends before the next command is looked at", async (t) => {
  const { clock, supervisor, device } = rig();
  const lamp = device("lamp");
  void lamp.move({ caller: "operator", leaseMs: 300 });
  // Timers that are late, as under load: time passes without them.
  const lateMs = clock.monotonicMs() + 400;
  clock.monotonicMs = () => lateMs;
  t.match(lamp.move({ caller: "rule", priority: 10 }), { kind: "value" });
  t.same(lamp.did, ["call", "failsafe safe", "call"]);
  t.equal(lamp.slot.current.holder, "rule");
  await supervisor.stop();
});

t.test("what happens at the end of a lease is the device's own choice", async (t) => {
  const { clock, device } = rig();
  const hold = device("hold", { onLoss: "hold" });
  const off = device("off", { onLoss: "off" });
  const value = device("value", { onLoss: { value: 30 } });
  for (const each of [hold, off, value]) void each.move({ leaseMs: 100 });
  await clock.advance(100);
  t.same(hold.did, ["call"]);
  t.same(off.did, ["call", "failsafe off"]);
  t.same(value.did, ["call", "failsafe 30"]);
  t.equal(hold.slot.current.holder, "", "also a held device has no holder any more");
});

t.test("a refused renewal leaves the live lease alone", async (t) => {
  const { clock, device } = rig();
  const lamp = device("lamp");
  void lamp.move({ leaseMs: 300 });
  lamp.answers(() => {
    throw new AgentError("ARGUMENT", "no");
  });
  await clock.advance(200);
  t.match(await refusal(lamp.move({ leaseMs: 300 })), /^ARGUMENT/);
  await clock.advance(100);
  t.equal(lamp.did.at(-1), "failsafe safe");
});

t.test("a lease that is given back while others wait their turn ends no other's", async (t) => {
  const { clock, device } = rig();
  const [near, far] = [device("near"), device("far")];
  void far.move({ leaseMs: 1000 });
  void near.move({ leaseMs: 100 });
  await clock.advance(100);
  t.equal(near.did.at(-1), "failsafe safe");
  void near.move({ leaseMs: 2000 });
  await clock.advance(900);
  t.equal(far.did.at(-1), "failsafe safe");
  t.equal(near.did.at(-1), "call");
  t.equal(clock.pending(), 1, "one timer serves all leases");
});

t.test("a lease that ends during a call tells it to give up and makes the device safe meanwhile", async (t) => {
  const { clock, device } = rig();
  const pan = device("pan");
  pan.answers(hang);
  const reply = pan.move({ leaseMs: 100 });
  await clock.advance(100);
  t.same(pan.did, ["call", "failsafe safe"]);
  t.equal(pan.signals[0]?.aborted, true);
  await clock.advance(900);
  t.match(await refusal(reply), /^TIMEOUT/);
});

t.test("whoever ends leases too is told of every lease, and when there is none", async (t) => {
  const { clock, supervisor, device } = rig();
  const pan = device("pan", {}, { moves: true });
  void pan.move({ leaseMs: 100 });
  await clock.advance(50);
  void pan.move({ leaseMs: 100 });
  t.same(pan.shown, [1100, 1150]);
  await clock.advance(100);
  t.equal(pan.shown.at(-1), -Infinity, "at its end");
  for (const [why, lose] of [
    ["a fault", () => supervisor.fault(pan.slot, "hot")],
    ["an e-stop", () => supervisor.eStop("bench")],
    ["the front's loss", () => supervisor.loseFront("gone")],
  ] as const) {
    void pan.move({ leaseMs: 1000 });
    t.equal(pan.shown.at(-1), clock.monotonicMs() + 1000, why);
    await lose();
    t.equal(pan.shown.at(-1), -Infinity, why);
    supervisor.clearEStop("bench");
    await supervisor.reset(pan.slot, "bench");
  }
});

t.test("a lease that lasts through a loss it does not share is shown nothing", async (t) => {
  const { supervisor, device } = rig();
  const lamp = device("lamp");
  void lamp.move({ leaseMs: 500 });
  supervisor.loseFront("gone");
  t.same(lamp.shown, [1500]);
});
