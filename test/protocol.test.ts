import { readFileSync } from "node:fs";

import t from "tap";

import { ERROR_CODES } from "../agent/contract/errors.ts";
import { limitsSchema } from "../agent/contract/limits.ts";
import { CLONE_ACKNOWLEDGEMENT } from "../agent/wire/classic-clone.ts";
import { RESERVED_VERBS } from "../agent/wire/dialect.ts";

const document = readFileSync("PROTOCOL.md", "utf8");

/** The text under one heading, up to the next. */
function section(heading: string): string {
  const start = document.indexOf(`\n${heading}\n`);
  if (start < 0) throw new Error(`PROTOCOL.md has no heading ${heading}`);
  const end = document.indexOf("\n#", start + heading.length + 2);
  return document.slice(start, end < 0 ? undefined : end);
}

/** The cells of every table row in the text, without heads and rules. */
function tableRows(text: string): string[][] {
  const rows = text.split("\n").filter((line) => line.startsWith("|"));
  return rows.slice(2).map((line) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

function unquoted(cell: string | undefined): string {
  return (cell ?? "").replaceAll("`", "");
}

t.test("the error words of PROTOCOL.md are the error words of the agent, each with a meaning and what to do", async (t) => {
  const rows = tableRows(section("## Error words"));
  t.same(
    rows.map(([word]) => unquoted(word)),
    ERROR_CODES,
  );
  for (const [word, meaning, remedy] of rows) t.ok(meaning && remedy, `${unquoted(word)} is explained`);
});

t.test("the limits of PROTOCOL.md and their defaults are those of the agent", async (t) => {
  const documented = tableRows(section("## Limits")).map(([name, value]) => [unquoted(name), Number(unquoted(value))]);
  t.same(Object.fromEntries(documented), limitsSchema.parse({}));
});

t.test("PROTOCOL.md quotes the acknowledgement byte by byte", async (t) => {
  const [, quoted] = /```\n(virgo_cloudexec_sendto[^\n]*\n)```/.exec(section("## Classic dialect")) ?? [];
  t.equal(quoted, CLONE_ACKNOWLEDGEMENT);
  t.equal(Buffer.byteLength(CLONE_ACKNOWLEDGEMENT), 125);
});

t.test("PROTOCOL.md lists every reserved word, and documents no verb that is not reserved", async (t) => {
  const reserved = section("## Which dialect").match(/`[A-Z][A-Z. ]+`/g) ?? [];
  t.same(reserved.flatMap((words) => unquoted(words).split(" ")).sort(), [...RESERVED_VERBS].sort());
  const documented = tableRows(section("### Verbs")).map(([usage]) => unquoted(usage).split(" ")[0]);
  for (const verb of documented) t.ok(RESERVED_VERBS.has(verb ?? ""), `${verb} is reserved`);
});
