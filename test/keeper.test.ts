import t from "tap";

import { AgentError } from "../agent/contract/errors.ts";
import { settled } from "./helpers/fake-clock.ts";
import { beatFor, createScene, startScene } from "./keeper/scripted-host.ts";

t.test("it starts when the device host is ready, and stops with it in its exit state", async (t) => {
  const scene = createScene();
  t.equal(scene.keeper.state(), "stopped");
  let ready = false;
  const started = scene.keeper.start().then(() => (ready = true));
  await scene.clock.advance(500);
  t.notOk(ready);
  t.match(scene.keeper.why(), /is starting/);
  await scene.host().ready();
  await started;
  t.equal(scene.keeper.state(), "running");
  t.equal(scene.keeper.why(), "");
  const stopped = scene.keeper.stop();
  t.strictSame(scene.host().signals, ["SIGTERM"]);
  await scene.host().exit(0);
  await stopped;
  t.strictSame(scene.trace, ["spawn"], "nothing had to be made safe");
  t.strictSame(scene.states, ["starting", "running", "stopping", "stopped"]);
  t.equal(scene.clock.pending(), 0);
  await scene.keeper.stop();
});

for (const [how, code, signal, text] of [
  ["an exit code", 70, undefined, "exit code 70"],
  ["a signal", null, "SIGSEGV", "signal SIGSEGV"],
  ["exit code 0 that nobody asked for", 0, undefined, "exit code 0"],
] as const) {
  t.test(`after ${how} everything is made safe first, then it is started again`, async (t) => {
    const scene = await startScene();
    await beatFor(scene, 100);
    await scene.host().exit(code, signal);
    t.strictSame(scene.trace, ["spawn", `safe: ${text}`]);
    t.equal(scene.keeper.state(), "waiting");
    t.match(scene.keeper.why(), `the device host ended (${text}); it is started again in 100 ms`);
    await scene.clock.advance(99);
    t.equal(scene.hosts.length, 1);
    await scene.clock.advance(1);
    t.strictSame(scene.trace.slice(2), ["spawn"], "the ports are held until it wants them");
    t.equal(scene.keeper.afterDeath(), true);
    t.strictSame(await scene.keeper.handOver(), { "pump.duty": 0 });
    t.strictSame(scene.trace.slice(3), ["hand over"]);
    await scene.host().ready();
    t.strictSame(scene.trace.slice(4), ["release"]);
    t.strictSame(await scene.keeper.handOver(), {});
    t.equal(scene.keeper.state(), "running");
    t.match(scene.keeper.figures(), { state: "running", pid: 101, starts: 2, ends: 1, recentEnds: 1, lastEnd: text, lastSafeMs: 2 });
    const stopped = scene.keeper.stop();
    await scene.host().exit(0);
    await stopped;
    t.equal(scene.clock.pending(), 0);
  });
}

t.test("what several can drive at a time is let go of one by one, as the device host has opened it, and not before", async (t) => {
  const scene = await startScene();
  scene.keeper.doing("device pump");
  scene.keeper.doing(undefined);
  t.strictSame(await scene.keeper.handOver(), {}, "nothing was held at the first start");
  t.equal(scene.keeper.afterDeath(), false);
  await scene.host().exit(70);
  await scene.clock.advance(100);
  scene.keeper.doing("module ./fan.js");
  scene.keeper.doing(undefined);
  await scene.keeper.handOver();
  scene.keeper.doing("device car");
  t.equal(scene.trace.at(-1), "hand over");
  scene.keeper.doing(undefined);
  t.equal(scene.trace.at(-1), "let go of car");
  scene.keeper.doing("device pump");
  await scene.host().exit(70);
  t.strictSame(
    scene.trace.slice(-2),
    ["release", "safe: exit code 70, while device pump"],
    "one that dies again finds all of it made safe anew",
  );
});

t.test("a device host that took its devices to their exit states leaves nothing to be made up for", async (t) => {
  const scene = await startScene();
  void scene.keeper.restart();
  await scene.host().exit(0);
  t.equal(scene.keeper.afterDeath(), false);
});

t.test("the journal tells the end, and each device because of it", async (t) => {
  const devices = [
    { id: "pump", outcome: "safe", tookMs: 3.4, reason: undefined },
    { id: "lamp", outcome: "left", tookMs: 1, reason: "onLoss: hold" },
    { id: "horn", outcome: "failed", tookMs: 5, reason: "IN_USE line GPIO4 is in use by fan" },
  ] as const;
  const scene = await startScene({ devices });
  await scene.host().exit(70);
  const [opened, fault, pump, horn, ...rest] = scene.journal.latest(10);
  t.strictSame(rest, []);
  t.match(opened, { kind: "open", subject: "host", caller: "keeper", detail: "pid 100, start 1" });
  t.match(fault, { kind: "fault", subject: "host", caller: "keeper", detail: "exit code 70" });
  t.match(pump, { kind: "safe", subject: "pump", detail: "pump is safe after 3 ms", cause: fault?.id });
  t.match(horn, { kind: "fault", subject: "horn", detail: "horn is NOT safe: IN_USE line GPIO4 is in use by fan", cause: fault?.id });
  t.ok(scene.log.lines.includes("error horn is NOT safe: IN_USE line GPIO4 is in use by fan"));
  t.ok(scene.log.lines.includes("warn NOT every device is safe"));
});

t.test("without a sign of life for three periods it is killed and everything made safe", async (t) => {
  const scene = await startScene();
  await beatFor(scene, 1000);
  t.strictSame(scene.host().signals, []);
  await scene.clock.advance(99);
  t.strictSame(scene.host().signals, [], "the last one was 50 ms ago then");
  await scene.clock.advance(1);
  t.strictSame(scene.host().signals, ["SIGKILL"]);
  t.strictSame(scene.trace, ["spawn", "safe: killed: no sign of life for 3 periods of 50 ms"]);
});

t.test("before it is ready beats are not expected, but opening has a limit", async (t) => {
  const scene = createScene({ options: { openMs: 2000 } });
  const started = scene.keeper.start();
  await scene.clock.advance(1999);
  t.strictSame(scene.host().signals, []);
  await scene.clock.advance(1);
  t.strictSame(scene.host().signals, ["SIGKILL"]);
  t.match(scene.trace[1], "safe: killed: it was not ready after 2000 ms");
  await scene.clock.advance(100);
  await scene.host().ready();
  await started;
  await beatFor(scene, 3000);
  t.strictSame(scene.host().signals, [], "the limit ended with being ready");
});

t.test("what it was loading when it ended is left out next time, and named", async (t) => {
  const scene = createScene();
  void scene.keeper.start();
  await settled();
  scene.keeper.doing("loading module ./fan.js");
  await scene.host().exit(null, "SIGSEGV");
  t.match(scene.trace[1], "safe: signal SIGSEGV, while loading module ./fan.js");
  t.strictSame(scene.keeper.quarantine(), ["loading module ./fan.js"]);
  await scene.clock.advance(100);
  scene.keeper.doing("opening device pump");
  scene.keeper.doing(undefined);
  await scene.host().exit(70);
  t.strictSame(scene.keeper.quarantine(), ["loading module ./fan.js"], "opening the pump had ended");
  t.equal(scene.keeper.figures()["quarantine"], "loading module ./fan.js");
});

t.test("three ends within a minute and it stays down, safe, until somebody wants it started", async (t) => {
  const scene = createScene();
  const started = scene.keeper.start();
  await settled();
  scene.keeper.doing("opening device pump");
  for (const waitMs of [100, 200]) {
    await scene.host().exit(70);
    await scene.clock.advance(waitMs);
  }
  await scene.host().exit(70);
  await started;
  t.equal(scene.keeper.state(), "safe-mode");
  t.equal(
    scene.keeper.why(),
    "the device host ended 3 times within 60000 ms, last: exit code 70; it stays down with every device safe until RESET HOST or a restart of the agent",
  );
  await scene.clock.advance(3_600_000);
  t.equal(scene.hosts.length, 3);
  t.equal(scene.trace.at(-1), "safe: exit code 70", "and the ports are held");
  const restarted = scene.keeper.restart();
  await settled();
  t.strictSame(scene.trace.slice(-2), ["safe: exit code 70", "spawn"]);
  t.strictSame(scene.keeper.quarantine(), []);
  await scene.host().ready();
  await restarted;
  t.equal(scene.trace.at(-1), "release");
  t.equal(scene.keeper.state(), "running");
  await scene.host().exit(70);
  t.equal(scene.keeper.state(), "waiting", "what was before does not count any more");
});

t.test("a restart in place of a running one waits for its exit states, and is no crash", async (t) => {
  const scene = await startScene();
  const restarted = scene.keeper.restart();
  await settled();
  t.strictSame(scene.host().signals, ["SIGTERM"]);
  await scene.host().exit(0);
  await scene.host().ready();
  await restarted;
  t.strictSame(scene.trace, ["spawn", "spawn"]);
  t.equal(scene.keeper.figures()["ends"], 0);
});

t.test("a restart that leads to safe mode again says why", async (t) => {
  const scene = await startScene({ options: { crashes: 1 } });
  const refused = t.rejects(scene.keeper.restart(), { code: "NOT_READY", message: /ended 1 times within 60000 ms, last: exit code 9/ });
  await settled();
  await scene.host().exit(0);
  await scene.host().exit(9);
  await refused;
});

t.test("a restart while it waits, or while it makes safe, does not wait", async (t) => {
  const scene = await startScene();
  await scene.host().exit(70);
  t.equal(scene.keeper.state(), "waiting");
  const restarted = scene.keeper.restart();
  await settled();
  t.equal(scene.hosts.length, 2);
  await scene.host().ready();
  await restarted;
  const exited = scene.host().exit(70);
  const again = scene.keeper.restart();
  await exited;
  t.equal(scene.hosts.length, 3);
  await scene.host().ready();
  await again;
});

t.test("a restart that fails goes through the waits like any start", async (t) => {
  const scene = await startScene();
  const restarted = scene.keeper.restart();
  await settled();
  await scene.host().exit(0);
  await scene.host().exit(70);
  t.equal(scene.keeper.state(), "waiting");
  await scene.clock.advance(100);
  await scene.host().ready();
  await restarted;
});

t.test("what is stopped or was never started cannot be restarted", async (t) => {
  const scene = createScene();
  await t.rejects(scene.keeper.restart(), { code: "NOT_READY", message: /is not started; it cannot be started again/ });
  void scene.keeper.start();
  await settled();
  await scene.host().ready();
  const stopped = scene.keeper.stop();
  await t.rejects(scene.keeper.restart(), { code: "NOT_READY" });
  await scene.host().exit(0);
  await stopped;
});

t.test("one that does not end when asked to is killed, and everything made safe", async (t) => {
  const scene = await startScene({ options: { stopMs: 500 } });
  const stopped = scene.keeper.stop();
  await scene.clock.advance(499);
  t.strictSame(scene.host().signals, ["SIGTERM"]);
  await scene.clock.advance(1);
  await stopped;
  t.strictSame(scene.host().signals, ["SIGTERM", "SIGKILL"]);
  t.strictSame(scene.trace, ["spawn", "safe: killed: it did not end within 500 ms", "release"]);
  t.equal(scene.keeper.state(), "stopped");
  t.equal(scene.clock.pending(), 0);
});

t.test("one that fails while it stops leaves nothing unsafe", async (t) => {
  const scene = await startScene();
  const stopped = scene.keeper.stop();
  await scene.host().exit(70);
  await stopped;
  t.strictSame(scene.trace, ["spawn", "safe: exit code 70", "release"]);
});

t.test("while it stops no beats are expected", async (t) => {
  const scene = await startScene();
  void scene.keeper.stop();
  await scene.clock.advance(5000);
  t.strictSame(scene.host().signals, ["SIGTERM"]);
  await scene.host().exit(0);
});

t.test("stopped while it waits or is in safe mode, it ends at once and gives the ports back", async (t) => {
  for (const crashes of [1, 3]) {
    const scene = await startScene({ options: { crashes } });
    await scene.host().exit(70);
    t.equal(scene.keeper.state(), crashes === 1 ? "safe-mode" : "waiting");
    await scene.keeper.stop();
    t.strictSame(scene.trace, ["spawn", "safe: exit code 70", "release"]);
    t.equal(scene.clock.pending(), 0);
  }
});

t.test("stopped before it was ready, start rejects", async (t) => {
  const scene = createScene();
  const refused = t.rejects(scene.keeper.start(), { code: "NOT_READY", message: "the device host was stopped before it was ready" });
  await settled();
  const stopped = scene.keeper.stop();
  await scene.host().ready();
  await scene.host().exit(0);
  await refused;
  await stopped;
});

t.test("stopped and started in one turn, the process that was not there yet is asked to end", async (t) => {
  const scene = createScene();
  const refused = t.rejects(scene.keeper.start(), { code: "NOT_READY" });
  const stopped = scene.keeper.stop();
  await settled();
  t.strictSame(scene.host().signals, ["SIGTERM"]);
  await scene.host().exit(0);
  await stopped;
  await refused;
});

t.test("a device host that says why it cannot start is not tried again the first time", async (t) => {
  const scene = createScene();
  const refused = t.rejects(scene.keeper.start(), { code: "DENIED", message: "/dev/gpiochip0 may not be opened" });
  await settled();
  await scene.host().refuse(new AgentError("DENIED", "/dev/gpiochip0 may not be opened"));
  await scene.host().exit(1);
  await refused;
  await scene.clock.advance(10_000);
  t.strictSame(scene.trace, ["spawn"]);
  t.equal(scene.keeper.state(), "stopped");
  t.equal(scene.clock.pending(), 0);
});

t.test("later it is tried again: what was there may come back", async (t) => {
  const scene = await startScene();
  await scene.host().exit(70);
  await scene.clock.advance(100);
  await scene.host().refuse(new AgentError("NOT_READY", "there is no GPIO character device"));
  await scene.host().exit(1);
  t.equal(scene.keeper.state(), "waiting");
});

t.test("one that lets go of its connection and does not end is killed", async (t) => {
  const scene = createScene();
  void scene.keeper.start();
  await settled();
  await scene.host().refuse(new AgentError("IO", "the device host closed its connection"));
  t.strictSame(scene.host().signals, [], "it may be about to say how with its exit code");
  await scene.clock.advance(100);
  t.strictSame(scene.host().signals, ["SIGKILL"]);
  t.match(scene.trace[1], "safe: killed: the device host closed its connection");
});

t.test("a process that cannot be started counts as one that ended", async (t) => {
  let room = false;
  const scene = createScene({
    spawn() {
      throw new AgentError("IO", `no process${room ? " at all" : ""}`);
    },
  });
  const started = scene.keeper.start();
  await settled();
  t.match(scene.keeper.why(), /no process/);
  room = true;
  await scene.clock.advance(10_000);
  await started;
  t.equal(scene.keeper.state(), "safe-mode");
  t.match(scene.keeper.why(), /last: no process at all/);
});

t.test("a process the kernel keeps is waited for, and made safe before and after", async (t) => {
  const scene = await startScene({ immortal: true });
  await scene.clock.advance(150);
  t.strictSame(scene.host().signals, ["SIGKILL"]);
  await scene.clock.advance(999);
  t.strictSame(scene.trace, ["spawn"]);
  await scene.clock.advance(1);
  t.strictSame(scene.trace, ["spawn", "safe: killed: no sign of life for 3 periods of 50 ms"]);
  await scene.clock.advance(60_000);
  t.equal(scene.keeper.state(), "making-safe");
  await scene.host().exit(null, "SIGKILL");
  t.strictSame(scene.trace.slice(2), ["release", "safe: what held the device host's process has let go"]);
  await scene.clock.advance(100);
  t.equal(scene.hosts.length, 2);
});

t.test("the agent can be stopped while the kernel keeps the process", async (t) => {
  const scene = await startScene({ immortal: true });
  await scene.clock.advance(1200);
  t.equal(scene.keeper.state(), "making-safe");
  await scene.keeper.stop();
  t.equal(scene.clock.pending(), 0);
  const other = await startScene({ immortal: true, options: { stopMs: 100 } });
  const stopped = other.keeper.stop();
  await other.clock.advance(1100);
  await stopped;
  t.equal(other.clock.pending(), 0);
});

t.test("when making safe fails altogether, it is said and the device host is started all the same", async (t) => {
  const scene = await startScene({ makeSafe: () => Promise.reject(new Error("out of memory")) });
  await scene.host().exit(70);
  t.ok(scene.log.lines.includes("error nothing could be made safe: out of memory"));
  await scene.clock.advance(100);
  t.equal(scene.hosts.length, 2);
});

t.test("the watchdog hears of a loop that advances, and of nothing while one stands still", async (t) => {
  const scene = await startScene();
  const before = scene.alive();
  await beatFor(scene, 500);
  t.equal(scene.alive() - before, 10);
  await beatFor(scene, 500, () => 10);
  t.equal(scene.alive() - before, 10, "it beats, but the loop does not advance");
  t.equal(scene.keeper.state(), "running");
});

t.test("the watchdog is kept quiet while no device host is expected to run", async (t) => {
  const scene = await startScene({ options: { crashes: 1 } });
  await scene.host().exit(70);
  t.equal(scene.keeper.state(), "safe-mode");
  const before = scene.alive();
  await scene.clock.advance(1000);
  t.equal(scene.alive() - before, 20);
});

t.test("what comes late, from a process that has ended, changes nothing", async (t) => {
  const scene = createScene();
  void scene.keeper.start();
  await settled();
  const [first] = scene.hosts;
  await first?.exit(70);
  await first?.ready();
  t.equal(scene.keeper.state(), "waiting");
  scene.keeper.beat(5);
  scene.keeper.doing("opening device pump");
  await scene.clock.advance(100);
  const second = scene.host();
  await second.exit(70);
  await second.refuse(new Error("the stream ended"));
  t.strictSame(second.signals, []);
  t.strictSame(scene.keeper.quarantine(), []);
});
