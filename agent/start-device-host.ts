import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { AgentError } from "./contract/errors.ts";
import { startHostProcess, type HostProcess, type HostProcessOptions } from "./keeper/process.ts";

/** Starts a device host, which waits to be told what to open. Throws IO when it cannot be started. */
export function startDeviceHost(options: Pick<HostProcessOptions, "env" | "onError">): HostProcess {
  return startHostProcess({ ...options, script: hostScript(), nodeArgs: process.execArgv });
}

/** The same process runs from source and from the built package, which is one folder. */
function hostScript(): string {
  const source = fileURLToPath(new URL("device-host.ts", import.meta.url));
  const built = fileURLToPath(new URL("device-host.js", import.meta.url));
  const script = import.meta.url.endsWith(".ts") ? source : built;
  if (!existsSync(script)) throw new AgentError("IO", `${script} is missing; install the package again`);
  return script;
}
