import fc from "fast-check";
import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { errorReply, valueReply, type Reply, type Request } from "../../agent/contract/request.ts";
import { EVENTNET_UPDATED, eventsGrammar } from "../../agent/wire/classic-events.ts";
import { CLASSIC_REPLY_BYTES, createClassicCodec } from "../../agent/wire/classic.ts";
import { cuts } from "../helpers/cuts.ts";
import { createTextSink } from "../helpers/text-sink.ts";

const openCodec = () => createClassicCodec({ classicMaxBytes: 3000 }, eventsGrammar);

/** The request and what was wrong with it, of bytes that come cut in some way and are followed by silence. */
function hear(chunks: readonly Uint8Array[]): { readonly requests: readonly Request[]; readonly failure: string } {
  const codec = openCodec();
  const requests = [...chunks.flatMap((chunk) => codec.push(chunk)), ...codec.quiet()];
  return { requests, failure: codec.failure === undefined ? "" : `${codec.failure.code} ${codec.failure.message}` };
}

function said(text: string): readonly string[] | string {
  const { requests, failure } = hear([Buffer.from(text, "latin1")]);
  const [request] = requests;
  return request === undefined ? failure : [request.verb, ...request.args];
}

function reply(answer: Reply, request: Request | undefined): string {
  const sink = createTextSink();
  openCodec().format(answer, request, sink);
  return sink.take();
}

const edge = (...args: string[]) => ["EVENTNET.EDGE", ...args];
const vertex = (...args: string[]) => ["EVENTNET.VERTEX", ...args];

t.test("the recorded messages are understood however they are cut and ended", (t) => {
  const recorded: readonly (readonly [string, readonly string[]])[] = [
    ["eventnet_edgemsg#1#2#", edge("1", "2")],
    ["eventnet_edgemsg#5#8#", edge("5", "8")],
    ["eventnet_vertexmsg#1#15#19#", vertex("1", "15,19", "15,19")],
    ["eventnet_vertexmsg#1#18#12#", vertex("1", "18,12", "18,12")],
  ];
  for (const [text, [verb = "", ...args]] of recorded) {
    const expected = { requests: [{ verb, args }], failure: "" };
    for (const end of ["\r\n", "\n", "\0", ""]) for (const chunks of cuts(text + end)) t.strictSame(hear(chunks), expected, text + end);
    const buffer = Buffer.alloc(500, 0x7f);
    buffer.write(`${text}\0`, "latin1");
    t.strictSame(hear([buffer]), expected, "as the kernel client sends it: 500 bytes with what its stack held");
    t.strictSame(hear([Buffer.concat([buffer, Buffer.alloc(2500, "#9")])]), expected, "and padded to 3000");
  }
  t.end();
});

t.test("an edge has two fields, or three with the documented id first; what follows more is ignored", (t) => {
  for (const text of [
    "#5#7#",
    "#5#7",
    "#5#7##",
    "#5#7# ",
    "#9#5#7",
    "#9#5#7#",
    "#5#7#x#y#",
    "-5-7-",
    "-5-7",
    "-9-5-7-",
    "#5-7",
    "#9-5-7#",
  ]) {
    t.strictSame(said(`eventnet_edgemsg${text}\r\n`), edge("5", "7"), text);
  }
  t.end();
});

t.test("an edge's ends are any text: spaces, dashes and commas survive", (t) => {
  t.strictSame(said("eventnet_edgemsg#brake pedal#lights on#\r\n"), edge("brake pedal", "lights on"));
  t.strictSame(said("eventnet_edgemsg#low-beam#a,b#\r\n"), edge("low-beam", "a,b"));
  t.strictSame(said("eventnet_edgemsg#caf\xc3\xa9#(x)\n"), edge("caf\xc3\xa9", "(x)"));
  t.end();
});

t.test("a vertex in either spelling, with either separator", (t) => {
  for (const keyword of ["eventnet_vertexmsg", "eventnet_vertextmsg"]) {
    t.strictSame(said(`${keyword}#7#11#12#\n`), vertex("7", "11,12", "11,12"));
    t.strictSame(said(`${keyword}#7#11#12\n`), vertex("7", "11,12", "11,12"), "without the last #");
    t.strictSame(said(`${keyword}#7#11#12#13#14#\n`), vertex("7", "11,12", "11,12"), "what follows is ignored, as the original does");
    t.strictSame(said(`${keyword}#007#11#11#\n`), vertex("007", "11,11", "11,11"));
    t.strictSame(said(`${keyword}#7-11,12-(11,12)\n`), vertex("7", "11,12", "11,12"));
    t.strictSame(said(`${keyword}#7-11, 12-(11,12)#(12,11)#\n`), vertex("7", "11, 12", "11,12", "12,11"));
    t.strictSame(said(`${keyword}-7-11,12-(11,12)\n`), vertex("7", "11,12", "11,12"));
    t.strictSame(said(`${keyword}-7-11-12-\n`), vertex("7", "11,12", "11,12"), "dashes instead of #");
    t.strictSame(said(`${keyword}#7-11,12-11,12\n`), vertex("7", "11,12", "11,12"), "conversations without parentheses");
    t.strictSame(said(`${keyword}#7-11,12\n`), vertex("7", "11,12", "11,12"));
    t.strictSame(said(`${keyword}#7#11,12#(11,12)#(12,11)#\n`), vertex("7", "11,12", "11,12", "12,11"), "lists in the fields");
    t.strictSame(said(`${keyword}#7#11#\n`), vertex("7", "11", "11"), "one alone");
    t.strictSame(
      said(`${keyword}#door#front left#10.0.0.1 eth0#\n`),
      vertex("door", "front left,10.0.0.1 eth0", "front left,10.0.0.1 eth0"),
    );
    t.strictSame(said(`${keyword}#low-beam#op-1#op-2#\n`), vertex("low-beam", "op-1,op-2", "op-1,op-2"), "dashes within names");
    t.strictSame(said(`${keyword}#door-a,b-(a,b)#(b,a)\n`), vertex("door", "a,b", "a,b", "b,a"), "documented, with a name");
  }
  t.end();
});

t.test("what is no message is SYNTAX and says why", (t) => {
  const mistakes: readonly (readonly [string, RegExp])[] = [
    ["\r\n", /^SYNTAX "" is no message of EventNet: it starts neither eventnet_edgemsg# nor eventnet_vertexmsg#/],
    ["eventnet_edgemsg\r\n", /^SYNTAX "eventnet_edgemsg" is no message/],
    ["eventnet_edge#1#2#\r\n", /^SYNTAX/],
    ["EVENTNET_EDGEMSG#1#2#\r\n", /^SYNTAX/],
    ["eventnet_edgemsg#\r\n", /an edge has two events/],
    ["eventnet_edgemsg#1#\r\n", /an edge has two events/],
    ["eventnet_edgemsg##2#\r\n", /an edge has two events/],
    ["eventnet_edgemsg#1##2#x#\r\n", /an edge has two events/],
    ["eventnet_vertexmsg#1#\r\n", /a vertex has an id and who takes part/],
    ["eventnet_vertexmsg#1##\r\n", /a vertex has an id/],
    ["eventnet_vertexmsg##a#b#\r\n", /a vertex has an id/],
    ["eventnet_vertexmsg#1#,#\r\n", /a vertex has an id/],
    ["eventnet_vertexmsg#1--(a,b)\r\n", /a vertex has an id/],
  ];
  for (const [text, why] of mistakes) {
    const heard = hear([Buffer.from(text)]);
    t.strictSame(heard.requests, [], text);
    t.match(heard.failure, why, text);
  }
  t.match(hear([Buffer.alloc(3001, "e")]).failure, /^LIMIT /);
  t.end();
});

t.test("done is always EventNet updated in 500 bytes; anything else is an empty payload", (t) => {
  const request = { verb: "EVENTNET.EDGE", args: ["1", "2"] };
  t.equal(EVENTNET_UPDATED.length, 16);
  t.equal(reply(valueReply(12), request), EVENTNET_UPDATED + "\0".repeat(CLASSIC_REPLY_BYTES - 16));
  const empty = "\0".repeat(CLASSIC_REPLY_BYTES);
  t.equal(reply(errorReply(new AgentError("FULL", "no room")), request), empty);
  t.equal(reply(errorReply(new AgentError("SYNTAX", "not a message")), undefined), empty);
  t.end();
});

t.test("garbage makes a request with fields or a failure, in time by its length, however it is cut", (t) => {
  const piece = fc.constantFrom(
    "eventnet_edgemsg",
    "eventnet_vertexmsg",
    "eventnet_vertextmsg",
    "#",
    "-",
    ",",
    "(",
    ")",
    " ",
    "7",
    "a",
    "\xff",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), fc.nat(), (pieces, at) => {
      const bytes = Buffer.from(`${pieces.join("")}\n`, "latin1");
      const whole = hear([bytes]);
      const cut = at % bytes.length;
      t.strictSame(hear([bytes.subarray(0, cut), bytes.subarray(cut)]), whole);
      const [request] = whole.requests;
      if (request === undefined) return whole.failure.startsWith("SYNTAX");
      return request.args.length >= 2 && request.args.every((field) => field.trim() !== "");
    }),
  );
  const started = hear([Buffer.from(`eventnet_vertexmsg#1-${"(".repeat(2900)}\n`)]);
  t.equal(started.requests.length, 1);
  t.end();
});
