import { AgentError, type ErrorCode } from "../../agent/contract/errors.ts";
import { lineRef, type Board, type DigitalInput, type DigitalOutput, type Edge, type PwmChipRef } from "../../agent/contract/board.ts";
import { behavioursOf, metBy, type Opened } from "./behaviour.ts";
import type { Eventually } from "../../agent/contract/value.ts";
import type { Test } from "tap";

/** What happens to the pins outside the board under test: a simulation's other side, a kernel simulator's attributes, or jumper wires. */
export interface BoardWorld {
  /** The level on the pin of one of the `out` lines. */
  level(line: string): Eventually<boolean>;
  /** Drives one of the `in` lines. */
  drive(line: string, level: boolean): Eventually<void>;
  /** The levels the pin has had since `open`, each different from the one before, beginning with the level then. */
  trace?(line: string): Eventually<readonly boolean[]>;
  close?(): Eventually<void>;
}

export interface BoardSetup {
  /** A fresh board on which every line named here is free, and low where nothing drives it if `trace` is there. */
  open(): Promise<Opened<Board, BoardWorld>>;
  /**
   * Two lines of one chip to drive, two to read, and the first of `out` by chip label and offset. They may be wired: no behaviour drives
   * an `in` line while it has the `out` line of the same place open.
   */
  readonly lines: { readonly out: readonly [string, string]; readonly in: readonly [string, string]; readonly byOffset: string };
  readonly capabilities: {
    /** Inputs can be pulled up and down where the world drives nothing. */
    readonly pull: boolean;
    /** Edges carry the kernel's stamp. */
    readonly kernelStamp: boolean;
    readonly debounce: "hardware" | "software";
    /** A free PWM channel and the duty cycle (0–1) on it; `duty` is absent where nothing can tell. */
    readonly pwm?: { readonly ref: PwmChipRef; duty?(): Eventually<number> };
  };
  /** Lets time pass, some 20 ms of it: simulated time or real. Repeated for a few seconds while something is waited for. */
  settle(): Promise<void>;
}

/** Longer than a virtual board's slowest tick, shorter than what is waited for. */
const DEBOUNCE_US = 60_000;

/** What every board does, whatever is behind it. One subtest of `t` per behaviour, each on a fresh board. */
export function boardContract(t: Test, setup: BoardSetup): void {
  const { lines, capabilities } = setup;
  const [outA, outB] = lines.out;
  const [inA, inB] = lines.in;

  const behaviour = behavioursOf(t, () => setup.open());
  const until = (condition: () => Eventually<boolean>): Promise<boolean> => metBy(() => setup.settle(), condition);

  async function pass(milliseconds: number): Promise<void> {
    for (let passed = 0; passed < milliseconds; passed += 20) await setup.settle();
  }

  const levelsOf = (edges: readonly Edge[]): string => edges.map(({ rising }) => (rising ? "rising" : "falling")).join(" ");

  /** Drives a level and waits for the `count`th edge, so that no tick can merge two. */
  async function driveAndSee(
    t: Test,
    world: BoardWorld,
    line: string,
    level: boolean,
    edges: readonly Edge[],
    count: number,
  ): Promise<void> {
    await world.drive(line, level);
    t.ok(await until(() => edges.length >= count), `edge ${count} arrives: ${level ? "rising" : "falling"}`);
  }

  async function openLow(board: Board, world: BoardWorld, line: string, debounceUs?: number): Promise<DigitalInput> {
    await world.drive(line, false);
    return board.openInput("button", lineRef(line), debounceUs === undefined ? {} : { debounceUs });
  }

  behaviour("describes itself in words", async (t, board) => {
    const { kind, model, why, chips } = board.describe();
    t.match(kind, /^[a-z-]+$/);
    t.ok(model.length > 0 && why.length > 0);
    t.ok(
      chips.some(({ label, lines: count }) => lines.byOffset.startsWith(`${label}:`) && count > 0),
      "the chip of the lines is described",
    );
  });

  for (const initial of [false, true]) {
    behaviour(`an output drives its initial level from the start: ${initial ? "high" : "low"}`, async (t, board, world) => {
      const output = await board.openOutput("lamp", lineRef(outA), initial);
      t.equal(await world.level(outA), initial);
      t.equal(output.level(), initial);
      const trace = await world.trace?.(outA);
      if (trace !== undefined) t.same(trace, initial ? [false, true] : [false], "no other level was there before");
    });
  }

  behaviour("an output drives what is written and says so", async (t, board, world) => {
    const output = await board.openOutput("lamp", lineRef(outA), false);
    for (const level of [true, true, false, true, false, false]) {
      output.write(level);
      t.equal(output.level(), level);
      t.equal(await world.level(outA), level);
    }
    const trace = await world.trace?.(outA);
    if (trace !== undefined) t.same(trace, [false, true, false, true, false], "writing the same level again is no edge");
  });

  behaviour("a line by chip label and offset is the same line", async (t, board, world) => {
    const output = await board.openOutput("lamp", lineRef(lines.byOffset), true);
    t.equal(await world.level(outA), true);
    output.write(false);
    t.equal(await world.level(outA), false);
  });

  behaviour("several lines are driven together, in the order asked for", async (t, board, world) => {
    const outputs = await board.openOutputs("lamp", [lineRef(outB), lineRef(outA)], [true, false]);
    const seen = async (): Promise<string> => `${outB} ${await world.level(outB)} ${outA} ${await world.level(outA)}`;
    t.equal(await seen(), `${outB} true ${outA} false`);
    outputs.write([false, true]);
    t.same(outputs.levels(), [false, true]);
    t.equal(await seen(), `${outB} false ${outA} true`);
    outputs.write([true, true]);
    t.equal(await seen(), `${outB} true ${outA} true`);
    outputs.close();
    await expectCode(t, "IO", [], () => outputs.write([false, false]));
  });

  behaviour("several lines are opened all or none", async (t, board) => {
    const held = await board.openOutput("pump", lineRef(outB), false);
    await expectCode(t, "IN_USE", ["pump"], () => board.openOutputs("lamp", [lineRef(outA), lineRef(outB)], [false, false]));
    await expectCode(t, "UNKNOWN", ["NO_SUCH_LINE"], () =>
      board.openOutputs("lamp", [lineRef(outA), { name: "NO_SUCH_LINE" }], [false, false]),
    );
    await expectCode(t, "IN_USE", [], () => board.openOutputs("lamp", [lineRef(outA), lineRef(lines.byOffset)], [false, false]));
    const free = await board.openOutput("lamp", lineRef(outA), false);
    free.close();
    held.close();
    const outputs = await board.openOutputs("lamp", [lineRef(outA), lineRef(outB)], [false, false]);
    t.same(outputs.levels(), [false, false]);
  });

  behaviour("levels and lines have to match in number", async (t, board) => {
    await expectCode(t, "ARGUMENT", [], () => board.openOutputs("lamp", [lineRef(outA), lineRef(outB)], [true]));
    const outputs = await board.openOutputs("lamp", [lineRef(outA), lineRef(outB)], [true, true]);
    await expectCode(t, "ARGUMENT", [], () => outputs.write([false]));
    t.same(outputs.levels(), [true, true], "nothing was changed");
  });

  behaviour("a released line can be opened again, either way round", async (t, board, world) => {
    (await board.openOutput("lamp", lineRef(outA), true)).close();
    (await board.openInput("button", lineRef(outA), {})).close();
    const again = await board.openOutput("pump", lineRef(lines.byOffset), true);
    t.equal(again.level(), true);
    t.equal(await world.level(outA), true);
  });

  behaviour("a line has one owner, whatever name it is asked for by", async (t, board, world) => {
    const output = await board.openOutput("pump", lineRef(outA), true);
    for (const text of [outA, lines.byOffset]) {
      await expectCode(t, "IN_USE", ["pump"], () => board.openOutput("lamp", lineRef(text), false));
      await expectCode(t, "IN_USE", ["pump"], () => board.openOutputs("lamp", [lineRef(text)], [false]));
      await expectCode(t, "IN_USE", ["pump"], () => board.openInput("lamp", lineRef(text), {}));
    }
    t.equal(await world.level(outA), true, "the owner's level stays");
    output.close();
    const input = await board.openInput("button", lineRef(outA), {});
    await expectCode(t, "IN_USE", ["button"], () => board.openOutput("lamp", lineRef(lines.byOffset), false));
    input.close();
  });

  behaviour("what does not exist is named in the error", async (t, board) => {
    const chip = lines.byOffset.slice(0, lines.byOffset.lastIndexOf(":"));
    for (const text of ["NO_SUCH_LINE", "no-such-chip:0", `${chip}:65000`]) {
      await expectCode(t, "UNKNOWN", [text], () => board.openOutput("lamp", lineRef(text), false));
      await expectCode(t, "UNKNOWN", [text], () => board.openInput("lamp", lineRef(text), {}));
    }
  });

  behaviour("an input shows the level driven from outside", async (t, board, world) => {
    await world.drive(inA, true);
    const input = await board.openInput("button", lineRef(inA), {});
    t.equal(input.read(), true, "at once");
    await world.drive(inA, false);
    t.ok(await until(() => !input.read()), "falls");
    await world.drive(inA, true);
    t.ok(await until(() => input.read()), "rises");
  });

  if (capabilities.pull) {
    behaviour("an input that nothing drives is pulled", async (t, board) => {
      for (const pull of ["up", "down", "up"] as const) {
        const input = await board.openInput("button", lineRef(inB), { pull });
        t.equal(input.read(), pull === "up", `pulled ${pull}`);
        input.close();
      }
    });
  }

  behaviour("edges arrive in order, both ways, with rising time stamps", async (t, board, world) => {
    const input = await openLow(board, world, inA);
    const edges: Edge[] = [];
    input.onEdge((edge) => edges.push(edge));
    for (let count = 1; count <= 6; count++) await driveAndSee(t, world, inA, count % 2 === 1, edges, count);
    t.equal(levelsOf(edges), "rising falling rising falling rising falling");
    t.ok(
      edges.every(({ timestampNs }, i) => i === 0 || timestampNs > (edges[i - 1] as Edge).timestampNs),
      "stamps rise",
    );
    t.ok(
      edges.every(({ kernelStamp }) => kernelStamp === capabilities.kernelStamp),
      `stamped by the kernel: ${capabilities.kernelStamp}`,
    );
  });

  behaviour("two inputs keep their edges apart", async (t, board, world) => {
    const edges: Record<string, Edge[]> = { [inA]: [], [inB]: [] };
    for (const line of [inA, inB]) (await openLow(board, world, line)).onEdge((edge) => edges[line]?.push(edge));
    await driveAndSee(t, world, inB, true, edges[inB] ?? [], 1);
    await driveAndSee(t, world, inA, true, edges[inA] ?? [], 1);
    await driveAndSee(t, world, inB, false, edges[inB] ?? [], 2);
    t.same([levelsOf(edges[inA] ?? []), levelsOf(edges[inB] ?? [])], ["rising", "rising falling"]);
  });

  behaviour("a cancelled listener hears nothing more, the others do", async (t, board, world) => {
    const input = await openLow(board, world, inA);
    const heard: Edge[] = [];
    const cancelled: Edge[] = [];
    const cancel = input.onEdge((edge) => cancelled.push(edge));
    input.onEdge((edge) => heard.push(edge));
    await driveAndSee(t, world, inA, true, heard, 1);
    cancel();
    cancel();
    await driveAndSee(t, world, inA, false, heard, 2);
    t.same([levelsOf(cancelled), levelsOf(heard)], ["rising", "rising falling"]);
  });

  behaviour(`debounce (${capabilities.debounce}) swallows what does not last`, async (t, board, world) => {
    const input = await openLow(board, world, inA, DEBOUNCE_US);
    const edges: Edge[] = [];
    input.onEdge((edge) => edges.push(edge));
    await world.drive(inA, true);
    await world.drive(inA, false);
    await pass((3 * DEBOUNCE_US) / 1000);
    t.equal(levelsOf(edges), "", "a short pulse is no edge");
    await driveAndSee(t, world, inA, true, edges, 1);
    t.equal(input.read(), true);
    await pass((2 * DEBOUNCE_US) / 1000);
    await driveAndSee(t, world, inA, false, edges, 2);
    t.equal(levelsOf(edges), "rising falling", "what lasts is one edge");
  });

  behaviour("a closed input hears nothing and gives its line back", async (t, board, world) => {
    const input = await openLow(board, world, inA);
    const edges: Edge[] = [];
    input.onEdge((edge) => edges.push(edge));
    await driveAndSee(t, world, inA, true, edges, 1);
    input.close();
    await world.drive(inA, false);
    await pass(100);
    t.equal(levelsOf(edges), "rising");
    const again = await board.openInput("second", lineRef(inA), {});
    t.equal(again.read(), false);
  });

  behaviour("closing twice is harmless, using what is closed is IO", async (t, board, world) => {
    const output: DigitalOutput = await board.openOutput("lamp", lineRef(outA), false);
    output.close();
    const input = await openLow(board, world, inB);
    input.close();
    const next = await board.openOutput("pump", lineRef(outA), true);
    output.close();
    input.close();
    t.equal(await world.level(outA), true, "closing again takes nothing from the next owner");
    await expectCode(t, "IN_USE", ["pump"], () => board.openOutput("lamp", lineRef(outA), false));
    await expectCode(t, "IO", [], () => output.write(true));
    await expectCode(t, "IO", [], () => input.read());
    next.close();
  });

  behaviour("closing the board gives back everything on it", async (t, board, world) => {
    const output = await board.openOutput("lamp", lineRef(outA), true);
    const input = await openLow(board, world, inB);
    const edges: Edge[] = [];
    input.onEdge((edge) => edges.push(edge));
    await world.close?.();
    await board.close();
    await board.close();
    await expectCode(t, "IO", [], () => output.write(false));
    await expectCode(t, "IO", [], () => input.read());
    await expectCode(t, "IO", [], () => board.openOutput("lamp", lineRef(outA), false));
    t.equal(edges.length, 0);
    const fresh = await setup.open();
    const again = await fresh.board.openOutput("pump", lineRef(outA), false);
    t.equal(again.level(), false, "a fresh board finds the line free");
    await fresh.world.close?.();
    await fresh.board.close();
  });

  if (capabilities.pwm !== undefined) pwmContract(behaviour, capabilities.pwm);
}

type Behaviour = (title: string, run: (t: Test, board: Board, world: BoardWorld) => Promise<void>) => void;

function pwmContract(behaviour: Behaviour, pwm: NonNullable<BoardSetup["capabilities"]["pwm"]>): void {
  const PERIOD_NS = 20_000_000;
  const { ref } = pwm;

  async function expectDuty(t: Test, expected: number): Promise<void> {
    if (pwm.duty === undefined) return;
    const actual = await pwm.duty();
    t.ok(Math.abs(actual - expected) < 0.001, `duty cycle ${expected}, got ${actual}`);
  }

  behaviour("a PWM channel starts at 0, follows what is written and ends at 0", async (t, board) => {
    const output = await board.openPwm("lamp", ref, PERIOD_NS);
    await expectDuty(t, 0);
    for (const ratio of [0.25, 1, 0.5, 0, 0.75]) {
      await output.write(ratio);
      await expectDuty(t, ratio);
    }
    await output.close();
    await output.close();
    await expectDuty(t, 0);
    await expectCode(t, "IO", [], async () => output.write(0.5));
    await expectDuty(t, 0);
    await (await board.openPwm("pump", ref, PERIOD_NS)).close();
  });

  behaviour("a duty cycle outside 0 to 1 is refused and changes nothing", async (t, board) => {
    const output = await board.openPwm("lamp", ref, PERIOD_NS);
    await output.write(0.5);
    for (const ratio of [-0.01, 1.01, Number.NaN, Infinity])
      await expectCode(t, "ARGUMENT", [String(ratio)], async () => output.write(ratio));
    await expectDuty(t, 0.5);
  });

  behaviour("a PWM channel has one owner, and has to exist", async (t, board) => {
    await board.openPwm("pump", ref, PERIOD_NS);
    await expectCode(t, "IN_USE", ["pump"], () => board.openPwm("lamp", ref, PERIOD_NS));
    await expectCode(t, "UNKNOWN", ["250"], () => board.openPwm("lamp", { chip: ref.chip, channel: 250 }, PERIOD_NS));
    await expectCode(t, "UNKNOWN", ["no-such-chip"], () => board.openPwm("lamp", { chip: "no-such-chip", channel: 0 }, PERIOD_NS));
  });
}

/** Runs what must fail with an AgentError of `code` whose one line names `names`. */
export async function expectCode(t: Test, code: ErrorCode, names: readonly string[], run: () => unknown): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    t.equal(error.code, code, error.message);
    for (const name of names) t.ok(error.message.includes(name), `names ${name}: ${error.message}`);
    t.notMatch(error.message, /[\r\n]/, "one line");
    return;
  }
  t.fail(`nothing failed; ${code} was expected`);
}
