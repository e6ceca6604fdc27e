import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import t from "tap";

import { connectRaw } from "../helpers/raw-client.ts";
import { eventually, startAgent } from "../helpers/start-agent.ts";

t.test("from a stream through derived variables to a rule's device, to readers and into a file", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "virgo-analytics-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const data = join(folder, "data.log");
  const kern = join(folder, "kern.log");
  writeFileSync(kern, "");
  const { ask, agent, stateFolder } = await startAgent(
    t,
    `
devices: { lamp: { driver: light, line: GPIO17 } }
analytics:
  sources: [{ log: ${kern}, lookMs: 20, publishMs: 50 }]
  derived:
    usual: { of: load, window: { show: mean, maxValues: 3 } }
    risk: { perceptron: { features: [load], label: fault, standardise: false, saveMs: 100 } }
  sinks:
    - { tcp: 127.0.0.1:0, listen: true, variables: [usual, SRC, "lamp.*"] }
    - { file: ${data}, variables: [usual], deadband: 0 }
rules: { busy: { when: usual > 5.0, call: lamp.on() } }
`,
  );
  const reader = await connectRaw(agent.addresses["sink"] ?? "");
  await ask("VAR.SET load 4 fault false");
  await ask("VAR.SET load 14 fault true");
  await eventually(() => agent.variables.get("lamp.on")?.value === true);
  appendFileSync(kern, "[UFW BLOCK] IN=eth0 OUT= SRC=203.0.113.7 DST=192.0.2.1 LEN=60 TOS=0x00 DPT=22 \n");
  await eventually(() => agent.variables.get("SRC")?.value === "203.0.113.7");
  await eventually(() => existsSync(join(stateFolder, "model-risk.json")));
  t.match(JSON.parse(readFileSync(join(stateFolder, "model-risk.json"), "utf8")), { version: 1, kind: "perceptron", features: ["load"] });
  const info = await ask("INFO");
  for (const part of ["# derived usual", "# derived risk", "# sink tcp listen", `# sink file ${data}`, `# source log ${kern}`]) {
    t.ok(info.toLowerCase().includes(part.toLowerCase()), part);
  }
  await agent.stop();
  const lines = (await reader.rest()).split("\n");
  for (const line of ["usual=4", "usual=9", "lamp.on=true", "SRC=203.0.113.7"]) t.ok(lines.includes(line), line);
  t.match(readFileSync(data, "utf8"), /^time=[^,]+Z,usual=4\ntime=[^,]+Z,usual=9\n$/);
});
