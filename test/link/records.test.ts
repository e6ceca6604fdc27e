import assert from "node:assert/strict";

import fc from "fast-check";
import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { createRecordReader, createRecordWriter } from "../../agent/link/records.ts";
import type { VariableValue } from "../../agent/contract/variable.ts";

type Item = { readonly word: string } | { readonly number: number } | { readonly value: VariableValue };

const text = fc.string({ unit: "binary", maxLength: 100 });

const item: fc.Arbitrary<Item> = fc.oneof(
  fc.record({ word: text }),
  fc.record({ number: fc.double() }),
  fc.record({
    value: fc.oneof<fc.Arbitrary<VariableValue>[]>(
      fc.double(),
      fc.boolean(),
      text,
      fc.array(fc.double({ noNaN: true }), { maxLength: 400 }),
    ),
  }),
);

t.test("whatever is written is read again, in any number of messages", (t) => {
  fc.assert(
    fc.property(fc.array(fc.array(item, { maxLength: 20 }), { maxLength: 5 }), (messages) => {
      const writer = createRecordWriter();
      const reader = createRecordReader();
      for (const items of messages) {
        for (const one of items) {
          if ("word" in one) writer.word(one.word);
          else if ("number" in one) writer.number(one.number);
          else writer.value(one.value);
        }
        reader.open(writer.take());
        for (const one of items) {
          if ("word" in one) assert.equal(reader.word(), one.word);
          else if ("number" in one) assert.ok(Object.is(reader.number(), one.number) || Number.isNaN(one.number));
          else assert.deepEqual(reader.value(), one.value);
        }
        assert.ok(reader.done);
      }
    }),
  );
  t.end();
});

t.test("records of any length fit wherever the room ends", (t) => {
  const writer = createRecordWriter();
  const reader = createRecordReader();
  const values: readonly VariableValue[] = [1.5, true, "text", [1, 2], "x".repeat(70)];
  for (let start = 0; start < 1100; start += 13) {
    for (const value of values) {
      const fresh = createRecordWriter();
      fresh.value("x".repeat(start));
      fresh.word("new");
      fresh.value(value);
      fresh.word("new");
      const plain = createRecordReader();
      plain.open(fresh.take());
      t.equal((plain.value() as string).length, start);
      t.equal(plain.word(), "new");
      t.strictSame(plain.value(), value);
      t.equal(plain.word(), "new");
      for (let i = 0; i < 40; i++) writer.value(value);
    }
  }
  reader.open(writer.take());
  let read = 0;
  while (!reader.done) {
    reader.value();
    read += 1;
  }
  t.equal(read, 85 * 40 * values.length);
  t.end();
});

t.test("a word costs four bytes from the second time on, a long one its text every time", (t) => {
  const writer = createRecordWriter();
  const reader = createRecordReader();
  const lengths = ["lamp.on", "lamp.on", "x".repeat(65), "x".repeat(65)].map((word) => {
    writer.word(word);
    const { length } = writer;
    reader.open(writer.take());
    t.equal(reader.word(), word);
    return length;
  });
  t.strictSame(lengths, [15, 4, 73, 73]);
  t.end();
});

t.test("more words than are kept are told anew", (t) => {
  const writer = createRecordWriter();
  const reader = createRecordReader();
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 5000; i++) writer.word(`word ${i}`);
    writer.word("word 4999");
    reader.open(writer.take());
    for (let i = 0; i < 5000; i++) if (reader.word() !== `word ${i}`) t.fail(`word ${i}`);
    t.equal(reader.word(), "word 4999");
  }
  t.end();
});

t.test("a restarted writer tells its words to a new reader", (t) => {
  const writer = createRecordWriter();
  writer.word("lamp");
  writer.take();
  writer.number(1);
  writer.restart();
  t.equal(writer.length, 0);
  writer.word("lamp");
  const reader = createRecordReader();
  reader.open(writer.take());
  t.equal(reader.word(), "lamp");
  t.end();
});

/** Reads everything as what it may be. */
function readAll(bytes: string, kinds: readonly ("word" | "number" | "value")[]): string {
  const reader = createRecordReader();
  try {
    reader.open(bytes);
    for (const kind of kinds) reader[kind]();
    return "read";
  } catch (error) {
    if (error instanceof AgentError) return error.code;
    throw error;
  }
}

t.test("what is cut short is refused wherever it is cut", (t) => {
  const writer = createRecordWriter();
  writer.word("lamp.on");
  writer.number(12.5);
  writer.value("text");
  writer.value([1, 2, 3]);
  const whole = writer.take();
  const kinds = ["word", "number", "value", "value"] as const;
  for (let end = 0; end < whole.length; end++) t.equal(readAll(whole.slice(0, end), kinds), "SYNTAX", `cut at ${end}`);
  t.equal(readAll(whole, kinds), "read");
  t.end();
});

t.test("garbage is refused or read, and never anything else", (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 60 }),
      fc.array(fc.constantFrom("word", "number", "value"), { maxLength: 8 }),
      (bytes, kinds) => {
        assert.ok(["read", "SYNTAX"].includes(readAll(Buffer.from(bytes).toString("latin1"), kinds)));
      },
    ),
  );
  t.equal(readAll("\x05\0\0\0", ["word"]), "SYNTAX", "a word that was never said");
  t.equal(readAll("\0\x20\0\x80\x01\0\0\0x", ["word"]), "SYNTAX", "a word beyond those that are kept");
  t.equal(readAll("\x09", ["value"]), "SYNTAX", "a value of no kind");
  t.equal(readAll("\x04\xff\xff\xff\xff", ["value"]), "SYNTAX", "a list longer than the message");
  t.end();
});
