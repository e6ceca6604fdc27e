import { execFileSync } from "node:child_process";
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { rename, symlink } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";

import fc from "fast-check";
import t, { type Test } from "tap";

import { openRoot, child, held } from "../../../agent/services/files/walk.ts";
import { filesBench, testFolder, type FilesBench } from "./files-bench.ts";

const SECRET = "nobody may read this";

interface Guarded extends FilesBench {
  /** Fails the test unless everything outside is as it was. */
  readonly checkOutside: () => void;
}

/** A files service, and a file beside its root that must never be reached. */
async function guarded(t: Test): Promise<Guarded> {
  const bench = await filesBench(t);
  writeFileSync(join(bench.outside, "canary"), SECRET);
  return {
    ...bench,
    checkOutside() {
      t.strictSame(readdirSync(bench.outside), ["canary"], "nothing was made or removed outside");
      t.equal(readFileSync(join(bench.outside, "canary"), "utf8"), SECRET, "nothing was changed outside");
    },
  };
}

/** Everything a path is good for. */
const USES = [
  (ask: FilesBench["ask"], path: string) => ask("FOPEN", path, "R"),
  (ask: FilesBench["ask"], path: string) => ask("FOPEN", path, "RW"),
  (ask: FilesBench["ask"], path: string) => ask("FSTAT", path),
  (ask: FilesBench["ask"], path: string) => ask("FLIST", path),
];

/** Those that do something to the name itself. */
const CHANGES = [
  (ask: FilesBench["ask"], path: string) => ask("FREMOVE", path),
  (ask: FilesBench["ask"], path: string) => ask("FRENAME", path, "stolen"),
  (ask: FilesBench["ask"], path: string) => ask("FRENAME", "own", path),
];

async function refusedInEveryUse(t: Test, { ask }: FilesBench, path: string, uses: typeof USES, pattern: RegExp): Promise<void> {
  for (const [i, use] of uses.entries()) t.match(await use(ask, path), pattern, `${JSON.stringify(path).slice(0, 60)} in use ${i}`);
}

t.test(".. is refused wherever it stands, also where it would stay inside", async (t) => {
  const bench = await guarded(t);
  mkdirSync(join(bench.root, "a/b"), { recursive: true });
  writeFileSync(join(bench.root, "own"), "");
  for (const path of [
    "..",
    "../outside/canary",
    "a/../../outside/canary",
    "a/b/../../../outside/canary",
    "a/..",
    "/../x",
    "a//..//b",
    "./../x",
  ]) {
    await refusedInEveryUse(
      t,
      bench,
      path,
      [...USES, ...CHANGES],
      /^DENIED the path ".*" holds \.\.; paths go down from the files root only$/,
    );
  }
  bench.checkOutside();
});

t.test("an absolute path is one below the root", async (t) => {
  const bench = await guarded(t);
  const { ask, root, outside } = bench;
  t.equal(await ask("FOPEN", "/etc/passwd", "R"), "UNKNOWN no folder etc");
  t.equal(await ask("FOPEN", "/proc/self/root/etc/passwd", "R"), "UNKNOWN no folder proc");
  t.equal(await ask("FOPEN", "/dev/null", "R"), "UNKNOWN no folder dev");
  t.equal(await ask("FOPEN", `${outside}/canary`), 0);
  t.equal(await ask("FWRITE", 0, "mine"), 4);
  t.equal(readFileSync(join(root, outside, "canary"), "utf8"), "mine");
  bench.checkOutside();
});

t.test("nothing is decoded: what another program would take for .. is a name", async (t) => {
  const bench = await guarded(t);
  const { ask, askBytes, root } = bench;
  for (const dots of ["%2e%2e", "..\\..", "\u{2025}", "\u{ff0e}\u{ff0e}", "...", "..;", ".. ", "\u{2024}\u{2024}"]) {
    t.equal(await ask("FOPEN", `${dots}/outside/canary`, "R"), `UNKNOWN no folder ${dots}`);
  }
  t.equal(await ask("FOPEN", "%2e%2e%2fcanary"), 0);
  t.ok(existsSync(join(root, "%2e%2e%2fcanary")));
  for (const bytes of ["\xc0\xae\xc0\xae/canary", "\xe0\x80\xae\xe0\x80\xae/canary", "a\xff", "\xc0\xafetc"]) {
    t.match(await askBytes("FOPEN", [bytes]), /^ARGUMENT the path ".*" is not UTF-8$/, "overlong forms are no UTF-8");
  }
  bench.checkOutside();
});

t.test("names that end early, control terminals or are too long are refused", async (t) => {
  const bench = await guarded(t);
  const { ask } = bench;
  for (const path of ["a\0b", "canary\0.txt", "\x1b[2J", "a\nb", "a\u{7f}", "a\u{9b}2J"]) {
    await refusedInEveryUse(t, bench, path, [...USES, ...CHANGES], /^ARGUMENT the path ".*" holds a control character$/s);
  }
  t.equal(await ask("FOPEN", "n".repeat(255)), 0);
  t.match(await ask("FOPEN", "n".repeat(256)), /^ARGUMENT a name has up to 255 bytes, not 256: n+\.\.\.$/);
  t.match(await ask("FOPEN", "é".repeat(128)), /^ARGUMENT a name has up to 255 bytes, not 256/);
  t.equal(await ask("FOPEN", "a/".repeat(3000)), "ARGUMENT a path has up to 4095 bytes, not 6000");
  t.equal(await ask("FOPEN", "a/".repeat(2000)), "LIMIT the path has 2000 names, and files.maxDepth is 32");
  t.equal(await ask("FOPEN", ""), "ARGUMENT . is a folder; FLIST lists it");
});

t.test("a link that leads out is refused, on the way and at the end, whole or in steps", async (t) => {
  const bench = await guarded(t);
  const { root, outside } = bench;
  mkdirSync(join(root, "d"));
  writeFileSync(join(root, "own"), "");
  symlinkSync(outside, join(root, "absolute"));
  symlinkSync("../outside", join(root, "relative"));
  symlinkSync("../../outside", join(root, "d/up"));
  symlinkSync("d/up", join(root, "chain"));
  symlinkSync("loop", join(root, "loop"));
  symlinkSync("loop-b", join(root, "loop-a"));
  symlinkSync("loop-a", join(root, "loop-b"));
  symlinkSync("/proc/self/root", join(root, "proc"));
  symlinkSync(`${root}-sibling`, join(root, "prefix"));
  symlinkSync(`${root}/../outside`, join(root, "through-root"));
  symlinkSync("..", join(root, "parent"));
  const leadsOut = /^DENIED .* leads out of the files root, or is a link that leads nowhere in it$/;
  for (const name of ["absolute", "relative", "d/up", "chain", "through-root", "prefix", "loop", "loop-a", "parent"]) {
    await refusedInEveryUse(t, bench, name, USES, leadsOut);
    await refusedInEveryUse(t, bench, `${name}/canary`, [...USES, ...CHANGES], leadsOut);
  }
  // To read only: a service that fails here must not leave anything in this machine's own folders.
  for (const path of ["proc", "proc/etc/hostname"]) t.match(await bench.ask("FOPEN", path, "R"), leadsOut);
  bench.checkOutside();
});

t.test("a link to a file outside is refused, also one that is not there yet", async (t) => {
  const bench = await guarded(t);
  const { root, outside, ask } = bench;
  symlinkSync(join(outside, "canary"), join(root, "link"));
  symlinkSync(join(outside, "made"), join(root, "dangling"));
  for (const name of ["link", "dangling"]) await refusedInEveryUse(t, bench, name, USES, /^DENIED /);
  writeFileSync(join(root, "own"), "own");
  t.equal(await ask("FRENAME", "link", "stolen"), "DENIED link is no regular file");
  t.equal(await ask("FRENAME", "own", "link"), "OK", "the link is replaced, and what it led to stays");
  t.equal(await ask("FREMOVE", "dangling"), "OK", "the link is removed, and what it led to stays");
  bench.checkOutside();
});

t.test("links that stay inside are followed", async (t) => {
  const { ask, root } = await guarded(t);
  mkdirSync(join(root, "logs/old"), { recursive: true });
  writeFileSync(join(root, "logs/today"), "today");
  symlinkSync("logs/today", join(root, "relative"));
  symlinkSync(join(root, "logs"), join(root, "absolute"));
  symlinkSync("../today", join(root, "logs/old/up"));
  symlinkSync("../old/./up", join(root, "logs/old/again"));
  symlinkSync(root, join(root, "itself"));
  symlinkSync("not/yet", join(root, "dangling"));
  symlinkSync("..", join(root, "logs/parent"));
  let id = 0;
  for (const path of ["relative", "absolute/today", "logs/old/up", "logs/old/again", "itself/logs/today", "logs/parent/logs/today"]) {
    t.equal(await ask("FOPEN", path, "R"), id, path);
    t.equal(await ask("FREAD", id++, 10), "today");
  }
  t.match(await ask("FLIST", "itself"), [{ name: "absolute" }, {}, {}, {}, {}]);
  t.match(await ask("FSTAT", "logs/parent"), { name: ".", kind: "folder" });
  t.match(await ask("FSTAT", "logs/old/up/x"), /^ARGUMENT logs\/today is no folder/);
  t.equal(await ask("FOPEN", "dangling", "R"), "UNKNOWN no folder not");
  t.equal(await ask("FOPEN", "dangling"), id, "what a link inside leads to is made");
  t.ok(existsSync(join(root, "not/yet")));
});

t.test("what is no regular file is neither opened nor waited for", async (t) => {
  const bench = await guarded(t);
  const { root, ask } = bench;
  execFileSync("mkfifo", [join(root, "fifo")]);
  const server = createServer().listen(join(root, "socket"));
  t.teardown(() => server.close());
  await new Promise((resolve) => server.once("listening", resolve));
  writeFileSync(join(root, "own"), "");
  for (const name of ["fifo", "socket"]) {
    t.equal(await ask("FOPEN", name, "R"), `DENIED ${name} is no regular file`);
    t.equal(await ask("FOPEN", name, "RW"), `DENIED ${name} is no regular file`);
    await refusedInEveryUse(t, bench, name, CHANGES, new RegExp(`^DENIED ${name} is no regular file$`));
    t.match(await ask("FSTAT", name), { kind: "other", size: 0 });
  }
});

t.test("a file with a second name may be one from outside, and is refused", async (t) => {
  const bench = await guarded(t);
  linkSync(join(bench.outside, "canary"), join(bench.root, "hard"));
  writeFileSync(join(bench.root, "own"), "");
  const several = /^DENIED hard has 2 names \(hard links\), and one may be outside; put a copy in its place$/;
  await refusedInEveryUse(t, bench, "hard", [...USES.slice(0, 2), ...CHANGES], several);
  t.match(await bench.ask("FSTAT", "hard"), { kind: "other", size: 0 });
  bench.checkOutside();
});

t.test("a folder that is replaced by a link after it was looked up stays the folder it was", async (t) => {
  const folder = testFolder(t);
  mkdirSync(join(folder, "root/d"), { recursive: true });
  mkdirSync(join(folder, "outside"));
  writeFileSync(join(folder, "root/d/f"), "inside");
  writeFileSync(join(folder, "outside/f"), SECRET);
  const root = await openRoot(join(folder, "root"));
  t.teardown(() => root.close());
  await root.at(["d", "f"], { follow: true }, async ({ folder: where, there }) => {
    renameSync(join(folder, "root/d"), join(folder, "root/moved"));
    symlinkSync("../outside", join(folder, "root/d"));
    t.equal(readFileSync(child(where, "f"), "utf8"), "inside", "the name is looked up where it was");
    renameSync(join(folder, "root/moved/f"), join(folder, "root/moved/g"));
    symlinkSync("../../outside/f", join(folder, "root/moved/f"));
    t.equal(readFileSync(held(there!.handle), "utf8"), "inside", "and what is opened is what was found");
    await root.confirm(there!.handle, "d/f");
  });
});

t.test("a folder that is moved out of the root is left alone", async (t) => {
  const folder = testFolder(t);
  mkdirSync(join(folder, "root/d"), { recursive: true });
  mkdirSync(join(folder, "root-2"));
  const root = await openRoot(join(folder, "root"));
  t.teardown(() => root.close());
  await root.at(["d", "f"], { follow: true }, async ({ folder: where }) => {
    await root.confirm(where, "d/f");
    renameSync(join(folder, "root/d"), join(folder, "root-2/d"));
    await t.rejects(root.confirm(where, "d/f"), { code: "DENIED" });
  });
  renameSync(join(folder, "root"), join(folder, "renamed"));
  mkdirSync(join(folder, "renamed/e"));
  await root.at(["e"], { follow: true }, ({ there }) => root.confirm(there!.handle, "e"));
  t.equal(await root.where(), join(folder, "renamed"), "the root itself may move");
});

t.test("links that change all the time lead nowhere else", async (t) => {
  const bench = await guarded(t);
  const { ask, root, outside } = bench;
  mkdirSync(join(root, "real"));
  writeFileSync(join(root, "real/canary"), "inside");
  let racing = true;
  async function swap(name: string, targets: readonly string[]): Promise<void> {
    for (let i = 0; racing; i++) {
      await symlink(targets[i % targets.length]!, join(root, `${name}.new`));
      await rename(join(root, `${name}.new`), join(root, name));
    }
  }
  symlinkSync("real", join(root, "d"));
  symlinkSync("real/canary", join(root, "f"));
  const racers = [swap("d", ["real", outside, "../outside"]), swap("f", ["real/canary", join(outside, "canary"), "d/canary"])];
  const read = new Set<unknown>();
  const answers = new Set<unknown>();
  for (let i = 0; i < 120; i++) {
    for (const path of ["d/canary", "f", "d/new"]) {
      const opened = await ask("FOPEN", path, i % 2 === 0 ? "R" : "RW");
      if (typeof opened === "number") {
        read.add(await ask("FREAD", opened, 100, 0));
        await ask("FCLOSE", opened);
      } else answers.add(typeof opened === "string" ? opened.split(" ", 1)[0] : opened);
    }
    const removed = await ask("FREMOVE", "d/new");
    answers.add(typeof removed === "string" ? removed.split(" ", 1)[0] : removed);
  }
  racing = false;
  await Promise.all(racers);
  t.same([...read].sort(), ["", "inside"], "nothing else was read, and what is inside was");
  t.same(
    [...answers].filter((code) => !["OK", "DENIED", "UNKNOWN", "IO"].includes(String(code))),
    [],
  );
  bench.checkOutside();
});

t.test("whatever the path, nothing outside is touched", async (t) => {
  const bench = await guarded(t);
  const { askBytes, root, outside } = bench;
  symlinkSync(outside, join(root, "out"));
  const name = fc.oneof(
    fc.constantFrom("..", ".", "", "out", "a", "b", "canary", "outside", "root", "proc", "self", "\0", "\xc0\xae", "%2e"),
    fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 6 }),
  );
  const path = fc.array(name, { maxLength: 6 }).map((names) => names.join("/"));
  const verb = fc.constantFrom("FOPEN", "FSTAT", "FLIST", "FREMOVE", "FRENAME");
  await fc.assert(
    fc.asyncProperty(verb, path, path, async (asked, first, second) => {
      const args = asked === "FRENAME" ? [first, second] : [first];
      const answer = await askBytes(asked, args);
      if (typeof answer === "number") await askBytes("FCLOSE", [String(answer)]);
      return typeof answer !== "string" || /^(OK$|[A-Z]+ )/.test(answer);
    }),
    { numRuns: 500 },
  );
  bench.checkOutside();
});
