import { AgentError } from "../contract/errors.ts";

/** An agent's gateway, or another listener of the modern dialect. */
export type Target = { readonly host: string; readonly port: number } | { readonly path: string };

/** Port of a gateway unless configured otherwise. */
export const GATEWAY_PORT = 6390;

/** `127.0.0.1:6390`, `[::1]:6390`, or a path. */
export function targetText(target: Target): string {
  if ("path" in target) return target.path;
  return target.host.includes(":") ? `[${target.host}]:${target.port}` : `${target.host}:${target.port}`;
}

/** `host:port`, `[v6]:port`, a host alone (then `defaultPort`), or a path. Throws ARGUMENT for anything else. */
export function parseTarget(text: string, defaultPort: number = GATEWAY_PORT): Target {
  if (text.startsWith("/")) return { path: text };
  const parts = /^(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([A-Za-z0-9_.-]+))(?::(\d{1,5}))?$/.exec(text);
  const host = parts?.[1] ?? parts?.[2];
  const port = parts?.[3] === undefined ? defaultPort : Number(parts[3]);
  if (host === undefined || port < 1 || port > 65_535) {
    throw new AgentError("ARGUMENT", `an address is host:port, [v6]:port or a path that starts with /, not ${JSON.stringify(text)}`);
  }
  return { host, port };
}
