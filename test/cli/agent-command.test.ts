import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import t, { type Test } from "tap";

import { virgo } from "../helpers/fake-io.ts";
import { FREE_PORTS } from "../helpers/free-ports.ts";
import { eventually } from "../helpers/start-agent.ts";
import { plainNode } from "../helpers/tools.ts";

const MAIN = join(import.meta.dirname, "..", "..", "agent", "main.ts");

interface Started {
  readonly pid: number;
  readonly out: () => string;
  readonly error: () => string;
  readonly ended: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
}

/** The program in a process of its own. */
function start(t: Test, args: readonly string[], cwd: string): Started {
  const child = spawn(...plainNode(["--import", "tsx", MAIN, ...args]), {
    cwd,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let error = "";
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (error += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => {
    child.on("close", resolve);
  });
  t.teardown(() => {
    child.kill("SIGKILL");
    return ended;
  });
  return { pid: child.pid ?? 0, out: () => out, error: () => error, ended, kill: (signal) => child.kill(signal) };
}

t.test("five mistakes are five lines, exit code 2, and nothing opened", async (t) => {
  const folder = t.testdir({
    "virgo.yaml": `${FREE_PORTS}board: sim
noed: garage
devices:
  lamp: { driver: light, line: GPIO17, onLoss: hol }
  pump: { driver: rellay, line: GPIO27 }
  door: { driver: button, line: GPIO22, debounceMs: 5000 }
  fan: { driver: relay, line: GPIO17 }
  horn: { driver: relay, line: GPIO23, leaseMs: 10 }
`,
  });
  const state = join(folder, "state");
  const { code, out, error } = await virgo(["agent", "--config", join(folder, "virgo.yaml"), "--state", state]);
  t.equal(code, 2);
  t.equal(out, "");
  t.strictSame(
    error.replaceAll(`${folder}/`, "").trimEnd().split("\n"),
    [
      "virgo.yaml:3:1: unknown key noed in the file; did you mean node?",
      'virgo.yaml:5:48: devices.lamp.onLoss is "hol"; did you mean hold?',
      'virgo.yaml:6:19: no driver is called "rellay"; did you mean relay?',
      "virgo.yaml:7:53: devices.door.debounceMs is 5000, above 1000 ms; write a number from 0 to 1000 ms",
      "virgo.yaml:9:49: devices.horn.leaseMs is 10, below 30 ms; a relay takes leases from 30 to 60000 ms",
    ],
    "and no sixth: what is wrong with the lamp hides that the fan wants its line",
  );
  t.notOk(existsSync(state));
});

t.test("without a configuration it says where it looked", async (t) => {
  const started = start(t, ["agent"], t.testdir({}));
  t.equal(await started.ended, 2);
  t.match(started.error(), /^no configuration: neither virgo\.yaml nor \/etc\/virgo\/virgo\.yaml is there; name one with --config FILE\n$/);
});

t.test("it prints what listens where and lines to try, answers, and ends with SIGTERM", async (t) => {
  const folder = t.testdir({ "virgo.yaml": `${FREE_PORTS}board: sim\ndevices: { lamp: { driver: light, line: GPIO17 } }\n` });
  const started = start(t, ["agent"], folder);
  await eventually(() => started.out().includes("Try, in another terminal:"));
  const listening = JSON.parse(readFileSync(join(folder, "state", "listen.json"), "utf8")) as Record<string, string>;
  t.match(started.out(), listening["gateway"]);
  t.match(started.out(), /printf 'lamp\.on\\r\\n' \| nc -N 127\.0\.0\.1 \d+\n/);
  t.match(await virgo(["clone", "lamp.on", "--state", join(folder, "state")]), { code: 0, out: "100\n" });
  started.kill("SIGTERM");
  t.equal(await started.ended, 0);
  t.notOk(existsSync(join(folder, "state", "listen.json")));
});

/** The device hosts among the children of a process. */
function deviceHostsOf(pid: number): readonly string[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ");
  return children.filter((child) => {
    const file = `/proc/${child}/cmdline`;
    return child !== "" && existsSync(file) && readFileSync(file, "utf8").includes("device-host");
  });
}

for (const [isolation, count] of [
  ["process", 1],
  ["none", 0],
] as const) {
  t.test(`with isolation: ${isolation} it starts ${count} process for the devices`, async (t) => {
    const folder = t.testdir({
      "virgo.yaml": `${FREE_PORTS}board: sim\nisolation: ${isolation}\ndevices: { lamp: { driver: light, line: GPIO17 } }\n`,
    });
    const started = start(t, ["agent"], folder);
    const seen = new Set<string>();
    await eventually(() => {
      for (const child of deviceHostsOf(started.pid)) seen.add(child);
      return started.out().includes("Try, in another terminal:");
    });
    t.equal(seen.size, count);
    started.kill("SIGTERM");
    t.equal(await started.ended, 0);
  });
}

t.test("--board wins over the configuration, and what cannot be opened is said with exit code 1", async (t) => {
  const folder = t.testdir({ "virgo.yaml": `${FREE_PORTS}board: sim\n`, "other.yaml": "name: other\nmodel: Some Other Machine\n" });
  const started = start(t, ["agent", "--board", "other.yaml"], folder);
  t.equal(await started.ended, 1);
  t.match(started.error(), /^NOT_READY board file other is for Some Other Machine/);
});
