import { existsSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import t, { type Test } from "tap";
import { z } from "zod";

import { compilePermits } from "../../agent/access/permits.ts";
import {
  defineDriver,
  defineFunction,
  MODULE_CONTRACT,
  STILL_LEASE,
  type DeviceModule,
  type DeviceSpec,
} from "../../agent/contract/device.ts";
import { limitsSchema } from "../../agent/contract/limits.ts";
import { openHost, type HostOptions } from "../../agent/host/host.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { createVariableStore } from "../../analytics/store.ts";
import { createSimBoard } from "../../drivers/board/sim/sim-board.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { eventually } from "../helpers/eventually.ts";
import type { Caller, Reply } from "../../agent/contract/request.ts";
import type { PendingSpec } from "../../agent/host/pending.ts";

const POLICY = { enabled: true, onLoss: "safe", onExit: "safe", exclusive: false, callMs: 1000 } as const;

/** The one module the agent of these tests comes with. */
const lamps: DeviceModule = {
  name: "lamps",
  contract: MODULE_CONTRACT,
  drivers: [
    defineDriver({
      name: "lamp",
      summary: "a lamp",
      options: z.strictObject({ line: z.string() }),
      moves: false,
      lease: STILL_LEASE,
      claims: ({ line }) => [`line ${line}`],
      async open(context, { line }) {
        const output = await context.board.openOutput(context.id, { name: line }, false);
        return {
          functions: {
            on: defineFunction({
              summary: "light it",
              params: z.strictObject({}),
              effect: "actuate",
              call() {
                output.write(true);
                return true;
              },
            }),
          },
          failsafe: () => {
            output.write(false);
          },
          close: () => {
            output.close();
          },
        };
      },
    }),
  ],
};

/** The source of a module with one driver, `gate`, that drives a line. Any of its parts can be replaced. */
function gateModule(parts: Readonly<Record<string, string>> = {}): string {
  const {
    before = "",
    name = '"gates"',
    contract = "MODULE_CONTRACT",
    driver = '"gate"',
    moves = "true",
    lease = "MOTION_LEASE",
    options = "z.strictObject({ line: z.string() })",
    claims = "({ line }) => ['line ' + line]",
    open = "",
    call = "output.write(true); return 'first'",
    failsafe = "output.write(false)",
    close = "output.close()",
    device = "",
    more = "",
  } = parts;
  return `
export default async ({ z, AgentError, MODULE_CONTRACT, MOTION_LEASE }) => {
  ${before}
  return { name: ${name}, contract: ${contract}, version: "1.2.3", drivers: [{
    name: ${driver}, summary: "a gate", options: ${options}, moves: ${moves}, lease: ${lease}, claims: ${claims},
    async open(context, { line }) {
      ${open}
      const output = await context.board.openOutput("somebody else", { name: line }, false);
      ${device === "" ? "" : `return ${device};`}
      return {
        functions: { move: { summary: "move it", params: z.strictObject({}), effect: "actuate", call() { ${call} } } },
        failsafe() { ${failsafe} },
        close() { ${close} },
      };
    },
    ${more}
  }] };
};`;
}

interface Rig {
  readonly sources?: readonly string[];
  readonly gates?: Readonly<Record<string, Partial<PendingSpec>>>;
  readonly host?: Partial<HostOptions>;
}

function rigFiles(t: Test, files: Readonly<Record<string, string>>) {
  const folder = t.testdir({});
  let writes = 0;
  /** Each version of a file has a time of its own. */
  function write(name: string, text: string): void {
    const file = join(folder, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    utimesSync(file, 1_700_000_000 + ++writes, 1_700_000_000 + writes);
  }
  for (const [name, text] of Object.entries(files)) write(name, text);
  return { folder, write };
}

/** A host with one lamp of its own, on GPIO5, and whatever modules and gates a test asks for. */
async function rig(
  t: Test,
  files: Readonly<Record<string, string>>,
  { sources = ["./gate.js"], gates = { gate: {} }, host: over = {} }: Rig = {},
) {
  const { folder, write } = rigFiles(t, files);
  const clock = createFakeClock();
  const journal = createJournal(clock);
  const log = createFakeLog();
  const variables = createVariableStore({ clock, limits: limitsSchema.parse({}), declared: {}, defaultStaleMs: 2000 });
  const board = createSimBoard({ clock });
  const specs: DeviceSpec[] = [{ id: "lamp", driver: lamps.drivers[0]!, options: { line: "GPIO5" }, policy: POLICY }];
  const pending = Object.entries(gates).map(([id, spec], at) => ({
    id,
    driverName: "gate",
    fields: { line: `GPIO${17 + at}` },
    policy: POLICY,
    ...spec,
  }));
  const doing: (string | undefined)[] = [];
  const host = await openHost({
    node: "garage",
    specs,
    pending,
    board,
    clock,
    variables,
    journal,
    log,
    modules: { builtIn: [lamps], version: "9.9.9", sources, folder, insmodFrom: ["modules", "node_modules"] },
    onDoing: (text) => void doing.push(text),
    ...over,
  });
  const caller: Caller = { name: "bench", priority: 100, signal: new AbortController().signal };
  const ask = async (line: string, by = caller): Promise<Reply> => {
    const [verb = "", ...args] = line.split(" ");
    return host.handle({ verb, args }, by);
  };
  const text = async (line: string, by = caller): Promise<string> => asText(await ask(line, by));
  const reasonOf = (id: string) => host.entries().find(({ spec }) => spec.id === id)?.reason;
  const gone = () => host.stop();
  t.teardown(gone);
  return { folder, write, clock, journal, log, board, variables, host, caller, ask, text, reasonOf, doing };
}

function asText(reply: Reply): string {
  if (reply.kind === "error") return `-${reply.error.code} ${reply.error.message}`;
  return reply.kind === "status" ? `+${reply.text}` : JSON.stringify(reply.value);
}

const LOADED = {
  name: "gates",
  version: "1.2.3",
  source: "./gate.js",
  state: "loaded",
  reason: null,
  drivers: ["gate"],
  devices: ["gate"],
};

t.test("a module of the configuration is loaded before the devices open, and its devices are like any other", async (t) => {
  const { board, clock, text, ask, doing } = await rig(t, { "gate.js": gateModule() });
  t.equal(await text("CLONE LEASE 300 gate.move"), '"first"');
  t.equal(board.world.level("GPIO17"), true);
  t.same(board.world.claimed(), ["line GPIO5 of lamp", "line GPIO17 of gate"], "ports are the device's, whatever it says");
  await clock.advance(300);
  t.equal(board.world.level("GPIO17"), false);
  t.same(await ask("MODULES"), {
    kind: "value",
    value: [
      { name: "lamps", version: "9.9.9", source: "built-in", state: "loaded", reason: null, drivers: ["lamp"], devices: ["lamp"] },
      LOADED,
    ],
  });
  t.match(await ask("DESCRIBE gate"), {
    value: { driver: "gate", summary: "a gate", options: { line: "GPIO17" }, lease: { ceilingMs: 5000 } },
  });
  t.same(doing, ["module ./gate.js", undefined, "device lamp", undefined, "device gate", undefined]);
});

t.test("INSMOD loads a module later, and the devices that waited for it open", async (t) => {
  const { text, ask, journal } = await rig(t, { "modules/gate.js": gateModule() }, { sources: [] });
  t.match(
    await text("CLONE gate.move"),
    /^-NOT_READY gate was failed: UNKNOWN no driver is called gate; no module that is loaded brings it/,
  );
  t.match(await ask("DESCRIBE gate"), {
    value: { driver: "gate", summary: "", options: { line: "GPIO17" }, lease: null, state: "failed" },
  });
  t.match(await text("RESET gate"), /^-NOT_READY gate was failed/);
  t.same(await ask("INSMOD ./modules/gate.js"), { kind: "value", value: { ...LOADED, source: "./modules/gate.js" } });
  t.match(
    journal.latest(10).find(({ subject }) => subject === "module gates"),
    { kind: "open", caller: "bench", detail: "./modules/gate.js" },
  );
  t.equal(await text("CLONE gate.move"), '"first"');
  t.equal(
    await text("INSMOD ./modules/gate.js"),
    "-IN_USE module gates is loaded already, from ./modules/gate.js; RELOAD gates loads it anew",
  );
  t.match(await text("INSMOD gates"), /^-IN_USE/);
});

t.test("RMMOD makes the module's devices safe, closes and forgets them; INSMOD brings them back", async (t) => {
  const { board, clock, text, ask, reasonOf, journal } = await rig(t, { "gate.js": gateModule() });
  await text("CLONE LEASE 5000 gate.move");
  await text("CLONE LEASE 5000 lamp.on");
  t.equal(await text("RMMOD gates"), "+OK");
  t.equal(board.world.level("GPIO17"), false);
  t.same(board.world.claimed(), ["line GPIO5 of lamp"]);
  t.equal(board.world.level("GPIO5"), true, "others keep their lease");
  t.equal(reasonOf("gate"), "NOT_READY its module gates was removed; INSMOD ./gate.js loads it again");
  t.match(await text("CLONE gate.move"), /^-NOT_READY gate was failed: NOT_READY its module gates was removed/);
  t.match(await ask("MODULES"), { value: [{ name: "lamps" }] });
  t.match(
    journal.latest(10).findLast(({ subject }) => subject === "module gates"),
    { kind: "close", caller: "bench", detail: "./gate.js" },
  );
  t.match(await ask("INSMOD ./gate.js"), { kind: "value" }, "what the configuration lists may be anywhere");
  t.equal(await text("CLONE gate.move"), '"first"');
  await clock.advance(4000);
  t.equal(board.world.level("GPIO5"), true);
  await clock.advance(1000);
  t.equal(board.world.level("GPIO5"), false);
});

t.test("RELOAD of a module that is driven: safe first, then the new code; the others keep their lease", async (t) => {
  const { board, write, text, ask, host, journal } = await rig(t, { "gate.js": gateModule() });
  await text("CLONE LEASE 5000 gate.move");
  await text("CLONE LEASE 5000 lamp.on");
  const lamp = host.entries()[0]!.slot!.current;
  write("gate.js", gateModule({ call: "output.write(true); return 'second'" }));
  t.match(await ask("RELOAD gates"), { kind: "value", value: LOADED });
  const trace = board.world.history("GPIO17").entries.map(({ event, level }) => `${event} ${level}`);
  t.same(trace, ["output false", "level true", "level false", "release false", "output false"], "no edge but the one that makes it safe");
  t.equal(host.entries()[0]!.slot!.current, lamp);
  t.equal(await text("CLONE gate.move"), '"second"');
  const kinds = journal.latest(100).filter(({ subject }) => /gate/.test(subject));
  t.same(
    kinds.map(({ kind, subject, caller, detail }) => [kind, subject, caller, detail].join(" ").trim()),
    [
      "open gate",
      "actuate gate bench move",
      "close module gates bench ./gate.js",
      "lease-end gate bench closed",
      "safe gate bench safe",
      "close gate bench",
      "open module gates bench ./gate.js",
      "open gate",
      "actuate gate bench move",
    ],
  );
});

t.test("when the new code does not load, its devices are failed and named, and a later RELOAD brings them back", async (t) => {
  const { board, write, text, ask, reasonOf } = await rig(t, { "gate.js": gateModule() });
  await text("CLONE LEASE 5000 gate.move");
  write("gate.js", gateModule({ before: "throw new Error('unfinished')" }));
  const said = "module ./gate.js: it threw while it was loaded: unfinished";
  t.equal(await text("RELOAD ./gate.js"), `-IO ${said}`);
  t.equal(reasonOf("gate"), `UNKNOWN no driver is called gate; ${said}`);
  t.same(board.world.claimed(), ["line GPIO5 of lamp"]);
  t.match(await ask("MODULES"), { value: [{}, { ...LOADED, state: "failed", reason: `IO ${said}` }] });
  t.equal(await text("CLONE lamp.on"), "true");
  t.match(await text("RESET gate"), /^-NOT_READY gate was failed: UNKNOWN/);
  write("gate.js", gateModule({ call: "return 'third'" }));
  t.match(await ask("RELOAD gates"), { value: LOADED });
  t.equal(await text("CLONE gate.move"), '"third"');
});

t.test("a driver that the new code does not have any more leaves its devices failed", async (t) => {
  const { write, text, reasonOf } = await rig(t, { "gate.js": gateModule() });
  write("gate.js", gateModule({ driver: '"door"' }));
  t.match(await text("RELOAD gates"), /"drivers":\["door"\],"devices":\[\]/);
  t.equal(reasonOf("gate"), "UNKNOWN no driver is called gate; no module that is loaded brings it");
});

for (const [what, source, expected] of [
  [
    "throws",
    "throw new TypeError('no such thing\\nat all')",
    /^IO module \.\/gate\.js: it threw while it was loaded: no such thing at all$/,
  ],
  ["cannot be read as JavaScript", "export default {", /^IO module \.\/gate\.js: it threw while it was loaded: ./],
  [
    "exports nothing",
    "export const gates = 1;",
    /^ARGUMENT module \.\/gate\.js: it exports no module, neither as default nor by that name$/,
  ],
  ["exports something else", "export default 7;", /^ARGUMENT module \.\/gate\.js: .*expected object/],
  [
    "is for another contract",
    gateModule({ contract: "2" }),
    /^ARGUMENT module \.\/gate\.js: contract: it is written for contract 2, this agent has 1$/,
  ],
  ["has no name", gateModule({ name: "undefined" }), /^ARGUMENT module \.\/gate\.js: name: a name is expected$/],
  ["has a bad name", gateModule({ name: "'a b'" }), /name: a name has up to 64 letters, digits and -/],
  ["has no drivers", "export default { name: 'gates', contract: 1, drivers: [] };", /drivers: a module has one driver or more$/],
  ["has drivers that are none", "export default { name: 'gates', contract: 1, drivers: 1 };", /drivers: a list of drivers is expected$/],
  [
    "has two drivers of one name",
    "const d = (z) => ({ name: 'd', summary: 's', options: z.object({}), moves: false, lease: { floorMs: 1, defaultMs: 1, ceilingMs: 1 }, claims: () => [], open() {} }); export default ({ z }) => ({ name: 'gates', contract: 1, drivers: [d(z), d(z)] });",
    /it has two drivers called d$/,
  ],
  [
    "does not say what moves",
    gateModule({ moves: "'yes'" }),
    /drivers\.0\.moves: true or false is expected: whether it can move something$/,
  ],
  [
    "has a lease without end",
    gateModule({ lease: "{ floorMs: 30, defaultMs: 200, ceilingMs: 5001 }" }),
    /drivers\.0\.lease\.ceilingMs: a lease of up to 5000 ms is expected of what moves$/,
  ],
  [
    "has a lease out of order",
    gateModule({ lease: "{ floorMs: 300, defaultMs: 200, ceilingMs: 5000 }" }),
    /drivers\.0\.lease: floorMs, defaultMs and ceilingMs are expected in this order/,
  ],
  [
    "has a lease of nothing",
    gateModule({ lease: "{ floorMs: 0, defaultMs: Infinity, ceilingMs: 5000 }" }),
    /drivers\.0\.lease\.floorMs: 1 ms or more is expected; drivers\.0\.lease\.defaultMs: a whole number of milliseconds is expected/,
  ],
  [
    "has options that are no schema",
    gateModule({ options: "{}" }),
    /drivers\.0\.options: a zod object is expected, for example z\.strictObject\(\{\}\)$/,
  ],
  ["has claims that are no function", gateModule({ claims: "[]" }), /drivers\.0\.claims: a function is expected$/],
  [
    "wants the motion thread",
    gateModule({ more: "thread: 'motion'," }),
    /drivers\.0\.thread: the motion thread is only for drivers that come with the agent; leave it out$/,
  ],
  [
    "takes a driver's name that exists",
    gateModule({ driver: '"lamp"' }),
    /^IN_USE module \.\/gate\.js: there is a driver lamp already, in module lamps$/,
  ],
  [
    "takes a module's name that exists",
    gateModule({ name: '"lamps"' }),
    /^IN_USE module \.\/gate\.js: there is a module lamps already, built-in$/,
  ],
] as const) {
  t.test(`a module that ${what} fails alone and is named`, async (t) => {
    const { text, ask, reasonOf, log } = await rig(t, { "gate.js": source });
    t.match(await ask("MODULES"), { value: [{}, { name: "./gate.js", source: "./gate.js", state: "failed", reason: expected }] });
    t.match(reasonOf("gate"), /^UNKNOWN no driver is called gate; module \.\/gate\.js: /);
    t.ok(log.lines.some((line) => line.startsWith("error module ./gate.js is not loaded: ")));
    t.equal(await text("CLONE lamp.on"), "true");
  });
}

t.test("a module that never finishes loading fails alone and is named", async (t) => {
  const clock = createFakeClock();
  const opening = rig(t, { "gate.js": "await new Promise(() => {}); export default {};" }, { host: { clock } });
  await eventually(() => clock.pending() > 0);
  await clock.advance(5000);
  const { text, reasonOf } = await opening;
  t.equal(reasonOf("gate"), "UNKNOWN no driver is called gate; module ./gate.js: loading took longer than 5000 ms");
  t.equal(await text("CLONE lamp.on"), "true");
});

t.test("what did not survive being loaded or opened is left out the next time, until somebody asks for it", async (t) => {
  const left = await rig(t, { "gate.js": gateModule() }, { host: { quarantine: ["module ./gate.js", "device lamp"] } });
  t.match(await left.text("MODULES"), /"reason":"NOT_READY left out: the device host did not survive loading it; RELOAD tries again"/);
  t.equal(left.reasonOf("lamp"), "NOT_READY left out: the device host did not survive opening it");
  t.match(left.reasonOf("gate"), /^UNKNOWN no driver is called gate; left out/);
  t.same(left.doing, [], "nothing of them was tried");
  t.equal(await left.text("RESET lamp"), "+OK");
  t.match(await left.text("RELOAD ./gate.js"), /"state":"loaded"/);
  t.equal(await left.text("CLONE gate.move"), '"first"');
  t.same(left.doing, ["device lamp", undefined, "module ./gate.js", undefined, "device gate", undefined]);
});

for (const [what, parts, expected] of [
  ["throws", { open: "throw new AgentError('IO', 'no answer')" }, /^IO no answer$/],
  ["throws before it promises anything", { more: "open() { throw new TypeError('x is not a function') }," }, /^IO x is not a function$/],
  ["opens nothing", { device: "undefined" }, /^ARGUMENT gate: what driver gate opened: /],
  ["has functions that are none", { device: "{ functions: { go: 1 }, failsafe() {}, close() {} }" }, /functions\.go: /],
  [
    "has a function without a schema",
    { device: "{ functions: { go: { summary: 's', params: {}, effect: 'read', call() {} } }, failsafe() {}, close() {} }" },
    /functions\.go\.params: a zod object is expected/,
  ],
  [
    "has parameters nobody can describe",
    {
      device:
        "{ functions: { go: { summary: 's', params: z.object({ a: z.bigint() }), effect: 'read', call() {} } }, failsafe() {}, close() {} }",
    },
    /functions\.go\.params: parameters that JSON Schema can describe are expected/,
  ],
  [
    "has a function with no effect",
    { device: "{ functions: { go: { summary: 's', params: z.object({}), effect: 'none', call() {} } }, failsafe() {}, close() {} }" },
    /functions\.go\.effect: read or actuate is expected/,
  ],
  [
    "has a bad function name",
    { device: "{ functions: { 'go.on': { summary: 's', params: z.object({}), effect: 'read', call() {} } }, failsafe() {}, close() {} }" },
    /go\.on/,
  ],
  ["cannot be closed", { device: "{ functions: {}, failsafe() {} }" }, /close: a function is expected/],
  [
    "moves and cannot be made safe",
    { device: "{ functions: {}, close() {} }" },
    /^ARGUMENT gate: driver gate moves something, and its device has no failsafe$/,
  ],
] as const) {
  t.test(`a device of a module that ${what} fails alone, and keeps no port`, async (t) => {
    const { text, reasonOf, board } = await rig(t, { "gate.js": gateModule(parts) });
    t.match(reasonOf("gate"), expected);
    t.same(board.world.claimed(), ["line GPIO5 of lamp"]);
    t.equal(await text("CLONE lamp.on"), "true");
    t.match(await text("MODULES"), /"state":"loaded"/);
  });
}

t.test("a device that never finishes opening fails alone; what it opens later is refused, and it is closed", async (t) => {
  const clock = createFakeClock();
  const open =
    "await new Promise((go) => context.clock.after(9000, go)); context.fault('late'); context.publish('late', 1); context.every(10, () => {});";
  const opening = rig(t, { "gate.js": gateModule({ open }) }, { host: { clock } });
  // Timers: of opening, and the device's own.
  await eventually(() => clock.pending() > 1);
  await clock.advance(5000);
  const { text, reasonOf, board, variables } = await opening;
  t.equal(reasonOf("gate"), "TIMEOUT gate: opening took longer than 5000 ms");
  t.equal(await text("CLONE lamp.on"), "true");
  await clock.advance(5000);
  t.same(board.world.claimed(), ["line GPIO5 of lamp"]);
  t.equal(variables.get("gate.late"), undefined);
  t.equal(clock.pending(), 0);
});

t.test("a device that has opened too late is closed again", async (t) => {
  const clock = createFakeClock();
  const late = globalThis as { openLate?: () => void; closedLate?: boolean };
  const device = `new Promise((resolve) => {
    globalThis.openLate = () => resolve({ functions: {}, failsafe() {}, close() { globalThis.closedLate = true; throw new Error("odd"); } });
  })`;
  const opening = rig(t, { "gate.js": gateModule({ device }) }, { host: { clock, openMs: 300 } });
  await eventually(() => late.openLate !== undefined);
  await clock.advance(300);
  const { log, reasonOf, board } = await opening;
  t.equal(reasonOf("gate"), "TIMEOUT gate: opening took longer than 300 ms");
  t.same(board.world.claimed(), ["line GPIO5 of lamp"]);
  late.openLate?.();
  await clock.advance(0);
  t.equal(late.closedLate, true);
  t.ok(log.lines.some((line) => /^warn gate, which was not wanted any more when it had opened, did not close: odd$/.test(line)));
});

t.test("ports that a device leaves open are closed by force and named", async (t) => {
  const { text, board, log } = await rig(t, {
    "gate.js": gateModule({
      open: "await context.board.openOutputs('x', [{ name: 'GPIO20' }, { name: 'GPIO21' }], [false, false]); await context.board.openPwm('x', { chip: 'sim', channel: 1 }, 1e6); await context.board.openInput('x', { name: 'GPIO22' }, {});",
      close: "",
    }),
  });
  t.equal(board.world.claimed().length, 6);
  t.equal(await text("RMMOD gates"), "+OK");
  t.same(board.world.claimed(), ["line GPIO5 of lamp"]);
  t.same(
    log.lines.filter((line) => line.includes("leaked")),
    ["error gate leaked line GPIO20, line GPIO21, pwm sim:1, line GPIO22, line GPIO17; closed by force"],
  );
});

t.test("a port that a device left open and that does not close is named with the reason", async (t) => {
  const { text, board, log } = await rig(t, { "gate.js": gateModule({ close: "" }) });
  board.world.failNth("close", 1);
  t.equal(await text("RMMOD gates"), "+OK");
  t.ok(log.lines.some((line) => /^error gate leaked line GPIO17 \(.*close.*\); closed by force$/.test(line)));
});

t.test("a device whose failsafe throws or that does not close is taken out all the same", async (t) => {
  const { clock, text, board, log } = await rig(t, {
    "gate.js": gateModule({ failsafe: "throw new Error('jammed')", close: "return new Promise(() => {})" }),
  });
  const removed = text("RMMOD gates");
  await clock.advance(1000);
  t.equal(await removed, "+OK");
  t.same(board.world.claimed(), ["line GPIO5 of lamp"]);
  t.same(
    log.lines.filter((line) => line.startsWith("error")),
    [
      "error gate could not be made safe: jammed",
      "error gate did not close: gate: closing took longer than 1000 ms",
      "error gate leaked line GPIO17; closed by force",
    ],
  );
});

t.test("a port that a device opens after it was closed is refused, also when it was on the way", async (t) => {
  const { text, board } = await rig(t, {
    "gate.js": gateModule({
      open: "globalThis.gateBoard = context.board;",
      close:
        "output.close(); globalThis.onTheWay = context.board.openOutput('x', { name: 'GPIO23' }, true).catch((error) => error.message)",
    }),
  });
  await text("RMMOD gates");
  const { onTheWay, gateBoard } = globalThis as unknown as { onTheWay: Promise<unknown>; gateBoard: typeof board };
  t.equal(await onTheWay, "gate is closed; it cannot open line GPIO23");
  await t.rejects(gateBoard.openI2c("x", { bus: 1, address: 0x40 }), {
    code: "NOT_READY",
    message: "gate is closed; it cannot open i2c 1:0x40",
  });
  await t.rejects(gateBoard.openCan("x", "can0"), { message: "gate is closed; it cannot open can can0" });
  t.equal(gateBoard.describe().kind, board.describe().kind);
  t.same(board.world.claimed(), ["line GPIO5 of lamp"]);
});

t.test("a device's board ends with all its ports when the device closes it", async (t) => {
  const { text, board } = await rig(t, { "gate.js": gateModule({ close: "return context.board.close()" }) });
  await text("RMMOD gates");
  t.same(board.world.claimed(), ["line GPIO5 of lamp"]);
});

t.test("what a device's timers, ticks and listeners throw faults that device and nothing else", async (t) => {
  for (const [open, drive] of [
    ["context.clock.after(50, () => { throw new Error('in a timer') });", undefined],
    ["context.every(10, () => { throw new Error('in a tick') });", undefined],
    ["(await context.board.openInput('x', { name: 'GPIO24' }, {})).onEdge(() => { throw new Error('in a listener') });", "GPIO24"],
  ] as const) {
    const { board, clock, text, reasonOf } = await rig(t, { "gate.js": gateModule({ open }) });
    if (drive !== undefined) board.world.drive(drive, true);
    await clock.advance(60);
    t.equal(reasonOf("gate"), undefined);
    t.match(await text("CLONE gate.move"), /^-FAULTED gate is faulted: in a/);
    t.equal(await text("CLONE lamp.on"), "true");
    t.equal(await text("RMMOD gates"), "+OK");
    await clock.advance(10_000);
  }
});

t.test("nothing of a device goes on once it is closed: timers, ticks, variables", async (t) => {
  const open =
    "let n = 0; const publish = () => { context.publish('n', ++n); context.clock.after(100, publish); }; publish(); const end = context.every(10, () => { n++; }); end(); context.every(10, () => { n++; });";
  const { clock, text, variables } = await rig(t, { "gate.js": gateModule({ open }) });
  await clock.advance(200);
  const before = variables.get("gate.n")?.updates;
  t.equal(before, 3);
  await text("RMMOD gates");
  await text("CLONE LEASE 30 lamp.on");
  await clock.advance(1000);
  t.equal(variables.get("gate.n")?.updates, before);
  t.equal(clock.pending(), 0);
});

for (const [call, expected] of [
  ["return undefined", "null"],
  ["return { list: [1, 'a', true, null, { deep: 1.5 }] }", '{"list":[1,"a",true,null,{"deep":1.5}]}'],
  ["return Promise.resolve(undefined)", "null"],
  ["return () => 1", /^-FAULTED gate move: gate\.move answered something that is no value; RESET gate clears the fault$/],
  ["return { at: new Date() }", /no value/],
  ["const loop = []; loop.push(loop); return loop", /no value/],
  ["return Promise.resolve(Symbol())", /no value/],
  ["throw new AgentError('LIMIT', 'too far')", "-LIMIT too far"],
  ["const e = new Error('not now'); e.name = 'AgentError'; e.code = 'NOT_READY'; throw e", "-NOT_READY not now"],
  ["const e = new Error('not now'); e.name = 'AgentError'; e.code = 'NOT_READY'; return Promise.reject(e)", "-NOT_READY not now"],
  ["const e = new Error('odd'); e.name = 'AgentError'; e.code = 'ODD'; throw e", /^-FAULTED gate move: odd/],
  ["throw 'text'", /^-FAULTED gate move: text/],
] as const) {
  t.test(`what a module's function answers and throws is checked: ${call}`, async (t) => {
    const { text } = await rig(t, { "gate.js": gateModule({ call }) });
    t.match(await text("CLONE gate.move"), expected);
  });
}

t.test("options and policies of a module's devices are checked once its driver is there", async (t) => {
  const { reasonOf, board } = await rig(
    t,
    { "gate.js": gateModule({ options: "z.object({ line: z.string(), depth: z.object({ cm: z.number().max(10) }).optional() })" }) },
    {
      gates: {
        good: { fields: { line: "GPIO6" } },
        misspelt: { fields: { line: "GPIO7", lne: 1 } },
        wrong: { fields: { line: 7, depth: { cm: 11 } } },
        holds: { policy: { ...POLICY, onLoss: "hold" } },
        long: { policy: { ...POLICY, leaseMs: 6000 } },
        short: { policy: { ...POLICY, leaseMs: 29 } },
        off: { policy: { ...POLICY, enabled: false } },
        shares: { fields: { line: "GPIO6" } },
        lamps: { fields: { line: "GPIO5" } },
        missing: { driverName: "door" },
      },
    },
  );
  t.equal(reasonOf("good"), undefined);
  t.match(reasonOf("misspelt"), /^ARGUMENT misspelt: .*lne/, "a schema that is not strict is made so");
  t.match(reasonOf("wrong"), /^ARGUMENT wrong: line: .*string.*; depth\.cm: /);
  t.equal(
    reasonOf("holds"),
    "ARGUMENT holds: onLoss is hold, and a gate moves: it must not go on without orders; write safe, off or a value",
  );
  t.equal(reasonOf("long"), "ARGUMENT long: leaseMs is 6000; a gate takes leases from 30 to 5000 ms");
  t.match(reasonOf("short"), /leaseMs is 29/);
  t.equal(reasonOf("off"), "enabled: false");
  t.equal(reasonOf("shares"), "IN_USE line GPIO6 is used by good and by shares; give one of them another port");
  t.equal(reasonOf("lamps"), "IN_USE line GPIO5 is used by lamp and by lamps; give one of them another port");
  t.equal(reasonOf("missing"), "UNKNOWN no driver is called door; no module that is loaded brings it");
  t.same(board.world.claimed(), ["line GPIO5 of lamp", "line GPIO6 of good"]);
});

t.test("packages are found beside the configuration and above, as Node finds them", async (t) => {
  const manifest = (more: object) => JSON.stringify({ name: "x", version: "2.0.1", type: "module", ...more });
  const files = {
    "node_modules/by-main/package.json": manifest({ main: "lib/gate.js" }),
    "node_modules/by-main/lib/gate.js": gateModule(),
    "node_modules/@own/by-export/package.json": manifest({
      exports: { ".": [{ types: "./x.d.ts" }, { require: "./no.cjs", import: { node: "./gate.js" } }] },
    }),
    "node_modules/@own/by-export/gate.js": "export const module = { name: 'gates', contract: 1, drivers: [] };",
    "node_modules/by-text/package.json": manifest({ exports: "./gate.js" }),
    "node_modules/by-text/gate.js": gateModule().replace('version: "1.2.3", ', ""),
    "node_modules/by-index/package.json": manifest({}),
    "node_modules/broken/package.json": "{",
    "node_modules/list/package.json": "[]",
    "modules/fan/package.json": manifest({ exports: { default: "./gate.cjs" } }),
    "modules/fan/gate.cjs": "module.exports = { name: 'gates', contract: 1, drivers: 1 };",
  };
  const { text } = await rig(t, files, { sources: [] });
  t.match(await text("INSMOD by-main"), /"version":"1\.2\.3","source":"by-main"/);
  await text("RMMOD gates");
  t.match(await text("INSMOD by-text"), /"version":"2\.0\.1","source":"by-text"/, "a module that does not say has its package's");
  await text("RMMOD by-text");
  t.match(await text("INSMOD @own/by-export"), /^-ARGUMENT module @own\/by-export: drivers: a module has one driver or more/);
  t.match(await text("INSMOD ./modules/fan"), /^-ARGUMENT module \.\/modules\/fan: drivers: a list of drivers is expected/);
  t.match(await text("INSMOD by-index"), /^-UNKNOWN by-index: its package\.json names index\.js, and there is no file /);
  t.match(await text("INSMOD broken"), /^-UNKNOWN broken: cannot read .*package\.json: /);
  t.match(await text("INSMOD list"), /^-UNKNOWN list: .*package\.json holds no map$/);
  t.match(
    await text("INSMOD nowhere"),
    /^-UNKNOWN no package nowhere is installed in .* or above; npm install it there, or write \.\/nowhere for a file$/,
  );
  t.match(await text("INSMOD ./modules/none.js"), /^-UNKNOWN \.\/modules\/none\.js: there is no file \//);
  t.equal(await text("INSMOD a:b"), "-ARGUMENT a:b is neither a file (./fan.js) nor the name of a package");
});

t.test("RELOAD runs a CommonJS module anew too, also one that was compiled from an ES module", async (t) => {
  const compiled = (call: string) => gateModule({ call }).replace("export default", "exports.__esModule = true; exports.default =");
  const { write, text, ask } = await rig(t, { "gate.cjs": compiled("return 1") }, { sources: ["./gate.cjs"] });
  t.equal(await text("CLONE gate.move"), "1");
  write("gate.cjs", compiled("return 2"));
  t.match(await ask("RELOAD gates"), { value: { state: "loaded" } });
  t.equal(await text("CLONE gate.move"), "2");
  write("gate.cjs", gateModule({ call: "return 3" }).replace("export default", "module.exports ="));
  await ask("RELOAD gates");
  t.equal(await text("CLONE gate.move"), "3");
});

t.test("INSMOD loads nothing from elsewhere than where modules lie, however it is reached", async (t) => {
  const { folder, text } = await rig(
    t,
    { "elsewhere/gate.js": gateModule({ before: "globalThis.ran = true" }), "modules/x.txt": "" },
    { sources: [] },
  );
  symlinkSync(join(folder, "elsewhere"), join(folder, "modules", "link"));
  for (const path of ["./elsewhere/gate.js", "./modules/../elsewhere/gate.js", "./modules/link/gate.js", join(folder, "elsewhere/gate.js")])
    t.match(
      await text(`INSMOD ${path}`),
      /^-DENIED module .* is not among the configuration's modules; what else may be loaded lies in .*modules or .*node_modules$/,
    );
  t.notOk((globalThis as { ran?: boolean }).ran);
  t.ok(existsSync(join(folder, "modules/link/gate.js")));
  const strict = await rig(
    t,
    { "modules/gate.js": gateModule() },
    { sources: [], host: { modules: { builtIn: [], sources: [], folder: t.testdirName } } },
  );
  t.match(await strict.text("INSMOD ./modules/gate.js"), /; nothing else may be loaded$/);
});

t.test("modules that come with the agent stay", async (t) => {
  const { text } = await rig(t, {}, { sources: [], gates: {} });
  t.equal(
    await text("RMMOD lamps"),
    "-ARGUMENT module lamps comes with the agent; only modules loaded from files and packages can be taken out",
  );
  t.match(await text("RELOAD lamps"), /^-ARGUMENT module lamps comes with the agent/);
  t.equal(await text("RELOAD lmaps"), "-UNKNOWN no module lmaps (did you mean lamps?); MODULES lists them");
  t.equal(await text("RMMOD"), "-ARGUMENT RMMOD takes one module");
  t.equal(await text("INSMOD a b"), "-ARGUMENT INSMOD takes one module");
  t.match(await text("RMMOD built-in"), /^-UNKNOWN/);
});

t.test("modules are changed one at a time, and looked at whenever", async (t) => {
  const { text } = await rig(t, { "gate.js": gateModule() });
  const reload = text("RELOAD gates");
  t.equal(await text("RMMOD gates"), "-NOT_READY RELOAD gates is not done yet; modules are changed one at a time");
  t.match(await text("MODULES"), /is being loaded anew/);
  t.match(await text("CLONE gate.move"), /^-NOT_READY gate was failed: NOT_READY its module gates is being loaded anew/);
  t.match(await reload, /"state":"loaded"/);
  t.equal(await text("RMMOD gates"), "+OK");
});

t.test("who may look at modules and change them is a permit each", async (t) => {
  const { text, caller } = await rig(t, { "gate.js": gateModule() });
  const ada = (...allow: string[]): Caller => ({ ...caller, name: "ada", permits: compilePermits(allow) });
  for (const [line, permit] of [
    ["MODULES", "modules.list"],
    ["RELOAD gates", "modules.reload"],
    ["RMMOD gates", "modules.rmmod"],
    ["INSMOD ./gate.js", "modules.insmod"],
  ] as const) {
    t.equal(await text(line, ada("lamp.*", "gate.*")), `-DENIED ada may not use ${permit}; its user's allow list does not cover it`);
    t.notMatch(await text(line, ada(permit)), /^-/);
  }
});

t.test("a host that stops while a module is being loaded leaves nothing open", async (t) => {
  const { text, host, board } = await rig(t, { "gate.js": gateModule() });
  const reload = text("RELOAD gates");
  await host.stop();
  await reload;
  t.same(board.world.claimed(), []);
  t.match(await text("CLONE gate.move"), /NOT_READY/);
});

t.test("two that RESET a failed device at once open it once", async (t) => {
  const { text, board } = await rig(t, {
    "gate.js": gateModule({
      open: "globalThis.tries = (globalThis.tries ?? 0) + 1; if (globalThis.tries === 1) throw new AgentError('IO', 'not yet');",
    }),
  });
  t.same(await Promise.all([text("RESET gate"), text("RESET gate")]), ["+OK", "+OK"]);
  t.equal((globalThis as { tries?: number }).tries, 2);
  t.same(board.world.claimed(), ["line GPIO5 of lamp", "line GPIO17 of gate"]);
});

t.test("a host without modules has no verbs about them", async (t) => {
  const { host, text } = await rig(t, {}, { gates: { gate: {} }, host: { modules: undefined } });
  t.notOk(host.verbs.some(({ verb }) => verb === "MODULES"));
  t.equal(await text("MODULES"), "-UNKNOWN the device host has no verb MODULES");
  t.match(await text("CLONE gate.move"), /no driver is called gate/);
});

t.test("the verbs about modules are documented", async (t) => {
  const { host } = await rig(t, {}, { sources: [] });
  t.same(host.verbs.map(({ verb }) => verb).slice(-4), ["MODULES", "INSMOD", "RMMOD", "RELOAD"]);
});
