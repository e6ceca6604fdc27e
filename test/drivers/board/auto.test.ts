import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import t from "tap";

import { boardDefinitionSchema } from "../../../agent/contract/board-definition.ts";
import { openBoard } from "../../../drivers/board/auto.ts";
import { expectCode } from "../../contract/board.ts";
import { createFakeClock } from "../../helpers/fake-clock.ts";
import { createFakeLog } from "../../helpers/fake-log.ts";
import { plainNode } from "../../helpers/tools.ts";

const options = { clock: createFakeClock(), log: createFakeLog() };

t.test("sim is the simulated board", async (t) => {
  const board = await openBoard("sim", options);
  t.equal(board.describe().kind, "sim");
  (await board.openOutput("lamp", { name: "GPIO17" }, false)).close();
  await board.close();
});

t.test("a board file of kind sim names the simulated board's lines", async (t) => {
  const definition = boardDefinitionSchema.parse({ name: "bench", kind: "sim", lines: { LAMP: "sim:3" } });
  const board = await openBoard(definition, options);
  await expectCode(t, "UNKNOWN", ["GPIO17"], () => board.openOutput("lamp", { name: "GPIO17" }, false));
  const lamp = await board.openOutput("lamp", { name: "LAMP" }, false);
  await expectCode(t, "IN_USE", ["lamp"], () => board.openOutput("pump", { chip: "sim", offset: 3 }, false));
  lamp.close();
  await board.close();

  const plain = await openBoard(boardDefinitionSchema.parse({ name: "bench", kind: "sim" }), options);
  (await plain.openOutput("lamp", { name: "GPIO17" }, false)).close();
  await plain.close();
});

t.test("auto on a machine without GPIO is an error that offers the simulated board, never the simulated board", async (t) => {
  const root = t.testdir({ dev: {}, sys: {}, proc: {} });
  const roots = { dev: join(root, "dev"), sys: join(root, "sys"), proc: join(root, "proc") };
  await expectCode(t, "NOT_READY", ["board: no-gpio", "board: sim"], () => openBoard("auto", { ...options, roots }));
  await expectCode(t, "NOT_READY", ["board: sim"], () => openBoard(boardDefinitionSchema.parse({ name: "x" }), { ...options, roots }));
});

t.test("a board without GPIO opens where there is none, and refuses lines only", async (t) => {
  const root = t.testdir({ dev: {}, sys: {}, proc: {} });
  const roots = { dev: join(root, "dev"), sys: join(root, "sys"), proc: join(root, "proc") };
  const board = await openBoard(boardDefinitionSchema.parse({ name: "no-gpio", gpio: "none" }), { ...options, roots });
  t.match(board.describe(), { kind: "linux-no-gpio", why: "board file no-gpio: no GPIO, other ports only", chips: [] });
  await expectCode(t, "NOT_READY", ["GPIO17", "no-gpio", "board: sim"], () => board.openOutput("lamp", { name: "GPIO17" }, false));
  await expectCode(t, "NOT_READY", ["GPIO17", "no-gpio"], () => board.openInput("button", { name: "GPIO17" }, {}));
  const frame = { baudRate: 9600, dataBits: 8, parity: "none", stopBits: 1 } as const;
  const gps = await board.openSerial("gps", join(root, "dev/ttyUSB0"), {
    ...frame,
    silentMs: 0,
    retryMinMs: 10,
    retryMaxMs: 10,
    sendBytes: 16,
  });
  t.equal(gps.state(), "waiting");
  await gps.close();
  await board.close();
});

t.test("auto takes the pin map of the board file for this model, if there is one", async (t) => {
  const chip = { label: "pinctrl-bcm2835\n", ngpio: "54\n", base: "512\n" };
  const root = t.testdir({ dev: {}, sys: { class: { gpio: { export: "", gpiochip512: chip } } }, proc: {} });
  const roots = { dev: join(root, "dev"), sys: join(root, "sys"), proc: join(root, "proc") };
  const definitionFor = (model: string) =>
    model.startsWith("Raspberry Pi 3") ? boardDefinitionSchema.parse({ name: "pi3", lines: { GPIO17: "pinctrl-bcm2835:99" } }) : undefined;

  const unknown = await openBoard("auto", { ...options, roots, definitionFor });
  await expectCode(t, "UNKNOWN", ["GPIO17"], () => unknown.openInput("button", { name: "GPIO17" }, {}));
  t.match(unknown.describe(), { kind: "linux-sysfs", model: /^Linux on / });
  await unknown.close();

  mkdirSync(join(roots.proc, "device-tree"));
  writeFileSync(join(roots.proc, "device-tree/model"), "Raspberry Pi 3 Model B\0");
  const known = await openBoard("auto", { ...options, roots, definitionFor });
  await expectCode(t, "UNKNOWN", ["pinctrl-bcm2835:99", "0 to 53"], () => known.openInput("button", { name: "GPIO17" }, {}));
  t.match(known.describe(), { model: "Raspberry Pi 3 Model B", why: /^board file pi3: sysfs because/ });
  await known.close();
});

t.test("the simulated board loads no native package", (t) => {
  const program = `
    import { readFileSync } from "node:fs";
    import { openBoard } from ${JSON.stringify(pathToFileURL("drivers/board/auto.ts").href)};
    const board = await openBoard("sim", { clock: { monotonicMs: () => 0, wallMs: () => 0, after: () => () => {} }, log: console });
    const maps = readFileSync("/proc/self/maps", "utf8");
    console.log(JSON.stringify({ kind: board.describe().kind, native: /koffi|epoll\\.node/.test(maps) }));
  `;
  const said = execFileSync(...plainNode(["--import", "tsx", "--input-type=module", "-e", program]), {
    encoding: "utf8",
  });
  t.same(JSON.parse(said), { kind: "sim", native: false });
  t.end();
});
