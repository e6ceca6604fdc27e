// The agent as two processes: whichever dies or hangs, devices end up safe, and what can go on goes on.
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import t, { type Test } from "tap";

import { GATEWAY_ONLY } from "../helpers/free-ports.ts";
import { connectRaw } from "../helpers/raw-client.ts";
import { eventually } from "../helpers/start-agent.ts";
import { plainNode } from "../helpers/tools.ts";

const MAIN = join(import.meta.dirname, "..", "..", "agent", "main.ts");

/** A module of somebody else: it writes down what becomes of its device, and dies or hangs on demand. */
const RECORDER = `
import { appendFileSync } from "node:fs";
export default ({ z, MODULE_CONTRACT, MOTION_LEASE, defineDriver, defineFunction }) => ({
  name: "recorder",
  contract: MODULE_CONTRACT,
  drivers: [
    defineDriver({
      name: "recorder",
      summary: "writes down what becomes of it",
      options: z.strictObject({ file: z.string() }),
      moves: true,
      lease: MOTION_LEASE,
      claims: () => [],
      async open(context, { file }) {
        const say = (text) => appendFileSync(file, text + "\\n");
        const fn = (summary, call) => defineFunction({ summary, params: z.strictObject({}), effect: "actuate", call });
        say("open");
        return {
          functions: {
            go: fn("moves", () => (say("go"), true)),
            explode: fn("throws where nobody catches", () => {
              setTimeout(() => { throw new Error("exploded"); }, 1);
              return true;
            }),
            hang: fn("never comes back", () => { for (;;); }),
          },
          failsafe: () => say("safe"),
          close: () => say("close"),
        };
      },
    }),
  ],
});
`;

interface Running {
  readonly process: ChildProcess;
  readonly ended: Promise<number | NodeJS.Signals | null>;
  ask(line: string): Promise<string>;
  /** What became of the recording device. */
  life(): string;
  /** Of the device host, as INFO tells it. */
  figure(name: string): Promise<string>;
}

async function start(t: Test, more = ""): Promise<Running> {
  const folder = t.testdir({ "recorder.mjs": RECORDER });
  const [config, state, file] = [join(folder, "virgo.yaml"), join(folder, "state"), join(folder, "life.txt")];
  writeFileSync(
    config,
    `board: sim
log: { level: silent }
${GATEWAY_ONLY}modules: [./recorder.mjs]
keeper: { restartMinMs: 10, heartbeatMs: 250 }
devices:
  lamp: { driver: light, line: GPIO17, leaseMs: 60000 }
  arm: { driver: recorder, file: ${file} }
analytics: { variables: { dark: { staleMs: 60000 } } }
rules: { night: { when: dark, call: lamp.on(), leaseMs: 60000 } }
${more}`,
  );
  const child = spawn(...plainNode(["--import", "tsx", MAIN, "agent", "--config", config, "--state", state]), {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once("exit", (code, signal) => resolve(signal ?? code));
  });
  t.teardown(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  const listenFile = join(state, "listen.json");
  await eventually(() => existsSync(listenFile));
  const { gateway } = JSON.parse(readFileSync(listenFile, "utf8")) as { gateway: string };
  const ask = async (line: string): Promise<string> => {
    const client = await connectRaw(gateway);
    client.send(`${line}\r\n`);
    client.end();
    return client.rest();
  };
  return {
    process: child,
    ended,
    ask,
    life: () => (existsSync(file) ? readFileSync(file, "utf8").trim().replaceAll("\n", " ") : ""),
    figure: async (name) => new RegExp(`^${name}:(.*?)\r?$`, "m").exec(await ask('INFO "device host"'))?.[1] ?? "",
  };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

t.test("calls, variables, rules and reasons cross between the processes, and a clean end leaves nobody behind", async (t) => {
  const agent = await start(t);
  const hostPid = Number(await agent.figure("pid"));
  t.not(hostPid, agent.process.pid);
  t.equal(await agent.ask("CLONE arm.go"), ":1\r\n", "a device of somebody else's module");
  t.match(await agent.ask("MODULES"), /recorder/);
  t.equal(await agent.ask("VAR.SET dark true"), "+OK\r\n");
  await eventually(async () => (await agent.ask("VAR.GET lamp.on")) === ":1\r\n");
  t.match(await agent.ask("EVENT.WHY lamp"), /rule night[\s\S]*dark=true/, "what a rule of the device host did, explained by the front");
  t.match(await agent.ask("DESCRIBE lamp"), /rule night/);
  agent.process.kill("SIGTERM");
  t.equal(await agent.ended, 0);
  t.equal(isAlive(hostPid), false);
  t.match(agent.life(), /^open go (safe )+close$/);
});

t.test("a device host that is killed is started again, and an emergency stop outlives it", async (t) => {
  const agent = await start(t);
  t.equal(await agent.ask("CLONE lamp.on"), ":100\r\n");
  t.equal(await agent.ask("ESTOP"), "+OK\r\n");
  await eventually(async () => (await agent.ask("INFO")).includes("e_stopped_by:127.0.0.1"));
  process.kill(Number(await agent.figure("pid")), "SIGKILL");
  await eventually(async () => (await agent.figure("starts")) === "2" && (await agent.figure("state")) === "running");
  t.equal(await agent.figure("lastEnd"), "signal SIGKILL");
  t.match(await agent.ask("CLONE lamp.on"), /^-FAULTED lamp: e-stop is latched by 127\.0\.0\.1/);
  t.equal(await agent.ask("ESTOP RESET"), "+OK\r\n");
  t.equal(await agent.ask("CLONE lamp.on"), ":100\r\n");
});

t.test("an error nobody catches in a driver takes every device to its exit state, and the front goes on", async (t) => {
  const agent = await start(t);
  t.equal(await agent.ask("CLONE arm.explode"), ":1\r\n");
  await eventually(async () => (await agent.figure("starts")) === "2" && (await agent.figure("state")) === "running");
  t.equal(await agent.figure("lastEnd"), "exit code 70");
  // Whoever makes devices of modules safe meanwhile is ended before the next device host opens them, however far it has come.
  t.match(agent.life(), /^open (safe )+close (open (safe )?)?open safe$/);
  t.equal(await agent.ask("CLONE arm.go"), ":1\r\n");
});

t.test("a driver that never comes back costs the device host its life, and is answered", async (t) => {
  const agent = await start(t);
  t.match(await agent.ask("CLONE arm.hang"), /^-IO /);
  await eventually(async () => (await agent.figure("starts")) === "2" && (await agent.figure("state")) === "running");
  t.match(await agent.figure("lastEnd"), /^killed: no sign of life for 3 periods of 250 ms/);
});

t.test("a front that is killed leaves everything that moves safe, and no process behind", async (t) => {
  const agent = await start(t);
  const hostPid = Number(await agent.figure("pid"));
  t.equal(await agent.ask("CLONE LEASE 5000 arm.go"), ":1\r\n");
  agent.process.kill("SIGKILL");
  await eventually(() => agent.life().startsWith("open go safe"));
  await eventually(() => !isAlive(hostPid));
  t.match(agent.life(), /^open go (safe )+close$/);
});

t.test("a module that kills its process while it is loaded is left out and named, and the devices of others work", async (t) => {
  const agent = await start(t, "");
  const folder = t.testdirName;
  writeFileSync(join(folder, "bomb.mjs"), "process.kill(process.pid, 'SIGKILL');\n");
  writeFileSync(
    join(folder, "virgo.yaml"),
    readFileSync(join(folder, "virgo.yaml"), "utf8").replace("[./recorder.mjs]", "[./bomb.mjs, ./recorder.mjs]"),
  );
  agent.process.kill("SIGTERM");
  await agent.ended;
  const again = spawn(
    ...plainNode(["--import", "tsx", MAIN, "agent", "--config", join(folder, "virgo.yaml"), "--state", join(folder, "state")]),
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  t.teardown(() => again.kill("SIGKILL"));
  const listenFile = join(folder, "state", "listen.json");
  await eventually(() => existsSync(listenFile));
  const { gateway } = JSON.parse(readFileSync(listenFile, "utf8")) as { gateway: string };
  const client = await connectRaw(gateway);
  client.send("MODULES\r\nCLONE arm.go\r\nQUIT\r\n");
  const answer = await client.rest();
  t.match(answer, /bomb\.mjs[\s\S]*failed[\s\S]*recorder/);
  t.match(answer, /:1\r\n\+OK\r\n$/);
});
