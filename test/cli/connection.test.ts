import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

import t, { type Test } from "tap";

import { connectAgent, targetText } from "../../agent/cli/connection.ts";
import { createSystemClock } from "../../agent/clock.ts";
import type { AgentConnection } from "../../agent/cli/connection.ts";

const HELLO = "%1\r\n$6\r\nserver\r\n$5\r\nvirgo\r\n";

/** A server that answers each arriving piece with the next of `answers`; undefined closes the connection. */
async function serve(
  t: Test,
  answers: readonly (string | undefined)[],
): Promise<{ readonly port: number; readonly received: () => string; readonly peer: () => Socket }> {
  let received = "";
  let peer: Socket | undefined;
  const server = createServer((socket) => {
    peer = socket;
    const left = [...answers];
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk) => {
      received += chunk.toString();
      if (left.length === 0) return;
      const answer = left.shift();
      if (answer === undefined) socket.destroy();
      else socket.write(answer);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => {
    peer?.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, received: () => received, peer: () => peer! };
}

function connect(
  port: number,
  more: { readonly token?: string; readonly user?: string; readonly connectMs?: number } = {},
): Promise<AgentConnection> {
  return connectAgent({ target: { host: "127.0.0.1", port }, clock: createSystemClock(), ...more });
}

t.test("it greets, asks in RESP with the length of the text in bytes, and takes answers in order", async (t) => {
  const { port, received } = await serve(t, [HELLO, "+ONE\r\n$5\r\nt\u0000w\r\n\r\n"]);
  const connection = await connect(port);
  const answers = Promise.all([connection.call("PING", []), connection.call("GET", ["µ", ""])]);
  t.strictSame(await answers, [
    { kind: "status", text: "ONE" },
    { kind: "value", value: "t\u0000w\r\n" },
  ]);
  t.equal(received(), "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nGET\r\n$2\r\nµ\r\n$0\r\n\r\n");
  connection.close();
});

t.test("a token goes with the greeting", async (t) => {
  const { port, received } = await serve(t, [HELLO]);
  (await connect(port, { token: "swordfish", user: "ada" })).close();
  t.match(received(), "$4\r\nAUTH\r\n$3\r\nada\r\n$9\r\nswordfish\r\n");
});

t.test("an error is an answer, a refused greeting is not a connection", async (t) => {
  const { port } = await serve(t, [HELLO, "-IN_USE lamp is held\r\n"]);
  const connection = await connect(port);
  t.match(await connection.call("CLONE", []), { kind: "error", error: { code: "IN_USE", message: "lamp is held" } });
  connection.close();
  const refusing = await serve(t, ["-DENIED no user has that name and token\r\n"]);
  await t.rejects(connect(refusing.port, { token: "x" }), { code: "DENIED" });
});

t.test("what was asked is rejected when the connection ends, whoever ends it", async (t) => {
  const closing = await serve(t, [HELLO, undefined]);
  const abandoned = await connect(closing.port);
  let reason: unknown;
  abandoned.onEnd((error) => {
    reason = error;
  });
  await t.rejects(abandoned.call("PING", []), { code: "IO", message: `127.0.0.1:${closing.port} closed the connection` });
  t.match(reason, { code: "IO" });
  await t.rejects(abandoned.call("PING", []), { code: "IO" }, "and what is asked later");

  const silent = await serve(t, [HELLO]);
  const own = await connect(silent.port);
  const asked = own.call("PING", []);
  own.close();
  await t.rejects(asked, { code: "IO", message: `the connection to 127.0.0.1:${silent.port} was closed before the answer` });
  await t.rejects(own.call("PING", []), { code: "IO", message: /is closed$/ });
});

t.test("silence is a time-out, and the late answer is nobody's", async (t) => {
  const { port, peer } = await serve(t, [HELLO]);
  const connection = await connect(port);
  await t.rejects(connection.call("PING", [], 20), { code: "TIMEOUT", message: `127.0.0.1:${port} has not answered within 20 ms` });
  peer().write("+LATE\r\n");
  await t.rejects(connection.call("PING", []), { code: "TIMEOUT" });
  const mute = await serve(t, []);
  await t.rejects(connect(mute.port, { connectMs: 20 }), { code: "TIMEOUT" });
});

t.test("what is no agent is said to be none", async (t) => {
  const web = await serve(t, ["HTTP/1.1 400 Bad Request\r\n\r\n"]);
  await t.rejects(connect(web.port), { code: "SYNTAX", message: /is no agent: not a reply: "HTTP/ });
  const chatty = await serve(t, [`${HELLO}+MORE\r\n`]);
  const connection = await connect(chatty.port);
  await t.rejects(connection.call("PING", []), { code: "SYNTAX", message: /answered what was not asked/ });
});

t.test("pushes reach who listens, until they stop", async (t) => {
  const { port, peer } = await serve(t, [HELLO, "+OK\r\n", "+OK\r\n"]);
  const connection = await connect(port);
  const seen: unknown[] = [];
  const first = new Promise<void>((resolve) => {
    const cancel = connection.onPush((message) => {
      seen.push(message);
      cancel();
      resolve();
    });
  });
  peer().write(">2\r\n+var\r\n:1\r\n");
  await first;
  peer().write(">2\r\n+var\r\n:2\r\n");
  await connection.call("PING", []);
  t.strictSame(seen, [["var", 1]]);
  connection.close();
});

t.test("a target as text", (t) => {
  t.equal(targetText({ host: "::1", port: 6390 }), "[::1]:6390");
  t.equal(targetText({ host: "pi.local", port: 6390 }), "pi.local:6390");
  t.equal(targetText({ path: "/run/virgo.sock" }), "/run/virgo.sock");
  t.end();
});
