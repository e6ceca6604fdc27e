import { cpSync } from "node:fs";

import t from "tap";
import type { Test } from "tap";

import { isPending } from "../../../agent/contract/value.ts";
import { createFakeClock, type FakeClock } from "../../helpers/fake-clock.ts";
import { CALLER, openMemory, stateFolder } from "../../helpers/memory.ts";

const POOLS = { pools: { settings: { keys: "settings:*", durable: true } } };

function open(t: Test, folder: string, clock: FakeClock, options: Readonly<Record<string, unknown>> = POOLS) {
  return openMemory(t, options, { folder, clock });
}

t.test("keys of a durable pool are there after a crash, others are not, and only the former have to wait", async (t) => {
  const folder = stateFolder(t);
  const clock = createFakeClock();
  const first = await open(t, folder, clock);
  t.equal(first.now("SET plain 1"), "+OK");
  t.equal(first.now("GET plain"), "1");
  t.ok(isPending(first.handle({ verb: "SET", args: ["settings:volume", "7"] }, CALLER)));
  t.equal(await first.say("GET settings:volume"), "7");
  t.equal(await first.say("INCR settings:volume"), 8);
  const revision = (await first.say("SET settings:name caf\xc3\xa9 REV")) as number;
  t.equal(await first.say("MSET settings:a 1 settings:b 2 plain 3"), "+OK");
  t.equal(await first.say("DEL settings:a none"), 1);
  const second = await open(t, folder, clock);
  t.same(await second.say("MGET settings:volume settings:name settings:a settings:b plain"), ["8", "caf\xc3\xa9", null, "2", null]);
  t.same(await second.say("GETREV settings:name"), ["caf\xc3\xa9", revision]);
  t.ok(((await second.say("SET settings:name x REV")) as number) > revision, "no revision comes twice");
  t.equal(await second.say(`SET settings:name y IFREV ${revision}`).then((reply) => String(reply).slice(0, 6)), "-STALE");
});

t.test("nobody reads what is not on disk yet", async (t) => {
  const folder = stateFolder(t);
  const clock = createFakeClock();
  const memory = await open(t, folder, clock);
  await memory.say("SET settings:a old");
  const asked = ["SET settings:a new", "GET settings:a", "SET settings:a x NX", "EXISTS settings:a", "MGET settings:a"].map((line) =>
    memory.say(line).then((reply) => {
      // What has been answered by now must survive a crash by now.
      cpSync(folder, `${folder}-${line.replaceAll(/\W/g, "_")}`, { recursive: true });
      return reply;
    }),
  );
  t.same(await Promise.all(asked), ["+OK", "new", null, 1, ["new"]]);
  for (const line of ["GET_settings_a", "SET_settings_a_x_NX", "MGET_settings_a"]) {
    const crashed = await open(t, `${folder}-${line}`, clock);
    t.equal(await crashed.say("GET settings:a"), "new", line);
  }
});

t.test("a time to live goes on while the agent does not run", async (t) => {
  const folder = stateFolder(t);
  const clock = createFakeClock();
  const first = await open(t, folder, clock);
  await first.say("SET settings:short 1 PX 5000");
  await first.say("SET settings:long 1 PX 60000");
  await first.say("SET settings:renewed 1 PX 5000");
  await first.say("PEXPIRE settings:renewed 50000");
  await first.close();
  clock.advanceNow(10_000);
  const second = await open(t, folder, clock);
  t.equal(await second.say("GET settings:short"), null);
  t.equal(await second.say("PTTL settings:long"), 50_000);
  t.equal(await second.say("PTTL settings:renewed"), 40_000);
  clock.advanceNow(50_000);
  t.equal(await second.say("EXISTS settings:long"), 0);
});

t.test("what has expired stays so when the wall clock runs backwards before the next start", async (t) => {
  const folder = stateFolder(t);
  const clock = createFakeClock();
  const first = await open(t, folder, clock);
  await first.say("SET settings:a 1 PX 1000");
  clock.advanceNow(5000);
  t.equal(await first.say("GET settings:a"), null);
  await first.close();
  clock.jumpWall(-4500);
  t.equal(await (await open(t, folder, clock)).say("GET settings:a"), null);
});

t.test("durable blocks live on, with their addresses, owners and quotas", async (t) => {
  const folder = stateFolder(t);
  const clock = createFakeClock();
  const first = await open(t, folder, clock);
  const vuid = (await first.say("MALLOC 100 POOL settings")) as string;
  const revision = await first.say(`SETM ${vuid} "kept \\x00\\xff"`);
  const freed = (await first.say("MALLOC 100 POOL settings")) as string;
  t.equal(await first.say(`FREEM ${freed}`), "+OK");
  const lost = first.now("MALLOC 50") as string;
  const second = await open(t, folder, clock);
  t.same(await second.say(`GETM ${vuid} REV`), ["kept \0\xff", revision]);
  t.equal(second.figures()["pool_settings_bytes"], 100);
  t.match(await second.say(`SETM ${vuid} ${"x".repeat(101)}`), /^-LIMIT 101 bytes do not fit/);
  for (const gone of [freed, lost]) t.match(await second.say(`GETM ${gone}`), /^-UNKNOWN/);
  const given = new Set([vuid, freed, lost]);
  for (let i = 0; i < 5000; i++) given.add(second.now("MALLOC 1") as string);
  t.equal(given.size, 5003, "no address is given out again, also not one that was freed before the restart");
});

t.test("a durable block's lease is what its owner renewed it to, or half of it more", async (t) => {
  const folder = stateFolder(t);
  const clock = createFakeClock();
  const first = await open(t, folder, clock);
  const vuid = (await first.say("MALLOC 10 TTL 10000 POOL settings")) as string;
  for (let i = 0; i < 5; i++) {
    clock.advanceNow(4000);
    t.equal(await first.say(`GETM ${vuid}`), "");
  }
  await first.close();
  clock.advanceNow(9000);
  const second = await open(t, folder, clock);
  t.equal(await second.say(`GETM ${vuid}`, { ...CALLER, name: "other" }), "", "it was renewed 9 s ago, for 10 s");
  clock.advanceNow(6000);
  t.match(await second.say(`GETM ${vuid}`, { ...CALLER, name: "other" }), /^-UNKNOWN/);
});

t.test("a pool that is durable no more is forgotten, and says so", async (t) => {
  const folder = stateFolder(t);
  const clock = createFakeClock();
  const first = await open(t, folder, clock);
  await first.say("MSET settings:a 1 settings:b 2");
  await first.close();
  const second = await open(t, folder, clock, { pools: { other: { keys: "other:*", durable: true } } });
  t.equal(second.now("GET settings:a"), null);
  t.match(second.log.lines.join("\n"), /dropped what has expired or is in no durable pool/);
});

t.test("with memory.durable everything that is in no pool is", async (t) => {
  const folder = stateFolder(t);
  const clock = createFakeClock();
  const options = { durable: true, pools: { fleeting: { keys: "f:*" } } };
  const first = await open(t, folder, clock, options);
  t.same(first.now("CONFIG GET appendonly"), { appendonly: "yes" });
  await first.say("SET a 1");
  const address = (await first.say("MEMORY.MALLOC 10")) as string;
  t.equal(await first.say(`MEMORY.SET ${address} data`), address);
  t.equal(first.now("SET f:a 1"), "+OK");
  const second = await open(t, folder, clock, options);
  t.equal(await second.say("GET a"), "1");
  t.equal(await second.say(`MEMORY.GET ${address}`), "data");
  t.equal(second.now("GET f:a"), null);
  t.equal(await second.say("FLUSHDB"), "+OK");
  t.equal(await (await open(t, folder, clock, options)).say("GET a"), null);
});

t.test("nothing is acknowledged that could not be written", async (t) => {
  const folder = stateFolder(t);
  const memory = await open(t, folder, createFakeClock());
  await memory.say("SET settings:a 1");
  const vuid = (await memory.say("MALLOC 10 POOL settings")) as string;
  await memory.close();
  for (const line of [
    "SET settings:a 2",
    "DEL settings:a",
    "INCR settings:a",
    "MSET plain 1 settings:a 2",
    `SETM ${vuid} x`,
    `FREEM ${vuid}`,
  ]) {
    t.match(await memory.say(line), /^-IO memory: the log is closed/, line);
  }
  t.match(await memory.say("MALLOC 10 POOL settings"), /^-IO/);
  t.equal(await memory.say("GET settings:a"), "1");
  t.equal(memory.now("GET plain"), null, "all or none");
  t.equal(await memory.say(`GETM ${vuid}`), "");
});
