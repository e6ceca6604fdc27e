import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";

import t, { type Test } from "tap";

import { startFileSink, type FileSinkStart } from "../../../analytics/sinks/file.ts";
import { fileSinkSchema } from "../../../analytics/sinks/options.ts";
import type { Selected } from "../../../analytics/sinks/options.ts";
import type { Sink, SinkOptions } from "../../../analytics/sinks/sink.ts";
import { startTcpListenSink, type TcpListenSink } from "../../../analytics/sinks/tcp-listen.ts";
import { startTcpSink } from "../../../analytics/sinks/tcp.ts";
import { createVariableStore, type VariableStore } from "../../../analytics/store.ts";
import { eventually } from "../../helpers/eventually.ts";
import { createFakeClock, settled, type FakeClock } from "../../helpers/fake-clock.ts";
import { createFakeLog, type FakeLog } from "../../helpers/fake-log.ts";

interface Bench extends SinkOptions {
  readonly clock: FakeClock;
  readonly variables: VariableStore;
  readonly log: FakeLog;
}

const ALL: Selected = { variables: ["*"], batchMs: 0, paces: [] };

function bench(selected: Selected = ALL): Bench {
  const clock = createFakeClock();
  const limits = { maxVariables: 100, maxVariableBytes: 1_000_000 };
  return { clock, variables: createVariableStore({ clock, limits, declared: {}, defaultStaleMs: 60_000 }), log: createFakeLog(), selected };
}

const TCP = { host: "127.0.0.1", maxBacklogBytes: 100_000, minRetryMs: 100, maxRetryMs: 400, random: () => 1 };

interface Collector {
  readonly port: number;
  readonly sockets: net.Socket[];
  /** Everything that came, of all connections. */
  text(): string;
  close(): Promise<void>;
}

async function collect(t: Test, port = 0): Promise<Collector> {
  let text = "";
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => {
    sockets.push(socket);
    socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      for (const socket of sockets) socket.destroy();
      server.close(() => {
        resolve();
      });
    });
  t.teardown(() => (server.listening ? close() : undefined));
  return { port: (server.address() as net.AddressInfo).port, sockets, text: () => text, close };
}

interface Reader {
  readonly socket: net.Socket;
  text(): string;
}

async function read(t: Test, { address }: TcpListenSink): Promise<Reader> {
  let text = "";
  const socket = net.connect(Number(address.slice(address.lastIndexOf(":") + 1)), "127.0.0.1");
  socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
  socket.on("error", () => undefined);
  t.teardown(() => socket.destroy());
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  return { socket, text: () => text };
}

t.test("a collector gets the latest of everything, then what changes", async (t) => {
  const node = bench();
  node.variables.set("gear", "D", "test");
  node.variables.set("scan", [1, 2, 3], "test");
  const collector = await collect(t);
  const sink = startTcpSink({ ...node, ...TCP, port: collector.port });
  t.teardown(() => sink.close());
  await eventually(() => collector.text() === "gear=D\nscan=[1 2 3]\n");
  node.variables.set("speed", 1.5, "test");
  await eventually(() => collector.text().endsWith("speed=1.5\n"));
  t.match(sink.state(), { connected: true, connections: 1, lines: 3, bytes: collector.text().length, dropped: 0, errors: 0 });
  t.equal(sink.name, `tcp 127.0.0.1:${collector.port}`);
});

t.test("a collector that went away is looked for with growing pauses, and begins with the latest values", async (t) => {
  const node = bench();
  const collector = await collect(t);
  const sink = startTcpSink({ ...node, ...TCP, port: collector.port });
  t.teardown(() => sink.close());
  await eventually(() => sink.state().connected);
  await collector.close();
  await eventually(() => !sink.state().connected && node.clock.pending() === 1);
  for (let i = 0; i < 5; i++) {
    node.variables.set("speed", i, "test");
    await settled();
  }
  t.equal(sink.state().dropped, 5);
  const pauses: number[] = [];
  for (const expectedMs of [100, 200, 400, 400]) {
    await node.clock.advance(expectedMs - 1);
    t.equal(node.clock.pending(), 1);
    const { errors } = sink.state();
    await node.clock.advance(1);
    await eventually(() => sink.state().errors === errors + 1 && node.clock.pending() === 1);
    pauses.push(expectedMs);
  }
  t.equal(node.log.lines.filter((line) => line.startsWith("warn")).length, 1, "one line for the loss");
  const again = await collect(t, collector.port);
  await node.clock.advance(400);
  await eventually(() => again.text() === "speed=4\n");
  t.equal(pauses.length, 4);
});

t.test("many read from one sink; more than allowed are turned away", async (t) => {
  const node = bench();
  const sink = await startTcpListenSink({ ...node, ...TCP, port: 0, maxReaders: 3 });
  t.teardown(() => sink.close());
  const readers = [await read(t, sink), await read(t, sink), await read(t, sink)];
  await eventually(() => sink.state().connections === 3);
  const tooMany = await read(t, sink);
  await eventually(() => tooMany.socket.closed);
  t.match(sink.state().lastError, /more than 3 readers/);
  node.variables.set("speed", 2, "test");
  await eventually(() => readers.every((reader) => reader.text() === "speed=2\n"));
  readers[0]!.socket.write("nobody asked\n");
  readers[1]!.socket.destroy();
  await eventually(() => sink.state().connections === 2);
  node.variables.set("speed", 3, "test");
  await eventually(() => [readers[0]!, readers[2]!].every((reader) => reader.text().endsWith("speed=3\n")));
});

t.test("a reader that does not read holds up nobody, takes bounded memory, and gets the latest values when it reads again", async (t) => {
  const node = bench();
  const sink = await startTcpListenSink({ ...node, ...TCP, port: 0, maxReaders: 3 });
  t.teardown(() => sink.close());
  const [slow, quick] = [await read(t, sink), await read(t, sink)];
  await eventually(() => sink.state().connections === 2);
  slow.socket.pause();
  const scan = Array.from({ length: 20_000 }, (_, i) => i + 0.123);
  let sent = 0;
  while (sink.state().dropped < 20) {
    node.variables.set("scan", [sent++, ...scan], "test");
    node.variables.set("count", sent, "test");
    await eventually(() => quick.text().endsWith(`count=${sent}\n`));
  }
  slow.socket.resume();
  await eventually(() => slow.text().endsWith(`count=${sent}\n`));
  const lines = slow.text().split("\n");
  t.equal(lines.at(-3)?.slice(0, 20), `scan=[${sent - 1} 0.123 1.123`.slice(0, 20), "the latest table, whole");
  t.ok(lines.length < 2 * sent, "not every one");
  t.ok(
    lines.slice(0, -1).every((line) => /^(?:count=\d+|scan=\[[\d. ]+\])$/.test(line)),
    "whole lines only",
  );
  node.variables.set("count", -1, "test");
  await eventually(() => slow.text().endsWith("count=-1\n"));
});

t.test("a port that cannot be had is refused", async (t) => {
  const taken = await collect(t);
  await t.rejects(startTcpListenSink({ ...bench(), ...TCP, port: taken.port, maxReaders: 3 }), { code: "IN_USE" });
});

t.test("what waits is sent before a sink closes, and nothing afterwards", async (t) => {
  const node = bench({ ...ALL, batchMs: 1000 });
  const collector = await collect(t);
  const sink = startTcpSink({ ...node, ...TCP, port: collector.port });
  await eventually(() => sink.state().connected);
  node.variables.set("last", 1, "test");
  await settled();
  await sink.close();
  await eventually(() => collector.text() === "last=1\n");
  t.equal(node.clock.pending(), 0);
});

const FILE = fileSinkSchema.parse({ file: "unused" });

interface FileBench extends Bench {
  readonly path: string;
  readonly sink: Sink;
  readonly lines: (number?: number) => string[];
  /** Sets a variable and waits for its line. */
  readonly put: (name: string, value: number) => Promise<void>;
}

function fileBench(t: Test, options: Partial<FileSinkStart> = {}, path = join(t.testdir(), "data.log")): FileBench {
  const node = bench(options.selected);
  const sink = startFileSink({ ...FILE, ...node, path, ...options });
  t.teardown(() => sink.close());
  return {
    ...node,
    path,
    sink,
    lines: (number = 0) =>
      readFileSync(number === 0 ? path : `${path}.${number}`, "utf8")
        .split("\n")
        .slice(0, -1),
    async put(name, value) {
      const { lines } = sink.state();
      node.variables.set(name, value, "test");
      await eventually(() => sink.state().lines === lines + 1);
    },
  };
}

t.test("a file gets one line for what is sent together, with its time", async (t) => {
  const { variables, lines, sink, put, path } = fileBench(t);
  variables.set("speed", 1.5, "test");
  variables.set("gear", "D", "test");
  await eventually(() => sink.state().lines === 1);
  await put("speed", 2);
  t.strictSame(lines(), ["time=2023-11-14T22:13:20.000Z,speed=1.5,gear=D", "time=2023-11-14T22:13:20.000Z,speed=2"]);
  t.equal(sink.state().bytes, statSync(path).size);
});

t.test("a file that is too large is put aside, and so many are kept", async (t) => {
  const { lines, put, path } = fileBench(t, { rotate: { maxBytes: 80, keep: 2 } });
  for (let i = 0; i < 9; i++) await put("n", i);
  const numbers = (number: number): number[] => lines(number).map((line) => Number(line.split("n=")[1]));
  t.strictSame(
    [numbers(0), numbers(1), numbers(2)],
    [
      [6, 7, 8],
      [3, 4, 5],
      [0, 1, 2],
    ],
  );
  for (let i = 9; i < 13; i++) await put("n", i);
  t.strictSame(numbers(2), [6, 7, 8]);
  t.notOk(existsSync(`${path}.3`));
});

t.test("a file that is too old is put aside; with keep 0 it goes", async (t) => {
  const { lines, put, clock, path } = fileBench(t, { rotate: { maxBytes: 1e9, maxAgeMs: 10_000, keep: 0 } });
  await put("n", 1);
  clock.jumpWall(9999);
  await put("n", 2);
  clock.jumpWall(1);
  await put("n", 3);
  t.equal(lines().length, 1);
  t.notOk(existsSync(`${path}.1`));
});

t.test("half a line that was left behind is cut off, whole ones stay", async (t) => {
  for (const [before, after] of [
    ["time=1,a=1\ntime=2,a", 1],
    ["half", 0],
    [`a=1\n${"x".repeat(200_000)}`, 1],
    ["", 0],
  ] as const) {
    const path = join(t.testdir({ "data.log": before }), "data.log");
    const { lines, put } = fileBench(t, {}, path);
    await put("n", 1);
    t.equal(lines().length, after + 1);
    t.match(lines().at(-1), /^time=.*,n=1$/);
  }
});

t.test("what cannot be written waits, is written when it can be, and what is too much is left out and counted", async (t) => {
  const folder = join(t.testdir(), "missing");
  const { variables, clock, sink, lines, log } = fileBench(t, { maxBacklogBytes: 200, retryMs: 5000 }, join(folder, "data.log"));
  for (let i = 0; i < 10; i++) {
    variables.set("n", i, "test");
    await settled();
  }
  await eventually(() => sink.state().errors === 1 && clock.pending() === 1);
  t.match(sink.state(), { connected: false, dropped: 5, lines: 0, lastError: /ENOENT/ });
  await clock.advance(5000);
  await eventually(() => sink.state().errors === 2 && clock.pending() === 1);
  t.equal(log.lines.length, 1, "said once");
  mkdirSync(folder);
  await clock.advance(5000);
  await eventually(() => sink.state().connected);
  t.strictSame(
    lines().map((line) => line.split(",")[1]),
    ["n=0", "n=1", "n=2", "n=3", "n=4"],
  );
  t.match(sink.state(), { lines: 5, dropped: 5 });
});

t.test("what failed is written once more before it closes", async (t) => {
  const folder = join(t.testdir(), "missing");
  const { variables, clock, sink, lines } = fileBench(t, {}, join(folder, "data.log"));
  variables.set("n", 1, "test");
  await eventually(() => sink.state().errors === 1 && clock.pending() === 1);
  mkdirSync(folder);
  await sink.close();
  t.equal(lines().length, 1);
  t.equal(clock.pending(), 0);
});

t.test("on a full disk nothing is lost up to the bound, and no error ends the agent", async (t) => {
  const { variables, sink, clock } = fileBench(t, { maxBacklogBytes: 200 }, "/dev/full");
  variables.set("n", 1, "test");
  await eventually(() => sink.state().errors === 1 && clock.pending() === 1);
  t.match(sink.state(), { connected: false, lines: 0 });
});

t.test("with fsync always and never lines come as well, and what waits is written before it closes", async (t) => {
  const folder = t.testdir();
  for (const fsync of ["always", "never"] as const) {
    const path = join(folder, fsync);
    const selected = { ...ALL, batchMs: 500 };
    const { variables, sink, lines, clock } = fileBench(t, { fsync, rotate: { maxBytes: 1024, keep: 1 }, selected }, path);
    for (let i = 0; i < 40; i++) {
      variables.set("n", i, "test");
      await clock.advance(500);
      await eventually(() => sink.state().lines === i + 1);
    }
    variables.set("n", 40, "test");
    await settled();
    await sink.close();
    t.match(lines().at(-1), /n=40$/);
    t.equal(lines(1).length + lines().length, 41);
    t.equal(clock.pending(), 0);
  }
});
