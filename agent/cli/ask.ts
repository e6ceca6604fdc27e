import { connectAgent } from "../fleet/connection.ts";
import { EXIT } from "./exit.ts";
import { jsonText } from "./print.ts";
import { findTarget } from "./target.ts";
import type { Reply } from "../contract/request.ts";
import type { Value } from "../contract/value.ts";
import type { AgentConnection } from "../fleet/connection.ts";
import type { CliIo } from "./io.ts";
import type { TargetOptions } from "./target.ts";

/** Options of every command that talks to an agent. */
export interface AskOptions extends TargetOptions {
  readonly json?: boolean;
  readonly user?: string;
  readonly token?: string;
}

/** Connects to the agent the options name. */
export function connect(options: AskOptions, io: CliIo): Promise<AgentConnection> {
  const { env, clock } = io;
  return connectAgent({
    target: findTarget(options, env),
    clock,
    user: options.user ?? env["VIRGO_USER"],
    token: options.token ?? env["VIRGO_TOKEN"],
  });
}

/** Asks one question and prints the answer: as JSON, or as `show` makes it. */
export async function ask(
  verb: string,
  args: readonly string[],
  options: AskOptions,
  io: CliIo,
  show: (value: Value) => string,
): Promise<number> {
  const connection = await connect(options, io);
  try {
    return printReply(await connection.call(verb, args), options, io, show);
  } finally {
    connection.close();
  }
}

/** Values go to the output, errors to the error output. */
export function printReply(reply: Reply, options: AskOptions, io: CliIo, show: (value: Value) => string): number {
  if (reply.kind === "error") {
    io.error(`${reply.error.code} ${reply.error.message}\n`);
    return EXIT.failure;
  }
  const value = reply.kind === "value" ? reply.value : reply.text;
  io.out(options.json === true ? jsonText(value) : show(value));
  return EXIT.ok;
}
