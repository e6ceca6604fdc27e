// CAN on the kernel's virtual interface; the other node is can-utils.
import { execFileSync, spawn } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { createInterface } from "node:readline";
import t from "tap";

import { canContract, frame, frameText } from "../contract/can.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { createLinuxBoard } from "../../drivers/board/linux/linux-board.ts";
import { expectCode } from "../contract/board.ts";
import { until } from "./world.ts";
import type { CanState } from "../../agent/contract/can.ts";

const NAME = "vcan0";

/** Error frames as a controller's driver makes them: class, then what is in `data[1]` (linux/can/error.h). */
const ERROR_FRAMES: Readonly<Record<Exclude<CanState, "down">, string>> = {
  warning: "20000004#0008000000006000",
  passive: "20000004#0020000000008000",
  "bus-off": "20000040#0000000000000000",
  active: "20000100#0000000000000000",
};

function run(program: string, ...args: string[]): void {
  execFileSync(program, args, { stdio: ["ignore", "ignore", "inherit"] });
}

run("ip", "link", "add", "dev", NAME, "type", "vcan");
run("ip", "link", "set", NAME, "up");

function open() {
  return createLinuxBoard({ clock: createSystemClock(), log: createFakeLog() });
}

/** Every data frame on the interface, as candump logs it. */
async function candump() {
  const child = spawn("stdbuf", ["--output=L", "candump", "-L", NAME], { stdio: ["ignore", "pipe", "inherit"] });
  const seen: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => seen.push(line.split(" ")[2] ?? ""));
  const probe = "7FE#50";
  await until("candump listens", () => {
    run("cansend", NAME, probe);
    return seen.includes(probe);
  });
  // What was sent until it listened is on its way, no more.
  await delay(50);
  seen.length = 0;
  return { seen, stop: () => child.kill() };
}

t.test("the contract of CAN", async (t) => {
  canContract(t, {
    async open() {
      run("ip", "link", "set", NAME, "up");
      const dump = await candump();
      return {
        board: await open(),
        world: {
          send: (one) => run("cansend", NAME, frameText(one)),
          seen: () => dump.seen,
          setState: (state) => run("cansend", NAME, ERROR_FRAMES[state]),
          down: () => run("ip", "link", "set", NAME, "down"),
          up: () => run("ip", "link", "set", NAME, "up"),
          close: () => {
            dump.stop();
          },
        },
      };
    },
    interfaceName: NAME,
    settle: () => delay(20),
  });
});

t.test("remote frames and errors are no frames; what the error frames say is told in words", async (t) => {
  const board = await open();
  t.teardown(() => board.close());
  const channel = await board.openCan("gcbaf", NAME);
  const heard: string[] = [];
  const told: string[] = [];
  channel.onFrame([{ id: 0, mask: 0, extended: false }], (one) => heard.push(frameText(one)));
  channel.onState((state, reason) => told.push(`${state}: ${reason}`));
  run("cansend", NAME, "123#R");
  for (const state of ["warning", "passive", "bus-off", "active"] as const) run("cansend", NAME, ERROR_FRAMES[state]);
  run("cansend", NAME, "20000004#0040000000000000");
  run("cansend", NAME, "20000004#0010000000000A90");
  run("cansend", NAME, "20000004#0040000000000000");
  run("cansend", NAME, "123#01");
  await until("the data frame is heard", () => heard.length > 0);
  t.same(heard, ["123#01"]);
  t.same(told, [
    "warning: transmit errors reached the warning level, 96 transmit and 0 receive errors",
    "passive: transmit errors made the controller passive, 128 transmit and 0 receive errors",
    "bus-off: the controller left the bus after too many transmit errors",
    "active: the controller was restarted",
    "passive: receive errors made the controller passive, 10 transmit and 144 receive errors",
    "active: the controller's errors went back",
  ]);
});

t.test("the errors say what to run", async (t) => {
  const board = await open();
  t.teardown(() => board.close());
  const channel = await board.openCan("gcbaf", NAME);
  run("cansend", NAME, ERROR_FRAMES["bus-off"]);
  await until("bus-off", () => channel.state() === "bus-off");
  await expectCode(t, "IO", ["ip link set vcan0 type can restart"], () => channel.send(frame(1, [])));
  run("ip", "link", "set", NAME, "down");
  await until("down", () => channel.state() === "down");
  await expectCode(t, "IO", ["sudo ip link set vcan0 up type can bitrate"], () => channel.send(frame(1, [])));
  run("ip", "link", "set", NAME, "up");
});

t.test("a full queue is FULL, and nothing is half sent", async (t) => {
  run("ip", "link", "set", NAME, "txqueuelen", "5");
  run("tc", "qdisc", "replace", "dev", NAME, "root", "netem", "delay", "1000ms", "limit", "4");
  const board = await open();
  t.teardown(() => board.close());
  const channel = await board.openCan("gcbaf", NAME);
  let sent = 0;
  await expectCode(t, "FULL", ["can vcan0"], () => {
    for (; sent < 100; sent++) channel.send(frame(sent, []));
  });
  t.equal(sent, 4);
  run("tc", "qdisc", "del", "dev", NAME, "root");
});

t.test("an interface that is pulled out and one that is no CAN interface", async (t) => {
  run("ip", "link", "add", "dev", "vcan1", "type", "vcan");
  run("ip", "link", "set", "vcan1", "up");
  const board = await open();
  t.teardown(() => board.close());
  await expectCode(t, "UNKNOWN", ["lo", NAME, "vcan1"], () => board.openCan("gcbaf", "lo"));
  const channel = await board.openCan("gcbaf", "vcan1");
  const told: string[] = [];
  channel.onState((state) => told.push(state));
  run("ip", "link", "del", "dev", "vcan1");
  await until("it is told", () => channel.state() === "down");
  await expectCode(t, "IO", ["gone"], () => channel.send(frame(1, [])));
  t.same(told, ["down"]);
});

t.test("thousands of frames arrive, in order and complete", async (t) => {
  const board = await open();
  t.teardown(() => board.close());
  const sender = await board.openCan("sender", NAME);
  const receiver = await board.openCan("receiver", NAME);
  const heard: number[] = [];
  receiver.onFrame([{ id: 0x100, mask: 0x700, extended: false }], ({ data }) => heard.push(Buffer.from(data).readUInt32LE(0)));
  const data = Buffer.alloc(8);
  for (let i = 0; i < 3000; i++) {
    data.writeUInt32LE(i, 0);
    sender.send({ id: 0x100 + (i & 0xff), extended: false, data });
    if (i % 100 === 99) await until("they are heard", () => heard.length === i + 1);
  }
  t.same(
    heard,
    Array.from({ length: 3000 }, (_, i) => i),
  );
});
