import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { errorReply, OK } from "../../agent/contract/request.ts";
import type { Request } from "../../agent/contract/request.ts";
import { cloneGrammar } from "../../agent/wire/classic-clone.ts";
import { createClassicCodec } from "../../agent/wire/classic.ts";
import { createDialectCodec, RESERVED_VERBS } from "../../agent/wire/dialect.ts";
import { createRespFactory } from "../../agent/wire/resp.ts";
import { cuts } from "../helpers/cuts.ts";
import { createTextSink } from "../helpers/text-sink.ts";

const resp = createRespFactory({ maxRequestBytes: 4096, maxRequestArgs: 16 });

function openCodec() {
  return createDialectCodec({ resp, classic: () => createClassicCodec({ classicMaxBytes: 3000 }, cloneGrammar) });
}

function hear(chunks: readonly Uint8Array[]): { readonly requests: readonly Request[]; readonly classic: boolean } {
  const codec = openCodec();
  const requests = chunks.flatMap((chunk) => codec.push(chunk));
  return { requests, classic: codec.oneShot };
}

t.test("the first bytes tell the dialects apart, however they are cut", (t) => {
  const openings: readonly (readonly [string, boolean, Request])[] = [
    ["*1\r\n$4\r\nPING\r\n", false, { verb: "PING", args: [] }],
    ["ping\r\n", false, { verb: "PING", args: [] }],
    ["Clone lamp.on\n", false, { verb: "CLONE", args: ["lamp.on"] }],
    ["var.get\tx\r\n", false, { verb: "VAR.GET", args: ["x"] }],
    ["lamp.on\r\n", true, { verb: "CLONE.TOKEN", args: ["", "lamp.on"] }],
    ["pinged\r\n", true, { verb: "CLONE.TOKEN", args: ["", "pinged"] }],
    ["pin\r\n", true, { verb: "CLONE.TOKEN", args: ["", "pin"] }],
    ["PING\0\0\0", true, { verb: "CLONE.TOKEN", args: ["", "PING"] }],
    ["clone(1)\r\n", true, { verb: "CLONE.CALL", args: ["clone", "1"] }],
    [" PING\r\n", true, { verb: "CLONE.TOKEN", args: ["", ""] }],
    ["$4\r\n", true, { verb: "CLONE.TOKEN", args: ["", "$4"] }],
  ];
  for (const [bytes, classic, request] of openings) {
    for (const chunks of cuts(bytes)) t.strictSame(hear(chunks), { requests: [request], classic }, JSON.stringify(bytes));
  }
  t.end();
});

t.test("every reserved verb opens the modern dialect in any case", (t) => {
  for (const verb of RESERVED_VERBS) {
    for (const word of [verb, verb.toLowerCase()]) {
      t.strictSame(hear([Buffer.from(`${word} x\r\n`)]), { requests: [{ verb, args: ["x"] }], classic: false });
    }
  }
  t.end();
});

t.test("silence completes a token, but not the start of a reserved verb", (t) => {
  const token = openCodec();
  token.push(Buffer.from("lamp"));
  t.equal(token.awaitsSilence, true);
  const verb = openCodec();
  verb.push(Buffer.from("CLO"));
  t.equal(verb.awaitsSilence, false);
  t.ok(verb.pendingBytes > 0);
  t.strictSame(verb.push(Buffer.from("NE lamp.on\r\n")), [{ verb: "CLONE", args: ["lamp.on"] }]);
  t.equal(verb.pendingBytes, 0);
  t.end();
});

t.test("the end of input decides what nothing else has decided", (t) => {
  const whole = openCodec();
  whole.push(Buffer.from("PING"));
  t.strictSame(whole.quiet(), [{ verb: "PING", args: [] }]);
  t.equal(whole.oneShot, false);
  const part = openCodec();
  part.push(Buffer.from("PIN"));
  t.strictSame(part.quiet(), [{ verb: "CLONE.TOKEN", args: ["", "PIN"] }]);
  t.equal(part.oneShot, true);
  t.strictSame(openCodec().quiet(), []);
  t.end();
});

t.test("a peer that may not speak the classic dialect is closed without a word", (t) => {
  const sink = createTextSink();
  const codec = createDialectCodec({ resp, classic: undefined });
  t.strictSame(codec.push(Buffer.from("lamp.on\r\n")), []);
  t.equal(codec.failure?.code, "DENIED");
  codec.format(errorReply(codec.failure!), undefined, sink);
  t.equal(sink.take(), "");
  t.strictSame(codec.push(Buffer.from("PING\r\n")), []);
  const modern = createDialectCodec({ resp, classic: undefined });
  t.strictSame(modern.push(Buffer.from("PING\r\n")), [{ verb: "PING", args: [] }]);
  t.equal(modern.failure, undefined);
  modern.format(OK, undefined, sink);
  modern.formatPush(["a"], sink);
  t.equal(sink.take(), "+OK\r\n*1\r\n$1\r\na\r\n");
  t.end();
});

t.test("before anything is decided an error is written in the modern form", (t) => {
  const sink = createTextSink();
  openCodec().format(errorReply(new AgentError("TIMEOUT", "nothing came")), undefined, sink);
  t.equal(sink.take(), "-TIMEOUT nothing came\r\n");
  t.end();
});

t.test("a failure of the chosen dialect is the codec's failure", (t) => {
  const codec = openCodec();
  codec.push(Buffer.from("*x\r\n"));
  t.equal(codec.failure?.code, "SYNTAX");
  t.end();
});
