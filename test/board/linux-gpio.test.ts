// What the kernel's GPIO drivers show of the Linux board beyond the contract of every board.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { Test } from "tap";

import { boardDefinitionSchema } from "../../agent/contract/board-definition.ts";
import { lineRef, type Board, type Edge } from "../../agent/contract/board.ts";
import { messageOf, type AgentError } from "../../agent/contract/errors.ts";
import { openBoard } from "../../drivers/board/auto.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { createLinuxBoard } from "../../drivers/board/linux/linux-board.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog, type FakeLog } from "../helpers/fake-log.ts";
import { expectCode } from "../contract/board.ts";
import * as world from "./world.ts";

type Backend = "cdev" | "sysfs";

const BACKENDS: readonly Backend[] = ["cdev", "sysfs"];
const HEADER = Array.from({ length: 28 }, (_, offset) => `GPIO${offset}`);

async function open(t: Test, gpio: Backend, more: { lines?: Record<string, string>; log?: FakeLog } = {}): Promise<Board> {
  const definition = boardDefinitionSchema.parse({ name: "virtual", gpio, lines: more.lines ?? {} });
  const board = await createLinuxBoard({ clock: createSystemClock(), definition, log: more.log ?? createFakeLog() });
  t.teardown(() => board.close());
  return board;
}

/** What this process holds of the kernel's GPIO. */
function openDescriptors(): string[] {
  return readdirSync("/proc/self/fd")
    .map((fd) => {
      try {
        return readlinkSync(join("/proc/self/fd", fd));
      } catch (error) {
        // The descriptor that listed the others.
        return messageOf(error);
      }
    })
    .filter((target) => target.includes("gpio"))
    .sort();
}

t.beforeEach(() => {
  for (const line of HEADER) world.drive(line, false);
});

t.test("auto takes the character device and says so", async (t) => {
  const board = await openBoard("auto", { clock: createFakeClock(), log: createFakeLog() });
  t.match(board.describe(), {
    kind: "linux-cdev",
    model: "Virtual board",
    why: "GPIO character device, chips pinctrl-virtual, virtual-leds",
    chips: [
      { label: "pinctrl-virtual", path: "/dev/gpiochip0", lines: 32 },
      { label: "virtual-leds", path: "/dev/gpiochip1", lines: 8 },
    ],
  });
  await board.close();
});

for (const backend of BACKENDS) {
  t.test(`twenty-eight watched inputs all report their edges through ${backend}`, async (t) => {
    const board = await open(t, backend);
    const edges = new Map<string, string>();
    for (const line of HEADER) {
      const input = await board.openInput("button", lineRef(line), {});
      input.onEdge(({ rising }) => edges.set(line, `${edges.get(line) ?? ""}${rising ? "r" : "f"}`));
    }
    for (const line of HEADER) world.drive(line, true);
    await world.until("every line has risen", () => HEADER.every((line) => edges.get(line) === "r"));
    for (const line of HEADER) world.drive(line, false);
    await world.until("every line has fallen", () => HEADER.every((line) => edges.get(line) === "rf"));
    t.equal(edges.size, 28);
  });

  t.test(`a renumbered chip is found by label and by name through ${backend}`, async (t) => {
    const before = world.chip("pinctrl-virtual").name;
    const putBack = world.renumber({ label: "intruder", lines: 20, lineNames: { 3: "INTRUDER3" } });
    try {
      t.not(world.chip("pinctrl-virtual").name, before);
      const board = await open(t, backend, { lines: { LAMP: "pinctrl-virtual:19" } });
      for (const line of ["GPIO17", "pinctrl-virtual:18", "LAMP"]) {
        const output = await board.openOutput("lamp", lineRef(line), true);
        t.equal(world.level(line === "LAMP" ? "GPIO19" : line), true, line);
        output.close();
      }
      await board.close();
    } finally {
      putBack();
    }
  });

  t.test(`a line the kernel holds is IN_USE through ${backend}, and named by its consumer`, async (t) => {
    const board = await open(t, backend);
    for (const line of ["ACT_LED", "virtual-leds:1"]) {
      await expectCode(t, "IN_USE", ["line ACT_LED", "virgo:green:act", "lamp"], () => board.openOutput("lamp", lineRef(line), true));
      await expectCode(t, "IN_USE", ["line ACT_LED"], () => board.openInput("lamp", lineRef(line), {}));
    }
    await expectCode(t, "IN_USE", ["virgo:green:act"], () =>
      board.openOutputs("lamp", [lineRef("virtual-leds:2"), lineRef("ACT_LED")], [true, true]),
    );
    t.equal(world.level("virtual-leds:2"), false, "nothing was driven");
    (await board.openOutput("lamp", lineRef("virtual-leds:2"), true)).close();
  });

  t.test(`another agent's line is IN_USE through ${backend}, and named by its device`, async (t) => {
    const first = await open(t, "cdev");
    const output = await first.openOutput("pump", lineRef("GPIO5"), true);
    t.equal(world.holder("GPIO5"), "virgo pump");
    const second = await open(t, backend);
    await expectCode(t, "IN_USE", ["line GPIO5", "virgo pump", "lamp"], () => second.openOutput("lamp", lineRef("GPIO5"), false));
    t.equal(world.level("GPIO5"), true);
    output.close();
    (await second.openOutput("lamp", lineRef("GPIO5"), false)).close();
    t.equal(world.holder("GPIO5"), undefined);
  });

  t.test(`nothing stays open through ${backend} once a board is closed`, async (t) => {
    const board = await open(t, backend);
    await board.openOutputs("lamp", [lineRef("GPIO1"), lineRef("GPIO2")], [true, true]);
    const input = await board.openInput("button", lineRef("GPIO3"), {});
    input.onEdge(() => undefined);
    t.equal(openDescriptors().length, backend === "cdev" ? 2 : 3);
    await board.close();
    t.same(
      [1, 2, 3].map((offset) => world.holder(`GPIO${offset}`)),
      [undefined, undefined, undefined],
    );
    t.same(openDescriptors(), []);
  });
}

t.test("edges carry the kernel's monotonic time of the interrupt", async (t) => {
  const board = await open(t, "cdev");
  const input = await board.openInput("button", lineRef("GPIO4"), {});
  const edges: Edge[] = [];
  input.onEdge((edge) => edges.push(edge));
  for (const level of [true, false, true]) {
    const count = edges.length;
    const beforeNs = process.hrtime.bigint();
    world.drive("GPIO4", level);
    await world.until("the edge", () => edges.length > count);
    const { rising, timestampNs } = edges.at(-1) as Edge;
    t.equal(rising, level);
    t.ok(timestampNs >= beforeNs && timestampNs <= process.hrtime.bigint(), "between driving and hearing");
  }
});

t.test("only a watched line is set up for edges, and what happened before is not reported", async (t) => {
  const board = await open(t, "cdev");
  const input = await board.openInput("button", lineRef("GPIO4"), { debounceUs: 1000 });
  const heard: string[] = [];
  const listen = (name: string) => input.onEdge(({ rising }) => heard.push(`${name} ${rising ? "rising" : "falling"}`));
  world.drive("GPIO4", true);
  await world.until("high", () => input.read());
  const cancel = listen("first");
  world.drive("GPIO4", false);
  await world.until("falling", () => heard.length === 1);
  cancel();
  world.drive("GPIO4", true);
  await world.until("high again", () => input.read());
  listen("second");
  world.drive("GPIO4", false);
  await world.until("falling again", () => heard.length === 2);
  t.same(heard, ["first falling", "second falling"]);
});

/** How often the kernel was interrupted for this consumer. */
function interrupts(consumer: string): number {
  const line = readFileSync("/proc/interrupts", "utf8")
    .split("\n")
    .find((text) => text.endsWith(consumer));
  return Number(line?.trim().split(/\s+/)[1] ?? 0);
}

t.test("what happens while this process is busy waits in the kernel and is reported whole, in order", async (t) => {
  const board = await open(t, "cdev");
  const input = await board.openInput("busy", lineRef("GPIO4"), {});
  const edges: Edge[] = [];
  input.onEdge((edge) => edges.push(edge));
  // More than one read takes; without a turn of the event loop in between.
  const BURST = 50;
  // The line's interrupt counts on from whoever had it before.
  const before = interrupts("virgo busy");
  for (let i = 1; i <= BURST; i++) {
    world.drive("GPIO4", i % 2 === 1);
    while (interrupts("virgo busy") < before + i);
    // The kernel's own thread, which comes before this one, reads the level after the interrupt.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
  }
  t.equal(edges.length, 0);
  await world.until("the last edge", () => edges.length >= BURST);
  t.equal(edges.length, BURST);
  t.ok(
    edges.every(({ rising }, i) => rising === (i % 2 === 0)),
    "rising and falling in turn",
  );
  t.ok(
    edges.every(({ timestampNs }, i) => i === 0 || timestampNs > (edges[i - 1] as Edge).timestampNs),
    "in order of time",
  );
});

t.test("lines written together are one request of the kernel", async (t) => {
  const board = await open(t, "cdev");
  const lines = HEADER.map(lineRef);
  const outputs = await board.openOutputs(
    "bus",
    lines,
    HEADER.map((_, i) => i % 3 === 0),
  );
  t.equal(openDescriptors().length, 1);
  t.same(
    HEADER.map(world.level),
    HEADER.map((_, i) => i % 3 === 0),
  );
  outputs.write(HEADER.map((_, i) => i % 3 !== 0));
  t.same(
    HEADER.map(world.level),
    HEADER.map((_, i) => i % 3 !== 0),
  );
  outputs.close();
  await expectCode(t, "ARGUMENT", ["GPIO1", "virtual-leds", "pinctrl-virtual"], () =>
    board.openOutputs("bus", [lineRef("GPIO1"), lineRef("virtual-leds:3")], [true, true]),
  );
});

t.test("a chip that is unplugged ends its inputs with an error, once", async (t) => {
  const remove = world.createChip({ label: "plugged", lines: 4, lineNames: { 0: "PLUGGED0" } });
  let plugged = true;
  t.teardown(() => {
    if (plugged) remove();
  });
  const board = await open(t, "cdev");
  const input = await board.openInput("button", lineRef("PLUGGED0"), {});
  const output = await board.openOutput("lamp", lineRef("plugged:1"), true);
  const errors: AgentError[] = [];
  input.onEdge(
    () => undefined,
    (error) => errors.push(error),
  );
  input.onEdge(
    () => undefined,
    (error) => errors.push(error),
  );
  remove();
  plugged = false;
  await world.until("both listeners are told", () => errors.length === 2);
  t.match(errors[0], { code: "IO", message: /^line PLUGGED0 reports no more edges/ });
  await expectCode(t, "IO", ["line PLUGGED0", "ENODEV"], () => input.read());
  await expectCode(t, "IO", ["line plugged:1", "ENODEV"], () => output.write(false));
  await expectCode(t, "IO", ["line PLUGGED0"], () => input.onEdge(() => undefined));
  input.close();
  output.close();
  await expectCode(t, "UNKNOWN", ["PLUGGED0"], () => board.openInput("button", lineRef("PLUGGED0"), {}));
});

t.test("a line left exported in sysfs is taken over, without a glitch, and logged", async (t) => {
  const number = world.sysfsBase("pinctrl-virtual") + 6;
  writeFileSync("/sys/class/gpio/export", String(number));
  writeFileSync(`/sys/class/gpio/gpio${number}/active_low`, "1");
  writeFileSync(`/sys/class/gpio/gpio${number}/direction`, "high");
  const log = createFakeLog();
  const board = await open(t, "sysfs", { log });
  const output = await board.openOutput("lamp", lineRef("GPIO6"), true);
  t.same(log.lines, ["warn line was left exported and nobody has it open: taken over"]);
  t.equal(world.level("GPIO6"), true, "high is high, whatever it was set to mean");
  output.write(false);
  t.equal(world.level("GPIO6"), false);
  output.close();
  t.notOk(existsSync(`/sys/class/gpio/gpio${number}`), "given back");
});

t.test("a line another process works with in sysfs is IN_USE, and the process is named", async (t) => {
  const number = world.sysfsBase("pinctrl-virtual") + 7;
  writeFileSync("/sys/class/gpio/export", String(number));
  const holder = spawn("sh", ["-c", `exec 3<>/sys/class/gpio/gpio${number}/value; echo open; read line`], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.teardown(() => holder.kill());
  await once(holder.stdout, "data");
  const board = await open(t, "sysfs");
  await expectCode(t, "IN_USE", ["line GPIO7", "sh (process"], () => board.openOutput("lamp", lineRef("GPIO7"), true));
  t.equal(world.level("GPIO7"), false);
  const ended = once(holder, "exit");
  holder.stdin.end();
  await ended;
  (await board.openOutput("lamp", lineRef("GPIO7"), true)).close();
});

t.test("a user without rights is DENIED and told which group to join, and may use what it has rights to", (t) => {
  // The same devices once more, the header's for everyone.
  const dev = "/tmp/dev";
  mkdirSync(dev);
  execFileSync("cp", ["-a", "/dev/gpiochip0", "/dev/gpiochip1", dev]);
  chmodSync(join(dev, "gpiochip0"), 0o666);
  const program = `
    import { boardDefinitionSchema } from "./agent/contract/board-definition.ts";
    import { openBoard } from "./drivers/board/auto.ts";
    const log = { debug() {}, info() {}, error() {}, warn: ({ error }) => console.log("log", error) };
    const say = (what, opening) => opening.then(() => console.log(what, "opened"), (error) => console.log(what, error.code, error.message));
    for (const gpio of ["auto", "cdev", "sysfs"]) {
      await say(gpio, openBoard(boardDefinitionSchema.parse({ name: "virtual", gpio }), { log: { ...log, warn() {} } }));
    }
    const board = await openBoard("auto", { log, roots: { dev: "${dev}", sys: "/sys", proc: "/proc" } });
    await say("GPIO8", board.openOutput("lamp", { name: "GPIO8" }, true));
    await say("ACT_LED", board.openOutput("lamp", { name: "ACT_LED" }, true));
    await board.close();
  `;
  const args = ["--import", "tsx", "--input-type=module", "-e", program];
  const said = execFileSync(process.execPath, args, { encoding: "utf8", uid: 65534, gid: 65534 }).trim().split("\n");
  t.match(said, [
    /^auto DENIED no GPIO backend works: may not open \/dev\/gpiochip0: .*board: sim$/,
    /^cdev DENIED may not open \/dev\/gpiochip0: .*sudo usermod -aG gpio nobody$/,
    /^sysfs DENIED may not open \/sys\/class\/gpio\/export: .*sudo usermod -aG gpio nobody$/,
    /^log may not open \/tmp\/dev\/gpiochip1: .*sudo usermod -aG gpio nobody$/,
    /^GPIO8 opened$/,
    /^ACT_LED DENIED line ACT_LED does not exist; .*may not open \/tmp\/dev\/gpiochip1: .*gpio nobody$/,
  ]);
  t.equal(said.length, 6);
  t.end();
});
