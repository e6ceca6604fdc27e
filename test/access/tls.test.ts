import { copyFileSync, readFileSync, rmSync, writeFileSync, chmodSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import t from "tap";

import { createAuthority } from "../../agent/access/authority.ts";
import { tlsOptionsSchema } from "../../agent/access/options.ts";
import { openTls } from "../../agent/access/tls.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { createFakeClock, settled } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { connectRaw } from "../helpers/raw-client.ts";
import { missing, type } from "../helpers/tools.ts";
import { connectSecure, makeAuthority, openssl, startSecureListener } from "./secure-fleet.ts";
import type { Clock } from "../../agent/contract/clock.ts";

const skip = missing("openssl", "openssl");

const folder = mkdtempSync(join(tmpdir(), "virgo-tls-"));
t.teardown(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** A clock that is wrong by so much. */
function clockOff(ms: number): Clock {
  const clock = createSystemClock();
  return { ...clock, wallMs: () => clock.wallMs() + ms };
}

async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await settled();
}

t.test("an authority, a node, clients good and bad", { skip }, async () => {
  const authority = await makeAuthority(folder);
  await authority.issue("client", "bob", 30, []);
  await authority.issue("client", "eve", 30, []);
  await authority.revoke("eve");
  copyFileSync(join(folder, "revoked", eveFile("crt")), join(folder, "eve.crt"));
  copyFileSync(join(folder, "revoked", eveFile("key")), join(folder, "eve.key"));
  await createAuthority({ folder, clock: clockOff(-10 * 86_400_000) }).issue("client", "late", 5, []);
  await createAuthority({ folder, clock: clockOff(10 * 86_400_000) }).issue("client", "early", 5, []);
  const other = join(folder, "other");
  await makeAuthority(other);
  for (const ending of ["crt", "key"]) copyFileSync(join(other, `ada.${ending}`), join(folder, `stranger.${ending}`));

  function eveFile(ending: string): string {
    const list = readFileSync(join(folder, "authority", "index.txt"), "utf8");
    const serial =
      list
        .split("\n")
        .find((row) => row.includes("CN=eve"))
        ?.split("\t")[3] ?? "";
    return `eve-${serial}.${ending}`;
  }
});

t.test("a client with a good certificate of a user comes in by it alone, with the user's priority", { skip }, async (t) => {
  const listener = await startSecureListener(t, { folder });
  const client = await connectSecure(listener, folder, "ada");
  t.equal(client.socket.getProtocol(), "TLSv1.3");
  client.send("ECHO a\r\nHELLO\r\nQUIT\r\n");
  t.match(await client.rest(), /^\*1\r\n\$1\r\na\r\n.*caller\r\n\$3\r\nada\r\n\$13\r\nauthenticated\r\n:1\r\n\+OK\r\n$/s);
  t.match(listener.service.callers[0], { name: "ada", priority: 50, maxPriority: 50, address: "127.0.0.1" });
  t.match(listener.audit.entries, [/^authenticate 127\.0\.0\.1 ada by certificate ada [0-9a-f]{64}$/]);
  client.end();
});

t.test("whoever has no certificate, or a bad one, is told why, closed, and recorded", { skip }, async (t) => {
  const listener = await startSecureListener(t, { folder });
  for (const [name, reason] of [
    [undefined, "it shows no client certificate"],
    ["stranger", "its certificate is not of the authority in tls.ca"],
    ["late", "its certificate has expired"],
    ["early", "its certificate is not valid yet; is the clock of this machine right?"],
    ["eve", "its certificate is revoked"],
  ] as const) {
    const client = await connectSecure(listener, folder, name);
    client.send("ECHO a\r\nESTOP\r\n");
    t.equal(await client.rest(), `-DENIED 127.0.0.1 is refused: ${reason}\r\n`, name ?? "none");
    t.equal(listener.audit.entries.at(-1), `connect 127.0.0.1 secure refused: ${reason}`);
    client.end();
  }
  t.equal(listener.service.callers.length, 0);
  t.equal(listener.stats.refused, 5);
  t.equal(listener.stats.accepted, 0);
  t.ok(listener.log.lines.includes("warn refused a peer on secure: its certificate has expired"));
});

t.test("a certificate for servers is none for clients", { skip }, async (t) => {
  const server = join(folder, "server-only");
  const request = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", `${server}.key`];
  await openssl([...request, "-subj", "/CN=ada", "-out", `${server}.csr`]);
  writeFileSync(`${server}.ext`, "extendedKeyUsage = serverAuth\n");
  const signed = ["x509", "-req", "-in", `${server}.csr`, "-CA", join(folder, "ca.crt"), "-CAkey", join(folder, "ca.key")];
  await openssl([...signed, "-CAcreateserial", "-days", "5", "-extfile", `${server}.ext`, "-out", `${server}.crt`]);
  const listener = await startSecureListener(t, { folder });
  const client = await connectSecure(listener, folder, "server-only");
  t.equal(await client.rest(), "-DENIED 127.0.0.1 is refused: its certificate is not one for clients\r\n");
});

t.test(
  "this machine proves nothing over TLS: a certificate of no user, or none where that may be, still needs AUTH",
  { skip },
  async (t) => {
    const users = [
      { name: "ada", tokenSha256: "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed", priority: 50 },
      { name: "nodes", certificate: "gar*", priority: 20 },
    ];
    const strict = await startSecureListener(t, { folder, users });
    const bob = await connectSecure(strict, folder, "bob");
    bob.send("ECHO a\r\nAUTH ada one\r\nECHO b\r\nQUIT\r\n");
    t.match(await bob.rest(), /^-DENIED ECHO needs authentication here.*\r\n\+OK\r\n\*1\r\n\$1\r\nb\r\n\+OK\r\n$/);
    t.match(strict.audit.entries, [
      /^authenticate 127\.0\.0\.1 certificate no user has bob [0-9a-f]{64}$/,
      "refuse 127.0.0.1 ECHO not authenticated".replace("ECHO", "ECHO"),
      "authenticate 127.0.0.1 ada by token",
    ]);
    const any = await startSecureListener(t, { folder, users, tls: { clients: "any" } });
    const none = await connectSecure(any, folder, undefined);
    none.send("ECHO a\r\nAUTH one\r\nECHO b\r\nQUIT\r\n");
    t.match(await none.rest(), /^-DENIED ECHO needs authentication here.*\r\n\+OK\r\n\*1\r\n\$1\r\nb\r\n\+OK\r\n$/);
    const bad = await connectSecure(any, folder, "eve");
    t.match(await bad.rest(), /^-DENIED .*its certificate is revoked/, "a bad certificate is worse than none");
    const node = await connectSecure(any, folder, "garage");
    node.send("ECHO c\r\nQUIT\r\n");
    t.equal(await node.rest(), "*1\r\n$1\r\nc\r\n+OK\r\n");
    t.match(any.service.callers.at(-1), { name: "nodes:garage", priority: 20 });
  },
);

t.test("nothing is resumed: every connection shows its certificate again", { skip }, async (t) => {
  const listener = await startSecureListener(t, { folder });
  const sessions: Buffer[] = [];
  const first = await connectSecure(listener, folder, "ada");
  first.socket.on("session", (session) => sessions.push(session));
  first.send("PING\r\n");
  await first.take(7);
  await settled();
  first.send("QUIT\r\n");
  await first.rest();
  first.end();
  const session = sessions.at(-1) ?? first.socket.getSession();
  const again = await connectSecure(listener, folder, undefined, session === undefined ? {} : { session });
  t.equal(again.socket.isSessionReused(), false);
  t.match(await again.rest(), /it shows no client certificate/);
});

t.test("what is not TLS 1.3 does not get in", { skip }, async (t) => {
  const listener = await startSecureListener(t, { folder });
  await t.rejects(connectSecure(listener, folder, "ada", { maxVersion: "TLSv1.2" }), /protocol version/);
  await eventually(() => listener.audit.entries.length === 1);
  t.match(listener.audit.entries[0], /^connect 127\.0\.0\.1 secure refused: no TLS 1\.3 handshake: .*(version|protocol)/);
  const plain = await connectRaw(listener.address);
  plain.send("*1\r\n$4\r\nPING\r\n");
  t.notMatch(await plain.rest(), /PONG/);
  t.match(listener.audit.entries[1], /no TLS 1\.3 handshake: /);
  const gone = await connectRaw(listener.address);
  gone.socket.resetAndDestroy();
  await eventually(() => listener.audit.entries.length === 3);
  t.match(listener.audit.entries[2], /handshake/);
  t.equal(listener.stats.open, 0);
});

t.test("a handshake that does not end is ended, and counts as a connection meanwhile", { skip }, async (t) => {
  const clock = createFakeClock();
  const listener = await startSecureListener(t, { folder, clock, limits: { maxConnections: 2 }, tls: { revoked: undefined } });
  const silent = [await connectRaw(listener.address), await connectRaw(listener.address)];
  await settled();
  const third = await connectRaw(listener.address);
  t.equal(await third.rest().catch(() => ""), "", "no word without a handshake");
  await clock.advance(5000);
  for (const client of silent) t.equal(await client.rest().catch(() => ""), "");
  t.strictSame(listener.audit.entries, Array(2).fill("connect 127.0.0.1 secure refused: no TLS handshake within tls.handshakeMs, 5000 ms"));
  const ada = await connectSecure(listener, folder, "ada");
  ada.send("PING\r\n");
  t.equal(await ada.take(7), "+PONG\r\n");
});

t.test("closing the listener ends handshakes, too", { skip }, async (t) => {
  const listener = await startSecureListener(t, { folder });
  const silent = await connectRaw(listener.address);
  await settled();
  await listener.close();
  t.equal(await silent.rest().catch(() => ""), "");
});

t.test("half-closed clients, long pipelines and slow readers are served as without TLS", { skip }, async (t) => {
  const listener = await startSecureListener(t, { folder });
  const half = await connectSecure(listener, folder, "ada");
  half.send("ECHO a\r\nBIG 300000\r\nECHO b\r\n");
  half.end();
  const replies = await half.rest();
  t.equal(replies, `*1\r\n$1\r\na\r\n$300000\r\n${"x".repeat(300_000)}\r\n*1\r\n$1\r\nb\r\n`);
  const pipelined = await connectSecure(listener, folder, "ada");
  pipelined.send(`${"*1\r\n$4\r\nPING\r\n".repeat(20_000)}QUIT\r\n`);
  t.equal(await pipelined.rest(), `${"+PONG\r\n".repeat(20_000)}+OK\r\n`);
});

t.test("openssl s_client is served", { skip }, async (t) => {
  const listener = await startSecureListener(t, { folder });
  const files = ["-CAfile", join(folder, "ca.crt"), "-cert", join(folder, "ada.crt"), "-key", join(folder, "ada.key")];
  const args = ["s_client", "-connect", listener.address, "-servername", "garage", "-verify_return_error", "-tls1_3", "-quiet"];
  t.match(await type("openssl", [...args, ...files], "ECHO hello\r\nQUIT\r\n"), /\*1\r\n\$5\r\nhello\r\n\+OK\r\n$/);
  t.match(
    await type("openssl", [...args, "-CAfile", join(folder, "ca.crt")], ""),
    /-DENIED 127\.0\.0\.1 is refused: it shows no client certificate/,
  );
});

t.test(
  "a certificate that is revoked while it is used: the connection is closed, the next one refused; others stay",
  { skip },
  async (t) => {
    const own = join(folder, "own");
    const authority = await makeAuthority(own);
    await authority.issue("client", "bob", 30, []);
    const listener = await startSecureListener(t, { folder: own, users: [{ name: "all", certificate: "*", priority: 50 }] });
    const ada = await connectSecure(listener, own, "ada");
    const bob = await connectSecure(listener, own, "bob");
    for (const client of [ada, bob]) {
      client.send("PING\r\n");
      t.equal(await client.take(7), "+PONG\r\n");
    }
    for (const ending of ["crt", "key"]) copyFileSync(join(own, `bob.${ending}`), join(own, `former.${ending}`));
    await authority.revoke("bob");
    t.equal(await bob.rest(), "", "closed by itself");
    t.equal(listener.audit.entries.at(-1), "connect 127.0.0.1 secure closed: the certificate of bob was revoked");
    const again = await connectSecure(listener, own, "former");
    t.match(await again.rest(), /its certificate is revoked/);
    ada.send("PING\r\n");
    t.equal(await ada.take(7), "+PONG\r\n");
    writeFileSync(join(own, "crl.pem"), "nonsense");
    await new Promise<void>((resolve) => {
      const look = setInterval(() => {
        if (!listener.log.lines.some((line) => line.startsWith("error tls.revoked"))) return;
        clearInterval(look);
        resolve();
      }, 5);
    });
    const refusedStill = await connectSecure(listener, own, "former");
    t.match(await refusedStill.rest(), /its certificate is revoked/, "a broken list leaves the last one in force");
  },
);

t.test("a user who is revoked while connected is refused at the next request, and may not even listen", { skip }, async (t) => {
  const listener = await startSecureListener(t, { folder, users: [] });
  listener.users.replace([{ name: "ada", certificate: "ada", priority: 50 }]);
  const ada = await connectSecure(listener, folder, "ada");
  ada.send("PUSH one\r\n");
  await ada.take(10);
  listener.users.replace([{ name: "ada", certificate: "ada", priority: 50, revoked: true }]);
  listener.service.callers[0]?.push?.(["secret"]);
  t.equal(
    await ada.rest(),
    "*2\r\n$5\r\nerror\r\n$32\r\nDENIED ada may not listen any more\r\n".replace("$32", `$${"DENIED ada may not listen any more".length}`),
  );
  const again = await connectSecure(listener, folder, "ada");
  again.send("ECHO a\r\nECHO b\r\n");
  t.equal(await again.rest(), "-DENIED ada is revoked; the connection is closed\r\n");
  t.strictSame(listener.audit.entries.slice(-3), [
    "refuse ada@127.0.0.1 session ada is revoked",
    "refuse ada@127.0.0.1 session ada is revoked",
    "refuse ada@127.0.0.1 ECHO ada is revoked; the connection is closed",
  ]);
});

t.test("files that cannot be used are named with what is wrong", { skip }, async (t) => {
  const at = (file: string): string => join(folder, file);
  const log = createFakeLog();
  const opened =
    (changes: object): (() => void) =>
    () => {
      const options = tlsOptionsSchema.parse({
        certificate: at("garage.crt"),
        key: at("garage.key"),
        ca: at("ca.crt"),
        revoked: at("crl.pem"),
        ...changes,
      });
      openTls({ ...options, clock: createFakeClock(), log }).close();
    };
  t.throws(opened({ key: at("none.key") }), { code: "ARGUMENT", message: /^tls\.key .*none\.key cannot be used: ENOENT/ });
  t.throws(opened({ key: at("ada.key") }), {
    code: "ARGUMENT",
    message: /^tls\.key .*ada\.key is not the key of tls\.certificate .*garage\.crt$/,
  });
  t.throws(opened({ certificate: at("garage.key") }), { code: "ARGUMENT", message: /^tls\.certificate .*garage\.key cannot be used/ });
  t.throws(opened({ revoked: at("ca.crt") }), {
    code: "ARGUMENT",
    message: /^tls\.revoked .*ca\.crt cannot be used: there is no X509 CRL in it/,
  });
  t.throws(opened({ ca: at("garage.key") }), { code: "ARGUMENT", message: /^tls\.ca / });
  t.doesNotThrow(opened({}));
  copyFileSync(at("garage.key"), at("open.key"));
  chmodSync(at("open.key"), 0o644);
  t.doesNotThrow(opened({ key: at("open.key") }));
  t.match(log.lines.at(-1), /^warn tls\.key .*open\.key can be read by others than its owner; chmod 600/);
});
