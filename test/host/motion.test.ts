import t from "tap";
import { z } from "zod";

import { AgentError } from "../../agent/contract/errors.ts";
import { defineDriver, defineFunction, MOTION_LEASE, type DeviceContext, type LossAction } from "../../agent/contract/device.ts";
import { createMotion, type Motion } from "../../agent/host/motion.ts";
import { motionLimitsSchema } from "../../agent/host/motion-limits.ts";
import { createMotionMemory, MAX_MOTION_DEVICES, type MotionMemory } from "../../agent/host/motion-memory.ts";
import { outlinesOf, type FromThread, type MotionSetup, type ToThread } from "../../agent/host/motion-messages.ts";
import { createVariableStore, type VariableStore } from "../../analytics/store.ts";
import { createFakeClock, settled, type FakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog, type FakeLog } from "../helpers/fake-log.ts";
import type { MotionDevice } from "../../agent/host/motion-proxy.ts";
import type { MotionThreadEvents } from "../../agent/host/motion-start.ts";

const FUNCTIONS = outlinesOf({
  drive: defineFunction({
    summary: "drives",
    params: z.strictObject({ percent: z.number().min(0).max(100).describe("%"), code: z.string().meta({ secret: true }).default("none") }),
    effect: "actuate",
    call: () => null,
  }),
  state: defineFunction({ summary: "tells", params: z.strictObject({}), effect: "read", call: () => null }),
});

const driver = defineDriver({
  name: "mover",
  summary: "moves",
  options: z.strictObject({ speed: z.string().default("speed") }),
  moves: true,
  thread: "motion",
  lease: MOTION_LEASE,
  reads: ({ speed }) => [speed, "slope"],
  claims: () => [],
  open: () => Promise.reject(new Error("must not be opened here")),
});

interface Rig {
  readonly motion: Motion;
  readonly clock: FakeClock;
  readonly log: FakeLog;
  readonly variables: VariableStore;
  /** The thread's side of the shared memory. */
  readonly memory: () => MotionMemory;
  readonly setup: () => MotionSetup;
  readonly sent: ToThread[];
  /** Says something in the thread's name. */
  readonly say: (message: FromThread) => void;
  readonly events: () => MotionThreadEvents;
  readonly published: string[];
  readonly faults: string[];
  readonly open: (id?: string, onLoss?: LossAction) => Promise<MotionDevice>;
}

/** A thread that is ready at once, opens every device, and else says what the test says. */
function rig(answers: { ready?: boolean; open?: boolean; timersLateMs?: () => number } = {}): Rig {
  const clock = createFakeClock();
  const log = createFakeLog();
  const variables = createVariableStore({ clock, limits: { maxVariables: 8, maxVariableBytes: 4096 }, declared: {}, defaultStaleMs: 500 });
  const sent: ToThread[] = [];
  const published: string[] = [];
  const faults: string[] = [];
  let started: { setup: MotionSetup; events: MotionThreadEvents; memory: MotionMemory } | undefined;
  const motion = createMotion({
    board: "sim",
    limits: motionLimitsSchema.parse({ hangMs: 100, openMs: 1000 }),
    clock: { ...clock, after: (delayMs, run) => clock.after(delayMs + (answers.timersLateMs?.() ?? 0), run) },
    log,
    variables,
    start(setup, events) {
      started = { setup, events, memory: createMotionMemory(setup.memory) };
      if (answers.ready !== false) queueMicrotask(() => events.receive({ kind: "ready", realtimePriority: 20 }));
      return {
        post(message) {
          sent.push(structuredClone(message));
          if (message.kind === "open" && answers.open !== false) {
            queueMicrotask(() =>
              events.receive({ kind: "opened", device: message.device, functions: FUNCTIONS, failsafe: true, restMs: undefined }),
            );
          }
          if (message.kind === "close") queueMicrotask(() => events.receive({ kind: "closed", device: message.device, error: undefined }));
        },
        stop: () => Promise.resolve(),
      };
    },
  });
  return {
    motion,
    clock,
    log,
    variables,
    memory: () => started!.memory,
    setup: () => started!.setup,
    sent,
    say: (message) => started!.events.receive(structuredClone(message)),
    events: () => started!.events,
    published,
    faults,
    open(id = "car", onLoss = "safe") {
      const policy = { enabled: true, onLoss, onExit: "safe", exclusive: true, callMs: 1000 } as const;
      const context = {
        id,
        publish: (name: string, value: unknown, freshMs: number) => void published.push(`${id}.${name}=${String(value)}/${freshMs}`),
        fault: (error: unknown) => void faults.push(`${id} ${error instanceof AgentError ? `${error.code} ${error.message}` : "?"}`),
      } as unknown as DeviceContext;
      return motion.openDevice({ id, driver, options: driver.options.parse({}), policy }, context);
    },
  };
}

function call(device: MotionDevice, name: string, args: Record<string, unknown> = {}, signal = new AbortController().signal) {
  const fn = device.functions[name]!;
  return Promise.resolve(fn.call(fn.params.parse(args), signal));
}

function outcome(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    (value) => `value ${JSON.stringify(value)}`,
    (error: unknown) => (error instanceof AgentError ? `${error.code} ${error.message}` : "other"),
  );
}

t.test("the thread is started with the first device, and a device stands here with the functions it has there", async (t) => {
  const { motion, setup, sent, open } = rig();
  t.equal(motion.figures(), undefined);
  t.equal(motion.beats(), 0);
  const device = await open();
  t.match(setup(), { board: "sim", modules: [], limits: { graceMs: 20 } });
  t.strictSame(sent, [
    { kind: "open", device: 0, id: "car", driver: "mover", options: { speed: "speed" }, onLoss: "safe", reads: ["speed", "slope"] },
  ]);
  t.strictSame(Object.keys(device.functions), ["drive", "state"]);
  t.equal(device.functions["drive"]?.summary, "drives");
  t.equal(device.functions["drive"]?.effect, "actuate");
  t.strictSame(outlinesOf(device.functions), FUNCTIONS, "ranges, descriptions, defaults and secrets included");
  t.throws(() => device.functions["drive"]?.params.parse({ percent: 101 }));
  t.match(motion.figures(), { devices: 1, missed: 0 });
  await motion.close();
});

t.test("figures of the loop are read without asking the thread, and start anew", async (t) => {
  const { motion, memory, open } = rig();
  await open();
  memory().lateness.add(0.05);
  memory().execution.add(0.002);
  memory().addOverrun();
  memory().addMissed(2);
  memory().beat();
  t.strictSame(motion.figures(), {
    devices: 1,
    realtimePriority: 20,
    ticks: 1,
    latenessP50Us: 50,
    latenessP99Us: 50,
    latenessP999Us: 50,
    latenessMaxUs: 50,
    executionP50Us: 2,
    executionP99Us: 2,
    executionP999Us: 2,
    executionMaxUs: 2,
    overruns: 1,
    missed: 2,
  });
  t.equal(motion.beats(), 1);
  motion.clearFigures();
  t.match(motion.figures(), { ticks: 0, latenessMaxUs: 0, overruns: 0, missed: 0 });
  await motion.close();
});

t.test("what moves does not hold when it is lost", async (t) => {
  const { motion, sent, open } = rig();
  await open("car", "hold");
  t.match(sent[0], { onLoss: "safe" });
  await motion.close();
});

t.test("calls are answered in any order, each to whoever asked", async (t) => {
  const { motion, sent, say, open } = rig();
  const car = await open("car");
  const cart = await open("cart");
  const first = call(car, "drive", { percent: 10 });
  const second = call(cart, "drive", { percent: 20 });
  const third = outcome(call(car, "state"));
  t.match(sent.slice(2), [
    { kind: "call", call: 1, device: 0, fn: "drive", args: { percent: 10, code: "none" }, order: 0 },
    { kind: "call", call: 2, device: 1, fn: "drive", args: { percent: 20 } },
    { kind: "call", call: 3, device: 0, fn: "state" },
  ]);
  say({ kind: "failed", device: 0, call: 3, error: { code: "IO", message: "no echo" } });
  say({ kind: "answer", device: 1, call: 2, value: 20 });
  say({ kind: "answer", device: 0, call: 1, value: 10 });
  say({ kind: "answer", device: 0, call: 1, value: 11 });
  say({ kind: "failed", device: 0, call: 99, error: { code: "IO", message: "nobody asked" } });
  t.strictSame([await first, await second, await third], [10, 20, "IO no echo"]);
  await motion.close();
});

t.test("an order to go safe is in the shared memory before anything is sent, and calls after it know of it", async (t) => {
  const { motion, memory, sent, say, open } = rig();
  const car = await open();
  const first = car.failsafe?.("safe") as Promise<void>;
  const second = car.failsafe?.({ value: 3 }) as Promise<void>;
  t.equal(memory().orders(0), 2);
  t.strictSame(memory().target(0), { value: 3 });
  const driven = outcome(call(car, "drive", { percent: 1 }));
  t.match(sent.slice(1), [{ kind: "order" }, { kind: "order" }, { kind: "call", order: 2 }]);
  say({ kind: "safe", device: 0, order: 2, error: undefined });
  await Promise.all([first, second]);
  const third = outcome(car.failsafe?.("off") as Promise<void>);
  say({ kind: "safe", device: 0, order: 2, error: undefined });
  say({ kind: "safe", device: 0, order: 3, error: { code: "IO", message: "bus is stuck" } });
  t.equal(await third, "IO bus is stuck");
  say({ kind: "answer", device: 0, call: 1, value: 1 });
  t.equal(await driven, "value 1");
  await motion.close();
});

t.test("leases are shown to the thread, and taken back when the device closes", async (t) => {
  const { motion, memory, open } = rig();
  const car = await open();
  car.showLease(5000);
  const lease = memory().lease(0);
  t.not(lease, 0);
  car.showLease(-Infinity);
  t.equal(memory().lease(0), 0);
  car.showLease(5000);
  await car.close();
  t.equal(memory().lease(0), 0);
  await motion.close();
});

t.test("the abort of one signal crosses once, however many calls share it", async (t) => {
  const { motion, sent, open } = rig();
  const car = await open();
  const first = new AbortController();
  const calls = [call(car, "state", {}, first.signal), call(car, "state", {}, first.signal)].map(outcome);
  first.abort();
  const second = new AbortController();
  calls.push(outcome(call(car, "state", {}, second.signal)));
  second.abort();
  t.strictSame(
    sent.slice(1).map(({ kind }) => kind),
    ["call", "call", "abort", "call", "abort"],
  );
  await car.close();
  t.strictSame(await Promise.all(calls), Array(3).fill("NOT_READY car is closed"));
  await motion.close();
});

t.test("what is published, faulted, logged and ended there is told here", async (t) => {
  const { motion, log, say, published, faults, open } = rig();
  await open("car");
  await open("cart");
  say({
    kind: "published",
    values: [
      { device: 1, name: "speed", value: 3, freshMs: 100 },
      { device: 0, name: "armed", value: true, freshMs: Infinity },
      { device: 9, name: "ghost", value: 1, freshMs: 1 },
    ],
  });
  say({ kind: "fault", device: 0, error: { code: "IO", message: "horn is blocked" } });
  say({ kind: "lease-end", device: 1, lateMs: 25 });
  say({ kind: "lease-end", device: 9, lateMs: 25 });
  say({ kind: "log", level: "warn", fields: {}, message: "from there" });
  say({ kind: "stopped" });
  t.strictSame(published, ["cart.speed=3/100", "car.armed=true/Infinity"]);
  t.strictSame(faults, ["car IO horn is blocked"]);
  t.strictSame(log.lines, [
    "warn motion thread ended the lease of cart, 25 ms after its time",
    "warn motion thread ended the lease of a closed device, 25 ms after its time",
    "warn from there",
  ]);
  await motion.close();
});

t.test("variables that a device reads are there when it opens, and sent when they change, with the time they came", async (t) => {
  const { motion, clock, variables, sent, open } = rig();
  variables.set("speed", 3, "test", 50);
  variables.set("other", 1, "test");
  await clock.advance(30);
  await open();
  const speed = { name: "speed", value: 3, unit: undefined, arrivedMs: 1000, staleMs: 50, source: "test", updates: 1 };
  t.strictSame(sent[0], { kind: "variables", variables: [speed] });
  variables.set("other", 2, "test");
  variables.set("slope", [1, 2], "test");
  variables.set("speed", 4, "test", 50);
  await settled();
  t.strictSame(sent.slice(2), [
    {
      kind: "variables",
      variables: [
        { ...speed, value: 4, arrivedMs: 1030, updates: 2 },
        { ...speed, name: "slope", value: [1, 2], arrivedMs: 1030, staleMs: 500 },
      ],
    },
  ]);
  variables.set("other", 3, "test");
  await settled();
  t.equal(sent.length, 3);
  await motion.close();
  variables.set("speed", 5, "test", 50);
  await settled();
  t.equal(sent.at(-1)?.kind, "stop");
});

t.test("what was said of a device before it opens is told to it, once; later it says that itself", async (t) => {
  const { motion, clock, variables, sent, open } = rig();
  variables.set("car.brake", 40, "safe state", Infinity);
  variables.set("carriage.brake", 1, "test");
  await open();
  const brake = {
    name: "car.brake",
    value: 40,
    unit: undefined,
    arrivedMs: clock.monotonicMs(),
    staleMs: Infinity,
    source: "safe state",
    updates: 1,
  };
  t.strictSame(sent[0], { kind: "variables", variables: [brake] });
  t.ok(sent.some((message) => message.kind === "open" && message.reads.includes("car.brake") && !message.reads.includes("carriage.brake")));
  const before = sent.length;
  variables.set("car.brake", 50, "car", Infinity);
  await settled();
  t.equal(sent.length, before);
  await motion.close();
});

t.test("reading calls are bounded, so that asking cannot fill the thread; orders are not", async (t) => {
  const { motion, sent, say, open } = rig();
  const car = await open();
  const reads = Array.from({ length: 65 }, () => outcome(call(car, "state")));
  t.equal(await reads[64], "FULL car: 64 reading calls are under way in the motion thread already");
  const driven = outcome(call(car, "drive", { percent: 1 }));
  t.equal(sent.filter(({ kind }) => kind === "call").length, 65);
  say({ kind: "answer", device: 0, call: 1, value: 1 });
  say({ kind: "answer", device: 0, call: 65, value: 2 });
  t.equal(await reads[0], "value 1");
  t.equal(await driven, "value 2");
  const again = outcome(call(car, "state"));
  say({ kind: "answer", device: 0, call: 66, value: 3 });
  t.equal(await again, "value 3");
  await motion.close();
  t.equal(sent.at(-1)?.kind, "stop");
});

t.test("a device that does not open rejects with the driver's error, and its number is free again", async (t) => {
  const { motion, sent, say, open } = rig({ open: false });
  const opening = outcome(open("car"));
  await settled();
  say({ kind: "unopened", device: 0, error: { code: "IN_USE", message: "pwm sim:0 is in use by lamp" } });
  say({ kind: "unopened", device: 7, error: { code: "IO", message: "nobody waits" } });
  t.equal(await opening, "IN_USE pwm sim:0 is in use by lamp");
  const second = open("cart");
  await settled();
  t.match(sent.at(-1), { kind: "open", id: "cart", device: 0 });
  say({ kind: "opened", device: 0, functions: [], failsafe: false, restMs: undefined });
  t.notOk("failsafe" in (await second));
  await motion.close();
});

t.test("parameters that are no object are refused", async (t) => {
  const { motion, say, open } = rig({ open: false });
  const opening = outcome(open());
  await settled();
  say({
    kind: "opened",
    device: 0,
    functions: [{ name: "odd", summary: "", effect: "read", params: { type: "string" } }],
    failsafe: true,
    restMs: undefined,
  });
  t.equal(await opening, "FAULTED parameters of odd are no object");
  await motion.close();
});

t.test("the thread takes so many devices and no more", async (t) => {
  const { motion, open } = rig();
  const first = await open("d0");
  for (let n = 1; n < MAX_MOTION_DEVICES; n++) await open(`d${n}`);
  t.equal(await outcome(open("more")), `FULL ${MAX_MOTION_DEVICES} devices are in the motion thread already`);
  await first.close();
  t.ok(await open("more"));
  await motion.close();
});

t.test("a device that fails to close says so here", async (t) => {
  const { motion, events, open } = rig();
  const car = await open();
  const closing = outcome(car.close() as Promise<void>);
  events().receive({ kind: "closed", device: 0, error: { code: "IO", message: "port is gone" } });
  t.equal(await closing, "IO port is gone");
  events().receive({ kind: "closed", device: 0, error: { code: "IO", message: "nobody waits" } });
  await motion.close();
});

t.test("a thread that dies takes its devices with it, and says so once", async (t) => {
  const { motion, log, say, events, faults, open } = rig();
  const lost: string[] = [];
  motion.onLost((error) => lost.push(error.message));
  const cancel = motion.onLost(() => lost.push("cancelled"));
  cancel();
  const car = await open();
  const waiting = [outcome(call(car, "drive", { percent: 1 })), outcome(car.failsafe?.("safe") as Promise<void>)];
  say({ kind: "dying", error: { code: "FAULTED", message: "out of memory" } });
  events().lost(new AgentError("FAULTED", "motion thread ended with 1"));
  t.strictSame(await Promise.all(waiting), Array(2).fill("FAULTED motion thread failed: out of memory"));
  t.strictSame(lost, ["motion thread failed: out of memory"]);
  t.strictSame(faults, ["car FAULTED motion thread failed: out of memory"]);
  t.strictSame(log.lines, ["error motion thread failed: out of memory"]);
  t.equal(await outcome(Promise.resolve().then(() => call(car, "drive", { percent: 1 }))), "FAULTED motion thread failed: out of memory");
  t.equal(await outcome(car.failsafe?.("safe") as Promise<void>), "FAULTED motion thread failed: out of memory");
  t.equal(await outcome(open("cart")), "FAULTED motion thread failed: out of memory");
  await car.close();
  await motion.close();
  await motion.close();
});

t.test("a thread that does not start is an error of whoever opens a device", async (t) => {
  const { motion, events, open } = rig({ ready: false });
  const opening = outcome(open());
  events().lost(new AgentError("FAULTED", "motion thread failed: no board"));
  t.equal(await opening, "FAULTED motion thread failed: no board");
  await motion.close();
});

t.test("a thread that dies while a device opens or closes is told to whoever waits", async (t) => {
  const { motion, events, open } = rig({ open: false });
  const opening = outcome(open());
  await settled();
  events().lost(new AgentError("FAULTED", "motion thread ended with 1"));
  t.equal(await opening, "FAULTED motion thread ended with 1");
  await motion.close();
  const other = rig();
  const car = await other.open();
  const closing = outcome(car.close() as Promise<void>);
  other.events().lost(new AgentError("FAULTED", "motion thread ended with 1"));
  t.equal(await closing, "FAULTED motion thread ended with 1");
  await other.motion.close();
});

t.test("a thread that stands still is given up", async (t) => {
  const { motion, clock, memory, faults, open } = rig();
  await open();
  for (let n = 0; n < 10; n++) {
    memory().beat();
    await clock.advance(90);
  }
  t.strictSame(faults, [], "it beats");
  memory().beat();
  await clock.advance(25);
  const behind = clock.monotonicMs();
  await clock.advance(75);
  t.strictSame(faults, []);
  await clock.advance(50);
  t.strictSame(faults, ["car FAULTED motion thread has stood still for 100 ms"]);
  t.ok(clock.monotonicMs() - behind <= 125);
  t.equal(clock.pending(), 0, "nobody looks any more");
  await motion.close();
});

t.test("who stood still as well does not know of the thread, and looks again first", async (t) => {
  let lateMs = 0;
  const { motion, clock, memory, faults, open } = rig({ timersLateMs: () => lateMs });
  await open();
  memory().beat();
  await clock.advance(20);
  lateMs = 5000;
  await clock.advance(10);
  lateMs = 0;
  await clock.advance(5020);
  t.strictSame(faults, []);
  await clock.advance(60);
  memory().beat();
  await clock.advance(90);
  t.strictSame(faults, []);
  await clock.advance(100);
  t.equal(faults.length, 1);
  await motion.close();
});

t.test("a thread has longer to start and to open devices", async (t) => {
  const { motion, clock, say, faults, open } = rig({ ready: false, open: false });
  const opening = outcome(open());
  await clock.advance(900);
  say({ kind: "ready", realtimePriority: 0 });
  await settled();
  await clock.advance(50);
  t.strictSame(faults, []);
  await clock.advance(1000);
  t.equal(await opening, "FAULTED motion thread has stood still for 1000 ms");
  await motion.close();
});

t.test("nothing opens once the agent is stopping; closing devices then is the thread's own work", async (t) => {
  const { motion, sent, events, faults, open } = rig();
  const car = await open();
  const closing = motion.close();
  t.equal(sent.at(-1)?.kind, "stop");
  await car.close();
  t.equal(sent.at(-1)?.kind, "stop");
  events().lost(new AgentError("FAULTED", "motion thread ended with 0"));
  await closing;
  t.strictSame(faults, []);
  t.equal(await outcome(open("cart")), "NOT_READY cart: the agent is stopping");
  const never = rig();
  await never.motion.close();
  t.strictSame(never.sent, []);
});
