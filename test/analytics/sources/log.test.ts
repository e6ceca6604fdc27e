import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import fc from "fast-check";
import t, { type Test } from "tap";

import { startFileSource } from "../../../analytics/sources/file.ts";
import { createBandwidth } from "../../../analytics/sources/log-bandwidth.ts";
import { createLineSplitter } from "../../../analytics/sources/log-lines.ts";
import { startLogSource } from "../../../analytics/sources/log.ts";
import { logSourceSchema } from "../../../analytics/sources/options.ts";
import type { Source } from "../../../analytics/sources/source.ts";
import { createVariableStore, type VariableStore } from "../../../analytics/store.ts";
import { cuts } from "../../helpers/cuts.ts";
import { eventually } from "../../helpers/eventually.ts";
import { createFakeClock, type FakeClock } from "../../helpers/fake-clock.ts";
import { createFakeLog } from "../../helpers/fake-log.ts";

/** A line of Ubuntu's UFW documentation (help.ubuntu.com/community/UFW), with the addresses replaced. */
function blocked(src: string, len = 60): string {
  const packet = `SRC=${src} DST=192.168.1.64 LEN=${len} TOS=0x00 PREC=0x00 TTL=47 ID=0 DF PROTO=TCP SPT=443 DPT=22 WINDOW=0 RES=0x00 RST URGP=0`;
  return `Nov 22 10:00:00 pi kernel: [16304612.9] [UFW BLOCK] IN=eth0 OUT= MAC=a4:ba:db:e6:15:fa:00:00:0c:07:ac:02:08:00 ${packet} \n`;
}

interface Bench {
  readonly clock: FakeClock;
  readonly variables: VariableStore;
  readonly source: Source;
  readonly file: string;
  readonly folder: string;
  readonly value: (name: string) => unknown;
  /** Adds to the log and waits until it was read. */
  readonly add: (text: string) => Promise<void>;
  /** Lets it look until it is so. */
  readonly until: (isSo: () => boolean) => Promise<void>;
}

async function bench(t: Test, fields: Record<string, unknown> = {}, before: string | null = ""): Promise<Bench> {
  const folder = t.testdir(before === null ? {} : { "kern.log": before });
  const file = join(folder, "kern.log");
  const clock = createFakeClock();
  const limits = { maxVariables: 100, maxVariableBytes: 1000 };
  const variables = createVariableStore({ clock, limits, declared: {}, defaultStaleMs: 2000 });
  const options = logSourceSchema.parse({ log: file, lookMs: 20, ...fields });
  const source = startLogSource({ options, variables, clock, log: createFakeLog() });
  t.teardown(() => source.close());
  const until = (isSo: () => boolean): Promise<void> =>
    eventually(async () => {
      if (!isSo()) await clock.advance(20);
      return isSo();
    });
  await until(() => (before === null ? source.state().errors > 0 : source.state().connected));
  return {
    clock,
    variables,
    source,
    file,
    folder,
    value: (name) => variables.get(name)?.value,
    until,
    async add(text) {
      const { bytes } = source.state();
      appendFileSync(file, text);
      await until(() => source.state().bytes === bytes + Buffer.byteLength(text));
    },
  };
}

t.test("the address that most blocked packets come from is published as SRC, with a limit for their bandwidth", async (t) => {
  const { add, value, clock, variables, source } = await bench(t);
  await add(blocked("203.0.113.7") + blocked("198.51.100.1") + "something else\n" + blocked("203.0.113.7", 40_000));
  await clock.advance(2000);
  t.equal(value("SRC"), "203.0.113.7");
  t.type(value("MaxNetworkBandwidth"), "number");
  t.match(source.state(), { connected: true, pairs: 3, malformed: 0, errors: 0 });
  t.match(variables.get("SRC"), { source: source.name, stale: false });
  t.throws(() => variables.setPairs([{ name: "SRC", text: "1.1.1.1" }], "client"), { code: "DENIED" });
  await add((blocked("2001:db8::1") + blocked("2001:db8::2").repeat(3)).repeat(5));
  await clock.advance(1000);
  t.equal(value("SRC"), "2001:db8::2", "IPv6 as well");
});

t.test("what was in the log before is passed over, and without new lines the values go stale", async (t) => {
  const { add, value, clock, variables } = await bench(t, { staleMs: 5000 }, blocked("192.0.2.1").repeat(50));
  await clock.advance(5000);
  t.equal(value("SRC"), undefined);
  await add(blocked("203.0.113.7"));
  await clock.advance(1000);
  t.equal(variables.get("SRC")?.stale, false);
  await clock.advance(6000);
  t.equal(variables.get("SRC")?.stale, true);
});

t.test("old packets count less: who came often long ago gives way to who comes now", async (t) => {
  const { add, value, clock } = await bench(t, { halfLifeMs: 10_000 });
  await add(blocked("203.0.113.7").repeat(20));
  await clock.advance(60_000);
  await add(blocked("198.51.100.1").repeat(2));
  await clock.advance(1000);
  t.equal(value("SRC"), "198.51.100.1");
});

t.test("a log that is rotated by renaming is read to its end, then the new one from its beginning", async (t) => {
  const { add, source, file, until } = await bench(t);
  await add(blocked("203.0.113.7"));
  appendFileSync(file, blocked("203.0.113.8"));
  renameSync(file, `${file}.1`);
  appendFileSync(`${file}.1`, blocked("203.0.113.9"));
  writeFileSync(file, blocked("203.0.113.10").repeat(2));
  await until(() => source.state().pairs === 5);
  await add(blocked("203.0.113.10"));
  t.match(source.state(), { pairs: 6, torn: 0, malformed: 0 });
});

t.test("between the renaming and the new file, the renamed one is read", async (t) => {
  const { add, source, file, until } = await bench(t);
  await add(blocked("203.0.113.7"));
  renameSync(file, `${file}.1`);
  await until(() => source.state().errors === 1);
  appendFileSync(`${file}.1`, blocked("203.0.113.8"));
  await until(() => source.state().pairs === 2);
  t.equal(source.state().connected, false);
  writeFileSync(file, blocked("203.0.113.9"));
  await until(() => source.state().pairs === 3);
  t.match(source.state(), { connected: true, errors: 1 });
});

t.test("a log that is rotated by truncation is read from its beginning; half a line is dropped and counted", async (t) => {
  const { add, source, file, until } = await bench(t);
  await add(`${blocked("203.0.113.7").repeat(3)}Nov 22 half a li`);
  truncateSync(file, 0);
  writeFileSync(file, blocked("203.0.113.8"), { flag: "r+" });
  await until(() => source.state().pairs === 4);
  t.match(source.state(), { torn: 1, malformed: 0 });
});

t.test("a log that comes late is read from its beginning", async (t) => {
  const { source, file, until } = await bench(t, {}, null);
  t.match(source.state(), { connected: false, lastError: /ENOENT/ });
  writeFileSync(file, blocked("203.0.113.7").repeat(2));
  await until(() => source.state().pairs === 2);
});

t.test("what is no file is reported and left alone until there is one", async (t) => {
  const { source, file, until, clock } = await bench(t, {}, null);
  mkdirSync(file);
  await clock.advance(200);
  t.match(source.state(), { connected: false, errors: 1 });
  rmSync(file, { recursive: true });
  execFileSync("mkfifo", [file]);
  await clock.advance(200);
  rmSync(file);
  writeFileSync(file, blocked("203.0.113.7"));
  await until(() => source.state().pairs === 1);
  t.equal(source.state().connected, true);
});

t.test("the conf file is what the original reads, replaced as a whole, seldom, and only when something changed", async (t) => {
  const conf = join(t.testdirName, "virgo_kernel_analytics.conf");
  const node = await bench(t, { conf, confMs: 10_000, bandwidth: { min: 5000, max: 5000 } });
  await node.add(blocked("203.0.113.7"));
  await node.clock.advance(1000);
  await node.until(() => existsSync(conf) && readFileSync(conf, "utf8").startsWith("SRC=203.0.113.7"));
  await node.add(blocked("198.51.100.1").repeat(5));
  await node.clock.advance(5000);
  t.match(readFileSync(conf, "utf8"), /^SRC=203\.0\.113\.7/, "not before confMs");
  await node.clock.advance(10_000);
  await node.until(() => readFileSync(conf, "utf8") === "SRC=198.51.100.1,MaxNetworkBandwidth=5000");
  t.strictSame(
    readdirSync(node.folder).filter((name) => name.endsWith(".new")),
    [],
  );
  const store = createVariableStore({
    clock: node.clock,
    limits: { maxVariables: 9, maxVariableBytes: 99 },
    declared: {},
    defaultStaleMs: 1000,
  });
  const limits = { maxVariableBytes: 100 };
  const reader = startFileSource({ path: conf, variables: store, limits, clock: node.clock, log: createFakeLog() });
  t.teardown(() => reader.close());
  await eventually(() => store.get("SRC")?.value === "198.51.100.1");
  t.equal(store.get("MaxNetworkBandwidth")?.value, 5000);
});

t.test("a conf file that cannot be written is counted, and written when it can be, at the end at the latest", async (t) => {
  const node = await bench(t);
  const folder = join(node.folder, "missing");
  const conf = join(folder, "a.conf");
  const options = logSourceSchema.parse({ log: node.file, lookMs: 20, conf, confMs: 1000 });
  const source = startLogSource({ options, variables: node.variables, clock: node.clock, log: createFakeLog() });
  await node.until(() => source.state().connected);
  await node.add(blocked("203.0.113.7"));
  await node.until(() => source.state().errors > 0);
  mkdirSync(folder);
  await source.close();
  t.match(readFileSync(conf, "utf8"), /^SRC=203\.0\.113\.7/);
  rmSync(folder, { recursive: true });
});

t.test("a pattern of one's own, with other groups; what does not fit it is counted", async (t) => {
  const { add, value, clock, source } = await bench(t, {
    contains: "Failed password",
    pattern: String.raw`for (?<user>\S+) from (?<from>\S+)`,
    key: "user",
    as: "attacked_user",
  });
  await add("sshd: Failed password for root from 203.0.113.7\nsshd: Failed password for a,b from 203.0.113.7\nsshd: Failed password\n");
  await clock.advance(2000);
  t.equal(value("attacked_user"), "root");
  t.match(source.state(), { pairs: 1, malformed: 2 });
});

t.test("lines come out whatever the cut; what is too long is passed over", async (t) => {
  const text = `one\n\ntwo words\n${"x".repeat(33)}\nend ö\n`;
  for (const cut of cuts(Buffer.from(text).toString("latin1"))) {
    const lines: string[] = [];
    const counts = { tooLong: 0, torn: 0 };
    const splitter = createLineSplitter({ maxLineBytes: 32, onLine: (line) => lines.push(line), counts });
    for (const chunk of cut) splitter.push(chunk);
    t.strictSame(lines, ["one", "", "two words", "end ö"]);
    t.strictSame(counts, { tooLong: 1, torn: 0 });
  }
});

t.test("garbage gives the lines it has, in bounded memory", async (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 20 }), (chunks) => {
      const lines: string[] = [];
      const counts = { tooLong: 0, torn: 0 };
      const splitter = createLineSplitter({ maxLineBytes: 32, onLine: (line) => lines.push(line), counts });
      for (const chunk of chunks) splitter.push(Buffer.from(chunk));
      const whole = Buffer.concat(chunks).toString("latin1").split("\n");
      const unended = whole.pop() ?? "";
      const tooLong = whole.filter((line) => line.length > 32).length + (unended.length > 32 ? 1 : 0);
      return lines.length === whole.filter((line) => line.length <= 32).length && counts.tooLong === tooLong;
    }),
  );
  t.pass();
});

t.test("the limit is a percentile of the bytes per second with headroom, within its bounds", async (t) => {
  const options = { as: "limit", overS: 10, percent: 50, headroom: 2, min: 100, max: 10_000 };
  const bandwidth = createBandwidth(options);
  t.equal(bandwidth.limit(0), undefined);
  for (let second = 0; second < 10; second++) for (let i = 0; i < 4; i++) bandwidth.push(250, second * 1000 + i * 100);
  t.equal(bandwidth.limit(9999), 2000);
  bandwidth.push(1e9, 10_000);
  t.equal(bandwidth.limit(11_000), 2000, "one second is an outlier");
  t.equal(bandwidth.limit(60_000_000), 100, "silence counts, and costs nothing");
  for (let second = 70_000; second < 70_020; second++) bandwidth.push(1e6, second * 1000);
  t.equal(bandwidth.limit(70_020_000), 10_000);
});

t.test("a configuration names a group that the pattern has", async (t) => {
  const problem = (fields: object): string | undefined => logSourceSchema.safeParse({ log: "a", ...fields }).error?.issues[0]?.message;
  t.equal(problem({}), undefined);
  t.equal(problem({ key: "user" }), "name a group of the pattern: it has no (?<user>");
  t.equal(problem({ pattern: "(" }), "a regular expression with named groups, for example SRC=(?<src>[0-9.]+)");
  t.equal(problem({ bandwidth: { min: 20, max: 10 } }), "a number up to bandwidth.max, 10");
});
