import t from "tap";

import { AgentError } from "../../../agent/contract/errors.ts";
import { memoryGrammar, MEMORY_CLASSIC_VERBS } from "../../../agent/wire/classic-memory.ts";
import { createClassicCodec } from "../../../agent/wire/classic.ts";
import { CALLER, openMemory, type TestMemory } from "../../helpers/memory.ts";
import { createTextSink } from "../../helpers/text-sink.ts";

/** One classic request over the grammar: the payload of its reply. */
async function classic(memory: TestMemory, bytes: string): Promise<string> {
  const codec = createClassicCodec({ classicMaxBytes: 3000 }, memoryGrammar);
  const sink = createTextSink();
  const [request] = codec.push(Buffer.from(bytes, "latin1"));
  if (request === undefined) codec.format({ kind: "error", error: codec.failure ?? new AgentError("SYNTAX", "half") }, undefined, sink);
  else codec.format(await memory.handle(request, CALLER), request, sink);
  const reply = sink.take();
  t.equal(reply.length, 500);
  return reply.replace(/\0+$/, "");
}

t.test("a block is allocated, stored to, read and freed", async (t) => {
  const { now, figures } = await openMemory(t);
  const vuid = now("MALLOC 10") as string;
  t.match(vuid, /^shed:ffff88[0-9a-f]{10}$/);
  t.equal(now(`GETM ${vuid}`), "");
  const first = now(`SETM ${vuid} hello`) as number;
  t.equal(now(`GETM ${vuid}`), "hello");
  const address = vuid.slice("shed:".length);
  t.equal(now(`GETM ${address}`), "hello");
  t.equal(now(`GETM ${address.toUpperCase()}`), "hello");
  const second = now(`SETM ${vuid} 0123456789 IF ${first}`) as number;
  t.ok(second > first);
  t.match(now(`SETM ${vuid} x IF ${first}`), `-STALE ${vuid} has revision ${second}, not ${first}; read it again`);
  t.same(now(`GETM ${vuid} REV`), ["0123456789", second]);
  t.equal(now(`SETM ${vuid} 01234567890`), `-LIMIT 11 bytes do not fit into ${vuid}, which has 10`);
  t.equal(now(`GETM ${vuid}`), "0123456789", "nothing has changed");
  t.same([figures()["blocks"], figures()["bytes"]], [1, 10]);
  t.equal(now(`FREEM ${vuid}`), "+OK");
  t.same([figures()["blocks"], figures()["bytes"]], [0, 0]);
  for (const line of [`GETM ${vuid}`, `SETM ${vuid} x`, `FREEM ${vuid}`, `TOUCHM ${vuid}`]) {
    t.equal(now(line), `-UNKNOWN ${vuid} is not allocated, or not any more`);
  }
});

t.test("what is no VUID, or of another node, says so", async (t) => {
  const { now } = await openMemory(t);
  for (const text of ["x", "ffff88", "shed:", "shed:ffff8800000000000", "0xffff8800", "shed:xfff880000000000", "''"]) {
    t.match(now(`GETM ${text}`), /^-ARGUMENT a VUID is node:address or an address of 16 or 8 hex digits/, text);
  }
  t.equal(now("GETM barn:ffff880000000001"), "-UNKNOWN barn:ffff880000000001 is a block of node barn, which is not among fleet.nodes");
  for (const size of ["0", "-1", "x", "1.5", "''"])
    t.match(now(`MALLOC ${size}`), /^-ARGUMENT MALLOC: the size is a whole number from 1/, size);
  t.match(now("MALLOC 1 POOL none"), /^-UNKNOWN no pool none/);
  t.match(now("MALLOC 1 TTL 0"), /^-ARGUMENT MALLOC: the time to live/);
  t.match(now("MALLOC 1 BAD"), /^-ARGUMENT MALLOC: "BAD" is not understood there/);
  t.match(now(`SETM ffff880000000001 x UNLESS 1`), /^-ARGUMENT SETM: "UNLESS"/);
});

t.test("no address is given out twice, and none follows from another", async (t) => {
  const { now } = await openMemory(t);
  const seen = new Set<string>();
  for (let i = 0; i < 3000; i++) {
    const vuid = now("MALLOC 1") as string;
    seen.add(vuid);
    now(`FREEM ${vuid}`);
  }
  t.equal(seen.size, 3000);
  const low = [...seen].map((vuid) => Number.parseInt(vuid.slice(-10), 16));
  const steps = new Set(low.slice(1).map((address, i) => address - (low[i] as number)));
  t.ok(steps.size > 2990, "the steps between them are as different as can be");
});

t.test("quotas of blocks name the limit and the numbers", async (t) => {
  const { now } = await openMemory(t, {
    maxBytes: 4096,
    maxBytesPerCaller: 3072,
    maxBlocks: 3,
    pools: { p: { keys: "p:*", maxBytes: 1024 } },
  });
  t.equal(now("MALLOC 5000"), "-LIMIT a block of 5000 bytes is refused; memory.maxBytes is 4096");
  t.equal(now("MALLOC 4000"), "-LIMIT a block of 4000 bytes is refused; memory.maxBytesPerCaller is 3072");
  t.equal(now("MALLOC 2000 POOL p"), "-LIMIT a block of 2000 bytes is refused; memory.pools.p.maxBytes is 1024");
  const vuid = now("MALLOC 3000") as string;
  t.equal(now("MALLOC 100"), "-FULL tester holds 3000 bytes and asks for 100 more; memory.maxBytesPerCaller is 3072");
  t.match(now("MALLOC 1000", { ...CALLER, name: "other" }), /^shed:/);
  t.equal(now("MALLOC 200", { ...CALLER, name: "other" }), "-FULL 4000 bytes are used and 200 more are needed; memory.maxBytes is 4096");
  t.match(now("MALLOC 10 POOL p", { ...CALLER, name: "other" }), /^shed:/);
  t.equal(now("MALLOC 1 POOL p", { ...CALLER, name: "third" }), "-FULL 3 blocks are allocated; memory.maxBlocks is 3");
  now(`FREEM ${vuid}`);
  t.match(now("MALLOC 3072"), /^shed:/, "what was freed can be had again");
});

t.test("a block with a time to live ends unless its owner uses it", async (t) => {
  const { now, clock, figures } = await openMemory(t);
  const vuid = now("MALLOC 10 TTL 1000") as string;
  const other = { ...CALLER, name: "other" };
  clock.advanceNow(900);
  t.equal(now(`GETM ${vuid}`), "", "its owner uses it");
  clock.advanceNow(900);
  t.equal(now(`GETM ${vuid}`, other), "", "somebody else may, but that renews nothing");
  t.equal(now(`TOUCHM ${vuid}`, other), `-DENIED ${vuid} is renewed by its owner, tester, not by other`);
  t.equal(now(`TOUCHM ${vuid}`), 1000);
  clock.advanceNow(999);
  t.equal(now(`GETM ${vuid}`, other), "");
  clock.advanceNow(1);
  t.match(now(`GETM ${vuid}`), /^-UNKNOWN/);
  t.equal(now(`TOUCHM ${now("MALLOC 1") as string}`), -1);
  now("MALLOC 5 TTL 10");
  clock.advanceNow(2000);
  t.same([figures()["blocks"], figures()["expired"]], [1, 2]);
});

t.test("the original's commands, as its clients send them", async (t) => {
  const memory = await openMemory(t);
  const address = await classic(memory, "virgo_cloud_malloc(100)\r\n");
  t.match(address, /^ffff88[0-9a-f]{10}$/);
  t.equal(await classic(memory, `virgo_cloud_set(${address},DataSet17April2017)\r\n`), address);
  t.equal(await classic(memory, `virgo_cloud_get(${address})\r\n`), "DataSet17April2017");
  t.equal(await classic(memory, `virgo_cloud_set("${address.toUpperCase()}","data3")\0`.padEnd(3000, "\0")), address);
  t.equal(await classic(memory, `virgo_cloud_get("${address}"zzz)`), '"data3"');
  const nothing = [
    ...["virgo_cloud_malloc(0)", "virgo_cloud_malloc(-5)", "virgo_cloud_malloc(x)", "virgo_cloud_malloc()", "virgo_cloud_realloc(1)"],
    ...[`virgo_cloud_set(${address},${"x".repeat(101)})`, `virgo_cloud_get(0x${address})`, "virgo_cloud_get(ffff880000000000)"],
    ...["virgo_cloud_get()", "virgo_cloud_free(eca9f800)", "virgo_cloud_set(eca9f800,x)", "virgo_cloud_malloc(999999999999)"],
  ];
  for (const request of nothing) t.equal(await classic(memory, `${request}\r\n`), "", request);
  t.equal(await classic(memory, `virgo_cloud_get(${address})\r\n`), '"data3"', "nothing has changed");
  t.equal(await classic(memory, `virgo_cloud_free(${address})\r\n`), address);
  t.equal(await classic(memory, `virgo_cloud_get(${address})\r\n`), "");
  t.equal(await classic(memory, `virgo_cloud_free(${address})\r\n`), "");
  const spoken = await classic(memory, "virgo_cloud_malloc(7)\n");
  t.equal((memory.now(`SETM ${spoken} x`) as number) > 0, true, "both dialects see the same blocks");
});

t.test("with 32-bit addresses the original's i386 clients get eight digits", async (t) => {
  const memory = await openMemory(t, {}, { classic: { addressWidth: 32 } });
  const address = await classic(memory, "virgo_cloud_malloc(1000)\r\n");
  t.match(address, /^[c-f][0-9a-f]{7}$/);
  t.equal(await classic(memory, `virgo_cloud_set("${address}","testdata")\r\n`), address);
  t.equal(await classic(memory, `virgo_cloud_get("${address}")\r\n`), '"testdata"');
  t.equal(memory.now(`GETM ${address}`), '"testdata"');
  t.equal(memory.now(`GETM 00000000${address}`), '"testdata"', "with the zeros of a 64-bit client");
  t.match(memory.now("MALLOC 1"), /^shed:ffff88[0-9a-f]{10}$/, "modern clients get 64 bits");
});

t.test("an address of 32 bits is written with 16 digits where the original had 64", async (t) => {
  const memory = await openMemory(t);
  t.equal(memory.handle({ verb: "MEMORY.GET", args: ["eca9f800"] }, CALLER) instanceof Promise, false);
  for (const verb of MEMORY_CLASSIC_VERBS) t.notMatch(memory.now(`${verb} x y`), /has no verb/, verb);
});

t.test("as a KingCobra service, classic requests go to the queue as they were sent", async (t) => {
  const queued: string[] = [];
  const queue = (payload: string) => {
    queued.push(payload);
    return payload.includes("get")
      ? { kind: "error" as const, error: new AgentError("FULL", "no room") }
      : { kind: "value" as const, value: "1" };
  };
  const memory = await openMemory(t, { useAsKingcobraService: true }, { queue });
  for (const verb of ["MALLOC 100", "SET ffff a,b", "FREE ffff"]) t.equal(memory.now(`MEMORY.${verb}`), "+OK");
  t.equal(memory.now("MEMORY.GET ffff"), "-FULL no room");
  t.same(queued, ["virgo_cloud_malloc(100)", "virgo_cloud_set(ffff,a,b)", "virgo_cloud_free(ffff)", "virgo_cloud_get(ffff)"]);
  t.match(memory.now("MALLOC 5"), /^shed:/, "modern ones do not");
});
