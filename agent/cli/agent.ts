import { pino } from "pino";

import { createAgent } from "../agent.ts";
import { messageOf, toAgentError } from "../contract/errors.ts";
import { problemText } from "../config/problem.ts";
import { packageVersion } from "../version.ts";
import { EXIT } from "./io.ts";
import { configFile, loadWhole, NO_CONFIG } from "./load.ts";
import { stateFolder } from "./target.ts";
import type { Agent } from "../agent.ts";
import type { AgentConfig } from "../config/load.ts";
import type { CliIo, ExitCode } from "./io.ts";

export interface AgentCommandOptions {
  readonly config?: string;
  readonly state?: string;
  readonly board?: string;
}

/** `virgo agent`: runs the agent until it is stopped. With mistakes in the configuration nothing is opened. */
export async function agentCommand(options: AgentCommandOptions, io: CliIo): Promise<ExitCode> {
  const file = configFile(options.config);
  if (file === undefined) {
    io.error(`${NO_CONFIG}\n`);
    return EXIT.usage;
  }
  const { config, problems, warnings } = loadWhole(file, options.board);
  for (const problem of [...problems, ...warnings]) io.error(`${problemText(problem)}\n`);
  if (config === undefined) return EXIT.usage;
  const log = pino({ level: config.log.level });
  let agent: Agent;
  try {
    agent = await createAgent({ config, stateFolder: stateFolder(options.state, io.env), version: packageVersion(), clock: io.clock, log });
  } catch (thrown) {
    io.error(`${toAgentError(thrown).code} ${messageOf(thrown)}\n`);
    return EXIT.refused;
  }
  io.out(bannerText(config, agent));
  await stopped(io.stop);
  await agent.stop();
  return EXIT.ok;
}

function stopped(stop: AbortSignal): Promise<void> {
  if (stop.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    stop.addEventListener("abort", () => resolve(), { once: true });
  });
}
