// The motion thread as it is built, in a process of its own whose main thread never rests.
// node --import tsx loop-host.mjs PERIOD_MS SECONDS; prints its figures as JSON.
import { createSystemClock } from "../../agent/clock.ts";
import { createMotion } from "../../agent/host/motion.ts";
import { createThreadStart } from "../../agent/host/motion-start.ts";
import { motionLimitsSchema } from "../../agent/host/motion-limits.ts";
import { module } from "./loop-module.mjs";

const WARM_UP_MS = 1000;

const [periodMs, seconds] = process.argv.slice(2).map(Number);
const report = (_fields, message) => console.error(message);
const log = { debug: report, info: report, warn: report, error: report };
const motion = createMotion({
  board: "sim",
  start: createThreadStart(new URL("../../dist/agent/motion-thread.js", import.meta.url), []),
  modules: [new URL("./loop-module.mjs", import.meta.url).href],
  // A thread that is late is to be measured, not stopped; this thread is late on purpose, and cannot judge.
  limits: motionLimitsSchema.parse({ watchdogPeriods: 100, overruns: 1000, hangMs: 10_000 }),
  clock: createSystemClock(),
  log,
  variables: { get: () => undefined, names: () => [], onChange: () => () => undefined, staleMsOf: () => 0 },
});
const policy = { enabled: true, onLoss: "safe", onExit: "safe", exclusive: true, callMs: 1000 };
await motion.openDevice(
  { id: "loop", driver: module.drivers[0], options: { periodMs }, policy },
  { id: "loop", publish: () => undefined, fault: (error) => console.error(String(error)) },
);

/** Works, and makes garbage, without a pause longer than one turn of the event loop. */
async function work(ms) {
  const untilMs = performance.now() + ms;
  let garbage = [];
  while (performance.now() < untilMs) {
    const turnMs = performance.now() + 50;
    while (performance.now() < turnMs) garbage.push(JSON.parse('{"lamp":{"on":true,"percent":[1,2,3]}}'));
    garbage = [];
    await new Promise((resolve) => setImmediate(resolve));
  }
}

await work(WARM_UP_MS);
motion.clearFigures();
await work(seconds * 1000);
console.log(JSON.stringify(motion.figures()));
await motion.close();
