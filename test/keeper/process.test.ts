import { once } from "node:events";
import { join } from "node:path";

import t, { type Test } from "tap";

import { hostEnvironment, startHostProcess, type HostProcess } from "../../agent/keeper/process.ts";
import { eventually } from "../helpers/eventually.ts";
import type { AgentError } from "../../agent/contract/errors.ts";

const SCRIPT = join(import.meta.dirname, "host-program.mjs");

interface Started {
  readonly host: HostProcess;
  readonly ended: Promise<readonly [number | null, string | null]>;
  readonly heard: () => Promise<string>;
}

function start(t: Test): Started {
  const host = startHostProcess({
    script: SCRIPT,
    nodeArgs: ["--no-warnings"],
    env: { ...process.env, NOTIFY_SOCKET: "/run/notify", WATCHDOG_USEC: "1", VIRGO_TOKEN: "secret", KEPT: "yes" },
    onError: (error) => t.fail(error.message),
  });
  const ended = new Promise<readonly [number | null, string | null]>((resolve) => {
    host.onExit((code, signal) => resolve([code, signal]));
  });
  t.teardown(() => host.kill("SIGKILL"));
  return {
    host,
    ended,
    async heard() {
      const [chunk] = (await once(host.stream, "data")) as [Buffer];
      return chunk.toString();
    },
  };
}

t.test("the process is connected by descriptor 3, and does not see what is meant for this one", async (t) => {
  const { host, heard, ended } = start(t);
  t.strictSame(JSON.parse(await heard()), { seen: ["KEPT"], execArgv: ["--no-warnings"] });
  t.ok(host.pid > 0);
  host.stream.write("hello\n");
  t.equal(await heard(), "hello\n");
  host.stream.write("exit\n");
  t.strictSame(await ended, [7, null]);
  host.onExit((code, signal) => t.strictSame([code, signal], [7, null], "also who asks later is told"));
  host.kill("SIGKILL");
});

t.test("it hears when this end is gone, however that came", async (t) => {
  const { host, heard, ended } = start(t);
  await heard();
  host.stream.destroy();
  t.strictSame(await ended, [9, null]);
});

for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  t.test(`its end by ${signal} is told`, async (t) => {
    const { host, heard, ended } = start(t);
    await heard();
    host.kill(signal);
    t.strictSame(await ended, [null, signal]);
  });
}

t.test("one that is stopped can be killed", async (t) => {
  const { host, heard, ended } = start(t);
  await heard();
  host.kill("SIGSTOP");
  host.kill("SIGKILL");
  t.strictSame(await ended, [null, "SIGKILL"]);
});

t.test("the environment is handed on but for what concerns one process only", async (t) => {
  t.strictSame(
    hostEnvironment({
      PATH: "/bin",
      NODE_CHANNEL_FD: "3",
      LISTEN_FDS: "1",
      WATCHDOG_PID: "1",
      NODE_EXTRA_CA_CERTS: "/x",
      STATE_DIRECTORY: "/var",
    }),
    { PATH: "/bin", STATE_DIRECTORY: "/var" },
  );
});

t.test("where no process can be started, that is IO, and told with the reason", async (t) => {
  const { execPath } = process;
  t.teardown(() => (process.execPath = execPath));
  process.execPath = "/nowhere/node";
  const errors: AgentError[] = [];
  t.throws(() => startHostProcess({ script: SCRIPT, env: {}, onError: (error) => errors.push(error) }), {
    code: "IO",
    message: /^\/nowhere\/node cannot be started/,
  });
  await eventually(() => errors.length > 0);
  t.match(errors, [{ code: "IO", message: /cannot be started or signalled: spawn \/nowhere\/node ENOENT/ }]);
});
