import { ask, type AskOptions } from "./ask.ts";
import { tableText, valueText } from "./print.ts";
import type { Value } from "../contract/value.ts";
import type { CliIo } from "./io.ts";

export interface NodesOptions extends AskOptions {
  /** What the agent knows already, without asking the nodes. */
  readonly known?: boolean;
}

type Fields = { readonly [name: string]: Value };

/** `virgo nodes`: the nodes that the agent knows, with health, load and devices; of those found through the broker also what they last said, and whether they answer. */
export function nodesCommand(options: NodesOptions, io: CliIo): Promise<number> {
  return ask("NODES", options.known === true ? ["KNOWN"] : [], options, io, nodesText);
}

function nodesText(value: Value): string {
  if (!Array.isArray(value)) return valueText(value);
  const nodes = value as readonly Fields[];
  // Where nodes have addresses only there is nothing to say there.
  const found = nodes.some((node) => isFields(node["broker"]));
  const columns = ["NODE", "ADDRESS", "HEALTH", "LOAD", ...(found ? ["VERSION", "HEARD", "ANSWERS"] : []), "ASKED", "FAILED", "DEVICES"];
  return tableText(
    columns,
    nodes.map((node) => nodeRow(node, found)),
  );
}

function nodeRow(node: Fields, found: boolean): readonly string[] {
  const reason = node["reason"];
  const health = reason === null || reason === undefined ? text(node["health"]) : `${text(node["health"])}: ${text(reason)}`;
  const address = node["self"] === true ? "this node" : text(node["address"]);
  const counts = [text(node["asked"]), text(node["failed"])];
  const broker = found ? brokerTexts(node["broker"]) : [];
  return [text(node["node"]), address, health, text(node["load"]), ...broker, ...counts, devicesText(node["devices"])];
}

function isFields(value: Value | undefined): value is Fields {
  return typeof value === "object" && value !== null;
}

/** Version, when it was last heard of, and whether it answers; nothing of nodes that are reached otherwise. */
function brokerTexts(broker: Value | undefined): readonly [string, string, string] {
  if (!isFields(broker)) return ["", "", ""];
  const { version, heardS, online, answeredMs } = broker;
  const heard = `${text(heardS)} s ago${online === false ? ", offline" : ""}`;
  if (answeredMs === undefined) return [text(version), heard, ""];
  return [text(version), heard, answeredMs === null ? "no" : `in ${text(answeredMs)} ms`];
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
