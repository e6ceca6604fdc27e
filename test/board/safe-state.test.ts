// `virgo safe-state` as systemd runs it when nothing of the agent is left, and while something still is.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import t, { type Test } from "tap";

import { tracePins } from "./pin-trace.ts";
import { addPwmChip, level, levelBecomes, loadI2cBus, until } from "./world.ts";

const MAIN = join(import.meta.dirname, "..", "..", "dist", "agent", "main.js");

loadI2cBus([0x40]);
const pwm = addPwmChip(0x40);

const DEVICES = `devices:
  fan: { driver: light, pwm: { chip: ${pwm.chip}, channel: 3 }, safe: 25 }
  lamp: { driver: light, line: GPIO17 }
  valve: { driver: relay, line: GPIO22, safe: on }
  contactor: { driver: relay, line: GPIO23, onLoss: hold }
`;

interface RunningAgent {
  readonly folder: string;
  /** Sends a signal to everything the agent consists of. */
  readonly signal: (signal: NodeJS.Signals) => void;
}

async function startAgent(t: Test): Promise<RunningAgent> {
  const folder = mkdtempSync(join(tmpdir(), "agent-"));
  writeFileSync(join(folder, "virgo.yaml"), DEVICES);
  const agent = spawn(process.execPath, [MAIN, "agent"], { cwd: folder, stdio: ["ignore", "ignore", "inherit"], detached: true });
  const pid = agent.pid ?? 0;
  const ended = new Promise((resolve) => agent.once("exit", resolve));
  t.teardown(async () => {
    if (agent.exitCode === null && agent.signalCode === null) process.kill(-pid, "SIGKILL");
    await ended;
  });
  await until("the agent listens", () => existsSync(join(folder, "state", "listen.json")), 30_000);
  return { folder, signal: (signal) => process.kill(-pid, signal) };
}

function drive(): void {
  for (const call of ["fan.brightness 80", "lamp.on", "valve.off", "contactor.on"]) {
    execFileSync("redis-cli", ["-p", "6390", "CLONE", "LEASE", "60000", ...call.split(" ")]);
  }
}

function safeState(folder: string): { readonly code: number | null; readonly out: string; readonly tookMs: number } {
  const startedMs = performance.now();
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, "safe-state"], { cwd: folder, encoding: "utf8" });
  return { code: status, out: stdout.replaceAll(/\d+ ms/g, "N ms") + stderr, tookMs: performance.now() - startedMs };
}

t.test("after everything was killed it leaves each port in its safe state", async (t) => {
  const agent = await startAgent(t);
  drive();
  t.equal(pwm.onTicks(3), Math.round(0.8 * 4096));
  t.equal(level("GPIO17"), true);
  agent.signal("SIGKILL");
  await levelBecomes("GPIO17", false);
  t.equal(pwm.onTicks(3), Math.round(0.8 * 4096), "a PWM chip goes on without anybody");
  const trace = tracePins();
  const { code, out, tookMs } = safeState(agent.folder);
  t.comment(`it took ${Math.round(tookMs)} ms`);
  t.equal(out, "fan is safe after N ms\nlamp is safe after N ms\nvalve is safe after N ms\ncontactor is left as it is: onLoss: hold\n");
  t.equal(code, 0);
  t.equal(pwm.onTicks(3), 1024, "and it stays so after the command");
  t.match(trace.life("GPIO17"), /^output:low( low)*$/, "no edge");
  t.match(trace.life("GPIO22"), /^output:high( high)*$/);
  t.equal(trace.life("GPIO23"), "", "what holds is not touched");
});

t.test("an agent that hangs still holds its ports: they are said, and the exit code is 1", async (t) => {
  const agent = await startAgent(t);
  drive();
  agent.signal("SIGSTOP");
  const { code, out } = safeState(agent.folder);
  t.equal(code, 1);
  t.match(out, /^lamp is NOT safe: IN_USE .*GPIO17 is in use by virgo lamp/m);
  t.match(out, /^fan is NOT safe: IN_USE pwm .*:3 is in use by .+/m);
  agent.signal("SIGKILL");
  await levelBecomes("GPIO17", false);
  t.equal(safeState(agent.folder).code, 0, "and once it is gone they are safe");
});

t.test("an agent that starts afterwards takes over what was left", async (t) => {
  const agent = await startAgent(t);
  drive();
  t.equal(pwm.onTicks(3), Math.round(0.8 * 4096));
  agent.signal("SIGTERM");
  await until("it is off", () => pwm.onTicks(3) === 0);
});
