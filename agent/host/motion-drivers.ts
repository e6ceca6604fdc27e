import { AgentError, messageOf } from "../contract/errors.ts";
import { MODULE_CONTRACT, type DeviceModule, type Driver } from "../contract/device.ts";

/** The drivers of `builtIn` and of the modules at `urls`, by name. Rejects IO for a module that does not load, ARGUMENT for a file that exports none. */
export async function loadDrivers(builtIn: readonly DeviceModule[], urls: readonly string[]): Promise<ReadonlyMap<string, Driver>> {
  const others = await Promise.all(urls.map(loadModule));
  return new Map([...builtIn, ...others].flatMap(({ drivers }) => drivers.map((driver) => [driver.name, driver] as const)));
}

async function loadModule(url: string): Promise<DeviceModule> {
  const { module } = (await importOf(url)) as { readonly module?: DeviceModule };
  if (module?.contract === MODULE_CONTRACT) return module;
  throw new AgentError("ARGUMENT", `${url} exports no \`module\` for contract ${MODULE_CONTRACT}`);
}

async function importOf(url: string): Promise<unknown> {
  try {
    return await import(url);
  } catch (error) {
    throw new AgentError("IO", `the motion thread cannot load ${url}: ${messageOf(error)}`, { cause: error });
  }
}
