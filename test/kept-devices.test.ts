// The agent of this process with a device host of its own: what the end-to-end tests see from outside, from within.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import t, { type Test } from "tap";

import { createAgent, type Agent } from "../agent/agent.ts";
import { createSystemClock } from "../agent/clock.ts";
import { loadConfig } from "../agent/config/load.ts";
import { deviceModules } from "../agent/modules.ts";
import { SETUP_FILE } from "../agent/safe-state.ts";
import { checkRule } from "../analytics/rule.ts";
import { eventually } from "./helpers/eventually.ts";
import { createFakeLog } from "./helpers/fake-log.ts";
import { GATEWAY_ONLY } from "./helpers/free-ports.ts";
import { connectRaw } from "./helpers/raw-client.ts";
import type { Caller } from "../agent/contract/request.ts";

interface Setup {
  readonly agent: Agent;
  readonly state: string;
  readonly states: string[];
  /** How often a watchdog might have been kicked. */
  readonly kicks: () => number;
  readonly ask: (line: string) => Promise<string>;
}

async function start(t: Test, yaml: string): Promise<Setup> {
  const folder = t.testdir({});
  const [file, state] = [join(folder, "virgo.yaml"), join(folder, "state")];
  writeFileSync(file, `board: sim\nlog: { level: silent }\n${GATEWAY_ONLY}${yaml}`);
  const { config, problems } = loadConfig(file, deviceModules, { checkRule });
  if (config === undefined) throw new Error(problems.map(({ reason }) => reason).join("\n"));
  const states: string[] = [];
  let kicks = 0;
  const agent = await createAgent({
    config,
    stateFolder: state,
    version: "0.0.0-test",
    clock: createSystemClock(),
    log: createFakeLog(),
    env: process.env,
    onAlive: () => (kicks += 1),
    onState: (name) => states.push(name),
  });
  t.teardown(() => agent.stop());
  const ask = async (line: string): Promise<string> => {
    const client = await connectRaw(agent.addresses["gateway"] ?? "");
    client.send(`${line}\r\n`);
    client.end();
    return client.rest();
  };
  return { agent, state, states, kicks: () => kicks, ask };
}

/** Whoever loads TypeScript for the test runner takes its time in every process, and the machine may stop for a while. */
const PATIENT = "keeper: { heartbeatMs: 1000, restartMinMs: 0 }\n";

const LAMP = `${PATIENT}devices:
  lamp: { driver: light, line: GPIO17, leaseMs: 60000 }
rules: { night: { when: dark, call: lamp.on(), leaseMs: 60000 } }
analytics: { variables: { dark: { staleMs: 60000 } } }
`;

t.test("devices, rules and variables of the other process are those of the agent", async (t) => {
  const { agent, ask, state, states } = await start(t, LAMP);
  t.match(agent.devices.report(), {
    board: { kind: "sim" },
    devices: [{ id: "lamp", outcome: "opened", faulted: false }],
    rules: [{ name: "night", holding: false }],
  });
  t.match(JSON.parse(readFileSync(join(state, SETUP_FILE), "utf8")), { board: "sim", devices: [{ id: "lamp", driver: "light" }] });
  agent.variables.set("dark", true, "test stream");
  await eventually(() => agent.variables.get("lamp.on")?.value === true);
  const happened = () => agent.journal.latest(10).map(({ kind, subject }) => `${kind} ${subject}`);
  await eventually(() => happened().includes("rule night") && happened().includes("actuate lamp"));
  t.match(await ask("INFO"), /# device host\r\n[\s\S]*state:running/);
  t.equal(await ask("RESET HOST"), "+OK\r\n");
  t.match(agent.devices.figures?.(), { starts: 2, state: "running" });
  const nobody: Caller = { name: "guest", priority: 1, permits: { allows: () => false }, signal: new AbortController().signal };
  t.match(await agent.devices.handle({ verb: "RESET", args: ["host"] }, nobody), { kind: "error", error: { code: "DENIED" } });
  await agent.stop();
  t.strictSame(states.at(-1), "stopped");
});

t.test("a watchdog is kicked as long as the device host lives, also where no control loop runs", async (t) => {
  const { agent, kicks, states } = await start(t, LAMP.replace("heartbeatMs: 1000", "heartbeatMs: 100, missedBeats: 50"));
  const atFirst = kicks();
  await eventually(() => kicks() >= atFirst + 5);
  t.strictSame(states, ["starting", "running"]);
  process.kill(Number(agent.devices.figures?.()["pid"]), "SIGSTOP");
  const stopped = kicks();
  await eventually(() => states.includes("making-safe"));
  t.ok(kicks() - stopped < 10, "nothing is kicked while it stands still, but for what was under way");
});

t.test("a vehicle runs in the motion thread of the device host, and says how its loop is", async (t) => {
  const { agent, ask } = await start(
    t,
    `${PATIENT}motion: { openMs: 60000, hangMs: 10000 }
host: { openMs: 60000 }
devices:
  car:
    driver: gcbaf
    accelerator: { pwm: { chip: sim, channel: 0 }, fullMps2: 2 }
    brake: { pwm: { chip: sim, channel: 1 }, fullMps2: 3.5 }
    gear: { pwm: { chip: sim, channel: 2 }, positions: { P: 1000, N: 1400, D: 1600 } }
    fuel: { line: GPIO17 }
`,
  );
  t.match(await ask("CLONE car.state"), /armed/);
  t.match(await ask("CLONE car.arm"), /^-(NOT_READY|FAULTED) /, "nobody has streamed commands");
  await eventually(async () => (await ask("INFO motion")).includes("devices:1\r\n"));
  t.match(agent.devices.report().motion, { devices: 1 });
  await agent.stop();
});

t.test("when the device host dies it is made up for, and calls meanwhile are told", async (t) => {
  const { agent, ask, states } = await start(t, LAMP);
  process.kill(Number(agent.devices.figures?.()["pid"]), "SIGKILL");
  await eventually(() => states.includes("making-safe"));
  t.match(await ask("CLONE lamp.on"), /^(-NOT_READY the device host |:100)/);
  await eventually(() => agent.devices.figures?.()["starts"] === 2 && states.at(-1) === "running");
  t.equal(await ask("CLONE lamp.on"), ":100\r\n");
  t.match(
    agent.journal.latest(50).filter(({ caller }) => caller === "keeper"),
    [
      { kind: "open", subject: "host" },
      { kind: "fault", subject: "host", detail: "signal SIGKILL" },
      { kind: "safe", subject: "lamp" },
      { kind: "open" },
    ],
  );
});

t.test("an agent whose devices cannot even begin does not start, and says why", async (t) => {
  const folder = t.testdir({
    "virgo.yaml": `${GATEWAY_ONLY}${PATIENT}log: { level: silent }\nboard: other.yaml\n`,
    "other.yaml": "name: other\nmodel: Some Other Machine\n",
  });
  const { config } = loadConfig(join(folder, "virgo.yaml"), deviceModules);
  if (config === undefined) throw new Error("the configuration has mistakes");
  const stateFolder = join(folder, "state");
  await t.rejects(createAgent({ config, stateFolder, version: "0", clock: createSystemClock(), log: createFakeLog(), env: process.env }), {
    code: "NOT_READY",
    message: /^board file other is for Some Other Machine/,
  });
  t.equal(existsSync(join(stateFolder, "listen.json")), false);
});
