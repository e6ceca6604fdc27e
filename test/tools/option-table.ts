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
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly maxLength?: number;
  readonly default?: unknown;
  readonly description?: string;
}

/** What a section's table has a row for each of. */
export const DOCUMENTED_SECTIONS = [
  ...["memory", "files", "events", "queue", "fleet", "mqtt", "classic", "auth", "tls", "audit"],
  ...["host", "keeper", "link", "motion", "watchdog"],
  ...["analytics.sources", "analytics.derived", "analytics.sinks", "analytics.driving"],
] as const;

/** One option, and the row of it. */
interface Row {
  readonly name: string;
  readonly node: Node;
  /** What its part has to have for it. */
  readonly withKey?: string;
}

function rowsOf(prefix: string, node: Node): readonly Row[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, option]) => {
    const name = prefix === "" ? key : `${prefix}.${key}`;
    if (option.properties !== undefined)
      return [...(option.description === undefined ? [] : [{ name, node: option }]), ...rowsOf(name, option)];
    const map = typeof option.additionalProperties === "object" ? [{ name: `${name}.NAME`, node: option }] : [];
    return [...map, ...partRows(name, option)];
  });
}

/** Of what holds any number of parts, or is one option. */
function partRows(name: string, option: Node): readonly Row[] {
  const { items, additionalProperties } = option;
  if (typeof additionalProperties === "object") return rowsOf(`${name}.NAME`, additionalProperties);
  if (items?.properties !== undefined) return rowsOf(`${name}[]`, items);
  if (items?.anyOf?.every((kind) => kind.properties !== undefined) === true) return kindRows(`${name}[]`, items.anyOf);
  return [{ name, node: option }];
}

/** Of parts that are of several kinds, each with an option of its own that comes first: what all have comes last. */
function kindRows(name: string, kinds: readonly Node[]): readonly Row[] {
  const all = kinds.map((kind) => rowsOf(name, kind));
  const texts = all.map((rows) => new Set(rows.map(rowText)));
  const isShared = (row: Row): boolean => texts.every((kind) => kind.has(rowText(row)));
  const own = all.flatMap((rows, i) => {
    const withKey = Object.keys(kinds[i]?.properties ?? {})[0] ?? "";
    return rows.filter((row) => !isShared(row)).map((row) => (row.name === `${name}.${withKey}` ? row : { ...row, withKey }));
  });
  return [...own, ...(all[0] ?? []).filter(isShared)];
}

function rowText({ name, node, withKey }: Row): string {
  const { default: value, description = "" } = node;
  const meaning = `${withKey === undefined ? "" : `with \`${withKey}\`: `}${description.replaceAll("|", "\\|")}`;
  return `| \`${name}\` | ${defaultText(value)} | ${rangeText(node)} | ${meaning} |`;
}

/** What is allowed, as far as numbers and words say it. */
function rangeText({ enum: words, minimum, maximum, minItems, maxItems, maxLength, items }: Node): string {
  if (words !== undefined) return words.map((word) => `\`${String(word)}\``).join(", ");
  if (items !== undefined) return [lengthText(minItems, maxItems), rangeText(items)].filter((text) => text !== "").join("; ");
  if (maxLength !== undefined) return `up to ${maxLength} characters`;
  const least = minimum === Number.MIN_SAFE_INTEGER ? undefined : minimum;
  const most = maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum;
  if (least !== undefined && most !== undefined) return `${least} to ${most}`;
  if (least !== undefined) return `from ${least}`;
  return most === undefined ? "" : `up to ${most}`;
}

function lengthText(least = 0, most?: number): string {
  if (most !== undefined) return least === most ? `${least} entries` : `${least} to ${most} entries`;
  return least === 0 ? "" : `at least ${least}`;
}

/** A default that fills a line is better said in words. */
const LONG_DEFAULT = 60;

function defaultText(value: unknown): string {
  if (value === undefined) return "";
  if (typeof value === "string" && value.length > LONG_DEFAULT) return "built in";
  if (Array.isArray(value) && value.length > 0 && value.every((part) => typeof part !== "object")) return `\`[${value.join(", ")}]\``;
  return typeof value === "object" ? "none" : `\`${JSON.stringify(value).replaceAll('"', "")}\``;
}

function tableOf(prefix: string, node: Node): string {
  const rows = node.properties === undefined ? partRows(prefix, node) : rowsOf(prefix, node);
  return `| key | default | range | meaning |\n|---|---|---|---|\n${rows.map(rowText).join("\n")}\n`;
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
