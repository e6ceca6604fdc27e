import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import fc from "fast-check";
import t from "tap";

import type { AgentError } from "../../agent/contract/errors.ts";
import { openRecordLog, type RecordLog, type RecordLogOptions } from "../../agent/store/record-log.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { eventually } from "../helpers/start-agent.ts";

const SEGMENT = 4096;

interface Opened {
  readonly log: RecordLog<string>;
  readonly found: { text: string; segment: number }[];
  readonly committed: { entry: string; segment: number }[];
  readonly failed: { entry: string; error: AgentError }[];
  readonly relocated: number[];
  readonly lines: ReturnType<typeof createFakeLog>;
}

async function openLog(folder: string, more: Partial<RecordLogOptions<string>> = {}): Promise<Opened> {
  const found: Opened["found"] = [];
  const committed: Opened["committed"] = [];
  const failed: Opened["failed"] = [];
  const relocated: number[] = [];
  const lines = createFakeLog();
  const log = await openRecordLog<string>({
    folder,
    name: "test",
    clock: createFakeClock(),
    log: lines,
    segmentBytes: SEGMENT,
    replay: (record, segment) => found.push({ text: record.toString("latin1"), segment }),
    committed: (entry, segment) => committed.push({ entry, segment }),
    failed: (entry, error) => failed.push({ entry, error }),
    relocate: (segment) => relocated.push(segment),
    ...more,
  });
  return { log, found, committed, failed, relocated, lines };
}

/** Writes those records, one frame each, and closes. */
async function write(folder: string, records: readonly string[]): Promise<void> {
  const { log, committed } = await openLog(folder);
  for (const [index, record] of records.entries()) {
    log.append(record, record);
    await eventually(() => committed.length > index);
  }
  await log.close();
}

const textsOf = ({ found }: Opened): readonly string[] => found.map(({ text }) => text);

t.test("what was committed is found again, in order, byte for byte", async (t) => {
  const folder = t.testdir();
  const records = ["first", "\0ÿ\r\n", "", "x".repeat(1900)];
  const first = await openLog(folder);
  for (const record of records) first.log.append(record, record);
  await eventually(() => first.committed.length === records.length);
  t.same(
    first.committed.map(({ entry }) => entry),
    records,
  );
  await first.log.close();
  const second = await openLog(folder);
  t.same(textsOf(second), records);
  second.log.append("later", "later");
  await second.log.close();
  t.same(second.committed.length, 1, "closing writes what was appended");
  const third = await openLog(folder);
  t.same(textsOf(third), [...records, "later"]);
  await third.log.close();
  t.throws(() => third.log.append("x", "x"), { code: "IO" });
});

t.test("nothing is made on disk before something is appended", async (t) => {
  const folder = join(t.testdir(), "log");
  const { log } = await openLog(folder);
  t.same(readdirSync(folder), []);
  await log.close();
});

t.test(
  "a cut or changed frame at every byte: everything before it is found, nothing of it, and what is appended next stands",
  async (t) => {
    const folder = t.testdir();
    const whole = join(folder, "whole");
    await write(whole, ["one", "two", "three"]);
    const [name = ""] = readdirSync(whole);
    const bytes = readFileSync(join(whole, name));
    // Head, then three frames of 12 bytes and the text.
    const starts = [32, 32 + 15, 32 + 30];
    const end = 32 + 30 + 17;
    for (let at = 32; at < end; at++) {
      const damaged = join(folder, `damaged-${at}`);
      mkdirSync(damaged);
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 0x55;
      writeFileSync(join(damaged, name), changed);
      const reopened = await openLog(damaged);
      const kept = starts.filter((_start, index) => (starts[index + 1] ?? end) <= at).length;
      t.same(textsOf(reopened), ["one", "two", "three"].slice(0, kept), `byte ${at} changed`);
      reopened.log.append("after", "after");
      await reopened.log.close();
      const again = await openLog(damaged);
      t.same(textsOf(again), [...["one", "two", "three"].slice(0, kept), "after"]);
      await again.log.close();

      const cut = join(folder, `cut-${at}`);
      mkdirSync(cut);
      const shorter = Buffer.alloc(bytes.length);
      bytes.copy(shorter, 0, 0, at);
      writeFileSync(join(cut, name), shorter);
      const half = await openLog(cut);
      t.same(textsOf(half), ["one", "two", "three"].slice(0, starts.filter((_start, index) => (starts[index + 1] ?? end) <= at).length));
      await half.log.close();
    }
  },
);

t.test("a record that looks like a frame is no frame after a crash cut the one it was in", async (t) => {
  const folder = t.testdir();
  await write(join(folder, "inner"), ["forged"]);
  const [name = ""] = readdirSync(join(folder, "inner"));
  const frame = readFileSync(join(folder, "inner", name)).subarray(32, 32 + 18);
  const outer = join(folder, "outer");
  // The forged frame lies where the next honest frame ends.
  await write(outer, [`${"a".repeat(3)}${frame.toString("latin1")}`]);
  const file = join(outer, name);
  const bytes = readFileSync(file);
  bytes[36] = (bytes[36] ?? 0) ^ 1;
  writeFileSync(file, bytes);
  await write(outer, ["abc"]);
  const reopened = await openLog(outer);
  t.same(textsOf(reopened), ["abc"]);
  await reopened.log.close();
});

t.test("records roll over to further segments; dead ones go, oldest first, live ones are asked to move", async (t) => {
  const folder = t.testdir();
  const { log, committed, relocated } = await openLog(folder);
  const record = "r".repeat(1000);
  for (let i = 0; i < 30; i++) {
    log.append(record, String(i));
    await eventually(() => committed.length > i);
    const { segment } = committed[i] ?? { segment: 0 };
    log.keep(segment, record.length);
    // Only the very first record stays.
    if (i > 0) log.release(segment, record.length);
  }
  t.ok(relocated.includes(committed[0]?.segment ?? 0), "the segment of the one live record is to be emptied");
  t.ok((log.figures()["log_segments"] as number) > 5, "nothing younger may go before it");
  log.append(record, "moved", true);
  await eventually(() => committed.length > 30);
  log.keep(committed[30]?.segment ?? 0, record.length);
  log.release(committed[0]?.segment ?? 0, record.length);
  await log.close();
  t.ok(readdirSync(folder).length <= 3, `left: ${readdirSync(folder).join(" ")}`);
  const reopened = await openLog(folder);
  t.ok(textsOf(reopened).includes(record));
  await reopened.log.close();
});

t.test("a segment is not removed before those whose records were written last to it could keep them", async (t) => {
  const folder = t.testdir();
  const record = "r".repeat(1200);
  let place: number | undefined;
  let told = 0;
  let last = 0;
  const log = await openRecordLog<"kept" | "forgotten">({
    folder,
    name: "test",
    clock: createFakeClock(),
    log: createFakeLog(),
    segmentBytes: SEGMENT,
    replay: () => undefined,
    committed(entry, segment) {
      told += 1;
      last = segment;
      if (entry === "forgotten") return;
      // As a map does it: what was there before is let go of first.
      if (place !== undefined) log.release(place, record.length);
      place = segment;
      log.keep(segment, record.length);
    },
    failed: (_entry, error) => t.fail(error.message),
    relocate: () => undefined,
  });
  const fileOf = (segment: number) => `${String(segment).padStart(10, "0")}.log`;
  for (let round = 0; round < 12; round++) {
    log.append(record, "kept");
    // Written alone: while it is told of, the next one is on its way and may have sealed the segment.
    await new Promise((resolve) => setImmediate(resolve));
    log.append(record, "forgotten");
    // And the segment after that is ready, so that the next round rolls over without waiting.
    await eventually(() => told === 2 * (round + 1) && readdirSync(folder).some((name) => name > fileOf(last)));
    t.equal(log.figures()["log_live_bytes"], record.length, `round ${round}: the log has what is kept`);
  }
  await log.close();
});

t.test("a record that is too long, and too much at once, are refused by name", async (t) => {
  const { log } = await openLog(t.testdir(), { maxUnwrittenBytes: 3000 });
  t.throws(() => log.append("x".repeat(SEGMENT / 2), "long"), { code: "LIMIT", message: /record of 2048 bytes/ });
  log.append("x".repeat(1500), "a");
  t.throws(() => log.append("x".repeat(1600), "b"), { code: "FULL", message: /wait for the disk, at most 3000/ });
  await log.close();
});

t.test("when no further segment can be made, ordinary records are refused early and essential ones go on for a while", async (t) => {
  const folder = t.testdir();
  const clock = createFakeClock();
  const { log, committed, failed } = await openLog(folder, { clock });
  // In the way of the second segment.
  const obstacle = join(folder, "0000000002.log.new");
  mkdirSync(obstacle);
  const record = "r".repeat(200);
  let refused: unknown;
  for (let i = 0; i < 40 && refused === undefined; i++) {
    try {
      log.append(record, "ordinary");
      await eventually(() => committed.length > i);
    } catch (error) {
      refused = error;
    }
  }
  t.match(refused, { code: "IO", message: /cannot make room for more records/ });
  const before = committed.length;
  log.append(record, "essential", true);
  await eventually(() => committed.length > before);
  t.equal(committed.at(-1)?.entry, "essential");
  t.equal(failed.length, 0);
  rmSync(obstacle, { recursive: true });
  clock.advanceNow(200);
  t.throws(() => log.append(record, "still"), { code: "IO" }, "this one has it tried again");
  await eventually(() => log.figures()["log_full"] === 0);
  log.append(record, "again");
  await log.close();
  t.equal(committed.at(-1)?.entry, "again");
});

t.test("a file that is no segment is set aside and said", async (t) => {
  const folder = t.testdir();
  await write(folder, ["one"]);
  writeFileSync(join(folder, "0000000002.log"), "not a segment at all, but longer than a head of one");
  const { log, found, lines } = await openLog(folder);
  t.same(
    found.map(({ text }) => text),
    ["one"],
  );
  t.ok(readdirSync(folder).includes("0000000002.log.damaged"));
  t.match(JSON.stringify(lines), /set aside/);
  log.append("more", "more");
  await log.close();
});

t.test("a segment under another number is not that segment", async (t) => {
  const folder = t.testdir();
  await write(folder, ["one"]);
  const [first = ""] = readdirSync(folder);
  copyFileSync(join(folder, first), join(folder, "0000000009.log"));
  const { log, found } = await openLog(folder);
  t.same(
    found.map(({ text }) => text),
    ["one"],
  );
  await log.close();
});

t.test("a folder that cannot be used is said", async (t) => {
  const folder = t.testdir({ file: "" });
  await t.rejects(openLog(join(folder, "file")), { code: "IO", message: /test: cannot open the log/ });
});

t.test("any sequence of appends and restarts keeps everything that was committed, in order", async (t) => {
  const root = t.testdir();
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.string({ unit: "binary-ascii", maxLength: 600 }), { maxLength: 12 }), { maxLength: 5 }),
      async (sessions) => {
        const folder = join(root, String(run++));
        const expected: string[] = [];
        for (const records of sessions) {
          const opened = await openLog(folder);
          t.same(textsOf(opened), expected);
          for (const record of records) opened.log.append(record, record);
          await opened.log.close();
          expected.push(...opened.committed.map(({ entry }) => entry));
        }
        t.equal(expected.length, sessions.flat().length);
      },
    ),
    { numRuns: 40 },
  );
});
