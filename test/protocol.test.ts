import { readFileSync } from "node:fs";
import { join } from "node:path";

import t, { type Test } from "tap";

import { createAgent, type Agent } from "../agent/agent.ts";
import { loadConfig } from "../agent/config/load.ts";
import { ERROR_CODES } from "../agent/contract/errors.ts";
import { limitsSchema } from "../agent/contract/limits.ts";
import { CLONE_ACKNOWLEDGEMENT } from "../agent/wire/classic-clone.ts";
import { RESERVED_VERBS } from "../agent/wire/dialect.ts";
import { gpio } from "../drivers/gpio/index.ts";
import { createFakeClock } from "./helpers/fake-clock.ts";
import { createFakeLog } from "./helpers/fake-log.ts";
import { FREE_PORTS } from "./helpers/free-ports.ts";
import { connectRaw } from "./helpers/raw-client.ts";

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

/** The first cells of all tables of verbs. */
function documentedVerbs(): readonly string[] {
  const tables = document.split("\n| verb |").slice(1);
  return tables.flatMap((table) => {
    const [text = ""] = table.split("\n\n", 1);
    return tableRows(`| verb |${text}`).map(([usage]) => verbOf(usage));
  });
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

/** The lines of every fenced block of one kind: what is sent, and what comes back. */
function exchanges(kind: string): { readonly request: string; readonly reply: string[] }[] {
  const blocks = [...document.matchAll(new RegExp(`^\`\`\`${kind}\\n(.*?)^\`\`\``, "gms"))].map(([, block = ""]) => block);
  return blocks
    .join("")
    .split(/^> /m)
    .slice(1)
    .map((exchange) => {
      const [request = "", ...reply] = exchange.trimEnd().split("\n");
      return { request, reply: reply.map((line) => line.slice(2)) };
    });
}

/** Everything a listener answers before it closes. */
async function ask(address: string | undefined, bytes: string): Promise<string> {
  const client = await connectRaw(address ?? "");
  client.send(bytes);
  const answered = await client.rest();
  client.end();
  return answered;
}

/** Matches the documented text, where `…` is anything. */
function asDocumented(text: string): RegExp {
  return new RegExp(
    `^${text
      .split("…")
      .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"))
      .join("[^\\r\\n]*")}$`,
  );
}

async function startDocumentedAgent(t: Test): Promise<Agent> {
  const folder = t.testdir({
    "agent.yaml": `node: shed
board: sim
isolation: none
${FREE_PORTS}devices:
  lamp: { driver: light, pwm: { chip: sim, channel: 0 }, beam: { low: 30, high: 100 } }
`,
  });
  const { config } = loadConfig(join(folder, "agent.yaml"), [gpio]);
  if (config === undefined) throw new Error("the documented configuration has mistakes");
  const agent = await createAgent({
    config,
    stateFolder: join(folder, "state"),
    version: "0.0.0",
    clock: createFakeClock(),
    log: createFakeLog(),
  });
  t.teardown(() => agent.stop());
  return agent;
}

t.test("the modern session of PROTOCOL.md is what the agent answers", async (t) => {
  const agent = await startDocumentedAgent(t);
  const session = exchanges("modern");
  const answered = (await ask(agent.addresses["gateway"], session.map(({ request }) => `${request}\r\n`).join(""))).split("\r\n");
  for (const { request, reply } of session) {
    for (const line of reply) t.match(answered.shift(), asDocumented(line), request);
  }
  t.same(answered, [""]);
});

t.test("the classic sessions of PROTOCOL.md are what the agent answers, in 500 bytes each", async (t) => {
  const agent = await startDocumentedAgent(t);
  for (const { request, reply } of exchanges("classic")) {
    const answered = await ask(agent.addresses["clone"], `${request}\r\n`);
    t.equal(answered.length, 500, `${request} is answered with 500 bytes`);
    t.equal(answered.replace(/\0+$/, "").trimEnd(), reply.join("\n"), request);
  }
});

t.test("the verbs of PROTOCOL.md are the verbs of HELP", async (t) => {
  const agent = await startDocumentedAgent(t);
  const help = (await ask(agent.addresses["gateway"], "HELP\r\nQUIT\r\n")).split("\r\n").filter((line) => line.includes(" - "));
  const documented = new Set(documentedVerbs());
  t.same([...documented].sort(), help.map(verbOf).sort());
});

function verbOf(usage: string | undefined): string {
  return unquoted(usage).split(" ")[0] ?? "";
}

t.test("PROTOCOL.md lists every reserved word, and documents no verb that is not reserved", async (t) => {
  const reserved = section("## Which dialect").match(/`[A-Z][A-Z. ]+`/g) ?? [];
  t.same(reserved.flatMap((words) => unquoted(words).split(" ")).sort(), [...RESERVED_VERBS].sort());
  for (const verb of documentedVerbs()) t.ok(RESERVED_VERBS.has(verb), `${verb} is reserved`);
});
