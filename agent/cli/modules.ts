import { ask } from "./ask.ts";
import { tableText, valueText } from "./print.ts";
import type { Value } from "../contract/value.ts";
import type { AskOptions } from "./ask.ts";
import type { CliIo } from "./io.ts";

type Fields = { readonly [name: string]: Value };

/** `virgo lsmod`: every module with its state, drivers and devices. */
export function lsmodCommand(options: AskOptions, io: CliIo): Promise<number> {
  return ask("MODULES", [], options, io, modulesText);
}

/** `virgo insmod FILE-OR-PACKAGE`: as the agent sees it, from the folder of its configuration on. */
export function insmodCommand(source: string, options: AskOptions, io: CliIo): Promise<number> {
  return ask("INSMOD", [source], options, io, (module) => modulesText([module]));
}

export function rmmodCommand(name: string, options: AskOptions, io: CliIo): Promise<number> {
  return ask("RMMOD", [name], options, io, () => `${name} removed\n`);
}

export function reloadCommand(name: string, options: AskOptions, io: CliIo): Promise<number> {
  return ask("RELOAD", [name], options, io, (module) => modulesText([module]));
}

function modulesText(value: Value): string {
  if (!Array.isArray(value)) return valueText(value);
  const rows = value.filter(isFields).map((module) => {
    const reason = module["reason"];
    const state = reason === null || reason === undefined ? text(module["state"]) : `${text(module["state"])}: ${text(reason)}`;
    return [
      text(module["name"]),
      text(module["version"]),
      text(module["source"]),
      state,
      listed(module["drivers"]),
      listed(module["devices"]),
    ];
  });
  return tableText(["MODULE", "VERSION", "SOURCE", "STATE", "DRIVERS", "DEVICES"], rows);
}

function listed(value: Value | undefined): string {
  return Array.isArray(value) ? value.map(text).join(" ") : "";
}

function isFields(value: Value | undefined): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

function text(value: Value | undefined): string {
  return value === undefined ? "" : valueText(value).trimEnd();
}
