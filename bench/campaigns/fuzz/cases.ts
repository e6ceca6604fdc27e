import fc from "fast-check";

import type { Grammar } from "./grammars/grammar.ts";
import { session, strangers } from "./grammars/session.ts";
import { arrayOf, type BytesPiece, type Case, type Edit, lineOf, type Piece, type RequestPiece } from "./piece.ts";
import { bytes, disturbed, request, type Words } from "./words.ts";

/** Verbs that end a connection, or are followed by what was not asked for: they would spoil the count of the replies. */
const UNCOUNTED: ReadonlySet<string> = new Set(["QUIT", "VAR.WATCH", "EVENT.TAIL"]);

/** Longer than limits.maxRequestBytes together with the rest of a request, and not. */
const LONG_BYTES = [70_000, 200_000];

function isCounted(words: Words): boolean {
  return !UNCOUNTED.has((words[0] ?? "").toUpperCase());
}

function requestPiece(form: RequestPiece["form"], words: Words, ends = false): RequestPiece {
  return { kind: "request", form, words, ends };
}

const edit: fc.Arbitrary<Edit> = fc.record({
  at: fc.nat(),
  remove: fc.oneof(fc.constantFrom(0, 1, 2), fc.integer({ min: 0, max: 5000 })),
  insert: fc.oneof(fc.constant(""), bytes(3), fc.constantFrom("\r\n", "*3\r\n", "$-1\r\n", "$999999999\r\n", "\0", '"')),
});

const malformed = fc
  .constantFrom(
    ...["*-1\r\n", "*x\r\n", "*99999\r\n", "*99999999999999999999", "*1\r\n$-5\r\n", "*1\r\n$999999999\r\n", "*1\r\n$3\r\nPING\r\n"],
    ...[
      "*2\r\n$4\r\nPING\r\n:1\r\n",
      'PING "\r\n',
      "PING 'a'b\r\n",
      `PING ${"x".repeat(70_000)}`,
      "*1\r\n$4\r\nPINGPING",
      "*1\n$4\nPING\n",
    ],
    `*1\r\n$300000\r\n${"x".repeat(100_000)}`,
  )
  .map((text): BytesPiece => ({ kind: "bytes", bytes: text, edits: [], answers: "one" }));

/** A question whose answer is known: whatever is asked around it must not get in between. */
const known = fc
  .stringMatching(/^[a-z0-9]{1,12}$/)
  .map((word): RequestPiece => ({ ...requestPiece("array", ["PING", word]), expected: word }));

const goodbye = fc.constant(requestPiece("array", ["quit"], true));

/** A line's first word must be a verb for a port that speaks both dialects only at the start of a connection; there an array comes first. */
function lines(words: fc.Arbitrary<Words>): fc.Arbitrary<RequestPiece> {
  return words.filter(([verb = ""]) => verb !== "" && !verb.startsWith("*")).map((all) => requestPiece("line", all));
}

/** Several requests in a row, with something done to their bytes. */
function mutated(words: fc.Arbitrary<Words>): fc.Arbitrary<BytesPiece> {
  return fc
    .tuple(fc.array(words, { minLength: 1, maxLength: 4 }), fc.array(edit, { minLength: 1, maxLength: 4 }), fc.boolean())
    .map(([all, edits, typed]) => ({ kind: "bytes", bytes: all.map(typed ? lineOf : arrayOf).join(""), edits, answers: "any" }));
}

function modernCases(grammar: Grammar): fc.Arbitrary<Case> {
  const valid = fc.oneof(
    { weight: 12, arbitrary: grammar.requests },
    { weight: 3, arbitrary: session },
    { weight: 1, arbitrary: strangers },
  );
  const words = disturbed(valid).filter(isCounted);
  const array = words.map((all) => requestPiece("array", all));
  const long = fc.constantFrom(...LONG_BYTES).map((length) => requestPiece("array", ["PING", "x".repeat(length)]));
  const subscription = request("EVENT.TAIL").map((all) => requestPiece("array", all));
  const piece: fc.Arbitrary<Piece> = fc.oneof(
    { weight: 60, arbitrary: array },
    { weight: 20, arbitrary: lines(words) },
    { weight: 10, arbitrary: known },
    { weight: 1, arbitrary: long },
    { weight: 1, arbitrary: goodbye },
    { weight: 3, arbitrary: malformed },
    { weight: 3, arbitrary: mutated(words) },
    { weight: 1, arbitrary: subscription },
  );
  return fc.record({
    dialect: fc.constant("modern" as const),
    pieces: fc.tuple(array, fc.array(piece, { minLength: 10, maxLength: 60 })).map(([first, rest]) => [first, ...rest]),
    cuts: fc.array(fc.nat(), { maxLength: 6 }),
  });
}

/** What follows a classic request: nothing, a line end, the buffer of a system call, or a second thought. */
const ends = fc.constantFrom("\r\n", "\n", "\0", " ", "", "\0".repeat(2900), `\n${"y".repeat(5000)}`);

function classicCases(classic: fc.Arbitrary<string>): fc.Arbitrary<Case> {
  const whole = fc.tuple(classic, ends).map(([text, end]): BytesPiece => ({ kind: "bytes", bytes: text + end, edits: [], answers: "one" }));
  return fc.record({
    dialect: fc.constant("classic" as const),
    pieces: whole.map((one) => [one]),
    cuts: fc.array(fc.nat(), { maxLength: 4 }),
  });
}

/** Bytes that may be either dialect or none. */
function otherCases(grammar: Grammar): fc.Arbitrary<Case> {
  const texts = grammar.classic === undefined ? [bytes(600)] : [bytes(600), grammar.classic];
  const raw = fc
    .tuple(fc.oneof(...texts), fc.array(edit, { maxLength: 4 }))
    .map(([text, edits]): BytesPiece => ({ kind: "bytes", bytes: text, edits, answers: "any" }));
  return fc.record({
    dialect: fc.constant("none" as const),
    pieces: raw.map((one) => [one]),
    cuts: fc.array(fc.nat(), { maxLength: 4 }),
  });
}

/** Connections to a port that speaks `grammar`: most of them modern, since those carry many requests. */
export function casesOf(grammar: Grammar): fc.Arbitrary<Case> {
  const classic = grammar.classic === undefined ? [] : [{ weight: 3, arbitrary: classicCases(grammar.classic) }];
  return fc.oneof({ weight: 6, arbitrary: modernCases(grammar) }, ...classic, { weight: 1, arbitrary: otherCases(grammar) });
}
