// The thread behind all edges, on real descriptors of this kernel: an eventfd stands for a line, writing to it for an edge.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, readdirSync, readlinkSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import t from "tap";
import type { Test } from "tap";

import type { AgentError } from "../../../../agent/contract/errors.ts";
import { errnoName, errnoText, loadLibc } from "../../../../drivers/board/linux/libc.ts";
import { createPoller } from "../../../../drivers/board/linux/poller.ts";
import { expectCode } from "../../../contract/board.ts";
import { plainNode } from "../../../helpers/tools.ts";

const libc = await loadLibc();
const poller = createPoller(libc);
const COUNT = Buffer.alloc(8);

function rethrow(error: AgentError): void {
  throw error;
}

/** A descriptor that becomes readable when told. */
function line(t: Test): { readonly fd: number; edge(): void; take(): number } {
  const fd = libc.eventfd();
  t.teardown(() => closeSync(fd));
  return {
    fd,
    edge: () => writeSync(fd, Buffer.from(new BigUint64Array([1n]).buffer)),
    take() {
      readSync(fd, COUNT);
      return Number(COUNT.readBigUInt64LE(0));
    },
  };
}

async function until(t: Test, what: string, condition: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !condition(); i++) await delay(5);
  t.ok(condition(), what);
}

function threads(): number {
  return readdirSync("/proc/self/task").length;
}

/** What waiting takes: descriptors that wait, and those that wake. */
function descriptors(): number {
  return readdirSync("/proc/self/fd").filter((fd) => /eventpoll|eventfd/.test(linkOf(fd))).length;
}

function linkOf(fd: string): string {
  // The descriptor that listed the others is closed by now.
  return existsSync(`/proc/self/fd/${fd}`) ? readlinkSync(`/proc/self/fd/${fd}`) : "";
}

t.test("any number of lines is heard at once, by one thread", async (t) => {
  const COUNT_OF_LINES = 40;
  const before = threads();
  const heard = new Map<number, number>();
  const lines = Array.from({ length: COUNT_OF_LINES }, () => line(t));
  const descriptorsBefore = descriptors();
  const cancels = lines.map((one, i) => poller.watch(one.fd, () => heard.set(i, (heard.get(i) ?? 0) + one.take()), rethrow));
  for (const one of lines) one.edge();
  await until(t, "every line is heard", () => heard.size === COUNT_OF_LINES);
  for (const one of lines) one.edge();
  await until(t, "and again", () => [...heard.values()].every((count) => count === 2));
  t.ok(threads() > before, "there is a thread");
  for (const cancel of cancels) cancel();
  await until(t, "it ends with the last watch", () => threads() <= before);
  await until(t, "and leaves no descriptor", () => descriptors() === descriptorsBefore);
});

t.test("what is not read yet is reported again, what is cancelled is not", async (t) => {
  const first = line(t);
  const second = line(t);
  const heard: string[] = [];
  let reads = 0;
  const cancelFirst = poller.watch(
    first.fd,
    () => {
      reads += 1;
      if (reads === 3) heard.push(`first ${first.take()}`);
    },
    rethrow,
  );
  const cancelSecond = poller.watch(second.fd, () => heard.push(`second ${second.take()}`), rethrow);
  first.edge();
  await until(t, "three times for one edge", () => reads === 3);
  cancelFirst();
  cancelFirst();
  first.edge();
  second.edge();
  await until(t, "the other one", () => heard.length === 2);
  t.same(heard, ["first 1", "second 1"]);
  t.equal(reads, 3);
  cancelSecond();
});

t.test("a watch may end itself, and another begin, while it is told", async (t) => {
  const one = line(t);
  const heard: string[] = [];
  let cancelNext: (() => void) | undefined;
  const cancel = poller.watch(
    one.fd,
    () => {
      heard.push("first");
      cancel();
      cancelNext = poller.watch(one.fd, () => heard.push(`next ${one.take()}`), rethrow);
    },
    rethrow,
  );
  one.edge();
  await until(t, "both", () => heard.length === 2);
  t.same(heard, ["first", "next 1"]);
  cancelNext?.();
});

t.test("a descriptor that cannot be waited for is refused and leaves no thread behind", async (t) => {
  const before = threads();
  await expectCode(t, "IO", ["epoll_ctl", "EBADF"], () => poller.watch(100_000, () => undefined, rethrow));
  await until(t, "no thread", () => threads() <= before);
});

t.test("when the thread ends by itself everyone who waits is told, and the next watch starts another", async (t) => {
  const counters: number[] = [];
  const fragile = createPoller({
    ...libc,
    eventfd() {
      const fd = libc.eventfd();
      counters.push(fd);
      return fd;
    },
  });
  const lines = [line(t), line(t)];
  const lost: string[] = [];
  for (const one of lines)
    fragile.watch(
      one.fd,
      () => undefined,
      (error) => lost.push(`${error.code} ${error.message}`),
    );
  // What wakes the thread to end it, from behind the poller's back.
  writeSync(counters[0] ?? -1, Buffer.from(new BigUint64Array([1n]).buffer));
  await until(t, "both are told", () => lost.length === 2);
  t.match(lost[0], /^IO the thread that waits for edges failed/);
  const [one] = lines as [ReturnType<typeof line>];
  let heard = 0;
  const cancel = fragile.watch(one.fd, () => (heard += one.take()), rethrow);
  one.edge();
  await until(t, "heard by the new thread", () => heard === 1);
  cancel();
});

t.test("a process that exits while edges are waited for does not wait for them", async (t) => {
  const program = `
    import { readSync, writeSync } from "node:fs";
    import { loadLibc } from ${JSON.stringify(pathToFileURL("drivers/board/linux/libc.ts").href)};
    import { createPoller } from ${JSON.stringify(pathToFileURL("drivers/board/linux/poller.ts").href)};
    const libc = await loadLibc();
    const fd = libc.eventfd();
    const one = Buffer.from(new BigUint64Array([1n]).buffer);
    // The thread is known to wait again once it has told of an edge.
    createPoller(libc).watch(fd, () => { readSync(fd, one); console.log("waiting"); }, (error) => { throw error; });
    writeSync(fd, one);
    process.stdin.once("data", () => {
      if (process.argv[2] === "throw") throw new Error("as a driver would");
      process.exit(5);
    });
  `;
  // A file, because a thread inherits the options of its process, and --eval has some that files may not have.
  const file = join(t.testdir({ "program.mjs": program }), "program.mjs");
  for (const [how, code] of [
    ["exit", 5],
    ["throw", 1],
  ] as const) {
    const child = spawn(...plainNode(["--import", "tsx", file, how]), {
      stdio: ["pipe", "pipe", "ignore"],
    });
    const ended = once(child, "exit");
    await once(child.stdout, "data");
    child.stdin.end("now");
    t.same(await ended, [code, null], how);
  }
});

t.test("a process may exit while the thread is still loading native code", async (t) => {
  const codes = await Promise.all(
    [0, 5, 10, 15, 18, 20, 22, 25, 30].map(async (delayMs) => {
      const [command, args] = plainNode(["--import", "tsx", "test/helpers/exiting-poller.ts", String(delayMs)]);
      const [code] = (await once(spawn(command, [...args], { stdio: "ignore" }), "exit")) as [number | null];
      return code;
    }),
  );
  t.same(codes, [0, 0, 0, 0, 0, 0, 0, 0, 0]);
});

t.test("without koffi the error names the package and how to get it", async (t) => {
  const hooks = `export async function resolve(name, context, next) {
    if (name === "koffi") throw new Error("Cannot find package 'koffi'");
    return next(name, context);
  }`;
  const register = `import { register } from "node:module"; register("data:text/javascript,${encodeURIComponent(hooks)}");`;
  const program = `
    import { loadLibc } from ${JSON.stringify(pathToFileURL("drivers/board/linux/libc.ts").href)};
    await loadLibc().catch((error) => console.log(error.code + " " + error.message));
  `;
  const imports = ["--import", "tsx", "--import", `data:text/javascript,${encodeURIComponent(register)}`];
  const said = execFileSync(...plainNode([...imports, "--input-type=module", "-e", program]), {
    encoding: "utf8",
  });
  t.match(said, /^NOT_READY package koffi does not load on linux-\w+ \(Cannot find package 'koffi'\); run: npm install koffi\n$/);
});

t.test("error numbers become words", (t) => {
  t.equal(errnoName(16), "EBUSY");
  t.equal(errnoText(16), "EBUSY, resource busy or locked");
  t.equal(errnoName(9999), "error 9999");
  t.equal(errnoText(9999), "error 9999");
  t.end();
});
