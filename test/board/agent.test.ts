// The agent as it is installed, on the board's own kernel drivers: what a person types moves a line, and every end leaves it as it was promised.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import t from "tap";

import { EXIT_STATE_CALLS, EXIT_STATE_DEVICES } from "../e2e/exit-states.ts";
import { tracePins } from "./pin-trace.ts";
import { drive, holder, level, levelBecomes, renumber, until } from "./world.ts";

type Test = typeof t;

const CHECKOUT = join(import.meta.dirname, "..", "..");
const AGENT = ["dist/agent/main.js", "agent"];
/** The same command with one driver more, which throws where nobody catches. */
const EXPLODING_AGENT = ["--import", "tsx", "test/e2e/traced-agent.ts"];

const LAMP = "devices: { lamp: { driver: light, line: GPIO17, beam: { low: 30, high: 100 } } }\n";

/** The virtual board is slow, and whoever tests has other things to do: what is late here is no sign of death. */
const PATIENT = "keeper: { heartbeatMs: 250, missedBeats: 20 }\n";

interface BoardAgent {
  /** Sends a signal if one is given, and resolves with the exit code. */
  end(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts the agent with a configuration of its own on the ports people know: they are this board's alone. */
async function startAgent(t: Pick<Test, "teardown">, yaml: string, command = AGENT): Promise<BoardAgent> {
  const folder = mkdtempSync(join(tmpdir(), "agent-"));
  const [config, state] = [join(folder, "virgo.yaml"), join(folder, "state")];
  writeFileSync(config, `${PATIENT}${yaml}`);
  writeFileSync(join(folder, "sysfs.yaml"), "name: the old interface\ngpio: sysfs\n");
  const options = command === AGENT ? ["--config", config, "--state", state] : [config, state];
  const agent = spawn(process.execPath, [...command, ...options], { cwd: CHECKOUT, stdio: ["ignore", "ignore", "inherit"] });
  const ended = new Promise<number | null>((resolve) => {
    agent.once("exit", resolve);
  });
  t.teardown(async () => {
    // In order: the device host of an agent that is killed keeps its lines for a moment, and the next agent would find them taken.
    agent.kill("SIGTERM");
    await ended;
  });
  await until("the agent listens", () => existsSync(join(state, "listen.json")), 30_000);
  return {
    end(signal) {
      if (signal !== undefined) agent.kill(signal);
      return ended;
    },
  };
}

function shell(command: string): string {
  return execFileSync("sh", ["-c", command], { encoding: "latin1" });
}

const ACKNOWLEDGEMENT =
  "virgo_cloudexec_sendto(): cloudclonethread executed for clone_func(), sending message to virgo_clone() remote syscall client\n";

/** What the first line of the README does. */
async function typesLampOn(t: Pick<Test, "equal">): Promise<void> {
  t.equal(shell("printf 'lamp.on\\r\\n' | nc -N 127.0.0.1 10000"), ACKNOWLEDGEMENT.padEnd(500, "\0"));
  t.equal(level("GPIO17"), true);
  await levelBecomes("GPIO17", false);
}

t.test("one line typed into nc moves the kernel's line, and the lease takes it back", async (t) => {
  t.equal(level("GPIO17"), false);
  await startAgent(t, LAMP);
  t.match(holder("GPIO17"), /lamp/);
  await typesLampOn(t);
});

t.test("the same through the old sysfs interface", async (t) => {
  await startAgent(t, `board: sysfs.yaml\n${LAMP}`);
  t.match(shell("redis-cli -p 6390 INFO board"), /kind:linux-sysfs/);
  await typesLampOn(t);
});

for (const [backend, board] of [
  ["the character device", ""],
  ["sysfs", "board: sysfs.yaml\n"],
] as const) {
  t.test(`the same through ${backend} after the chips were renumbered`, async (t) => {
    t.teardown(renumber({ label: "newcomer", lines: 24 }));
    await startAgent(t, board + LAMP);
    await typesLampOn(t);
  });
}

t.test("redis-cli drives a line for the length of a lease, and a lower priority is told who holds it", async (t) => {
  await startAgent(t, LAMP);
  t.equal(shell("redis-cli -p 6390 CLONE LEASE 300 lamp.on"), "100\n");
  await levelBecomes("GPIO17", false);
  t.match(
    shell("redis-cli -p 6390 CLONE LEASE 30000 lamp.on; redis-cli -p 6390 CLONE PRIORITY 50 lamp.off"),
    /^100\nIN_USE lamp is held by 127\.0\.0\.1 with priority 100 for another \d+ ms/,
  );
  t.equal(level("GPIO17"), true);
});

t.test("a streamed variable moves the line, and a cut stream gives it back", async (t) => {
  await startAgent(
    t,
    `devices: { lamp: { driver: light, line: GPIO17, leaseMs: 1000 } }
analytics: { sources: [{ tcp: "127.0.0.1:64000" }], variables: { temp_c: { unit: C, staleMs: 1000 } } }
rules: { warn: { when: temp_c > 80, call: lamp.on() } }`,
  );
  const source = spawn("sh", ["-c", "while sleep 0.2; do echo temp_c=81.5; done | nc -l 64000"], { stdio: "ignore", detached: true });
  await levelBecomes("GPIO17", true, 20_000);
  process.kill(-source.pid!, "SIGKILL");
  await levelBecomes("GPIO17", false);
});

t.test("a press of a real button becomes a variable with its count", async (t) => {
  drive("GPIO4", true);
  await startAgent(t, "devices: { door: { driver: button, line: GPIO4 } }\n");
  drive("GPIO4", false);
  await until("the press is known", () => shell("redis-cli -p 6390 VAR.GET door.pressed").includes("1"));
  drive("GPIO4", true);
  await until("the release is known", () => shell("redis-cli -p 6390 VAR.GET door.pressed").includes("0"));
  t.equal(shell("redis-cli -p 6390 VAR.GET door.presses"), "1\n");
});

/** All that ever happens to each line: an output at its safe level from the first moment, driven, taken to its exit state. */
const LIVES = {
  GPIO17: "output:low high low",
  GPIO18: "output:high low high",
  GPIO22: "output:high low high",
  GPIO23: "output:low high",
  GPIO24: "output:low high high",
  GPIO25: "output:low low",
};

/** A level written again is no edge. */
function withoutRepeats(life: string): string {
  return life.replaceAll(/(high|low)( \1)+/g, "$1");
}

for (const [backend, board] of [
  ["the character device", ""],
  ["sysfs", "board: sysfs.yaml\n"],
] as const) {
  for (const [how, signal, code] of [
    ["SIGTERM", "SIGTERM", 0],
    ["an exception that a driver throws where nobody catches it", undefined, 70],
  ] as const) {
    t.test(`${backend}, ${how}: the kernel saw no edge but those ordered, and every exit state was reached`, async (t) => {
      const trace = tracePins();
      const tracer = signal === undefined ? "  tracer: { driver: tracer, lines: [], file: /dev/null }\n" : "";
      const isolation = signal === undefined ? "isolation: none\n" : "";
      const agent = await startAgent(t, isolation + board + EXIT_STATE_DEVICES + tracer, signal === undefined ? EXPLODING_AGENT : AGENT);
      for (const call of EXIT_STATE_CALLS) shell(`redis-cli -p 6390 CLONE LEASE 60000 ${call}`);
      if (signal === undefined) shell("redis-cli -p 6390 CLONE tracer.explode");
      t.equal(await agent.end(signal), code);
      for (const [line, life] of Object.entries(LIVES)) t.equal(withoutRepeats(trace.life(line)), withoutRepeats(life), line);
    });
  }
}
