import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import t from "tap";

import { eventually } from "../helpers/eventually.ts";
import { startAgent } from "../helpers/start-agent.ts";
import { plainNode } from "../helpers/tools.ts";

const ROOT = join(import.meta.dirname, "..", "..");

t.test("the night light keeps the lamp lit while it is dark and wanted, and it goes out by itself", async (t) => {
  const { agent, board } = await startAgent(
    t,
    `devices:
  lights: { driver: switch }
  lamp: { driver: light, pwm: { chip: sim, channel: 0 }, beam: { low: 30, high: 100 } }
`,
  );
  // The package's own entry, from its source.
  const example = readFileSync(join(ROOT, "examples", "client", "night-light.mjs"), "utf8");
  const entry = pathToFileURL(join(ROOT, "agent", "client.ts")).href;
  t.match(example, 'from "virgo-edge-agent"');
  const file = join(t.testdir({}), "night-light.mjs");
  writeFileSync(file, example.replace('"virgo-edge-agent"', JSON.stringify(entry)));
  const child = spawn(...plainNode(["--import", "tsx", file, agent.addresses["gateway"]!]), {
    cwd: ROOT,
    stdio: ["ignore", "ignore", "inherit"],
  });
  t.teardown(async () => {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  const lit = () => board.world.duty("pwm sim:0") === 0.3;
  agent.variables.set("ambient_lux", 80, "test");
  agent.variables.set("lights.on", true, "test");
  agent.variables.set("ambient_lux", 3, "test");
  await eventually(lit);
  agent.variables.set("ambient_lux", 80, "test");
  await eventually(() => !lit());
  agent.variables.set("ambient_lux", 2, "test");
  await eventually(lit);
  child.kill("SIGINT");
  t.strictSame(await once(child, "exit"), [0, null], "it ends by itself once it has closed its connection");
  await eventually(() => !lit());
});
