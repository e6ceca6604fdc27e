import { ask, type AskOptions } from "./ask.ts";
import { tableText, valueText } from "./print.ts";
import type { Value } from "../contract/value.ts";
import type { CliIo } from "./io.ts";

export interface NodesOptions extends AskOptions {
  /** What the agent knows already, without asking the nodes. */
  readonly known?: boolean;
}

type Fields = { readonly [name: string]: Value };

/** `virgo nodes`: the nodes that the agent knows, with health, load and devices. */
export function nodesCommand(options: NodesOptions, io: CliIo): Promise<number> {
  return ask("NODES", options.known === true ? ["KNOWN"] : [], options, io, nodesText);
}

function nodesText(value: Value): string {
  if (!Array.isArray(value)) return valueText(value);
  const rows = value.map((node: Value) => nodeRow(node as Fields));
  return tableText(["NODE", "ADDRESS", "HEALTH", "LOAD", "ASKED", "FAILED", "DEVICES"], rows);
}

function nodeRow(node: Fields): readonly string[] {
  const reason = node["reason"];
  const health = reason === null || reason === undefined ? text(node["health"]) : `${text(node["health"])}: ${text(reason)}`;
  const address = node["self"] === true ? "this node" : text(node["address"]);
  return [text(node["node"]), address, health, text(node["load"]), text(node["asked"]), text(node["failed"]), devicesText(node["devices"])];
}

/** `lamp pump (faulted)` */
function devicesText(devices: Value | undefined): string {
  if (!Array.isArray(devices)) return "";
  return devices
    .map((device: Value) => {
      const { id, state } = { id: text((device as Fields)["id"]), state: text((device as Fields)["state"]) };
      return state === "ready" ? id : `${id} (${state})`;
    })
    .join(" ");
}

function text(value: Value | undefined): string {
  return value === undefined || value === null ? "" : valueText(value).trimEnd();
}
