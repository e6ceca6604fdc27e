import { pino } from "pino";

import { createAgent } from "../agent.ts";
import { messageOf, toAgentError } from "../contract/errors.ts";
import { problemText } from "../config/problem.ts";
import { packageVersion } from "../version.ts";
import { bannerText } from "./banner.ts";
import { EXIT } from "./exit.ts";
import { deviceModules } from "../modules.ts";
import { configFile, loadWhole, NO_CONFIG } from "./load.ts";
import { stateFolder } from "./target.ts";
import { beWatched, type Watched } from "./watched.ts";
import type { Agent, AgentOptions } from "../agent.ts";
import type { Board } from "../contract/board.ts";
import type { DeviceModule } from "../contract/device.ts";
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
 * in the configuration nothing is opened.
 */
export async function agentCommand(
  options: AgentCommandOptions,
  io: CliIo,
  modules: readonly DeviceModule[] = deviceModules,
  board?: Board,
): Promise<number> {
  const file = configFile(options.config);
  if (file === undefined) {
    io.error(`${NO_CONFIG}\n`);
    return EXIT.usage;
  }
  const { config, problems, warnings } = loadWhole(file, options.board, modules);
  for (const problem of [...problems, ...warnings]) io.error(`${problemText(problem)}\n`);
  if (config === undefined) return EXIT.usage;
  // The clock's timers keep no process alive, and while the device host is waited for there is nothing else.
  const alive = setInterval(() => undefined, ALIVE_MS);
  try {
    return await run({ config, stateFolder: stateFolder(options.state, io.env), modules, ...(board !== undefined && { board }) }, io);
  } finally {
    clearInterval(alive);
  }
}

/** Opens everything, and gives it back in its exit state however the end comes: by a signal, or by an error that nobody caught. */
async function run(asked: Pick<AgentOptions, "config" | "stateFolder" | "modules" | "board">, io: CliIo): Promise<number> {
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
