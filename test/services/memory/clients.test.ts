import { Redis } from "ioredis";
import t from "tap";
import type { Test } from "tap";

import { startAgent } from "../../helpers/start-agent.ts";
import { missing, run } from "../../helpers/tools.ts";

async function memoryPort(t: Test, yaml = "board: sim\n"): Promise<string> {
  const { agent } = await startAgent(t, yaml);
  const address = agent.addresses["memory"] ?? "";
  return address.slice(address.lastIndexOf(":") + 1);
}

t.test("ioredis works as with Redis", async (t) => {
  const port = await memoryPort(t);
  const redis = new Redis({ port: Number(port), lazyConnect: true });
  await redis.connect();
  t.equal(await redis.set("k", "v"), "OK");
  t.equal(await redis.get("k"), "v");
  t.equal(await redis.get("none"), null);
  t.equal(await redis.set("k", "w", "PX", 100_000, "NX"), null);
  t.equal(await redis.set("k", "w", "EX", 100, "GET"), "v");
  t.ok((await redis.pttl("k")) > 90_000);
  t.equal(await redis.incrby("n", 41), 41);
  t.equal(await redis.incr("n"), 42);
  t.equal(await redis.mset({ a: "1", b: "2" }), "OK");
  t.same(await redis.mget("a", "none", "b"), ["1", null, "2"]);
  t.equal(await redis.exists("a", "b", "c"), 2);
  t.equal(await redis.expire("a", 10), 1);
  t.equal(await redis.persist("a"), 1);
  t.equal(await redis.type("a"), "string");
  t.equal(await redis.append("a", "0"), 2);
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  await redis.set(bytes, bytes);
  t.same(await redis.getBuffer(bytes), bytes);
  t.same(await redis.mgetBuffer(bytes), [bytes]);
  await redis.del(bytes);
  const seen = new Set<string>();
  for await (const keys of redis.scanStream({ match: "[abkn]", count: 2 })) for (const key of keys as string[]) seen.add(key);
  t.same([...seen].sort(), ["a", "b", "k", "n"]);
  t.same((await redis.keys("*")).sort(), ["a", "b", "k", "n"]);
  t.equal(await redis.dbsize(), 4);
  t.same(await redis.config("GET", "appendonly"), ["appendonly", "no"]);
  const pipeline = redis.pipeline();
  for (let i = 0; i < 1000; i++) pipeline.set(`p:${i}`, String(i)).get(`p:${i}`);
  const replies = (await pipeline.exec()) ?? [];
  t.ok(replies.every(([error, reply], i) => error === null && reply === (i % 2 === 0 ? "OK" : String((i - 1) / 2))));
  await t.rejects(redis.incr("k"), { message: /ARGUMENT INCR: the value of k is not an integer/ });
  t.equal(await redis.del("a", "b", "k"), 3);
  const vuid = await redis.call("MALLOC", "100");
  t.type(await redis.call("SETM", String(vuid), "in a block"), "number");
  t.equal(await redis.call("GETM", String(vuid)), "in a block");
  t.equal(await redis.flushdb(), "OK");
  await redis.quit();
});

t.test("redis-cli works as with Redis", { skip: missing("redis-cli", "redis-tools") }, async (t) => {
  const port = await memoryPort(t);
  const said = await run(
    "redis-cli",
    ["-p", port],
    'SET k "a b"\nGET k\nGET none\nINCR n\nMGET k none\nTTL k\nDEL k n\nSELECT 0\nDBSIZE\n',
  );
  t.equal(said, "OK\na b\n\n1\na b\n\n-1\n2\nOK\n0\n");
  t.equal(await run("redis-cli", ["-3", "-p", port, "--no-raw", "CONFIG", "GET", "save"]), '1# "save" => ""\n');
  t.match(await run("redis-cli", ["-p", port, "GETT", "k"]), /^UNKNOWN no verb "GETT"; did you mean GET/);
});

t.test("redis-benchmark runs unchanged", { skip: missing("redis-benchmark", "redis-tools") }, async (t) => {
  const port = await memoryPort(t);
  for (const pipeline of ["1", "16"]) {
    const printed = await run("redis-benchmark", [
      "-p",
      port,
      "-t",
      "get,set,incr,mset",
      "-c",
      "50",
      "-P",
      pipeline,
      "-n",
      "2000",
      "--csv",
    ]);
    t.match(printed, /^"SET","[\d.]+"/m);
    t.match(printed, /^"GET","[\d.]+"/m);
    t.match(printed, /^"INCR","[\d.]+"/m);
    t.match(printed, /^"MSET \(10 keys\)","[\d.]+"/m);
    t.notMatch(printed, /error|WARNING/i);
  }
});
