import t from "tap";
import { z } from "zod";

import { defineFunction, STILL_LEASE, type DevicePolicy } from "../../agent/contract/device.ts";
import { createClaims, NO_CLAIM } from "../../agent/host/claim.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { createSupervisor } from "../../agent/host/supervisor.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import type { Reply } from "../../agent/contract/request.ts";
import type { Eventually, Value } from "../../agent/contract/value.ts";
import type { Order } from "../../agent/host/supervisor-slot.ts";

const POLICY: DevicePolicy = { enabled: true, onLoss: "safe", onExit: "safe", exclusive: false, callMs: 1000 };

function rig(policy: Partial<DevicePolicy> = {}) {
  const clock = createFakeClock();
  const journal = createJournal(clock);
  const supervisor = createSupervisor({ clock, journal, log: createFakeLog(), run: "run" });
  const behaviour: { answer: () => Eventually<Value> } = { answer: () => 1 };
  const moved: string[] = [];

  function device(id: string) {
    const fn = defineFunction({
      summary: "move",
      params: z.object({}),
      effect: "actuate",
      call() {
        moved.push(id);
        return behaviour.answer();
      },
    });
    const order = (over: Partial<Order>): Order => ({
      ...{ caller: "shed", priority: 100, leaseMs: undefined, seq: undefined, token: undefined, cause: 0 },
      ...over,
    });
    const slot = supervisor.adopt({
      ...{ id, device: { functions: { move: fn }, failsafe: () => undefined, close: () => undefined } },
      ...{ policy: { ...POLICY, leaseMs: 500, ...policy }, lease: STILL_LEASE, moves: true },
    });
    return {
      slot,
      claim: (over: Partial<Order> = {}) => text(supervisor.claim(slot, order(over))),
      move: async (over: Partial<Order> = {}) => text(await supervisor.actuate(slot, "move", fn, {}, order(over))),
    };
  }
  return { clock, journal, supervisor, device, moved, behaviour };
}

function text(reply: Reply): string {
  if (reply.kind === "error") return `${reply.error.code} ${reply.error.message}`;
  return reply.kind === "value" ? JSON.stringify(reply.value) : reply.text;
}

t.test("whoever claims a device gets a token, which rises with every other holder", async (t) => {
  const { device, clock } = rig();
  const arm = device("arm");
  t.equal(arm.claim(), '{"token":"run.1","leaseMs":500}');
  t.equal(arm.claim(), '{"token":"run.1","leaseMs":500}', "its holder renews it");
  t.equal(arm.claim({ leaseMs: 700 }), '{"token":"run.1","leaseMs":700}');
  t.equal(arm.claim({ caller: "attic" }), '{"token":"run.2","leaseMs":500}', "among equals the latest takes over");
  t.equal(arm.claim(), '{"token":"run.3","leaseMs":500}', "who lost it does not get his old token again");
  t.equal(device("leg").claim(), '{"token":"run.4","leaseMs":500}', "no two devices have one token");
  clock.advanceNow(500);
  t.equal(arm.claim(), '{"token":"run.5","leaseMs":500}', "nor whoever let it end");
});

t.test("an order under a claim that somebody else took over is stale, whenever it arrives", async (t) => {
  const { device, moved } = rig();
  const arm = device("arm");
  arm.claim();
  t.equal(await arm.move({ token: "run.1" }), "1");
  arm.claim({ caller: "attic" });
  t.equal(await arm.move({ token: "run.1" }), "STALE arm: the token of shed is not the one given last; claim it again");
  t.equal(await arm.move({ caller: "attic", token: "run.2" }), "1");
  t.equal(await arm.move({ token: "run.1", priority: 255 }), "STALE arm: the token of shed is not the one given last; claim it again");
  t.equal(await arm.move({ token: "run.2" }), "STALE arm: the token of shed is not the one given last; claim it again", "that is attic's");
  for (const token of ["", "none", "run.3", "ran.2", "run.02"]) t.match(await arm.move({ caller: "attic", token }), /^STALE/, token);
  t.equal(moved.length, 2);
});

t.test("a token that nobody was given is none, also where nobody claims", async (t) => {
  const { device, moved } = rig();
  const arm = device("arm");
  for (const caller of ["shed", ""]) for (const token of ["", "run.0", "run.1"]) t.match(await arm.move({ caller, token }), /^STALE/);
  t.strictSame(moved, []);
});

t.test("a token is no more than one condition: leases and numbers of commands count as well", async (t) => {
  const { device } = rig();
  const arm = device("arm");
  arm.claim();
  t.equal(await arm.move({ token: "run.1", seq: 7 }), "1");
  t.equal(await arm.move({ token: "run.1", seq: 7 }), "STALE arm: command 7 of shed is not newer than 7");
  await arm.move({ caller: "operator", priority: 120 });
  t.match(await arm.move({ token: "run.1" }), /^IN_USE arm is held by operator/);
});

t.test("a claim ends by itself on the device's own clock; orders under it renew it", async (t) => {
  const { device, clock } = rig();
  const arm = device("arm");
  arm.claim();
  await clock.advance(499);
  t.equal(await arm.move({ token: "run.1" }), "1");
  await clock.advance(1);
  t.equal(await arm.move({ token: "run.1", leaseMs: 100 }), "1");
  await clock.advance(499);
  t.equal(
    await arm.move({ token: "run.1" }),
    "STALE arm: the claim of shed ended 0 ms ago; claim it again",
    "an order for a shorter time does not shorten it",
  );
  await clock.advance(5);
  t.equal(await arm.move({ token: "run.1" }), "STALE arm: the claim of shed ended 5 ms ago; claim it again");
  t.equal(await arm.move(), "1", "an order without a token needs no claim");
  await clock.advance(1);
  t.match(await arm.move({ token: "run.1" }), /^STALE/, "and renews none");
});

t.test("a claim keeps out lower priorities, and equals where the device is exclusive, until it ends", async (t) => {
  const { device, clock, journal } = rig();
  const arm = device("arm");
  arm.claim();
  const refused = "IN_USE arm is claimed by shed with priority 100 for another 500 ms; attic asked with 99";
  t.equal(arm.claim({ caller: "attic", priority: 99 }), refused);
  t.match(journal.latest(1), [{ kind: "refuse", subject: "arm", caller: "attic", detail: "claim: IN_USE" }]);
  t.match(arm.claim({ caller: "attic", priority: 101 }), /run\.2/);
  t.match(arm.claim(), /^IN_USE/);
  clock.advanceNow(500);
  t.match(arm.claim({ caller: "attic", priority: 1 }), /run\.3/);
  const gate = rig({ exclusive: true });
  const only = gate.device("gate");
  only.claim();
  t.match(only.claim({ caller: "attic" }), /^IN_USE gate is claimed by shed with priority 100 for another 500 ms/);
  t.match(only.claim(), /run\.1/);
  gate.clock.advanceNow(500);
  t.match(only.claim({ caller: "attic" }), /run\.2/);
});

t.test("what may not be driven may not be claimed, and what is driven by somebody of more priority neither", async (t) => {
  const { device, supervisor, clock } = rig();
  const arm = device("arm");
  await arm.move({ caller: "operator", priority: 120 });
  t.equal(arm.claim(), "IN_USE arm is held by operator with priority 120 for another 500 ms; shed asked with 100");
  await clock.advance(500);
  t.match(arm.claim(), /run\.1/);
  await supervisor.eStop("operator");
  t.match(arm.claim(), /^FAULTED arm: e-stop is latched/);
  t.match(await arm.move({ token: "run.1" }), /^FAULTED/);
  supervisor.clearEStop("operator");
  t.throws(() => arm.claim({ leaseMs: 60_001 }), { code: "LIMIT" });
  t.equal(await arm.move({ token: "run.1" }), "1", "a claim that is refused changes nothing");
  await supervisor.stop();
  t.match(arm.claim(), /^NOT_READY/);
});

t.test("an order that waited for its turn until its claim was lost is stale", async (t) => {
  const { device, behaviour, moved } = rig();
  const arm = device("arm");
  let finish: (value: Value) => void = () => undefined;
  behaviour.answer = () =>
    new Promise((resolve) => {
      finish = resolve;
    });
  arm.claim();
  const first = arm.move({ token: "run.1" });
  const second = arm.move({ token: "run.1" });
  arm.claim({ caller: "attic" });
  finish(1);
  t.equal(await first, "1");
  t.match(await second, /^STALE/);
  t.equal(moved.length, 1);
});

t.test("tokens of another run of the process are not given again", (t) => {
  const [one, other] = [createClaims(), createClaims()];
  const claimant = { caller: "shed", priority: 100 };
  const first = one(NO_CLAIM, claimant, 10, 0);
  t.match(first, { holder: "shed", priority: 100, untilMs: 10, token: /^[0-9a-f]{12}\.1$/ });
  t.not(other(NO_CLAIM, claimant, 10, 0).token, first.token);
  t.end();
});
