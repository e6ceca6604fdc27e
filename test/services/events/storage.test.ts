import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

import t from "tap";

import { createFakeClock } from "../../helpers/fake-clock.ts";
import { eventually } from "../../helpers/start-agent.ts";
import { eventsBench, testFolder } from "./events-bench.ts";

const EDGES = "EventNetEdges.txt";
const VERTICES = "EventNetVertices.txt";
const ORDERING = "EventNetOrdering.txt";

const NAMES = [EDGES, VERTICES, ORDERING] as const;

const textsOf = (folder: string) => NAMES.map((name) => readFileSync(join(folder, name), "latin1"));

/** A folder with some events in it, and what its text files say. */
async function filled(t: Parameters<typeof eventsBench>[0]) {
  const folder = testFolder(t);
  const { ask, service } = await eventsBench(t, { folder });
  await Promise.all(Array.from({ length: 500 }, (_, n) => ask("EVENT.EDGE", n % 20, n)));
  await ask("EVENT.VERTEX", 3, "low-beam", "a,b");
  await service.close();
  return { folder, texts: textsOf(folder) };
}

t.test("after a crash the text files are made equal to the log, whatever is left of them", async (t) => {
  const { folder, texts } = await filled(t);
  const damages: readonly (readonly [string, (path: string) => void])[] = [
    ["cut", (path) => truncateSync(path, Math.floor(readFileSync(path).length / 2) + 1)],
    ["longer", (path) => appendFileSync(path, "1,2\n")],
    ["holes", (path) => writeFileSync(path, readFileSync(path, "latin1").replace(/^.{40}/s, "\0".repeat(40)), "latin1")],
    ["other lines", (path) => writeFileSync(path, "0,0\n".repeat(5000))],
    ["empty", (path) => truncateSync(path, 0)],
    ["gone", (path) => rmSync(path)],
  ];
  for (const [damage, harm] of damages) {
    for (const name of NAMES) harm(join(folder, name));
    const { service } = await eventsBench(t, { folder });
    t.strictSame(textsOf(folder), texts, damage);
    await service.close();
    t.strictSame(textsOf(folder), texts, damage);
  }
  t.strictSame(readdirSync(folder).sort(), [...NAMES, "log"].sort(), "and nothing else is left");
});

t.test("vertices and ordering follow a change soon, and not more often than configured", async (t) => {
  const clock = createFakeClock();
  const { ask, file } = await eventsBench(t, { clock, options: { fileMs: 1000 } });
  t.strictSame([file(VERTICES), file(ORDERING), file(EDGES)], ["", "", ""]);
  await clock.advance(1000);
  await ask("EVENT.EDGE", 1, 2);
  await clock.advance(0);
  await eventually(() => file(ORDERING) === "0 - 1 \n1 - 2 \n");
  t.equal(file(VERTICES), "1 -  - \n2 -  - \n");
  await ask("EVENT.EDGE", 2, 1);
  await clock.advance(999);
  t.equal(file(ORDERING), "0 - 1 \n1 - 2 \n");
  await clock.advance(1);
  await eventually(() => file(ORDERING) !== "0 - 1 \n1 - 2 \n");
  t.equal(file(ORDERING), "0 - 1 \n1 - 2 \n# cycle: 1,2; 2 of 2 events are on cycles, where no order is right\n");
});

t.test("a long cycle is shown in part", async (t) => {
  const { ask, file, service } = await eventsBench(t);
  for (let n = 0; n < 60; n++) await ask("EVENT.EDGE", n, (n + 1) % 60);
  await service.close();
  t.match(file(ORDERING), /\n# cycle: 0,1,2,[\d,]+,49,\.\.\. \(60 events\); 60 of 60 events are on cycles/);
});

t.test("while the text files cannot be written events are kept and answered, and the files follow when they can be", async (t) => {
  const folder = testFolder(t);
  mkdirSync(join(folder, EDGES));
  mkdirSync(join(folder, VERTICES));
  const clock = createFakeClock();
  const { ask, file, log } = await eventsBench(t, { folder, clock });
  t.equal(await ask("EVENT.EDGE", 1, 2), 1);
  await clock.advance(1000);
  t.equal(await ask("EVENT.EDGE", 2, 3), 2);
  t.match(log.lines[0], /^warn edges are kept, but .+EventNetEdges\.txt cannot be written: EISDIR/);
  t.equal(log.lines.filter((line) => line.includes(EDGES)).length, 1, "said once");
  t.equal(log.lines.filter((line) => line.startsWith("warn events are kept, but their files cannot be written")).length, 1);
  rmSync(join(folder, EDGES), { recursive: true });
  rmSync(join(folder, VERTICES), { recursive: true });
  await clock.advance(1000);
  await eventually(() => existsSync(join(folder, EDGES)) && file(EDGES) === "1,2\n2,3\n");
  await eventually(async () => {
    await clock.advance(1000);
    return existsSync(join(folder, VERTICES)) && file(VERTICES) === "1 -  - \n2 -  - \n3 -  - \n";
  });
});

const ORIGINAL_EDGES = Buffer.from("312c320a00352c380a00352c370a00372c380a00352c380a00", "hex");
const ORIGINAL_VERTICES = Buffer.from(
  "312020202d20202031312c3132202c31352c3139202c31382c3132202d2020202831312c3132290a05232831352c3139290a232831382c3132290a00",
  "hex",
);

function putOriginals(folder: string): void {
  writeFileSync(join(folder, EDGES), ORIGINAL_EDGES);
  writeFileSync(join(folder, VERTICES), ORIGINAL_VERTICES);
}

const TAKEN_OVER = ["1,2\n5,8\n5,7\n7,8\n5,8\n", "1 - 11,12,15,19,18 - (11,12)#(15,19)#(18,12)\n2 -  - \n5 -  - \n8 -  - \n7 -  - \n"];

t.test("the original's files are taken over once, and kept aside", async (t) => {
  const folder = testFolder(t);
  putOriginals(folder);
  const { ask, file, log, service } = await eventsBench(t, { folder });
  t.strictSame([file(EDGES), file(VERTICES)], TAKEN_OVER);
  t.match(log.lines, [/^info took over 1 vertices and 5 edges from the files in .+; 0 lines said nothing$/]);
  t.strictSame(readFileSync(join(folder, `${EDGES}.imported`)), ORIGINAL_EDGES);
  t.strictSame(readFileSync(join(folder, `${VERTICES}.imported`)), ORIGINAL_VERTICES);
  t.equal(await ask("EVENT.EDGE", 8, 9), 7, "six were taken over");
  await service.close();
  const again = await eventsBench(t, { folder });
  t.match(await again.ask("EVENT.STAT"), { edges: 6, lamport: 7 });
  t.strictSame(again.log.lines, []);
});

t.test("files are taken over as well by a log that has been opened and is empty; the next time under another name", async (t) => {
  const folder = testFolder(t);
  await (await eventsBench(t, { folder })).service.close();
  putOriginals(folder);
  await (await eventsBench(t, { folder })).service.close();
  rmSync(join(folder, "log"), { recursive: true });
  const { file } = await eventsBench(t, { folder });
  t.strictSame([file(EDGES), file(VERTICES)], TAKEN_OVER, "our own files are read back as well");
  t.strictSame(
    readdirSync(folder)
      .filter((name) => name.includes("imported"))
      .sort(),
    [EDGES, VERTICES].flatMap((name) => [`${name}.imported`, `${name}.imported-2`]),
  );
});

t.test("taking over that was interrupted is begun again, or only finished", async (t) => {
  const [before, during, after] = [testFolder(t), testFolder(t), testFolder(t)];
  putOriginals(before);
  renameSync(join(before, EDGES), join(before, `${EDGES}.importing`));
  putOriginals(during);
  for (const name of [EDGES, VERTICES]) renameSync(join(during, name), join(during, `${name}.importing`));
  mkdirSync(join(during, "log.importing"));
  writeFileSync(join(during, "log.importing", "0000000001.log"), "half");
  writeFileSync(join(during, EDGES), "");
  putOriginals(after);
  await (await eventsBench(t, { folder: after })).service.close();
  for (const name of [EDGES, VERTICES]) renameSync(join(after, `${name}.imported`), join(after, `${name}.importing`));
  for (const folder of [before, during, after]) {
    const { file, ask } = await eventsBench(t, { folder });
    t.strictSame([file(EDGES), file(VERTICES)], TAKEN_OVER, folder);
    t.match(await ask("EVENT.STAT"), { edges: 5, lamport: 6 });
    t.ok(existsSync(join(folder, `${EDGES}.imported`)));
    t.notOk(readdirSync(folder).some((name) => name.endsWith(".importing")));
  }
});

t.test("more than may be kept is not taken over in part: the start is refused, and works when there is room", async (t) => {
  const folder = testFolder(t);
  putOriginals(folder);
  await t.rejects(eventsBench(t, { folder, options: { maxEdges: 4 } }), {
    code: "FULL",
    message: /^cannot take over the events in .+: no room for another edge: 4 are kept at most \(events\.maxEdges\)$/,
  });
  const { file } = await eventsBench(t, { folder, options: { duplicates: "ignore", maxEdges: 4 } });
  t.equal(file(EDGES), "1,2\n5,8\n5,7\n7,8\n", "here without the one that is there twice");
});

t.test("a damaged log is not thrown away when files take its place", async (t) => {
  const { folder, texts } = await filled(t);
  const [segment = ""] = readdirSync(join(folder, "log")).sort();
  writeFileSync(join(folder, "log", segment), "no log");
  const { file } = await eventsBench(t, { folder });
  t.equal(file(EDGES), texts[0], "the events are back from the text files");
  t.equal(readFileSync(join(folder, "log.damaged", `${segment}.damaged`), "utf8"), "no log");
});

t.test("what was answered is there after the process has died, and nothing is half there", async (t) => {
  const folder = testFolder(t);
  const { ask, service } = await eventsBench(t, { folder });
  const answers = await Promise.all(Array.from({ length: 300 }, (_, n) => ask(n % 3 === 0 ? "EVENT.VERTEX" : "EVENT.EDGE", n, `x${n}`)));
  t.ok(answers.every((answer) => typeof answer === "number"));
  const [segment = ""] = readdirSync(join(folder, "log")).sort();
  // What the disk has at this moment, with the beginning of a write that was cut.
  const bytes = readFileSync(join(folder, "log", segment));
  await service.close();
  const copy = testFolder(t);
  mkdirSync(join(copy, "log"));
  const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
  bytes.write("\x40\x00\x00\x00\x12\x34\x56\x78\x10\x00\x00\x00E301 5 1\t", end, "latin1");
  writeFileSync(join(copy, "log", segment), bytes);
  chmodSync(join(copy, "log", segment), 0o600);
  const after = await eventsBench(t, { folder: copy });
  t.match(await after.ask("EVENT.STAT"), { edges: 200, lamport: 300 });
  t.equal(after.file(EDGES), Array.from({ length: 300 }, (_, n) => (n % 3 === 0 ? "" : `${n},x${n}\n`)).join(""));
});
