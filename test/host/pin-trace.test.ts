// What every actuator's ports do through boot, claim, run, loss, e-stop, exit, crash and restart: no edge and no pulse that nobody ordered.
import t from "tap";

import { createRig, type Rig } from "./pin-trace-rig.ts";
import { deviceModules } from "../../agent/modules.ts";
import { expectedOf, SUBJECTS, type Stage, type Subject } from "./pin-trace-subjects.ts";

/** Drivers that could move something and have no pins: what they say goes to somebody who has. */
const WITHOUT_PINS = ["switch", "modbus-rtu", "line-device"];

/** The whole life of the devices; `told` is called after each stage. Returns what was answered to an order other than by carrying it out. */
async function live(rig: Rig, { claim, claimMs = 1000, run }: Subject, told: (stage: Stage) => void): Promise<readonly string[]> {
  const refusals: string[] = [];
  const order = async (commands: readonly string[], forMs: number): Promise<void> => {
    refusals.push(...(await rig.drive(commands, forMs)).filter((answer) => /^-[A-Z]/.test(answer)));
  };
  const drive = async (): Promise<void> => {
    await order(claim, claimMs);
    await order(run, 2000);
  };
  const after = async (stage: Stage, ms: number): Promise<void> => {
    await rig.wait(ms);
    told(stage);
  };

  await rig.start();
  await after("boot", 1000);
  await order(claim, claimMs);
  told("claim");
  await order(run, 2000);
  told("run");
  await after("loss", 60_000);
  await drive();
  told("again");
  await rig.ask("ESTOP");
  await after("e-stop", 60_000);
  await rig.ask("ESTOP RESET");
  await after("reset", 1000);
  await drive();
  told("more");
  await rig.stop();
  await after("exit", 1000);
  await rig.start();
  await after("restart", 1000);
  await drive();
  told("driven");
  await rig.kill();
  await after("crash", 100);
  const report = await rig.makeSafe();
  await after("made safe", 500);
  await rig.start(report);
  await after("restart after a crash", 60_000);
  await drive();
  told("driven once more");
  await rig.kill();
  await after("killed", 100);
  await rig.start();
  await after("start with nothing made safe", 60_000);
  await rig.stop();
  await after("end", 1000);
  return refusals;
}

for (const [name, subject] of Object.entries(SUBJECTS)) {
  t.test(`${name}: no edge and no pulse that nobody ordered`, async (t) => {
    const rig = createRig(subject.devices, subject.pulledUp ?? []);
    const ports = Object.entries(subject.ports);
    const traces = new Map<string, Partial<Record<Stage, string>>>(ports.map(([what]) => [what, {}]));
    for (const [, { port }] of ports) rig.trace(port);
    const refusals = await live(rig, subject, (stage) => {
      for (const [what, { port }] of ports) (traces.get(what) ?? {})[stage] = rig.trace(port);
    });
    t.same(refusals, []);
    for (const [what, life] of ports) t.strictSame(traces.get(what), expectedOf(life), what);
    t.same(rig.claimed(), []);
  });
}

t.test("every driver that can move anything is among them", async (t) => {
  const traced = new Set(Object.values(SUBJECTS).flatMap(({ devices }) => Object.values(devices).map(([driver]) => driver)));
  const actuating = deviceModules.flatMap(({ drivers }) => drivers).filter(({ actuates }) => actuates !== false);
  const untraced = actuating.map(({ name }) => name).filter((name) => !traced.has(name));
  t.same(untraced.toSorted(), WITHOUT_PINS.toSorted());
});
