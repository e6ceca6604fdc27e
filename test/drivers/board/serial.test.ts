import { existsSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import t from "tap";

import { createFakeClock } from "../../helpers/fake-clock.ts";
import { createLinuxSerial } from "../../../drivers/board/linux/serial.ts";
import { createPoller } from "../../../drivers/board/linux/poller.ts";
import { createPtyPort } from "../../helpers/pty-port.ts";
import { createSimBoard } from "../../../drivers/board/sim/sim-board.ts";
import { createSystemClock } from "../../../agent/clock.ts";
import { expectCode } from "../../contract/board.ts";
import { loadLibc } from "../../../drivers/board/linux/libc.ts";
import { missing } from "../../helpers/tools.ts";
import { SERIAL_OPTIONS, serialContract } from "../../contract/serial.ts";

const PATH = "/dev/ttyUSB0";

t.test("the contract of serial ports, simulated", (t) => {
  const clock = createFakeClock();
  serialContract(t, {
    async open() {
      const board = createSimBoard({ clock });
      const world = board.world.serial(PATH);
      let since = 0;
      return {
        board,
        world: {
          plug() {
            since = world.sent().entries.length;
            world.plug();
          },
          unplug: () => world.unplug(),
          send: (bytes) => world.send(bytes),
          received: () =>
            Buffer.concat(
              world
                .sent()
                .entries.slice(since)
                .map(({ bytes }) => bytes),
            ),
        },
      };
    },
    path: PATH,
    settle: () => clock.advance(20),
  });
  t.end();
});

/** The kernel's own ports, without a board around them: serial ports need no GPIO. */
async function linuxPorts() {
  const libc = await loadLibc();
  const poller = createPoller(libc);
  const serial = createLinuxSerial({ clock: createSystemClock(), loadLibc: async () => libc, poller: () => poller });
  return serial;
}

const skip = missing("socat", "socat");

t.test("the contract of serial ports, on the kernel's pseudo terminals", { timeout: 120_000, skip }, (t) => {
  const folder = t.testdir();
  const path = join(folder, "ttyUSB0");
  const alias = join(folder, "by-id");
  symlinkSync(path, alias);
  serialContract(t, {
    async open() {
      const { createPorts } = await import("../../../drivers/board/ports.ts");
      const ports = createPorts("the board");
      const serial = await linuxPorts();
      const pty = createPtyPort(path);
      return {
        board: {
          openSerial: (owner, name, options) => ports.open(owner, [`serial ${name}`], () => serial.open(owner, name, options)),
          close: () =>
            ports.close((error) => {
              throw error;
            }),
        },
        world: pty,
      };
    },
    path,
    alias,
    settle: () => delay(20),
  });
  t.end();
});

t.test("what cannot be opened says why and what to do", { skip }, async (t) => {
  const serial = await linuxPorts();
  const file = join(t.testdir({ file: "no port" }), "file");
  const stream = await serial.open("gps", file, SERIAL_OPTIONS);
  t.match(stream.reason(), /file is no serial port/);
  await stream.close();

  const path = join(t.testdir(), "tty");
  const pty = createPtyPort(path);
  await pty.plug();
  t.ok(existsSync(path));
  const own = await serial.open("gps", path, SERIAL_OPTIONS);
  const other = await linuxPorts();
  const refused = await other.open("gps", path, SERIAL_OPTIONS);
  t.equal(refused.state(), "waiting");
  t.match(refused.reason(), /in use by another process/);
  await refused.close();
  await own.close();
  await pty.close();
});

t.test("attempts are further and further apart up to the longest pause, and close together again after bytes", async (t) => {
  const clock = createFakeClock();
  const board = createSimBoard({ clock });
  const options = { ...SERIAL_OPTIONS, retryMinMs: 100, retryMaxMs: 1000 };
  const attempts: number[] = [];
  /** Each attempt is failed by the simulated board, which counts them. */
  async function countFor(ms: number): Promise<number> {
    let count = 0;
    for (let passed = 0; passed < ms; passed += 10) {
      board.world.failNth("openSerial", 1);
      await clock.advance(10);
      if (board.world.pendingFailures() === 0) {
        count += 1;
        attempts.push(clock.monotonicMs() - 1000);
      }
      board.world.reset();
    }
    return count;
  }
  const stream = await board.openSerial("gps", PATH, options);
  await countFor(5000);
  t.same(attempts, [100, 300, 700, 1500, 2500, 3500, 4500]);
  board.world.serial(PATH).plug();
  await clock.advance(1000);
  t.equal(stream.state(), "open");
  board.world.serial(PATH).send("x");
  board.world.serial(PATH).unplug();
  attempts.length = 0;
  const start = clock.monotonicMs() - 1000;
  await countFor(400);
  t.same(
    attempts.map((at) => at - start),
    [100, 300],
  );
  await board.close();
  t.equal(clock.pending(), 0, "no timer stays armed");
});

t.test("a port that hangs after a reset of its USB device is opened again and works", async (t) => {
  const clock = createFakeClock();
  const board = createSimBoard({ clock });
  const world = board.world.serial(PATH);
  world.plug();
  const stream = await board.openSerial("gps", PATH, { ...SERIAL_OPTIONS, silentMs: 1000 });
  let bytes = 0;
  stream.onData((chunk) => {
    bytes += chunk.length;
  });
  world.send("ab");
  world.hang();
  world.send("lost");
  stream.write(Buffer.from("lost"));
  await clock.advance(1200);
  t.equal(world.opens(), 2);
  world.send("cd");
  t.equal(bytes, 4);
  t.same(world.sent().entries, []);
  await board.close();
});

t.test("a failing send loses the port and finds it again; a failing close is told to whoever closes", async (t) => {
  const clock = createFakeClock();
  const board = createSimBoard({ clock });
  board.world.serial(PATH).plug();
  const stream = await board.openSerial("gps", PATH, SERIAL_OPTIONS);
  board.world.failNth("serialSend", 1);
  stream.write(Buffer.from("x"));
  await clock.advance(0);
  t.equal(stream.state(), "waiting");
  t.match(stream.reason(), /takes no bytes.*serialSend/);
  await clock.advance(100);
  t.equal(stream.state(), "open");
  board.world.failNth("close", 1);
  stream.reopen("for a try");
  await clock.advance(100);
  t.equal(stream.state(), "open", "a port that does not close keeps nobody from opening it again");
  board.world.failNth("close", 1);
  await expectCode(t, "IO", ["close"], () => stream.close());
  t.same(board.world.claimed(), []);
  await board.close();
});

t.test("the plug is pulled in the middle of what is sent, to the byte", async (t) => {
  const clock = createFakeClock();
  for (let cut = 0; cut <= 5; cut++) {
    const board = createSimBoard({ clock });
    const world = board.world.serial(PATH);
    world.plug();
    const stream = await board.openSerial("gps", PATH, SERIAL_OPTIONS);
    let text = "";
    stream.onData((bytes) => {
      text += Buffer.from(bytes).toString();
    });
    world.setChunkBytes(2);
    world.unplugAfter(cut);
    world.send("hello");
    t.equal(text, "hello".slice(0, cut));
    t.equal(stream.state(), "waiting");
    await board.close();
  }
});
