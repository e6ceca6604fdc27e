import t from "tap";
import { z } from "zod";

import { defineFunction, STILL_LEASE, type DevicePolicy, type SafeTarget } from "../../agent/contract/device.ts";
import { AgentError } from "../../agent/contract/errors.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { createSupervisor } from "../../agent/host/supervisor.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import type { Reply } from "../../agent/contract/request.ts";
import type { Eventually, Value } from "../../agent/contract/value.ts";
import type { Order } from "../../agent/host/supervisor-slot.ts";

const POLICY: DevicePolicy = { enabled: true, onLoss: "safe", onExit: "safe", exclusive: false, callMs: 1000 };

function order(over: Partial<Order> = {}): Order {
  return { caller: "bench", priority: 100, leaseMs: undefined, seq: undefined, token: undefined, cause: 0, ...over };
}

function rig() {
  const clock = createFakeClock();
  const journal = createJournal(clock);
  const log = createFakeLog();
  const supervisor = createSupervisor({ clock, journal, log, run: "run" });

  /** A device that writes down what happens to it, and does what the test tells it to. */
  function device(
    id: string,
    policy: Partial<DevicePolicy> = {},
    behaviour: { failsafe?: (to: SafeTarget) => Eventually<void>; close?: () => Eventually<void>; moves?: boolean } = {},
  ) {
    const did: string[] = [];
    const shown: number[] = [];
    const signals: AbortSignal[] = [];
    let answer: () => Eventually<Value> = () => 1;
    const fn = defineFunction({
      summary: "move",
      params: z.object({}),
      effect: "actuate",
      call(_args, signal) {
        did.push("call");
        signals.push(signal);
        return answer();
      },
    });
    const slot = supervisor.adopt({
      id,
      device: {
        functions: { move: fn },
        failsafe(to) {
          did.push(`failsafe ${typeof to === "string" ? to : String(to.value)}`);
          return behaviour.failsafe?.(to);
        },
        close() {
          did.push("close");
          return behaviour.close?.();
        },
      },
      policy: { ...POLICY, ...policy },
      lease: STILL_LEASE,
      moves: behaviour.moves ?? false,
      showLease: (untilMs) => shown.push(untilMs),
    });
    return {
      slot,
      did,
      /** What was said of its lease. */
      shown,
      signals,
      answers(next: () => Eventually<Value>) {
        answer = next;
      },
      move: (over: Partial<Order> = {}) => supervisor.actuate(slot, "move", fn, {}, order(over)),
      claim: (over: Partial<Order> = {}) => supervisor.claim(slot, order(over)),
      read: () => supervisor.read(slot, fn, {}),
    };
  }
  return { clock, journal, log, supervisor, device };
}

function errorOf(reply: Reply): string {
  return reply.kind === "error" ? `${reply.error.code} ${reply.error.message}` : `no error but ${reply.kind}`;
}

async function refusal(reply: Eventually<Reply>): Promise<string> {
  return errorOf(await reply);
}

const hang = () => new Promise<never>(() => undefined);

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

t.test("a slow call holds its lease while it runs; later calls wait for it in order", async (t) => {
  const { clock, device } = rig();
  const pan = device("pan");
  let finish: (value: Value) => void = () => undefined;
  pan.answers(
    () =>
      new Promise<Value>((resolve) => {
        finish = resolve;
      }),
  );
  const first = pan.move({ caller: "a" });
  t.equal(pan.slot.current.holder, "a");
  const second = pan.move({ caller: "b" });
  await clock.advance(10);
  t.same(pan.did, ["call"]);
  finish("there");
  t.same(await first, { kind: "value", value: "there" });
  await clock.advance(0);
  t.same(pan.did, ["call", "call"]);
  finish("again");
  t.same(await second, { kind: "value", value: "again" });
});

t.test("a call that takes longer than its limit faults the device", async (t) => {
  const { clock, device } = rig();
  const pan = device("pan", { callMs: 200 });
  pan.answers(hang);
  const reply = pan.move();
  await clock.advance(200);
  t.match(await refusal(reply), /^TIMEOUT pan move: pan: move took longer than 200 ms; RESET pan clears the fault/);
  t.equal(pan.slot.fault?.code, "TIMEOUT");
  t.equal(pan.signals[0]?.aborted, true, "and tells the driver to give up");
  t.equal(pan.did.at(-1), "failsafe safe");
});

t.test("a slow call that is refused by its driver is answered so", async (t) => {
  const { device } = rig();
  const pan = device("pan");
  pan.answers(() => Promise.reject(new AgentError("ARGUMENT", "too far")));
  t.equal(await refusal(pan.move()), "ARGUMENT too far");
  t.equal(pan.slot.fault, undefined);
});

t.test("stopping does not wait for a call in progress and cannot be cancelled by it", async (t) => {
  const { clock, supervisor, device } = rig();
  const pan = device("pan");
  pan.answers(
    () =>
      new Promise((_, reject) => {
        pan.signals.at(-1)?.addEventListener("abort", () => {
          reject(new AgentError("NOT_READY", "stopped"));
        });
      }),
  );
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

t.test("a call that ends while the device is still going safe does not let others in before it is safe", async (t) => {
  const { clock, supervisor, device } = rig();
  let safe: () => void = () => undefined;
  const pan = device(
    "pan",
    {},
    {
      failsafe: () =>
        new Promise<void>((resolve) => {
          safe = resolve;
        }),
    },
  );
  let finish: (value: Value) => void = () => undefined;
  pan.answers(
    () =>
      new Promise<Value>((resolve) => {
        finish = resolve;
      }),
  );
  void pan.move();
  const stopped = supervisor.eStop("bench");
  supervisor.clearEStop("bench");
  finish("too late");
  await clock.advance(0);
  pan.answers(() => 1);
  const next = pan.move();
  await clock.advance(10);
  t.same(pan.did, ["call", "failsafe safe"], "the next call waits");
  safe();
  await stopped;
  t.match(await next, { kind: "value", value: 1 });
});

t.test("a call that was told to give up and does not keeps later ones waiting until its limit, then faults", async (t) => {
  const { clock, supervisor, device } = rig();
  const pan = device("pan");
  pan.answers(hang);
  void pan.move();
  await supervisor.eStop("bench");
  supervisor.clearEStop("bench");
  const next = pan.move();
  await clock.advance(1000);
  t.match(await refusal(next), /^FAULTED pan is faulted: move: pan: move took longer than 1000 ms/);
});

t.test("only so many calls wait for one device", async (t) => {
  const { clock, device } = rig();
  const pan = device("pan");
  pan.answers(hang);
  void pan.move();
  const waiting = Array.from({ length: 64 }, () => pan.move());
  t.equal(await refusal(pan.move()), "FULL pan: 64 calls are waiting already");
  await clock.advance(1000);
  for (const reply of waiting) t.match(await refusal(reply), /^FAULTED/, "they are answered when the device faults");
});

t.test("reading is answered always, has a time limit, and never faults a device", async (t) => {
  const { clock, supervisor, device } = rig();
  const meter = device("meter");
  supervisor.fault(meter.slot, "no");
  t.same(meter.read(), { kind: "value", value: 1 });
  meter.answers(() => Promise.resolve(2));
  t.same(await meter.read(), { kind: "value", value: 2 });
  await supervisor.reset(meter.slot, "bench");
  meter.answers(() => {
    throw new AgentError("IO", "no echo");
  });
  t.equal(await refusal(meter.read()), "IO no echo");
  meter.answers(() => Promise.reject(new Error("no echo\nat all")));
  t.equal(await refusal(meter.read()), "IO no echo at all");
  meter.answers(hang);
  const slow = meter.read();
  await clock.advance(1000);
  t.match(await refusal(slow), /^TIMEOUT meter: reading took longer than 1000 ms/);
  t.equal(meter.slot.fault, undefined);
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

t.test("an e-stop is logged when it is latched and when it is cleared", async (t) => {
  const { log, supervisor } = rig();
  await supervisor.eStop("bob");
  supervisor.clearEStop("ann");
  supervisor.clearEStop("ann");
  t.same(log.lines, ["warn e-stop by bob", "warn e-stop cleared by ann"]);
});

t.test("calls that have waited make room for others", async (t) => {
  const { clock, device } = rig();
  const pan = device("pan");
  for (let round = 0; round < 3; round++) {
    let finish: (value: Value) => void = () => undefined;
    pan.answers(
      () =>
        new Promise<Value>((resolve) => {
          finish = resolve;
        }),
    );
    const first = pan.move();
    pan.answers(() => 1);
    const waiting = Array.from({ length: 40 }, () => pan.move());
    finish(0);
    await clock.advance(0);
    for (const reply of [first, ...waiting]) t.match(await reply, { kind: "value" });
  }
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

t.test("a call that waits for another is refused by the e-stop that comes meanwhile, whoever asked for it", async (t) => {
  const { clock, supervisor, device } = rig();
  const pan = device("pan");
  pan.answers(
    () =>
      new Promise((_, reject) => {
        pan.signals.at(-1)?.addEventListener("abort", () => {
          reject(new AgentError("NOT_READY", "stopped"));
        });
      }),
  );
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
  let finish: (value: Value) => void = () => undefined;
  pan.answers(
    () =>
      new Promise<Value>((resolve) => {
        finish = resolve;
      }),
  );
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

t.test("what moves and cannot be made safe when the front is lost is faulted", async (t) => {
  const { clock, supervisor, device } = rig();
  const pan = device("pan", {}, { moves: true, failsafe: () => Promise.reject(new AgentError("IO", "bus is stuck")) });
  supervisor.loseFront("gone");
  await clock.advance(0);
  t.match(pan.slot.fault, { code: "IO", message: "bus is stuck" });
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
  contactor.answers(
    () =>
      new Promise((_, reject) => {
        contactor.signals.at(-1)?.addEventListener("abort", () => {
          reject(new Error("given up"));
        });
      }),
  );
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

t.test("devices that hold their state at the end are all closed", async (t) => {
  const { supervisor, device } = rig();
  const held = ["a", "b", "c"].map((id) => device(id, { onExit: "hold" }));
  await supervisor.stop();
  t.same(
    held.map(({ did }) => did),
    [["close"], ["close"], ["close"]],
  );
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
