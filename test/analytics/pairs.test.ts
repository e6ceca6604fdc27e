import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import fc from "fast-check";
import t from "tap";

import { createPairCounts, createPairParser, type PairCounts } from "../../analytics/pairs.ts";
import { readNumber, readValue } from "../../analytics/value.ts";
import type { VariableValue } from "../../agent/contract/variable.ts";
import { cuts } from "../helpers/cuts.ts";

type Pair = readonly [string, VariableValue];

interface Read extends Omit<PairCounts, "bytes" | "pairs" | "refused"> {
  readonly pairs: readonly Pair[];
}

/** What a parser makes of bytes that come in these parts. `end` is how they end. */
function read(chunks: readonly Buffer[], end: "finish" | "abandon" = "finish", maxPairBytes = 1000): Read {
  const pairs: Pair[] = [];
  const counts = createPairCounts();
  const parser = createPairParser({
    counts,
    maxPairBytes,
    sink: {
      begin: () => undefined,
      takeNumber: (bytes, start, stop, value) => pairs.push([bytes.toString("utf8", start, stop), value]),
      takeValue: (bytes, start, stop, value) => pairs.push([bytes.toString("utf8", start, stop), value]),
    },
  });
  let completed = 0;
  // A parser may not look at a chunk again: sources read the next one into the same memory.
  for (const chunk of chunks) {
    const passing = Buffer.from(chunk);
    completed += parser.push(passing);
    passing.fill("=");
  }
  assert.equal(completed, pairs.length);
  parser[end]();
  return { pairs, malformed: counts.malformed, tooLong: counts.tooLong, torn: counts.torn };
}

const WELL = { malformed: 0, tooLong: 0, torn: 0 };

const GRAMMAR: readonly (readonly [string, readonly Pair[], Partial<Read>?])[] = [
  ["", []],
  ["a=1", [["a", 1]]],
  [
    "a=1,b=2\nc=3\r\nd=4\re=5",
    [
      ["a", 1],
      ["b", 2],
      ["c", 3],
      ["d", 4],
      ["e", 5],
    ],
  ],
  [",,\n\r\n , \t\n", []],
  [
    "  speed =\t 3.5 ,  gear=2  ",
    [
      ["speed", 3.5],
      ["gear", 2],
    ],
  ],
  ["url=a=b=c", [["url", "a=b=c"]]],
  [
    "empty=,next=1",
    [
      ["empty", ""],
      ["next", 1],
    ],
  ],
  [
    "match=True,a=true,b=False,c=FALSE,d=truth",
    [
      ["match", true],
      ["a", true],
      ["b", false],
      ["c", false],
      ["d", "truth"],
    ],
  ],
  [
    "a=-1.50,b=+2,c=.5,d=5.,e=1e3,f=-2.5E-3,g=007",
    [
      ["a", -1.5],
      ["b", 2],
      ["c", 0.5],
      ["d", 5],
      ["e", 1000],
      ["f", -0.0025],
      ["g", 7],
    ],
  ],
  [
    "a=1.2.3,b=1e,c=--1,d=0x10,e=1_000,f=.,g=-",
    [
      ["a", "1.2.3"],
      ["b", "1e"],
      ["c", "--1"],
      ["d", "0x10"],
      ["e", "1_000"],
      ["f", "."],
      ["g", "-"],
    ],
  ],
  [
    "a=0.30000000000000004,b=12345678901234567890,c=1e999",
    [
      ["a", 0.1 + 0.2],
      ["b", 12345678901234567890],
      ["c", Infinity],
    ],
  ],
  [
    "a=nan,b=-inf,c=Infinity,d=NaN,e=information",
    [
      ["a", NaN],
      ["b", NaN],
      ["c", NaN],
      ["d", NaN],
      ["e", "information"],
    ],
  ],
  [
    'a="x, y = z",b=\'it, is\',c="12",d=""',
    [
      ["a", "x, y = z"],
      ["b", "it, is"],
      ["c", "12"],
      ["d", ""],
    ],
  ],
  [
    "a='b' or 'c',d=it's,e=1",
    [
      ["a", "'b' or 'c'"],
      ["d", "it's"],
      ["e", 1],
    ],
  ],
  [
    "fds={'22', '20'},x=1",
    [
      ["fds", "{'22', '20'}"],
      ["x", 1],
    ],
  ],
  [
    "scan=[1.2 3  4],s=[1,2, 3],t=[1 , -2.5e0],none=[],one=[ 7 ]",
    [
      ["scan", [1.2, 3, 4]],
      ["s", [1, 2, 3]],
      ["t", [1, -2.5]],
      ["none", []],
      ["one", [7]],
    ],
  ],
  [
    "a=[1,,2],b=[1,],c=[,1],d=[1 x],e=[1][2],f=[[1],[2]]",
    [
      ["a", "[1,,2]"],
      ["b", "[1,]"],
      ["c", "[,1]"],
      ["d", "[1 x]"],
      ["e", "[1][2]"],
      ["f", "[[1],[2]]"],
    ],
  ],
  [
    "scan=[1 nan inf],x=1",
    [
      ["scan", [1, NaN, NaN]],
      ["x", 1],
    ],
  ],
  [
    "a={'b': [1, 2], 'c': {}},d=f(1],e=1",
    [
      ["a", "{'b': [1, 2], 'c': {}}"],
      ["d", "f(1]"],
      ["e", 1],
    ],
  ],
  [
    "höhe=1,b=größer",
    [
      ["höhe", 1],
      ["b", "größer"],
    ],
  ],
  [
    "KERNEL_ANALYTICS_STREAMING_START\0\0\0\0a=1\0b=2",
    [
      ["a", 1],
      ["b", 2],
    ],
  ],
  ["no pair,=1, = 2,ok=3", [["ok", 3]], { malformed: 3 }],
  [
    'a=[1,2\nb=3,c="x,y\nd=4,e={,f=5',
    [
      ["b", 3],
      ["d", 4],
    ],
    { malformed: 3 },
  ],
];

t.test("pairs are read as the grammar says, however the bytes are cut", (t) => {
  for (const [text, pairs, counts] of GRAMMAR) {
    const bytes = Buffer.from(text, "utf8").toString("latin1");
    for (const chunks of cuts(bytes)) {
      t.strictSame(read(chunks), { ...WELL, ...counts, pairs }, `${JSON.stringify(text)} in ${chunks.length} parts`);
    }
  }
  t.end();
});

interface Recording {
  readonly title: string;
  readonly sent?: readonly string[];
  readonly file?: string;
  readonly pairs: readonly Pair[];
}

t.test("recorded sessions of the original give their pairs, however the bytes are cut", (t) => {
  const fixture = new URL("../fixtures/", import.meta.url);
  const { recordings } = JSON.parse(readFileSync(new URL("analytics-recordings.json", fixture), "utf8")) as {
    recordings: readonly Recording[];
  };
  for (const { title, sent, file, pairs } of recordings) {
    if (sent !== undefined) t.strictSame(read(sent.map((text) => Buffer.from(text))), { ...WELL, pairs }, `${title}, as it was sent`);
    const bytes = sent?.join("") ?? readFileSync(new URL(file ?? "", fixture), "latin1");
    for (const chunks of cuts(bytes)) t.strictSame(read(chunks), { ...WELL, pairs }, `${title}, in ${chunks.length} parts`);
  }
  t.end();
});

t.test("a pair longer than the limit is dropped, counted once, and what follows its separator is read", (t) => {
  const long = "x".repeat(40);
  for (const [text, pairs, tooLong] of [
    [
      `a=1,b=${long},c=3\n`,
      [
        ["a", 1],
        ["c", 3],
      ],
      1,
    ],
    [`${long},c=3\n`, [["c", 3]], 1],
    [`b="${long},no=1",c=3\n`, [["c", 3]], 1],
    [`b=[${long},no=1\nc=3\n`, [["c", 3]], 1],
    [`${" ".repeat(40)}\n${long}\n${long}=1,c=3\n`, [["c", 3]], 3],
    [
      `abcdefgh=1234567890a,c=3\n`,
      [
        ["abcdefgh", "1234567890a"],
        ["c", 3],
      ],
      0,
    ],
    [`abcdefgh=1234567890ab,c=3\n`, [["c", 3]], 1],
  ] as const) {
    for (const chunks of cuts(text)) t.strictSame(read(chunks, "abandon", 20), { ...WELL, tooLong, pairs }, JSON.stringify(text));
  }
  t.end();
});

t.test("a long list is read whole, in pieces, and byte by byte", (t) => {
  const numbers = Array.from({ length: 720 }, (_, i) => i / 8);
  const bytes = Buffer.from(`a=1,scan=[${numbers.join(" ")}],b=2\n`);
  for (const size of [1, 7, 300, 1000, bytes.length]) {
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
    const expected = [["a", 1] as const, ["scan", numbers] as const, ["b", 2] as const];
    t.strictSame(read(chunks, "abandon", bytes.length), { ...WELL, pairs: expected }, `${size} bytes at a time`);
  }
  t.end();
});

t.test("a pair that a connection's end cuts off is not taken: half a number is a wrong number", (t) => {
  t.strictSame(read([Buffer.from("a=1\nbattery_v=12")], "abandon"), { ...WELL, torn: 1, pairs: [["a", 1]] });
  t.strictSame(read([Buffer.from("a=1\n  ")], "abandon"), { ...WELL, pairs: [["a", 1]] });
  t.end();
});

t.test("numbers are read exactly as the language reads them", (t) => {
  const readText = (text: string): number => readNumber(Buffer.from(`=${text},9`), 1, 1 + text.length);
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (number) => {
      assert.ok(Object.is(readText(String(number)), Number(String(number))), String(number));
    }),
  );
  fc.assert(
    fc.property(fc.bigInt(0n, 10n ** 18n), fc.nat(20), fc.constantFrom("", "-", "+"), (digits, point, sign) => {
      const text = `${sign}${String(digits).padStart(point + 1, "0")}`;
      const withPoint = `${text.slice(0, text.length - point)}.${text.slice(text.length - point)}`;
      assert.ok(Object.is(readText(withPoint), Number(withPoint)), withPoint);
    }),
  );
  t.end();
});

/** The grammar again, slowly, a line at a time. */
function reference(text: string, maxPairBytes: number): Read {
  const pairs: Pair[] = [];
  const counted = { malformed: 0, tooLong: 0, torn: 0 };
  for (const line of text.split(/[\n\r\0]/)) {
    let rest = line;
    while (rest !== "") {
      const { segment, whole } = firstSegment(rest);
      rest = rest.slice(segment.length + 1);
      const [, name = "", value = ""] = /^([^=]*)=(.*)$/s.exec(segment) ?? [];
      if (segment.length > maxPairBytes) counted.tooLong += 1;
      else if (blankless(segment) === "" || blankless(segment) === "KERNEL_ANALYTICS_STREAMING_START") continue;
      else if (blankless(name) === "" || !whole) counted.malformed += 1;
      else {
        const trimmed = Buffer.from(blankless(value), "latin1");
        pairs.push([Buffer.from(blankless(name), "latin1").toString("utf8"), readValue(trimmed, 0, trimmed.length)]);
      }
    }
  }
  return { ...counted, pairs };
}

/** Only what the grammar calls blank; `trim` knows more. */
function blankless(text: string): string {
  return text.replace(/^[\t-\r ]+/, "").replace(/[\t-\r ]+$/, "");
}

/** Up to the first comma that separates; `whole` when every quote and bracket in it is closed. */
function firstSegment(line: string): { segment: string; whole: boolean } {
  const head = /^[^=,]*/.exec(line)?.[0] ?? "";
  if (line[head.length] !== "=") return { segment: head, whole: true };
  const value = line.slice(head.length + 1);
  const quoted = /^[\t-\r ]*("[^"]*"|'[^']*')/.exec(value)?.[0];
  if (quoted === undefined && /^[\t-\r ]*["']/.test(value)) return { segment: line, whole: false };
  let at = quoted?.length ?? 0;
  let depth = 0;
  for (; at < value.length && !(value[at] === "," && depth === 0); at++) {
    if ("[{".includes(value[at]!)) depth++;
    else if ("]}".includes(value[at]!) && depth > 0) depth--;
  }
  return { segment: line.slice(0, head.length + 1 + at), whole: depth === 0 };
}

t.test("any bytes, cut anywhere, give what a slow reading of the grammar gives", (t) => {
  const piece = fc.constantFrom(
    ...Array.from("ab=,[]{}\"' 1.-e\n\r\0\t"),
    "nan",
    "=1,",
    "[1 2]",
    "x=",
    ",y=[",
    "é",
    "KERNEL_ANALYTICS_STREAMING_START",
    "z".repeat(30),
  );
  const text = fc.oneof(
    fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join("")),
    fc.string({ unit: "binary", maxLength: 60 }),
  );
  fc.assert(
    fc.property(text, fc.array(fc.nat(80), { maxLength: 6 }), fc.constantFrom(10, 25, 1000), (characters, places, maxPairBytes) => {
      const bytes = Buffer.from(characters, "utf8");
      const ends = [...places.filter((place) => place < bytes.length).sort((a, b) => a - b), bytes.length];
      const chunks = ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
      assert.deepEqual(read(chunks, "finish", maxPairBytes), reference(bytes.toString("latin1"), maxPairBytes), JSON.stringify(characters));
    }),
    { numRuns: 500 },
  );
  t.end();
});
