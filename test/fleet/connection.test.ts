import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";

import t, { type Test } from "tap";

import { createSystemClock } from "../../agent/clock.ts";
import { connectAgent } from "../../agent/fleet/connection.ts";
import { createLink } from "../../agent/fleet/link.ts";
import { parseTarget, targetText } from "../../agent/fleet/target.ts";
import type { AgentConnection, TlsMaterial } from "../../agent/fleet/connection.ts";
import { createFakeClock, settled } from "../helpers/fake-clock.ts";

const HELLO = "%1\r\n$6\r\nserver\r\n$5\r\nvirgo\r\n";

/** A server that answers each arriving piece with the next of `answers`; undefined closes the connection. */
async function serve(
  t: Test,
  answers: readonly (string | Buffer | undefined)[],
): Promise<{
  readonly port: number;
  /** One character per byte. */
  readonly received: () => string;
  readonly pieces: () => number;
  readonly peer: () => Socket;
}> {
  let received = "";
  let pieces = 0;
  let peer: Socket | undefined;
  const server = createServer((socket) => {
    peer = socket;
    const left = [...answers];
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
      pieces += 1;
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
  return { port: (server.address() as AddressInfo).port, received: () => received, pieces: () => pieces, peer: () => peer! };
}

/** A TLS server that demands a certificate of its authority and answers every piece after the greeting with PONG. */
async function serveTls(
  t: Test,
  version: "TLSv1.2" | "TLSv1.3" = "TLSv1.3",
): Promise<{ readonly port: number; readonly protocols: (string | null)[] }> {
  const protocols: (string | null)[] = [];
  const sockets = new Set<Socket>();
  const server = createTlsServer(
    {
      ca: pem("ca.pem"),
      cert: pem("node.pem"),
      key: pem("node.key"),
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: "TLSv1.2",
      maxVersion: version,
    },
    (socket) => {
      protocols.push(socket.getProtocol());
      socket.on("error", () => socket.destroy());
      socket.on("data", (chunk: Buffer) => socket.write(chunk.includes("HELLO") ? HELLO : "+PONG\r\n"));
    },
  ).listen(0, "127.0.0.1");
  server.on("connection", (socket) => sockets.add(socket));
  server.on("tlsClientError", () => undefined);
  await once(server, "listening");
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, protocols };
}

function pem(name: string): Buffer {
  return readFileSync(join(import.meta.dirname, "tls", name));
}

function connect(
  port: number,
  more: { readonly token?: string; readonly user?: string; readonly connectMs?: number; readonly tls?: TlsMaterial } = {},
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
  t.equal(received(), "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nGET\r\n$2\r\n\u00c2\u00b5\r\n$0\r\n\r\n");
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

t.test("silence is a time-out, and the answer that comes late is nobody's", async (t) => {
  const { port, peer } = await serve(t, [HELLO]);
  const connection = await connect(port);
  await t.rejects(connection.call("PING", [], 20), { code: "TIMEOUT", message: `127.0.0.1:${port} has not answered within 20 ms` });
  const next = connection.call("PING", []);
  peer().write("+LATE\r\n+NEXT\r\n");
  t.strictSame(await next, { kind: "status", text: "NEXT" }, "the connection is used on");
  connection.close();
  const mute = await serve(t, []);
  await t.rejects(connect(mute.port, { connectMs: 20 }), { code: "TIMEOUT" });
});

t.test("a connection on which nothing comes after a time-out is given up, one on which something comes is not", async (t) => {
  const clock = createFakeClock();
  const { port, peer } = await serve(t, [HELLO]);
  const connection = await connectAgent({ target: { host: "127.0.0.1", port }, clock, silenceMs: 1000 });
  const slow = connection.call("SLOW", [], 100);
  const patient = connection.call("PATIENT", [], 60_000);
  const pushed = new Promise((resolve) => {
    connection.onPush(resolve);
  });
  slow.catch(() => undefined);
  await clock.advance(150);
  await t.rejects(slow, { code: "TIMEOUT" });
  peer().write(">1\r\n+news\r\n");
  await pushed;
  await clock.advance(1000);
  t.equal(clock.pending(), 1, "the patient question waits on");
  const other = connection.call("OTHER", [], 100);
  other.catch(() => undefined);
  patient.catch(() => undefined);
  await clock.advance(1100);
  await t.rejects(other, { code: "TIMEOUT" });
  await t.rejects(patient, { code: "IO", message: /has been silent for too long and was given up/ });
  t.equal(clock.pending(), 0);
});

t.test("bytes go as they are, between texts, and come back as they are", async (t) => {
  const { port, received } = await serve(t, [HELLO, "$3\r\nabc\r\n"]);
  const connection = await connect(port);
  t.strictSame(await connection.call("SETM", ["7", Uint8Array.of(0, 255, 10), "", Buffer.from("µ")]), { kind: "value", value: "abc" });
  t.ok(received().endsWith("*5\r\n$4\r\nSETM\r\n$1\r\n7\r\n$3\r\n\0\u00ff\n\r\n$0\r\n\r\n$2\r\n\u00c2\u00b5\r\n"));
  connection.close();
  const binary = await serve(t, [HELLO, Buffer.from([0x24, 0x32, 13, 10, 0xff, 0, 13, 10])]);
  const other = await connect(binary.port);
  t.strictSame(await other.call("GETM", ["7"]), { kind: "value", value: Uint8Array.of(255, 0) });
  other.close();
});

t.test("what is asked in one turn leaves in one write", async (t) => {
  const { port, pieces } = await serve(t, [HELLO, "+1\r\n+2\r\n+3\r\n"]);
  const connection = await connect(port);
  const before = pieces();
  await Promise.all(["A", "B", "C"].map((verb) => connection.call(verb, [Buffer.from("x"), "y"])));
  t.equal(pieces() - before, 1);
  connection.close();
});

t.test("the node's own name is known from the greeting", async (t) => {
  const named = await serve(t, ["%2\r\n$6\r\nserver\r\n$5\r\nvirgo\r\n$4\r\nnode\r\n$6\r\ngarage\r\n"]);
  const connection = await connect(named.port);
  t.equal(connection.node, "garage");
  connection.close();
  const nameless = await serve(t, [HELLO]);
  const other = await connect(nameless.port);
  t.equal(other.node, "");
  let told = 0;
  other.close();
  other.onEnd(() => (told += 1));
  other.onEnd(() => (told += 10))();
  await settled();
  t.equal(told, 1, "whoever asks after the end is told as well, unless it has cancelled");
});

t.test("TLS 1.3: both sides show certificates and trust one authority", async (t) => {
  const { port, protocols } = await serveTls(t);
  const connection = await connect(port, { tls: { ca: pem("ca.pem"), certificate: pem("client.pem"), key: pem("client.key") } });
  t.strictSame(await connection.call("PING", []), { kind: "status", text: "PONG" });
  t.strictSame(protocols, ["TLSv1.3"]);
  connection.close();
  const named = await connect(port, {
    tls: { ca: pem("ca.pem"), certificate: pem("client.pem"), key: pem("client.key"), servername: "garage" },
  });
  named.close();
  await t.rejects(connect(port, { tls: { ca: pem("other-ca.pem"), certificate: pem("client.pem"), key: pem("client.key") } }), {
    code: "IO",
    message: /^cannot reach 127\.0\.0\.1:\d+: .*certificate/,
  });
  await t.rejects(connect(port, { tls: { ca: pem("ca.pem") } }), { code: "DENIED", message: /does not accept our certificate: / });
  await t.rejects(
    connect(port, { tls: { ca: pem("ca.pem"), certificate: pem("client.pem"), key: pem("client.key"), servername: "shed" } }),
    { code: "IO", message: /shed/ },
    "a certificate for somebody else",
  );
});

t.test("what a link shows is asked for before every connection: a renewed certificate counts without a restart", async (t) => {
  const { port } = await serveTls(t);
  let shown: TlsMaterial = { ca: pem("ca.pem") };
  const link = createLink({
    targets: [{ host: "127.0.0.1", port }],
    clock: createSystemClock(),
    tls: () => Promise.resolve(shown),
    random: () => 0,
  });
  await t.rejects(link.call("PING", [], 5000), { code: "DENIED" });
  shown = { ca: pem("ca.pem"), certificate: pem("client.pem"), key: pem("client.key") };
  t.strictSame(await link.call("PING", [], 5000), { kind: "status", text: "PONG" });
  link.close();
});

t.test("a server that speaks TLS 1.2 only is not spoken to", async (t) => {
  const { port } = await serveTls(t, "TLSv1.2");
  await t.rejects(connect(port, { tls: { ca: pem("ca.pem"), certificate: pem("client.pem"), key: pem("client.key") } }), { code: "IO" });
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

t.test("a target as text, and back", (t) => {
  for (const text of ["[::1]:6390", "pi.local:6390", "/run/virgo.sock", "10.0.0.7:1", "[fe80::1%eth0]:65535"]) {
    t.equal(targetText(parseTarget(text)), text);
  }
  t.strictSame(parseTarget("pi.local"), { host: "pi.local", port: 6390 });
  t.strictSame(parseTarget("[::1]", 7000), { host: "::1", port: 7000 });
  for (const text of ["", ":1", "pi:0", "pi:65536", "pi:x", "a b:1", "::1", "pi.local:", "[::1", "http://pi"]) {
    t.throws(() => parseTarget(text), { code: "ARGUMENT", message: /^an address is host:port, / }, text);
  }
  t.end();
});
