import { createServer } from "node:net";

import t from "tap";

import { parseListenAddress } from "../agent/listener.ts";
import { CLONE_ACKNOWLEDGEMENT } from "../agent/wire/classic-clone.ts";
import { startEchoListener } from "./helpers/echo-listener.ts";
import { createFakeClock, settled } from "./helpers/fake-clock.ts";
import { connectRaw } from "./helpers/raw-client.ts";
import type { RawClient } from "./helpers/raw-client.ts";
import { missing, run, type } from "./helpers/tools.ts";

/** One dialect only: a line need not start with a reserved verb. */
const MODERN = { classic: false };

const ACKNOWLEDGED = CLONE_ACKNOWLEDGEMENT + "\0".repeat(375);

/** Waits until something is so, a turn of the event loop at a time. */
async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await settled();
}

function portOf(address: string): string {
  return address.slice(address.lastIndexOf(":") + 1);
}

t.test("the modern dialect answers in order, in any case, whole or byte by byte", async (t) => {
  const listener = await startEchoListener(t);
  const bytes = "*2\r\n$4\r\necho\r\n$1\r\na\r\nECHO 'b c'\r\nPING\r\nQUIT\r\nECHO never\r\n";
  const replies = "*1\r\n$1\r\na\r\n*1\r\n$3\r\nb c\r\n+PONG\r\n+OK\r\n";
  const whole = await connectRaw(listener.address);
  whole.send(bytes);
  t.equal(await whole.rest(), replies);
  const slow = await connectRaw(listener.address);
  for (const byte of bytes) {
    slow.send(byte);
    await settled();
  }
  t.equal(await slow.rest(), replies);
});

t.test("replies wait for those before them, however long these take", async (t) => {
  const listener = await startEchoListener(t, MODERN);
  const client = await connectRaw(listener.address);
  client.send("*2\r\n$5\r\nLATER\r\n$1\r\n1\r\nECHO 2\r\nLATER 3\r\nLATER 4\r\n*x\r\n");
  await eventually(() => listener.service.waiting() === 3);
  listener.service.answer();
  t.equal(await client.take(18), "$1\r\n1\r\n*1\r\n$1\r\n2\r\n");
  listener.service.answer();
  listener.service.answer();
  t.match(await client.rest(), /^\$1\r\n3\r\n\$1\r\n4\r\n-SYNTAX after \* .*\r\n$/);
  t.equal(listener.stats.errors.SYNTAX, 1);
});

t.test("the replies of one turn leave in one write", async (t) => {
  const listener = await startEchoListener(t, MODERN);
  const client = await connectRaw(listener.address);
  const chunks: number[] = [];
  client.socket.on("data", (chunk: Buffer) => chunks.push(chunk.length));
  client.send("*1\r\n$4\r\nPING\r\n".repeat(100));
  t.equal((await client.take(700)).length, 700);
  t.equal(chunks.length, 1);
  client.send("LATER x\r\n".repeat(10));
  await eventually(() => listener.service.waiting() === 10);
  for (let i = 0; i < 10; i++) listener.service.answer();
  t.equal((await client.take(70)).length, 70);
  t.equal(chunks.length, 2);
  client.destroy();
});

t.test("a client that ends its side still gets its answers", async (t) => {
  const listener = await startEchoListener(t, MODERN);
  const line = await connectRaw(listener.address);
  line.send("LATER x\r\nPING");
  line.end();
  await eventually(() => listener.service.waiting() === 1);
  listener.service.answer();
  t.equal(await line.rest(), "$1\r\nx\r\n+PONG\r\n");
  const both = await startEchoListener(t);
  const token = await connectRaw(both.address);
  token.send("lamp.on");
  token.end();
  t.equal(await token.rest(), ACKNOWLEDGED);
  const nothing = await connectRaw(listener.address);
  nothing.end();
  t.equal(await nothing.rest(), "");
  const half = await connectRaw(listener.address);
  half.send("*1\r\n$4\r\nPI");
  half.end();
  t.equal(await half.rest(), "");
  await eventually(() => listener.stats.open === 0);
});

t.test("a classic request gets its 500 bytes and a clean end, also when 3000 bytes were sent", async (t) => {
  const listener = await startEchoListener(t);
  const requests = [
    "lamp.on\r\n",
    "lamp.on\n",
    "lamp.on ",
    "lamp.on",
    "lamp.on\0".padEnd(3000, "\0"),
    "lamp.on\0".padEnd(3000, "\xff"),
    "\r\n",
  ];
  for (const request of requests) {
    const client = await connectRaw(listener.address);
    client.send(request);
    t.equal(await client.rest(), ACKNOWLEDGED, JSON.stringify(request.slice(0, 10)));
    client.end();
  }
  const parts = await connectRaw(listener.address);
  parts.send("lamp.on\0");
  t.equal(await parts.take(500), ACKNOWLEDGED);
  parts.send(Buffer.alloc(2992));
  t.equal(await parts.rest(), "", "what comes after the reply resets nothing");
  parts.end();
  const bytes = await connectRaw(listener.address);
  for (const byte of "lamp.on\r\n") {
    bytes.send(byte);
    await settled();
  }
  t.equal(await bytes.rest(), ACKNOWLEDGED);
  bytes.end();
  await eventually(() => listener.stats.open === 0);
  t.equal(listener.stats.socketErrors, 0);
});

t.test("whoever sends on after a mistake still gets the answers that were on their way", async (t) => {
  const listener = await startEchoListener(t, MODERN);
  const client = await connectRaw(listener.address);
  client.socket.on("error", () => undefined);
  client.send("BIG 300000\r\n*x\r\n");
  client.send(Buffer.alloc(1_000_000, "x"));
  const received = await client.take(300_011);
  t.match(received.slice(300_011), /^(-SYNTAX |$)/);
  t.equal(received.slice(0, 9), "$300000\r\n");
  client.destroy();
});

t.test("a classic reply that comes later, calls and mistakes", async (t) => {
  const listener = await startEchoListener(t);
  const later = await connectRaw(listener.address);
  later.send("later\r\nlamp.off\r\n");
  await eventually(() => listener.service.waiting() === 1);
  later.send("more");
  listener.service.answer();
  t.equal(await later.rest(), ACKNOWLEDGED);
  later.end();
  const answers: readonly (readonly [string, RegExp])[] = [
    ['lamp.beam("low", 2)\r\n', /^OK \["lamp.beam","low","2"\]\0+$/],
    ["nothing\r\n", /^ERR UNKNOWN nothing\0+$/],
    ["f(1\r\n", /^ERR SYNTAX the call .*\0+$/],
    ["x".repeat(3001), /^ERR LIMIT .*classicMaxBytes\)\0+$/],
  ];
  for (const [request, reply] of answers) {
    const client = await connectRaw(listener.address);
    client.send(request);
    const text = await client.rest();
    t.match(text, reply);
    t.equal(text.length, 500);
    client.end();
  }
});

t.test("silence ends a classic request, but not the start of a verb", async (t) => {
  const clock = createFakeClock();
  const listener = await startEchoListener(t, { clock });
  const token = await connectRaw(listener.address);
  token.send("lamp");
  await eventually(() => listener.stats.bytesIn === 4);
  await clock.advance(49);
  token.send(".on");
  await eventually(() => listener.stats.bytesIn === 7);
  await clock.advance(49);
  t.equal(listener.stats.requests, 0);
  await clock.advance(1);
  t.equal(await token.take(500), ACKNOWLEDGED);
  await clock.advance(49);
  t.equal(token.socket.readableEnded, false, "something may still come");
  await clock.advance(1);
  t.equal(await token.rest(), "");
  token.end();
  const verb = await connectRaw(listener.address);
  verb.send("PI");
  await eventually(() => listener.stats.bytesIn === 9);
  await clock.advance(10_000);
  verb.send("NG\r\n");
  t.equal(await verb.take(7), "+PONG\r\n");
  verb.destroy();
});

t.test(
  "a classic client that stays is closed after the drain time, one that sends on and on is not read after the drain bytes",
  async (t) => {
    const clock = createFakeClock();
    const listener = await startEchoListener(t, { clock, limits: { drainBytes: 10_000 } });
    const stays = await connectRaw(listener.address);
    stays.send("lamp.on\r\n");
    t.equal(await stays.rest(), ACKNOWLEDGED);
    await settled();
    t.equal(listener.stats.open, 1);
    await clock.advance(200);
    await eventually(() => listener.stats.open === 0);
    stays.destroy();
    const floods = await connectRaw(listener.address);
    floods.socket.on("error", () => undefined);
    floods.send("lamp.on\0");
    t.equal(await floods.take(500), ACKNOWLEDGED);
    floods.send(Buffer.alloc(20_000_000));
    await eventually(() => listener.stats.bytesIn > 10_000);
    for (let i = 0; i < 20; i++) await settled();
    t.ok(listener.stats.bytesIn < 1_000_000, "it stopped reading");
    await clock.advance(200);
    await eventually(() => listener.stats.open === 0);
    floods.destroy();
  },
);

t.test("what a handler throws is answered IO, logged, and harms nobody", async (t) => {
  const listener = await startEchoListener(t, MODERN);
  const client = await connectRaw(listener.address);
  client.send("THROW\r\nREJECT\r\nPING\r\nQUIT\r\n");
  t.equal(
    await client.rest(),
    "-IO internal error while answering THROW: a bug of two lines\r\n-IO internal error while answering REJECT: a bug\r\n+PONG\r\n+OK\r\n",
  );
  t.equal(listener.stats.errors.IO, 2);
  t.strictSame(listener.log.lines, ["error internal error while answering a request", "error internal error while answering a request"]);
});

t.test("a request beyond a limit is refused by name and the connection closed", async (t) => {
  const listener = await startEchoListener(t, { limits: { maxRequestBytes: 3000, maxRequestArgs: 8 } });
  const refusals: readonly (readonly [string, RegExp])[] = [
    ["*9\r\n", /^-LIMIT .*maxRequestArgs is 8\r\n$/],
    ["*1\r\n$3001\r\n", /^-LIMIT .*maxRequestBytes is 3000\r\n$/],
    [`PING ${"x".repeat(100_000)}`, /^-LIMIT a line of more than 3000 bytes/],
    ["*1\r\n$-1\r\n", /^-SYNTAX /],
  ];
  for (const [request, reply] of refusals) {
    const client = await connectRaw(listener.address);
    client.send(request);
    t.match(await client.take(20), reply);
    client.destroy();
  }
  t.equal(listener.stats.errors.LIMIT, 3);
});

t.test("connections above the limit are told so and closed, and others go on", async (t) => {
  const listener = await startEchoListener(t, { limits: { maxConnections: 2 } });
  const [one, two] = [await connectRaw(listener.address), await connectRaw(listener.address)];
  const three = await connectRaw(listener.address);
  three.send("PING\r\n");
  t.equal(await three.rest(), "-LIMIT 2 connections are open on echo; limits.maxConnections is 2\r\n");
  three.end();
  one.send("PING\r\n");
  t.equal(await one.take(7), "+PONG\r\n");
  two.destroy();
  await eventually(() => listener.stats.open === 1);
  const four = await connectRaw(listener.address);
  four.send("PING\r\n");
  t.equal(await four.take(7), "+PONG\r\n");
  t.equal(listener.stats.refused, 1);
  t.strictSame(listener.log.lines, ["warn refused a connection: too many are open"]);
  one.destroy();
  four.destroy();
});

t.test("a client that sends very much at once keeps neither timers nor other clients waiting", async (t) => {
  const requests = 40_000;
  /** One read of 64 KiB brings more than this. */
  const aStretch = 8192;
  const { address, service } = await startEchoListener(t, MODERN);
  const [busy, other] = await Promise.all([connectRaw(address), connectRaw(address)]);
  other.send("PING\r\n");
  await other.take(7);
  // Short, so that many come in one piece.
  busy.send("ECHO\r\n".repeat(requests));
  await eventually(() => service.callers.length > 0);
  let handledWhenTimerRan = 0;
  setTimeout(() => {
    handledWhenTimerRan = service.callers.length;
  }, 0);
  other.send("PING\r\n");
  t.equal(await other.take(7), "+PONG\r\n");
  t.ok(service.callers.length < aStretch, `the other client was answered after ${service.callers.length} requests`);
  t.equal((await busy.take(requests * 4)).length, requests * 4, "and none is lost");
  t.ok(handledWhenTimerRan > 0 && handledWhenTimerRan < aStretch, `the timer ran after ${handledWhenTimerRan} requests`);
  busy.destroy();
  other.destroy();
});

t.test("half requests of all connections together are bounded; whoever goes beyond is refused, the others are served", async (t) => {
  const listener = await startEchoListener(t, { ...MODERN, limits: { maxPendingBytes: 65_536 } });
  const head = "*2\r\n$4\r\nECHO\r\n$40000\r\n";
  const clients = await Promise.all([1, 2, 3].map(() => connectRaw(listener.address)));
  const [first, second, third] = clients as [RawClient, RawClient, RawClient];
  first.send(head + "a".repeat(30_000));
  second.send(head + "b".repeat(30_000));
  await eventually(() => listener.stats.bytesPending > 60_000);
  third.send(head + "c".repeat(30_000));
  t.equal(await third.rest(), "-LIMIT too many requests are half here; limits.maxPendingBytes is 65536 for all connections\r\n");
  third.destroy();
  first.send(`${"a".repeat(10_000)}\r\n`);
  t.equal(await first.take(40_014), `*1\r\n$40000\r\n${"a".repeat(40_000)}\r\n`);
  first.destroy();
  second.destroy();
  await eventually(() => listener.stats.open === 0);
  t.equal(listener.stats.bytesPending, 0);
});

t.test("no more than maxPipeline requests wait; the others are read when there is room, and none is lost", async (t) => {
  const listener = await startEchoListener(t, { ...MODERN, limits: { maxPipeline: 3 } });
  const client = await connectRaw(listener.address);
  client.send(Array.from({ length: 10 }, (_, i) => `LATER ${i}\r\n`).join(""));
  client.end();
  await eventually(() => listener.service.waiting() === 3);
  await settled();
  t.equal(listener.stats.requests, 3);
  for (let answered = 0; answered < 10; answered++) {
    await eventually(() => listener.service.waiting() > 0);
    t.ok(listener.service.waiting() <= 3);
    listener.service.answer();
  }
  t.equal(await client.rest(), Array.from({ length: 10 }, (_, i) => `$1\r\n${i}\r\n`).join(""));
});

t.test("nothing is asked for a client that does not read; when it reads, it gets everything", async (t) => {
  const listener = await startEchoListener(t, MODERN);
  const client = await connectRaw(listener.address);
  client.socket.pause();
  client.send("BIG 100000\r\n".repeat(300));
  await eventually(() => listener.stats.requests > 10);
  let before = -1;
  while (before !== listener.stats.requests) {
    before = listener.stats.requests;
    for (let i = 0; i < 20; i++) await settled();
  }
  t.ok(listener.stats.requests < 250, "it stopped reading");
  client.socket.resume();
  client.end();
  t.equal((await client.rest()).length, 300 * ("$100000\r\n".length + 100_000 + 2));
});

t.test("a client that leaves too much unread is disconnected", async (t) => {
  const listener = await startEchoListener(t, { ...MODERN, limits: { maxOutputBytes: 65_536 } });
  const client = await connectRaw(listener.address);
  client.socket.on("error", () => undefined);
  client.socket.pause();
  client.send("BIG 20000000\r\n");
  await eventually(() => listener.stats.open === 0 && listener.stats.accepted === 1);
  t.strictSame(listener.log.lines, ["warn a client that does not read its replies is disconnected"]);
  t.equal(listener.stats.errors.LIMIT, 1);
  client.destroy();
});

t.test(
  "a silent connection is closed after the idle limit, not before; a half request gets TIMEOUT; a client that waits or subscribed stays",
  async (t) => {
    const clock = createFakeClock();
    const listener = await startEchoListener(t, { ...MODERN, clock, limits: { idleMs: 4000 } });
    const silent = await connectRaw(listener.address);
    const half = await connectRaw(listener.address);
    half.send("*1\r\n$4\r\nPI");
    const waits = await connectRaw(listener.address);
    waits.send("LATER x\r\n");
    const subscribed = await connectRaw(listener.address);
    subscribed.send("PUSH a\r\n");
    t.equal(await subscribed.take(28), "*2\r\n$6\r\npushed\r\n$1\r\na\r\n$-1\r\n");
    await eventually(() => listener.stats.accepted === 4 && listener.service.waiting() === 1 && listener.stats.bytesIn === 27);
    await clock.advance(4000);
    t.equal(listener.stats.open, 4);
    await clock.advance(1000);
    t.equal(await silent.rest(), "");
    t.match(await half.rest(), /^-TIMEOUT the rest of a request did not come within limits.idleMs, 4000 ms/);
    t.equal(listener.stats.expired, 2);
    silent.end();
    half.end();
    await clock.advance(20_000);
    t.equal(listener.stats.open, 2);
    listener.service.answer();
    t.equal(await waits.take(7), "$1\r\nx\r\n");
    waits.destroy();
    subscribed.destroy();
  },
);

t.test("a client that never reads is closed after the idle limit", async (t) => {
  const clock = createFakeClock();
  const listener = await startEchoListener(t, { ...MODERN, clock, limits: { idleMs: 4000 } });
  const client = await connectRaw(listener.address);
  client.socket.on("error", () => undefined);
  client.socket.pause();
  client.send("BIG 100000\r\n".repeat(1000));
  await eventually(() => listener.stats.requests > 10);
  while (listener.stats.open > 0) await clock.advance(1000);
  t.equal(listener.stats.expired, 1);
  client.destroy();
});

t.test("when a client is gone its callers are told, and what it waited for harms nobody", async (t) => {
  const listener = await startEchoListener(t, MODERN);
  const client = await connectRaw(listener.address);
  client.send("LATER x\r\n");
  await eventually(() => listener.service.waiting() === 1);
  const [caller] = listener.service.callers;
  t.equal(caller?.signal.aborted, false);
  client.socket.resetAndDestroy();
  await eventually(() => listener.stats.open === 0);
  t.equal(caller?.signal.aborted, true);
  caller?.push?.(["late"]);
  listener.service.answer();
  await settled();
  t.equal(listener.stats.socketErrors, 1);
});

t.test("closing answers what is in progress and accepts nothing more", async (t) => {
  const listener = await startEchoListener(t, MODERN);
  const busy = await connectRaw(listener.address);
  const idle = await connectRaw(listener.address);
  busy.send("LATER x\r\n");
  await eventually(() => listener.service.waiting() === 1);
  const closed = listener.close();
  t.equal(await idle.rest(), "");
  idle.end();
  await t.rejects(connectRaw(listener.address), { code: "ECONNREFUSED" });
  listener.service.answer();
  t.equal(await busy.rest(), "$1\r\nx\r\n");
  busy.end();
  await closed;
  t.equal(listener.stats.open, 0);
  await listener.close();
});

t.test("closing does not wait for ever", async (t) => {
  const clock = createFakeClock();
  const listener = await startEchoListener(t, { ...MODERN, clock });
  const client = await connectRaw(listener.address);
  client.send("LATER x\r\n");
  await eventually(() => listener.service.waiting() === 1);
  const closed = listener.close();
  await clock.advance(2000);
  await closed;
  t.equal(await client.rest(), "");
  t.equal(clock.pending(), 0, "no timer is left");
});

t.test("a UNIX socket serves local callers", async (t) => {
  const path = `${t.testdir()}/agent.sock`;
  const listener = await startEchoListener(t, { ...MODERN, address: path });
  t.equal(listener.address, path);
  const client = await connectRaw(path);
  client.send("ECHO x\r\n");
  t.equal(await client.take(11), "*1\r\n$1\r\nx\r\n");
  t.equal(listener.service.callers[0]?.name, "local");
  client.destroy();
});

t.test("an address is host:port, [v6]:port or a path", async (t) => {
  t.strictSame(parseListenAddress("127.0.0.1:10000"), { host: "127.0.0.1", port: 10_000 });
  t.strictSame(parseListenAddress("[::1]:0"), { host: "::1", port: 0 });
  t.strictSame(parseListenAddress("/run/virgo.sock"), { path: "/run/virgo.sock" });
  for (const text of ["127.0.0.1", ":1", "a:b", "a:65536", "a:-1"]) t.throws(() => parseListenAddress(text), { code: "ARGUMENT" });
  const listener = await startEchoListener(t, { address: "[::1]:0" });
  t.match(listener.address, /^\[::1\]:\d+$/);
});

t.test("an address that cannot be listened on is refused with the reason", async (t) => {
  const server = createServer().listen(0, "127.0.0.1");
  t.teardown(() => void server.close());
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  await t.rejects(startEchoListener(t, { address: `127.0.0.1:${port}` }), {
    code: "IN_USE",
    message: `echo cannot listen on 127.0.0.1:${port}: another process listens there`,
  });
  await t.rejects(startEchoListener(t, { address: "192.0.2.1:0" }), { code: "ARGUMENT" });
});

t.test("redis-cli is served in both versions of RESP", { skip: missing("redis-cli", "redis-tools") }, async (t) => {
  const listener = await startEchoListener(t);
  const port = portOf(listener.address);
  t.equal(await run("redis-cli", ["-2", "-p", port, "ECHO", "a b", "\xff"]), "a b\n\xc3\xbf\n");
  t.equal(await run("redis-cli", ["-3", "-p", port, "--no-raw", "ECHO", "a b"]), '1) "a b"\n');
  t.match(await run("redis-cli", ["-p", port, "THROW"]), /^IO internal error/);
  t.equal(await run("redis-cli", ["-p", port], "PING\nECHO x\n"), "PONG\nx\n");
  t.match(await run("redis-cli", ["-p", port, "COMMAND", "DOCS"]), /echo/);
});

t.test("nc is served in both dialects", { skip: missing("nc", "netcat-openbsd") }, async (t) => {
  const listener = await startEchoListener(t);
  const port = portOf(listener.address);
  t.equal(await run("nc", ["-N", "127.0.0.1", port], "lamp.on\r\n"), ACKNOWLEDGED);
  t.equal(
    await run("nc", ["-N", "127.0.0.1", port], "ping\r\ninfo clients\r\n"),
    "+PONG\r\n$32\r\n# clients\r\nconnected_clients:1\r\n\r\n",
  );
});

t.test("telnet is served in both dialects", { skip: missing("telnet", "telnet") }, async (t) => {
  const listener = await startEchoListener(t);
  const port = portOf(listener.address);
  t.match(await type("telnet", ["127.0.0.1", port], "lamp.on\n"), CLONE_ACKNOWLEDGEMENT.trim());
  t.match(await type("telnet", ["127.0.0.1", port], "ping\nquit\n"), /\+PONG\s+\+OK/);
});
