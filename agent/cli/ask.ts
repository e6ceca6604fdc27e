import { readFileSync } from "node:fs";

import { AgentError, messageOf } from "../contract/errors.ts";
import { connectAgent } from "../fleet/connection.ts";
import { EXIT } from "./exit.ts";
import { jsonText } from "./print.ts";
import { findTarget } from "./target.ts";
import type { Reply } from "../contract/request.ts";
import type { Value } from "../contract/value.ts";
import type { AgentConnection, TlsMaterial } from "../fleet/connection.ts";
import type { CliIo } from "./io.ts";
import type { TargetOptions } from "./target.ts";

/** Options of every command that talks to an agent. */
export interface AskOptions extends TargetOptions {
  readonly json?: boolean;
  readonly user?: string;
  readonly token?: string;
  /** PEM files, for an agent that listens behind TLS: whom to trust, and what to show. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Connects to the agent the options name. */
export function connect(options: AskOptions, io: CliIo): Promise<AgentConnection> {
  const { env, clock } = io;
  return connectAgent({
    target: findTarget(options, env),
    clock,
    tls: tlsMaterial(options, env),
    user: options.user ?? env["VIRGO_USER"],
    token: options.token ?? env["VIRGO_TOKEN"],
  });
}

/** Undefined where no authority is named: the connection is plain then. */
function tlsMaterial(options: AskOptions, env: CliIo["env"]): TlsMaterial | undefined {
  const ca = options.ca ?? env["VIRGO_CA"];
  const certificate = options.cert ?? env["VIRGO_CERT"];
  const key = options.key ?? env["VIRGO_KEY"];
  if (ca === undefined) {
    if (certificate === undefined && key === undefined) return undefined;
    throw new AgentError("ARGUMENT", "a certificate is shown to an agent behind TLS only: name its authority too, with --ca");
  }
  if ((certificate === undefined) !== (key === undefined)) {
    throw new AgentError("ARGUMENT", "--cert and --key belong together; name both or neither");
  }
  return {
    ca: readPem(ca),
    ...(certificate === undefined ? {} : { certificate: readPem(certificate) }),
    ...(key === undefined ? {} : { key: readPem(key) }),
  };
}

function readPem(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (thrown) {
    throw new AgentError("ARGUMENT", `cannot read ${file}: ${messageOf(thrown)}`, { cause: thrown });
  }
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
