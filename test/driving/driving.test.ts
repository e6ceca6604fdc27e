import t from "tap";

import { startAgentSubject } from "./agent-subject.ts";
import { runScenario, type Frame } from "./scenario.ts";
import type { Pedals } from "./car.ts";

/** Level road without an end, 5 m to either side, a little different each time. */
function openRoad(speedMps: number, step: number): Frame {
  const horizontal = Array.from({ length: 360 }, (_, ray) => {
    const range = 5 / Math.max(1e-9, Math.abs(Math.sin((ray * Math.PI) / 180)));
    return range >= 30 ? 30 : range + 0.02 * Math.sin(ray + 2 * step);
  });
  const vertical = Array.from({ length: 360 }, (_, ray) => (ray > 180 ? Math.min(30, 1.2 / Math.sin(((360 - ray) * Math.PI) / 180)) : 30));
  return { horizontal, vertical, speedMps, goalDeg: 0, demandedMps: 5 };
}

function pedals(): Pedals {
  return { acceleratorPercent: 0, brakePercent: 0, steeringDeg: 0, fuelCut: false };
}

t.test("the whole agent drives roads with sensors that fail: it hits nothing and keeps its limits at the ports", async (t) => {
  const subject = await startAgentSubject("driving");
  t.teardown(() => subject.close());
  let metres = 0;
  for (const seed of [3, 7, 12]) {
    const outcome = await runScenario({ seed, seconds: 5, faulty: seed % 3 === 0 }, subject);
    t.match(outcome, { seed, collision: "none" });
    metres += outcome.metres;
  }
  t.ok(metres > 5, `${metres} m driven`);
  t.strictSame(subject.violations, []);
  t.equal(subject.violationCount(), 0);
});

t.test("roads that once ended in a collision do not", async (t) => {
  const subject = await startAgentSubject("driving");
  t.teardown(() => subject.close());
  // What comes first settles when the agent is ready on the next roads.
  await runScenario({ seed: 3, seconds: 1, faulty: false }, subject);
  // A sector of the sensor gone beside a parked box; somebody at the bumper's corner with a box on the other side; twice somebody who goes behind a box.
  for (const seed of [102_750, 104_811, 105_666, 107_701]) {
    t.match(await runScenario({ seed, seconds: 10, faulty: seed % 3 === 0 }, subject), { seed, collision: "none" });
  }
  t.equal(subject.violationCount(), 0);
});

t.test("when the tables end it brakes at the ports; when everything ends the vehicle is stopped without being told", async (t) => {
  const subject = await startAgentSubject("driving");
  t.teardown(() => subject.close());
  await subject.begin();
  const now = pedals();
  for (let step = 0; step < 150; step++) await subject.step(openRoad(Math.min(2, step * 0.02), step), now);
  t.ok(now.acceleratorPercent > 50, `it speeds up: ${now.acceleratorPercent} %`);
  const { horizontal, ...blind } = openRoad(2, 150);
  t.equal(horizontal?.length, 360);
  for (let step = 0; step < 20; step++) await subject.step({ ...blind, horizontal: undefined }, now);
  t.equal(now.acceleratorPercent, 0);
  t.ok(now.brakePercent > 20, `it brakes: ${now.brakePercent} %`);
  await subject.silence(200, now);
  t.equal(now.acceleratorPercent, 0);
  t.ok(now.brakePercent > 60, `nobody drives: ${now.brakePercent} %`);
  t.strictSame(subject.violations, []);
});

t.test("a cruise control that looks at nothing collides on the same roads, within the same limits", async (t) => {
  const subject = await startAgentSubject("blind cruise");
  t.teardown(() => subject.close());
  const outcomes = [];
  for (const seed of [2, 5]) outcomes.push(await runScenario({ seed, seconds: 6, faulty: false }, subject));
  t.ok(outcomes.some(({ collision }) => collision === "avoidable"));
  t.equal(subject.violationCount(), 0);
});
