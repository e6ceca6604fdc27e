import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import t from "tap";

import { createSystemClock } from "../../agent/clock.ts";
import { AgentError } from "../../agent/contract/errors.ts";
import { errorReply, valueReply, type Caller, type Reply, type Request, type Service } from "../../agent/contract/request.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { createCloneService, type CloneMode, type TokenQueue } from "../../agent/services/clone.ts";
import { createExecutableRunner } from "../../agent/services/executables.ts";
import { createPluginRunner, functionName } from "../../agent/services/plugins.ts";
import { createFakeLog } from "../helpers/fake-log.ts";

const caller: Caller = { name: "bench", priority: 100, signal: new AbortController().signal };

/** What a rig needs of a test. */
interface Test {
  teardown(handler: () => unknown): void;
}

interface Setup {
  readonly mode?: CloneMode;
  readonly executables?: readonly string[];
  readonly plugins?: readonly string[];
  readonly timeLimitMs?: number;
  readonly maxRunning?: number;
  readonly queue?: TokenQueue;
  readonly useAsKingcobraService?: boolean;
}

function rig(t: Test, setup: Setup) {
  const { mode = 2, executables = [], plugins = [], timeLimitMs = 20_000, maxRunning = 4, queue, useAsKingcobraService = false } = setup;
  const clock = createSystemClock();
  const log = createFakeLog();
  const scratch = mkdtempSync(join(tmpdir(), "virgo-clone-"));
  const logFolder = join(scratch, "logs");
  const journal = createJournal(clock);
  const asked: Request[] = [];
  const devices: Service = {
    verbs: [{ verb: "CLONE", usage: "", summary: "" }],
    handle(request) {
      asked.push(request);
      if (request.args[0] === "later.on") return Promise.resolve(valueReply("later"));
      if (request.args[0] === "later.off") return Promise.resolve(errorReply(new AgentError("UNKNOWN", "no function later.off")));
      return request.args[0] === "lamp.on"
        ? valueReply(100)
        : errorReply(new AgentError("UNKNOWN", `no function ${String(request.args[0])}`));
    },
  };
  const runner = createExecutableRunner({ allowed: executables, timeLimitMs, maxRunning, logFolder, clock, log });
  const pluginRunner = createPluginRunner({ modules: plugins, timeLimitMs, maxRunning, clock });
  t.teardown(() => {
    runner.close();
    rmSync(scratch, { recursive: true, force: true });
    return pluginRunner.close();
  });
  const service = createCloneService({
    devices,
    journal,
    mode,
    executables: runner,
    plugins: pluginRunner,
    queue,
    useAsKingcobraService,
  });
  const ask = async (verb: string, ...args: string[]): Promise<Reply> => service.handle({ verb, args }, caller);
  const token = (word: string, modeText = "") => ask("CLONE.TOKEN", modeText, word);
  return { journal, log, logFolder, asked, ask, token, runner };
}

function errorOf(reply: Reply): string {
  return reply.kind === "error" ? `${reply.error.code} ${reply.error.message}` : reply.kind;
}

/** A program in a folder of the test's own. */
function program(folder: string, name: string): string {
  const path = join(folder, name);
  chmodSync(path, 0o755);
  return path;
}

async function eventually(check: () => boolean): Promise<void> {
  while (!check()) await new Promise((resolve) => setTimeout(resolve, 5));
}

function logOf(folder: string, name: string): string {
  try {
    return readFileSync(join(folder, name), "utf8");
  } catch {
    return "";
  }
}

t.test("a token names a device function; one that names nothing is answered with itself", async (t) => {
  const { asked, token } = rig(t, {});
  t.same(await token("lamp.on"), valueReply(100));
  t.same(await token("later.on"), valueReply("later"));
  t.equal(errorOf(await token("KingCobraRequest2")), "UNKNOWN KingCobraRequest2");
  t.equal(errorOf(await token("later.off")), "UNKNOWN later.off", "also where the answer comes later");
  t.same(
    asked.map(({ verb, args }) => [verb, ...args]),
    [
      ["CLONE", "lamp.on"],
      ["CLONE", "later.on"],
      ["CLONE", "KingCobraRequest2"],
      ["CLONE", "later.off"],
    ],
  );
  t.same(await token(""), valueReply(null), "an empty token is acknowledged, as the original did");
});

t.test("the call form and CLONE reach the devices with their arguments, other verbs pass through", async (t) => {
  const { asked, ask } = rig(t, {});
  t.same(await ask("CLONE.CALL", "lamp.on", "1"), valueReply(100));
  t.same(await ask("CLONE", "LEASE", "300", "lamp.on"), errorReply(new AgentError("UNKNOWN", "no function LEASE")));
  await ask("DEVICES");
  t.same(
    asked.map(({ verb, args }) => [verb, ...args]),
    [["CLONE", "lamp.on", "1"], ["CLONE", "LEASE", "300", "lamp.on"], ["DEVICES"]],
  );
});

t.test("the original's test function records its argument and answers 0, in every form", async (t) => {
  const { journal, asked, ask, token } = rig(t, {});
  t.same(await token("virgo_cloud_test_kernelspace"), valueReply(0));
  t.same(await ask("CLONE", "virgo_cloud_test_kernelspace", "h\u00c3\u00a9", "2"), valueReply(0));
  t.same(await ask("CLONE.CALL", "virgo_cloud_test_kernelspace", "x"), valueReply(0));
  t.same(
    journal.latest(5).map(({ kind, caller, detail }) => [kind, caller, detail]),
    [
      ["clone-test", "bench", "virgo_cloud_test_kernelspace"],
      ["clone-test", "bench", "hé 2"],
      ["clone-test", "bench", "x"],
    ],
  );
  t.same(asked, []);
});

t.test("mode 1 runs an executable of the allow-list, without a shell, and keeps its output", async (t) => {
  const folder = t.testdir({ "blink; ls": '#!/bin/sh\necho "ran with $# arguments as $HOME."\necho oops >&2\n' });
  const blink = program(folder, "blink; ls");
  const { logFolder, token } = rig(t, { mode: 1, executables: [blink] });
  t.same(await token(blink), valueReply(null));
  await eventually(() => logOf(logFolder, "blink; ls.log").includes("oops"));
  t.match(logOf(logFolder, "blink; ls.log"), /^ran with 0 arguments as \.\n/, "nothing of the agent's environment is handed on");
  t.equal(errorOf(await token("/bin/sh")), "UNKNOWN /bin/sh");
  t.equal(errorOf(await token(`${blink}/../sh`)), `UNKNOWN ${blink}/../sh`);
  t.same(await token(blink, "1"), valueReply(null), "a token may carry its mode");
  t.same(await token("lamp.on", "2"), valueReply(100));
});

t.test("an executable is killed with its children at the time limit, and only so many run at once", async (t) => {
  const folder = t.testdir({ sleeper: "#!/bin/sh\necho started\nsleep 60 &\nwait\n" });
  const sleeper = program(folder, "sleeper");
  const { log, logFolder, token } = rig(t, { mode: 1, executables: [sleeper], timeLimitMs: 300, maxRunning: 1 });
  t.same(await token(sleeper), valueReply(null));
  t.equal(errorOf(await token(sleeper)), "FULL 1 executables are running already (clone.maxRunning)");
  await eventually(() => log.lines.some((line) => line.includes("ended with SIGKILL")));
  t.ok(log.lines.some((line) => line.includes("ran longer than 300 ms and was killed")));
  t.match(logOf(logFolder, "sleeper.log"), "started");
  t.same(await token(sleeper), valueReply(null), "its place is free again");
});

t.test("output beyond a mebibyte is dropped, and a full log is set aside before the next run", async (t) => {
  const folder = t.testdir({ noisy: "#!/bin/sh\nhead -c 3000000 /dev/zero\n" });
  const noisy = program(folder, "noisy");
  const { log, logFolder, token } = rig(t, { mode: 1, executables: [noisy] });
  const ended = () => log.lines.filter((line) => line.includes("ended with 0")).length;
  await token(noisy);
  await eventually(() => ended() === 1 && logOf(logFolder, "noisy.log").length === 1024 * 1024);
  await token(noisy);
  await eventually(() => ended() === 2);
  t.equal(logOf(logFolder, "noisy.log.1").length, 1024 * 1024);
});

t.test("an executable that cannot be run is an IO error with the reason", async (t) => {
  const folder = t.testdir({ plain: "not a program" });
  const { token } = rig(t, { mode: 1, executables: [join(folder, "plain"), join(folder, "gone")] });
  t.match(errorOf(await token(join(folder, "plain"))), /^IO .*plain cannot be run: .*EACCES/);
  t.match(errorOf(await token(join(folder, "gone"))), /^IO .*gone cannot be run: .*ENOENT/);
});

t.test("closing kills what still runs", async (t) => {
  const folder = t.testdir({ sleeper: "#!/bin/sh\nsleep 60\n" });
  const sleeper = program(folder, "sleeper");
  const { log, runner, token } = rig(t, { mode: 1, executables: [sleeper] });
  await token(sleeper);
  runner.close();
  await eventually(() => log.lines.some((line) => line.includes("ended with SIGKILL")));
});

t.test("mode 0 calls a function of a plugin module in a worker, by its plain or its mangled name", async (t) => {
  const folder = t.testdir({
    "a.mjs": "export const other = 1;",
    "b.mjs":
      'import { appendFileSync } from "node:fs";\n' +
      'export function virgo_cloud_test(symbol) { appendFileSync(new URL("./called", import.meta.url), symbol + "\\n"); }\n' +
      'export async function later() { await null; appendFileSync(new URL("./called", import.meta.url), "later\\n"); }\n' +
      'export function fails() { throw new Error("broken\\nplugin"); }\n' +
      "export function hangs() { for (;;); }\n" +
      "export function exits() { process.exit(3); }\n",
  });
  const plugins = ["a.mjs", "b.mjs"].map((name) => pathToFileURL(join(folder, name)).href);
  const { token } = rig(t, { mode: 0, plugins });
  t.same(await token("_Z16virgo_cloud_testPv"), valueReply(null));
  t.same(await token("later"), valueReply(null));
  t.equal(readFileSync(join(folder, "called"), "utf8"), "_Z16virgo_cloud_testPv\nlater\n");
  t.equal(errorOf(await token("fails")), "IO fails failed: broken plugin");
  t.equal(errorOf(await token("exits")), "IO exits ended its thread without returning");
  t.equal(errorOf(await token("nothing")), "UNKNOWN nothing");
  t.equal(errorOf(await token("other")), "UNKNOWN other", "what is exported but no function");
  t.equal(errorOf(await token("_Z99shortPv")), "UNKNOWN _Z99shortPv");
  const limited = rig(t, { mode: 2, plugins, timeLimitMs: 300, maxRunning: 1 });
  const hanging = limited.token("hangs", "0");
  t.equal(errorOf(await limited.token("later", "0")), "FULL 1 plugin functions are running already (clone.maxRunning)");
  t.equal(errorOf(await hanging), "TIMEOUT hangs ran longer than 300 ms (clone.timeLimitMs)");
});

t.test("without a plugin module nothing is loaded, and a module that does not load is an error", async (t) => {
  t.equal(errorOf(await rig(t, { mode: 0 }).token("virgo_cloud_test")), "UNKNOWN virgo_cloud_test");
  const folder = t.testdir({ "bad.mjs": "this is not a module" });
  const { token } = rig(t, { mode: 0, plugins: [pathToFileURL(join(folder, "bad.mjs")).href] });
  t.match(errorOf(await token("virgo_cloud_test")), /^IO virgo_cloud_test failed: /);
});

t.test("unscoped C++ symbols are demangled, others are no function names", (t) => {
  t.equal(functionName("_Z16virgo_cloud_testPv"), "virgo_cloud_test");
  t.equal(functionName("virgo_cloud_test"), "virgo_cloud_test");
  for (const symbol of ["_Z", "_Z0x", "_Z5ab", "_ZN3foo3barEv", "a b", "", "1x", "../x"]) {
    t.equal(functionName(symbol) === undefined || /^\w+$/.test(functionName(symbol) ?? ""), true);
  }
  t.equal(functionName("_Z0x"), undefined);
  t.equal(functionName("_Z5ab"), undefined);
  t.equal(functionName("a b"), undefined);
  t.equal(functionName(""), undefined);
  t.end();
});

/** A queue that takes what does not begin with `full`. */
function createQueue() {
  const taken: string[] = [];
  const queue: TokenQueue = {
    accept(payload) {
      if (payload.startsWith("full")) return errorReply(new AgentError("FULL", "100 messages are queued already"));
      taken.push(payload);
      return Promise.resolve(valueReply(taken.length));
    },
  };
  return { taken, queue };
}

t.test("with a queue, a token of mode 2 that names nothing goes there, and nothing else does", async (t) => {
  const { taken, queue } = createQueue();
  const { token, ask } = rig(t, { queue });
  t.same(await token("KingCobraRequest2"), valueReply(1));
  t.same(await token("lamp.on"), valueReply(100));
  t.same(await token("later.on"), valueReply("later"));
  t.same(await token("virgo_cloud_test_kernelspace"), valueReply(0));
  t.same(await token(""), valueReply(null));
  t.equal(errorOf(await token("/opt/none", "1")), "UNKNOWN /opt/none", "an executable that is not allowed is none");
  t.equal(errorOf(await ask("CLONE.CALL", "nothing", "1")), "UNKNOWN no function nothing");
  t.equal(errorOf(await ask("CLONE", "nothing")), "UNKNOWN no function nothing");
  t.same(await token("nothing.off", "2"), valueReply(2));
  t.same(await token("later.off"), valueReply(3));
  t.strictSame(taken, ["KingCobraRequest2", "nothing.off", "later.off"]);
});

t.test("a token that the queue does not take is answered UNKNOWN, which is never acknowledged, with the reason", async (t) => {
  const { token } = rig(t, { queue: createQueue().queue });
  t.equal(errorOf(await token("fullname")), "UNKNOWN fullname (not queued: FULL 100 messages are queued already)");
});

t.test("as a KingCobra service every token goes to the queue with its mode, and calls are still answered", async (t) => {
  const { taken, queue } = createQueue();
  const { token, ask, asked } = rig(t, { queue, useAsKingcobraService: true });
  for (const word of ["lamp.on", "virgo_cloud_test_kernelspace", "new", "full.on"]) await token(word);
  await token("/usr/bin/true", "1");
  t.strictSame(taken, ["lamp.on", "virgo_cloud_test_kernelspace", "new", "1:/usr/bin/true"]);
  t.same(asked, []);
  t.same(await ask("CLONE.CALL", "lamp.on"), valueReply(100));
});

t.test("an executable can be run to its end, with arguments, for what it prints", async (t) => {
  const folder = t.testdir({
    echo: '#!/bin/sh\nprintf "%s|%s" "$#" "$1"\necho told >&2\n',
    fails: "#!/bin/sh\necho half\nexit 3\n",
    sleeps: "#!/bin/sh\necho begun\nexec sleep 1000\n",
    floods: "#!/bin/sh\nexec head -c 3000000 /dev/zero\n",
  });
  const [echo = "", fails = "", sleeps = "", floods = ""] = ["echo", "fails", "sleeps", "floods"].map((name) => program(folder, name));
  const { runner, logFolder } = rig(t, { executables: [echo, fails, sleeps, floods], maxRunning: 1 });
  const quiet = new AbortController().signal;
  t.equal((await runner.run(echo, ["a b; $(ls) é"], quiet)).toString(), "1|a b; $(ls) é");
  await eventually(() => logOf(logFolder, "echo.log").includes("told"));
  await t.rejects(runner.run(fails, [], quiet), { code: "FAULTED", message: `${fails} ended with 3` });
  t.equal((await runner.run(floods, [], quiet)).length, 1024 * 1024, "no more than that is kept");
  await t.rejects(runner.run("/bin/sh", [], quiet), { code: "UNKNOWN", message: "/bin/sh" });
  const stop = new AbortController();
  const running = runner.run(sleeps, [], stop.signal);
  await eventually(() => logOf(logFolder, "sleeps.log").includes("begun"));
  await t.rejects(runner.run(echo, [], quiet), { code: "FULL" });
  stop.abort();
  await t.rejects(running, { code: "FAULTED", message: `${sleeps} ended with SIGKILL` });
  await t.rejects(runner.run(echo, [], stop.signal), { code: "NOT_READY", message: `${echo} is not run: who asked for it is gone` });
});
