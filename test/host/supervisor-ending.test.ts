import t from "tap";
import { z } from "zod";

import { defineFunction, STILL_LEASE, type SafeTarget } from "../../agent/contract/device.ts";
import { AgentError } from "../../agent/contract/errors.ts";
import { hang, order, POLICY, refusal, rig } from "./supervisor-rig.ts";

t.test("stopping does not wait for a call in progress and cannot be cancelled by it", async (t) => {
  const { clock, supervisor, device } = rig();
  const pan = device("pan");
  pan.givesUp(new AgentError("NOT_READY", "stopped"));
  const reply = pan.move();
  await supervisor.eStop("bench");
  t.same(pan.did, ["call", "failsafe safe"]);
  t.equal(pan.signals[0]?.aborted, true, "the driver is told to give up");
  t.equal(await refusal(reply), "NOT_READY stopped");
  pan.answers(() => 1);
  supervisor.clearEStop("bench");
  t.match(pan.move(), { kind: "value" });
  t.equal(pan.signals.at(-1)?.aborted, false, "the next call starts with a signal of its own");
  await clock.advance(2000);
  t.equal(pan.slot.fault, undefined);
});

t.test("a device without a failsafe is left alone, but loses its holder", async (t) => {
  const { clock, supervisor } = rig();
  const fn = defineFunction({ summary: "ask", params: z.object({}), effect: "actuate", call: () => "asked" });
  const slot = supervisor.adopt({
    id: "ask",
    device: { functions: { fn }, close: () => undefined },
    policy: POLICY,
    lease: STILL_LEASE,
    moves: false,
  });
  t.match(supervisor.actuate(slot, "fn", fn, {}, order({ leaseMs: 100 })), { kind: "value" });
  await clock.advance(100);
  t.equal(slot.current.holder, "");
  t.match(await supervisor.reset(slot, "bench"), { kind: "status" });
});

t.test("stop takes every device to its exit state, closes it, and nothing actuates afterwards", async (t) => {
  const { clock, journal, supervisor, device } = rig();
  const lamp = device("lamp");
  const contactor = device("contactor", { onExit: "hold" });
  const pump = device("pump", { onExit: { value: true } });
  const siren = device("siren", { onExit: "off" });
  for (const each of [lamp, contactor, pump, siren]) void each.move();
  await supervisor.stop();
  t.same(lamp.did, ["call", "failsafe safe", "close"]);
  t.same(contactor.did, ["call", "close"], "a house must not go dark because its agent is updated");
  t.same(pump.did, ["call", "failsafe true", "close"]);
  t.same(siren.did, ["call", "failsafe off", "close"]);
  t.equal(await refusal(lamp.move()), "NOT_READY lamp: the agent is stopping");
  t.equal(clock.pending(), 0);
  t.equal(journal.latest(100).filter(({ kind }) => kind === "close").length, 4);
});

t.test("stop goes on when a device can neither be made safe nor closed", async (t) => {
  const { clock, log, supervisor, device } = rig();
  device("bad", { callMs: 100 }, { failsafe: hang });
  const good = device("good");
  const stopped = supervisor.stop();
  await clock.advance(100);
  await stopped;
  t.same(good.did, ["failsafe safe", "close"]);
  t.ok(log.lines.includes("error bad could not be made safe: bad: going safe took longer than 100 ms"));
});

t.test("stopping twice closes nothing twice", async (t) => {
  const { supervisor, device } = rig();
  const lamp = device("lamp");
  await supervisor.stop();
  await supervisor.stop();
  t.same(lamp.did, ["failsafe safe", "close"]);
});

t.test("no lease ends any more once everything is stopped", async (t) => {
  const { clock, supervisor, device } = rig();
  const contactor = device("contactor", { onExit: "hold" });
  void contactor.move({ leaseMs: 100 });
  await supervisor.stop();
  t.equal(clock.pending(), 0);
  await clock.advance(1000);
  t.same(contactor.did, ["call", "close"]);
});

t.test("a device that does not close is named", async (t) => {
  const { log, supervisor } = rig();
  supervisor.adopt({
    id: "stuck",
    device: {
      functions: {},
      close() {
        throw new Error("busy");
      },
    },
    policy: POLICY,
    lease: STILL_LEASE,
    moves: false,
  });
  await supervisor.stop();
  t.same(log.lines, ["error stuck did not close: busy"]);
});

t.test("devices that hold their state at the end are all closed", async (t) => {
  const { supervisor, device } = rig();
  const held = ["a", "b", "c"].map((id) => device(id, { onExit: "hold" }));
  await supervisor.stop();
  t.same(
    held.map(({ did }) => did),
    [["close"], ["close"], ["close"]],
  );
});

t.test("a released device goes to its exit state, is closed and forgotten; others stay as they are", async (t) => {
  const { clock, journal, supervisor, device } = rig();
  const [fan, lamp] = [device("fan", { onExit: "off" }), device("lamp")];
  void fan.move();
  void lamp.move({ leaseMs: 300 });
  await supervisor.release(fan.slot, "bench");
  t.same(fan.did, ["call", "failsafe off", "close"]);
  t.equal(fan.signals[0]?.aborted, true);
  t.equal(fan.slot.current.holder, "");
  t.same(
    journal.chain(fan.slot.event).map(({ kind, caller, detail }) => `${kind} ${caller} ${detail}`),
    ["close bench ", "safe bench off", "lease-end bench closed", "actuate bench move"],
  );
  t.match(await refusal(fan.move()), /^NOT_READY fan is being closed/);
  supervisor.fault(fan.slot, "late");
  t.equal(fan.slot.fault, undefined, "what it still says is no fault");
  await supervisor.eStop("bench");
  await supervisor.stop();
  t.same(fan.did, ["call", "failsafe off", "close"], "nothing reaches it any more");
  t.same(lamp.did, ["call", "failsafe safe", "failsafe safe", "close"]);
  t.equal(clock.pending(), 0);
});

t.test("a released device that is to hold its state is only closed, and a call in progress told to give up", async (t) => {
  const { supervisor, device } = rig();
  const contactor = device("contactor", { onExit: "hold" });
  contactor.givesUp(new Error("given up"));
  const reply = contactor.move();
  const waiting = contactor.move({ caller: "b" });
  await supervisor.release(contactor.slot, "bench");
  t.same(contactor.did, ["call", "close"]);
  t.equal(contactor.signals[0]?.aborted, true);
  t.equal(await refusal(reply), "FAULTED given up");
  t.equal(contactor.slot.fault, undefined);
  t.match(await refusal(waiting), /^NOT_READY contactor is being closed/);
});

t.test("the motion group of a released device loses its lease with it, if somebody drove it", async (t) => {
  const { clock, journal, supervisor, device } = rig();
  const left = device("left", { group: "drive" });
  const right = device("right", { group: "drive", onLoss: "off" });
  const spare = device("spare", { group: "drive" });
  void right.move();
  await supervisor.release(spare.slot, "bench");
  t.same(right.did, ["call"], "nobody drove the spare one");
  t.same(
    journal.chain(spare.slot.event).map(({ kind }) => kind),
    ["close", "safe", "open"],
    "and no lease of it ended",
  );
  void left.move({ leaseMs: 100 });
  await supervisor.release(left.slot, "bench");
  t.same(right.did, ["call", "failsafe off"]);
  t.equal(right.slot.current.holder, "");
  t.equal(journal.chain(right.slot.event)[0]?.caller, "lease end");
  void right.move({ leaseMs: 5000 });
  await clock.advance(500);
  t.same(right.did, ["call", "failsafe off", "call"], "and can be driven again");
});

t.test("a device that is being released is closed once, however often it is asked for", async (t) => {
  const { clock, log, supervisor, device } = rig();
  const fan = device("fan", { callMs: 200 }, { failsafe: hang, close: hang });
  const releases = [supervisor.release(fan.slot, "a"), supervisor.release(fan.slot, "b"), supervisor.stop()];
  t.match(await refusal(fan.move()), /^NOT_READY fan: the agent is stopping/);
  await clock.advance(200);
  t.same(fan.did, ["failsafe safe", "close"]);
  await clock.advance(200);
  await Promise.all(releases);
  t.same(fan.did, ["failsafe safe", "close"]);
  t.same(log.lines, [
    "error fan could not be made safe: fan: going safe took longer than 200 ms",
    "error fan did not close: fan: closing took longer than 200 ms",
  ]);
});

t.test("a device that comes to rest first has that much longer to close, and not more", async (t) => {
  const { clock, log, supervisor, device } = rig();
  const released = supervisor.release(device("car", { callMs: 200 }, { restMs: 1000, close: hang }).slot, "a");
  await clock.advance(1199);
  t.same(log.lines, []);
  await clock.advance(1);
  await released;
  t.same(log.lines, ["error car did not close: car: closing took longer than 1200 ms"]);
});

t.test("an e-stop still reaches a device on its way to its exit state", async (t) => {
  const { clock, supervisor, device } = rig();
  const targets: SafeTarget[] = [];
  const fan = device(
    "fan",
    { onExit: { value: 80 } },
    {
      failsafe(to) {
        targets.push(to);
        return targets.length === 1 ? hang() : undefined;
      },
    },
  );
  const released = supervisor.release(fan.slot, "bench");
  await supervisor.eStop("bench");
  t.same(targets, [{ value: 80 }, "safe"]);
  t.notOk(fan.did.includes("close"));
  await clock.advance(1000);
  await released;
  t.equal(fan.did.at(-1), "close");
});
