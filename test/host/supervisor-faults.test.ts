import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { errorOf, hang, refusal, rig } from "./supervisor-rig.ts";

t.test("an error of the port faults the device, once, and only RESET clears it", async (t) => {
  const { clock, log, journal, supervisor, device } = rig();
  const lamp = device("lamp");
  lamp.answers(() => {
    throw new AgentError("IO", "line GPIO17: write failed");
  });
  t.equal(await refusal(lamp.move()), "IO lamp move: line GPIO17: write failed; RESET lamp clears the fault");
  t.same(lamp.did, ["call", "failsafe safe"]);
  t.equal(lamp.slot.fault?.code, "IO");
  t.equal(lamp.slot.current.holder, "");
  t.equal(await refusal(lamp.move()), "FAULTED lamp is faulted: move: line GPIO17: write failed; RESET lamp clears it");
  supervisor.fault(lamp.slot, new Error("a later one"));
  t.match(lamp.slot.fault?.message, "move: line GPIO17: write failed", "the first error is kept");
  t.equal(log.lines.filter((line) => line.startsWith("error")).length, 1, "and reported once");
  t.equal(clock.pending(), 0, "no lease is left");
  lamp.answers(() => 2);
  t.same(await supervisor.reset(lamp.slot, "bench"), { kind: "status", text: "OK" });
  t.same(lamp.move(), { kind: "value", value: 2 });
  t.ok(journal.latest(100).some(({ kind, caller }) => kind === "reset" && caller === "bench"));
});

t.test("any throw that is not a refusal is a fault, also one that is no error at all", async (t) => {
  const { device } = rig();
  const lamp = device("lamp");
  lamp.answers(() => {
    throw new TypeError("x is not a function");
  });
  t.match(await refusal(lamp.move()), /^FAULTED lamp move: x is not a function/);
  t.equal(lamp.slot.fault?.code, "FAULTED");
});

for (const code of ["ARGUMENT", "LIMIT", "DENIED", "NOT_READY", "UNKNOWN"] as const) {
  t.test(`a driver that refuses with ${code} leaves everything as it was`, async (t) => {
    const { clock, device } = rig();
    const lamp = device("lamp");
    lamp.answers(() => {
      throw new AgentError(code, "no");
    });
    t.equal(await refusal(lamp.move()), `${code} no`);
    t.equal(lamp.slot.fault, undefined);
    t.equal(lamp.slot.current.holder, "");
    t.same(lamp.did, ["call"]);
    t.equal(clock.pending(), 0);
  });
}

t.test("a driver's own report faults the device; during a call, the call does not take the lease back", async (t) => {
  const { supervisor, device } = rig();
  const lamp = device("lamp");
  void lamp.move();
  supervisor.fault(lamp.slot, "overheated");
  t.same(lamp.did, ["call", "failsafe safe"]);
  t.match(lamp.slot.fault, { code: "FAULTED", message: "overheated" });
  await supervisor.reset(lamp.slot, "bench");
  lamp.answers(() => {
    supervisor.fault(lamp.slot, "again");
    return 1;
  });
  void lamp.move();
  t.equal(lamp.slot.current.holder, "");
});

t.test("devices of one motion group go safe together, on a fault and at the end of a lease", async (t) => {
  const { clock, supervisor, device } = rig();
  const left = device("left", { group: "drive" });
  const right = device("right", { group: "drive", onLoss: "off" });
  const lamp = device("lamp");
  void left.move({ leaseMs: 100 });
  void right.move({ leaseMs: 1000 });
  void lamp.move();
  await clock.advance(100);
  t.equal(left.did.at(-1), "failsafe safe");
  t.equal(right.did.at(-1), "failsafe off", "each in its own way");
  t.same(lamp.did, ["call"]);
  supervisor.fault(left.slot, new AgentError("IO", "stalled"));
  t.equal(await refusal(right.move()), "FAULTED right is faulted: left of motion group drive faulted: stalled; RESET right clears it");
  t.match(lamp.move(), { kind: "value" });
  await supervisor.reset(right.slot, "bench");
  t.match(left.move(), { kind: "value" }, "RESET clears the whole group");
});

t.test("a device that cannot be made safe stays faulted", async (t) => {
  let broken = true;
  const { clock, log, supervisor, device } = rig();
  const lamp = device(
    "lamp",
    {},
    {
      failsafe() {
        if (broken) throw new AgentError("IO", "line is gone");
      },
    },
  );
  void lamp.move({ leaseMs: 100 });
  await clock.advance(100);
  t.match(lamp.slot.fault, { code: "IO", message: "line is gone" });
  t.ok(log.lines.includes("error lamp could not be made safe: line is gone"));
  t.equal(errorOf(await supervisor.reset(lamp.slot, "bench")), "FAULTED lamp could not be made safe: line is gone; it stays faulted");
  t.match(await refusal(lamp.move()), /^FAULTED/);
  broken = false;
  t.match(await supervisor.reset(lamp.slot, "bench"), { kind: "status" });
  t.match(lamp.move(), { kind: "value" });
});

t.test("going safe has a time limit too", async (t) => {
  const { clock, supervisor, device } = rig();
  const lamp = device("lamp", { callMs: 500 }, { failsafe: hang });
  void lamp.move({ leaseMs: 100 });
  await clock.advance(100);
  t.equal(lamp.slot.fault, undefined);
  await clock.advance(500);
  t.match(lamp.slot.fault, { code: "TIMEOUT", message: "lamp: going safe took longer than 500 ms" });
  const reset = supervisor.reset(lamp.slot, "bench");
  await clock.advance(500);
  t.match(errorOf(await reset), /^FAULTED lamp could not be made safe: lamp: going safe took longer/);
});

t.test("everything that happens to a device is recorded, with who caused it", async (t) => {
  const { clock, journal, supervisor, device } = rig();
  const lamp = device("lamp");
  const kinds = () => journal.latest(100).map(({ kind, caller, detail }) => [kind, caller, detail].join(" ").trim());
  t.equal(journal.latest(1)[0]?.cause, 0, "opening follows from nothing");
  void lamp.move({ leaseMs: 100, cause: 77 });
  t.equal(journal.latest(1)[0]?.cause, 77);
  void lamp.move({ caller: "rule", priority: 10 });
  supervisor.fault(lamp.slot, "hot");
  void lamp.move();
  await supervisor.reset(lamp.slot, "ann");
  await supervisor.eStop("bob");
  supervisor.clearEStop("bob");
  supervisor.clearEStop("bob");
  t.same(kinds(), [
    "open",
    "actuate bench move",
    "refuse rule move: IN_USE",
    "fault  FAULTED hot",
    "safe fault safe",
    "refuse bench move: FAULTED",
    "safe ann safe",
    "reset ann",
    "estop bob priority 255",
    "safe bob safe",
    "reset bob e-stop",
  ]);
  await clock.advance(0);
});

t.test("one device is taken to its safe state whatever it does; one that does not go is faulted", async (t) => {
  const { clock, journal, supervisor, device } = rig();
  const winch = device("winch", {}, { moves: true });
  void winch.move({ leaseMs: 5000 });
  await supervisor.makeSafe(winch.slot, "restart");
  t.same(winch.did, ["call", "failsafe safe"]);
  t.equal(winch.slot.current.holder, "");
  t.match(journal.chain(winch.slot.event)[0], { kind: "safe", subject: "winch", caller: "restart", detail: "safe" });
  t.equal(winch.slot.fault, undefined);
  const stuck = device("stuck", { callMs: 200 }, { moves: true, failsafe: hang });
  const made = supervisor.makeSafe(stuck.slot, "restart");
  await clock.advance(200);
  await made;
  t.match(stuck.slot.fault, { code: "TIMEOUT", message: "stuck: going safe took longer than 200 ms" });
});

t.test("a lost port faults the device and its motion group until it is back, and nothing of before is carried out then", async (t) => {
  const { journal, supervisor, device } = rig();
  const pan = device("pan", { group: "head" });
  const tilt = device("tilt", { group: "head" });
  let finish: (value: number) => void = () => undefined;
  pan.answers(() => new Promise((resolve) => (finish = resolve)));
  const running = pan.move({ leaseMs: 500 });
  const waiting = pan.move({ leaseMs: 500 });
  supervisor.lose(pan.slot, new AgentError("IO", "uno cannot be reached"));
  t.equal(pan.slot.current.holder, "");
  t.match(await refusal(pan.move()), "FAULTED pan is faulted: uno cannot be reached; it can be used again when that is over");
  t.match(await refusal(tilt.move()), /^FAULTED tilt is faulted: pan of motion group head faulted/);
  await supervisor.regain(pan.slot);
  t.equal(pan.slot.fault, undefined);
  t.equal(tilt.slot.fault, undefined);
  t.same(tilt.did, ["failsafe safe", "failsafe safe"]);
  finish(1);
  await running;
  t.equal(await refusal(waiting), "FAULTED pan has faulted while this order waited; give it again");
  t.same(
    pan.did.filter((what) => what === "call"),
    ["call"],
  );
  t.equal(pan.slot.current.holder, "", "nobody drives it");
  pan.answers(() => 2);
  t.same(await pan.move(), { kind: "value", value: 2 });
  t.ok(journal.latest(100).some(({ kind, caller, subject }) => kind === "reset" && caller === "port back" && subject === "tilt"));
  await supervisor.stop();
});

t.test("a port that is back clears no fault that has another reason, and none while another port is lost", async (t) => {
  const { supervisor, device } = rig();
  const lost = new AgentError("IO", "uno cannot be reached");
  const hot = device("hot");
  supervisor.fault(hot.slot, new Error("overheated"));
  supervisor.lose(hot.slot, lost);
  await supervisor.regain(hot.slot);
  t.equal(hot.slot.fault?.message, "overheated");

  const pan = device("pan", { group: "head" });
  const tilt = device("tilt", { group: "head" });
  supervisor.lose(pan.slot, lost);
  supervisor.lose(tilt.slot, new AgentError("IO", "due cannot be reached"));
  await supervisor.regain(pan.slot);
  t.equal(pan.slot.fault?.message, "uno cannot be reached");
  await supervisor.regain(tilt.slot);
  t.equal(pan.slot.fault, undefined);
  t.equal(tilt.slot.fault, undefined);

  const done = tilt.did.length;
  await supervisor.regain(tilt.slot);
  t.equal(tilt.did.length, done, "what is not faulted is left alone");
});

t.test(
  "a device that cannot be made safe when its port is back stays faulted, as does one whose port is lost again meanwhile",
  async (t) => {
    const { supervisor, device, log } = rig();
    const lost = new AgentError("IO", "uno cannot be reached");
    let works = false;
    const pan = device("pan", {}, { failsafe: () => (works ? undefined : Promise.reject(new AgentError("IO", "no answer"))) });
    supervisor.lose(pan.slot, lost);
    await supervisor.regain(pan.slot);
    t.equal(pan.slot.fault, lost);
    t.ok(log.lines.some((line) => line.includes("pan could not be made safe: no answer; it stays faulted")));
    works = true;
    const back = supervisor.regain(pan.slot);
    supervisor.lose(pan.slot, lost);
    await back;
    t.equal(pan.slot.fault, lost);
    await supervisor.regain(pan.slot);
    t.equal(pan.slot.fault, undefined);
  },
);

t.test("nothing comes back that is being closed", async (t) => {
  const { supervisor, device } = rig();
  const pan = device("pan");
  supervisor.lose(pan.slot, new AgentError("IO", "uno cannot be reached"));
  const stopping = supervisor.stop();
  const done = pan.did.length;
  await supervisor.regain(pan.slot);
  t.equal(pan.did.slice(done).includes("failsafe safe"), false);
  await stopping;
});
