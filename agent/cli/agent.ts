import { pino } from "pino";

import { createAgent } from "../agent.ts";
import { messageOf, toAgentError } from "../contract/errors.ts";
import { problemText } from "../config/problem.ts";
import { packageVersion } from "../version.ts";
import { bannerText } from "./banner.ts";
import { EXIT } from "./exit.ts";
import { deviceModules } from "../modules.ts";
import { configFile, NO_CONFIG } from "./config-file.ts";
import { loadWhole } from "./load.ts";
import { stateFolder } from "./target.ts";
import { beWatched, type Watched } from "./watched.ts";
import type { Agent, AgentOptions } from "../agent.ts";
import type { Board } from "../contract/board.ts";
import type { DeviceModule } from "../contract/device.ts";
import type { HostProcess } from "../keeper/process.ts";
import type { Log } from "../contract/log.ts";
import type { CliIo } from "./io.ts";

export interface AgentCommandOptions {
  readonly config?: string;
  readonly state?: string;
  readonly board?: string;
}

/** Devices have time limits of their own to become safe; what has not ended by then never will. */
const STOP_MS = 8000;

/** Any interval keeps the process alive. */
const ALIVE_MS = 60_000;

/**
 * `virgo agent`: runs the agent, with the drivers of `modules`, until it is stopped; on `board`, if one is given, instead of the configured one. With mistakes
 * in the configuration nothing is opened. `deviceHost` was started while this code was loaded; without it one is started when it is needed.
 */
export async function agentCommand(
  options: AgentCommandOptions,
  io: CliIo,
  modules: readonly DeviceModule[] = deviceModules,
  board?: Board,
  deviceHost?: HostProcess,
): Promise<number> {
  // The clock's timers keep no process alive, and while the device host is waited for there is nothing else.
  const alive = setInterval(() => undefined, ALIVE_MS);
  try {
    const config = readConfig(options, io, modules);
    if (config === undefined) return EXIT.usage;
    const folder = stateFolder(options.state, io.env);
    return await run({ config, stateFolder: folder, modules, deviceHost, ...(board !== undefined && { board }) }, io);
  } finally {
    clearInterval(alive);
    // It has ended, unless it was not needed.
    deviceHost?.kill("SIGTERM");
  }
}

/** Undefined when there is none or it has mistakes, which are told. */
function readConfig(options: AgentCommandOptions, io: CliIo, modules: readonly DeviceModule[]): AgentOptions["config"] | undefined {
  const file = configFile(options.config);
  if (file === undefined) {
    io.error(`${NO_CONFIG}\n`);
    return undefined;
  }
  const { config, problems, warnings } = loadWhole(file, options.board, modules);
  for (const problem of [...problems, ...warnings]) io.error(`${problemText(problem)}\n`);
  return config;
}

/** Opens everything, and gives it back in its exit state however the end comes: by a signal, or by an error that nobody caught. */
async function run(asked: Pick<AgentOptions, "config" | "stateFolder" | "modules" | "board" | "deviceHost">, io: CliIo): Promise<number> {
  const { config } = asked;
  const log = pino({ level: config.log.level });
  const version = packageVersion();
  // From before the first device is open.
  const end = untilTheEnd(io.stop, log);
  let watched: Watched | undefined;
  let agent: Agent;
  try {
    watched = await beWatched({ config, env: io.env, clock: io.clock, log });
    const { advance: onAlive, state: onState } = watched;
    agent = await createAgent({ ...asked, version, clock: io.clock, log, env: io.env, onAlive, onState });
  } catch (thrown) {
    io.error(`${toAgentError(thrown).code} ${messageOf(thrown)}\n`);
    watched?.close(true);
    return EXIT.failure;
  }
  watched.ready();
  io.out(bannerText(agent, config, version));
  const code = await end;
  const cancelLimit = limitStop(code, log);
  watched.stopping();
  await agent.stop();
  cancelLimit();
  watched.close(true);
  return code;
}

/** The exit code, once there is a reason to end. An error that nobody caught is one: what it left undone is not known. */
function untilTheEnd(stop: AbortSignal, log: Log): Promise<number> {
  return new Promise((resolve) => {
    function crash(error: unknown): void {
      log.error({ err: error }, "an error that nobody caught: everything goes to its exit state");
      resolve(EXIT.crash);
    }
    process.on("uncaughtException", crash);
    process.on("unhandledRejection", crash);
    if (stop.aborted) resolve(EXIT.ok);
    stop.addEventListener("abort", () => {
      resolve(EXIT.ok);
    });
  });
}

/** Ends the process when stopping hangs. The timer does not keep it alive when nothing else does. */
function limitStop(code: number, log: Log): () => void {
  const timer = setTimeout(() => {
    log.error({ limitMs: STOP_MS }, "stopping takes too long: ended with something still open");
    process.exit(code === EXIT.ok ? EXIT.failure : code);
  }, STOP_MS).unref();
  return () => {
    clearTimeout(timer);
  };
}
