import fc from "fast-check";
import t from "tap";

import { createReplyParser, REPLY_LIMITS } from "../../agent/wire/resp-reply.ts";
import type { Reply } from "../../agent/contract/request.ts";
import type { Value } from "../../agent/contract/value.ts";
import type { ServerMessage } from "../../agent/wire/resp-reply.ts";

function parse(...chunks: readonly (string | Uint8Array)[]): readonly ServerMessage[] {
  const parser = createReplyParser();
  const messages = chunks.flatMap((chunk) => parser.push(typeof chunk === "string" ? Buffer.from(chunk, "latin1") : chunk));
  if (parser.failure !== undefined) throw parser.failure;
  return messages;
}

function replies(...chunks: readonly (string | Uint8Array)[]): readonly Reply[] {
  return parse(...chunks).map((message) => {
    if (message.kind !== "reply") throw new Error("a push where a reply was expected");
    return message.reply;
  });
}

function value(text: string | Uint8Array): Value {
  const [reply, ...more] = replies(text);
  if (reply?.kind !== "value" || more.length > 0) throw new Error(`not one value: ${JSON.stringify(reply)}`);
  return reply.value;
}

function failureOf(text: string, limits = REPLY_LIMITS): string {
  const parser = createReplyParser(limits);
  parser.push(Buffer.from(text, "latin1"));
  return parser.failure === undefined ? "none" : `${parser.failure.code} ${parser.failure.message}`;
}

t.test("every kind of RESP2 and RESP3 reply becomes its value", (t) => {
  t.same(replies("+OK\r\n"), [{ kind: "status", text: "OK" }]);
  t.equal(value(":-42\r\n"), -42);
  t.equal(value(":9223372036854775807\r\n"), 9223372036854775807n);
  t.equal(value("$5\r\nhello\r\n"), "hello");
  t.equal(value("$0\r\n\r\n"), "");
  t.equal(value("$-1\r\n"), null);
  t.equal(value("*-1\r\n"), null);
  t.equal(value("_\r\n"), null);
  t.equal(value("#t\r\n"), true);
  t.equal(value("#f\r\n"), false);
  t.equal(value(",11.5\r\n"), 11.5);
  t.equal(value(",1e-3\r\n"), 0.001);
  t.equal(value(",-inf\r\n"), -Infinity);
  t.equal(value(",inf\r\n"), Infinity);
  t.ok(Number.isNaN(value(",nan\r\n")));
  t.equal(value("(-123456789012345678901234567890\r\n"), -123456789012345678901234567890n);
  t.equal(value("=8\r\ntxt:text\r\n"), "text");
  t.same(value("*3\r\n:1\r\n$1\r\na\r\n*0\r\n"), [1, "a", []]);
  t.same(value("~2\r\n:1\r\n:2\r\n"), [1, 2]);
  t.same(value("%2\r\n$2\r\nid\r\n$4\r\nlamp\r\n:7\r\n#t\r\n"), { id: "lamp", 7: true });
  t.same(value("%0\r\n"), {});
  t.end();
});

t.test("text is UTF-8 and everything else stays bytes", (t) => {
  t.equal(value(Buffer.from("$6\r\n42 µs\r\n", "utf8")), "42 µs");
  t.same(value("$3\r\n\xff\x00\x01\r\n"), new Uint8Array([0xff, 0, 1]));
  t.equal(value("$3\r\n\xef\xbb\xbf\r\n"), "\uFEFF", "a byte order mark is kept");
  t.end();
});

t.test("an error keeps its code word, and another server's words stay text", (t) => {
  const [inUse, blob, foreign, bare] = replies(
    "-IN_USE lamp is held by operator\r\n!12\r\nSTALE aged 9\r\n-ERR unknown command\r\n-UNKNOWN\r\n",
  );
  t.match(inUse, { kind: "error", error: { code: "IN_USE", message: "lamp is held by operator" } });
  t.match(blob, { kind: "error", error: { code: "STALE", message: "aged 9" } });
  t.match(foreign, { kind: "error", error: { code: "IO", message: "ERR unknown command" } });
  t.match(bare, { kind: "error", error: { code: "UNKNOWN", message: "UNKNOWN" } });
  t.same(value("*2\r\n-FAULTED lamp\r\n+OK\r\n"), ["FAULTED lamp", "OK"], "inside an array both are text");
  t.end();
});

t.test("pushes are told from replies and attributes are dropped", (t) => {
  t.same(parse(">2\r\n$3\r\nvar\r\n,1.5\r\n+OK\r\n>0\r\n"), [
    { kind: "push", message: ["var", 1.5] },
    { kind: "reply", reply: { kind: "status", text: "OK" } },
    { kind: "push", message: [] },
  ]);
  t.equal(value("|1\r\n+ttl\r\n:3600\r\n:5\r\n"), 5);
  t.same(value("*2\r\n|1\r\n+ttl\r\n:3600\r\n:5\r\n|0\r\n:6\r\n"), [5, 6]);
  t.end();
});

t.test("a name from the wire is a name, whatever it spells", (t) => {
  const map = value("%1\r\n+__proto__\r\n+x\r\n") as { readonly [name: string]: Value };
  t.same(Object.entries(map), [["__proto__", "x"]]);
  t.equal(Object.getPrototypeOf(map), Object.prototype);
  t.end();
});

t.test("where the bytes are cut makes no difference", (t) => {
  const all = Buffer.from(
    "+OK\r\n*3\r\n%1\r\n$4\r\nname\r\n$4\r\n\xc3\xa4\r\n\r\n|1\r\n+a\r\n:1\r\n_\r\n,1.25\r\n>1\r\n#t\r\n-LIMIT too much\r\n$-1\r\n!5\r\nIO ab\r\n",
    "latin1",
  );
  const whole = parse(all);
  t.equal(whole.length, 6);
  for (let cut = 0; cut <= all.length; cut++) t.strictSame(parse(all.subarray(0, cut), all.subarray(cut)), whole, `cut at ${cut}`);
  t.strictSame(parse(...Array.from(all, (byte) => Uint8Array.of(byte))), whole, "byte by byte");
  t.end();
});

t.test("what is no reply is refused and says so", (t) => {
  t.equal(failureOf("OK\r\n"), 'SYNTAX not a reply: "OK"');
  t.equal(failureOf("+OK\n"), 'SYNTAX a reply line must end with CR LF: "+OK\\n"');
  t.equal(failureOf("\r\n"), 'SYNTAX not a reply: ""');
  t.equal(failureOf("_x\r\n"), 'SYNTAX not a reply: "_x"');
  t.equal(failureOf(":1.5\r\n"), 'SYNTAX not an integer: "1.5"');
  t.equal(failureOf(",1,5\r\n"), 'SYNTAX not a number: "1,5"');
  t.equal(failureOf("(x\r\n"), 'SYNTAX not a big number: "x"');
  t.equal(failureOf("#x\r\n"), 'SYNTAX not a boolean: "x"');
  t.equal(failureOf("$?\r\n"), 'SYNTAX a length must be a decimal number, not "?"');
  t.equal(failureOf("*-2\r\n"), 'SYNTAX a length must be a decimal number, not "-2"');
  t.equal(failureOf("$2\r\nabcd"), "SYNTAX a bulk of 2 bytes does not end with CR LF");
  t.match(failureOf(`HTTP/1.1 400 Bad Request${"x".repeat(100)}\r\n`), /^SYNTAX not a reply: "HTTP\/1.1 400 Bad Request.{16}…"$/);
  t.end();
});

t.test("what came before the refused bytes stands, and nothing after them counts", (t) => {
  const parser = createReplyParser();
  t.same(parser.push(Buffer.from("+OK\r\nnonsense\r\n+OK\r\n")), [{ kind: "reply", reply: { kind: "status", text: "OK" } }]);
  t.equal(parser.failure?.code, "SYNTAX");
  t.same(parser.push(Buffer.from("+OK\r\n")), []);
  t.end();
});

t.test("size, number and depth are bounded, declared or sent", (t) => {
  const limits = { maxBytes: 100, maxValues: 10, maxDepth: 3 };
  t.equal(failureOf("$101\r\n", limits), "LIMIT a reply of 101 bytes is refused, at most 100");
  t.equal(failureOf("*11\r\n", limits), "LIMIT a reply of 11 values is refused, at most 10");
  t.equal(failureOf("%6\r\n", limits), "LIMIT a reply of more than 10 values is refused");
  t.equal(failureOf("*2\r\n$50\r\n", limits), "none");
  t.equal(failureOf(`*2\r\n$50\r\n${"x".repeat(50)}\r\n$50\r\n`, limits), "LIMIT a reply of more than 100 bytes is refused");
  t.equal(failureOf("*1\r\n*1\r\n*1\r\n:1\r\n", limits), "none");
  t.equal(failureOf("*1\r\n*1\r\n*1\r\n*1\r\n", limits), "LIMIT a reply nested more than 3 deep is refused");
  t.equal(failureOf("*5\r\n*5\r\n*5\r\n", limits), "LIMIT a reply of more than 10 values is refused");
  t.equal(failureOf(`+${"x".repeat(70_000)}`), "LIMIT a reply line of more than 65536 bytes is refused");
  t.equal(failureOf("+OK\r\n".repeat(100), limits), "none", "each message counts for itself");
  t.end();
});

t.test("any bytes, cut anywhere, end in messages or one named refusal and never in another error", (t) => {
  const resp = fc.stringMatching(/^([-+:,#(_$*%>|~!=][0-9a-z.-]{0,3}(\r\n|\n)?){0,20}$/);
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    resp.map((text) => Buffer.from(text, "latin1")),
  );
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 6 }), (chunks) => {
      const parser = createReplyParser({ maxBytes: 1000, maxValues: 100, maxDepth: 8 });
      for (const chunk of chunks) parser.push(chunk);
      const whole = createReplyParser({ maxBytes: 1000, maxValues: 100, maxDepth: 8 });
      whole.push(Buffer.concat(chunks));
      return parser.failure?.message === whole.failure?.message;
    }),
    { numRuns: 2000 },
  );
  t.end();
});
