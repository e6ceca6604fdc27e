import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { AgentError } from "../contract/errors.ts";
import { parseListenAddress } from "../listener.ts";
import type { Target } from "../fleet/target.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** Options of every command that talks to an agent. */
export interface TargetOptions {
  readonly host?: string;
  readonly port?: string;
  readonly state?: string;
}

const DEFAULT_HOST = "127.0.0.1";
const DEFAULT_PORT = 6390;

/** The folder the agent keeps its state in: as asked for, as systemd says, else `state` where the command runs. */
export function stateFolder(asked: string | undefined, env: Env): string {
  // systemd lists several folders with colons between them; the first is the unit's own.
  return asked ?? env["STATE_DIRECTORY"]?.split(":", 1)[0] ?? "state";
}

/**
 * Where the agent's gateway is: `--host` and `--port`, else VIRGO_ADDRESS, else what an agent of this machine wrote to its state folder,
 * else 127.0.0.1:6390. Throws ARGUMENT for what is no address.
 */
export function findTarget(options: TargetOptions, env: Env): Target {
  const { host, port } = options;
  if (host !== undefined || port !== undefined) return parseListenAddress(`${bracketed(host ?? DEFAULT_HOST)}:${port ?? DEFAULT_PORT}`);
  const address = env["VIRGO_ADDRESS"];
  if (address !== undefined && address !== "") return parseListenAddress(address);
  const listening = readListening(stateFolder(options.state, env))["gateway"];
  return listening === undefined ? { host: DEFAULT_HOST, port: DEFAULT_PORT } : reachable(parseListenAddress(listening));
}

/** What a running agent says it listens on, by listener; empty when none runs. */
export function readListening(folder: string): Readonly<Record<string, string>> {
  const file = join(folder, "listen.json");
  if (!existsSync(file)) return {};
  try {
    const content: unknown = JSON.parse(readFileSync(file, "utf8"));
    const entries = typeof content === "object" && content !== null ? Object.entries(content) : [];
    return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
  } catch (thrown) {
    throw new AgentError("IO", `cannot read ${file}; name the agent with --host and --port`, { cause: thrown });
  }
}

/** Bound to every address is reached on this machine's own. */
function reachable(target: Target): Target {
  if ("path" in target) return target;
  if (target.host === "0.0.0.0") return { host: DEFAULT_HOST, port: target.port };
  return target.host === "::" ? { host: "::1", port: target.port } : target;
}

function bracketed(host: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}
