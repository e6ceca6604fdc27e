import fc from "fast-check";
import t from "tap";

import { edgeLine, orderingLine, unescaped, vertexLine } from "../../../agent/services/events/file-format.ts";
import { readEdgesFile, readVerticesFile } from "../../../agent/services/events/file-reader.ts";

/** Bytes given as hexadecimal digits, one character per byte. */
const bytes = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex").toString("latin1");

const name = fc
  .array(fc.constantFrom(...Array.from("ab7 -,#()%2C.\xc3\xa9")), { minLength: 1, maxLength: 8 })
  .map((characters) => characters.join(""))
  .filter((text) => text.trim() === text && !Buffer.from(text, "latin1").toString("utf8").includes("\uFFFD"));

t.test("the original's edges are read with the NUL it leaves after each line", (t) => {
  const written = bytes("312c320a00 352c380a00 352c370a00 372c380a00 352c380a00");
  const found = [
    ["1", "2"],
    ["5", "8"],
    ["5", "7"],
    ["7", "8"],
    ["5", "8"],
  ].map(([from = "", to = ""]) => ({ from, to }));
  t.strictSame(readEdgesFile(written), { found, skipped: 0 }, "duplicates are kept, in order");
  t.strictSame(readEdgesFile(written.replaceAll("\0", "")), { found, skipped: 0 }, "as we write it");
  t.strictSame(readEdgesFile(written.replaceAll("\n", "\r\n")), { found, skipped: 0 });
  t.end();
});

t.test("edges are read around blanks and stray bytes; lines that say nothing are counted", (t) => {
  t.strictSame(readEdgesFile(" 007 , 8 \n\x01\x05brake pedal,lights on\0\nno comma\n,5\n5,\n\n   \na,b,c\n\xff,1\n9,10"), {
    found: [
      { from: "7", to: "8" },
      { from: "brake pedal", to: "lights on" },
      { from: "a", to: "b,c" },
      { from: "9", to: "10" },
    ],
    skipped: 4,
  });
  t.strictSame(readEdgesFile(""), { found: [], skipped: 0 });
  t.end();
});

t.test("a vertex that the original wrote over several lines, with a stray byte, is one record", (t) => {
  const written = bytes(
    "3120 2020 2d20 2020 3131 2c31 3220 2c31 352c 3139 202c 3138 2c31 3220 2d20 2020 2831 312c 3132 290a 0523 2831 352c 3139 290a 2328 3138 2c31 3229 0a00",
  );
  t.equal(written.length, 60);
  const vertex = {
    id: "1",
    partakers: ["11", "12", "15", "19", "18"],
    conversations: [
      ["11", "12"],
      ["15", "19"],
      ["18", "12"],
    ],
  };
  t.strictSame(readVerticesFile(written), { found: [vertex], skipped: 0 });
  const other = written.replace("\x05", "\x01b").replace("\0", "");
  t.strictSame(readVerticesFile(other), { found: [vertex], skipped: 0 }, "with the other sample's stray bytes, one of them a letter");
  t.end();
});

t.test("a conversation that the original wrote after the records that followed goes to the one whose partakers it has", (t) => {
  const { found } = readVerticesFile("1 - a,b,x,y - (a,b)\n2 - c,d - (c,d)\n\x05#(x,y)\n3 - e,f - (e,f)\n#(q,r)\n\0");
  t.strictSame(
    found.map(({ id, conversations }) => [id, conversations.map((names) => names.join())]),
    [
      ["1", ["a,b", "x,y"]],
      ["2", ["c,d"]],
      ["3", ["e,f", "q,r"]],
    ],
  );
  t.end();
});

t.test("the ecosystem's own vertices are read: blanks after commas, stray letters, no partakers", (t) => {
  const text = "0 - p11, p12, p13 - (p11,p12)#(p12,p13)\n6 - p71, p72 - (p71, p72)\n14 - a,b - (a,b)#p(b,a)\n5 -  - \n8 - solo\n";
  t.strictSame(readVerticesFile(text), {
    found: [
      {
        id: "0",
        partakers: ["p11", "p12", "p13"],
        conversations: [
          ["p11", "p12"],
          ["p12", "p13"],
        ],
      },
      { id: "6", partakers: ["p71", "p72"], conversations: [["p71", "p72"]] },
      {
        id: "14",
        partakers: ["a", "b"],
        conversations: [
          ["a", "b"],
          ["b", "a"],
        ],
      },
      { id: "5", partakers: [], conversations: [] },
      { id: "8", partakers: ["solo"], conversations: [] },
    ],
    skipped: 0,
  });
  t.strictSame(readVerticesFile("#(a,b)\njunk\n - a - (a)\n"), { found: [], skipped: 3 }, "nothing to continue, and no id");
  t.end();
});

t.test("lines are written as the readers know them", (t) => {
  t.equal(edgeLine("5", "7"), "5,7\n");
  t.equal(edgeLine("low-beam", "a,b"), "low-beam,a%2Cb\n");
  t.equal(edgeLine("100%", "a%2Cb"), "100%,a%252Cb\n");
  t.equal(
    vertexLine("1", {
      partakers: ["11", "12"],
      conversations: [
        ["11", "12"],
        ["12", "11"],
      ],
    }),
    "1 - 11,12 - (11,12)#(12,11)\n",
  );
  t.equal(vertexLine("5", { partakers: [], conversations: [] }), "5 -  - \n");
  t.equal(vertexLine("low-beam", { partakers: ["a(1)", "#2"], conversations: [["a(1)"]] }), "low%2Dbeam - a%281%29,%232 - (a%281%29)\n");
  t.equal(orderingLine(0, "7"), "0 - 7 \n");
  t.equal(orderingLine(12, "low-beam"), "12 - low%2Dbeam \n");
  t.equal(unescaped("a%2Cb 100% %zz"), "a,b 100% %zz");
  t.end();
});

t.test("what is written is read back as it was, whatever the names", (t) => {
  const id = name.filter((text) => !/^\d+$/.test(text));
  fc.assert(
    fc.property(fc.array(fc.tuple(id, id), { maxLength: 5 }), (edges) => {
      const { found, skipped } = readEdgesFile(edges.map(([from, to]) => edgeLine(from, to)).join(""));
      t.equal(skipped, 0);
      t.strictSame(
        found,
        edges.map(([from, to]) => ({ from, to })),
      );
    }),
  );
  const vertex = fc.record(
    {
      id,
      partakers: fc.uniqueArray(name, { minLength: 1, maxLength: 4 }),
      conversations: fc.array(fc.array(name, { minLength: 1, maxLength: 3 }), { maxLength: 3 }),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(fc.array(vertex, { maxLength: 4 }), (vertices) => {
      t.strictSame(readVerticesFile(vertices.map((written) => vertexLine(written.id, written)).join("")), { found: vertices, skipped: 0 });
    }),
  );
  t.end();
});

t.test("garbage is read without an end or an error", (t) => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...Array.from("1a,-#()\n\0\x05 %\xff")), { maxLength: 60 }), (characters) => {
      const content = characters.join("");
      const lines = content.split("\n").length;
      const edges = readEdgesFile(content);
      const vertices = readVerticesFile(content);
      return edges.found.length + edges.skipped <= lines && vertices.found.length + vertices.skipped <= lines;
    }),
  );
  t.end();
});
