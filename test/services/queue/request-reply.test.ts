import { appendFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import fc from "fast-check";
import t from "tap";

import { addressHex, readReplyToken } from "../../../agent/services/queue/header.ts";
import type { Envelope } from "../../../agent/services/queue/message.ts";
import { startRequestReplyFile } from "../../../agent/services/queue/request-reply-file.ts";
import {
  BOOTSTRAP_RECORD,
  readRequestReplyRecords,
  readStamp,
  RECORD_BYTES,
  stampOf,
  writeRequestRecord,
} from "../../../agent/services/queue/request-reply-records.ts";
import { createFakeClock } from "../../helpers/fake-clock.ts";
import { createFakeLog } from "../../helpers/fake-log.ts";

/** A block as the original leaves it: text, NUL, and whatever was on the kernel's stack. */
function block(text: string): Buffer {
  const bytes = Buffer.alloc(RECORD_BYTES, "\x88\xffREQUEST#junk $$\n", "latin1");
  bytes.write(`${text}\0`, 0, "latin1");
  return bytes;
}

function envelope(payload: string, id = 1, ip = "7f000001"): Envelope {
  return { id, topic: "kingcobra", priority: 4, correlation: "", wallMs: 1_700_000_000_123, ip, from: "127.0.0.1", payload };
}

function written(message: Envelope): Buffer {
  const bytes = Buffer.alloc(RECORD_BYTES);
  writeRequestRecord(message, bytes, 0);
  return bytes;
}

t.test("records of every age are read", (t) => {
  const texts: readonly (readonly [text: string, ip: string, timestamp: string, payload: string])[] = [
    [
      "REQUEST#1000000#1408964032:335925644#kingcobra_kernelspace_init $$\n",
      "1000000",
      "1408964032:335925644",
      "kingcobra_kernelspace_init",
    ],
    ["REQUEST#1000000#1409816208:135588074#KingCobra $$\n", "1000000", "1409816208:135588074", "KingCobra"],
    ["REQUEST#1006172#1439827527:3717956#KingCobra_17August2015 $$\n", "1006172", "1439827527:3717956", "KingCobra_17August2015"],
    ["REQUEST#1005a5a#1492426582:21197638#virgo_queueing_17April2017 $$\n", "1005a5a", "1492426582:21197638", "virgo_queueing_17April2017"],
    [
      "REQUEST#1005a5a#4826482482751:4826482481634VirgoQueue_KingCobra_6October2017 $$\n",
      "1005a5a",
      "4826482482751:4826482481634",
      "VirgoQueue_KingCobra_6October2017",
    ],
    [
      "REQUEST#1000000#574982121246:574982121006virgo_queue_12June2019 $$\n",
      "1000000",
      "574982121246:574982121006",
      "virgo_queue_12June2019",
    ],
    ["REQUEST#1000000#574982121246:57498212100642nd request $$\n", "1000000", "574982121246:574982121006", "42nd request"],
    ["REQUEST#cccc0001#1396000000:5#early $$\n", "cccc0001", "1396000000:5", "early"],
    ["REQUEST#1#notimplemented#other $$\n", "1", "notimplemented", "other"],
    ["REQUEST#7f000001#1700000000:123000001# $$\n", "7f000001", "1700000000:123000001", ""],
  ];
  const { records, empty, damaged } = readRequestReplyRecords(Buffer.concat(texts.map(([text]) => block(text))));
  t.strictSame(
    records.map(({ offset, ip, timestamp, payload, cutOf }) => [offset, ip, timestamp, payload, cutOf]),
    texts.map(([, ip, timestamp, payload], i) => [i * RECORD_BYTES, ip, timestamp, payload, undefined]),
  );
  t.equal(records[2]?.wallMs, 1_439_827_527_003, "seconds and nanoseconds are a time of the wall clock");
  t.equal(records[4]?.wallMs, undefined, "nanoseconds since boot are none");
  t.strictSame([empty, damaged], [0, 0]);
  t.end();
});

t.test("blocks that are no record are passed over and counted", (t) => {
  const good = block("REQUEST#1#1:1#a $$\n");
  const bytes = Buffer.concat([
    Buffer.alloc(RECORD_BYTES),
    good,
    block(""),
    block("REQUEST#1#1:1#no end"),
    block("REQUEST#xyz#1:1#a $$\n"),
    block("REQUEST#1#when#a $$\n"),
    block("REQUEST#1#12:3 $$\n"),
    block("REQUEST#1#123:45x $$\n"),
    block("REPLY#1#1:1#a $$\n"),
    Buffer.alloc(RECORD_BYTES, 0xee),
    good.subarray(0, 30),
  ]);
  const { records, empty, damaged } = readRequestReplyRecords(bytes);
  t.strictSame(
    records.map(({ offset, payload }) => [offset, payload]),
    [
      [256, "a"],
      [2560, "a"],
    ],
    "the last one is whole though its block is not",
  );
  t.strictSame([empty, damaged], [2, 7]);
  t.strictSame(readRequestReplyRecords(Buffer.alloc(0)), { records: [], empty: 0, damaged: 0 });
  t.end();
});

t.test("no bytes make the reader fail", async (t) => {
  await t.resolves(
    fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.constant(block("REQUEST#1#1:1#a $$\n")))), async (parts) => {
        const bytes = Buffer.concat(parts);
        const { records, empty, damaged } = readRequestReplyRecords(new Uint8Array(bytes));
        if (records.length + empty + damaged !== Math.ceil(bytes.length / RECORD_BYTES)) throw new Error("a block was not counted");
      }),
    ),
  );
});

t.test("what is written is 256 bytes in the original's form, and read back", (t) => {
  const message = envelope("virgo_queue_12June2019", 1_000_007);
  const bytes = written(message);
  t.equal(bytes.toString("latin1"), "REQUEST#7f000001#1700000000:123000007#virgo_queue_12June2019 $$\n".padEnd(256, "\0"));
  t.match(readRequestReplyRecords(bytes).records, [
    { ip: "7f000001", timestamp: stampOf(message), wallMs: message.wallMs, payload: message.payload, cutOf: undefined },
  ]);
  t.strictSame(readStamp(stampOf(message)), { wallMs: message.wallMs, idDigits: 7 });
  t.equal(readStamp("4826482482751:4826482481634"), undefined);
  t.equal(BOOTSTRAP_RECORD.length, 256);
  t.end();
});

t.test("a payload that does not fit is cut and says so; control characters are shown", (t) => {
  const header = "REQUEST#7f000001#1700000000:123000001#".length;
  const most = 255 - header - " $$\n".length - 1;
  const fits = readRequestReplyRecords(written(envelope("y".repeat(most)))).records[0];
  t.strictSame([fits?.payload.length, fits?.cutOf], [most, undefined]);
  for (const length of [most + 1, most + 2, 300, 1_000_000]) {
    const bytes = written(envelope("y".repeat(length)));
    t.equal(bytes.toString("latin1").indexOf("\0"), 255);
    const [cut] = readRequestReplyRecords(bytes).records;
    t.equal(cut?.cutOf, length);
    t.match(cut?.payload, /^y{150,}$/);
  }
  const control = "a\0b\r\n\x7f\xff";
  t.equal(readRequestReplyRecords(written(envelope(control))).records[0]?.payload, "a\\x00b\\x0d\\x0a\\x7f\xff");
  const [many] = readRequestReplyRecords(written(envelope("\0".repeat(100)))).records;
  t.equal(many?.cutOf, 100, "what is shown longer may not fit either");
  t.match(many?.payload, /^(\\x00){40,}/);
  t.end();
});

t.test("an address is what the header's hexadecimal says", (t) => {
  for (const [address, hex] of [
    ["127.0.0.1", "7f000001"],
    ["192.168.1.255", "c0a801ff"],
    ["1.0.0.0", "1000000"],
    ["0.0.0.1", "1"],
    ["::ffff:10.0.0.2", "a000002"],
    ["::1", "7f000001"],
    ["fe80::1", "0"],
    ["local", "0"],
    [undefined, "0"],
  ] as const) {
    t.equal(addressHex(address), hex);
  }
  t.end();
});

t.test("a reply says whose it is in all the forms it had", (t) => {
  t.strictSame(readReplyToken("REPLY#1000000#1408964032:335925644 :--- from kingcobra"), {
    ip: "1000000",
    stamp: "1408964032:335925644",
    text: ":--- from kingcobra",
  });
  t.strictSame(readReplyToken("REPLY#7f000001#1:2#done #1"), { ip: "7f000001", stamp: "1:2", text: "done #1" });
  t.strictSame(readReplyToken("REPLY#7f000001#1:2"), { ip: "7f000001", stamp: "1:2", text: "" });
  for (const other of ["REPLY#", "REPLY#7f000001", "REPLY#zz#1:2", "REPLY#1#1", "reply#1#1:2", "REPLY:1:2"]) {
    t.equal(readReplyToken(other), undefined, other);
  }
  t.end();
});

function openFile(folder: string, maxBytes = 1_000_000) {
  const clock = createFakeClock();
  const log = createFakeLog();
  const path = join(folder, "sub", "REQUEST_REPLY.queue");
  return { path, clock, log, file: startRequestReplyFile({ path, maxBytes, clock, log }) };
}

function payloads(path: string): readonly string[] {
  const { records, empty, damaged } = readRequestReplyRecords(readFileSync(path));
  return [...records.map(({ payload }) => payload), ...Array.from({ length: empty + damaged }, () => "?")];
}

t.test("the file begins with the original's first record, and goes on at a whole one after a crash", async (t) => {
  const folder = t.testdir();
  const first = openFile(folder);
  first.file.add(envelope("a"));
  first.file.add(envelope("b"));
  await first.file.close();
  t.strictSame(payloads(first.path), ["kingcobra_kernelspace_init", "a", "b"]);
  t.match(first.file.figures(), { records_written: 3, records_left_out: 0 });
  t.equal(first.clock.pending(), 0);
  appendFileSync(first.path, "REQUEST#torn");
  const second = openFile(folder);
  second.file.add(envelope("c"));
  await second.file.close();
  t.equal(statSync(first.path).size, 6 * RECORD_BYTES);
  t.strictSame(payloads(first.path), ["kingcobra_kernelspace_init", "a", "b", "kingcobra_kernelspace_init", "c", "?"]);
});

t.test("records are collected for a tenth of a second", async (t) => {
  const { file, path, clock } = openFile(t.testdir(), 10_000_000);
  file.add(envelope("a"));
  while (Number(file.figures()["records_written"]) < 2) await clock.advance(100);
  t.strictSame(payloads(path), ["kingcobra_kernelspace_init", "a"]);
  for (let i = 0; i < 5000; i++) file.add(envelope(String(i)));
  while (Number(file.figures()["records_written"]) < 4098) await clock.advance(0);
  t.ok(payloads(path).length >= 4098, "that many are not kept in memory");
  await file.close();
  t.equal(payloads(path).length, 5002);
});

t.test("at its size the file is set aside, between two records", async (t) => {
  const folder = t.testdir();
  const { file, path } = openFile(folder, 4 * RECORD_BYTES + 100);
  for (let i = 1; i <= 9; i++) file.add(envelope(`m${i}`));
  await file.close();
  t.strictSame(payloads(`${path}.1`), ["m4", "m5", "m6", "m7"]);
  t.strictSame(payloads(path), ["m8", "m9"]);
  const tiny = openFile(t.testdir(), 1);
  tiny.file.add(envelope("x"));
  await tiny.file.close();
  t.strictSame(payloads(tiny.path), ["x"], "one record is always written");
});

t.test("a file that cannot be written is said once, and costs the queue nothing", async (t) => {
  const folder = t.testdir();
  mkdirSync(join(folder, "sub", "REQUEST_REPLY.queue"), { recursive: true });
  const { file, log, clock } = openFile(folder);
  for (let round = 0; round < 3; round++) {
    file.add(envelope("a"));
    while (Number(file.figures()["records_left_out"]) < round + 2) await clock.advance(100);
  }
  await file.close();
  t.match(log.lines, [/^warn .*REQUEST_REPLY\.queue cannot be written: EISDIR.*; the queue itself goes on$/]);
  t.equal(log.lines.length, 1);
});

t.test("what the disk cannot keep up with is left out, not gathered", async (t) => {
  const { file, path } = openFile(t.testdir());
  for (let i = 0; i < 40_000; i++) file.add(envelope("x"));
  await file.close();
  t.match(file.figures(), { records_written: 32_769, records_left_out: 40_000 - 32_768 });
  t.equal(statSync(path).size < 9_000_000, true);
});

t.test("a file that somebody else removed is made again after it was set aside", async (t) => {
  const folder = t.testdir({ sub: { "REQUEST_REPLY.queue": "" } });
  writeFileSync(join(folder, "sub", "REQUEST_REPLY.queue"), block("REQUEST#1#1:1#old $$\n"));
  const { file, path } = openFile(folder, 2 * RECORD_BYTES);
  file.add(envelope("new"));
  await file.close();
  t.strictSame(payloads(`${path}.1`), ["old", "kingcobra_kernelspace_init"]);
  t.strictSame(payloads(path), ["new"]);
});
