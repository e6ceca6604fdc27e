import {
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  appendFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";

import t from "tap";
import type { Test } from "tap";

import { openAudit, withoutTexts } from "../../agent/access/audit.ts";
import { verifyAudit } from "../../agent/access/audit-files.ts";
import { auditOptionsSchema } from "../../agent/access/options.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import type { AuditOptions } from "../../agent/access/options.ts";
import type { OpenAudit } from "../../agent/access/audit.ts";
import type { AuditFile } from "../../agent/access/audit-writer.ts";

interface Line {
  readonly seq: number;
  readonly time: string;
  readonly kind: string;
  readonly caller: string;
  readonly subject: string;
  readonly detail: string;
  readonly count?: number;
  readonly until?: string;
}

interface Bench {
  readonly file: string;
  readonly clock: ReturnType<typeof createFakeClock>;
  readonly journal: ReturnType<typeof createJournal>;
  readonly log: ReturnType<typeof createFakeLog>;
  readonly start: (options?: Partial<AuditOptions>, openFile?: (file: string) => Promise<AuditFile>) => Promise<OpenAudit>;
  /** The entries of one file: `kind caller subject detail`. */
  readonly read: (file?: string) => readonly Line[];
  readonly text: (file?: string) => readonly string[];
}

function bench(t: Test): Bench {
  const file = join(t.testdir(), "audit.log");
  const clock = createFakeClock();
  const journal = createJournal(clock);
  const log = createFakeLog();
  const read = (from = file): readonly Line[] =>
    readFileSync(from, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Line);
  return {
    file,
    clock,
    journal,
    log,
    async start(options = {}, openFile) {
      const audit = await openAudit({
        ...auditOptionsSchema.parse({ ...options }),
        maxBytes: options.maxBytes ?? 1_000_000,
        file,
        clock,
        log,
        journal,
        node: "garage",
        ...(openFile !== undefined && { openFile }),
      });
      t.teardown(() => audit.close());
      return audit;
    },
    read,
    text: (from = file) =>
      read(from).map(({ kind, caller, subject, detail, count }) =>
        `${kind} ${caller} ${subject} ${detail}${count === undefined ? "" : ` x${count}`}`.replaceAll(/ {2,}/g, " ").trim(),
      ),
  };
}

/** A file on a disk that is full when the test says so: what fits is written, the rest is refused. */
function openOnDisk(disk: { roomBytes: number }): (file: string) => Promise<AuditFile> {
  return async (file) => {
    const handle = await open(file, constants.O_RDWR | constants.O_CREAT, 0o600);
    return {
      write: async (bytes: Buffer, offset: number, length: number, position: number) => {
        const fits = Math.min(length, disk.roomBytes);
        if (fits === 0) throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
        disk.roomBytes -= fits;
        return handle.write(bytes, offset, fits, position);
      },
      truncate: (length?: number) => handle.truncate(length),
      datasync: () => handle.datasync(),
      stat: () => handle.stat(),
      close: () => handle.close(),
    } as unknown as AuditFile;
  };
}

t.test("what moves and who is refused is written, in order, each entry chained to the one before", async (t) => {
  const { file, clock, journal, start, read, text } = bench(t);
  const audit = await start();
  journal.record("open", "lamp", "", "");
  journal.record("actuate", "lamp", "ada", "beam(low)");
  clock.advanceNow(5);
  journal.record("refuse", "lamp", "bob", "on: IN_USE");
  journal.record("rule", "low-beam", "rule low-beam", "battery_v < 11");
  journal.record("lease-end", "lamp", "ada", "not renewed");
  journal.record("safe", "lamp", "lease end", "safe");
  journal.record("fault", "lamp", "", "IO gone");
  journal.record("reset", "lamp", "ada", "");
  journal.record("estop", "lamp", "bob", "priority 255");
  audit.record("authenticate", "192.0.2.1", "ada", "by token");
  await audit.flush();
  t.strictSame(text(), [
    "start garage",
    "actuate ada lamp beam(low)",
    "refuse bob lamp on: IN_USE",
    "lease-end ada lamp not renewed",
    "safe lease end lamp safe",
    "fault lamp IO gone",
    "reset ada lamp",
    "estop bob lamp priority 255",
    "authenticate 192.0.2.1 ada by token",
  ]);
  t.match(read()[1], { seq: 2, time: "2023-11-14T22:13:20.000Z" });
  t.equal(read()[2]?.time, "2023-11-14T22:13:20.005Z");
  await audit.close();
  t.equal(text().at(-1), "stop garage");
  const found = await verifyAudit(file);
  t.match(found, { entries: 10, files: 1, broken: undefined, notes: [] });
  t.equal(found.last?.hash, audit.figures()["hash"]);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.equal(clock.pending(), 0);
});

t.test("what is repeated is one entry with how often and until when", async (t) => {
  const { clock, journal, start, read } = bench(t);
  const audit = await start();
  for (let i = 0; i < 5000; i++) {
    journal.record("actuate", "lamp", "rule r", "on");
    clock.advanceNow(2);
  }
  await clock.advance(10_000);
  await audit.flush();
  const [, first, repeated] = read();
  t.match(first, { kind: "actuate", detail: "on", time: "2023-11-14T22:13:20.000Z" });
  t.equal(first?.count, undefined);
  t.match(repeated, { kind: "actuate", detail: "on", count: 4999, time: "2023-11-14T22:13:20.002Z", until: "2023-11-14T22:13:29.998Z" });
  t.equal(audit.figures()["conflated"], 4998);
});

t.test("entries are written by themselves within a second, in one write", async (t) => {
  const { file, clock, journal, start } = bench(t);
  let writes = 0;
  let syncs = 0;
  const audit = await start({}, async (name) => {
    const handle = await open(name, constants.O_RDWR | constants.O_CREAT);
    return {
      write: (...args: Parameters<typeof handle.write>) => {
        writes += 1;
        return handle.write(...args);
      },
      truncate: (length?: number) => handle.truncate(length),
      datasync: () => {
        syncs += 1;
        return handle.datasync();
      },
      stat: () => handle.stat(),
      close: () => handle.close(),
    } as unknown as AuditFile;
  });
  for (let i = 0; i < 50; i++) journal.record("actuate", "lamp", "ada", i % 2 === 0 ? "on" : "off");
  await clock.advance(200);
  while (statSync(file).size === 0 || syncs === 0) await clock.advance(0);
  t.equal(writes, 1);
  for (let i = 0; i < 4; i++) {
    journal.record("actuate", "lamp", "ada", `dim(${i})`);
    await clock.advance(200);
    while (writes < i + 2) await clock.advance(0);
  }
  t.equal(syncs, 1, "a sync a second at most");
  await clock.advance(1000);
  while (syncs < 2) await clock.advance(0);
  await audit.close();
});

t.test("a restart goes on with the chain, and tells whether the run before ended in order", async (t) => {
  const { file, start, journal, text, read } = bench(t);
  const one = await start();
  journal.record("actuate", "lamp", "ada", "on");
  await one.close();
  const two = await start();
  await two.flush();
  t.strictSame(
    read().map(({ seq }) => seq),
    [1, 2, 3, 4],
  );
  t.strictSame(text(), ["start garage", "actuate ada lamp on", "stop garage", "start garage"]);
  const three = await start();
  await three.flush();
  t.equal(text()[4], "start garage the run before did not end in order: what it did last may be missing");
  t.match(await verifyAudit(file), { entries: 5, broken: undefined });
});

t.test("a line that a crash tore is cut off, and that is recorded", async (t) => {
  const { file, start, journal, text } = bench(t);
  const one = await start();
  for (const what of ["on", "off", "höhe"]) journal.record("actuate", "lamp", "ada", what);
  await one.close();
  const whole = readFileSync(file);
  const lineEnds = [...whole.entries()].filter(([, byte]) => byte === 0x0a).map(([at]) => at + 1);
  for (let cut = 1; cut < whole.length; cut += 7) {
    writeFileSync(file, whole.subarray(0, cut));
    const again = await start();
    await again.flush();
    const torn = cut - Math.max(0, ...lineEnds.filter((end) => end <= cut));
    const repairs = text().filter((line) => line.startsWith("repair"));
    t.strictSame(repairs, torn === 0 ? [] : [`repair audit the last line was torn: ${torn} bytes were cut off`], `cut at ${cut}`);
    t.equal((await verifyAudit(file)).broken, undefined, `cut at ${cut}`);
    await again.close();
  }
});

t.test("lines that somebody changed stay as evidence, and the agent goes on in a new file", async (t) => {
  const { file, start, journal, text } = bench(t);
  const one = await start();
  journal.record("actuate", "lamp", "ada", "on");
  await one.close();
  writeFileSync(file, readFileSync(file, "utf8").replace("stop", "boot"));
  const two = await start();
  await two.flush();
  t.match(text()[0], /^repair audit the last 1 lines of .*audit\.log\.000000000000001 are no entries; the chain goes on/);
  const { broken } = await verifyAudit(file);
  t.equal(broken, `${file}.000000000000001:3: it was changed: its hash is not that of its text`);
  await two.close();
});

t.test("a changed, missing, inserted or exchanged line is named", async (t) => {
  const { file, start, journal } = bench(t);
  const audit = await start();
  for (let i = 0; i < 6; i++) journal.record("actuate", "lamp", "ada", `dim(${i})`);
  await audit.close();
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  const brokenWith = async (changed: readonly string[]): Promise<string | undefined> => {
    writeFileSync(file, `${changed.join("\n")}\n`);
    return (await verifyAudit(file)).broken?.slice(file.length);
  };
  const at = (i: number): string => lines[i] ?? "";
  t.equal(await brokenWith(lines), undefined);
  for (let i = 0; i < lines.length; i++) {
    const changed = [...lines];
    changed[i] = at(i).replace("22:13", "22:14");
    t.equal(await brokenWith(changed), `:${i + 1}: it was changed: its hash is not that of its text`);
  }
  t.equal(
    await brokenWith([...lines.slice(0, 2), ...lines.slice(3)]),
    ":3: entry 4 follows entry 2: entries were taken out, put in or exchanged",
  );
  t.equal(
    await brokenWith([...lines.slice(0, 3), at(2), ...lines.slice(3)]),
    ":4: entry 3 follows entry 3: entries were taken out, put in or exchanged",
  );
  t.equal(await brokenWith([at(1), at(0)]), ":2: entry 1 follows entry 2: entries were taken out, put in or exchanged");
  t.equal(await brokenWith([...lines.slice(0, 3), "nonsense", ...lines.slice(3)]), ":4: it is no entry");
  t.equal(await brokenWith([...lines.slice(0, 3), "", ...lines.slice(3)]), ":4: it is no entry");
  t.equal(await brokenWith([...lines.slice(0, 3), "x".repeat(5_000_000)]), ":4: it is longer than any entry");
  const other = bench(t);
  const forged = await other.start();
  for (let i = 0; i < 6; i++) other.journal.record("actuate", "lamp", "eve", `dim(${i})`);
  await forged.close();
  const forgedLines = readFileSync(other.file, "utf8").trimEnd().split("\n");
  t.equal(
    await brokenWith([...lines.slice(0, 3), forgedLines[3] ?? "", ...lines.slice(4)]),
    ":4: entry 4 does not continue the entry before it: that one was exchanged",
  );
});

t.test("a hash noted elsewhere shows whether the end is still there", async (t) => {
  const { file, start, journal } = bench(t);
  const audit = await start();
  journal.record("actuate", "lamp", "ada", "on");
  await audit.close();
  const hash = String(audit.figures()["hash"]);
  t.equal((await verifyAudit(file, hash)).found, true);
  truncateSync(file, readFileSync(file).lastIndexOf(0x0a, -2) + 1);
  t.match(await verifyAudit(file, hash), { found: false, broken: undefined }, "the chain alone does not show that its end was cut off");
});

t.test("files are closed at their limit, the oldest is taken away, and the chain goes on across them", async (t) => {
  const { file, start, journal, clock, log } = bench(t);
  const audit = await start({ maxBytes: 65_536, maxFiles: 3 });
  for (let i = 0; i < 2000; i++) {
    journal.record("actuate", `lamp${i % 40}`, "ada", `dim(${i})`);
    if (i % 50 === 49) {
      await clock.advance(10_000);
      await audit.flush();
    }
  }
  await audit.close();
  const names = readdirSync(join(file, "..")).sort();
  t.equal(names.length, 3);
  t.equal(names[0], "audit.log");
  for (const name of names) t.ok(statSync(join(file, "..", name)).size <= 65_536, name);
  const found = await verifyAudit(file);
  t.equal(found.broken, undefined);
  t.equal(found.files, 3);
  t.match(found.notes, [/^entries before \d+ were in files that are not kept any more$/]);
  t.equal(Number(names[1]?.slice("audit.log.".length)), found.first?.sequence, "named after the first entry in it");
  t.ok(log.lines.includes("info the audit log goes on in a new file"));
  const again = await start({ maxBytes: 65_536, maxFiles: 3 });
  await again.close();
  t.equal((await verifyAudit(file)).broken, undefined);
  unlinkSync(file);
  const third = await start({ maxBytes: 65_536, maxFiles: 3 });
  await third.flush();
  t.match((await verifyAudit(file)).broken, undefined, "goes on from the file closed last");
  await third.close();
  unlinkSync(join(file, "..", names[2] ?? ""));
  t.match(
    (await verifyAudit(file)).broken,
    /audit\.log:1: entry \d+ follows entry \d+: entries were taken out/,
    "a file in between is missed",
  );
});

t.test("a full disk loses nothing that can wait, and what it loses leaves a gap that says so", async (t) => {
  const { file, start, journal, clock, log, text } = bench(t);
  const disk = { roomBytes: 100_000 };
  const audit = await start({ maxWaiting: 100 }, openOnDisk(disk));
  journal.record("actuate", "lamp", "ada", "dim(0)");
  await audit.flush();
  disk.roomBytes = 100;
  for (let i = 1; i <= 50; i++) journal.record("actuate", "lamp", "ada", `dim(${i})`);
  await audit.flush();
  t.match(audit.figures(), { written: 2, waiting: 50, lost: 0, failures: 1 });
  t.equal((await verifyAudit(file)).broken, undefined, "nothing half-written is left");
  t.equal((await verifyAudit(file)).notes.length, 0);
  disk.roomBytes = 0;
  for (let i = 0; i < 30; i++) {
    for (const lamp of ["a", "b", "c", "d"]) journal.record("actuate", lamp, "ada", `dim(${i})`);
    await clock.advance(1000);
    await audit.flush();
  }
  t.match(audit.figures(), { waiting: 101, lost: 70 });
  t.equal(log.lines.filter((line) => line.startsWith("error the audit log cannot be written: ENOSPC")).length, 1, "said once a minute");
  disk.roomBytes = 1_000_000;
  await clock.advance(1000);
  await audit.flush();
  journal.record("actuate", "lamp", "ada", "dim(99)");
  await audit.flush();
  t.match(audit.figures(), { waiting: 0, lost: 70 });
  const lines = text();
  t.ok(lines.includes("actuate ada lamp dim(50)"), "what waited was written");
  t.match(lines.at(-2), /^gap audit 70 lost until 2023-.*: 100 waited for the disk already$/);
  t.equal(lines.at(-1), "actuate ada lamp dim(99)");
  t.equal((await verifyAudit(file)).broken, undefined);
  t.ok(log.lines.includes("info the audit log is written again"));
  await audit.close();
});

t.test("a disk that stays full does not keep the agent from ending, and says what is lost", async (t) => {
  const { start, journal, log } = bench(t);
  const disk = { roomBytes: 1000 };
  const audit = await start({}, openOnDisk(disk));
  await audit.flush();
  disk.roomBytes = 0;
  journal.record("actuate", "lamp", "ada", "on");
  await audit.close();
  t.ok(log.lines.includes("error 2 entries of the audit log could not be written"));
});

t.test("a log that somebody deletes is missed within a second", async (t) => {
  const { file, start, journal, clock, log } = bench(t);
  const audit = await start();
  await audit.flush();
  unlinkSync(file);
  journal.record("actuate", "lamp", "ada", "on");
  await audit.flush();
  await clock.advance(1000);
  await audit.flush();
  t.ok(log.lines.includes("error the audit log was deleted by somebody; it goes on in a new file"));
  journal.record("actuate", "lamp", "ada", "off");
  await audit.flush();
  t.ok(existsSync(file));
  t.match((await verifyAudit(file)).notes, [/^entries before 3 were in files/]);
  await audit.close();
});

t.test("what may be a secret does not appear", async (t) => {
  t.equal(withoutTexts("beam(low)"), "beam(low)");
  t.equal(withoutTexts("drive(0.5,-3,true)"), "drive(0.5,-3,true)");
  t.equal(withoutTexts("say(hello world): IN_USE"), "say(…): IN_USE");
  t.equal(withoutTexts("show(low,s3cret,7)"), "show(low,…,7)");
  t.equal(withoutTexts("say(a)b(c)d)"), "say(…)");
  t.equal(withoutTexts("FAULTED say(s3cret): it broke"), "FAULTED say(…): it broke");
  t.equal(withoutTexts("no such verb (HELP lists the verbs)"), "no such verb (HELP lists the verbs)");
  const { file, start, journal } = bench(t);
  const audit = await start();
  journal.record("actuate", "display", "ada", "say(the code is 1234)");
  audit.record("refuse", "x".repeat(10_000), "y".repeat(10_000), "z".repeat(10_000));
  await audit.close();
  const written = readFileSync(file, "utf8");
  t.notMatch(written, /1234/);
  t.ok(written.length < 10_000, "and nobody fills the disk with one entry");
});

t.test("a folder that cannot be written to is an error with its reason", async (t) => {
  const { file, start } = bench(t);
  writeFileSync(`${file}.not`, "");
  appendFileSync(file, "");
  await t.rejects(
    openAudit({
      ...auditOptionsSchema.parse({}),
      file: join(`${file}.not`, "audit.log"),
      clock: createFakeClock(),
      log: createFakeLog(),
      journal: createJournal(createFakeClock()),
      node: "garage",
    }),
    { code: "IO", message: /^the audit log .*audit\.log cannot be opened: .*; choose another with audit\.file$/ },
  );
  const audit = await start();
  await audit.close();
  t.equal((await verifyAudit(file)).entries, 2, "an empty file is a new log");
});
