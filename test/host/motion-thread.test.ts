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

const POLICY: DevicePolicy = { enabled: true, onLoss: "safe", onExit: "safe", exclusive: true, callMs: 1000 };

interface Bench {
  readonly motion: Motion;
  readonly variables: VariableStore;
  readonly log: FakeLog;
  readonly published: string[];
  readonly faults: string[];
  readonly open: (options?: Record<string, unknown>, id?: string) => Promise<MotionDevice>;
}

function bench(t: TapTest, options: Partial<MotionOptions> = {}): Bench {
  const clock = createSystemClock();
  const log = createFakeLog();
  const variables = createVariableStore({ clock, limits: { maxVariables: 8, maxVariableBytes: 4096 }, declared: {}, defaultStaleMs: 2000 });
  const published: string[] = [];
  const faults: string[] = [];
  const motion = createMotion({
    board: "sim",
    modules: [new URL("./motion-module.ts", import.meta.url).href],
    // Generous: the machine that runs the tests may stop for a while.
    limits: motionLimitsSchema.parse({ hangMs: 10_000, openMs: 60_000, watchdogPeriods: 100, overruns: 1000 }),
    clock,
    log,
    variables,
    start: createThreadStart(new URL("./motion-entry.mjs", import.meta.url)),
    ...options,
  });
  t.teardown(() => motion.close());
  return {
    motion,
    variables,
    log,
    published,
    faults,
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

t.test("a device of the motion thread is called, publishes and ticks", async (t) => {
  const { motion, published, open } = bench(t);
  t.equal(motion.figures(), undefined, "no thread without a device");
  const car = await open();
  t.strictSame(Object.keys(car.functions), ["drive", "wait", "misbehave", "state"]);
  t.equal(await call(car, "drive", { percent: 40 }), 40);
  await eventually(() => published.includes("write1=drive 40"));
  await eventually(async () => ((await call(car, "state")) as { ticking: boolean }).ticking);
  t.match(await call(car, "state", { echo: "hello" }), { percent: 40, echo: "hello" });
  t.match(await call(car, "state"), { echo: "none" }, "defaults are there as well");
  await eventually(() => (motion.figures()?.lateness.count ?? 0) > 3);
  t.match(motion.figures(), { devices: 1 });
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
