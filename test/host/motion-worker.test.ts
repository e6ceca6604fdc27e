import t from "tap";
import { z } from "zod";

import { AgentError } from "../../agent/contract/errors.ts";
import {
  defineDriver,
  defineFunction,
  MODULE_CONTRACT,
  MOTION_LEASE,
  type DeviceContext,
  type DeviceModule,
  type Driver,
  type SafeTarget,
} from "../../agent/contract/device.ts";
import { loadDrivers } from "../../agent/host/motion-drivers.ts";
import { motionLimitsSchema } from "../../agent/host/motion-limits.ts";
import { startMotionWorker, type MotionWorker } from "../../agent/host/motion-worker.ts";
import { createSimBoard, type SimBoard } from "../../drivers/board/sim/sim-board.ts";
import { createFakeLog, type FakeLog } from "../helpers/fake-log.ts";
import { createSteppedThread, type SteppedThread } from "./motion-rig.ts";
import type { Eventually, Value } from "../../agent/contract/value.ts";
import type { FromThread, OpenMessage } from "../../agent/host/motion-messages.ts";

/** What a test does with the device it opens. */
interface Script {
  open?(context: DeviceContext): Eventually<void>;
  call?(context: DeviceContext, n: number, signal: AbortSignal): Eventually<Value>;
  failsafe?: ((to: SafeTarget) => Eventually<void>) | undefined;
  readonly rest?: () => Promise<void>;
  close?(): Eventually<void>;
  readonly params?: z.ZodObject;
}

interface Rig extends SteppedThread {
  readonly worker: MotionWorker;
  readonly board: SimBoard;
  readonly log: FakeLog;
  /** What was sent, one line each: `answer 1 5`. */
  readonly sent: string[];
  /** What happened to the device, in order. */
  readonly done: string[];
  open(script?: Script, message?: Partial<OpenMessage>): Promise<void>;
  /** Calls `set(n)`, or `get()` without `n`. */
  call(call: number, n?: number, order?: number): void;
}

function textOf(message: FromThread): string {
  switch (message.kind) {
    case "answer":
      return `answer ${message.call} ${JSON.stringify(message.value)}`;
    case "failed":
      return `failed ${message.call} ${message.error.code} ${message.error.message}`;
    case "published":
      return `published ${message.values.map(({ name, value, freshMs }) => `${name}=${String(value)}/${String(freshMs)}`).join(" ")}`;
    case "fault":
      return `fault ${message.error.code} ${message.error.message}`;
    case "safe":
      return `safe ${message.order}${message.error === undefined ? "" : ` ${message.error.message}`}`;
    case "unopened":
      return `unopened ${message.error.code} ${message.error.message}`;
    case "lease-end":
      return `lease-end ${message.lateMs}`;
    case "closed":
      return `closed${message.error === undefined ? "" : ` ${message.error.message}`}`;
    case "dying":
      return `dying ${message.error.message}`;
    default:
      return message.kind;
  }
}

function rig(): Rig {
  const thread = createSteppedThread();
  const board = createSimBoard({ clock: thread.clock });
  const log = createFakeLog();
  const sent: string[] = [];
  const done: string[] = [];
  const drivers = new Map<string, Driver>();
  const worker = startMotionWorker({
    memory: thread.memory,
    board,
    clock: thread.clock,
    limits: motionLimitsSchema.parse({}),
    log,
    drivers,
    later: thread.later,
    post(message) {
      // As a port does with what cannot leave the thread.
      sent.push(textOf(structuredClone(message)));
    },
  });
  return Object.assign(thread, {
    worker,
    board,
    log,
    sent,
    done,
    async open(script: Script = {}, message: Partial<OpenMessage> = {}) {
      drivers.set("scripted", scriptedDriver(script, done));
      worker.receive({ kind: "open", device: 0, id: "car", driver: "scripted", options: {}, onLoss: "safe", reads: ["speed"], ...message });
      await thread.runSettling(5);
    },
    call(call: number, n?: number, order = 0) {
      worker.receive({ kind: "call", call, device: 0, fn: n === undefined ? "get" : "set", args: n === undefined ? {} : { n }, order });
    },
  });
}

function scriptedDriver(script: Script, done: string[]): Driver {
  return defineDriver({
    name: "scripted",
    summary: "does what the test says",
    options: z.strictObject({}),
    moves: true,
    thread: "motion",
    lease: MOTION_LEASE,
    claims: () => [],
    async open(context) {
      await script.open?.(context);
      return {
        functions: {
          set: defineFunction({
            summary: "sets",
            params: script.params ?? z.strictObject({ n: z.number().refine((n) => n !== 13, { error: "13 brings bad luck" }) }),
            effect: "actuate",
            call(args, signal) {
              const n = (args as { n: number }).n;
              done.push(`set ${n}`);
              return script.call === undefined ? n : script.call(context, n, signal);
            },
          }),
          get: defineFunction({
            summary: "tells",
            params: z.strictObject({}),
            effect: "read",
            call(_args, signal) {
              return script.call?.(context, Number.NaN, signal) ?? { speed: context.variable("speed")?.value ?? null };
            },
          }),
        },
        failsafe(to) {
          done.push(`failsafe ${typeof to === "string" ? to : String(to.value)}`);
          return script.failsafe?.(to);
        },
        ...(script.rest && { rest: script.rest }),
        close() {
          done.push("close");
          return script.close?.();
        },
      };
    },
  });
}

t.test("a device is opened, called and answers", async (t) => {
  const thread = rig();
  await thread.open();
  thread.call(1, 5);
  thread.call(2);
  await thread.runSettling(5);
  t.strictSame(thread.sent, ["opened", "answer 1 5", 'answer 2 {"speed":null}']);
  t.strictSame(thread.done, ["set 5"]);
});

t.test("arguments are checked with the driver's own schema, refinements too", async (t) => {
  const thread = rig();
  await thread.open();
  thread.call(1, 13);
  await thread.runSettling(5);
  t.strictSame(thread.sent.slice(1), ["failed 1 ARGUMENT car.set: n is 13: 13 brings bad luck"]);
  t.strictSame(thread.done, []);
});

t.test("an order to go safe overtakes calls that wait, and none of those from before comes after it", async (t) => {
  const thread = rig();
  await thread.open();
  thread.call(1, 5);
  thread.call(2);
  const order = thread.memory.order(0, { value: 2 });
  thread.worker.receive({ kind: "order" });
  thread.call(3, 6, order);
  await thread.runSettling(5);
  t.strictSame(thread.done, ["failsafe 2", "set 6"]);
  t.strictSame(thread.sent.slice(1), [
    "safe 1",
    "failed 1 NOT_READY car went safe before set was carried out",
    'answer 2 {"speed":null}',
    "answer 3 6",
  ]);
});

t.test("an order needs no message: the thread sees it with its next beat", async (t) => {
  const thread = rig();
  await thread.open();
  thread.memory.order(0, "off");
  await thread.runSettling(12);
  t.strictSame(thread.done, ["failsafe off"]);
});

t.test("a failsafe that takes a while is answered when it has ended, and one that fails with the reason", async (t) => {
  let end: () => void = () => undefined;
  const thread = rig();
  await thread.open({
    failsafe(to) {
      if (to === "off") throw new AgentError("IO", "bus does not answer");
      if (to === "safe") return Promise.reject(new Error("chip is gone"));
      return new Promise((resolve) => {
        end = resolve;
      });
    },
  });
  thread.memory.order(0, { value: 1 });
  await thread.runSettling(20);
  t.strictSame(thread.sent.slice(1), []);
  end();
  await thread.runSettling(1);
  thread.memory.order(0, "off");
  await thread.runSettling(20);
  thread.memory.order(0, "safe");
  await thread.runSettling(20);
  t.strictSame(thread.sent.slice(1), ["safe 1", "safe 2 bus does not answer", "safe 3 chip is gone"]);
});

t.test("the end of a lease that nobody saw elsewhere is seen here, once, and never before its time", async (t) => {
  const thread = rig();
  await thread.open({}, { onLoss: { value: 7 } });
  thread.memory.setLease(0, thread.clock.monotonicMs() + 100);
  await thread.runSettling(115);
  t.strictSame(thread.done, []);
  await thread.runSettling(20);
  t.strictSame(thread.done, ["failsafe 7"]);
  await thread.runSettling(500);
  t.strictSame(thread.done, ["failsafe 7"]);
  t.match(thread.sent.slice(1), [/^lease-end (2[1-9]|3[0-2])$/]);
  thread.memory.setLease(0, thread.clock.monotonicMs() + 50);
  await thread.runSettling(100);
  t.equal(thread.done.length, 2, "the next lease is another one");
});

t.test("a lease that is renewed, given back or on a device that holds changes nothing", async (t) => {
  const thread = rig();
  await thread.open({}, { onLoss: "hold" });
  for (let n = 0; n < 20; n++) {
    thread.memory.setLease(0, thread.clock.monotonicMs() + 100);
    await thread.runSettling(50);
  }
  t.strictSame(thread.sent.slice(1), []);
  thread.memory.setLease(0, -Infinity);
  await thread.runSettling(200);
  t.strictSame(thread.sent.slice(1), []);
  thread.memory.setLease(0, thread.clock.monotonicMs());
  await thread.runSettling(50);
  t.match(thread.sent.slice(1), [/^lease-end/], "it is said also when the device holds");
  t.strictSame(thread.done, []);
});

t.test("the end of a lease and an order abort what is under way", async (t) => {
  const thread = rig();
  await thread.open({
    call: (_context, n, signal) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(new AgentError("NOT_READY", `${n} aborted`)));
      }),
  });
  thread.call(1, 1);
  await thread.runSettling(5);
  thread.memory.setLease(0, thread.clock.monotonicMs() - 25);
  await thread.runSettling(15);
  thread.call(2, 2);
  await thread.runSettling(5);
  thread.memory.order(0, "safe");
  await thread.runSettling(15);
  thread.call(3, 3, 1);
  await thread.runSettling(5);
  thread.worker.receive({ kind: "abort", device: 0 });
  thread.worker.receive({ kind: "abort", device: 9 });
  await thread.runSettling(5);
  t.strictSame(
    thread.sent.filter((line) => line.startsWith("failed")),
    ["failed 1 NOT_READY 1 aborted", "failed 2 NOT_READY 2 aborted", "failed 3 NOT_READY 3 aborted"],
  );
});

t.test("a tick that throws makes the device safe at once, is told once, and nothing moves it until it is ordered safe", async (t) => {
  const thread = rig();
  let broken = false;
  await thread.open({
    open(context) {
      context.every(10, () => {
        if (broken) throw new Error("encoder is gone");
      });
    },
  });
  broken = true;
  await thread.runSettling(50);
  t.strictSame(thread.done, ["failsafe safe"]);
  t.strictSame(thread.sent.slice(1), ["fault FAULTED encoder is gone"]);
  thread.call(1, 5);
  thread.call(2);
  await thread.runSettling(5);
  t.strictSame(thread.sent.slice(2), ["failed 1 FAULTED car has just faulted", 'answer 2 {"speed":null}']);
  broken = false;
  thread.memory.order(0, "safe");
  await thread.runSettling(20);
  thread.call(3, 5, 1);
  await thread.runSettling(5);
  t.equal(thread.sent.at(-1), "answer 3 5");
});

t.test("a device that cannot be made safe after its fault is at least named", async (t) => {
  const thread = rig();
  await thread.open({
    open: (context) => void context.clock.after(20, () => context.fault(new AgentError("IO", "horn is blocked"))),
    failsafe: () => Promise.reject(new Error("bus is stuck")),
  });
  await thread.runSettling(50);
  t.strictSame(thread.sent.slice(1), ["fault IO horn is blocked"]);
  t.strictSame(thread.log.lines, ["error car could not be made safe in the motion thread: bus is stuck"]);
});

t.test("a control loop that stands still is a fault of its device, while somebody drives that", async (t) => {
  const thread = rig();
  const misses: number[] = [];
  let spendMs = 0;
  await thread.open({
    open(context) {
      context.every(10, (_nowMs, missed) => {
        if (missed > 0) misses.push(missed);
        thread.spend(spendMs);
        spendMs = 0;
      });
    },
  });
  spendMs = 45;
  await thread.runSettling(100);
  t.strictSame(thread.sent.slice(1), [], "nobody drives it");
  t.strictSame(misses, [3], "but it is told");
  thread.memory.setLease(0, thread.clock.monotonicMs() + 500);
  spendMs = 45;
  await thread.runSettling(100);
  t.strictSame(thread.sent.slice(1), ["fault FAULTED control loop stood still for 4 periods of 10 ms; 3 are allowed"]);
  t.strictSame(thread.done, ["failsafe safe"]);
});

t.test("what a device publishes in one turn is sent together, the latest of each name, as it was then", async (t) => {
  const thread = rig();
  const ranges = [1, 2];
  await thread.open({
    call(context, n) {
      context.publish("n", n - 1);
      context.publish("ranges", ranges, 100);
      context.publish("n", n);
      ranges[0] = 9;
      return null;
    },
  });
  thread.call(1, 5);
  thread.call(2, 6);
  await thread.runSettling(5);
  t.strictSame(thread.sent.slice(1), ["answer 1 null", "answer 2 null", "published n=6/Infinity ranges=9,2/100"]);
});

t.test("what cannot leave the thread is refused or logged, and the thread goes on", async (t) => {
  const thread = rig();
  await thread.open({
    call(context, n) {
      if (n === 1) return (() => undefined) as unknown as Value;
      if (n === 2) context.publish("odd", [() => undefined] as unknown as number[]);
      return n;
    },
  });
  for (const n of [1, 2, 3]) thread.call(n, n);
  await thread.runSettling(5);
  t.match(thread.sent.slice(1), [/^failed 1 FAULTED what set answers cannot leave the motion thread/, "answer 2 2", "answer 3 3"]);
  t.match(thread.log.lines, [/^error what was published cannot leave the motion thread/]);
});

t.test("variables are those the driver reads, and go stale by themselves", async (t) => {
  const thread = rig();
  const arrivedMs = thread.clock.monotonicMs() - 40;
  const variable = { value: 3, unit: "m/s", arrivedMs, staleMs: 100, source: "test", updates: 7 };
  thread.worker.receive({
    kind: "variables",
    variables: [
      { name: "speed", ...variable },
      { name: "secret", ...variable },
    ],
  });
  let context: DeviceContext | undefined;
  await thread.open({ open: (opened) => void (context = opened) });
  const ageMs = thread.clock.monotonicMs() - arrivedMs;
  t.strictSame(context?.variable("speed"), { name: "speed", value: 3, unit: "m/s", ageMs, stale: false, source: "test", updates: 7 });
  t.equal(context?.variable("secret"), undefined);
  await thread.runSettling(100);
  t.equal(context?.variable("speed")?.stale, true);
});

t.test("a device that does not open leaves nothing behind", async (t) => {
  const thread = rig();
  await thread.open({
    async open(context) {
      await context.board.openPwm("car", { chip: "sim", channel: 0 }, 20_000_000);
      context.every(10, () => thread.done.push("tick"));
      throw new AgentError("NOT_READY", "servo does not answer");
    },
  });
  await thread.runSettling(50);
  t.strictSame(thread.sent, ["unopened NOT_READY servo does not answer"]);
  t.strictSame(thread.board.world.claimed(), []);
  t.strictSame(thread.done, []);
  await thread.open({}, { driver: "teleporter" });
  t.equal(thread.sent.at(-1), "unopened UNKNOWN car: the motion thread has no driver teleporter");
  await thread.open({ params: z.strictObject({ n: z.date() }) });
  t.match(thread.sent.at(-1), /^unopened/, "parameters that nobody outside could know");
  t.strictSame(thread.done, ["close"]);
});

t.test("what goes wrong while a device opens is its first fault", async (t) => {
  const thread = rig();
  await thread.open({ open: (context) => context.fault(new AgentError("IO", "battery is flat")) });
  t.strictSame(thread.sent, ["opened", "fault IO battery is flat"]);
  t.strictSame(thread.done, ["failsafe safe"]);
});

t.test("a closed device ticks no more, gives back what it left open, and refuses what comes later", async (t) => {
  const thread = rig();
  await thread.open({
    async open(context) {
      await context.board.openPwm("car", { chip: "sim", channel: 0 }, 20_000_000);
      context.every(10, () => thread.done.push("tick"));
    },
  });
  thread.worker.receive({ kind: "close", device: 0 });
  await thread.runSettling(50);
  thread.call(1, 5);
  thread.memory.order(0, "safe");
  await thread.runSettling(20);
  t.strictSame(
    thread.done.filter((line) => line !== "tick"),
    ["close"],
  );
  t.notOk(thread.done.slice(thread.done.indexOf("close")).includes("tick"));
  t.strictSame(thread.sent.slice(1), ["closed", "failed 1 NOT_READY set: the device is closed"]);
  t.strictSame(thread.board.world.claimed(), []);
  t.match(thread.log.lines, [/^error car leaked pwm sim:0; closed by force$/]);
  thread.worker.receive({ kind: "close", device: 0 });
  await thread.runSettling(5);
  t.equal(thread.sent.at(-1), "closed", "again is no harm");
});

t.test("a device ticks, and goes safe, until what it moves has come to rest; then it is closed", async (t) => {
  const thread = rig();
  let stands: () => void = () => undefined;
  await thread.open({
    open(context) {
      context.every(10, () => thread.done.push("tick"));
      return Promise.resolve();
    },
    rest: () =>
      new Promise((resolve) => {
        stands = resolve;
      }),
  });
  thread.worker.receive({ kind: "close", device: 0 });
  await thread.runSettling(25);
  thread.memory.order(0, "safe");
  await thread.runSettling(10);
  t.strictSame([...new Set(thread.done)], ["tick", "failsafe safe"]);
  stands();
  await thread.runSettling(5);
  t.equal(thread.done.at(-1), "close");
  t.equal(thread.sent.at(-1), "closed");
});

t.test("what a device runs into while it closes is no fault, and a stopped thread does not tick", async (t) => {
  const thread = rig();
  let end: () => void = () => undefined;
  let closing = false;
  await thread.open({
    open(context) {
      context.every(10, () => {
        if (closing) throw new Error("port is closed");
        thread.done.push("tick");
      });
    },
    close() {
      closing = true;
      return new Promise((resolve) => {
        end = resolve;
      });
    },
  });
  thread.worker.receive({ kind: "close", device: 0 });
  await thread.runSettling(50);
  end();
  await thread.runSettling(5);
  t.strictSame(thread.sent, ["opened", "closed"]);

  const stopped = rig();
  await stopped.open({ open: (context) => void context.every(10, () => stopped.done.push("tick")) });
  stopped.spend(20);
  stopped.worker.receive({ kind: "stop" });
  const ticks = stopped.done.length;
  // The tick that is due goes first, as always; then nothing.
  await stopped.runSettling(50);
  t.ok(stopped.done.length <= ticks + 2);
  t.equal(stopped.done.at(-1), "close");
});

t.test("a device that does not close says why", async (t) => {
  const thread = rig();
  await thread.open({
    close() {
      throw new AgentError("IO", "port is gone");
    },
  });
  thread.worker.receive({ kind: "close", device: 0 });
  await thread.runSettling(5);
  t.equal(thread.sent.at(-1), "closed port is gone");
});

t.test("a dying thread makes its devices safe first, but does not wait for ever", async (t) => {
  const thread = rig();
  await thread.open({ failsafe: () => Promise.resolve() });
  const dead = thread.worker.die(new Error("nobody caught this"));
  t.equal(thread.worker.die(new Error("nor this")), dead, "it dies once");
  await thread.runSettling(0);
  await dead;
  t.strictSame(thread.done, ["failsafe safe"]);
  t.equal(thread.sent.at(-1), "dying nobody caught this");

  const stuck = rig();
  await stuck.open({ failsafe: () => new Promise(() => undefined) });
  const late = stuck.worker.die(new Error("again"));
  await stuck.runSettling(100);
  await late;
  t.equal(stuck.sent.at(-1), "dying again");
  const sleeps = stuck.sleeps.length;
  await stuck.runSettling(100);
  t.equal(stuck.sleeps.length, sleeps, "its loop has ended");
});

t.test("a stopped thread closes what is open, and the board", async (t) => {
  const thread = rig();
  await thread.open({
    open: (context) => context.publish("state", "open"),
    close() {
      throw new Error("port is gone");
    },
  });
  thread.worker.receive({ kind: "stop" });
  await thread.runSettling(5);
  t.strictSame(thread.done, ["close"]);
  t.equal(thread.sent.at(-1), "stopped");
  t.match(thread.log.lines, [/car did not close: port is gone/]);
});

t.test("drivers are found in the agent's modules and in those that are loaded", async (t) => {
  const own: DeviceModule = { name: "own", contract: MODULE_CONTRACT, drivers: [scriptedDriver({}, [])] };
  const drivers = await loadDrivers([own], [new URL("./motion-module.ts", import.meta.url).href]);
  t.strictSame([...drivers.keys()], ["scripted", "mover"]);
  await t.rejects(loadDrivers([], ["file:///nowhere/module.js"]), { code: "IO", message: /cannot load file:\/\/\/nowhere\/module.js/ });
  const none = new URL("../../agent/clock.ts", import.meta.url).href;
  await t.rejects(loadDrivers([], [none]), { code: "ARGUMENT", message: `${none} exports no \`module\` for contract 1` });
});
