import t from "tap";

import { startAgent } from "../helpers/start-agent.ts";
import { virgo } from "../helpers/fake-io.ts";

t.test("the emergency stop is latched and cleared from the command line", async (t) => {
  const { ask, stateFolder } = await startAgent(t, "isolation: none\ndevices: { lamp: { driver: light, line: GPIO17 } }\n");
  const run = (...words: readonly string[]) => virgo([...words, "--state", stateFolder]);
  await ask("CLONE LEASE 60000 lamp.on");
  t.same(await run("estop"), { code: 0, out: "OK\n", error: "" });
  t.match(await ask("CLONE lamp.on"), /FAULTED lamp: e-stop is latched/);
  t.match(await ask("CLONE lamp.state"), /percent\r\n:0\r\n/);
  t.same(await run("estop", "--reset", "--json"), { code: 0, out: '"OK"\n', error: "" });
  t.notMatch(await ask("CLONE lamp.on"), /FAULTED/);
});

t.test("a device is reset from the command line, what is none is named", async (t) => {
  const { stateFolder } = await startAgent(t, "isolation: none\ndevices: { lamp: { driver: light, line: GPIO17 } }\n");
  const run = (...words: readonly string[]) => virgo([...words, "--state", stateFolder]);
  t.same(await run("reset", "lamp"), { code: 0, out: "OK\n", error: "" });
  t.match(await run("reset", "lmap"), { code: 1, error: /^UNKNOWN no device lmap \(did you mean lamp/ });
  t.equal((await run("reset")).code, 2);
});
