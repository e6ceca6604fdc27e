import { createHash } from "node:crypto";

import { Redis } from "ioredis";
import t from "tap";
import type { Test } from "tap";

import { AgentError } from "../agent/contract/errors.ts";
import { OK, valueReply } from "../agent/contract/request.ts";
import type { Caller, Reply, Service } from "../agent/contract/request.ts";
import type { Link } from "../agent/conversation.ts";
import { createRouter } from "../agent/router.ts";
import { SESSION_VERBS } from "../agent/session-verbs.ts";
import { createSession } from "../agent/session.ts";
import type { Session } from "../agent/session.ts";
import { createAllowList, createUsers } from "../agent/access/users.ts";
import { RESERVED_VERBS } from "../agent/wire/dialect.ts";
import { startEchoListener } from "./helpers/echo-listener.ts";
import { connectRaw } from "./helpers/raw-client.ts";

const USERS = [
  { name: "ada", tokenSha256: sha256("one"), priority: 50 },
  { name: "bob", tokenSha256: sha256("two"), priority: 200 },
];

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

interface Opened extends Session {
  /** The answer to a line of words. */
  ask(line: string): Reply;
  /** Who asked the service last. */
  caller(): Caller | undefined;
  ended(): boolean;
}

function open(options: { readonly loopback?: boolean; readonly users?: typeof USERS } = {}): Opened {
  let caller: Caller | undefined;
  let ended = false;
  const service: Service = {
    verbs: [{ verb: "CLONE", usage: "function [arg …]", summary: "call a function" }],
    handle(_request, by) {
      caller = by;
      return OK;
    },
  };
  const link: Link = {
    id: 7,
    peer: options.loopback === false ? { address: "192.0.2.1", loopback: false } : { address: "127.0.0.1", loopback: true },
    signal: new AbortController().signal,
    push: () => undefined,
    end: () => {
      ended = true;
    },
  };
  const session = createSession(link, {
    node: "garage",
    version: "1.2.3",
    users: createUsers(options.users ?? USERS),
    router: createRouter([service]),
    info: () => ({ server: { node: "garage" }, clients: { connected_clients: 2, note: "two\r\nlines" } }),
  });
  return {
    ...session,
    ask(line) {
      const [verb = "", ...args] = line.split(" ");
      return session.handle({ verb, args }, false) as Reply;
    },
    caller: () => caller,
    ended: () => ended,
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
  t.equal(lines.length, 1 + SESSION_VERBS.length);
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
  t.equal(value(session.ask("COMMAND COUNT")), 1 + SESSION_VERBS.length);
  t.strictSame(value(session.ask("COMMAND INFO CLONE")), [["clone", -1, [], 0, 0, 0]]);
  t.strictSame(value(session.ask("COMMAND LIST clone")), ["clone"]);
  t.strictSame(value(session.ask("COMMAND DOCS CLONE")), {
    clone: { summary: "function [arg …]: call a function", since: "0.1.0", group: "virgo" },
  });
  t.equal((value(session.ask("COMMAND")) as readonly unknown[]).length, 1 + SESSION_VERBS.length);
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
