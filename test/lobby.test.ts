import t from "tap";

import { startEchoListener } from "./helpers/echo-listener.ts";
import { createFakeClock, settled } from "./helpers/fake-clock.ts";
import { connectRaw } from "./helpers/raw-client.ts";

/** One dialect only: a line need not start with a reserved verb. */
const MODERN = { classic: false };

async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await settled();
}

t.test("a client that is silent at first is answered like any other, however its first request is cut", async (t) => {
  const listener = await startEchoListener(t, MODERN);
  const request = "*2\r\n$4\r\nECHO\r\n$3\r\nabc\r\n";
  for (let cut = 1; cut < request.length; cut++) {
    const client = await connectRaw(listener.address);
    await eventually(() => listener.stats.open === 1);
    client.send(request.slice(0, cut));
    await settled();
    client.send(request.slice(cut));
    t.equal(await client.take(13), "*1\r\n$3\r\nabc\r\n", `cut at ${cut}`);
    client.send("PING\r\n");
    t.equal(await client.take(7), "+PONG\r\n", "and goes on");
    client.end();
    t.equal(await client.rest(), "");
    await eventually(() => listener.stats.open === 0);
  }
  t.equal(listener.stats.requests, 2 * (request.length - 1));
});

t.test("a request of many packets that comes at once is answered once", async (t) => {
  const listener = await startEchoListener(t, MODERN);
  const client = await connectRaw(listener.address);
  const text = "x".repeat(500_000);
  client.send(`*2\r\n$4\r\nECHO\r\n$${text.length}\r\n${text}\r\nPING\r\n`);
  client.end();
  t.equal(await client.rest(), `*1\r\n$${text.length}\r\n${text}\r\n+PONG\r\n`);
});

t.test("who never says a word is let go: when it ends its side, when it is cut off, and after the idle limit", async (t) => {
  const clock = createFakeClock();
  const listener = await startEchoListener(t, { ...MODERN, clock, limits: { idleMs: 4000 } });
  const ends = await connectRaw(listener.address);
  const reset = await connectRaw(listener.address);
  const stays = await connectRaw(listener.address);
  await eventually(() => listener.stats.open === 3);
  ends.end();
  t.equal(await ends.rest(), "");
  await eventually(() => listener.stats.open === 2);
  reset.socket.resetAndDestroy();
  await eventually(() => listener.stats.open === 1);
  t.match(listener.stats, { socketErrors: 1, expired: 0 });
  await clock.advance(4000);
  t.equal(listener.stats.open, 1, "not before the limit");
  await clock.advance(1000);
  t.equal(await stays.rest(), "");
  stays.end();
  await eventually(() => listener.stats.open === 0);
  t.match(listener.stats, { accepted: 3, expired: 1, requests: 0, bytesIn: 0, bytesOut: 0 });
});

t.test("one that does not close its side after the idle limit is cut off", async (t) => {
  const clock = createFakeClock();
  const listener = await startEchoListener(t, { ...MODERN, clock, limits: { idleMs: 4000, drainMs: 200 } });
  const client = await connectRaw(listener.address);
  await eventually(() => listener.stats.open === 1);
  await clock.advance(5000);
  t.equal(await client.rest(), "");
  t.equal(listener.stats.open, 1);
  await clock.advance(200);
  await eventually(() => listener.stats.open === 0);
  t.equal(listener.stats.expired, 1);
  client.destroy();
});

t.test("closing lets everybody go who has said nothing, and does not wait for ever", async (t) => {
  const clock = createFakeClock();
  const listener = await startEchoListener(t, { ...MODERN, clock, limits: { drainMs: 10_000 } });
  const clients = await Promise.all(Array.from({ length: 5 }, () => connectRaw(listener.address)));
  await eventually(() => listener.stats.open === 5);
  const closed = listener.close();
  for (const client of clients) t.equal(await client.rest(), "");
  clients[0]!.end();
  await eventually(() => listener.stats.open === 4);
  await clock.advance(2000);
  await closed;
  t.equal(listener.stats.open, 0);
  for (const client of clients) client.destroy();
});

t.test("silent clients count as connections", async (t) => {
  const listener = await startEchoListener(t, { ...MODERN, limits: { maxConnections: 2 } });
  const silent = await Promise.all([connectRaw(listener.address), connectRaw(listener.address)]);
  await eventually(() => listener.stats.open === 2);
  const third = await connectRaw(listener.address);
  t.match(await third.rest(), /^-LIMIT 2 connections are open on echo/);
  for (const client of silent) client.destroy();
  await eventually(() => listener.stats.open === 0);
});

t.test("clients of one address are told apart by their numbers", async (t) => {
  const listener = await startEchoListener(t, MODERN);
  const clients = await Promise.all([connectRaw(listener.address), connectRaw(listener.address)]);
  const ids: string[] = [];
  for (const client of clients.toReversed()) {
    client.send("CLIENT ID\r\n");
    ids.push(await client.take(4));
  }
  t.same(ids.toSorted(), [":1\r\n", ":2\r\n"]);
  for (const client of clients) client.destroy();
});
