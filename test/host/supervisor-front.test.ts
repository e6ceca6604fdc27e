import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { refusal, rig } from "./supervisor-rig.ts";

t.test("when the front is lost what moves goes safe at once, and everything else at the end of its lease", async (t) => {
  const { clock, journal, log, supervisor, device } = rig();
  const pan = device("pan", {}, { moves: true });
  const idle = device("idle", { onLoss: "off" }, { moves: true });
  const lamp = device("lamp");
  const meter = device("meter", { onLoss: "hold" });
  void pan.move({ leaseMs: 5000 });
  void lamp.move({ leaseMs: 300 });
  void meter.move({ leaseMs: 300 });
  supervisor.loseFront("the front is gone");
  t.same(pan.did, ["call", "failsafe safe"]);
  t.equal(pan.slot.current.holder, "");
  t.equal(pan.signals[0]?.aborted, true);
  t.same(
    journal.chain(pan.slot.event).map(({ kind, caller, detail }) => `${kind} ${caller} ${detail}`),
    ["safe front lost safe", "lease-end bench the front is gone", "actuate bench move"],
  );
  t.same(idle.did, ["failsafe off"], "also what nobody drives, in its own way");
  t.equal(journal.latest(100).filter(({ kind }) => kind === "lease-end").length, 1, "which had no lease to lose");
  t.same(lamp.did, ["call"]);
  t.equal(lamp.slot.current.holder, "bench");
  t.same(log.lines, ["error the front is gone: what moves goes safe"]);
  for (const each of [pan, lamp]) t.match(await refusal(each.move({ priority: 255 })), /^NOT_READY \w+: the front is gone$/);
  t.throws(() => device("late"), { code: "NOT_READY", message: "late: the front is gone" });
  t.match(idle.read(), { kind: "value" });
  supervisor.loseFront("again");
  t.equal(pan.did.length, 2);
  await clock.advance(299);
  t.same(lamp.did, ["call"]);
  await clock.advance(1);
  t.same(lamp.did, ["call", "failsafe safe"]);
  t.same(meter.did, ["call"]);
  t.equal(clock.pending(), 0);
});

t.test("the motion group of what moves goes safe with it when the front is lost", async (t) => {
  const { supervisor, device } = rig();
  const beacon = device("beacon", { group: "drive", onLoss: { value: true } });
  const tail = device("tail", { group: "drive", onLoss: "hold" });
  const pan = device("pan", { group: "drive" }, { moves: true });
  const other = device("other", { group: "house" });
  for (const each of [beacon, tail, pan, other]) void each.move();
  supervisor.loseFront("gone");
  t.same(beacon.did, ["call", "failsafe true"]);
  t.same(tail.did, ["call"]);
  t.equal(tail.slot.current.holder, "", "nobody drives it either");
  t.same(pan.did, ["call", "failsafe safe"]);
  t.same(other.did, ["call"]);
  t.equal(other.slot.current.holder, "bench");
});

t.test("what moves does not hold its state when nobody drives it, whatever it was told", async (t) => {
  const { clock, supervisor, device } = rig();
  const pan = device("pan", { onLoss: "hold" }, { moves: true });
  void pan.move({ leaseMs: 100 });
  await clock.advance(100);
  t.same(pan.did, ["call", "failsafe safe"]);
  supervisor.loseFront("gone");
  t.same(pan.did, ["call", "failsafe safe", "failsafe safe"]);
});

t.test("losing the front during a call tells it to give up, and calls that waited for it are refused", async (t) => {
  const { clock, supervisor, device } = rig();
  const pan = device("pan", {}, { moves: true });
  const finish = pan.waits();
  const first = pan.move();
  const second = pan.move({ caller: "b" });
  supervisor.loseFront("gone");
  t.same(pan.did, ["call", "failsafe safe"]);
  t.equal(pan.signals[0]?.aborted, true);
  finish("late");
  t.same(await first, { kind: "value", value: "late" });
  t.match(await refusal(second), /^NOT_READY pan: gone/);
  t.equal(pan.slot.current.holder, "");
  await clock.advance(10_000);
  t.same(pan.did, ["call", "failsafe safe"]);
});

t.test("what moves and cannot be made safe when the front is lost is faulted", async (t) => {
  const { clock, supervisor, device } = rig();
  const pan = device("pan", {}, { moves: true, failsafe: () => Promise.reject(new AgentError("IO", "bus is stuck")) });
  supervisor.loseFront("gone");
  await clock.advance(0);
  t.match(pan.slot.fault, { code: "IO", message: "bus is stuck" });
});
