import { createHash } from "node:crypto";

import { Redis } from "ioredis";
import t from "tap";
import type { Test } from "tap";

import { createGuard } from "../agent/access/guard.ts";
import { authOptionsSchema } from "../agent/access/options.ts";
import { createAllowList, createUsers } from "../agent/access/users.ts";
import { AgentError } from "../agent/contract/errors.ts";
import { errorReply, OK, refusal, valueReply } from "../agent/contract/request.ts";
import type { Guard } from "../agent/access/guard.ts";
import type { AuthOptions } from "../agent/access/options.ts";
import type { UserEntry, Users } from "../agent/access/users.ts";
import type { Caller, Reply, Service } from "../agent/contract/request.ts";
import type { Value } from "../agent/contract/value.ts";
import type { Link } from "../agent/conversation.ts";
import { createRouter } from "../agent/router.ts";
import { SESSION_VERBS } from "../agent/session-verbs.ts";
import { createSession } from "../agent/session.ts";
import type { Session } from "../agent/session.ts";
import { RESERVED_VERBS } from "../agent/wire/dialect.ts";
import { startEchoListener } from "./helpers/echo-listener.ts";
import { createFakeClock } from "./helpers/fake-clock.ts";
import { connectRaw } from "./helpers/raw-client.ts";
import { createRecorder } from "./helpers/recorder.ts";
import type { Recorder } from "./helpers/recorder.ts";
import type { FakeClock } from "./helpers/fake-clock.ts";

const USERS = [
  { name: "ada", tokenSha256: sha256("one"), priority: 50 },
  { name: "bob", tokenSha256: sha256("two"), priority: 200 },
];

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

interface Opened extends Session {
  /** The answer to a line of words; errors are told to the session, as a connection does. */
  ask(line: string): Reply;
  /** Who asked the service last. */
  caller(): Caller | undefined;
  ended(): boolean;
  /** What was pushed to the client. */
  readonly pushed: readonly (readonly Value[])[];
  readonly users: Users;
  readonly audit: Recorder;
  readonly clock: FakeClock;
}

interface OpenOptions {
  readonly loopback?: boolean;
  readonly users?: readonly UserEntry[];
  readonly auth?: Partial<AuthOptions>;
  readonly peer?: Partial<Link["peer"]>;
  /** A session before, with which it shares users, guard and record. */
  readonly beside?: Opened & { readonly guard?: Guard };
}

function open(options: OpenOptions = {}): Opened & { readonly guard: Guard } {
  let caller: Caller | undefined;
  let ended = false;
  const pushed: (readonly Value[])[] = [];
  const service: Service = {
    verbs: [
      { verb: "CLONE", usage: "function [arg …]", summary: "call a function" },
      { verb: "ESTOP", usage: "", summary: "stop" },
    ],
    handle({ verb, args }, by) {
      caller = by;
      if (verb !== "CLONE" || args[0] === undefined) return OK;
      const denied = refusal(by, "function", args[0]);
      return denied === undefined ? OK : errorReply(denied);
    },
  };
  const link: Link = {
    id: 7,
    peer: {
      ...(options.loopback === false ? { address: "192.0.2.1", loopback: false } : { address: "127.0.0.1", loopback: true }),
      ...options.peer,
    },
    signal: new AbortController().signal,
    push: (message) => void pushed.push(message),
    end: () => {
      ended = true;
    },
  };
  const clock = options.beside?.clock ?? createFakeClock();
  const audit = options.beside?.audit ?? createRecorder();
  const users = options.beside?.users ?? createUsers(options.users ?? USERS);
  const guard = options.beside?.guard ?? createGuard({ ...authOptionsSchema.parse({ ...options.auth }), clock, audit });
  const session = createSession(link, {
    node: "garage",
    version: "1.2.3",
    users,
    guard,
    router: createRouter([service], { unlisted: new Map([["CLONE.TOKEN", service]]) }),
    info: () => ({ server: { node: "garage" }, clients: { connected_clients: 2, note: "two\r\nlines" } }),
  });
  return {
    ...session,
    ask(line) {
      const [verb = "", ...args] = line.split(" ");
      const reply = session.handle({ verb, args }, false) as Reply;
      if (reply.kind === "error") session.failed(reply.error, { verb, args });
      return reply;
    },
    caller: () => caller,
    ended: () => ended,
    pushed,
    users,
    audit,
    clock,
    guard,
  };
}

function value(reply: Reply): unknown {
  return reply.kind === "value" ? reply.value : reply;
}

function refused(t: Test, reply: Reply, code: string, message: RegExp): void {
  t.equal(reply.kind, "error");
  if (reply.kind !== "error") return;
  t.equal(reply.error.code, code);
  t.match(reply.error.message, message);
}

t.test("PING answers PONG or its text, QUIT ends the connection", (t) => {
  const session = open();
  t.strictSame(session.ask("PING"), { kind: "status", text: "PONG" });
  t.strictSame(value(session.ask("PING a\xff")), Buffer.from("a\xff", "latin1"));
  refused(t, session.ask("PING a b"), "ARGUMENT", /PING takes 0 to 1 arguments, not 2/);
  t.equal(session.ended(), false);
  t.strictSame(session.ask("QUIT"), OK);
  t.equal(session.ended(), true);
  t.end();
});

t.test("a caller on this machine is an operator named by its address, who may ask for any priority", (t) => {
  const session = open();
  t.strictSame(session.ask("CLONE lamp.on"), OK);
  t.match(session.caller(), { name: "127.0.0.1", priority: 100, maxPriority: 255 });
  t.equal(session.caller()?.signal.aborted, false);
  t.end();
});

t.test("a caller from elsewhere may do nothing before AUTH, and then goes by its name and priority", (t) => {
  const session = open({ loopback: false });
  for (const line of ["CLONE lamp.on", "INFO", "CLIENT ID", "COMMAND", "NONSENSE"])
    refused(t, session.ask(line), "DENIED", /needs authentication here: AUTH name token/);
  for (const line of ["PING", "HELP", "HELLO 3"]) t.not(session.ask(line).kind, "error", line);
  refused(t, session.ask("AUTH ada two"), "DENIED", /no user has that name and token/);
  refused(t, session.ask("CLONE lamp.on"), "DENIED", /needs authentication/);
  t.strictSame(session.ask("AUTH ada one"), OK);
  session.ask("CLONE lamp.on");
  t.match(session.caller(), { name: "ada", priority: 50, maxPriority: 50 });
  t.strictSame(session.ask("AUTH two"), OK, "the token alone will do");
  session.ask("CLONE lamp.on");
  t.match(session.caller(), { name: "bob", priority: 100, maxPriority: 200 }, "more than an operator's priority only when asked for");
  t.end();
});

t.test("a classic request that is let in needs no AUTH", (t) => {
  const session = open({ loopback: false });
  t.strictSame(session.handle({ verb: "CLONE", args: ["lamp.on"] }, true), OK);
  t.end();
});

t.test("after five wrong tokens the connection ends", (t) => {
  const session = open({ loopback: false });
  for (let i = 0; i < 4; i++) session.ask("AUTH wrong");
  t.equal(session.ended(), false);
  session.ask("HELLO 3 AUTH ada wrong");
  t.equal(session.ended(), true);
  refused(t, open({ users: [] }).ask("AUTH x"), "DENIED", /no users are configured under auth.users/);
  t.end();
});

t.test("a token of a revoked user, replayed, is refused and recorded; so is one of a user who is gone", (t) => {
  const users = [{ name: "ada", tokenSha256: sha256("one"), priority: 50 }];
  const session = open({ loopback: false, users: [] });
  session.users.replace(users);
  t.strictSame(session.ask("AUTH ada one"), OK);
  t.strictSame(session.ask("CLONE lamp.on"), OK);
  session.users.replace([{ ...users[0]!, revoked: true }]);
  refused(t, session.ask("CLONE lamp.on"), "DENIED", /^ada is revoked; the connection is closed$/);
  t.equal(session.ended(), true);
  const replay = open({ loopback: false, beside: session });
  refused(t, replay.ask("AUTH ada one"), "DENIED", /^ada is revoked$/);
  refused(t, replay.ask("AUTH one"), "DENIED", /^ada is revoked$/);
  refused(t, replay.ask("CLONE lamp.on"), "DENIED", /needs authentication/);
  session.users.replace([]);
  refused(t, replay.ask("HELLO 3 AUTH ada one"), "DENIED", /nobody can authenticate/);
  t.strictSame(session.audit.entries, [
    "authenticate 192.0.2.1 ada by token",
    "refuse ada@192.0.2.1 session ada is revoked",
    "refuse ada@192.0.2.1 CLONE ada is revoked; the connection is closed",
    "authenticate 192.0.2.1 ada refused: token of a revoked user",
    "authenticate 192.0.2.1 ada refused: token of a revoked user",
    "refuse 192.0.2.1 CLONE not authenticated",
    "authenticate 192.0.2.1 token no users are configured",
  ]);
  t.notMatch(session.audit.entries.join(), /one/);
  t.end();
});

t.test("who is removed, or given another token, is refused at the next request; whoever stays, stays", (t) => {
  const ada = { name: "ada", tokenSha256: sha256("one"), priority: 50 };
  const bob = { name: "bob", tokenSha256: sha256("two"), priority: 50 };
  for (const next of [[bob], [{ ...ada, tokenSha256: sha256("new") }, bob]]) {
    const session = open({ loopback: false, users: [] });
    session.users.replace([ada, bob]);
    const other = open({ loopback: false, beside: session });
    const here = open({ beside: session });
    session.ask("AUTH one");
    other.ask("AUTH two");
    session.users.replace(next);
    refused(t, session.ask("PING"), "DENIED", /^ada is no user any more, or has another token; the connection is closed$/);
    t.strictSame(other.ask("CLONE lamp.on"), OK);
    t.strictSame(here.ask("CLONE lamp.on"), OK, "who is on this machine needs no user");
  }
  t.end();
});

t.test("a changed user has its new priority, permits and rate at the next request, as the same caller", (t) => {
  const ada = { name: "ada", tokenSha256: sha256("one"), priority: 50 };
  const session = open({ loopback: false, users: [] });
  session.users.replace([ada]);
  session.ask("AUTH one");
  session.ask("CLONE lamp.on");
  const caller = session.caller();
  t.equal(caller?.permits, undefined);
  session.users.replace([{ ...ada, priority: 120, allow: ["lamp.off"], perSecond: 2 }]);
  refused(t, session.ask("CLONE lamp.on"), "DENIED", /^ada may not use lamp\.on/);
  t.strictSame(session.ask("CLONE lamp.off"), OK);
  t.equal(session.caller(), caller);
  t.match(caller, { priority: 100, maxPriority: 120 });
  refused(t, session.ask("CLONE lamp.off"), "LIMIT", /2 requests a second, perSecond of ada/);
  session.users.replace([ada]);
  t.strictSame(session.ask("CLONE lamp.on"), OK);
  t.end();
});

t.test("who listens only is told when it may not any more", (t) => {
  const session = open({ loopback: false, users: [] });
  session.users.replace([{ name: "ada", tokenSha256: sha256("one"), priority: 50 }]);
  session.ask("AUTH one");
  session.ask("CLONE lamp.on");
  session.caller()?.push?.(["one"]);
  session.users.replace([]);
  session.caller()?.push?.(["two"]);
  session.caller()?.push?.(["three"]);
  t.strictSame(session.pushed.slice(0, 2), [["one"], ["error", "DENIED ada may not listen any more"]]);
  t.notMatch(JSON.stringify(session.pushed), /two|three/);
  t.equal(session.ended(), true);
  t.end();
});

t.test("a certificate lets its user in, and nobody else, not even from this machine", (t) => {
  const certificate = { commonName: "ada", altNames: "", fingerprint: "f1", key: "k" };
  const users = [{ name: "ada", certificate: "ada", priority: 50, allow: ["lamp.*"] }];
  const ada = open({ users, peer: { secure: true, certificate } });
  t.strictSame(ada.ask("CLONE lamp.on"), OK);
  t.match(ada.caller(), { name: "ada", priority: 50, address: "127.0.0.1" });
  refused(t, ada.ask("CLONE pump.on"), "DENIED", /^ada may not use pump\.on; its user's allow list does not cover it$/);
  t.strictSame(ada.audit.entries, [
    "authenticate 127.0.0.1 ada by certificate ada f1",
    "refuse ada@127.0.0.1 CLONE ada may not use pump.on; its user's allow list does not cover it",
  ]);
  const bob = open({ users, peer: { secure: true, certificate: { ...certificate, commonName: "bob" } } });
  refused(t, bob.ask("CLONE lamp.on"), "DENIED", /needs authentication/);
  const none = open({ users, peer: { secure: true } });
  refused(t, none.ask("CLONE lamp.on"), "DENIED", /needs authentication/);
  const revoked = open({ users: [{ ...users[0]!, revoked: true }], peer: { secure: true, certificate } });
  refused(t, revoked.ask("PING"), "DENIED", /^ada is revoked; the connection is closed$/);
  t.equal(revoked.ended(), true);
  t.end();
});

t.test("whose permits are limited cannot use the verbs that only codecs make", (t) => {
  const users = [{ name: "ada", tokenSha256: sha256("one"), priority: 50, allow: ["lamp.*"] }];
  const session = open({ loopback: false, users });
  session.ask("AUTH one");
  refused(t, session.ask("CLONE.TOKEN 1 /usr/bin/true"), "UNKNOWN", /^no verb "CLONE\.TOKEN"/);
  for (const line of ["INFO", "COMMAND COUNT", "CLIENT ID", "PING", "ESTOP"]) t.not(session.ask(line).kind, "error", line);
  t.equal(open().ask("CLONE.TOKEN 1 x").kind, "status", "others can, as before");
  t.end();
});

t.test("requests above the rate are refused with when to come again, ESTOP never, and who goes on is sent away", (t) => {
  const session = open({ auth: { perSecond: 10, maxRefused: 20 } });
  for (let i = 0; i < 10; i++) t.strictSame(session.ask("CLONE lamp.on"), OK);
  refused(t, session.ask("CLONE lamp.on"), "LIMIT", /^more than 10 requests a second, auth\.perSecond; come again in 100 ms$/);
  const beside = open({ beside: session });
  refused(t, beside.ask("PING"), "LIMIT", /come again/);
  t.strictSame(session.ask("ESTOP"), OK);
  session.clock.advanceNow(100);
  t.strictSame(session.ask("CLONE lamp.on"), OK);
  t.equal(session.ended(), false);
  for (let i = 0; i < 19; i++) session.ask("CLONE lamp.on");
  t.equal(session.ended(), false, "one that was let through makes up for one that was not");
  refused(t, session.ask("CLONE lamp.on"), "LIMIT", /20 times; the connection is closed, come again in 100 ms$/);
  t.equal(session.ended(), true);
  t.equal(session.audit.entries[0], "refuse 127.0.0.1 requests more than 10 requests a second, auth.perSecond");
  t.equal(session.audit.entries.at(-1), "refuse 127.0.0.1 connection closed: 20 requests were too many");
  t.end();
});

t.test("a user's rate is one for all its connections, and the address's counts no more", (t) => {
  const users = [{ name: "ada", tokenSha256: sha256("one"), priority: 50, perSecond: 3 }];
  const session = open({ loopback: false, users, auth: { perSecond: 2 } });
  const beside = open({ loopback: false, beside: session });
  session.ask("AUTH one");
  beside.ask("AUTH one");
  t.strictSame(session.ask("CLONE lamp.on"), OK);
  t.strictSame(beside.ask("CLONE lamp.on"), OK);
  t.strictSame(session.ask("CLONE lamp.on"), OK);
  refused(t, beside.ask("CLONE lamp.on"), "LIMIT", /^more than 3 requests a second, perSecond of ada; come again in 334 ms$/);
  t.end();
});

t.test("after wrong tokens an address has to wait, on all its connections, whether the next one is right or not", (t) => {
  const session = open({ loopback: false, auth: { maxWrongTokens: 3, waitMs: 1000 } });
  for (let i = 0; i < 3; i++) refused(t, session.ask("AUTH ada wrong"), "DENIED", /no user has that name and token/);
  t.equal(session.ended(), true);
  const again = open({ loopback: false, beside: session });
  refused(t, again.ask("AUTH ada one"), "LIMIT", /^too many wrong tokens came from 192\.0\.2\.1; come again in 1000 ms$/);
  const elsewhere = open({ loopback: false, beside: session, peer: { address: "192.0.2.2" } });
  t.strictSame(elsewhere.ask("AUTH ada one"), OK);
  session.clock.advanceNow(1000);
  t.strictSame(again.ask("AUTH ada one"), OK);
  refused(t, open({ loopback: false, beside: session }).ask("AUTH ada wrong"), "DENIED", /no user/);
  refused(t, open({ loopback: false, beside: session }).ask("AUTH ada one"), "LIMIT", /come again in 2000 ms/);
  t.strictSame(
    [...new Set(session.audit.entries)],
    [
      "authenticate 192.0.2.1 token refused: wrong",
      "authenticate 192.0.2.1 token not looked at: too many were wrong",
      "authenticate 192.0.2.2 ada by token",
      "authenticate 192.0.2.1 ada by token",
    ],
  );
  t.end();
});

t.test("what somebody typed is in no record: it may be a token in the wrong place", (t) => {
  const session = open({ loopback: false });
  for (const line of ["S3CRET", "AUTH s3cret", "AUTH ada s3cret", "HELLO 3 AUTH ada s3cret", "CLONE s3cret"]) session.ask(line);
  t.ok(session.audit.entries.length >= 5);
  t.notMatch(session.audit.entries.join("\n"), /s3cret/i);
  t.ok(session.audit.entries.includes("refuse 192.0.2.1 another verb not authenticated"));
  t.end();
});

t.test("HELLO chooses the version, authenticates and names the client, or changes nothing", (t) => {
  const session = open({ loopback: false });
  t.match(value(session.ask("HELLO")), { server: "virgo", version: "1.2.3", proto: 2, id: 7, node: "garage", authenticated: false });
  t.match(value(session.ask("HELLO 3 auth default one setname tool")), { proto: 3, caller: "ada", authenticated: true });
  t.equal(value(session.ask("CLIENT GETNAME")), "tool");
  refused(t, session.ask("HELLO 4"), "ARGUMENT", /version 4 of RESP is not spoken here/);
  refused(t, session.ask("HELLO 2 AUTH ada"), "ARGUMENT", /HELLO takes a version/);
  refused(t, session.ask("HELLO 2 NONSENSE"), "ARGUMENT", /HELLO takes a version/);
  refused(t, session.ask("HELLO 2 AUTH ada wrong"), "DENIED", /no user/);
  t.match(value(session.ask("HELLO")), { proto: 3 });
  t.end();
});

t.test("HELP lists every verb with its usage, or one", (t) => {
  const session = open();
  const lines = value(session.ask("HELP")) as readonly string[];
  t.equal(lines.length, 2 + SESSION_VERBS.length);
  t.equal(lines[0], "CLONE function [arg …] - call a function");
  t.strictSame(value(session.ask("HELP quit")), ["QUIT - close the connection after the answer"]);
  refused(t, session.ask("HELP clon"), "UNKNOWN", /no verb CLON; did you mean CLONE\? \(HELP lists the verbs\)/);
  t.end();
});

t.test("INFO shows sections as Redis does, with what client libraries look for", (t) => {
  const session = open();
  t.equal(
    value(session.ask("INFO")),
    "# server\r\nredis_version:7.0.0\r\nloading:0\r\nnode:garage\r\n\r\n# clients\r\nconnected_clients:2\r\nnote:two lines\r\n",
  );
  t.equal(value(session.ask("INFO CLIENTS")), "# clients\r\nconnected_clients:2\r\nnote:two lines\r\n");
  t.equal(value(session.ask("INFO nothing")), "");
  t.equal(value(session.ask("INFO all")), value(session.ask("INFO")));
  t.end();
});

t.test("COMMAND and CLIENT content client libraries", (t) => {
  const session = open();
  t.equal(value(session.ask("COMMAND COUNT")), 2 + SESSION_VERBS.length);
  t.strictSame(value(session.ask("COMMAND INFO CLONE")), [["clone", -1, [], 0, 0, 0]]);
  t.strictSame(value(session.ask("COMMAND LIST clone")), ["clone"]);
  t.strictSame(value(session.ask("COMMAND DOCS CLONE")), {
    clone: { summary: "function [arg …]: call a function", since: "0.1.0", group: "virgo" },
  });
  t.equal((value(session.ask("COMMAND")) as readonly unknown[]).length, 2 + SESSION_VERBS.length);
  refused(t, session.ask("COMMAND NONSENSE"), "UNKNOWN", /COMMAND NONSENSE is not known/);
  t.equal(value(session.ask("CLIENT ID")), 7);
  t.equal(value(session.ask("CLIENT GETNAME")), null);
  t.strictSame(session.ask("CLIENT SETNAME tool"), OK);
  t.equal(value(session.ask("CLIENT GETNAME")), "tool");
  refused(t, session.ask("CLIENT SETNAME a\nb"), "ARGUMENT", /printable/);
  t.strictSame(session.ask("CLIENT SETINFO LIB-NAME x"), OK);
  refused(t, session.ask("CLIENT SETINFO x"), "ARGUMENT", /CLIENT SETINFO takes 2 arguments, not 1/);
  t.equal(value(session.ask("CLIENT LIST")), "id=7 addr=127.0.0.1 name=tool user=127.0.0.1 resp=2\n");
  refused(t, session.ask("CLIENT KILL"), "UNKNOWN", /CLIENT KILL is not known/);
  t.end();
});

t.test("every verb of a session is reserved", (t) => {
  for (const { verb } of SESSION_VERBS) t.ok(RESERVED_VERBS.has(verb), verb);
  t.end();
});

t.test("the router knows its verbs, near ones, and where others are answered", (t) => {
  const service: Service = { verbs: [{ verb: "VAR.GET", usage: "name", summary: "" }], handle: () => valueReply(1) };
  const hidden: Service = { verbs: [], handle: () => valueReply(2) };
  const router = createRouter([service], {
    unlisted: new Map([["CLONE.TOKEN", hidden]]),
    elsewhere: new Map([["CLONE", "the gateway, 127.0.0.1:6390"]]),
  });
  const caller: Caller = { name: "test", priority: 1, signal: new AbortController().signal };
  const ask = (verb: string) => router.handle({ verb, args: [] }, caller) as Reply;
  t.equal(value(ask("VAR.GET")), 1);
  t.equal(value(ask("CLONE.TOKEN")), 2);
  t.strictSame(
    router.verbs.map((doc) => doc.verb),
    ["VAR.GET"],
  );
  refused(t, ask("CLONE"), "UNKNOWN", /^CLONE is not answered here; it is on the gateway, 127\.0\.0\.1:6390$/);
  refused(t, ask("VAR.GTE"), "UNKNOWN", /^no verb "VAR.GTE"; did you mean VAR.GET\? \(HELP lists the verbs\)$/);
  refused(t, ask("PIGN"), "UNKNOWN", /did you mean PING\?/);
  refused(t, ask("\r\n\xff".repeat(50)), "UNKNOWN", /^no verb "\\r\\n/);
  t.throws(() => createRouter([service, service]), new AgentError("ARGUMENT", "two services answer VAR.GET"));
  t.end();
});

t.test("the allow list covers loopback, addresses and networks of both families", (t) => {
  const allows = createAllowList(["192.168.2.80", "10.0.0.0/8", "fd00::/8", "2001:db8::1"]);
  const at = (address: string) => allows({ address, loopback: false });
  for (const address of ["192.168.2.80", "10.1.2.3", "fd12::3", "2001:db8::1"]) t.equal(at(address), true, address);
  for (const address of ["192.168.2.81", "11.0.0.1", "fe80::1", "2001:db8::2"]) t.equal(at(address), false, address);
  t.equal(allows({ address: "127.0.0.1", loopback: true }), true);
  t.equal(createAllowList([])({ address: "10.1.2.3", loopback: false }), false);
  t.end();
});

t.test("a peer from elsewhere: classic requests are closed without a word, modern ones need AUTH", async (t) => {
  const listener = await startEchoListener(t, { remote: true, users: USERS });
  for (let i = 0; i < 2; i++) {
    const classic = await connectRaw(listener.address);
    classic.send("lamp.on\r\n");
    t.equal(await classic.rest(), "");
    classic.end();
  }
  t.equal(listener.stats.refused, 2);
  t.equal(listener.stats.requests, 0);
  t.strictSame(
    [...new Set(listener.audit.entries)],
    ["refuse 192.0.2.1 connection the classic dialect is served to loopback and to classic.allow only"],
  );
  t.strictSame(listener.log.lines, ["warn refused a peer that may not speak the classic dialect (classic.allow)"], "said once a minute");
  const modern = await connectRaw(listener.address);
  modern.send("*1\r\n$4\r\nECHO\r\nAUTH ada one\r\nECHO x\r\nQUIT\r\n");
  t.match(await modern.rest(), /^-DENIED ECHO needs authentication.*\r\n\+OK\r\n\*1\r\n\$1\r\nx\r\n\+OK\r\n$/);
  t.equal(listener.service.callers[0]?.name, "ada");
  modern.end();
  const allowed = await startEchoListener(t, { remote: true, allowsClassic: () => true });
  const client = await connectRaw(allowed.address);
  client.send("lamp.on\r\n");
  t.equal((await client.rest()).length, 500);
  client.end();
});

t.test("ioredis finds the connection ready, calls, pipelines, authenticates and goes", async (t) => {
  const listener = await startEchoListener(t, { remote: true, users: USERS });
  const port = Number(listener.address.slice(listener.address.lastIndexOf(":") + 1));
  const redis = new Redis({ host: "127.0.0.1", port, username: "ada", password: "one", connectionName: "tool", lazyConnect: true });
  await redis.connect();
  t.equal(redis.status, "ready");
  t.equal(await redis.ping(), "PONG");
  t.strictSame(await redis.call("ECHO", "a", Buffer.from([0xc3, 0xbf])), ["a", "ÿ"]);
  t.strictSame(await redis.pipeline().call("ECHO", "1").call("ECHO", "2").exec(), [
    [null, ["1"]],
    [null, ["2"]],
  ]);
  await t.rejects(redis.call("NONSENSE"), { message: 'UNKNOWN no verb "NONSENSE" (HELP lists the verbs)' });
  t.equal(await redis.client("GETNAME"), "tool");
  t.equal(await redis.quit(), "OK");
});
