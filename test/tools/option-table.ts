// The tables of docs/configuration.md and docs/devices.md, made of the schemas: `node --import tsx test/tools/option-table.ts` puts them there.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import { z } from "zod";

import { configSchema } from "../../agent/config/schema.ts";
import { deviceModules } from "../../agent/modules.ts";
import { PEDAL_ROWS, STEERING_ROWS, type LimitRow } from "../../drivers/vehicle/limit-table.ts";

interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | boolean;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: unknown;
  readonly description?: string;
}

/** What a section's table has a row for each of. */
export const DOCUMENTED_SECTIONS = [
  ...["memory", "files", "events", "queue", "fleet", "mqtt", "classic", "auth", "tls", "audit"],
  ...["host", "keeper", "link", "motion", "watchdog", "analytics.driving"],
] as const;

function rowsOf(prefix: string, node: Node): readonly string[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, option]) => {
    const name = prefix === "" ? key : `${prefix}.${key}`;
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
  if (Array.isArray(value) && value.length > 0 && value.every((part) => typeof part === "number")) return `\`[${value.join(", ")}]\``;
  return typeof value === "object" ? "none" : `\`${JSON.stringify(value).replaceAll('"', "")}\``;
}

function tableOf(prefix: string, node: Node): string {
  return `| key | default | meaning |\n|---|---|---|\n${rowsOf(prefix, node).join("\n")}\n`;
}

/** The table of a section of the configuration. */
export function optionTable(section: string): string {
  const root = z.toJSONSchema(configSchema, { io: "input", unrepresentable: "any" }) as Node;
  const node = section.split(".").reduce<Node | undefined>((part, key) => part?.properties?.[key], root);
  if (node === undefined) throw new Error(`the configuration has no section ${section}`);
  return tableOf(section, node);
}

/** The drivers that come with the agent and have options, by name, each with the table of them. The limits of vehicles have tables of their own. */
export function driverTables(): ReadonlyMap<string, string> {
  const drivers = deviceModules.flatMap((module) => module.drivers);
  const tables = drivers.map(({ name, options }) => {
    const { properties = {} } = z.toJSONSchema(options, { io: "input", unrepresentable: "any", reused: "inline" }) as Node;
    const shown = Object.fromEntries(Object.entries(properties).filter(([key]) => key !== "limits"));
    return [name, Object.keys(shown).length === 0 ? "" : tableOf("", { properties: shown })] as const;
  });
  return new Map(tables.filter(([, table]) => table !== ""));
}

/** The limits of `gcbaf` and `steering`, each with where its number comes from. */
export function limitTables(): ReadonlyMap<string, string> {
  return new Map([
    ["gcbaf", limitTable(PEDAL_ROWS)],
    ["steering", limitTable(STEERING_ROWS)],
  ]);
}

function limitTable(rows: readonly LimitRow[]): string {
  const lines = rows.map(
    ({ name, unit, min, max, default: value, what, source }) =>
      `| \`limits.${name}\` | ${value} ${unit} | ${min} to ${max} | ${what} | ${source} |`,
  );
  return `| limit | default | range | what it bounds | where the default comes from |\n|---|---|---|---|---|\n${lines.join("\n")}\n`;
}

/** The text with the first table that begins with `head` after the heading replaced. */
function withTable(text: string, heading: string, head: string, table: string): string {
  const [before = "", after = ""] = text.split(`\n${heading}\n`);
  const at = after.indexOf(head);
  if (at < 0) throw new Error(`there is no table ${head} after ${heading}`);
  return `${before}\n${heading}\n${after.slice(0, at)}${after.slice(at).replace(/^(?:\|.*\n)+/, () => table)}`;
}

function rewrite(name: string, change: (text: string) => string): void {
  const file = new URL(`../../docs/${name}`, import.meta.url);
  writeFileSync(file, change(readFileSync(file, "utf8")));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  rewrite("configuration.md", (text) =>
    DOCUMENTED_SECTIONS.reduce((done, section) => withTable(done, `## ${section}`, "| key |", optionTable(section)), text),
  );
  rewrite("devices.md", (text) => {
    const options = [...driverTables()].reduce((done, [driver, table]) => withTable(done, `## ${driver}`, "| key |", table), text);
    return [...limitTables()].reduce((done, [driver, table]) => withTable(done, `## ${driver}`, "| limit |", table), options);
  });
}
