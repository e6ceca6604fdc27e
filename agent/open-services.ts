import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { createCloneService } from "./services/clone.ts";
import { createExecutableRunner } from "./services/executables.ts";
import { openFilesService } from "./services/files.ts";
import { createPluginRunner } from "./services/plugins.ts";
import { createVariablesService } from "./services/variables.ts";
import type { AgentConfig } from "./config/load.ts";
import type { Clock } from "./contract/clock.ts";
import type { Journal } from "./contract/journal.ts";
import type { Log } from "./contract/log.ts";
import type { Figures, OpenService, Service } from "./contract/request.ts";
import type { VariableStore } from "./contract/variable.ts";

export interface ServicesOptions {
  readonly config: AgentConfig;
  readonly stateFolder: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Journal;
  readonly variables: VariableStore;
  /** The device host, and the nodes it is reached through. */
  readonly devices: Service;
  /** Takes what must be closed again, the last one first. */
  readonly closers: (() => unknown)[];
}

/** What the listeners are about. */
export interface Services {
  readonly clone: Service;
  readonly files: OpenService;
  /** All of them, in the order HELP lists them. */
  readonly all: readonly Service[];
  /** What INFO shows, by service. */
  figures(): Readonly<Record<string, Figures>>;
}

/** Opens what each service keeps in the state folder. What was opened before one that cannot be is left to `closers`. */
export async function openServices(options: ServicesOptions): Promise<Services> {
  const { config, stateFolder, clock, log, variables, closers } = options;
  const opened = new Map<string, OpenService>();

  async function open<T extends OpenService>(name: string, opening: Promise<T>): Promise<T> {
    const service = await opening;
    closers.push(() => service.close());
    opened.set(name, service);
    return service;
  }

  const files = await open(
    "files",
    openFilesService({ folder: join(stateFolder, "files"), options: config.files, classic: config.classic, clock, log }),
  );
  const clone = openClone(options);
  return {
    clone,
    files,
    all: [clone, files, createVariablesService({ variables })],
    figures: () => Object.fromEntries([...opened].map(([name, service]) => [name, service.figures()])),
  };
}

function openClone({ config, stateFolder, clock, log, devices, journal, closers }: ServicesOptions): Service {
  const { parameterIsExecutable, executables, plugins, timeLimitMs, maxRunning } = config.clone;
  const logFolder = join(stateFolder, "clone");
  const executableRunner = createExecutableRunner({ allowed: executables, timeLimitMs, maxRunning, logFolder, clock, log });
  const modules = plugins.map((file) => pathToFileURL(file).href);
  const pluginRunner = createPluginRunner({ modules, timeLimitMs, maxRunning, clock });
  closers.push(
    () => executableRunner.close(),
    () => pluginRunner.close(),
  );
  return createCloneService({ devices, journal, mode: parameterIsExecutable, executables: executableRunner, plugins: pluginRunner });
}
