import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import t from "tap";

import { looksIsolated } from "../../agent/cli/config-file.ts";

t.test("a configuration looks isolated unless a line of its own says otherwise", (t) => {
  const file = join(t.testdir(), "virgo.yaml");
  for (const [text, isolated] of [
    ["", true],
    ["isolation: process\n", true],
    ["node: a\nisolation: none\n", false],
    ["isolation: none", false],
    ["isolation:   'none' # everything in one process\r\nboard: sim\n", false],
    ['isolation: "none"\n', false],
    ["# isolation: none\n", true],
    ["devices:\n  a: { driver: relay }\n  isolation: none\n", true],
    ["isolation: nonesuch\n", true],
  ] as const) {
    writeFileSync(file, text);
    t.equal(looksIsolated(file), isolated, JSON.stringify(text));
  }
  t.end();
});

t.test("what is not there or cannot be read needs no device host", (t) => {
  const folder = t.testdir({ file: "" });
  t.equal(looksIsolated(undefined), false);
  t.equal(looksIsolated(join(folder, "virgo.yaml")), false);
  t.equal(looksIsolated(join(folder, "file", "virgo.yaml")), false);
  t.end();
});

t.test("what could be read only once, or takes long to read, is left to who understands it", (t) => {
  const folder = t.testdir();
  const pipe = join(folder, "pipe");
  execFileSync("mkfifo", [pipe]);
  t.equal(looksIsolated(pipe), true, "opening it would wait for a writer");
  mkdirSync(join(folder, "virgo.yaml"));
  t.equal(looksIsolated(join(folder, "virgo.yaml")), true);
  const long = join(folder, "long.yaml");
  writeFileSync(long, `isolation: none\n${"#".repeat(300_000)}\n`);
  t.equal(looksIsolated(long), true);
  t.end();
});
