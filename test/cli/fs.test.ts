import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import t, { type Test } from "tap";

import { fsGetCommand, fsLsCommand, fsPutCommand, fsRmCommand, type FsOptions } from "../../agent/cli/fs.ts";
import { bytesText, createProgress } from "../../agent/cli/progress.ts";
import { AgentError } from "../../agent/contract/errors.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeIo, type FakeIo, type Ran } from "../helpers/fake-io.ts";
import { startFilesListener, testFolder, type FilesListenerOptions } from "../services/files/files-bench.ts";

async function bench(t: Test, setup: FilesListenerOptions = {}) {
  const { address, root, service } = await startFilesListener(t, setup);
  const here = testFolder(t);
  const run = async (command: (io: FakeIo) => Promise<number>, io = createFakeIo({ VIRGO_ADDRESS: address })): Promise<Ran> => ({
    code: await command(io),
    ...io.printed,
  });
  const put = (local: string, remote: string, options: FsOptions = {}) => run((io) => fsPutCommand(join(here, local), remote, options, io));
  const get = (remote: string, local: string, options: FsOptions = {}) => run((io) => fsGetCommand(remote, join(here, local), options, io));
  const ls = (path?: string, options: FsOptions = {}) => run((io) => fsLsCommand(path, options, io));
  const rm = (path: string, options: FsOptions = {}) => run((io) => fsRmCommand(path, options, io));
  return { address, root, service, here, run, put, get, ls, rm };
}

function digest(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

t.test("a file of bytes goes there and back whole", async (t) => {
  const { put, get, here, root, service } = await bench(t);
  writeFileSync(join(here, "big"), randomBytes(3 * 1024 * 1024 + 17));
  t.strictSame(await put("big", "backup/big"), { code: 0, out: `${join(here, "big")} -> backup/big (3.0 MiB)\n`, error: "" });
  t.equal(digest(join(root, "backup/big")), digest(join(here, "big")));
  t.strictSame(await get("backup/big", "again", { json: true }), {
    code: 0,
    out: `${JSON.stringify({ from: "backup/big", to: join(here, "again"), bytes: 3_145_745 })}\n`,
    error: "",
  });
  t.equal(digest(join(here, "again")), digest(join(here, "big")));
  t.strictSame(readdirSync(join(root, "backup")), ["big"], "nothing else is left there");
  t.strictSame(readdirSync(here).sort(), ["again", "big"], "nor here");
  t.equal(service.figures()["open"], 0, "every descriptor was closed");
});

t.test("text, an empty file, and folders as targets", async (t) => {
  const { put, get, here, root } = await bench(t);
  mkdirSync(join(root, "d"));
  writeFileSync(join(here, "t"), "grüße\r\n\ufeff");
  writeFileSync(join(here, "e"), "");
  t.equal((await put("t", "d")).code, 0);
  t.equal((await put("e", "new/")).code, 0);
  t.equal((await put("t", "/")).code, 0);
  t.strictSame(
    [readFileSync(join(root, "d/t"), "utf8"), readFileSync(join(root, "new/e"), "utf8"), existsSync(join(root, "t"))],
    ["grüße\r\n\ufeff", "", true],
  );
  mkdirSync(join(here, "into"));
  t.equal((await get("d/t", "into")).code, 0);
  t.equal((await get("new/e", "empty")).code, 0);
  t.equal(digest(join(here, "into/t")), digest(join(here, "t")));
  t.equal(readFileSync(join(here, "empty"), "utf8"), "");
});

t.test("what was there is replaced in one step, and stays when the copy fails", async (t) => {
  const { put, get, here, root } = await bench(t, { options: { maxFileBytes: 300_000 } });
  writeFileSync(join(here, "a"), "new");
  writeFileSync(join(root, "a"), "old and longer");
  t.equal((await put("a", "a")).code, 0);
  t.equal(readFileSync(join(root, "a"), "utf8"), "new");
  writeFileSync(join(here, "big"), Buffer.alloc(700_000));
  t.match(await put("big", "a"), { code: 1, out: "", error: /^FULL .*files\.maxFileBytes is 300000\n$/ });
  t.equal(readFileSync(join(root, "a"), "utf8"), "new");
  t.strictSame(readdirSync(root), ["a"], "the part that came was cleared away");
  writeFileSync(join(here, "mine"), "mine");
  t.match(await get("none", "mine"), { code: 1, error: "UNKNOWN no file none\n" });
  t.equal(readFileSync(join(here, "mine"), "utf8"), "mine");
  t.match(await get("a", "no/such/folder"), { code: 1, error: /^IO cannot copy by way of .*ENOENT/ });
  mkdirSync(join(root, "d"));
  t.match(await get("d", "x"), { code: 1, error: "IO d is no file that can be copied, but a folder\n" });
  t.match(await put("a", "../x"), { code: 1, error: /^DENIED / });
  t.match(await put("a", "a/x"), { code: 1, error: /^ARGUMENT a is no folder/ });
});

t.test("what cannot be read here is told before anything is sent", async (t) => {
  const { run, here, address } = await bench(t);
  for (const local of [here, join(here, "none")]) {
    await t.rejects(
      run((io) => fsPutCommand(local, "a", {}, io)),
      { code: "ARGUMENT", message: /^cannot read / },
    );
  }
  await t.rejects(
    run((io) => fsLsCommand(undefined, { host: "127.0.0.1", port: "1" }, io), createFakeIo()),
    AgentError,
  );
  t.match(address, /:\d+$/);
});

t.test("Ctrl-C replaces nothing and leaves nothing", async (t) => {
  const { run, here, root, address } = await bench(t);
  writeFileSync(join(here, "big"), Buffer.alloc(1_000_000));
  writeFileSync(join(root, "big"), "there");
  for (const command of [
    (io: FakeIo) => fsPutCommand(join(here, "big"), "big", {}, io),
    (io: FakeIo) => fsGetCommand("big", join(here, "got"), {}, io),
  ]) {
    const io = createFakeIo({ VIRGO_ADDRESS: address });
    io.end();
    t.strictSame(await run(command, io), { code: 1, out: "", error: "IO stopped; nothing was replaced\n" });
  }
  t.strictSame(readdirSync(root), ["big"]);
  t.equal(readFileSync(join(root, "big"), "utf8"), "there");
  t.strictSame(readdirSync(here), ["big"]);
});

t.test("a file that changes while it is copied is not taken for whole", async (t) => {
  const { get, here, root, service } = await bench(t);
  writeFileSync(join(root, "a"), Buffer.alloc(600_000));
  const handle = service.handle.bind(service);
  let reads = 0;
  Object.assign(service, {
    handle: (...[request, caller]: Parameters<typeof handle>) => {
      if (request.verb === "FREAD" && (reads += 1) === 1) truncateSync(join(root, "a"), 300_000);
      return handle(request, caller);
    },
  });
  t.match(await get("a", "a"), { code: 1, error: "IO a became shorter while it was copied; try again\n" });
  t.strictSame(readdirSync(here), []);
});

t.test("ls shows a folder, however long, and a file; rm removes", async (t) => {
  const { ls, rm, root } = await bench(t, { options: { maxListed: 2 } });
  t.strictSame(await ls(), { code: 0, out: "nothing is there\n", error: "" });
  mkdirSync(join(root, "d"));
  for (const name of ["a", "b", "c\x1b[2J", "e"]) writeFileSync(join(root, "d", name), "12345");
  symlinkSync("a", join(root, "d/l"));
  const { code, out } = await ls("d");
  t.equal(code, 0);
  const changed = String.raw` +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n`;
  t.match(
    out,
    new RegExp(
      `^NAME +KIND +BYTES +CHANGED\\na +file +5${changed}b +file +5${changed}"c\\\\u001b\\[2J" +file +5${changed}e +file +5${changed}l +link${changed}$`,
    ),
  );
  t.match((await ls("d/a")).out, /\nd\/a +file +5 /);
  t.equal((JSON.parse((await ls("d", { json: true })).out) as unknown[]).length, 5);
  t.match(await ls("x"), { code: 1, error: "UNKNOWN no file x\n" });
  t.strictSame(await rm("d/a"), { code: 0, out: "", error: "" });
  t.strictSame(await rm("d/b", { json: true }), { code: 0, out: '{"removed":"d/b"}\n', error: "" });
  t.match(await rm("d/b"), { code: 1, error: "UNKNOWN no file d/b\n" });
  t.match(await rm("d"), { code: 1, error: /^ARGUMENT the folder d is not empty/ });
});

t.test("progress is shown after a second, with rate and time left, and taken away at the end", async (t) => {
  const clock = createFakeClock();
  let written = "";
  const progress = createProgress({ total: 10 * 1024 * 1024, clock, write: (text) => (written += text) });
  clock.advanceNow(900);
  progress.update(1024 * 1024);
  t.equal(written, "", "what is quick shows nothing");
  clock.advanceNow(100);
  progress.update(2 * 1024 * 1024);
  t.equal(written, "\r[####----------------]  20 %  2.0 MiB of 10.0 MiB  2.0 MiB/s  0:04 left\x1b[K");
  clock.advanceNow(50);
  progress.update(3 * 1024 * 1024);
  t.notMatch(written, "3.0 MiB of", "it is not drawn more often than anyone can read");
  clock.advanceNow(3_949);
  written = "";
  progress.update(3 * 1024 * 1024);
  clock.advanceNow(6000);
  written = "";
  progress.update(3 * 1024 * 1024);
  t.match(written, "30 %  3.0 MiB of 10.0 MiB  0 B/s\x1b[K", "the rate is that of the last seconds");
  written = "";
  progress.end();
  t.equal(written, "\r\x1b[K");
  const quick = createProgress({ total: 0, clock, write: (text) => (written += text) });
  written = "";
  quick.end();
  t.equal(written, "");
  clock.advanceNow(2000);
  const empty = createProgress({ total: 0, clock, write: (text) => (written += text) });
  clock.advanceNow(1000);
  empty.update(0);
  t.match(written, "100 %  0 B of 0 B");
  t.strictSame([0, 1023, 1024, 1536, 1_048_575, 5 * 1024 ** 4].map(bytesText), [
    "0 B",
    "1023 B",
    "1.0 KiB",
    "1.5 KiB",
    "1.0 MiB",
    "5.0 TiB",
  ]);
});

t.test("a copy shows its progress on a terminal only", async (t) => {
  const { here, root, address } = await bench(t);
  writeFileSync(join(here, "big"), Buffer.alloc(1_000_000));
  let nowMs = 0;
  const slow = (io: FakeIo): FakeIo => ({ ...io, printed: io.printed, clock: { ...io.clock, monotonicMs: () => (nowMs += 300) } });
  const shown = slow(createFakeIo({ VIRGO_ADDRESS: address }));
  t.equal(await fsPutCommand(join(here, "big"), "big", { terminal: true }, shown), 0);
  t.match(shown.printed.error, /^(\r\[[#-]{20}\] .*\x1b\[K)+\r\x1b\[K$/);
  const silent = slow(createFakeIo({ VIRGO_ADDRESS: address }));
  t.equal(await fsGetCommand("big", join(here, "got"), { terminal: false }, silent), 0);
  t.equal(silent.printed.error, "");
  t.equal(digest(join(here, "got")), digest(join(root, "big")));
});
