import { join } from "node:path";

import fc from "fast-check";
import t from "tap";

import { parseNodeList, readNodeList, weightsOf } from "../../agent/fleet/conf.ts";

t.test("the original's own file is two entries of one node", (t) => {
  const { entries, notes } = readNodeList(join(import.meta.dirname, "..", "..", "firmware-configs", "etc", "virgo_client.conf"));
  t.strictSame(
    entries.map(({ text }) => text),
    ["127.0.0.1", "127.0.0.1"],
  );
  t.strictSame([...weightsOf(entries)], [["127.0.0.1", 2]]);
  t.strictSame(notes, []);
  t.end();
});

t.test("blanks, line breaks and empty entries are nothing, repetition is weight", (t) => {
  const { entries } = parseNodeList(" 192.168.2.80 ,\t10.0.0.7,,192.168.2.80\r\n\n");
  t.strictSame(
    [...weightsOf(entries)],
    [
      ["192.168.2.80", 2],
      ["10.0.0.7", 1],
    ],
  );
  t.strictSame(parseNodeList("\n").entries, []);
  t.end();
});

t.test("ports, names and what the original would not read are understood and noted", (t) => {
  const { entries, notes } = parseNodeList("10.0.0.7,10.0.0.8:7000,pi.local:6390,[::1]:1,[::1]");
  t.strictSame(
    entries.map(({ host, port }) => [host, port]),
    [
      ["10.0.0.7", undefined],
      ["10.0.0.8", 7000],
      ["pi.local", 6390],
      ["::1", 1],
      ["::1", undefined],
    ],
  );
  t.match(notes, [/without ports only; 10\.0\.0\.8:7000, pi\.local:6390, \[::1\]:1, \[::1\] it would not find$/]);
  const long = Array.from({ length: 30 }, (_, i) => `192.168.2.${i}`).join(",");
  t.match(parseNodeList(long).notes, [/^the original reads 256 bytes of the file only; it has \d+$/]);
  t.equal(parseNodeList(long).entries.length, 30, "we read all of it");
  t.end();
});

t.test("what is no address is named, with its file", (t) => {
  for (const text of ["10.0.0.7,not an address", "10.0.0.7:0", "10.0.0.7:99999", "/run/virgo.sock", "10.0.0.7\0"]) {
    t.throws(() => parseNodeList(text), { code: "ARGUMENT" }, text);
  }
  const folder = t.testdir({ "bad.conf": "10.0.0.7,??:\n" });
  t.throws(() => readNodeList(join(folder, "bad.conf")), {
    code: "ARGUMENT",
    message: /bad\.conf: an address is host:port.* not "\?\?:"$/,
  });
  t.throws(() => readNodeList(join(folder, "none.conf")), { code: "IO", message: /^cannot read the list of nodes: ENOENT/ });
  t.end();
});

t.test("whatever stands there is entries or an ARGUMENT", (t) => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: "binary" }),
        fc.string({ unit: fc.constantFrom("0", "129", ".", ",", ":", "[", "]", "ab", " ", "\n", "\r", "/") }),
      ),
      (text) => {
        try {
          const { entries } = parseNodeList(text);
          return [...weightsOf(entries).values()].reduce((sum, weight) => sum + weight, 0) === entries.length;
        } catch (thrown) {
          return (thrown as { code?: string }).code === "ARGUMENT";
        }
      },
    ),
    { numRuns: 2000 },
  );
  t.end();
});
