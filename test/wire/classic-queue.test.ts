import fc from "fast-check";
import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { errorReply, OK, valueReply, type Reply, type Request } from "../../agent/contract/request.ts";
import { CLONE_ACKNOWLEDGEMENT } from "../../agent/wire/classic-clone.ts";
import { createQueueGrammar, QUEUE_TOKEN, type QueueReplyStyle } from "../../agent/wire/classic-queue.ts";
import { CLASSIC_REPLY_BYTES, createClassicCodec } from "../../agent/wire/classic.ts";
import { cuts } from "../helpers/cuts.ts";
import { createTextSink } from "../helpers/text-sink.ts";

function openCodec(queueReply: QueueReplyStyle = "ack") {
  return createClassicCodec({ classicMaxBytes: 3000 }, createQueueGrammar({ queueReply }));
}

/** What bytes ask for that come cut in some way and are followed by silence; `LIMIT` when they are refused. */
function hear(chunks: readonly Uint8Array[]): readonly Request[] | string {
  const codec = openCodec();
  const requests = [...chunks.flatMap((chunk) => codec.push(chunk)), ...codec.quiet()];
  return codec.failure === undefined ? requests : codec.failure.code;
}

function reply(answer: Reply, style?: QueueReplyStyle): string {
  const sink = createTextSink();
  openCodec(style).format(answer, { verb: QUEUE_TOKEN, args: ["x"] }, sink);
  return sink.take();
}

const token = (payload: string): readonly Request[] => [{ verb: QUEUE_TOKEN, args: [payload] }];

t.test("the first word is the payload, whatever it looks like and however it is cut", (t) => {
  for (const payload of [
    "KingCobra",
    "VirgoQueue_KingCobra_6October2017",
    "REQUEST#1#1:1#x",
    "REPL",
    "REPLY",
    "xREPLY#",
    '"quoted"',
    "a(b)",
    "\xff\x01",
  ]) {
    for (const end of ["\r\n", "\n", "\0\0\xff", " ", " more words\r\n", ""]) {
      for (const chunks of cuts(payload + end)) t.strictSame(hear(chunks), token(payload), JSON.stringify(payload + end));
    }
  }
  t.end();
});

t.test("a reply is the whole line", (t) => {
  const text = "REPLY#1000000#1408964032:335925644 :--- from kingcobra_servicerequest_kernelspace() to client";
  for (const end of ["\0\xff\xff stack", "\r\n", "\n", ""]) {
    for (const chunks of cuts(text + end)) t.strictSame(hear(chunks), token(text));
  }
  t.strictSame(hear([Buffer.from("REPLY#1#1:2x $$\n :--- from")]), token("REPLY#1#1:2x $$"));
  t.strictSame(hear([Buffer.from("REPLY# ")]), token("REPLY# "));
  t.end();
});

t.test("delimiters alone are the empty payload, nothing at all is no request, too much is refused", (t) => {
  for (const bytes of ["\r\n", " x", "\0"]) t.strictSame(hear([Buffer.from(bytes)]), token(""));
  t.strictSame(hear([]), []);
  const most = "x".repeat(3000);
  t.strictSame(hear([Buffer.from(`${most}\r\n`)]), token(most));
  t.equal(hear([Buffer.from(`${most}x\r\n`)]), "LIMIT");
  t.end();
});

t.test("no bytes are taken for anything else than one payload without blanks", async (t) => {
  await t.resolves(
    fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), async (chunks) => {
        const heard = hear(chunks);
        if (heard.length > 1) throw new Error("two requests");
        const [request] = heard as readonly Request[];
        if (request === undefined) return;
        const [payload = ""] = request.args;
        if (/[\r\n\0]/.test(payload) || (payload.includes(" ") && !payload.startsWith("REPLY#"))) throw new Error("more than a word");
      }),
    ),
  );
});

t.test("what was taken is acknowledged as virgo_clone does, or with NULs alone", (t) => {
  const nuls = "\0".repeat(CLASSIC_REPLY_BYTES);
  const acknowledged = CLONE_ACKNOWLEDGEMENT.padEnd(CLASSIC_REPLY_BYTES, "\0");
  for (const answer of [valueReply(7), valueReply(null), OK]) {
    t.equal(reply(answer), acknowledged);
    t.equal(reply(answer, "nul"), nuls);
  }
  for (const code of ["FULL", "IO", "UNKNOWN", "DENIED"] as const) {
    t.equal(reply(errorReply(new AgentError(code, "100 messages are queued already"))), nuls, `${code} is never acknowledged`);
    t.equal(reply(errorReply(new AgentError(code, "x")), "nul"), nuls);
  }
  t.end();
});
