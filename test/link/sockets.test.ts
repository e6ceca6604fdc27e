import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";

import t from "tap";

import { OK, valueReply } from "../../agent/contract/request.ts";
import { takeInput } from "../../agent/link/stream-input.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { ask, caller, createFront, createHost, textOfReply } from "./pair.ts";

/** Both ends of a UNIX socket. */
async function createSockets(path: string): Promise<[Socket, Socket]> {
  const server = createServer().listen(path);
  await once(server, "listening");
  const near = connect(path);
  const [[far]] = (await Promise.all([once(server, "connection"), once(near, "connect")])) as [[Socket], unknown];
  server.close();
  return [near, far];
}

t.test("both ends meet over real sockets, large replies included", async (t) => {
  const clock = createFakeClock();
  const [near, far] = await createSockets(`${t.testdir()}/link`);
  const front = createFront(clock);
  const host = createHost(clock, far);
  await front.host.attach(near, "begin");
  const big = "x".repeat(3_000_000);
  host.answer = ({ args }) => (args[0] === "big.x" ? valueReply(big) : OK);
  const names = ["a.x", "big.x", "b.x", "big.x", "c.x"];
  const replies = await Promise.all(names.map((name) => front.call(ask("CLONE", name), caller)));
  t.strictSame(replies, [OK, valueReply(big), OK, valueReply(big), OK]);
  t.equal(
    (await Promise.all(Array.from({ length: 10_000 }, () => front.call(ask("CLONE", "a.x", big.slice(0, 500)), caller)))).length,
    10_000,
  );
  const lost = once(far, "close");
  front.host.detach("enough");
  await lost;
  t.equal(host.lost.length, 1);
});

t.test("a device host that is killed is noticed at once", async (t) => {
  const [near, far] = await createSockets(`${t.testdir()}/link`);
  const clock = createFakeClock();
  const front = createFront(clock);
  createHost(clock, far);
  await front.host.attach(near, "begin");
  const ended = new Promise<string>((resolve) => front.host.onEnded(({ message }) => resolve(message)));
  const reply = front.call(ask("CLONE", "a.x"), caller);
  far.destroy();
  t.match(await ended, /the device host/);
  t.match(textOfReply(await reply), /^-IO |^1$/);
});

/** Echoes in capitals what comes over fd 3, and ends with it. */
const ECHO = `
const s = new (require("node:net").Socket)({ fd: 3, readable: true, writable: true });
s.on("data", (d) => s.write(String(d).toUpperCase()));
s.on("end", () => process.exit(7));
`;

t.test("the pipe of a child process is read, and the process ends as it would without that", async (t) => {
  const child = spawn(process.execPath, ["-e", ECHO], { stdio: ["ignore", "inherit", "inherit", "pipe"], env: {} });
  const closed = once(child, "close");
  let read = "";
  let enough: () => void = () => undefined;
  const came = new Promise<void>((resolve) => {
    enough = resolve;
  });
  const given = child.stdio[3] as Duplex;
  const pipe = takeInput(given, (bytes) => {
    read += bytes.toString();
    if (read.length === 11) enough();
  });
  t.not(pipe, given, "it was possible");
  pipe.write("hello world");
  await came;
  t.equal(read, "HELLO WORLD");
  pipe.end();
  t.strictSame(await closed, [7, null]);
});
