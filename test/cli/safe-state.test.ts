import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import t, { type Test } from "tap";
import { z } from "zod";

import { safeStateCommand, type SafeStateCommandOptions } from "../../agent/cli/safe-state.ts";
import { defineDriver, MODULE_CONTRACT, STILL_LEASE, type DeviceModule } from "../../agent/contract/device.ts";
import { loadConfig } from "../../agent/config/load.ts";
import { deviceModules } from "../../agent/modules.ts";
import { deviceSetupOf } from "../../agent/device-setup.ts";
import { SETUP_FILE } from "../../agent/safe-state.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { eventually } from "../helpers/eventually.ts";
import { createFakeIo, type Ran } from "../helpers/fake-io.ts";

const YAML = `board: sim
devices:
  lamp: { driver: light, line: GPIO17 }
  pump: { driver: relay, line: GPIO27, onLoss: hold }
  door: { driver: button, line: GPIO4 }
`;

const SAFE = "lamp is safe after N ms\npump is left as it is: onLoss: hold\ndoor is left as it is: it cannot move anything\n";

/** A driver that throws when it is opened. */
const broken: DeviceModule = {
  name: "test",
  contract: MODULE_CONTRACT,
  drivers: [
    defineDriver({
      name: "broken",
      summary: "throws when it is opened",
      options: z.strictObject({}),
      moves: true,
      lease: STILL_LEASE,
      claims: () => [],
      open: () => Promise.reject(new Error("no such chip")),
    }),
  ],
};

async function run(options: SafeStateCommandOptions, env: Readonly<Record<string, string>> = {}, modules = deviceModules): Promise<Ran> {
  const io = createFakeIo(env);
  const code = await safeStateCommand(options, io, modules, () => undefined);
  return { code, out: io.printed.out.replaceAll(/\d+ ms/g, "N ms"), error: io.printed.error };
}

/** What an agent with that configuration leaves in its state folder. */
function leaveSetup(t: Test, yaml: string): string {
  const folder = t.testdir({ "virgo.yaml": yaml, state: {} });
  const { config } = loadConfig(join(folder, "virgo.yaml"), deviceModules);
  if (config === undefined) throw new Error("the configuration is wrong");
  writeFileSync(join(folder, "state", SETUP_FILE), JSON.stringify(deviceSetupOf(config)));
  return folder;
}

t.test("the devices of a configuration are made safe, one line each", async (t) => {
  const folder = t.testdir({ "virgo.yaml": YAML });
  t.strictSame(await run({ config: join(folder, "virgo.yaml"), state: join(folder, "none") }), { code: 0, out: SAFE, error: "" });
});

t.test("without one, those of the agent that ran last, as its state folder tells", async (t) => {
  const folder = leaveSetup(t, YAML);
  writeFileSync(join(folder, "virgo.yaml"), "edited since, and wrong");
  t.strictSame(await run({ state: join(folder, "state") }), { code: 0, out: SAFE, error: "" });
  t.strictSame(await run({}, { STATE_DIRECTORY: join(folder, "state") }), { code: 0, out: SAFE, error: "" });
});

t.test("a configuration that is named is used whatever the state folder says", async (t) => {
  const folder = leaveSetup(t, YAML);
  writeFileSync(join(folder, "other.yaml"), "board: sim\ndevices: { horn: { driver: relay, line: GPIO5 } }\n");
  const { out } = await run({ config: join(folder, "other.yaml"), state: join(folder, "state") });
  t.equal(out, "horn is safe after N ms\n");
});

for (const content of ["", "{}", "null", '{"board":"sim","devices":5}', "\u0000"]) {
  t.test(`a set-up that reads ${JSON.stringify(content)} is passed over, and said`, async (t) => {
    const folder = t.testdir({ "virgo.yaml": YAML, state: { [SETUP_FILE]: content } });
    const cwd = process.cwd();
    process.chdir(folder);
    t.teardown(() => process.chdir(cwd));
    const { code, out, error } = await run({});
    t.equal(code, 0);
    t.equal(out, SAFE);
    t.match(error, /^cannot read state\/devices\.json: .+; the configuration is read instead\n$/);
  });
}

t.test("it stays as long as it is told, or until it is interrupted", async (t) => {
  const folder = t.testdir({ "virgo.yaml": YAML });
  const clock = createFakeClock();
  for (const interrupted of [false, true]) {
    const io = { ...createFakeIo(), clock };
    let code: number | undefined;
    const ended = safeStateCommand({ config: join(folder, "virgo.yaml"), hold: 5 }, io, deviceModules, () => undefined).then((ended) => {
      code = ended;
    });
    await eventually(() => io.printed.out.includes("door"));
    await clock.advance(4999);
    t.equal(code, undefined);
    if (interrupted) io.end();
    else await clock.advance(1);
    await ended;
    t.equal(code, 0);
  }
});

t.test("one that cannot be made safe makes the exit code 1, and the others are safe all the same", async (t) => {
  const folder = t.testdir({ "virgo.yaml": "board: sim\ndevices:\n  horn: { driver: broken }\n  lamp: { driver: light, line: GPIO17 }\n" });
  const { code, out } = await run({ config: join(folder, "virgo.yaml") }, {}, [...deviceModules, broken]);
  t.equal(code, 1);
  t.equal(out, "horn is NOT safe: IO no such chip\nlamp is safe after N ms\n");
});

t.test("a device whose driver is gone is said, and is not safe", async (t) => {
  const folder = leaveSetup(t, YAML);
  const file = join(folder, "state", SETUP_FILE);
  writeFileSync(file, readFileSync(file, "utf8").replace('"driver":"light"', '"driver":"laser"'));
  const { code, out } = await run({ state: join(folder, "state") });
  t.equal(code, 1);
  t.match(out, /^lamp is NOT safe: UNKNOWN no driver is called laser$/m);
});

t.test("after an agent that ended in order there is nothing to do; after any other end there is", async (t) => {
  const folder = leaveSetup(t, YAML);
  const done = await run({ state: join(folder, "state") }, { SERVICE_RESULT: "success" });
  t.strictSame(done, { code: 0, out: "the agent ended in order: every device is in its exit state\n", error: "" });
  for (const result of ["signal", "watchdog", "oom-kill", "exit-code"]) {
    t.equal((await run({ state: join(folder, "state") }, { SERVICE_RESULT: result })).out, SAFE, result);
  }
});

t.test("mistakes in the configuration are exit code 2, and so is none", async (t) => {
  const folder = t.testdir({ "virgo.yaml": "board: sim\ndevices: { lamp: { driver: lihgt, line: GPIO17 } }\n", empty: {} });
  const wrong = await run({ config: join(folder, "virgo.yaml") });
  t.equal(wrong.code, 2);
  t.match(wrong.error, /did you mean light\?/);
  mkdirSync(join(folder, "empty", "state"));
  const cwd = process.cwd();
  process.chdir(join(folder, "empty"));
  t.teardown(() => process.chdir(cwd));
  const none = await run({});
  t.equal(none.code, 2);
  t.match(none.error, /^no configuration: neither virgo\.yaml/);
});

/** A module with a fan that moves nothing by itself and says where it was told to go, or which does what `open` says. */
function fanModule(open: string): string {
  return `export default ({ MODULE_CONTRACT, z, MOTION_LEASE }) => ({
  name: "fans",
  contract: MODULE_CONTRACT,
  drivers: [{
    name: "fan", summary: "a fan", options: z.strictObject({ line: z.string() }), moves: true, lease: MOTION_LEASE, claims: ({ line }) => ["line " + line],
    async open({ id, board }, { line }) {
      ${open}
      const output = await board.openOutput(id, { name: line }, false);
      return { functions: {}, failsafe: () => output.write(true), close: () => output.close() };
    },
  }],
});
`;
}

const WITH_FAN = `board: sim
modules: [./fans.js]
devices:
  fan: { driver: fan, line: GPIO5 }
  lamp: { driver: light, line: GPIO17 }
`;

t.test("devices of modules are made safe after all others, from the configuration and from what the agent left", async (t) => {
  const folder = leaveSetup(t, WITH_FAN);
  writeFileSync(join(folder, "fans.js"), fanModule(""));
  const both = { code: 0, out: "lamp is safe after N ms\nfan is safe after N ms\n", error: "" };
  t.strictSame(await run({ state: join(folder, "state") }), both);
  t.strictSame(await run({ config: join(folder, "virgo.yaml") }), both);
  t.strictSame(await run({ state: join(folder, "state"), modules: true }), { ...both, out: "fan is safe after N ms\n" });
});

t.test("a module that does not load or whose device does not open is named, and the others are safe before", async (t) => {
  for (const [code, reason, said] of [
    ["throw new Error('no fans today');", /UNKNOWN no driver is called fan; .*no fans today/, /^module \.\/fans\.js is not loaded: /],
    [fanModule("throw new Error('no such fan');"), /IO no such fan/, /^$/],
    [fanModule("").replace("line: z.string()", "speed: z.number()"), /ARGUMENT fan: /, /^$/],
  ] as const) {
    const folder = leaveSetup(t, WITH_FAN);
    writeFileSync(join(folder, "fans.js"), code);
    const ran = await run({ state: join(folder, "state") });
    t.equal(ran.code, 1);
    const [first, second = ""] = ran.out.split("\n");
    t.equal(first, "lamp is safe after N ms");
    t.match(second, /^fan is NOT safe: /);
    t.match(second, reason);
    t.match(ran.error, said);
  }
});

t.test("a module that hangs while it is loaded has its time and no more", async (t) => {
  const yaml = WITH_FAN.replace("modules:", "host: { loadMs: 100 }\nmodules:");
  const folder = leaveSetup(t, yaml);
  writeFileSync(join(folder, "fans.js"), "export default () => new Promise(() => undefined);");
  const ran = await run({ state: join(folder, "state") });
  t.equal(ran.code, 1);
  t.match(ran.out, /^lamp is safe .*\nfan is NOT safe: UNKNOWN .*loading took longer than N ms/);
});
