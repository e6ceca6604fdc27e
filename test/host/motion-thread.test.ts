import t, { type Test as TapTest } from "tap";

import { createSystemClock } from "../../agent/clock.ts";
import { createMotion, type Motion, type MotionOptions } from "../../agent/host/motion.ts";
import { createThreadStart } from "../../agent/host/motion-start.ts";
import { motionLimitsSchema } from "../../agent/host/motion-limits.ts";
import { createVariableStore, type VariableStore } from "../../analytics/store.ts";
import { eventually } from "../helpers/eventually.ts";
import { createFakeLog, type FakeLog } from "../helpers/fake-log.ts";
import { testMotionDriver } from "./motion-module.ts";
import type { DeviceContext, DevicePolicy, DeviceSpec } from "../../agent/contract/device.ts";
import type { VariableValue } from "../../agent/contract/variable.ts";
import type { MotionDevice } from "../../agent/host/motion-proxy.ts";

// The threads read TypeScript by another loader than the test runner's: lines that lie elsewhere there would spoil the coverage of every driver.
process.env["_TAPJS_PROCESSINFO_COVERAGE_"] = "0";

const POLICY: DevicePolicy = { enabled: true, onLoss: "safe", onExit: "safe", exclusive: true, callMs: 1000 };

interface Bench {
  readonly motion: Motion;
  readonly variables: VariableStore;
  readonly log: FakeLog;
  readonly published: string[];
  readonly faults: string[];
  readonly lost: string[];
  readonly open: (options?: Record<string, unknown>, id?: string) => Promise<MotionDevice>;
}

function bench(t: TapTest, options: Partial<MotionOptions> = {}): Bench {
  const clock = createSystemClock();
  const log = createFakeLog();
  const variables = createVariableStore({ clock, limits: { maxVariables: 8, maxVariableBytes: 4096 }, declared: {}, defaultStaleMs: 2000 });
  const published: string[] = [];
  const faults: string[] = [];
  const lost: string[] = [];
  const motion = createMotion({
    board: "sim",
    modules: [new URL("./motion-module.ts", import.meta.url).href],
    // Generous: the machine that runs the tests may stop for a while.
    limits: motionLimitsSchema.parse({ hangMs: 10_000, openMs: 60_000, watchdogPeriods: 100, overruns: 1000 }),
    clock,
    log,
    variables,
    // Without the test runner's own loaders, with which each thread would take seconds to start.
    start: createThreadStart(new URL("./motion-entry.mjs", import.meta.url), []),
    ...options,
  });
  motion.onLost((error) => lost.push(error.message));
  t.teardown(() => motion.close());
  return {
    motion,
    variables,
    log,
    published,
    faults,
    lost,
    open(deviceOptions = {}, id = "car") {
      const spec: DeviceSpec = { id, driver: testMotionDriver, options: testMotionDriver.options.parse(deviceOptions), policy: POLICY };
      const context = {
        id,
        publish: (name: string, value: VariableValue) => void published.push(`${name}=${String(value)}`),
        fault: (error: unknown) => void faults.push(error instanceof Error ? error.message : String(error)),
      };
      return motion.openDevice(spec, context as unknown as DeviceContext);
    },
  };
}

function call(device: MotionDevice, name: string, args: Record<string, unknown> = {}, signal = new AbortController().signal) {
  const fn = device.functions[name]!;
  return Promise.resolve().then(() => fn.call(fn.params.parse(args), signal));
}

function block(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}

t.test("a device of the motion thread is called, publishes, reads variables and ticks", async (t) => {
  const { motion, variables, published, open } = bench(t);
  variables.set("speed", 3, "test");
  variables.set("other", 4, "test");
  const car = await open();
  t.strictSame(Object.keys(car.functions), ["drive", "wait", "misbehave", "state"]);
  t.equal(await call(car, "drive", { percent: 40 }), 40);
  await eventually(() => published.includes("write1=drive 40"));
  await eventually(async () => ((await call(car, "state")) as { ticking: boolean }).ticking);
  t.match(await call(car, "state", { echo: "hello" }), { percent: 40, echo: "hello", speed: 3, other: null });
  variables.set("speed", [1, 2], "test");
  await eventually(async () => Array.isArray(((await call(car, "state")) as { speed: unknown }).speed));
  t.match(await call(car, "state"), { echo: "none" }, "defaults are there as well");
  await eventually(() => (motion.figures()?.ticks ?? 0) > 3);
  t.match(motion.figures(), { devices: 1 });
  t.ok(motion.beats() > 0);
  motion.clearFigures();
});

t.test("errors come back with their code, and a device can fault itself", async (t) => {
  const { faults, published, open } = bench(t);
  const car = await open();
  await t.rejects(call(car, "drive", { percent: 13 }), { code: "ARGUMENT", message: "car.drive: percent is 13: 13 brings bad luck" });
  await t.rejects(call(car, "misbehave", { how: "throw" }), { code: "FAULTED", message: "thrown by the device" });
  await call(car, "misbehave", { how: "fault" });
  await eventually(() => faults.length > 0);
  t.strictSame(faults, ["horn is blocked"]);
  await eventually(() => published.includes("write1=safe 0"));
  await t.rejects(call(car, "drive", { percent: 1 }), { code: "FAULTED" });
  await car.failsafe?.("safe");
  await call(car, "misbehave", { how: "tick throws" });
  await eventually(() => faults.length > 1);
  t.strictSame(faults, ["horn is blocked", "tick failed"]);
});

t.test("a device that refuses to open says why, and another one opens", async (t) => {
  const { open } = bench(t);
  await t.rejects(open({ refuses: "no battery" }), { code: "NOT_READY", message: "no battery" });
  const car = await open();
  await t.rejects(open({}, "cart"), { code: "IN_USE" }, "the thread's board knows its owners");
  await car.close();
  t.equal(await call(await open({}, "cart"), "drive", { percent: 1 }), 1);
});

t.test("going safe overtakes the calls that wait, is carried out before it is answered, and ends what is under way", async (t) => {
  const { published, open } = bench(t);
  const car = await open();
  const abort = new AbortController();
  const waiting = call(car, "wait", {}, abort.signal);
  await call(car, "state");
  const calls = Promise.allSettled(Array.from({ length: 20 }, (_, n) => call(car, "drive", { percent: 20 + n })));
  await Promise.resolve();
  const safe = car.failsafe?.({ value: 7 });
  await t.rejects(waiting, { code: "NOT_READY", message: "told to end" });
  await safe;
  const outcomes = await calls;
  // Those the thread had begun before the order came first; everything else was refused.
  const done = outcomes.filter(({ status }) => status === "fulfilled").length;
  await eventually(() => published.length === done + 1);
  t.equal(published.at(-1), `write${done + 1}=7 0`, "nothing is written after the safe state");
  t.match(await call(car, "state"), { percent: 0 });
});

t.test("the lease is ended in the thread while the rest of the process is busy", async (t) => {
  const { published, log, open } = bench(t);
  const car = await open();
  await call(car, "drive", { percent: 40 });
  car.showLease(createSystemClock().monotonicMs() + 30);
  block(500);
  // Nothing was sent from here meanwhile: what is published now was written by the thread on its own.
  await eventually(() => published.includes("write2=safe 0"));
  await eventually(() => log.lines.some((line) => line.includes("ended the lease of car")));
});

t.test("a thread that dies makes its devices safe and is lost; its devices are faulted", async (t) => {
  const { faults, lost, open } = bench(t);
  const car = await open();
  await call(car, "misbehave", { how: "die" });
  await eventually(() => lost.length > 0);
  t.strictSame(lost, ["motion thread failed: nobody catches this"]);
  t.strictSame(faults, ["motion thread failed: nobody catches this"]);
  await t.rejects(call(car, "state"), { code: "FAULTED" });
  await t.rejects(open({}, "cart"), { code: "FAULTED" });
});

t.test("a thread that hangs is lost, and can be closed all the same", async (t) => {
  const { lost, open } = bench(t, { limits: motionLimitsSchema.parse({ hangMs: 2000, openMs: 60_000 }) });
  const car = await open();
  await t.rejects(call(car, "misbehave", { how: "hang" }), { code: "FAULTED", message: "motion thread has stood still for 2000 ms" });
  t.equal(lost.length, 1);
});

t.test("a thread that cannot start says why", async (t) => {
  const { open } = bench(t, { modules: ["file:///nowhere/module.js"] });
  await t.rejects(open(), {
    code: "FAULTED",
    message: /^motion thread failed: the motion thread cannot load file:\/\/\/nowhere\/module.js/,
  });
});
