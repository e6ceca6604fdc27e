import { cpSync } from "node:fs";
import { join } from "node:path";

import t, { type Test } from "tap";
import ts from "typescript";

import { limitsSchema } from "../../agent/contract/limits.ts";
import { openHost } from "../../agent/host/host.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { createVariableStore } from "../../analytics/store.ts";
import { createSimBoard, type SimWorld } from "../../drivers/board/sim/sim-board.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import type { SimOperation } from "../../drivers/board/sim/faults.ts";
import type { Caller } from "../../agent/contract/request.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const EXAMPLE = join(ROOT, "examples", "module");
const CHANNEL = "pwm sim:0";

/** A host with the example's folder as somebody has copied it, out of this repository and without any packages. */
async function rig(t: Test, options: Readonly<Record<string, unknown>> = {}, prepare: (world: SimWorld) => void = () => undefined) {
  const folder = t.testdir({});
  cpSync(EXAMPLE, join(folder, "modules", "virgo-pwm-fan"), { recursive: true });
  const clock = createFakeClock();
  const log = createFakeLog();
  const board = createSimBoard({ clock });
  const variables = createVariableStore({ clock, limits: limitsSchema.parse({}), declared: {}, defaultStaleMs: 2000 });
  prepare(board.world);
  const host = await openHost({
    node: "garage",
    specs: [],
    pending: [
      {
        id: "fan",
        driverName: "pwm-fan",
        fields: { pwm: { chip: "sim", channel: 0 }, safe: 60, ...options },
        policy: { enabled: true, onLoss: "safe", onExit: "safe", exclusive: false, callMs: 1000 },
      },
    ],
    modules: { builtIn: [], sources: ["./modules/virgo-pwm-fan"], folder },
    board,
    clock,
    variables,
    journal: createJournal(clock),
    log,
  });
  t.teardown(() => host.stop());
  const caller: Caller = { name: "bench", priority: 100, signal: new AbortController().signal };
  const text = async (line: string): Promise<string> => {
    const [verb = "", ...args] = line.split(" ");
    const reply = await host.handle({ verb, args }, caller);
    if (reply.kind === "error") return `-${reply.error.code} ${reply.error.message}`;
    return reply.kind === "status" ? `+${reply.text}` : JSON.stringify(reply.value);
  };
  /** Turns the fan at so many pulses a second for a while. */
  async function turn(pulsesPerS: number, seconds: number): Promise<void> {
    for (let i = 0; i < pulsesPerS * seconds; i++) {
      board.world.drive("GPIO4", false);
      board.world.drive("GPIO4", true);
      await clock.advance(1000 / pulsesPerS);
    }
  }
  return { clock, log, board, variables, host, text, turn, duty: () => board.world.duty(CHANNEL) };
}

t.test("the fan starts in its safe state, is driven under a lease, and goes back by itself", async (t) => {
  const { clock, text, duty, variables, host } = await rig(t);
  t.equal(duty(), 0.6);
  t.match(await text("MODULES"), /^\[\{"name":"pwm-fan","version":"1\.0\.0","source":"\.\/modules\/virgo-pwm-fan","state":"loaded"/);
  t.equal(await text("CLONE LEASE 500 fan.speed 85"), "85");
  t.equal(duty(), 0.85);
  t.equal(variables.get("fan.percent")?.value, 85);
  t.equal(await text("CLONE fan.state"), '{"percent":85,"rpm":null}');
  t.equal(await text("CLONE fan.speed 101"), "-ARGUMENT fan.speed: percent is 101; 100 or less is expected");
  await clock.advance(500);
  t.equal(duty(), 0.6);
  await host.stop();
  t.equal(duty(), 0);
  t.equal(clock.pending(), 0);
});

t.test("it takes every state it is told to go to when nobody drives it", async (t) => {
  for (const [onLoss, expected] of [
    ["off", 0],
    ["safe", 0.6],
    [{ value: 30 }, 0.3],
    [{ value: 300 }, 1],
    [{ value: true }, 1],
    [{ value: false }, 0],
  ] as const) {
    const { host, duty } = await rig(t);
    await host.entries()[0]!.slot!.device.failsafe?.(onLoss);
    t.equal(duty(), expected, JSON.stringify(onLoss));
  }
});

t.test("its sense line tells how fast it turns", async (t) => {
  const { text, turn, variables } = await rig(t, { tach: "GPIO4" }, (world) => {
    world.drive("GPIO4", true);
  });
  await turn(50, 2);
  t.equal(await text("CLONE fan.state"), '{"percent":60,"rpm":1500}', "two pulses a turn");
  t.match(variables.get("fan.rpm"), { value: 1500, stale: false });
});

t.test("a fan that is stuck is a fault, and one that is told to stand still is not", async (t) => {
  const { clock, text, turn, duty } = await rig(t, { tach: "GPIO4", stallMs: 3000, safe: 0 }, (world) => {
    world.drive("GPIO4", true);
  });
  await clock.advance(60_000);
  t.equal(await text("CLONE LEASE 60000 fan.speed 80"), "80");
  await clock.advance(2900);
  t.equal(await text("CLONE LEASE 60000 fan.speed 80"), "80");
  await turn(10, 2);
  await clock.advance(2900);
  t.equal(duty(), 0.8);
  await clock.advance(2000);
  t.equal(duty(), 0);
  t.equal(
    await text("CLONE fan.speed 80"),
    "-FAULTED fan is faulted: fan does not turn at 80 %; look whether something blocks it; RESET fan clears it",
  );
  t.equal(await text("RESET fan"), "+OK");
  t.equal(await text("CLONE fan.speed 80"), "80");
});

t.test("the fan's duty goes only where it was told to, through opening, driving, loss, reload and exit", async (t) => {
  const { clock, text, board, host } = await rig(t);
  await text("CLONE LEASE 500 fan.speed 85");
  await clock.advance(500);
  await text("CLONE LEASE 5000 fan.speed 70");
  t.match(await text("RELOAD pwm-fan"), /"state":"loaded"/);
  t.match(await text("CLONE fan.state"), /"percent":60/);
  await host.stop();
  const duties = board.world.dutyHistory(CHANNEL).entries.map(({ dutyRatio }) => dutyRatio);
  t.same(
    duties.filter((duty, at) => duty !== duties[at - 1]),
    [0, 0.6, 0.85, 0.6, 0.7, 0.6, 0, 0.6, 0],
  );
});

t.test("any one operation may fail: the error shows, and no port is kept", async (t) => {
  const operations: readonly SimOperation[] = ["openPwm", "openInput", "pwmWrite", "close"];
  let swept = 0;
  for (const operation of operations) {
    for (let nth = 1; ; nth++) {
      const { text, board, host, clock, log } = await rig(t, { tach: "GPIO4" }, (world) => {
        world.failNth(operation, nth);
      });
      const replies = [await text("CLONE fan.speed 80"), await text("ESTOP")];
      await host.stop();
      t.same(board.world.claimed(), [], `${operation} ${nth}`);
      t.equal(clock.pending(), 0);
      if (board.world.pendingFailures() > 0) break;
      const said = [...replies, ...log.lines].some((line) => line.includes(operation));
      t.ok(said, `${operation} ${nth} is said: ${log.lines.join(" | ")}`);
      swept++;
    }
  }
  t.equal(swept, 8);
});

t.test("its comments are true types of the contract", (t) => {
  const program = ts.createProgram([join(EXAMPLE, "pwm-fan.js")], {
    allowJs: true,
    checkJs: true,
    noEmit: true,
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    types: ["node"],
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    paths: { "virgo-edge-agent/module": [join(ROOT, "agent", "contract", "module-kit.ts")] },
  });
  const mistakes = ts.getPreEmitDiagnostics(program).map(({ messageText, file, start }) => {
    const place = file === undefined ? "" : `${file.fileName}:${file.getLineAndCharacterOfPosition(start ?? 0).line + 1} `;
    return `${place}${ts.flattenDiagnosticMessageText(messageText, " ")}`;
  });
  t.same(mistakes, []);
  t.ok(
    program.getSourceFiles().some(({ fileName }) => fileName.endsWith("module-kit.ts")),
    "the types were found",
  );
  t.end();
});
