import { cpSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";

import t, { type Test } from "tap";

import type { Clock } from "../../agent/contract/clock.ts";
import { startFileSource } from "../../analytics/sources/file.ts";
import type { Source, SourceOptions } from "../../analytics/sources/source.ts";
import { startTcpListenSource } from "../../analytics/sources/tcp-listen.ts";
import { startTcpSource } from "../../analytics/sources/tcp.ts";
import { createVariableStore, type VariableStore } from "../../analytics/store.ts";
import { createFakeClock, type FakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog, type FakeLog } from "../helpers/fake-log.ts";

interface Bench extends SourceOptions {
  readonly clock: FakeClock;
  readonly variables: VariableStore;
  readonly log: FakeLog;
  readonly value: (name: string) => unknown;
}

function bench(): Bench {
  const clock = createFakeClock();
  const limits = { maxVariables: 100, maxVariableBytes: 1000 };
  const variables = createVariableStore({ clock, limits, declared: {}, defaultStaleMs: 2000 });
  return { clock, limits, variables, log: createFakeLog(), value: (name) => variables.get(name)?.value };
}

/** Lets sockets and files work until it is so; the test's time limit ends it otherwise. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 1));
}

function closing(t: Test, source: Source): void {
  t.teardown(() => source.close());
}

interface Producer {
  readonly port: number;
  /** Those connected now. */
  readonly sockets: net.Socket[];
  close(): Promise<void>;
}

/** Serves pairs as `nc -l` does. */
async function produce(t: Test, port = 0): Promise<Producer> {
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.splice(sockets.indexOf(socket), 1));
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      for (const socket of sockets) socket.destroy();
      server.close(() => {
        resolve();
      });
    });
  t.teardown(close);
  return { port: (server.address() as net.AddressInfo).port, sockets, close };
}

t.test("a tcp source connects out, reads pairs, and connects again when the stream ends", async (t) => {
  const { value, clock, log, ...options } = bench();
  const producer = await produce(t);
  const source = startTcpSource({ ...options, clock, log, host: "127.0.0.1", port: producer.port });
  closing(t, source);
  await until(() => producer.sockets.length === 1);
  producer.sockets[0]?.write("KERNEL_ANALYTICS_STREAMING_START\0\0k1=v1\nbattery_v=12");
  await until(() => value("k1") === "v1");
  producer.sockets[0]?.write(".5\nbad\nx=nan\n");
  await until(() => source.state().refused === 1);
  t.equal(value("battery_v"), 12.5);
  t.match(source.state(), {
    connected: true,
    connections: 1,
    pairs: 2,
    malformed: 1,
    refused: 1,
    torn: 0,
    errors: 0,
    lastError: undefined,
  });
  t.equal(source.state().lastRefusal, "x is NaN; a finite number is expected");
  t.equal(options.variables.get("k1")?.source, `tcp 127.0.0.1:${producer.port}`);

  producer.sockets[0]?.end("battery_v=1");
  await until(() => clock.pending() === 1);
  t.equal(value("battery_v"), 12.5, "a value cut off is not taken");
  t.match(source.state(), { connected: false, connections: 0, torn: 1 });
  await clock.advance(100);
  await until(() => producer.sockets.length === 1);
  producer.sockets[0]?.write("battery_v=11\n");
  await until(() => value("battery_v") === 11);
  const name = `tcp 127.0.0.1:${producer.port}`;
  t.strictSame(log.lines, [
    `info ${name}: connected`,
    `warn ${name}: ended by the other side; trying again until it is there`,
    `info ${name}: connected`,
  ]);
});

t.test("attempts to connect come ever less often, up to 5 s, until a pair arrives", async (t) => {
  const { clock, log, ...options } = bench();
  const gone = await produce(t);
  await gone.close();
  const delays: number[] = [];
  const noted: Clock = {
    ...clock,
    after(delayMs, run) {
      delays.push(delayMs);
      return clock.after(delayMs, run);
    },
  };
  const source = startTcpSource({ ...options, clock: noted, log, host: "127.0.0.1", port: gone.port, random: () => 1 });
  closing(t, source);
  for (let attempt = 1; attempt <= 8; attempt++) {
    await until(() => delays.length === attempt);
    if (attempt < 8) clock.advanceNow(delays.at(-1) ?? 0);
  }
  t.strictSame(delays, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
  t.match(source.state(), { connected: false, errors: 8, lastError: /ECONNREFUSED/ });
  t.equal(log.lines.length, 1, "told once, not once per attempt");

  const back = await produce(t, gone.port);
  clock.advanceNow(5000);
  await until(() => back.sockets.length === 1);
  back.sockets[0]?.destroy();
  await until(() => delays.length === 9);
  t.equal(delays[8], 5000, "being accepted is not enough");
  clock.advanceNow(5000);
  await until(() => back.sockets.length === 1);
  back.sockets[0]?.write("a=1\n");
  await until(() => source.state().pairs === 1);
  back.sockets[0]?.destroy();
  await until(() => delays.length === 10);
  t.equal(delays[9], 100);
});

t.test("a connection without a pair for idleMs is opened afresh", async (t) => {
  const { clock, value, ...options } = bench();
  const producer = await produce(t);
  const source = startTcpSource({ ...options, clock, host: "127.0.0.1", port: producer.port, idleMs: 1000 });
  closing(t, source);
  await until(() => clock.pending() === 1 && producer.sockets.length === 1);
  await clock.advance(600);
  producer.sockets[0]?.write("a=1\n");
  await until(() => value("a") === 1);
  await clock.advance(600);
  producer.sockets[0]?.write("no pairs but bytes\n");
  await until(() => source.state().malformed === 1);
  t.equal(source.state().connected, true);
  await clock.advance(400);
  await until(() => !source.state().connected);
  t.match(source.state(), { errors: 1, lastError: /no pair for 1000 ms$/ });
  await clock.advance(100);
  await until(() => source.state().connected);
});

t.test("a closed tcp source is silent, whatever it was doing", async (t) => {
  const { clock, ...options } = bench();
  const producer = await produce(t);
  const start = (): Source => startTcpSource({ ...options, clock, host: "127.0.0.1", port: producer.port, idleMs: 1000 });
  const connecting = start();
  await connecting.close();
  const connected = start();
  await until(() => connected.state().connected);
  await connected.close();
  const waiting = start();
  await until(() => waiting.state().connected);
  await producer.close();
  await until(() => !waiting.state().connected);
  await waiting.close();
  await waiting.close();
  t.equal(clock.pending(), 0);
});

/** A producer that connects to `address`. */
async function connect(t: Test, address: string): Promise<net.Socket> {
  const socket = net.connect({ host: "127.0.0.1", port: Number(address.slice(address.lastIndexOf(":") + 1)) });
  socket.on("error", () => undefined);
  t.teardown(() => socket.destroy());
  await new Promise((resolve) => socket.once("connect", resolve));
  return socket;
}

t.test("a listening source takes several producers, each with its own half-sent pairs", async (t) => {
  const { value, ...options } = bench();
  const source = await startTcpListenSource({ ...options, host: "127.0.0.1", port: 0 });
  closing(t, source);
  t.match(source.address, /^127\.0\.0\.1:\d+$/);
  t.match(source.state(), { connected: false, connections: 0 });
  const one = await connect(t, source.address);
  const two = await connect(t, source.address);
  one.write("a=1");
  two.write("b=");
  await until(() => source.state().bytes === 5);
  one.write("1\n");
  two.write("2\n");
  await until(() => value("a") === 11 && value("b") === 2);
  t.match(source.state(), { connected: true, connections: 2, pairs: 2, errors: 0 });
  t.equal(options.variables.get("a")?.source, `tcp 127.0.0.1:${one.localPort}`);
  one.resetAndDestroy();
  two.end("b=3");
  await until(() => source.state().connections === 0);
  t.equal(value("b"), 2);
  t.match(source.state(), { torn: 1, errors: 1 });
  await t.rejects(startTcpListenSource({ ...options, host: "127.0.0.1", port: Number(source.address.split(":")[1]) }), {
    code: "IN_USE",
    message: /^analytics cannot listen on 127\.0\.0\.1:\d+: /,
  });
});

t.test("a listening source turns away who is too many and disconnects who is silent", async (t) => {
  const { clock, value, ...options } = bench();
  const source = await startTcpListenSource({ ...options, clock, host: "127.0.0.1", port: 0, maxProducers: 1, idleMs: 1000 });
  closing(t, source);
  const first = await connect(t, source.address);
  await until(() => source.state().connections === 1);
  const second = await connect(t, source.address);
  await new Promise((resolve) => second.once("close", resolve));
  t.match(source.state(), { connections: 1, errors: 1, lastError: /more than 1 producers/ });
  first.write("a=1\n");
  await until(() => value("a") === 1);
  await clock.advance(999);
  t.equal(source.state().connections, 1);
  await clock.advance(1);
  await until(() => source.state().connections === 0);
  t.match(source.state(), { errors: 2, lastError: /no pair for 1000 ms$/ });
});

t.test("a closed listening source lets go of its port and its producers", async (t) => {
  const { clock, ...options } = bench();
  const source = await startTcpListenSource({ ...options, clock, host: "127.0.0.1", port: 0, idleMs: 1000 });
  const producer = await connect(t, source.address);
  await until(() => source.state().connections === 1);
  const closed = new Promise((resolve) => producer.once("close", resolve));
  await source.close();
  await closed;
  t.equal(clock.pending(), 0);
});

t.test("the recorded files give their variables", async (t) => {
  const fixture = new URL("../fixtures/", import.meta.url).pathname;
  const { value, ...options } = bench();
  const source = startFileSource({ ...options, path: join(fixture, "analytics-2023.conf") });
  closing(t, source);
  await until(() => source.state().pairs === 6);
  t.equal(value("match"), true);
  t.equal(value("kernel_analytics3"), "v3");
  t.equal(value("frequently_read_filedescriptors"), "{'22', '20', '48', '3'}");
  t.strictSame(options.variables.slots()[5], { name: "localhost_load", text: "[1.31 3.68 4.47 2/935 7677]" });
  t.match(source.state(), { connected: true, malformed: 0, refused: 0, errors: 0 });
});

t.test("a file is read again when it is written, replaced by renaming, deleted and made again", async (t) => {
  const path = join(t.testdir({ "a.conf": "a=1" }), "a.conf");
  const { clock, value, ...options } = bench();
  const source = startFileSource({ ...options, clock, path });
  closing(t, source);
  await until(() => value("a") === 1);
  const noticed = async (change: () => void): Promise<void> => {
    change();
    // The other timer is the look that comes every second.
    await until(() => clock.pending() === 2);
    await clock.advance(50);
  };
  await noticed(() => {
    writeFileSync(path, "a=2\nb=1");
  });
  await until(() => value("a") === 2 && value("b") === 1);
  await noticed(() => {
    writeFileSync(`${path}.new`, "a=3\n");
    renameSync(`${path}.new`, path);
  });
  await until(() => value("a") === 3);
  await noticed(() => {
    rmSync(path);
  });
  await until(() => !source.state().connected);
  t.match(source.state(), { errors: 1, lastError: /ENOENT/ });
  t.equal(value("a"), 3, "it goes stale by itself");
  await noticed(() => {
    writeFileSync(path, "a=4\n");
  });
  await until(() => value("a") === 4);
  t.match(source.state(), { connected: true, pairs: 5 });
});

t.test("a file is found when it appears later than the agent, even its folder", async (t) => {
  const root = t.testdir({ ready: { "a.conf": "a=1\n" } });
  const path = join(root, "late", "a.conf");
  const { clock, log, value, ...options } = bench();
  const source = startFileSource({ ...options, clock, log, path });
  closing(t, source);
  await until(() => source.state().errors === 1);
  await clock.advance(3000);
  mkdirSync(join(root, "late"));
  cpSync(join(root, "ready", "a.conf"), path);
  await clock.advance(1000);
  await until(() => value("a") === 1);
  t.equal(source.state().errors, 1);
  t.equal(log.lines.filter((line) => line.startsWith("warn")).length, 1, "told once");
});

t.test("what is no file is not read, and an unchanged file is not read twice", async (t) => {
  const root = t.testdir({ folder: {}, "a.conf": "a=1" });
  const folder = bench();
  const source = startFileSource({ ...folder, path: join(root, "folder") });
  await until(() => source.state().errors === 1);
  t.match(source.state(), { connected: false, lastError: /folder is not a file$/ });
  await source.close();
  const unchanged = bench();
  const file = startFileSource({ ...unchanged, path: join(root, "a.conf") });
  await until(() => file.state().pairs === 1);
  await unchanged.clock.advance(5000);
  await file.close();
  t.equal(file.state().pairs, 1);
  t.equal(unchanged.clock.pending(), 0);
});
