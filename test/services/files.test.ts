import { lstatSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import fc from "fast-check";
import t from "tap";

import type { Caller } from "../../agent/contract/request.ts";
import { openFilesService } from "../../agent/services/files.ts";
import { filesOptionsSchema } from "../../agent/services/files/options.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { CALLER, filesBench, testFolder, told } from "./files/files-bench.ts";

const GIB = 1024 ** 3;

function callerWith(...allowed: readonly string[]): Caller {
  return { ...CALLER, name: "pat", permits: { allows: (kind, name) => allowed.includes(`${kind}:${name}`) } };
}

t.test("a file is made with its folders, written, read back and closed", async (t) => {
  const { ask, root } = await filesBench(t);
  t.equal(await ask("FOPEN", "logs/today/a.txt"), 0, "descriptors start at 0");
  t.equal(await ask("FWRITE", 0, "hello "), 6);
  t.equal(await ask("FWRITE", 0, "world"), 5, "without an offset at the end");
  t.equal(await ask("FREAD", 0, 100, 0), "hello world");
  t.equal(await ask("FREAD", 0, 5, 6), "world");
  t.equal(await ask("FREAD", 0, 5, 100), "", "after the end there is nothing");
  t.equal(await ask("FREAD", 0, 0), "");
  t.equal(await ask("FCLOSE", 0), "OK");
  t.equal(readFileSync(join(root, "logs/today/a.txt"), "utf8"), "hello world");
  t.equal(lstatSync(join(root, "logs/today/a.txt")).mode & 0o777, 0o640);
  t.equal(await ask("FREAD", 0, 1), "UNKNOWN no descriptor 0 is open; FOPEN gives one");
  t.equal(await ask("FCLOSE", 0), "UNKNOWN no descriptor 0 is open; FOPEN gives one");
  t.equal(await ask("FOPEN", "logs/today/a.txt", "r"), 1, "a number is never given out again");
});

t.test("reads without an offset go on where the last one ended", async (t) => {
  const { ask, root } = await filesBench(t);
  writeFileSync(join(root, "a"), "0123456789");
  await ask("FOPEN", "a", "R");
  const asked = [ask("FREAD", 0, 3), ask("FREAD", 0, 3), ask("FREAD", 0, 2, 0), ask("FREAD", 0, 100), ask("FREAD", 0, 1)];
  t.strictSame(await Promise.all(asked), ["012", "345", "01", "6789", ""], "also when they are asked at once");
});

t.test("writes at an offset leave everything else, and holes read as NUL", async (t) => {
  const { ask } = await filesBench(t);
  await ask("FOPEN", "a");
  await ask("FWRITE", 0, "0123456789");
  t.equal(await ask("FWRITE", 0, "ab", 3), 2);
  t.equal(await ask("FWRITE", 0, "z", 12), 1);
  t.equal(await ask("FWRITE", 0, "!"), 1, "appending goes on at the new end");
  t.equal(await ask("FREAD", 0, 100, 0), "012ab56789\0\0z!");
});

t.test("files of any size are read and written by offset", async (t) => {
  const { ask, service } = await filesBench(t, { maxFileBytes: 10 * GIB, maxTotalBytes: 20 * GIB });
  await ask("FOPEN", "big");
  const offset = 5 * GIB + 7;
  t.equal(await ask("FWRITE", 0, "far", offset), 3);
  t.equal(await ask("FWRITE", 0, "ther"), 4);
  t.equal(await ask("FREAD", 0, 100, offset), "farther");
  t.equal(await ask("FREAD", 0, 3, 4 * GIB), "\0\0\0");
  t.match(await ask("FSTAT", "big"), { kind: "file", size: offset + 7 });
  t.equal(service.figures()["bytes"], offset + 7, "holes count: sizes are what FSTAT says");
});

t.test("bytes are stored as they came, whatever they are", async (t) => {
  const { askBytes, ask } = await filesBench(t);
  await ask("FOPEN", "bytes");
  let stored = "";
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) }), async (data) => {
      t.equal(await askBytes("FWRITE", ["0", data]), data.length);
      stored += data;
      return (await askBytes("FREAD", ["0", "1048576", "0"])) === stored;
    }),
    { numRuns: 50 },
  );
});

t.test("what is asked at once is done in the order asked, and each append stays whole", async (t) => {
  const { ask, root } = await filesBench(t);
  await ask("FOPEN", "log");
  await ask("FOPEN", "log");
  const lines = Array.from({ length: 300 }, (_, i) => `${String(i).padStart(50, "x")}\n`);
  const asked = lines.map((line, i) => ask("FWRITE", i % 2, line));
  const early = ask("FREAD", 1, 51, 51 * 299);
  const closed = [ask("FCLOSE", 0), ask("FCLOSE", 1)];
  t.strictSame(await Promise.all(asked), Array<number>(300).fill(51));
  t.equal(await early, lines[299], "a read sees the writes asked before it");
  t.strictSame(await Promise.all(closed), ["OK", "OK"], "a close waits for them");
  t.equal(readFileSync(join(root, "log"), "utf8"), lines.join(""), "two descriptors of one file share its order");
});

t.test("RW is what an open is without a word, R makes nothing and writes nothing", async (t) => {
  const { ask, root } = await filesBench(t);
  t.equal(await ask("FOPEN", "none/a", "R"), "UNKNOWN no folder none");
  t.equal(await ask("FOPEN", "none", "R"), "UNKNOWN no file none");
  writeFileSync(join(root, "a"), "abc");
  t.equal(await ask("FOPEN", "a", "R"), 0, "an open that failed has used no number");
  t.equal(await ask("FWRITE", 0, "x"), "DENIED descriptor 0 was opened R; open a RW to write");
  t.equal(await ask("FWRITE", 0, "x", 1), "DENIED descriptor 0 was opened R; open a RW to write");
  t.equal(await ask("FREAD", 0, 10), "abc");
  t.equal(await ask("FOPEN", "a", "w"), "ARGUMENT a file is opened R or RW, not w");
});

t.test("FSTAT and FLIST show what there is", async (t) => {
  const { ask, root } = await filesBench(t, { maxListed: 3 });
  mkdirSync(join(root, "d"));
  writeFileSync(join(root, "d/é.txt"), "12345");
  writeFileSync(join(root, "d/b"), "");
  mkdirSync(join(root, "d/c"));
  symlinkSync("b", join(root, "d/l"));
  writeFileSync(Buffer.from(`${root}/d/\xff`, "latin1"), "");
  const modifiedMs = Math.floor(statSync(join(root, "d/é.txt")).mtimeMs);
  t.strictSame(await ask("FSTAT", "/d//./é.txt"), { name: "d/é.txt", kind: "file", size: 5, modifiedMs });
  t.match(await ask("FSTAT", "d"), { name: "d", kind: "folder", size: 0 });
  t.match(await ask("FSTAT", "d/l"), { name: "d/b", kind: "file" }, "a link stands for what it leads to");
  t.match(await ask("FSTAT", "/"), { name: ".", kind: "folder" });
  t.equal(await ask("FSTAT", "d/x"), "UNKNOWN no file d/x");
  t.equal(await ask("FSTAT", "d/b/x"), "ARGUMENT d/b is no folder, and d/b/x goes on after it");
  const names = (listed: unknown) => (listed as { name: string; kind: string }[]).map(({ name, kind }) => `${name} ${kind}`);
  t.strictSame(names(await ask("FLIST", "d")), ["b file", "c folder", "l link"], "up to files.maxListed");
  t.strictSame(names(await ask("FLIST", "d", "after", "l")), ["é.txt file", "\ufffd other"], "and the rest after the last");
  t.strictSame(names(await ask("FLIST", "d", "AFTER", "\ufffd")), []);
  t.strictSame(names(await ask("FLIST")), ["d folder"]);
  t.strictSame(names(await ask("FLIST", "AFTER", "d")), []);
  t.equal(await ask("FLIST", "d/b"), "ARGUMENT d/b is no folder; FSTAT describes it");
  t.equal(await ask("FLIST", "x"), "UNKNOWN no folder x");
  t.equal(await ask("FOPEN", "d"), "ARGUMENT d is a folder; FLIST lists it");
});

t.test("FREMOVE removes files, links and empty folders; what is open goes on", async (t) => {
  const { ask, root } = await filesBench(t);
  await ask("FOPEN", "d/a");
  await ask("FWRITE", 0, "abc");
  symlinkSync("a", join(root, "d/l"));
  t.equal(await ask("FREMOVE", "d"), "ARGUMENT the folder d is not empty; remove what is in it first");
  t.equal(await ask("FREMOVE", "d/l"), "OK");
  t.equal(await ask("FREMOVE", "d/a"), "OK", "not what the link led to, but the link");
  t.equal(await ask("FREMOVE", "d/a"), "UNKNOWN no file d/a");
  t.equal(await ask("FREAD", 0, 10, 0), "abc");
  t.equal(await ask("FREMOVE", "d"), "OK");
  t.equal(await ask("FREMOVE", "/"), "ARGUMENT the files root itself is not removed");
  t.equal(await ask("FCLOSE", 0), "OK");
});

t.test("FRENAME replaces in one step", async (t) => {
  const { ask, root } = await filesBench(t);
  writeFileSync(join(root, "old"), "old");
  await ask("FOPEN", "new.part");
  await ask("FWRITE", 0, "new");
  await ask("FCLOSE", 0);
  await ask("FOPEN", "old", "R");
  t.equal(await ask("FRENAME", "new.part", "old"), "OK");
  t.equal(readFileSync(join(root, "old"), "utf8"), "new");
  t.equal(await ask("FREAD", 1, 10), "old", "who has the replaced file open goes on reading it");
  t.equal(await ask("FRENAME", "old", "made/on/demand"), "OK", "folders are made");
  t.equal(await ask("FRENAME", "made/on/demand", "made/on/demand"), "OK");
  t.equal(await ask("FRENAME", "none", "x"), "UNKNOWN no file none");
  t.equal(await ask("FRENAME", "made", "x"), "ARGUMENT made is a folder; FLIST lists it");
  t.equal(await ask("FRENAME", "made/on/demand", "made"), "ARGUMENT made is a folder; FLIST lists it");
  symlinkSync("made/on/demand", join(root, "latest"));
  writeFileSync(join(root, "newer"), "newer");
  t.equal(await ask("FRENAME", "newer", "latest"), "OK");
  t.equal(lstatSync(join(root, "latest")).isFile(), true, "a link is replaced, not followed");
});

t.test("a request with the wrong words is told what it takes", async (t) => {
  const { ask, askBytes } = await filesBench(t);
  await ask("FOPEN", "a");
  for (const [verb, args, text] of [
    ["FOPEN", [], "FOPEN takes a path and R or RW, got 0 words"],
    ["FOPEN", ["a", "R", "x"], "FOPEN takes a path and R or RW, got 3 words"],
    ["FREAD", ["0"], "FREAD takes a descriptor, a count and an offset, got 1 words"],
    ["FREAD", ["0", "1", "2", "3"], "FREAD takes a descriptor, a count and an offset, got 4 words"],
    ["FREAD", ["x", "1"], 'a descriptor is a whole number from 0, not "x"'],
    ["FREAD", ["0", "-1"], 'a count is a whole number from 0, not "-1"'],
    ["FREAD", ["0", "1", "1e3"], 'an offset is a whole number from 0, not "1e3"'],
    ["FREAD", ["0", "1", "99999999999999999"], 'an offset is a whole number from 0, not "99999999999999999"'],
    ["FWRITE", ["0"], "FWRITE takes a descriptor, the data and an offset, got 1 words"],
    ["FWRITE", ["0", "a", "-0"], 'an offset is a whole number from 0, not "-0"'],
    ["FCLOSE", [], "FCLOSE takes one descriptor, got 0 words"],
    ["FSTAT", [], "FSTAT takes one path, got 0 words"],
    ["FLIST", ["a", "b"], "FLIST takes a folder, and a name after AFTER, got 2 words"],
    ["FLIST", ["a", "AFTER"], "FLIST takes a folder, and a name after AFTER, got 2 words"],
    ["FRENAME", ["a"], "FRENAME takes the old path and the new one, got 1 words"],
    ["FREMOVE", ["a", "b"], "FREMOVE takes one path, got 2 words"],
  ] as const) {
    t.equal(await askBytes(verb, args), `ARGUMENT ${text}`);
  }
  t.equal(await ask("FNONE"), "UNKNOWN files have no verb FNONE");
});

t.test("every limit refuses by its name, and what was open goes on", async (t) => {
  const { ask, service } = await filesBench(t, {
    maxDescriptors: 2,
    maxFileBytes: 1000,
    maxTotalBytes: 1500,
    maxFiles: 4,
    maxDepth: 2,
    maxReadBytes: 512,
    maxWriteBytes: 900,
  });
  t.equal(await ask("FOPEN", "a/b/c"), "LIMIT the path has 3 names, and files.maxDepth is 2");
  await ask("FOPEN", "a");
  await ask("FOPEN", "b");
  t.match(await ask("FOPEN", "c"), /^FULL 2 files are open; close some with FCLOSE \(files.maxDescriptors is 2\)$/);
  t.equal(await ask("FREAD", 0, 513), "LIMIT 513 bytes in one read; files.maxReadBytes is 512");
  t.equal(await ask("FWRITE", 0, "x".repeat(901)), "LIMIT 901 bytes in one write; files.maxWriteBytes is 900");
  t.equal(await ask("FWRITE", 0, "x".repeat(900)), 900);
  t.equal(await ask("FWRITE", 0, "x".repeat(101)), "FULL a would have 1001 bytes; files.maxFileBytes is 1000");
  t.equal(await ask("FWRITE", 0, "x", 1000), "FULL a would have 1001 bytes; files.maxFileBytes is 1000");
  t.equal(await ask("FWRITE", 0, "x".repeat(100)), 100);
  t.match(
    await ask("FWRITE", 1, "x".repeat(501)),
    "FULL 1000 bytes are under the files root, and 501 more would be above files.maxTotalBytes, 1500",
  );
  t.equal(await ask("FWRITE", 1, "x".repeat(500)), 500);
  t.equal(await ask("FWRITE", 0, "y", 0), 1, "writing over what is there takes no room");
  await ask("FCLOSE", 1);
  t.equal(await ask("FOPEN", "c/d"), 2);
  await ask("FCLOSE", 2);
  t.equal(await ask("FOPEN", "e"), "FULL 4 files and folders are under the files root; files.maxFiles is 4");
  t.match(service.figures(), { open: 1, opened: 3, bytes: 1500, files: 4 });
  t.equal(await ask("FREMOVE", "b"), "OK");
  t.match(service.figures(), { bytes: 1000, files: 3 }, "what is removed makes room");
  t.equal(await ask("FREMOVE", "a"), "OK");
  t.match(service.figures(), { bytes: 1000, files: 2 }, "when it is closed, if it is open");
  await ask("FCLOSE", 0);
  t.match(service.figures(), { open: 0, bytes: 0, files: 2 });
});

t.test("requests that would need too much memory at once are refused", async (t) => {
  const { ask, service } = await filesBench(t, { maxPendingBytes: 65_536, maxReadBytes: 60_000 });
  await ask("FOPEN", "a");
  await ask("FWRITE", 0, "x".repeat(60_000));
  const asked = [ask("FREAD", 0, 60_000, 0), ask("FREAD", 0, 60_000, 0), ask("FREAD", 0, 5, 0)];
  t.match(await asked[1], /^FULL reads and writes of \d+ bytes are waiting; files.maxPendingBytes is 65536$/);
  t.equal(await asked[0], "x".repeat(60_000));
  t.equal(await asked[2], "xxxxx");
  t.equal(service.figures()["bytes_pending"], 0);
  t.equal(await ask("FREAD", 0, 60_000, 60_000), "");
});

t.test("what was there before is counted; what was removed by hand is noticed before anything is refused", async (t) => {
  const { ask, service, root, clock, log } = await filesBench(t, { maxTotalBytes: 1000 });
  await service.close();
  mkdirSync(join(root, "d"));
  writeFileSync(join(root, "d/a"), "x".repeat(900));
  symlinkSync("/", join(root, "out"));
  const again = await openFilesService({
    folder: root,
    options: filesOptionsSchema.parse({ maxTotalBytes: 1000 }),
    classic: { padWrites: true },
    clock,
    log,
  });
  t.teardown(() => again.close());
  const asked = async (verb: string, ...args: string[]) => told(await again.handle({ verb, args }, CALLER));
  t.equal(await asked("FOPEN", "b"), 0);
  t.match(again.figures(), { bytes: 900, files: 4 });
  t.match(await asked("FWRITE", "0", "y".repeat(200)), /^FULL 900 bytes/);
  rmSync(join(root, "d/a"));
  t.match(await asked("FWRITE", "0", "y".repeat(200)), /^FULL 900 bytes/, "it was counted a moment ago");
  await clock.advance(60_000);
  t.equal(await asked("FWRITE", "0", "y".repeat(200)), 200);
  t.match(again.figures(), { bytes: 200, files: 3 });
  t.equal(await ask("FSTAT", "b"), "NOT_READY the agent is stopping", "a closed service answers nothing more");
});

t.test("a caller uses the paths it may, also through links and by descriptors of others", async (t) => {
  const { ask, askBytes, root } = await filesBench(t);
  const pat = callerWith("files:logs/a", "files:logs/link", "files:logs", "files:new/x");
  mkdirSync(join(root, "secret"));
  writeFileSync(join(root, "secret/s"), "secret");
  await ask("FOPEN", "secret/s");
  t.equal(await askBytes("FOPEN", ["logs/a"], pat), 1);
  const refused = (name: string) => `DENIED pat may not use files:${name}; its user's allow list does not cover it`;
  t.equal(await askBytes("FOPEN", ["secret/s"], pat), refused("secret/s"));
  t.equal(await askBytes("FREAD", ["0", "10"], pat), refused("secret/s"));
  t.equal(await askBytes("FWRITE", ["0", "10"], pat), refused("secret/s"));
  t.equal(await askBytes("FCLOSE", ["0"], pat), refused("secret/s"));
  t.equal(await askBytes("FSTAT", ["secret"], pat), refused("secret"));
  t.equal(await askBytes("FREMOVE", ["secret/s"], pat), refused("secret/s"));
  t.equal(await askBytes("FRENAME", ["logs/a", "secret/s"], pat), refused("secret/s"));
  t.equal(await askBytes("FRENAME", ["secret/s", "logs/a"], pat), refused("secret/s"));
  t.equal(await askBytes("FLIST", ["secret"], pat), refused("secret"));
  t.equal(await askBytes("FLIST", [], pat), refused("."));
  t.match(await askBytes("FLIST", ["logs"], pat), [{ name: "a" }]);
  symlinkSync("../secret/s", join(root, "logs/link"));
  t.equal(await askBytes("FOPEN", ["logs/link"], pat), refused("secret/s"));
  t.equal(await askBytes("FSTAT", ["logs/link"], pat), refused("secret/s"));
  t.equal(await askBytes("FREMOVE", ["logs/link"], pat), "OK", "the link itself is in logs");
  symlinkSync("secret", join(root, "new"));
  t.equal(await askBytes("FOPEN", ["new/x"], pat), refused("secret/x"));
  t.throws(() => lstatSync(join(root, "secret/x")), "and was not made");
});

t.test("descriptors that nobody uses are closed", async (t) => {
  const { ask, clock, log, service, root } = await filesBench(t, { descriptorIdleMs: 10_000 });
  await ask("FOPEN", "a");
  await ask("FOPEN", "b");
  await ask("FWRITE", 0, "kept");
  await clock.advance(6000);
  await ask("FREAD", 1, 1, 0);
  await clock.advance(6500);
  t.equal(await ask("FREAD", 0, 4, 0), "UNKNOWN no descriptor 0 is open; FOPEN gives one");
  t.equal(await ask("FREAD", 1, 1, 0), "", "this one was used");
  t.match(service.figures(), { open: 1, reaped: 1 });
  t.match(log.lines, ["info closing a file that nobody has used (files.descriptorIdleMs)"]);
  t.equal(readFileSync(join(root, "a"), "utf8"), "kept");
  await ask("FCLOSE", 1);
  await clock.advance(2500);
  t.equal(clock.pending(), 0, "where nothing is open nothing is looked after");
});

t.test("the classic write appends exactly as many bytes as it says", async (t) => {
  const { ask, askBytes, root } = await filesBench(t, { maxWriteBytes: 512 });
  await ask("FOPEN", "a");
  t.equal(await askBytes("FILES.WRITE", ["0", "abc", "5"]), 5);
  t.equal(await askBytes("FILES.WRITE", ["0", "abcdef", "2"]), 2);
  t.equal(await askBytes("FILES.WRITE", ["0", "abcdef", "0"]), 0);
  t.equal(await askBytes("FILES.WRITE", ["0", "a", "513"]), "LIMIT 513 bytes in one write; files.maxWriteBytes is 512");
  t.equal(await askBytes("FILES.WRITE", []), 'ARGUMENT a count is a whole number from 0, not ""');
  t.equal(readFileSync(join(root, "a"), "latin1"), "abc\0\0ab");
});

t.test("without padding the classic write appends what there is", async (t) => {
  const { ask, askBytes, root } = await filesBench(t, {}, false);
  await ask("FOPEN", "a");
  t.equal(await askBytes("FILES.WRITE", ["0", "abc", "250"]), 3);
  t.equal(await askBytes("FILES.WRITE", ["0", "abcdef", "2"]), 2);
  t.equal(readFileSync(join(root, "a"), "latin1"), "abcab");
});

t.test("a file cut short by hand is appended to where it ends", async (t) => {
  const { ask, root } = await filesBench(t);
  await ask("FOPEN", "a");
  await ask("FWRITE", 0, "0123456789");
  truncateSync(join(root, "a"), 2);
  t.equal(await ask("FWRITE", 0, "ab"), 2);
  t.equal(readFileSync(join(root, "a"), "latin1"), "01ab");
});

t.test("closing does what was asked, makes it durable and gives everything back", async (t) => {
  const { ask, service, root } = await filesBench(t);
  await ask("FOPEN", "a");
  const asked = [ask("FWRITE", 0, "one "), ask("FWRITE", 0, "two"), ask("FOPEN", "b")];
  await service.close();
  t.strictSame(await Promise.all(asked), [4, 3, 1]);
  t.equal(readFileSync(join(root, "a"), "latin1"), "one two");
  t.equal(service.figures()["open"], 0);
  await service.close();
});

t.test("a root that cannot be one is told so", async (t) => {
  const folder = testFolder(t);
  writeFileSync(join(folder, "file"), "");
  const open = (root: string) =>
    openFilesService({
      folder: "unused",
      options: filesOptionsSchema.parse({ root }),
      classic: { padWrites: true },
      clock: createFakeClock(),
      log: createFakeLog(),
    });
  await t.rejects(open(join(folder, "file")), {
    code: "IO",
    message: /^the files root .*file cannot be used: .*; choose another as files.root$/,
  });
  const service = await open(join(folder, "made/here"));
  t.ok(statSync(join(folder, "made/here")).isDirectory());
  rmSync(join(folder, "made"), { recursive: true });
  const reply = await service.handle({ verb: "FOPEN", args: ["a"] }, CALLER);
  t.match(told(reply), /^(IO|DENIED) /, "a root that is gone is no root any more");
  await service.close();
});
