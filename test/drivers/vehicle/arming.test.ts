import fc from "fast-check";
import t from "tap";

import {
  armRefusal,
  fuelFlows,
  fuelRefusal,
  nextPhase,
  streamRefusal,
  type ArmingConditions,
  type ArmingEvent,
  type Phase,
} from "../../../drivers/vehicle/arming.ts";
import { createStreamMeter } from "../../../drivers/vehicle/stream.ts";
import { GEARS } from "../../../drivers/vehicle/limits.ts";
import { pedalLimitsSchema } from "../../../drivers/vehicle/limit-table.ts";

const LIMITS = pedalLimitsSchema.parse({});
const PHASES: readonly Phase[] = ["silent", "armed", "stopping", "held"];

t.test("every event leads from every phase where it has to", (t) => {
  const table: Record<ArmingEvent, readonly Phase[]> = {
    arm: ["armed", "armed", "stopping", "armed"],
    loss: ["stopping", "stopping", "stopping", "held"],
    stopped: ["silent", "armed", "held", "held"],
    off: ["silent", "silent", "silent", "silent"],
  };
  for (const [event, phases] of Object.entries(table)) {
    t.same(
      PHASES.map((phase) => nextPhase(phase, event as ArmingEvent)),
      phases,
      event,
    );
  }
  t.end();
});

t.test("whatever happened before, a loss disarms and only arming arms", (t) => {
  const event = fc.constantFrom<ArmingEvent>("arm", "loss", "stopped", "off");
  fc.assert(
    fc.property(fc.array(event), (events) => {
      let phase: Phase = "silent";
      for (const happened of events) {
        const before: Phase = phase;
        phase = nextPhase(phase, happened);
        if (happened !== "arm" && before !== "armed" && phase === "armed") return false;
        if ((happened === "loss" || happened === "off") && phase === "armed") return false;
      }
      return true;
    }),
  );
  t.end();
});

const READY: ArmingConditions = {
  phase: "silent",
  stream: { runMs: 2000, rateHz: 10 },
  nominalHz: 10,
  speedFresh: undefined,
  standing: true,
  brakePressed: false,
  gear: undefined,
  gearFresh: undefined,
};

t.test("arming needs all of its conditions, and says which one it lacks", (t) => {
  const refusal = (lacking: Partial<ArmingConditions>): string | undefined => armRefusal({ ...READY, ...lacking }, LIMITS);
  t.equal(refusal({}), undefined);
  t.equal(refusal({ phase: "held", speedFresh: true, gearFresh: true, gear: "P" }), undefined);
  t.equal(refusal({ gear: "N" }), undefined);
  t.equal(refusal({ standing: false, brakePressed: true }), undefined);
  t.match(refusal({ phase: "stopping" }), /brought to a stop/);
  t.match(refusal({ speedFresh: false }), /measured speed/);
  t.match(refusal({ gearFresh: false }), /measured gear/);
  t.match(refusal({ standing: false }), /neither stands nor is the brake/);
  for (const gear of GEARS) if (gear !== "P" && gear !== "N") t.match(refusal({ gear }), new RegExp(`gear ${gear} is engaged`));
  t.match(refusal({ stream: { runMs: 1999, rateHz: 100 } }), /for 1999 ms without a gap; arming needs 2000 ms/);
  t.match(refusal({ stream: { runMs: 2000, rateHz: 9.9 } }), /at 9.9 Hz; arming needs 10 Hz/);
  t.equal(refusal({ phase: "armed", standing: false, speedFresh: false, stream: { runMs: 0, rateHz: 0 } }), undefined, "what is armed is");
  t.end();
});

t.test("a stream arms at 90 % of its nominal rate, at 10 Hz at the least, and not when nobody can tell", (t) => {
  t.equal(streamRefusal({ runMs: 2000, rateHz: 90 }, 100, LIMITS), undefined);
  t.match(streamRefusal({ runMs: 2000, rateHz: 89.9 }, 100, LIMITS), /90 Hz/);
  t.equal(streamRefusal({ runMs: 2000, rateHz: 10 }, 5, LIMITS), undefined);
  t.ok(streamRefusal({ runMs: 2000, rateHz: 9.9 }, 5, LIMITS));
  t.ok(streamRefusal({ runMs: NaN, rateHz: 100 }, 10, LIMITS));
  t.ok(streamRefusal({ runMs: 2000, rateHz: NaN }, 10, LIMITS));
  t.end();
});

t.test("a stream's run ends with a gap, its rate is that of the last two seconds", (t) => {
  const stream = createStreamMeter(LIMITS);
  t.same(stream.state(5000), { runMs: 0, rateHz: 0 });
  let nowMs = 5000;
  const send = (count: number, periodMs: number): void => {
    for (let i = 0; i < count; i++) {
      nowMs += periodMs;
      stream.note(nowMs);
    }
  };
  send(301, 10);
  t.same(stream.state(nowMs), { runMs: 3000, rateHz: 100 });
  send(20, 100);
  t.same(stream.state(nowMs), { runMs: 5000, rateHz: 10 }, "it became slower");
  t.same(stream.state(nowMs + 200).runMs, 5200, "a gap of two periods of 10 Hz is none");
  t.same(stream.state(nowMs + 201), { runMs: 0, rateHz: 0 }, "a longer one is");
  nowMs += 101;
  send(1, 100);
  t.same(stream.state(nowMs), { runMs: 0, rateHz: 0.5 }, "then it begins anew");
  send(1000, 1);
  t.same(stream.state(nowMs), { runMs: 1000, rateHz: 500.5 });
  send(9000, 0.25);
  t.same(stream.state(nowMs).rateHz, 2048, "of a flood no more is counted than is kept");
  t.end();
});

t.test("fuel flows while armed; afterwards until nobody drives, until the vehicle stands, or until it is said", (t) => {
  for (const phase of PHASES) {
    for (const cutOn of ["loss", "stop", "command"] as const) {
      for (const stood of [false, true]) {
        t.equal(fuelFlows(phase, true, stood, true, cutOn), false, "cut is cut");
        t.equal(fuelFlows(phase, false, stood, false, cutOn), false, "it flows only once armed");
        const expected = phase === "armed" || (phase !== "silent" && (cutOn === "command" || (cutOn === "stop" && !stood)));
        t.equal(fuelFlows(phase, true, stood, false, cutOn), expected, `${phase} ${cutOn} ${stood}`);
      }
    }
  }
  t.end();
});

t.test("cut fuel is let through again only disarmed and at standstill", (t) => {
  t.match(fuelRefusal("armed", true), /until the vehicle is disarmed/);
  t.match(fuelRefusal("stopping", true), /until the vehicle is disarmed/);
  for (const phase of ["silent", "held"] as const) {
    t.match(fuelRefusal(phase, false), /has to stand/);
    t.equal(fuelRefusal(phase, true), undefined);
  }
  t.end();
});
