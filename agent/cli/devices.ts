import { ask } from "./ask.ts";
import { tableText, valueText } from "./print.ts";
import type { Value } from "../contract/value.ts";
import type { AskOptions } from "./ask.ts";
import type { CliIo } from "./io.ts";

type Fields = { readonly [name: string]: Value };

/** `virgo devices`: every device with its state, who holds it, and its functions. */
export function devicesCommand(options: AskOptions, io: CliIo): Promise<number> {
  return ask("DEVICES", [], options, io, devicesText);
}

/** `virgo describe ID`: everything about one device. */
export function describeCommand(id: string, options: AskOptions, io: CliIo): Promise<number> {
  return ask("DESCRIBE", [id], options, io, valueText);
}

function devicesText(value: Value): string {
  if (!Array.isArray(value)) return valueText(value);
  const devices = value.filter(isFields);
  if (devices.length === 0) return "no devices are configured\n";
  const rows = devices.map((device) => [
    text(device["id"]),
    text(device["driver"]),
    stateText(device),
    holderText(device["holder"]),
    functionsText(device["functions"]),
  ]);
  return tableText(["DEVICE", "DRIVER", "STATE", "HELD BY", "FUNCTIONS"], rows);
}

function stateText(device: Fields): string {
  const reason = device["reason"];
  return reason === null || reason === undefined ? text(device["state"]) : `${text(device["state"])}: ${text(reason)}`;
}

function holderText(holder: Value | undefined): string {
  return isFields(holder) ? `${text(holder["name"])} (${text(holder["leaseLeftMs"])} ms)` : "";
}

/** `on off beam(low|high) brightness(percent)` */
function functionsText(functions: Value | undefined): string {
  if (!Array.isArray(functions)) return "";
  return functions.filter(isFields).map(functionText).join(" ");
}

function functionText(fn: Fields): string {
  const name = text(fn["name"]).split(".").at(-1) ?? "";
  const params = Array.isArray(fn["params"]) ? fn["params"].filter(isFields) : [];
  if (params.length === 0) return name;
  return `${name}(${params.map((param) => (Array.isArray(param["enum"]) ? param["enum"].map(text).join("|") : text(param["name"]))).join(", ")})`;
}

function isFields(value: Value | undefined): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

function text(value: Value | undefined): string {
  return value === undefined ? "" : valueText(value).trimEnd();
}
