import t from "tap";

import { compileRule } from "../../../analytics/rule.ts";
import { createFakeClock, settled } from "../../helpers/fake-clock.ts";
import { createFakeLog } from "../../helpers/fake-log.ts";
import { createJournal } from "../../../agent/host/journal.ts";
import { createSimBoard } from "../../../drivers/board/sim/sim-board.ts";
import { createVariableStore } from "../../../analytics/store.ts";
import { openHost } from "../../../agent/host/host.ts";
import { panTiltDriver } from "../../../drivers/gpio/pan-tilt.ts";
import { pulses } from "./pulse-trace.ts";
import { startEngine } from "../../../analytics/engine.ts";
import type { VariableValue } from "../../../agent/contract/variable.ts";

const PAN = "pwm sim:0";

const OPTIONS = { pan: { pwm: { chip: "sim", channel: 0 }, startDeg: 0, maxDegPerS: 100 }, tilt: { pwm: { chip: "sim", channel: 1 } } };

/** A camera that follows what analytics see: the rules, the supervisor, the driver and the simulated board as an agent has them. */
async function followingCamera() {
  const clock = createFakeClock();
  const log = createFakeLog();
  const board = createSimBoard({ clock });
  const journal = createJournal(clock);
  const variables = createVariableStore({
    clock,
    limits: { maxVariables: 100, maxVariableBytes: 1000 },
    declared: { "face.ok": { staleMs: 100 }, "face.angleDeg": { staleMs: 100 } },
    defaultStaleMs: 3_600_000,
  });
  const host = await openHost({
    node: "garage",
    specs: [
      {
        id: "camera",
        driver: panTiltDriver,
        options: panTiltDriver.options.parse(OPTIONS),
        policy: { enabled: true, onLoss: "safe", onExit: "safe", exclusive: false, callMs: 1000 },
      },
    ],
    board,
    clock,
    variables,
    journal,
    log,
  });
  const engine = startEngine({
    rules: [compileRule("follow", { when: "face.ok", call: "camera.pan(face.angleDeg)", priority: 10 })],
    variables,
    service: host,
    leaseMsOf: () => panTiltDriver.lease.defaultMs,
    journal,
    clock,
    log,
  });
  return {
    clock,
    board,
    variables,
    journal,
    async see(values: Record<string, VariableValue>): Promise<void> {
      for (const [name, value] of Object.entries(values)) variables.set(name, value, "tcp");
      await settled();
      await settled();
    },
    async stop(): Promise<void> {
      engine.close();
      await host.stop();
    },
    panUs: (): number => Math.round(board.world.duty(PAN) * 20_000),
  };
}

const usOf = (angleDeg: number): number => Math.round(1500 + (angleDeg * 1000) / 90);

t.test("a camera follows a face that analytics see, at its own speed, and lets go when they stop seeing it", async (t) => {
  const camera = await followingCamera();
  await camera.clock.advance(500);
  t.equal(camera.panUs(), 0, "nobody was seen: no pulse");
  for (let i = 1; i <= 50; i++) {
    await camera.see({ "face.ok": true, "face.angleDeg": 30 });
    await camera.clock.advance(10);
  }
  t.equal(camera.panUs(), usOf(30));
  for (let i = 1; i <= 50; i++) {
    await camera.see({ "face.angleDeg": 30 - i, "face.ok": true });
    await camera.clock.advance(10);
  }
  t.ok(Math.abs((camera.variables.get("camera.pan")?.value as number) - -20) <= 2, "it keeps up with 100 degrees per second");
  const steps = pulses(camera.board.world, PAN).filter(({ pulseUs }) => pulseUs > 0);
  for (const [i, { pulseUs }] of steps.entries()) {
    t.ok(Math.abs(pulseUs - (steps[i - 1]?.pulseUs ?? usOf(0))) <= Math.ceil((2 * 1000) / 90), "no step beyond the speed limit");
  }
  const lastSeenMs = camera.clock.monotonicMs();
  await camera.clock.advance(1000);
  t.equal(camera.panUs(), 0);
  const end = pulses(camera.board.world, PAN).at(-1);
  t.ok(end !== undefined && end.atMs - lastSeenMs <= 100 + panTiltDriver.lease.defaultMs, "not later than staleness and lease");
  const told = camera.journal.latest(10).map(({ kind, subject }) => `${kind} ${subject}`);
  t.ok(told.indexOf("lease-end camera") < told.indexOf("safe camera") && told.includes("lease-end camera"), "the journal says why");
  await camera.stop();
  t.same(camera.board.world.claimed(), []);
  t.equal(camera.clock.pending(), 0);
});

t.test("a stream that breaks off in the middle of a turn leaves the camera without pulses", async (t) => {
  const camera = await followingCamera();
  await camera.see({ "face.ok": true, "face.angleDeg": 90 });
  await camera.clock.advance(100);
  t.ok(camera.panUs() > usOf(0) && camera.panUs() < usOf(90), "on its way");
  await camera.clock.advance(1000);
  t.equal(camera.panUs(), 0);
  t.ok((camera.variables.get("camera.pan")?.value as number) < 90, "it did not go on");
  t.equal(camera.variables.get("camera.attached")?.value, false);
  await camera.stop();
});
