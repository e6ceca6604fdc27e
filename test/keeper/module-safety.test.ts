import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";

import t from "tap";

import { createModuleSafety } from "../../agent/keeper/module-safety.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { eventually } from "../helpers/eventually.ts";

/** Processes that run `code`. */
function scene(code: string) {
  const [clock, log] = [createFakeClock(), createFakeLog()];
  const children: ChildProcess[] = [];
  const safety = createModuleSafety({
    start() {
      const child = spawn(process.execPath, ["-e", code], { stdio: ["ignore", "pipe", "inherit"] });
      children.push(child);
      return child;
    },
    clock,
    log,
  });
  return { clock, log, children, safety };
}

const HANGS = "console.log('fan is safe after 3 ms'); setInterval(() => undefined, 1000)";

t.test("what became of each device is in the log, and so is a bad end", async (t) => {
  const { children, clock, log, safety } = scene(
    "console.log('fan is safe after 3 ms'); console.log('horn is NOT safe: IO no'); process.exitCode = 1",
  );
  safety.begin();
  await eventually(() => log.lines.length === 3);
  t.strictSame(log.lines.toSorted(), [
    "error NOT every device of a module is safe: exit code 1",
    "error horn is NOT safe: IO no",
    "warn fan is safe after 3 ms",
  ]);
  await safety.end();
  await safety.end();
  t.equal(children.length, 1);
  t.equal(clock.pending(), 0);
});

t.test("one that still runs is ended before others open the ports, and before it is begun anew", async (t) => {
  const { children, clock, log, safety } = scene(HANGS);
  safety.begin();
  await eventually(() => log.lines.includes("warn fan is safe after 3 ms"));
  safety.begin();
  const [first, second] = children;
  if (first === undefined || second === undefined) throw new Error("two were started");
  if (first.signalCode === null) await once(first, "exit");
  t.equal(first.signalCode, "SIGKILL");
  await safety.end();
  t.equal(second.signalCode, "SIGKILL");
  t.equal(clock.pending(), 0);
});

t.test("one that hangs is given up", async (t) => {
  const { children, clock, log, safety } = scene(HANGS);
  safety.begin();
  await clock.advance(30_000);
  await eventually(() => children[0]?.signalCode === "SIGKILL");
  t.equal(log.lines[0], "error making the devices of modules safe takes too long: it is given up");
  await safety.end();
});

t.test("one that cannot be started is said, and nothing waits for it", async (t) => {
  const [clock, log] = [createFakeClock(), createFakeLog()];
  const missing = createModuleSafety({ start: () => spawn("/nowhere/node"), clock, log });
  missing.begin();
  await missing.end();
  t.match(log.lines[0], /^error the devices of modules cannot be made safe: spawn \/nowhere\/node ENOENT/);
  const failing = createModuleSafety({
    start() {
      throw new Error("no more processes");
    },
    clock,
    log,
  });
  failing.begin();
  await failing.end();
  t.equal(log.lines.at(-1), "error the devices of modules cannot be made safe: no more processes");
});
