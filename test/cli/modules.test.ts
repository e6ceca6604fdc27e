import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import t from "tap";

import { insmodCommand, lsmodCommand, reloadCommand, rmmodCommand } from "../../agent/cli/modules.ts";
import { createFakeIo } from "../helpers/fake-io.ts";
import { startAgent } from "../helpers/start-agent.ts";
import type { AskOptions } from "../../agent/cli/ask.ts";
import type { CliIo } from "../../agent/cli/io.ts";

/** A module whose only device tells which version of the code it is. */
function tellerModule(version: string): string {
  return `export default ({ z, STILL_LEASE }) => ({
  name: "tellers", contract: 1, version: "${version}",
  drivers: [{
    name: "teller", summary: "tells", options: z.strictObject({}), moves: false, lease: STILL_LEASE, claims: () => [],
    async open() {
      return { functions: { tell: { summary: "tells", params: z.strictObject({}), effect: "read", call: () => "${version}" } }, close() {} };
    },
  }],
});
`;
}

t.test("modules are listed, loaded, loaded anew and removed from the command line", async (t) => {
  const folder = t.testdir({ "teller.mjs": tellerModule("1.0.0") });
  const file = join(folder, "teller.mjs");
  const { ask, stateFolder, config } = await startAgent(
    t,
    `isolation: none
modules: [${file}]
devices:
  pump: { driver: relay, line: GPIO4 }
  clerk: { driver: teller }
`,
  );
  const options: AskOptions = { state: stateFolder };
  async function run(command: (options: AskOptions, io: CliIo) => Promise<number>, over: AskOptions = {}) {
    const io = createFakeIo();
    const code = await command({ ...options, ...over }, io);
    return { code, ...io.printed };
  }
  const rows = (out: string) =>
    out
      .trimEnd()
      .split("\n")
      .map((line) => line.split(/ {2,}/));

  const listed = await run(lsmodCommand);
  t.equal(listed.code, 0);
  t.strictSame(rows(listed.out)[0], ["MODULE", "VERSION", "SOURCE", "STATE", "DRIVERS", "DEVICES"]);
  t.strictSame(rows(listed.out).at(-1), ["tellers", "1.0.0", file, "loaded", "teller", "clerk"]);
  t.match(await run(lsmodCommand, { json: true }), { code: 0, out: /^\[\{"name":"gpio","version":"0\.0\.0-test","source":"built-in"/ });

  writeFileSync(file, tellerModule("1.0.1"));
  const reloaded = await run((at, io) => reloadCommand("tellers", at, io));
  t.strictSame(rows(reloaded.out).at(-1), ["tellers", "1.0.1", file, "loaded", "teller", "clerk"]);
  t.match(await ask("CLONE clerk.tell"), /1\.0\.1/);

  t.strictSame(await run((at, io) => rmmodCommand("tellers", at, io)), { code: 0, out: "tellers removed\n", error: "" });
  t.match(await ask("CLONE clerk.tell"), /^-NOT_READY clerk was failed: NOT_READY its module tellers was removed/);
  t.match(await run((at, io) => rmmodCommand("tellers", at, io)), { code: 1, out: "", error: /^UNKNOWN no module tellers/ });
  t.match(await run((at, io) => rmmodCommand("gpio", at, io)), { code: 1, error: /^ARGUMENT module gpio comes with the agent/ });

  writeFileSync(file, "export default { name: 'tellers' };");
  t.match(await run((at, io) => insmodCommand(file, at, io)), {
    code: 1,
    error: /^ARGUMENT module .*: contract: it is written for contract undefined/,
  });
  const failed = await run(lsmodCommand);
  t.match(rows(failed.out).at(-1), [file, "-", file, /^failed: ARGUMENT module /]);

  const modules = join(config.file, "..", "modules");
  mkdirSync(modules);
  writeFileSync(join(modules, "other.mjs"), tellerModule("2.0.0"));
  const inserted = await run((at, io) => insmodCommand("./modules/other.mjs", at, io));
  t.strictSame(rows(inserted.out).at(-1), ["tellers", "2.0.0", "./modules/other.mjs", "loaded", "teller", "clerk"]);
  t.match(await ask("CLONE clerk.tell"), /2\.0\.0/);
});
