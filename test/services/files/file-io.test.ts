import { open, readFile, type FileHandle } from "node:fs/promises";
import { join } from "node:path";

import t, { type Test } from "tap";

import { AgentError } from "../../../agent/contract/errors.ts";
import { append, closeFile, writeAt, type OpenFile } from "../../../agent/services/files/file-io.ts";
import { fileError } from "../../../agent/services/files/problem.ts";
import { createSlots, createTurns } from "../../../agent/services/files/turns.ts";
import { createUsage } from "../../../agent/services/files/usage.ts";
import { createFakeClock } from "../../helpers/fake-clock.ts";
import { createFakeLog } from "../../helpers/fake-log.ts";
import { testFolder } from "./files-bench.ts";

function failure(code: string): Error {
  return Object.assign(new Error(`${code}: as the system says it, open '/secret/path'`), { code });
}

interface Disk {
  /** Bytes it still takes; undefined for as many as there are. */
  room: number | undefined;
  syncFails: boolean;
  truncateFails: boolean;
}

/** A real file on a disk that gets full when the test says so. */
function onDisk(handle: FileHandle, disk: Disk): FileHandle {
  return Object.assign(Object.create(handle) as FileHandle, {
    write: async (data: Buffer, from: number, length: number, position: number | null) => {
      const taken = Math.min(length, disk.room ?? length);
      if (taken === 0 && length > 0) throw failure("ENOSPC");
      if (disk.room !== undefined) disk.room -= taken;
      return handle.write(data, from, taken, position);
    },
    stat: () => handle.stat(),
    truncate: (length: number) => (disk.truncateFails ? Promise.reject(failure("EIO")) : handle.truncate(length)),
    sync: () => (disk.syncFails ? Promise.reject(failure("EIO")) : handle.sync()),
    close: () => handle.close(),
  });
}

async function openOn(t: Test) {
  const path = join(testFolder(t), "a");
  const disk: Disk = { room: undefined, syncFails: false, truncateFails: false };
  const handle = onDisk(await open(path, "a+"), disk);
  const usage = createUsage({
    limits: { maxTotalBytes: 1000, maxFiles: 10 },
    count: async () => ({ bytes: 0, entries: 0 }),
    clock: createFakeClock(),
    log: createFakeLog(),
  });
  const file = { key: "1:1", turns: createTurns(), bytes: 0, nameless: false, openings: 1 };
  const writer = onDisk(await open(path, "r+"), disk);
  const opening: OpenFile = { path: "a", mode: "RW", handle, file, writer, position: 0, written: false };
  const limits = { maxFileBytes: 1000, usage };
  const content = () => readFile(path, "latin1");
  return { opening, disk, usage, limits, content };
}

t.test("an append that the disk has no room for leaves nothing behind, and the next one works", async (t) => {
  const { opening, disk, usage, limits, content } = await openOn(t);
  await append(opening, Buffer.from("first "), limits);
  disk.room = 3;
  await t.rejects(append(opening, Buffer.from("second"), limits), {
    code: "FULL",
    message: "no space left on the disk for a; remove something",
  });
  t.equal(await content(), "first ");
  t.equal(opening.file.bytes, 6);
  t.equal(usage.bytes, 6, "room that was not used is given back");
  disk.room = undefined;
  await append(opening, Buffer.from("third"), limits);
  t.equal(await content(), "first third");
  disk.room = 2;
  disk.truncateFails = true;
  await t.rejects(append(opening, Buffer.from("fourth"), limits), {
    code: "FULL",
    message: "no space left on the disk for a; remove something; 2 of 6 bytes were written to a",
  });
  t.equal(usage.bytes, 17, "what may have stayed is counted");
  await closeFile(opening);
});

t.test("a write over what is there says how far it came", async (t) => {
  const { opening, disk, limits, content } = await openOn(t);
  await append(opening, Buffer.from("0123456789"), limits);
  disk.room = 4;
  await t.rejects(writeAt(opening, Buffer.from("abcdef"), 8, limits), {
    code: "FULL",
    message: /; 4 of 6 bytes were written to a$/,
  });
  t.equal(await content(), "01234567ab", "what it added is taken back, what it wrote over is not");
  t.equal(opening.file.bytes, 10);
  await closeFile(opening);
});

t.test("a disk that takes nothing without a reason is no success", async (t) => {
  const { opening, limits, content } = await openOn(t);
  const mute = {
    ...opening,
    handle: Object.assign(Object.create(opening.handle), { write: async () => ({ bytesWritten: 0 }) }) as FileHandle,
  };
  await t.rejects(append(mute, Buffer.from("x"), limits), { code: "IO", message: /takes nothing/ });
  t.equal(await content(), "");
  await closeFile(opening);
});

t.test("a close that cannot make everything durable says so, and closes", async (t) => {
  const { opening, disk, limits } = await openOn(t);
  await append(opening, Buffer.from("x"), limits);
  disk.syncFails = true;
  await t.rejects(closeFile(opening), {
    code: "IO",
    message: "a: EIO; the descriptor is closed, and what was written through it may be lost",
  });
  await t.rejects(
    opening.handle.close().then(() => opening.handle.stat()),
    "it is closed",
  );
});

t.test("what the system says becomes a word and a text that names no path of this machine", (t) => {
  for (const [system, code, text] of [
    ["ENOENT", "UNKNOWN", "no file a"],
    ["ENOTDIR", "ARGUMENT", "a goes on after something that is no folder"],
    ["EISDIR", "ARGUMENT", "a is a folder; FLIST lists it"],
    ["ELOOP", "DENIED", "a leads out of the files root, or is a link that leads nowhere in it"],
    ["EACCES", "DENIED", "the agent's user may not do that to a; look at its owner and mode"],
    ["EPERM", "DENIED", "the agent's user may not do that to a; look at its owner and mode"],
    ["ENOSPC", "FULL", "no space left on the disk for a; remove something"],
    ["EDQUOT", "FULL", "no space left on the disk for a; remove something"],
    ["EMFILE", "FULL", "the system has no file handle left for a; close some, or raise its limit (ulimit -n)"],
    ["EFBIG", "FULL", "a would be larger than the disk's files may be"],
    ["EXDEV", "ARGUMENT", "a would be on another disk; copy it instead"],
    ["EROFS", "IO", "a: EROFS"],
  ] as const) {
    t.match(fileError(failure(system), "a"), { code, message: text });
  }
  const own = new AgentError("LIMIT", "as it is");
  t.equal(fileError(own, "a"), own);
  t.match(fileError(new Error("odd"), "a"), { code: "IO", message: "a: odd" });
  t.end();
});

/** What started and ended, in order, of work that ends when the test says so. */
function createWork() {
  const events: string[] = [];
  const ends = new Map<string, () => void>();
  const work = (name: string) => () => {
    events.push(`${name}+`);
    return new Promise<void>((resolve) => {
      ends.set(name, () => {
        events.push(`${name}-`);
        resolve();
      });
    });
  };
  const end = async (name: string) => {
    ends.get(name)?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { events, work, end };
}

t.test("turns: who shares runs together, who is alone waits for all before and is waited for", async (t) => {
  const { events, work, end } = createWork();
  const turns = createTurns();
  const all = [
    turns.shared(work("r1")),
    turns.shared(work("r2")),
    turns.alone(work("w1")),
    turns.shared(work("r3")),
    turns.alone(work("w2")),
  ];
  await end("none");
  t.strictSame(events, ["r1+", "r2+"]);
  await end("r2");
  await end("r1");
  t.strictSame(events.slice(4), ["w1+"], "nothing that came later overtakes");
  await end("w1");
  await end("r3");
  t.strictSame(events.slice(5), ["w1-", "r3+", "r3-", "w2+"]);
  await end("w2");
  await Promise.all(all);
  await t.rejects(turns.alone(() => Promise.reject(new Error("failed"))));
  t.equal(await turns.alone(async () => 7), 7, "a failure does not end the turns");
});

t.test("slots: so many at once, the others in their order", async (t) => {
  const { events, work, end } = createWork();
  const slots = createSlots(2);
  const all = ["a", "b", "c", "d"].map((name) => slots.run(work(name)));
  t.strictSame(events, ["a+", "b+"]);
  await end("b");
  t.strictSame(events, ["a+", "b+", "b-", "c+"]);
  await end("a");
  await end("c");
  await end("d");
  await Promise.all(all);
  await t.rejects(slots.run(() => Promise.reject(new Error("failed"))));
  t.equal(await slots.run(async () => 7), 7);
});

t.test("usage: a count that fails leaves the account going, and one that goes on meanwhile is added to", async (t) => {
  const clock = createFakeClock();
  const log = createFakeLog();
  let answer: ((extent: { bytes: number; entries: number }) => void) | undefined;
  let counts = 0;
  const usage = createUsage({
    limits: { maxTotalBytes: 100, maxFiles: 3 },
    count: () => {
      counts += 1;
      if (counts === 1) return Promise.reject(failure("EIO"));
      return new Promise((resolve) => {
        answer = resolve;
      });
    },
    clock,
    log,
  });
  await usage.take(90, 1);
  t.match(log.lines, [/^error cannot count what is under the files root/]);
  await clock.advance(60_000);
  const big = usage.take(20, 0);
  const other = usage.take(5, 0);
  await clock.advance(0);
  await other;
  answer?.({ bytes: 40, entries: 2 });
  await big;
  t.equal(usage.bytes, 65, "40 found, 5 taken while it was counted, 20 now");
  await t.rejects(usage.take(0, 2), { code: "FULL", message: "2 files and folders are under the files root; files.maxFiles is 3" });
  t.equal(counts, 2, "it is not counted again and again");
  usage.give(1000, 1000);
  t.equal(usage.bytes, 0, "never less than nothing");
});
