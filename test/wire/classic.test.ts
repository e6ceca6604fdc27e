import fc from "fast-check";
import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { errorReply, OK, valueReply } from "../../agent/contract/request.ts";
import type { Reply, Request } from "../../agent/contract/request.ts";
import { CLONE_ACKNOWLEDGEMENT, cloneGrammar } from "../../agent/wire/classic-clone.ts";
import { CLASSIC_REPLY_BYTES, createClassicCodec } from "../../agent/wire/classic.ts";
import { cuts } from "../helpers/cuts.ts";
import { createTextSink } from "../helpers/text-sink.ts";

const LIMITS = { classicMaxBytes: 3000 };

function openCodec() {
  return createClassicCodec(LIMITS, cloneGrammar);
}

/** The request and what was wrong with it, of bytes that come cut in some way and are followed by silence. */
function hear(chunks: readonly Uint8Array[]): { readonly requests: readonly Request[]; readonly failure: string } {
  const codec = openCodec();
  const requests = [...chunks.flatMap((chunk) => codec.push(chunk)), ...codec.quiet()];
  return { requests, failure: codec.failure === undefined ? "" : `${codec.failure.code} ${codec.failure.message}` };
}

function token(text: string, mode = ""): Request {
  return { verb: "CLONE.TOKEN", args: [mode, text] };
}

function reply(answer: Reply, request: Request | undefined): string {
  const sink = createTextSink();
  openCodec().format(answer, request, sink);
  return sink.take();
}

t.test("a token ends at NUL, CR, LF, space or silence, however it is cut", (t) => {
  for (const bytes of [
    "lamp.on\r\n",
    "lamp.on\n",
    "lamp.on\r",
    "lamp.on\0\0\0\xff\xff",
    "lamp.on ",
    "lamp.on",
    "lamp.on more (words\r\n",
  ]) {
    for (const chunks of cuts(bytes)) t.strictSame(hear(chunks), { requests: [token("lamp.on")], failure: "" });
  }
  t.end();
});

t.test("a delimiter at the start is the empty request", (t) => {
  for (const bytes of ["\r\n", " lamp.on\r\n", "\0", "\n"]) t.strictSame(hear([Buffer.from(bytes)]).requests, [token("")]);
  t.strictSame(hear([]).requests, [], "nothing at all is no request");
  t.end();
});

t.test("a token may carry its mode", (t) => {
  t.strictSame(hear([Buffer.from("1:/usr/bin/true\n")]).requests, [token("/usr/bin/true", "1")]);
  t.strictSame(hear([Buffer.from("0:_Z16virgo_cloud_testPv\n")]).requests, [token("_Z16virgo_cloud_testPv", "0")]);
  t.strictSame(hear([Buffer.from("2:lamp.on\n")]).requests, [token("lamp.on", "2")]);
  t.strictSame(hear([Buffer.from("3:lamp.on\n")]).requests, [token("3:lamp.on")]);
  t.strictSame(hear([Buffer.from("/opt/a(1)\n")]).requests, [token("/opt/a(1)")], "a path is not a call");
  t.end();
});

t.test("a call keeps the spaces in its parentheses and gives its arguments as text", (t) => {
  const calls: readonly (readonly [string, readonly string[]])[] = [
    ["f()", []],
    ["f(  )", []],
    ["f(1, -2.5e3,true , null)", ["1", "-2.5e3", "true", "null"]],
    ['f("a, b", bare word)', ["a, b", "bare word"]],
    ["f('it is, (so', \"\")", ["it is, (so", ""]],
    ['f("\\"q\\" \\u00b0", x)', ['"q" \xc2\xb0', "x"]],
    ['f("12 \xc2\xb0C)")', ["12 \xc2\xb0C)"]],
    ['f("a\\\\")', ["a\\"]],
  ];
  for (const [bytes, args] of calls) {
    const expected = { requests: [{ verb: "CLONE.CALL", args: ["f", ...args] }], failure: "" };
    for (const end of ["\r\n", "\0", " rest", ""]) {
      for (const chunks of cuts(bytes + end)) t.strictSame(hear(chunks), expected, bytes + end);
    }
  }
  t.end();
});

t.test("a call that is not one is SYNTAX and says why", (t) => {
  const mistakes: readonly (readonly [string, RegExp])[] = [
    ["f(1\r\n", /^SYNTAX the call "f\(1" must end with \)/],
    ["f(1)x\r\n", /^SYNTAX the call "f\(1\)x" must end/],
    ["(1)\r\n", /^SYNTAX a call starts with the name/],
    ["f(1,)\r\n", /^SYNTAX argument 2 of "f" is empty/],
    ["f(,1)\r\n", /^SYNTAX argument 1 of "f" is empty/],
    ['f("a)\r\n', /^SYNTAX a quote in the arguments of "f" is not closed/],
    ['f("a"b)\r\n', /^SYNTAX "\\"a\\"b" in the arguments of "f" is not text in quotes/],
    ['f("\\q")\r\n', /^SYNTAX .* is not text in quotes/],
  ];
  for (const [bytes, message] of mistakes) {
    const heard = hear([Buffer.from(bytes)]);
    t.strictSame(heard.requests, []);
    t.match(heard.failure, message);
  }
  t.end();
});

t.test("3000 bytes are taken, one more is LIMIT", (t) => {
  t.strictSame(hear([Buffer.alloc(3000, "x")]).requests, [token("x".repeat(3000))]);
  t.strictSame(hear([Buffer.from(`${"x".repeat(3000)}\n`)]).requests, [token("x".repeat(3000))]);
  for (const chunks of [[Buffer.alloc(3001, "x")], [Buffer.alloc(3000, "x"), Buffer.from("x")]]) {
    const heard = hear(chunks);
    t.strictSame(heard.requests, []);
    t.match(heard.failure, /^LIMIT a request of more than 3000 bytes is refused/);
  }
  t.end();
});

t.test("one request per connection: what follows is dropped, and a line feed says that nothing else is to come", (t) => {
  const line = openCodec();
  t.equal(line.oneShot, true);
  t.equal(line.awaitsSilence, false);
  line.push(Buffer.from("lamp.on"));
  t.equal(line.awaitsSilence, true);
  t.ok(line.pendingBytes > 0);
  t.equal(line.push(Buffer.from("\r")).length, 1);
  t.equal(line.awaitsSilence, false);
  t.equal(line.spoken, false);
  t.strictSame(line.push(Buffer.from("\nlamp.off\r\n")), []);
  t.equal(line.spoken, true);
  t.strictSame(line.quiet(), []);
  const buffer = openCodec();
  buffer.push(Buffer.alloc(100));
  t.equal(buffer.spoken, false, "a system call's buffer may go on");
  t.end();
});

t.test("every reply has 500 bytes: the payload, one NUL, zeros; longer payloads are cut at 499", (t) => {
  const acknowledgement = reply(OK, token("lamp.on"));
  t.equal(acknowledgement.length, CLASSIC_REPLY_BYTES);
  t.equal(acknowledgement, CLONE_ACKNOWLEDGEMENT + "\0".repeat(375));
  t.equal(CLONE_ACKNOWLEDGEMENT.length, 125);
  const long = reply(valueReply("y".repeat(600)), { verb: "CLONE.CALL", args: ["f"] });
  t.equal(long, `OK "${"y".repeat(495)}\0`);
  t.end();
});

t.test("a token is acknowledged whatever came of it, unless it names nothing", (t) => {
  const unknown = errorReply(new AgentError("UNKNOWN", "lamp.of"));
  t.match(reply(errorReply(new AgentError("IN_USE", "lamp is held")), token("lamp.on")), CLONE_ACKNOWLEDGEMENT);
  t.match(reply(valueReply(null), token("lamp.on")), CLONE_ACKNOWLEDGEMENT);
  t.match(reply(unknown, token("")), CLONE_ACKNOWLEDGEMENT, "the empty request too");
  t.equal(reply(unknown, token("lamp.of")).replace(/\0+$/, ""), "ERR UNKNOWN lamp.of");
  t.end();
});

t.test("a call is answered with its value as JSON or with its error, on one line", (t) => {
  const call = { verb: "CLONE.CALL", args: ["f"] };
  const text = (answer: Reply) => reply(answer, call).replace(/\0+$/, "");
  t.equal(text(valueReply({ on: true, at: [1, 2.5, null], "°": "a\n" })), 'OK {"on":true,"at":[1,2.5,null],"\xc2\xb0":"a\\n"}');
  t.equal(text(valueReply(2n ** 63n)), 'OK "9223372036854775808"');
  t.equal(text(valueReply(Buffer.from("raw"))), 'OK "raw"');
  t.equal(text(valueReply([new Uint8Array([0x61])])), 'OK ["a"]');
  t.equal(text(OK), 'OK "OK"');
  t.equal(text(errorReply(new AgentError("ARGUMENT", "percent 101\r\nis \0 too much"))), "ERR ARGUMENT percent 101 is too much");
  t.equal(reply(errorReply(new AgentError("LIMIT", "too long")), undefined).replace(/\0+$/, ""), "ERR LIMIT too long");
  t.end();
});

t.test("garbage gives at most one request or one failure, never both", (t) => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc
      .string({ unit: fc.constantFrom("f", "(", ")", '"', "'", "\\", ",", " ", "\r", "\0", "1"), maxLength: 40 })
      .map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 5 }), (chunks) => {
      const { requests, failure } = hear(chunks);
      return requests.length <= 1 && (failure === "" || requests.length === 0);
    }),
    { numRuns: 1000 },
  );
  t.end();
});
