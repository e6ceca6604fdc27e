import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { bytesReply, errorReply, OK, valueReply, type Reply } from "../../agent/contract/request.ts";
import { ask, caller, createPair, textOfReply } from "./pair.ts";
import type { Value } from "../../agent/contract/value.ts";

t.test("a call reaches the device host and its reply comes back", async (t) => {
  const { front, host } = await createPair();
  t.equal(textOfReply(await front.host.handle(ask("CLONE", "lamp.on", "50"), caller)), "1");
  const { request, caller: by } = host.asked[0] ?? t.fail("nothing was asked");
  t.strictSame(request, ask("CLONE", "lamp.on", "50"));
  t.match(by, { name: "ada", priority: 100, maxPriority: 255, address: "10.0.0.1", cause: 0 });
  t.equal(by.permits, undefined);
  t.strictSame(front.host.verbs, [{ verb: "CLONE", usage: "device.function", summary: "call" }]);
});

t.test("every kind of reply arrives as it was", async (t) => {
  const { front, host } = await createPair();
  const values: Value[] = [null, true, false, 0, -1.5, Infinity, 2n ** 70n, "", "grün", [1, [2, "x"]], { a: { b: null }, ü: [true] }];
  for (const value of values) {
    host.answer = () => valueReply(value);
    const reply = await front.host.handle(ask("CLONE", "x.y"), caller);
    t.strictSame(reply, valueReply(value));
    t.strictSame(await front.host.handle(ask("CLONE", "x.y"), caller), valueReply(value), "the second time too");
  }
  host.answer = () => bytesReply("\xff\x00\r\n");
  t.strictSame(await front.host.handle(ask("CLONE", "x.y"), caller), valueReply(new Uint8Array([255, 0, 13, 10])));
  host.answer = () => OK;
  t.strictSame(await front.host.handle(ask("CLONE", "x.y"), caller), OK);
  host.answer = () => errorReply(new AgentError("IN_USE", "lamp is held by bob"));
  t.equal(textOfReply(await front.host.handle(ask("CLONE", "x.y"), caller)), "-IN_USE lamp is held by bob");
  host.answer = () => ({ kind: "value", value: undefined }) as unknown as Reply;
  t.match(textOfReply(await front.host.handle(ask("CLONE", "x.y"), caller)), /^-IO /, "a value that cannot be written");
  t.equal(textOfReply(await front.host.handle(ask("CLONE", "x.y"), caller)).startsWith("-IO "), true);
});

t.test("words of any bytes, any number and any length arrive as they are", async (t) => {
  const { front, host } = await createPair();
  const args = ["", "\0\r\n\xff", "*3\r\n$1\r\n", "x".repeat(200_000), ...Array.from({ length: 300 }, (_, i) => String(i))];
  await front.host.handle({ verb: "CLONE", args }, caller);
  t.strictSame(host.asked[0]?.request, { verb: "CLONE", args });
  await front.host.handle(ask("DEVICES"), caller);
  t.strictSame(host.asked[1]?.request, ask("DEVICES"));
});
