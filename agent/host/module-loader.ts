import { statSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

import { AgentError, messageOf } from "../contract/errors.ts";
import { moduleKit, type ModuleKit } from "../contract/module-kit.ts";
import { checkedModule } from "./module-check.ts";
import { guardedDriver } from "./module-device.ts";
import type { DeviceModule } from "../contract/device.ts";
import type { ModuleFile } from "./module-source.ts";

/** Runs the module's code and checks what it exports. Rejects with AgentError; the code may hang. */
export async function loadModule(source: string, { file, version }: ModuleFile, generation: number): Promise<DeviceModule> {
  // Node keeps CommonJS modules by file, whatever the address.
  Reflect.deleteProperty(createRequire(import.meta.url).cache, file);
  const module = checkedModule(source, await exportedBy(source, urlOf(file, generation)));
  const drivers = module.drivers.map(guardedDriver);
  const shown = module.version ?? version;
  return { name: module.name, contract: module.contract, drivers, ...(shown !== undefined && { version: shown }) };
}

/** An address that was never imported before, so that the code is read and run anew. What the file itself imports is not. */
function urlOf(file: string, generation: number): string {
  const url = pathToFileURL(file);
  url.searchParams.set("generation", `${generation}-${statSync(file).mtimeMs}`);
  return url.href;
}

/** The default export, else the one named `module`; a function is given the contract and makes the module. */
async function exportedBy(source: string, url: string): Promise<unknown> {
  try {
    const exported = exportIn(await import(url));
    if (exported === undefined)
      throw new AgentError("ARGUMENT", `module ${source}: it exports no module, neither as default nor by that name`);
    return typeof exported === "function" ? await (exported as (kit: ModuleKit) => unknown)(moduleKit) : exported;
  } catch (error) {
    if (error instanceof AgentError) throw error;
    throw new AgentError("IO", `module ${source}: it threw while it was loaded: ${messageOf(error)}`, { cause: error });
  }
}

/** Of a CommonJS module, `default` is all that it exports; where that was compiled from an ES module, its exports are one step further in. */
function exportIn(namespace: unknown): unknown {
  const { default: exported, module } = namespace as { readonly default?: unknown; readonly module?: unknown };
  if (typeof exported === "object" && exported !== null && "__esModule" in exported) return exportIn(exported);
  return exported ?? module;
}
