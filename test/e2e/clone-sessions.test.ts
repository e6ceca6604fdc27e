import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import t from "tap";

import { startAgent } from "../helpers/start-agent.ts";

interface Session {
  readonly title: string;
  readonly source: string;
  readonly mode: number;
  readonly send: string;
  readonly payload: string;
  readonly replyBytes: number;
  /** What the token names: a function, or nothing. */
  readonly names: string;
}

const { sessions } = JSON.parse(readFileSync(new URL("../fixtures/clone-sessions.json", import.meta.url), "utf8")) as {
  sessions: readonly Session[];
};

/** What an original system call sends: the text, a NUL, and 3000 bytes in all. */
const SYSCALL_BYTES = 3000;

const plugins = mkdtempSync(join(tmpdir(), "virgo-plugins-"));
const plugin = join(plugins, "plugin.mjs");
writeFileSync(plugin, "export function virgo_cloud_test() {}\n");
t.teardown(() => {
  rmSync(plugins, { recursive: true, force: true });
});

t.test("there are recorded sessions of each kind", (t) => {
  t.equal(sessions.length, 4);
  t.same([...new Set(sessions.map(({ mode }) => mode))], [2, 0]);
  t.end();
});

for (const { title, mode, send, payload, replyBytes, names } of sessions) {
  if (names === "nothing") {
    t.test(`recorded, and without a queue behind it: ${title}`, async (t) => {
      const { exchange } = await startAgent(t, "kingcobra: false");
      t.equal(await exchange("clone", send), `ERR UNKNOWN ${send.trimEnd()}`.padEnd(replyBytes, "\0"));
    });
  }

  t.test(`recorded: ${title}`, async (t) => {
    const { exchange } = await startAgent(t, `clone: { parameterIsExecutable: ${mode}, plugins: [${plugin}] }`);
    const expected = payload.padEnd(replyBytes, "\0");
    t.equal(await exchange("clone", send), expected, "as telnet sends it");
    t.equal(await exchange("clone", send.trimEnd()), expected, "without a line end, ended by the client's own end");
    const syscall = `${send.trimEnd()}\0`.padEnd(SYSCALL_BYTES, "\x7f");
    t.equal(await exchange("clone", syscall), expected, "as the system call sends it, 3000 bytes with what its stack held");
    t.equal(await exchange("clone", `${send.trimEnd()} \0`.padEnd(SYSCALL_BYTES, "\0")), expected, "as the 32-bit system call does");
  });
}

t.test("a token without any end is answered after the silence, to a client that keeps its side open", async (t) => {
  const { agent } = await startAgent(t, "limits: { classicSilenceMs: 20 }");
  const { connectRaw } = await import("../helpers/raw-client.ts");
  const client = await connectRaw(agent.addresses["clone"] ?? "");
  client.send("virgo_cloud_test_kernelspace");
  t.match(await client.rest(), /^virgo_cloudexec_sendto\(\)/, "and the connection is closed without a reset");
  client.destroy();
  t.match(agent.journal.latest(1), [{ kind: "clone-test", detail: "virgo_cloud_test_kernelspace" }]);
});
