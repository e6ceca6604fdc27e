import { ask, connect } from "./ask.ts";
import { EXIT } from "./exit.ts";
import { jsonText, tableText, valueText } from "./print.ts";
import type { Reply } from "../contract/request.ts";
import type { Value } from "../contract/value.ts";
import type { AskOptions } from "./ask.ts";
import type { AgentConnection } from "../fleet/connection.ts";
import type { CliIo } from "./io.ts";

export interface VarsOptions extends AskOptions {
  readonly watch?: boolean;
}

/** `virgo vars`: the variables that fit the pattern, now, or now and at every change until stopped. */
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
  const show = (name: Value = null, value: Value = null, unit: Value = null): void => {
    if (options.json === true) io.out(jsonText({ name, value, unit }));
    else io.out(`${text(name)}=${text(value)}${unit === null ? "" : ` ${text(unit)}`}\n`);
  };
  connection.onPush(([, name, value, unit]) => {
    show(name, value, unit);
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
  // What is known already, after the watch has begun: no change is missed in between.
  const known = await connection.call("VAR.LIST", [pattern]);
  for (const variable of listed(known)) show(variable["name"], variable["value"], variable["unit"]);
  if (io.stop.aborted) connection.close();
  io.stop.addEventListener("abort", () => connection.close());
  await ended;
  return EXIT.ok;
}

type ListedVariable = { readonly [name: string]: Value };

function listed(reply: Reply): readonly ListedVariable[] {
  return reply.kind === "value" && Array.isArray(reply.value) ? (reply.value as readonly ListedVariable[]) : [];
}

function variablesText(value: Value): string {
  if (!Array.isArray(value)) return valueText(value);
  if (value.length === 0) return "no variables have come yet\n";
  const rows = value.map((variable: Value) => variableRow(variable as ListedVariable));
  return tableText(["VARIABLE", "VALUE", "UNIT", "AGE", "SOURCE"], rows);
}

function variableRow(variable: ListedVariable): readonly string[] {
  const age = `${text(variable["ageMs"])} ms${variable["stale"] === true ? ", stale" : ""}`;
  return [text(variable["name"]), text(variable["value"]), text(variable["unit"]), age, text(variable["source"])];
}

function text(value: Value | undefined): string {
  return value === undefined || value === null ? "" : valueText(value).trimEnd();
}
