// What the agent says to systemd: over a real UNIX datagram socket, and in the unit that comes with it.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import t, { type Test } from "tap";

import { createNotifier } from "../../agent/keeper/notifier.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { encodeUnixAddress, openUnixDatagram } from "../../drivers/board/linux/unix-datagram.ts";
import { expectCode } from "../contract/board.ts";
import { until } from "./world.ts";

const UNIT = join(import.meta.dirname, "..", "..", "firmware-configs", "systemd", "virgo.service");

interface Receiver {
  readonly heard: () => string;
  readonly signal: (signal: NodeJS.Signals) => void;
}

/** Somebody who binds the address and writes down every datagram. */
async function receive(t: Test, kind: "UNIX-RECV" | "ABSTRACT-RECV", name: string): Promise<Receiver> {
  const child = spawn("socat", ["-u", `${kind}:${name}`, "STDOUT"], { stdio: ["ignore", "pipe", "inherit"] });
  let heard = "";
  child.stdout.on("data", (chunk: Buffer) => (heard += chunk.toString()));
  t.teardown(() => child.kill("SIGKILL"));
  await until("the receiver is bound", () => readFileSync("/proc/net/unix", "latin1").includes(name));
  return { heard: () => heard, signal: (signal) => void child.kill(signal) };
}

function socketName(): string {
  return join(mkdtempSync(join(tmpdir(), "notify-")), "socket");
}

t.test("datagrams arrive at a path and at an abstract name", async (t) => {
  for (const kind of ["UNIX-RECV", "ABSTRACT-RECV"] as const) {
    const name = socketName();
    const receiver = await receive(t, kind, name);
    const socket = await openUnixDatagram(kind === "UNIX-RECV" ? name : `@${name}`);
    t.equal(socket.send("READY=1"), true);
    t.equal(socket.send("STATUS=größer"), true);
    await until("both are there", () => receiver.heard() === "READY=1STATUS=größer");
    socket.close();
    socket.close();
    t.pass(kind);
  }
});

t.test("a receiver that does not read makes send answer false, never wait; then it works again", async (t) => {
  const name = socketName();
  const receiver = await receive(t, "UNIX-RECV", name);
  receiver.signal("SIGSTOP");
  const socket = await openUnixDatagram(name);
  let sent = 0;
  while (sent < 10_000 && socket.send(`${sent} `)) sent += 1;
  t.ok(sent < 10_000, `${sent} datagrams are in its queue`);
  receiver.signal("SIGCONT");
  await until("the queue is empty", () => receiver.heard().endsWith(`${sent - 1} `));
  t.equal(socket.send("again"), true);
  socket.close();
});

t.test("an address nobody is bound to is IO, one that is none ARGUMENT", async (t) => {
  const socket = await openUnixDatagram(socketName());
  await expectCode(t, "IO", ["does not take", "ENOENT"], async () => socket.send("x"));
  socket.close();
  await expectCode(t, "ARGUMENT", ["relative", "/ or"], async () => openUnixDatagram("relative/path"));
  await expectCode(t, "ARGUMENT", ["107 bytes"], async () => openUnixDatagram(`/${"x".repeat(107)}`));
  t.equal(encodeUnixAddress(`/${"x".repeat(106)}`).length, 110);
  t.equal(encodeUnixAddress("@ab").toString("latin1").slice(2), "\0ab", "an abstract name has no end but the address's");
});

t.test("the notifier kicks systemd's watchdog over it while the loop advances", async (t) => {
  const name = socketName();
  const receiver = await receive(t, "UNIX-RECV", name);
  const clock = createFakeClock();
  const env = { NOTIFY_SOCKET: name, WATCHDOG_USEC: "2000000", WATCHDOG_PID: String(process.pid) };
  const notifier = await createNotifier({ env, pid: process.pid, open: openUnixDatagram, clock, log: createFakeLog() });
  notifier.ready();
  notifier.advance();
  await clock.advance(1000);
  await clock.advance(1000);
  notifier.stopping();
  await until("it has heard all", () => receiver.heard().includes("STOPPING"));
  t.equal(receiver.heard(), "READY=1WATCHDOG=1STOPPING=1");
  notifier.close();
});

/** What systemd finds wrong with a unit. */
function verify(unit: string): string {
  const { stderr } = spawnSync("systemd-analyze", ["verify", unit], { encoding: "utf8" });
  return stderr;
}

const noSystemd = existsSync("/usr/bin/systemd-analyze") ? false : "systemd-analyze is not there; apt-get install systemd";

t.test("systemd finds nothing wrong with the unit", { skip: noSystemd }, async (t) => {
  t.equal(verify(UNIT), "");
  const folder = mkdtempSync(join(tmpdir(), "unit-"));
  const wrong = join(folder, "virgo.service");
  writeFileSync(wrong, readFileSync(UNIT, "utf8").replace("WatchdogSec=", "WatchDogSec="));
  t.match(verify(wrong), /WatchDogSec/, "it would find something");
  execFileSync("rm", ["-r", folder]);
});
