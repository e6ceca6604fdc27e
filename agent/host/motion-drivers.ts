import { AgentError, messageOf } from "../contract/errors.ts";
import { MODULE_CONTRACT, type DeviceModule, type Driver } from "../contract/device.ts";

/** The driver of that name: of the module at that URL, or of those that are there from the start. Rejects UNKNOWN or IO. */
export type DriverFinder = (name: string, module: string | undefined) => Promise<Driver>;

/** Finds drivers in `builtIn` and in the modules at `urls`; other modules are loaded when they are first asked for. Rejects IO for one that does not load. */
export async function createDriverFinder(builtIn: readonly DeviceModule[], urls: readonly string[]): Promise<DriverFinder> {
  const others = await Promise.all(urls.map(loadModule));
  const drivers = new Map([...builtIn, ...others].flatMap((module) => module.drivers.map((driver) => [driver.name, driver] as const)));
  return async (name, module) => {
    const driver = module === undefined ? drivers.get(name) : (await loadModule(module)).drivers.find((each) => each.name === name);
    if (driver === undefined) throw new AgentError("UNKNOWN", `the motion thread has no driver ${name}`);
    return driver;
  };
}

async function loadModule(url: string): Promise<DeviceModule> {
  let exports: Readonly<Record<string, unknown>>;
  try {
    exports = (await import(url)) as Readonly<Record<string, unknown>>;
  } catch (error) {
    throw new AgentError("IO", `the motion thread cannot load ${url}: ${messageOf(error)}`, { cause: error });
  }
  const module = (exports["default"] ?? exports["module"]) as DeviceModule | undefined;
  if (module?.contract !== MODULE_CONTRACT) {
    throw new AgentError("UNKNOWN", `${url} exports no module for contract ${MODULE_CONTRACT}, as default or as module`);
  }
  return module;
}
