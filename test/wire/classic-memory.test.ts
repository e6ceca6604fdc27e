import fc from "fast-check";
import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { bytesReply, errorReply, OK, valueReply } from "../../agent/contract/request.ts";
import { MEMORY_CLASSIC_VERBS, memoryGrammar } from "../../agent/wire/classic-memory.ts";
import { createClassicCodec } from "../../agent/wire/classic.ts";
import { cuts } from "../helpers/cuts.ts";
import { createTextSink } from "../helpers/text-sink.ts";
import type { Reply, Request } from "../../agent/contract/request.ts";

const LIMITS = { classicMaxBytes: 3000 };

function hear(chunks: readonly Uint8Array[]): { readonly requests: readonly Request[]; readonly failure: string } {
  const codec = createClassicCodec(LIMITS, memoryGrammar);
  const requests = [...chunks.flatMap((chunk) => codec.push(chunk)), ...codec.quiet()];
  return { requests, failure: codec.failure === undefined ? "" : `${codec.failure.code} ${codec.failure.message}` };
}

function heard(text: string): Request | string {
  const { requests, failure } = hear([Buffer.from(text, "latin1")]);
  return requests[0] ?? failure;
}

function payload(reply: Reply): string {
  const sink = createTextSink();
  createClassicCodec(LIMITS, memoryGrammar).format(reply, undefined, sink);
  return sink.take();
}

t.test("the four commands, ended in every way and cut anywhere", (t) => {
  for (const [text, verb, args] of [
    ["virgo_cloud_malloc(100)", "MEMORY.MALLOC", ["100"]],
    ["virgo_cloud_set(ffff88009d1efc28,DataSet17April2017)", "MEMORY.SET", ["ffff88009d1efc28", "DataSet17April2017"]],
    ['virgo_cloud_set("eca9f800","data3,with,commas")', "MEMORY.SET", ["eca9f800", '"data3,with,commas"']],
    ['virgo_cloud_get("eca9f800")', "MEMORY.GET", ["eca9f800"]],
    ["virgo_cloud_free(ffff88009d1efc28)", "MEMORY.FREE", ["ffff88009d1efc28"]],
  ] as const) {
    t.ok(MEMORY_CLASSIC_VERBS.includes(verb));
    for (const end of ["", "\r\n", "\n", "\0", " and more", "\0".padEnd(2900, "\x7f")]) {
      const bytes = Buffer.from(`${text}${end}`, "latin1");
      t.same(hear([bytes]), { requests: [{ verb, args }], failure: "" }, `${text} and ${JSON.stringify(end.slice(0, 4))}`);
    }
    for (const chunks of cuts(text)) t.same(hear(chunks).requests, [{ verb, args }]);
    t.same(heard(text.slice(0, -1)), { verb, args }, "without its closing parenthesis");
  }
  t.end();
});

t.test("data ends where the original's ends: at a space or a closing parenthesis", (t) => {
  t.same(heard("virgo_cloud_set(ff,two words)"), { verb: "MEMORY.SET", args: ["ff", "two"] });
  t.same(heard("virgo_cloud_set(ff,)"), { verb: "MEMORY.SET", args: ["ff", ""] });
  t.end();
});

t.test("what is no command says so", (t) => {
  for (const text of ["virgo_cloud_realloc(1)", "virgo_cloud_malloc", "\u00ff", "(", " virgo_cloud_malloc(1)", "virgo_cloud_set(ff)"]) {
    t.match(heard(text), /^SYNTAX /, JSON.stringify(text));
  }
  t.match(heard("x".repeat(4000)), /^LIMIT /);
  t.end();
});

t.test("a reply is the address or the data, and nothing at all when it could not be done", (t) => {
  t.equal(payload(valueReply("ffff88009d1efc28")), "ffff88009d1efc28".padEnd(500, "\0"));
  t.equal(payload(bytesReply("\u00ff\u0080")), "\u00ff\u0080".padEnd(500, "\0"));
  t.equal(payload(valueReply(Buffer.from("data"))), "data".padEnd(500, "\0"));
  t.equal(payload(valueReply("é")), "\u00c3\u00a9".padEnd(500, "\0"));
  for (const reply of [OK, valueReply(null), errorReply(new AgentError("UNKNOWN", "no block"))]) t.equal(payload(reply), "\0".repeat(500));
  t.equal(payload(bytesReply("x".repeat(600))), `${"x".repeat(499)}\0`);
  t.end();
});

t.test("garbage is a request, an error, or not complete; never an exception", (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const { requests, failure } = hear([bytes]);
      return requests.length + (failure === "" ? 0 : 1) <= 1;
    }),
  );
  t.end();
});
