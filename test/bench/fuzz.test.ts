import fc from "fast-check";
import t from "tap";

import { splitInline } from "../../agent/wire/inline.ts";
import { casesOf } from "../../bench/campaigns/fuzz/cases.ts";
import { clone } from "../../bench/campaigns/fuzz/grammars/clone.ts";
import { eventnet } from "../../bench/campaigns/fuzz/grammars/eventnet.ts";
import { files } from "../../bench/campaigns/fuzz/grammars/files.ts";
import { gateway } from "../../bench/campaigns/fuzz/grammars/gateway.ts";
import { memory } from "../../bench/campaigns/fuzz/grammars/memory.ts";
import { queue } from "../../bench/campaigns/fuzz/grammars/queue.ts";
import { createHandles, handleName } from "../../bench/campaigns/fuzz/handles.ts";
import { createTally, judge } from "../../bench/campaigns/fuzz/judge.ts";
import { bytesOfPiece, filled, lineOf, partsOf, type Case, type Piece } from "../../bench/campaigns/fuzz/piece.ts";

function ask(words: readonly string[], more: { readonly expected?: string; readonly ends?: boolean } = {}): Piece {
  return { kind: "request", form: "array", words, ends: false, ...more };
}

/** What the judge makes of `received` as the answer to `pieces`. */
function judged(dialect: Case["dialect"], pieces: readonly Piece[], received: string, end: "closed" | "reset" | "hung" = "closed") {
  const tally = createTally();
  judge(
    { dialect, pieces, cuts: [], sent: pieces.map(bytesOfPiece) },
    { received: Buffer.from(received, "latin1"), end },
    tally,
    createHandles(),
  );
  return tally;
}

const TWO_PINGS = [ask(["PING"]), ask(["PING", "abc"], { expected: "abc" })];

t.test("one reply to each request is right", async (t) => {
  const tally = judged("modern", TWO_PINGS, "+PONG\r\n$3\r\nabc\r\n");
  t.match(tally, { wrong: 0, requests: 2, replies: 2, errors: 0 });
});

t.test("a reply that is missing, too many, garbled or somebody else's is found out", async (t) => {
  t.equal(judged("modern", TWO_PINGS, "+PONG\r\n").wrong, 1);
  t.equal(judged("modern", TWO_PINGS, "+PONG\r\n$3\r\nabc\r\n+PONG\r\n").wrong, 1);
  t.equal(judged("modern", TWO_PINGS, "+PONG\r\n$3abc\r\n").wrong, 1);
  t.ok(judged("modern", TWO_PINGS, "$3\r\nabc\r\n+PONG\r\n").wrong > 0);
});

t.test("a connection that hangs, is reset or tells of an internal error is counted", async (t) => {
  t.equal(judged("modern", TWO_PINGS, "", "hung").hung, 1);
  t.match(judged("modern", TWO_PINGS, "+PONG\r\n", "reset"), { resets: 1, wrong: 0 });
  t.match(judged("modern", [ask(["PING"])], "-IO internal error while answering PING\r\n"), { internalErrors: 1, codes: { IO: 1 } });
});

t.test("nothing is expected after a request that ends the connection, or of what nobody knows", async (t) => {
  t.equal(judged("modern", [ask(["QUIT"], { ends: true }), ask(["PING"])], "+OK\r\n").wrong, 0);
  const mutated: Piece = { kind: "bytes", bytes: "*1\r\n$4\r\nPING\r\n", edits: [{ at: 0, remove: 1, insert: "" }], answers: "any" };
  t.equal(judged("modern", [ask(["PING"]), mutated], "+PONG\r\n-SYNTAX no\r\n").wrong, 0);
  t.equal(judged("modern", [ask(["PING"]), mutated], "").wrong, 1, "but what came before it is");
});

t.test("what was subscribed to counts for no reply, wherever it comes", async (t) => {
  const pieces = [...TWO_PINGS, ask(["EVENT.TAIL"]), ask(["PING"])];
  const pushed = "*3\r\n$5\r\nevent\r\n$4\r\nedge\r\n:7\r\n";
  t.equal(judged("modern", pieces, `${pushed}+PONG\r\n${pushed}$3\r\nabc\r\n+OK\r\n`).wrong, 0);
  t.equal(judged("modern", pieces, `${pushed}+PONG\r\n${pushed}`).wrong, 1);
});

t.test("a classic reply has 500 bytes and nothing but zeros behind its text", async (t) => {
  const pieces: readonly Piece[] = [{ kind: "bytes", bytes: "lamp.on\n", edits: [], answers: "one" }];
  t.match(judged("classic", pieces, "done".padEnd(500, "\0")), { wrong: 0, replies: 1 });
  t.equal(judged("classic", pieces, "done".padEnd(499, "\0")).wrong, 1);
  t.equal(judged("classic", pieces, "").wrong, 1);
  t.equal(judged("classic", pieces, "done\0secret".padEnd(500, "\0")).wrong, 1);
});

t.test("a handle stands for what was given out lately, until it is given back", async (t) => {
  const handles = createHandles();
  const read = ask(["FREAD", handleName("descriptor"), "10"]);
  t.match(filled(read, handles), { words: ["FREAD", "0", "10"] });
  handles.learn(["fopen", "a"], { kind: "value", value: 41 });
  t.match(filled(read, handles), { words: ["FREAD", "41", "10"] });
  handles.learn(["FCLOSE", "41"], { kind: "status", text: "OK" });
  t.match(filled(read, handles), { words: ["FREAD", "0", "10"] });
  handles.learn(["DEQUEUE"], { kind: "value", value: ["id", 7, "topic", "a"] });
  t.match(filled(ask(["ACK", handleName("message")]), handles), { words: ["ACK", "7"] });
});

t.test("a typed line is read back as the words it was made of", async (t) => {
  const word = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 12 });
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 5 }), (words) => {
      t.same(splitInline(lineOf(words).slice(0, -2)), words);
    }),
  );
});

t.test("cutting loses nothing", async (t) => {
  fc.assert(
    fc.property(fc.string(), fc.array(fc.nat(), { maxLength: 6 }), (text, cuts) => {
      const parts = partsOf(text, { dialect: "none", pieces: [], cuts });
      t.equal(Buffer.concat(parts).toString("latin1"), Buffer.from(text, "latin1").toString("latin1"));
      t.equal(parts.length, cuts.length + 1);
    }),
  );
});

t.test("every grammar makes cases of every dialect it has, bytes only, the same ones from the same seed", async (t) => {
  for (const [name, grammar] of Object.entries({ gateway, clone, eventnet, memory, files, queue })) {
    const cases = fc.sample(casesOf(grammar), { seed: 5, numRuns: 300 });
    const dialects = new Set(cases.map(({ dialect }) => dialect));
    t.same([...dialects].sort(), grammar.classic === undefined ? ["modern", "none"] : ["classic", "modern", "none"], name);
    const handles = createHandles();
    const bytes = cases.flatMap(({ pieces }) => pieces.map((piece) => bytesOfPiece(filled(piece, handles)))).join("");
    t.notMatch(bytes, /[^\u0000-\u00ff]/, `${name} sends bytes`);
    t.same(fc.sample(casesOf(grammar), { seed: 5, numRuns: 300 }), cases, `${name} is repeatable`);
  }
});
