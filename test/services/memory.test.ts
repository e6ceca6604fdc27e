import t from "tap";

import { CALLER, openMemory } from "../helpers/memory.ts";
import type { Caller } from "../../agent/contract/request.ts";

function callerNamed(name: string, more: Partial<Caller> = {}): Caller {
  return { ...CALLER, name, ...more };
}

t.test("values are set and read, and their revisions rise", async (t) => {
  const { now } = await openMemory(t);
  t.equal(now("GET volume"), null);
  t.equal(now("SET volume 7"), "+OK");
  t.equal(now("GET volume"), "7");
  const [value, revision] = now("GETREV volume") as [string, number];
  t.equal(value, "7");
  t.ok(revision > 0);
  t.equal(now(`SET volume 8 IFREV ${revision} REV`), revision + 1);
  t.equal(now(`SET volume 9 IFREV ${revision}`), `-STALE volume has revision ${revision + 1}, not revision ${revision}; read it again`);
  t.equal(now("GET volume"), "8");
  t.equal(now("SET other 1 IFREV 0"), "+OK", "0 is the revision of what is not there");
  t.match(now("SET other 1 IFREV 0"), /^-STALE other has revision/);
  t.equal(now("SET third 1 IFREV 5"), "-STALE third is not there, not revision 5; read it again");
  t.equal(now("GETREV third"), null);
});

t.test("a key that was deleted never has an old revision again", async (t) => {
  const { now } = await openMemory(t);
  const first = now("SET k a REV") as number;
  now("DEL k");
  const second = now("SET k a REV") as number;
  t.ok(second > first);
});

t.test("SET has the conditions of Redis", async (t) => {
  const { now } = await openMemory(t);
  t.equal(now("SET k a XX"), null);
  t.equal(now("SET k a NX"), "+OK");
  t.equal(now("set k b nx"), null);
  t.equal(now("SET k b NX GET"), "a");
  t.equal(now("SET k b GET"), "a");
  t.equal(now("SET k c XX"), "+OK");
  t.equal(now("GET k"), "c");
  t.equal(now("SET new x GET"), null);
  t.equal(now("GET new"), "x");
  t.equal(now("SETNX new y"), 0);
  t.equal(now("SETNX newer y"), 1);
  t.match(now("SET k a NX XX"), /^-ARGUMENT SET: NX and XX exclude each other/);
  t.match(now("SET k a NX IFREV 1"), /^-ARGUMENT SET: NX, XX and IFREV exclude/);
  t.match(now("SET k a GET REV"), /^-ARGUMENT SET: GET and REV exclude/);
  t.match(now("SET k a EX 1 PX 1"), /^-ARGUMENT SET: EX, PX/);
  t.match(now("SET k a BAD"), /^-ARGUMENT SET: "BAD" is not understood there/);
  t.match(now("SET k a EX"), /^-ARGUMENT SET: something must follow "EX"/);
  t.match(now("SET k a EX 0"), /^-ARGUMENT SET: the time to live is a whole number from 1/);
  t.match(now("SET k a EX 1.5"), /^-ARGUMENT/);
  t.match(now("SET k"), /^-ARGUMENT SET takes at least 2 arguments, not 1/);
  t.match(now("GET"), /^-ARGUMENT GET takes 1 argument, not 0/);
  t.equal(now("GET k"), "c", "nothing has changed");
});

t.test("values are bytes", async (t) => {
  const memory = await openMemory(t);
  const { now } = memory;
  const bytes = Array.from({ length: 256 }, (_, i) => `\\x${i.toString(16).padStart(2, "0")}`).join("");
  now(`SET "k\\x00\\xff" "${bytes}"`);
  t.equal(now('GET "k\\x00\\xff"'), Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)).join(""));
  t.same(memory.handle({ verb: "GET", args: ["k\0\xff"] }, CALLER), { kind: "value", value: now('GET "k\\x00\\xff"'), raw: true });
  t.same(now('MGET "k\\x00\\xff" none'), [now('GET "k\\x00\\xff"'), null]);
});

t.test("keys expire, are renewed and kept as Redis does", async (t) => {
  const { now, clock, figures } = await openMemory(t);
  now("SET k a PX 1500");
  t.equal(now("PTTL k"), 1500);
  t.equal(now("TTL k"), 2);
  clock.advanceNow(1000);
  t.equal(now("PTTL k"), 500);
  t.equal(now("TTL k"), 1);
  now("INCR n");
  t.equal(now("TTL n"), -1);
  t.equal(now("TTL none"), -2);
  clock.advanceNow(499);
  t.equal(now("GET k"), "a");
  clock.advanceNow(1);
  t.equal(now("GET k"), null);
  t.equal(figures()["expired"], 1);
  now("SET k a EX 10");
  now("SET k b");
  t.equal(now("TTL k"), -1, "a plain SET ends the time to live");
  now("SET k a EX 10");
  now("SET k b KEEPTTL");
  t.equal(now("TTL k"), 10);
  now("APPEND k c");
  t.equal(now("TTL k"), 10, "a change of the value does not");
  t.equal(now("PERSIST k"), 1);
  t.equal(now("PERSIST k"), 0);
  t.equal(now("TTL k"), -1);
  t.equal(now("EXPIRE k 5"), 1);
  t.equal(now("PEXPIRE none 5"), 0);
  t.equal(now("TTL k"), 5);
  t.equal(now("PEXPIRE k -1"), 1);
  t.equal(now("EXISTS k"), 0, "a time that is over deletes");
  now("SETEX k 3 x");
  t.equal(now("TTL k"), 3);
  now("PSETEX k 2500 x");
  t.equal(now("PTTL k"), 2500);
  now(`SET k x PXAT ${clock.wallMs() + 4000}`);
  t.equal(now("PTTL k"), 4000);
  now("SET n 5 PX 100");
  now("INCRBY n 2");
  t.equal(now("PTTL n"), 100);
});

t.test("what expired is removed without being asked for, in bounded steps, and the timer ends with the service", async (t) => {
  const memory = await openMemory(t);
  for (let i = 0; i < 30_000; i++) memory.now(`SET key:${i} xxxx PX 50`);
  memory.now("SET stays x");
  const before = memory.figures()["bytes"] as number;
  memory.clock.advanceNow(2000);
  t.equal(memory.figures()["keys"], 1);
  t.equal(memory.figures()["expired"], 30_000);
  t.equal(memory.figures()["bytes"], 6);
  t.ok(before > 300_000);
  await memory.close();
  t.equal(memory.clock.pending(), 0);
});

t.test("integers are 64 bits wide and nothing else is an integer", async (t) => {
  const { now } = await openMemory(t);
  t.equal(now("INCR n"), 1);
  t.equal(now("INCRBY n 41"), 42);
  t.equal(now("DECR n"), 41);
  t.equal(now("DECRBY n 50"), -9);
  t.equal(now("GET n"), "-9");
  now("SET n 9223372036854775806");
  t.equal(now("INCR n"), 9223372036854775807n);
  t.match(now("INCR n"), /^-ARGUMENT INCR: the value of n would be beyond 64 bits/);
  t.equal(now("GET n"), "9223372036854775807");
  now("SET n -9223372036854775808");
  t.match(now("DECR n"), /beyond 64 bits/);
  t.match(now("DECRBY n -9223372036854775808"), 0n);
  for (const text of ["abc", "1.5", "''", "' 1'", "'1 '", "+1", "01", "-0", "9223372036854775808", "0x1"]) {
    now(`SET n ${text}`);
    t.match(now("INCR n"), /^-ARGUMENT INCR: the value of n is not an integer or out of range/, text);
    if (text !== "-0") t.match(now(`INCRBY m ${text}`), /^-ARGUMENT INCRBY: .* is not an integer or out of range/, text);
  }
});

t.test("several keys at once: all or none", async (t) => {
  const { now } = await openMemory(t, { maxBytes: 1024 });
  t.equal(now("MSET a 1 b 2 a 3"), "+OK");
  t.same(now("MGET a b c"), ["3", "2", null]);
  t.equal(now("MSETNX c 1 a 9"), 0);
  t.equal(now("EXISTS c"), 0);
  t.equal(now("MSETNX c 1 d 9"), 1);
  t.match(now(`MSET e 1 f ${"x".repeat(2000)}`), /^-FULL 8 bytes are used and 2003 more are needed; memory.maxBytes is 1024/);
  t.equal(now("EXISTS e"), 0);
  t.match(now("MSET a"), /^-ARGUMENT MSET takes pairs/);
  t.equal(now("EXISTS a a none b"), 3);
  t.equal(now("DEL a a none"), 1);
  t.equal(now("UNLINK b c d"), 3);
  t.equal(now("DBSIZE"), 0);
});

t.test("the smaller verbs answer as Redis does", async (t) => {
  const { now } = await openMemory(t);
  t.equal(now("APPEND k ab"), 2);
  t.equal(now("APPEND k cd"), 4);
  t.equal(now("STRLEN k"), 4);
  t.equal(now("STRLEN none"), 0);
  t.equal(now("TYPE k"), "+string");
  t.equal(now("TYPE none"), "+none");
  t.equal(now("GETDEL k"), "abcd");
  t.equal(now("GETDEL k"), null);
  t.equal(now("SELECT 0"), "+OK");
  t.match(now("SELECT 1"), /^-ARGUMENT SELECT: there is database 0 only/);
  t.same(now("CONFIG GET save"), { save: "" });
  t.same(now("CONFIG GET APPENDONLY"), { appendonly: "no" });
  t.same(now("CONFIG GET nothing-of-the-kind"), {});
  t.match(now("CONFIG SET save 1"), /^-ARGUMENT CONFIG GET/);
  t.match(now("LPUSH k 1"), /^-UNKNOWN memory has no verb LPUSH/);
});

t.test("KEYS lists what matches up to a limit, SCAN everything in parts", async (t) => {
  const { now } = await openMemory(t, { maxListed: 100 });
  for (let i = 0; i < 250; i++) now(`SET key:${i} x`);
  t.same((now("KEYS key:1?") as string[]).length, 10);
  t.same(now("KEYS none*"), []);
  t.match(now("KEYS *"), /^-LIMIT KEYS: more than 100 keys match; memory.maxListed is 100: use SCAN/);
  const seen = new Set<string>();
  let cursor = "0";
  do {
    const [next, keys] = now(`SCAN ${cursor} COUNT 30`) as [string, string[]];
    for (const key of keys) {
      t.notOk(seen.has(key), "once each");
      seen.add(key);
    }
    cursor = next;
    now(`DEL key:${seen.size}`);
    now(`SET later:${seen.size} x`);
  } while (cursor !== "0");
  t.ok(seen.size >= 240);
  const [next] = now("SCAN 0 COUNT 5") as [string];
  t.ok(Array.isArray(now(`SCAN ${next}`)));
  t.match(now(`SCAN ${next}`), /^-ARGUMENT SCAN: cursor \d+ is not known, or was used before/);
  t.match(now("SCAN x"), /^-ARGUMENT SCAN: the cursor is/);
  t.match(now("SCAN 0 COUNT 101"), /^-ARGUMENT SCAN: COUNT is a whole number from 1 to 100/);
  const [, found] = now("SCAN 0 MATCH key:?4 COUNT 100") as [string, string[]];
  t.ok(found.length > 0 && found.every((key) => /^key:.4$/.test(key)));
});

t.test("FLUSHDB is for operators", async (t) => {
  const { now, say, figures } = await openMemory(t);
  now("MSET a 1 b 2");
  t.match(now("FLUSHDB", callerNamed("rule", { priority: 10, maxPriority: 10 })), /^-DENIED FLUSHDB is for operators/);
  t.equal(now("DBSIZE"), 2);
  for (let i = 0; i < 12_000; i++) now(`SET key:${i} x`);
  t.equal(await say("FLUSHDB"), "+OK");
  t.equal(now("DBSIZE"), 0);
  t.equal(figures()["bytes"], 0);
});

t.test("no answer is larger than it may be, and no value", async (t) => {
  const { now } = await openMemory(t, { maxValueBytes: 1024, maxReplyBytes: 3000, maxListed: 10 });
  const value = "x".repeat(1024);
  t.equal(now(`SET a ${value}`), "+OK");
  const refused = /^-LIMIT \w+: a value of 102[56] bytes is refused; memory.maxValueBytes is 1024/;
  for (const line of [`SET a ${value}x`, "APPEND a x", `SETEX a 1 ${value}x`, `MSET b 1 a ${value}x`, `SETNX b ${value}x`, `APPEND a xx`]) {
    t.match(now(line), refused, line.slice(0, 10));
  }
  t.equal(now("EXISTS b"), 0);
  t.same(now("MGET a a"), [value, value]);
  t.equal(now("MGET a a a"), "-LIMIT MGET: an answer of 3072 bytes is refused; memory.maxReplyBytes is 3000");
  const long = (i: number) => `${i}:`.padEnd(1000, "k");
  now("DEL a");
  for (let i = 0; i < 5; i++) now(`SET ${long(i)} x`);
  t.equal(now("KEYS *"), "-LIMIT KEYS: memory.maxReplyBytes is 3000: use SCAN");
  const [cursor, some] = now("SCAN 0 COUNT 10") as [string, string[]];
  t.equal(some.length, 3);
  t.same((now(`SCAN ${cursor} COUNT 10`) as unknown[])[0], "0");
  t.match(now(`KEYS ${"*a".repeat(200)}`), "-LIMIT KEYS: a pattern of 400 bytes is refused; it may have 256");
  t.match(now(`SCAN 0 MATCH ${"x".repeat(257)}`), /^-LIMIT SCAN: a pattern of 257 bytes/);
  for (let i = 0; i < 100; i++) now(`SET few:${i} x`);
  t.match(now("KEYS none"), "-LIMIT KEYS looks at 100 keys (10 × memory.maxListed), and there are 105: use SCAN");
});

t.test("quotas of keys: bytes, number, and those of each pool", async (t) => {
  const { now, figures } = await openMemory(t, {
    maxBytes: 1024,
    maxKeys: 5,
    pools: { settings: { keys: "settings:*", maxBytes: 2048 }, logs: { keys: "log[0-9]", maxBytes: 1024 } },
  });
  t.equal(now(`SET a ${"x".repeat(1023)}`), "+OK");
  t.equal(now("SET b 1"), "-FULL 1024 bytes are used and 2 more are needed; memory.maxBytes is 1024");
  t.equal(now("SET a 1"), "+OK", "less is always taken");
  t.match(now(`SET a ${"x".repeat(2000)}`), /^-FULL 2 bytes are used and 1999 more/);
  t.equal(now(`SET settings:a ${"x".repeat(2034)}`), "+OK");
  t.match(now("SET settings:b 1"), /^-FULL .* memory.pools.settings.maxBytes is 2048/);
  t.equal(now("SET log1 1"), "+OK");
  now("MSET b 1 c 2");
  t.equal(now("SET d 1"), "-FULL 5 keys are kept; memory.maxKeys is 5");
  t.match(now("MSET a 1 d 1"), /^-FULL 5 keys/);
  t.same(
    { settings: figures()["pool_settings_bytes"], logs: figures()["pool_logs_keys"], keys: figures()["keys"] },
    { settings: 2044, logs: 1, keys: 5 },
  );
});

t.test("what has expired makes room before anything is refused", async (t) => {
  const { now, clock } = await openMemory(t, { maxBytes: 1024 });
  now(`SET a ${"x".repeat(1000)} PX 10`);
  t.match(now("SET b xxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), /^-FULL/);
  clock.advanceNow(11);
  t.equal(now("SET b xxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), "+OK");
  now("SET a 1 PX 10");
  clock.advanceNow(11);
  t.equal(now(`SET a ${"x".repeat(900)}`), "+OK", "also when it is the key itself");
  t.equal(now("STRLEN a"), 900);
});

t.test("nobody touches what its permits do not cover", async (t) => {
  const { now } = await openMemory(t);
  const permits = { allows: (kind: string, name: string) => kind === "memory" && name.startsWith("mine:") };
  const guest = callerNamed("guest", { permits });
  now("MSET mine:a 1 yours:a 2");
  t.equal(now("GET mine:a", guest), "1");
  const denied = /^-DENIED guest may not use memory:yours:a/;
  for (const line of [
    ...["GET yours:a", "SET yours:a 1", "SET yours:a 1 NX", "GETREV yours:a", "DEL mine:a yours:a", "INCR yours:a", "TTL yours:a"],
    ...["MSET mine:b 1 yours:a 1", "MGET mine:a yours:a", "SETEX yours:a 1 1", "EXPIRE yours:a 1"],
  ]) {
    t.match(now(line, guest), denied, line);
  }
  t.same(now("KEYS *", guest), ["mine:a"]);
  t.same(now("SCAN 0", guest), ["0", ["mine:a"]]);
  t.match(now("FLUSHDB", guest), /^-DENIED/);
  t.match(now("MALLOC 10", guest), /^-DENIED guest may not use memory:blocks/);
  t.equal(now("EXISTS mine:a yours:a mine:b"), 2, "nothing has changed");
});

t.test("figures count hits and misses", async (t) => {
  const { now, figures } = await openMemory(t);
  now("SET a 1");
  now("GET a");
  now("MGET a b");
  now("GET b");
  t.match(figures(), { hits: 2, misses: 2, keys: 1, bytes: 2, blocks: 0, spread_chunks: 0 });
});
