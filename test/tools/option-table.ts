// The tables of docs/configuration.md, made of the schema: `node --import tsx test/tools/option-table.ts` puts them there.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import { z } from "zod";

import { configSchema } from "../../agent/config/schema.ts";

interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | boolean;
  readonly items?: Node;
  readonly default?: unknown;
  readonly description?: string;
}

/** What a section's table has a row for each of. */
export const DOCUMENTED_SECTIONS = [
  "memory",
  "files",
  "events",
  "queue",
  "fleet",
  "classic",
  "auth",
  "tls",
  "audit",
  "host",
  "keeper",
  "link",
  "motion",
  "watchdog",
  "analytics.driving",
] as const;

/** `| key | default | meaning |` for every option of a section of the configuration. */
export function optionRows(section: string): readonly string[] {
  const root = z.toJSONSchema(configSchema, { io: "input", unrepresentable: "any" }) as Node;
  const node = section.split(".").reduce<Node | undefined>((part, key) => part?.properties?.[key], root);
  if (node === undefined) throw new Error(`the configuration has no section ${section}`);
  return rowsOf(section, node);
}

function rowsOf(prefix: string, node: Node): readonly string[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, option]) => {
    const name = `${prefix}.${key}`;
    if (option.properties !== undefined) return rowsOf(name, option);
    if (typeof option.additionalProperties === "object")
      return [rowOf(`${name}.NAME`, option), ...rowsOf(`${name}.NAME`, option.additionalProperties)];
    if (option.items?.properties !== undefined) return rowsOf(`${name}[]`, option.items);
    return [rowOf(name, option)];
  });
}

function rowOf(name: string, { default: value, description = "" }: Node): string {
  return `| \`${name}\` | ${defaultText(value)} | ${description.replaceAll("|", "\\|")} |`;
}

function defaultText(value: unknown): string {
  if (value === undefined) return "";
  return typeof value === "object" ? "none" : `\`${JSON.stringify(value).replaceAll('"', "")}\``;
}

/** The table of a section. */
export function optionTable(section: string): string {
  return `| key | default | meaning |\n|---|---|---|\n${optionRows(section).join("\n")}\n`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const file = new URL("../../docs/configuration.md", import.meta.url);
  let text = readFileSync(file, "utf8");
  for (const section of DOCUMENTED_SECTIONS) {
    const [before = "", after = ""] = text.split(`\n## ${section}\n`);
    text = `${before}\n## ${section}\n${after.replace(/\| key \| default \| meaning \|\n(?:\|.*\n)+/, () => optionTable(section))}`;
  }
  writeFileSync(file, text);
}
