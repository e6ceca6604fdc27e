import t, { type Test } from "tap";

import { AgentError } from "../../../agent/contract/errors.ts";
import { boardContract, expectCode } from "../../contract/board.ts";
import { createFakeClock } from "../../helpers/fake-clock.ts";
import { createSimBoard } from "../../../drivers/board/sim/sim-board.ts";
import { pinTrace } from "../../helpers/fake-device-context.ts";
import type { PinEvent } from "../../../drivers/board/sim/pin.ts";
import type { SimOperation } from "../../../drivers/board/sim/faults.ts";

const LAMP = { name: "GPIO17" };

function fresh(options: { historyLimit?: number; lines?: Record<string, number>; pwmChannels?: number } = {}) {
  const clock = createFakeClock();
  const board = createSimBoard({ clock, ...options });
  return { clock, board, world: board.world };
}

/** The levels of a pin's history, each different from the one before; a pin starts low. */
function levelsOf(entries: readonly PinEvent[]): readonly boolean[] {
  const levels = [false];
  for (const { level } of entries) if (level !== levels.at(-1)) levels.push(level);
  return levels;
}

t.test("the simulated board keeps the contract of boards", (t: Test) => {
  const clock = createFakeClock();
  let duty = (): number => 0;
  boardContract(t, {
    async open() {
      const board = createSimBoard({ clock });
      const { world } = board;
      duty = () => world.duty("pwm sim:1");
      return {
        board,
        world: {
          level: (line) => world.level(line),
          drive: (line, level) => world.drive(line, level),
          trace: (line) => levelsOf(world.history(line).entries),
        },
      };
    },
    lines: { out: ["GPIO17", "GPIO27"], in: ["GPIO22", "GPIO23"], byOffset: "sim:17" },
    capabilities: { pull: true, kernelStamp: true, debounce: "hardware", pwm: { ref: { chip: "sim", channel: 1 }, duty: () => duty() } },
    settle: () => clock.advance(20),
  });
  t.end();
});

t.test("the world drives inputs, lets go of them, and resistors pull", async (t) => {
  const { board, world } = fresh();
  t.equal(world.level("GPIO4"), false, "floating is low");
  world.resistor("GPIO4", "up");
  t.equal(world.level("GPIO4"), true, "a resistor pulls a free line");
  const input = await board.openInput("button", { name: "GPIO4" }, { pull: "down" });
  t.equal(input.read(), false, "the input's own pull is stronger");
  world.drive("GPIO4", true);
  t.equal(input.read(), true);
  world.letGo("sim:4");
  t.equal(input.read(), false);
  input.close();
  t.equal(world.level("GPIO4"), true, "the resistor is still there");
  const output = await board.openOutput("lamp", { name: "GPIO4" }, false);
  world.drive("GPIO4", true);
  t.equal(world.level("GPIO4"), false, "an output is stronger than the world");
  output.close();
  t.equal(world.level("GPIO4"), true);
  t.equal(pinTrace(world, "GPIO4"), "high input:low high low release:high output:low release:high");
});

t.test("a wire carries an output's level to the line at its other end", async (t) => {
  const { board, world } = fresh();
  world.wire("GPIO17", "GPIO4");
  const input = await board.openInput("button", { name: "GPIO4" }, { pull: "up" });
  const edges: boolean[] = [];
  input.onEdge(({ rising }) => edges.push(rising));
  const output = await board.openOutput("lamp", LAMP, false);
  output.write(true);
  output.write(false);
  output.close();
  t.same(edges, [false, true, false, true], "the pull lifts it again when the output lets go");
  input.close();
  const back = await board.openOutput("lamp", { name: "GPIO4" }, true);
  t.equal(world.level("GPIO17"), true, "both ways");
  back.close();
  t.equal(world.level("GPIO17"), false);
});

t.test("a pin's history is stamped and bounded", async (t) => {
  const { clock, board, world } = fresh({ historyLimit: 4 });
  const startMs = clock.monotonicMs();
  const output = await board.openOutput("lamp", LAMP, true);
  await clock.advance(5);
  output.write(false);
  output.write(false);
  await clock.advance(5);
  output.close();
  t.same(world.history("GPIO17"), {
    entries: [
      { atMs: startMs, event: "output", level: true },
      { atMs: startMs + 5, event: "level", level: false },
      { atMs: startMs + 10, event: "release", level: false },
    ],
    dropped: 0,
  });
  const again = await board.openOutput("lamp", LAMP, false);
  for (const level of [true, false, true, false, true]) again.write(level);
  t.equal(world.history("GPIO17").dropped, 5);
  t.equal(pinTrace(world, "GPIO17"), "low high low high");
  world.reset();
  t.same(world.history("GPIO17"), { entries: [], dropped: 0 });
});

t.test("PWM duty cycles are kept with their period", async (t) => {
  const { clock, board, world } = fresh();
  const output = await board.openPwm("lamp", { chip: "sim", channel: 2 }, 1_000_000);
  await output.write(0.5);
  await output.write(0.5);
  t.equal(world.duty("pwm sim:2"), 0.5);
  await output.close();
  const atMs = clock.monotonicMs();
  t.same(
    world.dutyHistory("pwm sim:2").entries,
    [
      ["open", 0],
      ["duty", 0.5],
      ["duty", 0],
      ["release", 0],
    ].map(([event, dutyRatio]) => ({ atMs, event, dutyRatio, periodNs: 1_000_000 })),
  );
  for (const periodNs of [0, -1, Number.NaN, Infinity]) {
    await expectCode(t, "ARGUMENT", ["pwm sim:2", String(periodNs)], () => board.openPwm("lamp", { chip: "sim", channel: 2 }, periodNs));
  }
  t.same(world.claimed(), []);
});

t.test("the nth operation of a kind fails once and leaves nothing claimed", async (t) => {
  const { clock, board, world } = fresh();
  const counts: Partial<Record<SimOperation, number>> = {
    openOutput: 2,
    openInput: 1,
    openPwm: 1,
    write: 2,
    pwmWrite: 1,
    read: 1,
    close: 4,
  };
  for (const [operation, count] of Object.entries(counts) as [SimOperation, number][]) {
    for (let nth = 1; nth <= count; nth++) {
      const sweep = createSimBoard({ clock });
      sweep.world.failNth(operation, nth);
      await expectCode(t, "IO", [operation], async () => {
        await useOn(sweep);
        await sweep.close();
      });
      t.equal(sweep.world.pendingFailures(), 0);
      await sweep.close();
      t.same(sweep.world.claimed(), []);
    }
  }

  async function useOn(sweep: typeof board): Promise<void> {
    const output = await sweep.openOutput("lamp", LAMP, false);
    const outputs = await sweep.openOutputs("lamp", [{ name: "GPIO2" }, { name: "GPIO3" }], [true, false]);
    const input = await sweep.openInput("lamp", { name: "GPIO4" }, { pull: "up" });
    const pwm = await sweep.openPwm("lamp", { chip: "sim", channel: 0 }, 1_000_000);
    output.write(true);
    outputs.write([false, true]);
    input.read();
    await pwm.write(1);
  }

  for (const operation of ["openOutput", "openInput", "openPwm"] as const) world.failNth(operation, 1);
  const opens = (owner: string) => [
    () => board.openOutput(owner, LAMP, true),
    () => board.openInput(owner, { name: "GPIO4" }, {}),
    () => board.openPwm(owner, { chip: "sim", channel: 0 }, 1_000_000),
  ];
  for (const open of opens("lamp")) await expectCode(t, "IO", [], open);
  t.equal(world.level("GPIO17"), false, "a line that did not open drives nothing");
  for (const open of opens("pump")) await (await open()).close();

  world.failNth("write", 1, new AgentError("TIMEOUT", "line GPIO17 is slow"));
  world.failNth("write", 2);
  await expectCode(t, "TIMEOUT", ["GPIO17"], () => useOn(board));
  t.equal(world.level("GPIO17"), false, "a failed write changes nothing");
  t.same(world.claimed().length, 5);
  world.reset();
  t.equal(world.pendingFailures(), 0);
  await expectCode(t, "ARGUMENT", ["0"], () => world.failNth("write", 0));
});

t.test("errors name what there is", async (t) => {
  const { board, world } = fresh({ lines: { LAMP: 3, HORN: 5 }, pwmChannels: 1 });
  await expectCode(t, "UNKNOWN", ["GPIO17", "LAMP, HORN"], () => board.openOutput("lamp", LAMP, false));
  await expectCode(t, "UNKNOWN", ["sim:4"], () => board.openOutput("lamp", { chip: "sim", offset: 4 }, false));
  await expectCode(t, "UNKNOWN", ["GPIO17"], () => world.drive("GPIO17", true));
  await expectCode(t, "UNKNOWN", ["pwm sim:1"], () => world.duty("pwm sim:1"));
  await expectCode(t, "ARGUMENT", ["lamp"], () => board.openOutputs("lamp", [], []));
  await expectCode(t, "UNKNOWN", ["did you mean HORN?"], () => board.openOutput("horn", { name: "HORM" }, false));
  await board.openOutput("lamp", { chip: "sim", offset: 3 }, true);
  t.equal(world.level("LAMP"), true);
  t.same(world.claimed(), ["line LAMP of lamp"]);
  await expectCode(t, "IN_USE", ["line LAMP is in use by lamp; pump"], () => board.openOutput("pump", { name: "LAMP" }, false));
});

t.test("a line with two names is one line", async (t) => {
  const { board, world } = fresh({ lines: { GPIO17: 17, PIN11: 17 } });
  await board.openOutput("lamp", { name: "PIN11" }, true);
  t.equal(world.level("GPIO17"), true);
  await expectCode(t, "IN_USE", ["line GPIO17 is in use by lamp"], () => board.openOutput("pump", LAMP, false));
  t.equal(board.describe().chips[0]?.lines, 1);
});

t.test("an input closed while it debounces leaves nothing behind", async (t) => {
  const { clock, board, world } = fresh();
  const input = await board.openInput("button", { name: "GPIO4" }, { debounceUs: 5000 });
  world.drive("GPIO4", true);
  t.equal(clock.pending(), 1);
  input.close();
  t.equal(clock.pending(), 0);
  world.drive("GPIO4", false);
  world.drive("GPIO4", true);
  t.equal(clock.pending(), 0, "closed, it looks no more");
});

t.test("a listener may cancel and close from within", async (t) => {
  const { board, world } = fresh();
  const input = await board.openInput("button", { name: "GPIO4" }, {});
  const heard: string[] = [];
  input.onEdge(() => {
    heard.push("first");
    input.close();
  });
  input.onEdge(() => heard.push("second"));
  world.drive("GPIO4", true);
  world.drive("GPIO4", false);
  t.same(heard, ["first"]);
});
