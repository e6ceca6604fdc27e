import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { refusal, rig } from "./supervisor-rig.ts";

t.test("the e-stop latches: everything goes safe and refuses until it is reset", async (t) => {
  const { clock, journal, supervisor, device } = rig();
  const [lamp, pump] = [device("lamp"), device("pump", { onLoss: "hold" })];
  void lamp.move();
  void pump.move();
  t.match(await supervisor.eStop("bench"), { kind: "status" });
  t.equal(supervisor.eStoppedBy, "bench");
  t.same([lamp.did.at(-1), pump.did.at(-1)], ["failsafe safe", "failsafe safe"]);
  t.equal(await refusal(lamp.move({ priority: 255 })), "FAULTED lamp: e-stop is latched by bench; ESTOP RESET clears it");
  await supervisor.eStop("other");
  t.equal(supervisor.eStoppedBy, "bench", "the first one is named");
  await supervisor.reset(lamp.slot, "bench");
  t.match(await refusal(lamp.move()), /e-stop is latched/, "RESET of a device does not clear it");
  t.match(supervisor.clearEStop("bench"), { kind: "status" });
  t.equal(supervisor.eStoppedBy, undefined);
  t.match(lamp.move(), { kind: "value" });
  t.match(supervisor.clearEStop("bench"), { kind: "status" }, "clearing what is not latched does nothing");
  t.ok(journal.latest(100).some(({ kind, subject }) => kind === "estop" && subject === "pump"));
  await clock.advance(10_000);
});

t.test("a device that fails to go safe on e-stop is faulted as well", async (t) => {
  const { supervisor, device } = rig();
  const lamp = device("lamp", {}, { failsafe: () => Promise.reject(new AgentError("IO", "no")) });
  await supervisor.eStop("bench");
  supervisor.clearEStop("bench");
  t.equal(lamp.slot.fault?.code, "IO");
});

t.test("an e-stop is logged when it is latched and when it is cleared", async (t) => {
  const { log, supervisor } = rig();
  await supervisor.eStop("bob");
  supervisor.clearEStop("ann");
  supervisor.clearEStop("ann");
  t.same(log.lines, ["warn e-stop by bob", "warn e-stop cleared by ann"]);
});

t.test("a call that waits for another is refused by the e-stop that comes meanwhile, whoever asked for it", async (t) => {
  const { clock, supervisor, device } = rig();
  const pan = device("pan");
  pan.givesUp(new AgentError("NOT_READY", "stopped"));
  const first = pan.move();
  const waiting = [pan.move({ caller: "a" }), pan.move({ caller: "b", priority: 254 })];
  await supervisor.eStop("bench");
  t.match(await refusal(first), /^NOT_READY/);
  for (const reply of waiting) t.match(await refusal(reply), /^FAULTED pan: e-stop is latched by bench/);
  await clock.advance(10_000);
  t.same(pan.did, ["call", "failsafe safe"]);
});

t.test("a supervisor may begin with the e-stop that was latched in the one before it", async (t) => {
  const { log, supervisor, device } = rig();
  supervisor.startEStopped("ann");
  t.same(log.lines, ["warn e-stop by ann is still latched; ESTOP RESET clears it"]);
  const lamp = device("lamp");
  t.match(await refusal(lamp.move()), /^FAULTED lamp: e-stop is latched by ann/);
  t.same(lamp.did, []);
  supervisor.clearEStop("bob");
  t.match(lamp.move(), { kind: "value" });
});
