import { configJsonSchema } from "../config/json-schema.ts";
import { problemText } from "../config/problem.ts";
import { EXIT } from "./exit.ts";
import { deviceModules } from "../modules.ts";
import { configFile, NO_CONFIG } from "./config-file.ts";
import { loadWhole } from "./load.ts";
import { jsonText } from "./print.ts";
import type { CliIo } from "./io.ts";

/** `virgo config check`: every mistake in the file, one a line; opens nothing. */
export function configCheckCommand(asked: string | undefined, options: { readonly json?: boolean }, io: CliIo): number {
  const file = configFile(asked);
  if (file === undefined) {
    io.error(`${NO_CONFIG}\n`);
    return EXIT.usage;
  }
  const { config, problems, warnings } = loadWhole(file);
  if (options.json === true) io.out(jsonText({ file, problems, warnings }));
  else {
    for (const problem of problems) io.out(`${problemText(problem)}\n`);
    for (const warning of warnings) io.out(`${problemText(warning)} (warning)\n`);
    if (config !== undefined)
      io.out(`${file}: ${count(config.devices.length, "device")}, ${count(Object.keys(config.rules).length, "rule")}, no mistakes\n`);
  }
  return config === undefined ? EXIT.usage : EXIT.ok;
}

/** `virgo config schema`: JSON Schema of the configuration, for editors. */
export function configSchemaCommand(io: CliIo): number {
  io.out(`${JSON.stringify(configJsonSchema(deviceModules), null, 2)}\n`);
  return EXIT.ok;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
