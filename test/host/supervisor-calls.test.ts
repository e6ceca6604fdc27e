import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { hang, refusal, rig } from "./supervisor-rig.ts";

t.test("a slow call holds its lease while it runs; later calls wait for it in order", async (t) => {
  const { clock, device } = rig();
  const pan = device("pan");
  const finish = pan.waits();
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
  const finish = pan.waits();
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

t.test("calls that have waited make room for others", async (t) => {
  const { clock, device } = rig();
  const pan = device("pan");
  for (let round = 0; round < 3; round++) {
    const finish = pan.waits();
    const first = pan.move();
    pan.answers(() => 1);
    const waiting = Array.from({ length: 40 }, () => pan.move());
    finish(0);
    await clock.advance(0);
    for (const reply of [first, ...waiting]) t.match(await reply, { kind: "value" });
  }
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
