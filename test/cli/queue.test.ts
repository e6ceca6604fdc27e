import { writeFileSync } from "node:fs";
import { join } from "node:path";

import t from "tap";

import { connect } from "../../agent/cli/ask.ts";
import { queueRecordsCommand, queueStatCommand } from "../../agent/cli/queue.ts";
import { createFakeIo } from "../helpers/fake-io.ts";
import { startAgent } from "../helpers/start-agent.ts";

function block(text: string): Buffer {
  const bytes = Buffer.alloc(256);
  bytes.write(text, 0, "latin1");
  return bytes;
}

function records(file: string, json = false) {
  const io = createFakeIo();
  const code = queueRecordsCommand(file, { json }, io);
  return { code, ...io.printed };
}

t.test("queue records shows the requests of a file, whoever wrote it", (t) => {
  const file = join(t.testdir(), "REQUEST_REPLY.queue");
  const cut = `REQUEST#7f000001#1700000000:123000009#${"y".repeat(255 - 38 - 4 - " [cut of 1000 bytes]".length)} [cut of 1000 bytes] $$\n`;
  writeFileSync(
    file,
    Buffer.concat([
      block("REQUEST#1006172#1439827527:3717956#KingCobra_17August2015 $$\n"),
      block(""),
      block("REQUEST#1005a5a#4826482482751:4826482481634VirgoQueue $$\n"),
      block("nothing of the kind"),
      block(cut),
    ]),
  );
  const { code, out, error } = records(file);
  t.strictSame([code, error], [0, ""]);
  const lines = out.split("\n");
  t.match(lines[0], /^OFFSET +TIME +CLIENT +PAYLOAD$/);
  t.match(lines[1], /^0 +2015-08-17T16:05:27\.003Z +1006172 +KingCobra_17August2015$/);
  t.match(lines[2], /^512 +4826482482751:4826482481634 +1005a5a +VirgoQueue$/);
  t.match(lines[3], /^1024 +2023-11-14T22:13:20\.123Z +7f000001 +y{100,}\.\.\. \(1000 bytes\)$/);
  t.equal(lines[4], "3 requests; blocks of 256 bytes: 1 empty, 1 that are no record");
  const json = records(file, true).out.trimEnd().split("\n");
  t.strictSame(JSON.parse(json[0] ?? ""), {
    offset: 0,
    ip: "1006172",
    timestamp: "1439827527:3717956",
    wallMs: 1439827527003,
    payload: "KingCobra_17August2015",
  });
  t.equal(json.length, 3);
  writeFileSync(file, "");
  t.strictSame(records(file), { code: 0, out: "0 requests\n", error: "" });
  t.match(records(join(file, "none")), { code: 1, out: "", error: /^IO .*none cannot be read: / });
  t.end();
});

t.test("queue stat shows the topics of a running agent", async (t) => {
  const { stateFolder } = await startAgent(t, "");
  const stat = async (topic?: string, json = false) => {
    const io = createFakeIo();
    const code = await queueStatCommand(topic, { state: stateFolder, json }, io);
    return { code, ...io.printed };
  };
  t.strictSame(await stat(), { code: 0, out: "the queue is empty\n", error: "" });
  const connection = await connect({ state: stateFolder }, createFakeIo());
  await connection.call("ENQUEUE", ["one", "TOPIC", "orders"]);
  await connection.call("ENQUEUE", ["two", "TOPIC", "orders"]);
  await connection.call("DEQUEUE", ["TOPIC", "orders"]);
  connection.close();
  const { out } = await stat();
  t.match(out, /^TOPIC +READY +IN FLIGHT +DELAYED +WAITING +BYTES +OLDEST\norders +1 +1 +0 +0 +6 +\d+ ms\n$/);
  t.equal((await stat("none")).out.split("\n")[1]?.trim(), "none   0      0          0        0        0");
  t.match(await stat("orders", true), { code: 0, out: /^\{"topic":"orders","ready":1,"inFlight":1,/ });
  t.match(await stat("a b"), { code: 1, error: /^ARGUMENT TOPIC is 1 to 128 bytes/ });
});
