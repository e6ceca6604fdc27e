import { readFileSync } from "node:fs";
import { join } from "node:path";

import t from "tap";

import { EXIT } from "../../agent/cli/exit.ts";
import { configSchema, deviceCommonSchema } from "../../agent/config/schema.ts";
import { deviceModules } from "../../agent/modules.ts";
import { virgo } from "../helpers/fake-io.ts";
import { DOCUMENTED_SECTIONS, driverTables, limitTables, optionTable } from "../tools/option-table.ts";

const DOCS = join(import.meta.dirname, "..", "..", "docs");

const cli = readFileSync(join(DOCS, "cli.md"), "utf8");
const configuration = readFileSync(join(DOCS, "configuration.md"), "utf8");
const devices = readFileSync(join(DOCS, "devices.md"), "utf8");

/** The text between a heading and the next one. */
function section(text: string, heading: string): string {
  const [, after = ""] = text.split(`\n## ${heading}\n`);
  return after.split("\n## ")[0] ?? "";
}

/** What stands in the first column of a section's table, between backquotes. */
function firstColumn(text: string): readonly string[] {
  return text.split("\n").flatMap((line) => {
    const cell = /^\| (`[^|]+`|\d+) \|/.exec(line)?.[1];
    return cell === undefined ? [] : [...cell.matchAll(/[^`,\s][^`,]*/g)].map(([word]) => word.trim());
  });
}

t.test("the documented exit codes are those of the program", (t) => {
  t.same(firstColumn(section(cli, "Exit codes")).map(Number), Object.values(EXIT));
  t.end();
});

t.test("the documented commands are those of the program", async (t) => {
  const documented = [...cli.matchAll(/^\| `virgo ([a-z-]+)/gm)].map(([, name = ""]) => name);
  const { out } = await virgo(["--help"]);
  const [, listed = ""] = out.split("Commands:\n");
  const commands = [...listed.matchAll(/^ {2}([a-z-]+)/gm)].map(([, name = ""]) => name).filter((name) => name !== "help");
  t.same([...new Set(documented)].sort(), commands.sort());
});

t.test("the documented options of clone are those of the program", async (t) => {
  const { out } = await virgo(["clone", "--help"]);
  for (const option of firstColumn(section(cli, "Calling functions: `virgo clone`"))) t.match(out, option.split(" ")[0]);
});

t.test("every key of the configuration is documented", (t) => {
  for (const key of Object.keys(configSchema.shape))
    t.match(configuration, new RegExp(`^\\| \`${key}[.\`]|^## ${key}$|^\`${key}\` maps|^${key}:`, "im"), key);
  for (const key of DOCUMENTED_SECTIONS) {
    t.ok(
      section(configuration, key).includes(optionTable(key)),
      `${key}: node --import tsx test/tools/option-table.ts puts its options there`,
    );
  }
  t.same(firstColumn(section(configuration, "Devices")), Object.keys(deviceCommonSchema.shape));
  for (const [driver, table] of [...driverTables(), ...limitTables()])
    t.ok(section(devices, driver).includes(table), `${driver}: node --import tsx test/tools/option-table.ts puts its options there`);
  const drivers = deviceModules.flatMap((module) => module.drivers.map((driver) => driver.name));
  for (const driver of drivers) t.match(section(configuration, "Devices"), `\`${driver}\``);
  t.end();
});
