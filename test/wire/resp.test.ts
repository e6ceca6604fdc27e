import fc from "fast-check";
import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { bytesReply, errorReply, OK, valueReply } from "../../agent/contract/request.ts";
import type { Request } from "../../agent/contract/request.ts";
import type { Value } from "../../agent/contract/value.ts";
import { splitInline } from "../../agent/wire/inline.ts";
import { createRespFactory } from "../../agent/wire/resp.ts";
import { cuts } from "../helpers/cuts.ts";
import { createTextSink } from "../helpers/text-sink.ts";

const LIMITS = { maxRequestBytes: 4096, maxRequestArgs: 16 };

const openCodec = createRespFactory(LIMITS);

interface Heard {
  readonly requests: readonly Request[];
  readonly failure: string;
}

function hear(chunks: readonly Uint8Array[], open = openCodec): Heard {
  const codec = open();
  const requests = chunks.flatMap((chunk) => codec.push(chunk));
  return { requests, failure: codec.failure === undefined ? "" : `${codec.failure.code} ${codec.failure.message}` };
}

function hearText(text: string): Heard {
  return hear([Buffer.from(text, "latin1")]);
}

/** An array of bulk strings. */
function array(...words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
}

t.test("a pipeline of arrays and lines is the same requests however it is cut", (t) => {
  const bytes = `${array("clone", "LEASE", "300", "lamp.on")}PING\r\n${array("SETM", "a\r\n\0\xff", "")}devices\n${array("Ping")}`;
  const expected = [
    { verb: "CLONE", args: ["LEASE", "300", "lamp.on"] },
    { verb: "PING", args: [] },
    { verb: "SETM", args: ["a\r\n\0\xff", ""] },
    { verb: "DEVICES", args: [] },
    { verb: "PING", args: [] },
  ];
  for (const chunks of cuts(bytes)) t.strictSame(hear(chunks), { requests: expected, failure: "" });
  t.end();
});

t.test("empty lines and empty arrays ask nothing", (t) => {
  t.strictSame(hearText("\r\n\n   \r\n*0\r\n"), { requests: [], failure: "" });
  t.end();
});

t.test("a request is known to be incomplete until its last byte", (t) => {
  const bytes = Buffer.from(array("PING", "x"));
  for (let length = 1; length < bytes.length; length++) {
    const codec = openCodec();
    codec.push(bytes.subarray(0, length));
    t.ok(codec.pendingBytes > 0, `${length} bytes`);
    codec.push(bytes.subarray(length));
    t.equal(codec.pendingBytes, 0);
  }
  t.end();
});

t.test("the end of input completes a line, but not an array", (t) => {
  const line = openCodec();
  line.push(Buffer.from("PING hello"));
  t.strictSame(line.quiet(), [{ verb: "PING", args: ["hello"] }]);
  t.equal(line.pendingBytes, 0);
  const half = openCodec();
  half.push(Buffer.from("*1\r\n$4\r\nPI"));
  t.strictSame(half.quiet(), []);
  const header = openCodec();
  header.push(Buffer.from("*1"));
  t.strictSame(header.quiet(), []);
  t.end();
});

t.test("the verb is upper case in ASCII only, and arguments are left alone", (t) => {
  t.strictSame(hearText(array("clone\xe9\xff", "Lamp.On\xe9")).requests, [{ verb: "CLONE\xe9\xff", args: ["Lamp.On\xe9"] }]);
  t.end();
});

t.test("what does not fit the protocol is SYNTAX and shows what came", (t) => {
  const failures: readonly (readonly [string, RegExp])[] = [
    ["*-1\r\n", /^SYNTAX after \* the number of arguments must follow, not "-1\\r\\n"/],
    ["*x\r\n", /^SYNTAX after \*/],
    ["*\r\n", /^SYNTAX after \*/],
    ["*1\n", /^SYNTAX after \*/],
    ["*1\rx", /^SYNTAX after \*/],
    ["*123456789012", /^SYNTAX after \*/],
    ["*1\r\n:4\r\n", /^SYNTAX an argument must start with \$ and its length, not ":4\\r\\n"/],
    ["*1\r\n$-1\r\n", /^SYNTAX after \$ the length/],
    ["*1\r\n$4x\r\n", /^SYNTAX after \$ the length of an argument must follow, not "4x\\r\\n"/],
    ["*1\r\n$4\r\nPINGxx", /^SYNTAX an argument of 4 bytes must end with CR LF, not "xx"/],
    ["*1\r\n$3\r\nPING\r\n", /^SYNTAX an argument of 3 bytes must end with CR LF, not "G\\r\\n"/],
    ["*1\r\n\xff\0", /^SYNTAX an argument must start with \$ and its length, not "\\u00ff/],
    ['PING "a\r\n', /^SYNTAX a quote is not closed/],
    ['PING "a"b\r\n', /^SYNTAX a quote is not closed, or something follows it without a space, in "PING \\"a\\"b"/],
    ["PING 'a\r\n", /^SYNTAX a quote is not closed/],
  ];
  for (const [bytes, message] of failures) {
    t.match(hearText(bytes).failure, message);
    for (const chunks of cuts(bytes)) t.match(hear(chunks).failure, /^SYNTAX /, "however it is cut");
  }
  t.end();
});

t.test("requests before the mistake stand, bytes after it are not looked at", (t) => {
  const codec = openCodec();
  t.strictSame(codec.push(Buffer.from(`${array("PING")}*x\r\n${array("PING")}`)), [{ verb: "PING", args: [] }]);
  t.equal(codec.failure?.code, "SYNTAX");
  t.strictSame(codec.push(Buffer.from(array("PING"))), []);
  t.strictSame(codec.quiet(), []);
  t.end();
});

t.test("a request beyond a limit is LIMIT before its bytes are taken, and names the limit", (t) => {
  t.match(hearText("*17\r\n").failure, /^LIMIT a request of 17 arguments is refused; limits.maxRequestArgs is 16/);
  t.match(hearText("*9999999999\r\n").failure, /^LIMIT /);
  t.match(
    hearText("*1\r\n$4096\r\n").failure,
    /^LIMIT a request with an argument of 4096 bytes is refused; limits.maxRequestBytes is 4096/,
  );
  t.match(hearText("*1\r\n$9999999999\r\n").failure, /^LIMIT /);
  t.match(hearText(array("PING", "x".repeat(2040), "y".repeat(2040))).failure, /^LIMIT /, "all arguments count together");
  t.equal(hearText(array("PING", "x".repeat(2000), "y".repeat(2000))).failure, "");
  t.match(hearText("x".repeat(4097)).failure, /^LIMIT a line of more than 4096 bytes is refused/);
  t.match(hearText(`${"x".repeat(4097)}\r\n`).failure, /^LIMIT a line/);
  t.match(hearText(`PING${" x".repeat(16)}\r\n`).failure, /^LIMIT a request of 17 arguments/);
  const large = createRespFactory({ maxRequestBytes: 1024 * 1024, maxRequestArgs: 16 });
  t.match(hear([Buffer.alloc(65_537, "x")], large).failure, /^LIMIT a line of more than 65536 bytes/, "a line has a limit of its own");
  t.end();
});

t.test("a large argument arrives whole, in pieces of any size", (t) => {
  const open = createRespFactory({ maxRequestBytes: 1024 * 1024, maxRequestArgs: 16 });
  const text = "0123456789abcdef".repeat(30_000);
  const bytes = Buffer.from(`${array("SETM", "1", text)}PING\r\n`);
  for (const size of [1, 7, 1000, 65_536, bytes.length]) {
    const codec = open();
    const requests: Request[] = [];
    for (let at = 0; at < bytes.length; at += size) requests.push(...codec.push(bytes.subarray(at, at + size)));
    t.equal(requests.length, 2);
    t.ok(requests[0]?.args[1] === text, `in pieces of ${size}`);
  }
  t.end();
});

t.test("more words than the table of words holds come out as they went in", (t) => {
  const words = Array.from({ length: 5000 }, (_, i) => `word-${i}`);
  const bytes = Buffer.from(words.map((word) => array("PING", word, `${word}${"x".repeat(40)}`)).join(""));
  for (let round = 0; round < 2; round++) {
    const { requests } = hear([bytes]);
    t.ok(requests.every((request, i) => request.args[0] === words[i] && request.args[1] === `${words[i]}${"x".repeat(40)}`));
  }
  t.end();
});

t.test("short requests, whole and byte by byte, are what they are however long their words", (t) => {
  const open = createRespFactory({ maxRequestBytes: 3000, maxRequestArgs: 16 });
  for (const length of [0, 1, 3, 4, 5, 9, 10, 31, 32, 33, 99, 100, 999, 1000, 1400]) {
    const word = "w".repeat(length);
    const bytes = [array("ping"), array("GET", word), array("SET", word, word), array("SET", word, word, "NX"), array("get", "x")].join("");
    const expected = [
      { verb: "PING", args: [] },
      { verb: "GET", args: [word] },
      { verb: "SET", args: [word, word] },
      { verb: "SET", args: [word, word, "NX"] },
      { verb: "GET", args: ["x"] },
    ];
    const whole = Buffer.from(bytes, "latin1");
    t.strictSame(hear([whole], open), { requests: expected, failure: "" }, `${length} bytes, whole`);
    t.strictSame(
      hear(
        [...whole].map((byte) => Buffer.from([byte])),
        open,
      ),
      { requests: expected, failure: "" },
      `${length} bytes, one by one`,
    );
    const cut = whole.length - 3;
    t.strictSame(hear([whole.subarray(0, cut), whole.subarray(cut)], open), { requests: expected, failure: "" }, `${length} bytes, in two`);
  }
  const stale = open();
  stale.push(Buffer.from(array("SET", "a", "b".repeat(500)).slice(0, -2)));
  t.strictSame(stale.push(Buffer.from(`\r\n*1\r\n$4\r\nPI`)).length, 1);
  t.strictSame(stale.push(Buffer.from("NG\r\n")), [{ verb: "PING", args: [] }], "bytes of an earlier request are not taken for the rest");
  t.match(hear([Buffer.from(array("SET", "k".repeat(999), "v".repeat(999), "x".repeat(999)))], open).failure, /^LIMIT /);
  const small = createRespFactory({ maxRequestBytes: 100, maxRequestArgs: 16 });
  t.match(hear([Buffer.from(array("SET", "k".repeat(40), "v".repeat(40)))], small).failure, /^LIMIT /, "short words count as well");
  t.match(hear([Buffer.from(array("GET", "k".repeat(90)))], small).failure, /^LIMIT /);
  t.end();
});

t.test("tokens are not kept in the table of words", (t) => {
  const codec = openCodec();
  for (let i = 0; i < 3; i++) t.strictSame(codec.push(Buffer.from(array("auth", "secret"))), [{ verb: "AUTH", args: ["secret"] }]);
  t.strictSame(codec.push(Buffer.from(array("hello", "3"))), [{ verb: "HELLO", args: ["3"] }]);
  t.end();
});

t.test("inline quoting is that of Redis", (t) => {
  const lines: readonly (readonly [string, readonly string[] | undefined])[] = [
    ["a  b\tc", ["a", "b", "c"]],
    ['SET k "a b"', ["SET", "k", "a b"]],
    ['"\\x41\\n\\r\\t\\b\\a\\"\\\\\\q\\xZZ"', ['A\n\r\t\b\x07"\\qxZZ']],
    ["'a \\n \\'b\\' \"'", ["a \\n 'b' \""]],
    ['a"b c"', ["ab c"]],
    ['""', [""]],
    ["''", [""]],
    ['"a\\', undefined],
    ["'a\\'", undefined],
    ["'a'b", undefined],
    ['"\\xff"', ["\xff"]],
  ];
  for (const [line, words] of lines) t.strictSame(splitInline(line), words, line);
  t.end();
});

t.test("any words come through as an array and as a quoted line", (t) => {
  const word = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 40 });
  const words = fc.array(word, { minLength: 1, maxLength: 10 });
  fc.assert(
    fc.property(words, fc.nat(), (list, at) => {
      const bytes = Buffer.from(array("PING", ...list), "latin1");
      const cut = at % bytes.length;
      const { requests } = hear([bytes.subarray(0, cut), bytes.subarray(cut)]);
      const line = list.map(
        (each) => `"${each.replaceAll(/[^a-z]/gs, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`)}"`,
      );
      const inline = hearText(`PING ${line.join(" ")}\r\n`).requests;
      t.strictSame(requests, [{ verb: "PING", args: list }]);
      t.strictSame(inline, requests);
    }),
    { numRuns: 200 },
  );
  t.end();
});

t.test("garbage never throws, and after a failure nothing is taken any more", (t) => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 50 }),
    fc
      .constantFrom("*", "*2\r\n", "$3\r\n", "abc\r\n", "\r\n", "$-1\r\n", "PING\r\n", '"', "*1\r\n$4\r\nPING\r\n")
      .map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const codec = openCodec();
      for (const chunk of pieces) {
        const failed = codec.failure !== undefined;
        const requests = codec.push(chunk);
        if (failed && requests.length > 0) return false;
      }
      codec.quiet();
      return codec.failure === undefined || codec.failure.code === "SYNTAX" || codec.failure.code === "LIMIT";
    }),
    { numRuns: 500 },
  );
  t.end();
});

t.test("replies have the types of RESP2, and those of RESP3 after HELLO 3 was answered", (t) => {
  const values: readonly (readonly [Value, string, string])[] = [
    [null, "$-1\r\n", "_\r\n"],
    [true, ":1\r\n", "#t\r\n"],
    [false, ":0\r\n", "#f\r\n"],
    [42, ":42\r\n", ":42\r\n"],
    [-7, ":-7\r\n", ":-7\r\n"],
    [2.5, "$3\r\n2.5\r\n", ",2.5\r\n"],
    [Infinity, "$3\r\ninf\r\n", ",inf\r\n"],
    [-Infinity, "$4\r\n-inf\r\n", ",-inf\r\n"],
    [NaN, "$3\r\nnan\r\n", ",nan\r\n"],
    [1e300, "$6\r\n1e+300\r\n", ",1e+300\r\n"],
    [2n ** 63n - 1n, ":9223372036854775807\r\n", ":9223372036854775807\r\n"],
    [2n ** 63n, "$19\r\n9223372036854775808\r\n", "(9223372036854775808\r\n"],
    ["", "$0\r\n\r\n", "$0\r\n\r\n"],
    ["12 °C", "$6\r\n12 \xc2\xb0C\r\n", "$6\r\n12 \xc2\xb0C\r\n"],
    [new Uint8Array([0, 255, 13]), "$3\r\n\0\xff\r\r\n", "$3\r\n\0\xff\r\r\n"],
    [["a", [1, null]], "*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n", "*2\r\n$1\r\na\r\n*2\r\n:1\r\n_\r\n"],
    [{ on: true, level: 1 }, "*4\r\n$2\r\non\r\n:1\r\n$5\r\nlevel\r\n:1\r\n", "%2\r\n$2\r\non\r\n#t\r\n$5\r\nlevel\r\n:1\r\n"],
  ];
  const two = openCodec();
  const three = openCodec();
  const sink = createTextSink();
  three.format(valueReply({ proto: 3 }), { verb: "HELLO", args: ["3"] }, sink);
  t.equal(sink.take(), "%1\r\n$5\r\nproto\r\n:3\r\n", "the answer to HELLO itself is in the new version");
  for (const [value, resp2, resp3] of values) {
    two.format(valueReply(value), undefined, sink);
    t.equal(sink.take(), resp2);
    three.format(valueReply(value), undefined, sink);
    t.equal(sink.take(), resp3);
  }
  two.formatPush(["var", true], sink);
  t.equal(sink.take(), "*2\r\n$3\r\nvar\r\n:1\r\n");
  three.formatPush(["var", true], sink);
  t.equal(sink.take(), ">2\r\n$3\r\nvar\r\n#t\r\n");
  three.format(errorReply(new AgentError("DENIED", "no")), { verb: "HELLO", args: ["2"] }, sink);
  three.format(valueReply(null), undefined, sink);
  t.equal(sink.take(), "-DENIED no\r\n_\r\n", "a HELLO that was refused changes nothing");
  three.format(valueReply({}), { verb: "HELLO", args: ["2"] }, sink);
  t.equal(sink.take(), "*0\r\n");
  t.end();
});

t.test("raw bytes are written as they are, in both versions", (t) => {
  const codec = openCodec();
  const sink = createTextSink();
  const every = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).join("");
  for (const [value, written] of [
    [every, `$256\r\n${every}\r\n`],
    ["", "$0\r\n\r\n"],
  ] as const) {
    codec.format(bytesReply(value), undefined, sink);
    t.equal(sink.take(), written);
  }
  codec.format(valueReply({}), { verb: "HELLO", args: ["3"] }, sink);
  sink.take();
  codec.format(bytesReply("\xff\0"), undefined, sink);
  t.equal(sink.take(), "$2\r\n\xff\0\r\n");
  t.end();
});

t.test("status words and errors are one line each", (t) => {
  const codec = openCodec();
  const sink = createTextSink();
  codec.format(OK, undefined, sink);
  codec.format({ kind: "status", text: "PO\r\nNG" }, undefined, sink);
  codec.format(errorReply(new AgentError("UNKNOWN", "no °\r\n-OK injected\n")), undefined, sink);
  t.equal(sink.take(), "+OK\r\n+PO NG\r\n-UNKNOWN no \xc2\xb0 -OK injected \r\n");
  t.end();
});
