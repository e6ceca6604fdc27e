import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { createKicker, createNotifier, watchdogMs, type Notifier } from "../../agent/keeper/notifier.ts";
import { createFakeClock, type FakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog, type FakeLog } from "../helpers/fake-log.ts";

interface Scene {
  readonly notifier: Notifier;
  readonly clock: FakeClock;
  readonly log: FakeLog;
  readonly sent: string[];
  /** What the next sends do: `full` or an error; in order, then everything is taken. */
  readonly faults: ("full" | Error)[];
  opened: string | undefined;
  closed: boolean;
}

async function createScene(env: Readonly<Record<string, string>> = { NOTIFY_SOCKET: "/run/notify" }): Promise<Scene> {
  const clock = createFakeClock();
  const log = createFakeLog();
  const state = { sent: [] as string[], faults: [] as ("full" | Error)[], opened: undefined as string | undefined, closed: false };
  const notifier = await createNotifier({
    env,
    pid: 42,
    clock,
    log,
    open(address) {
      state.opened = address;
      return Promise.resolve({
        send(text) {
          const fault = state.faults.shift();
          if (fault instanceof Error) throw fault;
          if (fault === undefined) state.sent.push(text);
          return fault === undefined;
        },
        close() {
          state.closed = true;
        },
      });
    },
  });
  return Object.assign(state, { notifier, clock, log });
}

t.test("it says what the service manager wants to hear", async (t) => {
  const { notifier, sent, ...scene } = await createScene();
  t.equal(scene.opened, "/run/notify");
  notifier.extend(1500.5);
  notifier.status("3 devices\nopened");
  notifier.ready();
  notifier.stopping();
  t.strictSame(sent, ["EXTEND_TIMEOUT_USEC=1500500", "STATUS=3 devices opened", "READY=1", "STOPPING=1"]);
  notifier.close();
});

t.test("without a service manager nothing is opened and nothing happens", async (t) => {
  for (const env of [{}, { NOTIFY_SOCKET: "" }]) {
    const { notifier, clock, ...scene } = await createScene(env);
    notifier.ready();
    notifier.status("x");
    notifier.stopping();
    notifier.extend(1);
    notifier.advance();
    notifier.close();
    t.equal(scene.opened, undefined);
    t.equal(clock.pending(), 0);
  }
});

t.test("the watchdog is kicked at half its time, only when the loop advanced since", async (t) => {
  const scene = await createScene({ NOTIFY_SOCKET: "@x", WATCHDOG_USEC: "2000000", WATCHDOG_PID: "42" });
  scene.notifier.advance();
  await scene.clock.advance(5000);
  t.strictSame(scene.sent, [], "not before it is ready");
  scene.notifier.ready();
  scene.notifier.advance();
  await scene.clock.advance(999);
  t.strictSame(scene.sent, ["READY=1"]);
  await scene.clock.advance(1);
  t.strictSame(scene.sent, ["READY=1", "WATCHDOG=1"]);
  await scene.clock.advance(10_000);
  t.strictSame(scene.sent.length, 2, "the loop stands still");
  scene.notifier.advance();
  scene.notifier.advance();
  await scene.clock.advance(3000);
  t.strictSame(scene.sent.length, 3, "however often it advanced meanwhile");
  scene.notifier.close();
  t.equal(scene.closed, true);
  t.equal(scene.clock.pending(), 0);
});

t.test("a watchdog is this process's own, or nobody's", async (t) => {
  t.equal(watchdogMs({ WATCHDOG_USEC: "2000000" }, 42), 2000);
  t.equal(watchdogMs({ WATCHDOG_USEC: "2000000", WATCHDOG_PID: "42" }, 42), 2000);
  t.equal(watchdogMs({ WATCHDOG_USEC: "2000000", WATCHDOG_PID: "41" }, 42), undefined);
  for (const usec of ["0", "-1", "soon", ""]) t.equal(watchdogMs({ WATCHDOG_USEC: usec }, 42), undefined);
  t.equal(watchdogMs({}, 42), undefined);
  const scene = await createScene({ NOTIFY_SOCKET: "@x" });
  scene.notifier.ready();
  scene.notifier.advance();
  t.equal(scene.clock.pending(), 0);
});

t.test("what the manager's queue has no room for is said later, in order, the newest of each kind", async (t) => {
  const { notifier, sent, clock, faults } = await createScene();
  faults.push("full", "full");
  notifier.ready();
  notifier.status("one");
  notifier.status("two");
  t.strictSame(sent, []);
  await clock.advance(50);
  t.strictSame(sent, []);
  await clock.advance(50);
  t.strictSame(sent, ["READY=1", "STATUS=two"]);
  t.equal(clock.pending(), 0);
});

t.test("closed while something waits, nothing is left", async (t) => {
  const { notifier, clock, faults } = await createScene();
  faults.push("full");
  notifier.ready();
  notifier.close();
  t.equal(clock.pending(), 0);
});

t.test("a manager that does not hear is said once", async (t) => {
  const { notifier, log, faults, sent } = await createScene();
  faults.push(new AgentError("IO", "gone"), new AgentError("IO", "gone"));
  notifier.ready();
  notifier.status("x");
  notifier.stopping();
  t.strictSame(log.lines, ["error the service manager does not hear this process"]);
  t.strictSame(sent, ["STOPPING=1"]);
});

t.test("a manager that cannot be reached does not keep the agent from starting", async (t) => {
  const log = createFakeLog();
  const clock = createFakeClock();
  const open = () => Promise.reject(new AgentError("NOT_READY", "package koffi does not load"));
  const notifier = await createNotifier({ env: { NOTIFY_SOCKET: "/run/notify" }, pid: 1, open, clock, log });
  notifier.ready();
  t.match(log.lines, [/^error the service manager cannot be reached/]);
});

t.test("a kicker that is closed kicks no more", async (t) => {
  const clock = createFakeClock();
  let kicks = 0;
  const kicker = createKicker(clock, 10, () => (kicks += 1));
  kicker.advance();
  await clock.advance(10);
  kicker.advance();
  kicker.close();
  await clock.advance(100);
  t.equal(kicks, 1);
});
