import { ask, connect } from "./ask.ts";
import { EXIT } from "./exit.ts";
import { jsonText, tableText, valueText } from "./print.ts";
import type { Value } from "../contract/value.ts";
import type { AskOptions } from "./ask.ts";
import type { AgentConnection } from "./connection.ts";
import type { CliIo } from "./io.ts";

export interface VarsOptions extends AskOptions {
  readonly watch?: boolean;
}

/** `virgo vars`: the variables that fit the pattern, now or at every change until stopped. */
export async function varsCommand(pattern: string | undefined, options: VarsOptions, io: CliIo): Promise<number> {
  if (options.watch !== true) return ask("VAR.LIST", pattern === undefined ? [] : [pattern], options, io, variablesText);
  const connection = await connect(options, io);
  try {
    return await watch(connection, pattern ?? "*", options, io);
  } finally {
    connection.close();
  }
}

async function watch(connection: AgentConnection, pattern: string, options: VarsOptions, io: CliIo): Promise<number> {
  connection.onPush(([, name = null, value = null, unit = null]) => {
    if (options.json === true) io.out(jsonText({ name, value, unit }));
    else io.out(`${text(name)}=${text(value)}${unit === null ? "" : ` ${text(unit)}`}\n`);
  });
  const ended = new Promise<void>((resolve, reject) => {
    connection.onEnd((reason) => (reason === undefined ? resolve() : reject(reason)));
  });
  const reply = await connection.call("VAR.WATCH", [pattern]);
  if (reply.kind === "error") {
    connection.close();
    io.error(`${reply.error.code} ${reply.error.message}\n`);
    return EXIT.failure;
  }
  if (io.stop.aborted) connection.close();
  io.stop.addEventListener("abort", () => connection.close());
  await ended;
  return EXIT.ok;
}

function variablesText(value: Value): string {
  if (!Array.isArray(value)) return valueText(value);
  if (value.length === 0) return "no variables have come yet\n";
  const rows = value.map((variable: Value) => variableRow(variable as { readonly [name: string]: Value }));
  return tableText(["VARIABLE", "VALUE", "UNIT", "AGE", "SOURCE"], rows);
}

function variableRow(variable: { readonly [name: string]: Value }): readonly string[] {
  const age = `${text(variable["ageMs"])} ms${variable["stale"] === true ? ", stale" : ""}`;
  return [text(variable["name"]), text(variable["value"]), text(variable["unit"]), age, text(variable["source"])];
}

function text(value: Value | undefined): string {
  return value === undefined || value === null ? "" : valueText(value).trimEnd();
}
