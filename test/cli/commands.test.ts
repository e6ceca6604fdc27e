import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import t from "tap";

import { createFakeIo, virgo } from "../helpers/fake-io.ts";
import { deviceModules } from "../../agent/modules.ts";
import { eventually, startAgent } from "../helpers/start-agent.ts";

const DEVICES = `devices:
  lamp: { driver: light, pwm: { chip: sim, channel: 0 }, beam: { low: 30, high: 100 } }
  pump: { driver: relay, line: GPIO4 }
  spare: { driver: relay, line: GPIO5, enabled: false }
analytics: { variables: { battery_v: { unit: V, staleMs: 60000 } } }
`;

t.test("clone calls a function and prints its value, or the agent's error", async (t) => {
  const { stateFolder, board } = await startAgent(t, DEVICES);
  const at = ["--state", stateFolder];
  t.strictSame(await virgo(["clone", ...at, "lamp.beam", "low"]), { code: 0, out: "30\n", error: "" });
  t.equal(board.world.duty("pwm sim:0"), 0.3);
  t.strictSame(
    await virgo(["clone", "lamp.brightness", "-5", ...at]),
    { code: 0, out: "0\n", error: "" },
    "a negative number is an argument",
  );
  t.strictSame(await virgo(["clone", "lamp.state", "--json", ...at]), {
    code: 0,
    out: '{"on":false,"percent":0,"beam":"low"}\n',
    error: "",
  });
  t.match(await virgo(["clone", "lamp.beam", "mid", ...at]), { code: 1, out: "", error: /^ARGUMENT lamp\.beam: beam is "mid"; .+\n$/ });
  t.match(await virgo(["clone", "lmap.on", ...at]), { code: 1, error: /^UNKNOWN .*did you mean lamp\.on/ });
  t.match(await virgo(["clone", "--node", "elsewhere", "lamp.on", ...at]), { code: 1, error: /elsewhere/ });
});

t.test("clone passes lease, priority and deadline on", async (t) => {
  const { stateFolder, board } = await startAgent(t, DEVICES);
  const at = ["--state", stateFolder];
  t.equal((await virgo(["clone", "--lease", "60", "--deadline", "500", "pump.on", ...at])).code, 0);
  t.equal(board.world.level("GPIO4"), true);
  await eventually(() => !board.world.level("GPIO4"));
  t.match(await virgo(["clone", "--lease", "1", "pump.on", ...at]), { code: 1, error: /^(ARGUMENT|LIMIT) .*30/ });
  t.match(await virgo(["clone", "--lease", "60000", "--priority", "200", "pump.on", ...at]), { code: 0 });
  t.match(await virgo(["clone", "pump.off", ...at]), { code: 1, error: /^IN_USE / });
});

t.test("clone --keep renews the lease with the command itself, and stops by stopping", async (t) => {
  const { stateFolder, board } = await startAgent(t, DEVICES);
  const io = createFakeIo();
  const running = virgo(["clone", "--keep", "--lease", "600", "pump.on", "--state", stateFolder], {}, io);
  await eventually(() => io.printed.out !== "");
  // Longer than the lease: only repetition keeps it on.
  const until = Date.now() + 800;
  await eventually(() => Date.now() > until || !board.world.level("GPIO4"));
  t.equal(board.world.level("GPIO4"), true);
  io.end();
  t.strictSame(await running, { code: 0, out: "true\n", error: "" }, "the value was printed once");
  await eventually(() => !board.world.level("GPIO4"));
});

t.test("clone --keep ends when the agent refuses, and when it goes away", async (t) => {
  const { stateFolder, agent } = await startAgent(t, DEVICES);
  const io = createFakeIo();
  const refused = virgo(["clone", "--keep", "--lease", "60", "pump.on", "--state", stateFolder], {}, io);
  await eventually(() => io.printed.out !== "");
  t.equal((await virgo(["clone", "--lease", "60000", "--priority", "200", "pump.off", "--state", stateFolder])).code, 0);
  t.match(await refused, { code: 1, out: "true\n", error: /^IN_USE / });

  const other = createFakeIo();
  const abandoned = virgo(["clone", "--keep", "lamp.on", "--state", stateFolder], {}, other);
  await eventually(() => other.printed.out !== "");
  await agent.stop();
  t.match(await abandoned, { code: 3, error: /^IO .*closed/ });
});

t.test("devices and describe show what there is", async (t) => {
  const { stateFolder } = await startAgent(t, DEVICES);
  const at = ["--state", stateFolder];
  const { code, out } = await virgo(["devices", ...at]);
  t.equal(code, 0);
  const [head, lamp, pump, spare] = out.split("\n");
  t.match(head, /^DEVICE +DRIVER +STATE +HELD BY +FUNCTIONS$/);
  t.match(lamp, /^lamp +light +ready +on off state beam\(low\|high\) brightness\(percent\)$/);
  t.match(pump, /^pump +relay +ready /);
  t.match(spare, /^spare +relay +skipped: /);
  t.equal((JSON.parse((await virgo(["devices", "--json", ...at])).out) as unknown[]).length, 3);
  const described = await virgo(["describe", "lamp", ...at]);
  t.match(described, { code: 0, out: /^id: lamp\ndriver: light\n/ });
  t.match(described.out, "functions:\n  - name: lamp.on\n    summary: ");
  t.match(described.out, "\n      - name: beam\n        type: string\n        enum: low, high\n");
  t.match(await virgo(["describe", "lmap", ...at]), { code: 1, error: /^UNKNOWN / });
});

t.test("devices says so when there are none, and who holds one", async (t) => {
  const empty = await startAgent(t, "");
  t.strictSame(await virgo(["devices", "--state", empty.stateFolder]), { code: 0, out: "no devices are configured\n", error: "" });
  t.strictSame(await virgo(["vars", "--state", empty.stateFolder]), { code: 0, out: "no variables have come yet\n", error: "" });
  const { stateFolder } = await startAgent(t, DEVICES);
  await virgo(["clone", "--lease", "60000", "pump.on", "--state", stateFolder]);
  t.match((await virgo(["devices", "--state", stateFolder])).out, /pump +relay +ready +127\.0\.0\.1 \(\d+ ms\)/);
});

t.test("vars lists variables and watches them", async (t) => {
  const { stateFolder, agent } = await startAgent(t, DEVICES);
  const at = ["--state", stateFolder];
  agent.variables.set("battery_v", 12.5, "test");
  t.match((await virgo(["vars", "batt*", ...at])).out, /^VARIABLE +VALUE +UNIT +AGE +SOURCE\nbattery_v +12\.5 +V +\d+ ms +test\n$/);
  const io = createFakeIo();
  const watching = virgo(["vars", "batt*", "--watch", ...at], {}, io);
  await eventually(() => io.printed.out !== "");
  t.equal(io.printed.out, "battery_v=12.5 V\n", "what is known already");
  agent.variables.set("battery_v", 11.25, "test");
  await eventually(() => io.printed.out.split("\n").length > 2);
  t.equal(io.printed.out, "battery_v=12.5 V\nbattery_v=11.25 V\n", "and every change");
  io.end();
  t.equal((await watching).code, 0);

  const json = createFakeIo();
  const asJson = virgo(["vars", "--watch", "--json", ...at], {}, json);
  await eventually(() => json.printed.out !== "");
  t.match(JSON.parse(json.printed.out.split("\n")[0] ?? ""), { name: "battery_v", value: 11.25, unit: "V" });
  await agent.stop();
  t.match(await asJson, { code: 3, error: /^IO / }, "the agent went away");
  const stopped = createFakeIo();
  stopped.end();
  const late = await startAgent(t, DEVICES);
  t.equal((await virgo(["vars", "--watch", "--state", late.stateFolder], {}, stopped)).code, 0, "stopped before it began");
});

t.test("the agent is found by option, by environment, by its state folder, and missed with a word of advice", async (t) => {
  const { agent, stateFolder } = await startAgent(t, DEVICES);
  const gateway = agent.addresses["gateway"] ?? "";
  const port = gateway.slice(gateway.lastIndexOf(":") + 1);
  t.equal((await virgo(["devices", "--port", port])).code, 0);
  t.equal((await virgo(["devices", "--host", "localhost", "--port", port])).code, 0);
  t.equal((await virgo(["devices"], { VIRGO_ADDRESS: gateway })).code, 0);
  t.equal((await virgo(["devices"], { STATE_DIRECTORY: `${stateFolder}:/elsewhere` })).code, 0);
  const folder = t.testdir({
    everywhere: { "listen.json": JSON.stringify({ gateway: `0.0.0.0:${port}` }) },
    broken: { "listen.json": "{" },
  });
  t.equal((await virgo(["devices", "--state", join(folder, "everywhere")])).code, 0, "bound to every address");
  t.match(await virgo(["devices", "--state", join(folder, "broken")]), { code: 3, error: /^IO cannot read .*listen\.json/ });
  t.match(await virgo(["devices", "--port", "1"]), { code: 3, error: "IO nothing listens on 127.0.0.1:1; is the agent running?\n" });
  t.match(await virgo(["devices", "--host", "::1", "--port", "1"]), { code: 3, error: /\[::1\]:1/ });
  t.match(await virgo(["devices"], { VIRGO_ADDRESS: join(folder, "no.sock") }), { code: 3, error: /no\.sock; is the agent running/ });
  t.match(await virgo(["devices", "--port", "seventy"]), { code: 2, error: /^ARGUMENT an address is host:port/ });
});

t.test("a token authenticates, and a wrong one is the agent's refusal", async (t) => {
  const tokenSha256 = createHash("sha256").update("swordfish").digest("hex");
  const { stateFolder } = await startAgent(t, `${DEVICES}auth: { users: [{ name: ada, tokenSha256: ${tokenSha256}, priority: 50 }] }\n`);
  const at = ["--state", stateFolder];
  t.equal((await virgo(["devices", ...at], { VIRGO_TOKEN: "swordfish" })).code, 0);
  t.equal((await virgo(["devices", "--user", "ada", "--token", "swordfish", ...at])).code, 0);
  await virgo(["clone", "--lease", "60000", "pump.on", "--token", "swordfish", ...at]);
  t.match((await virgo(["devices", ...at])).out, /pump +relay +ready +ada \(/);
  t.match(await virgo(["devices", "--token", "hunter2", ...at]), { code: 1, out: "", error: /^DENIED / });
});

t.test("a command line that is wrong exits 2 and says what it takes", async (t) => {
  t.match(await virgo(["clone"]), { code: 2, out: "", error: /missing required argument 'function'/ });
  t.match(await virgo(["clone", "--lease", "soon", "lamp.on"]), { code: 2, error: /A whole number is expected/ });
  t.match(await virgo(["deviecs"]), { code: 2, error: /Did you mean devices\?/ });
  t.match(await virgo(["devices", "--colour"]), { code: 2, error: /unknown option/ });
  t.match(await virgo(["describe", "a", "b"]), { code: 2, error: /too many arguments/ });
  t.match(await virgo([]), { code: 2 }, "nothing asked");
  t.match(await virgo(["--help"]), { code: 0, out: /Exit codes: 0 done/, error: "" });
  t.match(await virgo(["--version"]), { code: 0, out: /^\d+\.\d+\.\d+\n$/ });
});

t.test("config check prints every mistake and exits 2, or says what is there", async (t) => {
  const folder = t.testdir({
    "bad.yaml": "noed: a\nlog: { level: loud }\n",
    "good.yaml": "board: sim\nclone: { executables: [/no/such/program] }\ndevices: { lamp: { driver: light, line: GPIO17 } }\n",
  });
  const bad = join(folder, "bad.yaml");
  const good = join(folder, "good.yaml");
  t.strictSame(await virgo(["config", "check", bad]), {
    code: 2,
    out: `${bad}:1:1: unknown key noed in the file; did you mean node?\n${bad}:2:15: log.level is "loud"; write debug, info, warn, error or silent\n`,
    error: "",
  });
  t.match(await virgo(["config", "check", good]), {
    code: 0,
    out: /good\.yaml:2:24: \/no\/such\/program cannot be executed; .+ \(warning\)\n.*good\.yaml: 1 device, 0 rules, no mistakes\n$/,
  });
  const json = JSON.parse((await virgo(["config", "check", bad, "--json"])).out) as { readonly problems: unknown[] };
  t.match(json.problems[0], { file: bad, line: 1, column: 1, reason: "unknown key noed in the file", suggestion: "did you mean node?" });
  t.match(await virgo(["config", "check", join(folder, "none.yaml")]), { code: 2, out: /cannot read the file/ });
  writeFileSync(join(folder, "rule.yaml"), "rules: { a: { when: 1 +, call: lamp.on() } }");
  t.match(await virgo(["config", "check", join(folder, "rule.yaml")]), { code: 2, out: /rules\.a\.when: / }, "rules are checked as well");
});

t.test("config schema prints JSON Schema with every driver", async (t) => {
  const { code, out } = await virgo(["config", "schema"]);
  t.equal(code, 0);
  const schema = JSON.parse(out) as { properties: { devices: { additionalProperties: { oneOf: { title: string }[] } } } };
  const drivers = deviceModules.flatMap((module) => module.drivers.map(({ name }) => name));
  t.ok(drivers.includes("servo"));
  t.same(schema.properties.devices.additionalProperties.oneOf.map(({ title }) => title).sort(), drivers.sort());
});
