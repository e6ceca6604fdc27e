import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { createNodesService } from "./fleet/nodes-service.ts";
import { createCloneService } from "./services/clone.ts";
import { createExecutableRunner, type ExecutableRunner } from "./services/executables.ts";
import { openEventsService } from "./services/events.ts";
import { openFilesService } from "./services/files.ts";
import { openMemoryService } from "./services/memory.ts";
import { createPluginRunner } from "./services/plugins.ts";
import { openQueueService, type QueueService } from "./services/queue.ts";
import { createVariablesService } from "./services/variables.ts";
import type { AgentConfig } from "./config/load.ts";
import type { Clock } from "./contract/clock.ts";
import type { Journal } from "./contract/journal.ts";
import type { Log } from "./contract/log.ts";
import type { Figures, OpenService, Service } from "./contract/request.ts";
import type { OpenFleet } from "./fleet/nodes.ts";
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
  readonly fleet: OpenFleet;
  /** Takes what must be closed again, the last one first. */
  readonly closers: (() => unknown)[];
}

/** What the listeners are about. */
export interface Services {
  readonly clone: Service;
  readonly events: OpenService;
  readonly files: OpenService;
  readonly memory: OpenService;
  readonly queue: QueueService;
  /** All of them, in the order HELP lists them. */
  readonly all: readonly Service[];
  /** What INFO shows, by service. */
  figures(): Readonly<Record<string, Figures>>;
}

/** Opens what each service keeps in the state folder. What was opened before one that cannot be is left to `closers`. */
export async function openServices(options: ServicesOptions): Promise<Services> {
  const { config, stateFolder, clock, log, journal, variables, devices, fleet, closers } = options;
  const opened = new Map<string, OpenService>();

  async function open<T extends OpenService>(name: string, opening: Promise<T>): Promise<T> {
    const service = await opening;
    closers.push(() => service.close());
    opened.set(name, service);
    return service;
  }

  const shared = { clock, log };
  const executables = openExecutables(options);
  const [events, files, queue] = await Promise.all([
    open(
      "eventnet",
      openEventsService({
        ...shared,
        folder: config.events.folder ?? join(stateFolder, "eventnet"),
        options: config.events,
        node: config.node,
        journal,
      }),
    ),
    open("files", openFilesService({ ...shared, folder: join(stateFolder, "files"), options: config.files, classic: config.classic })),
    open(
      "queue",
      openQueueService({ ...shared, folder: join(stateFolder, "queue"), options: config.queue, journal, devices, executables }),
    ),
  ]);
  const memory = await open(
    "memory",
    openMemoryService({
      ...shared,
      folder: join(stateFolder, "memory"),
      options: config.memory,
      classic: config.classic,
      node: config.node,
      fleet,
      queue: (payload, caller) => queue.accept(payload, caller),
    }),
  );
  const clone = openClone(options, executables, queue);
  return {
    clone,
    events,
    files,
    memory,
    queue,
    all: [clone, memory, files, queue, events, createVariablesService({ variables }), createNodesService(fleet)],
    figures: () => Object.fromEntries([...opened].map(([name, service]) => [name, service.figures()])),
  };
}

/** Executables are run for tokens and for the queue's work. */
function openExecutables({ config, stateFolder, clock, log, closers }: ServicesOptions): ExecutableRunner {
  const { executables: allowed, timeLimitMs, maxRunning } = config.clone;
  const runner = createExecutableRunner({ allowed, timeLimitMs, maxRunning, logFolder: join(stateFolder, "clone"), clock, log });
  closers.push(() => runner.close());
  return runner;
}

function openClone(
  { config, clock, devices, journal, closers }: ServicesOptions,
  executables: ExecutableRunner,
  queue: QueueService,
): Service {
  const { parameterIsExecutable, plugins, timeLimitMs, maxRunning, useAsKingcobraService } = config.clone;
  const modules = plugins.map((file) => pathToFileURL(file).href);
  const pluginRunner = createPluginRunner({ modules, timeLimitMs, maxRunning, clock });
  closers.push(() => pluginRunner.close());
  return createCloneService({
    devices,
    journal,
    mode: parameterIsExecutable,
    executables,
    plugins: pluginRunner,
    queue: config.kingcobra || useAsKingcobraService ? queue : undefined,
    useAsKingcobraService,
  });
}
