import { connect, type AskOptions } from "./ask.ts";
import { configFile, NO_CONFIG } from "./config-file.ts";
import { loadWhole } from "./load.ts";
import { createJournal } from "../host/journal.ts";
import { createSimBoard } from "../../drivers/board/sim/sim-board.ts";
import { createSystemClock } from "../clock.ts";
import { createVariableStore } from "../../analytics/store.ts";
import { entityDevice } from "../contract/entity-device.ts";
import { EXIT } from "./exit.ts";
import { mqttOptionsSchema } from "../mqtt/options.ts";
import { openHost } from "../host/host.ts";
import { packageVersion } from "../version.ts";
import { problemText } from "../config/problem.ts";
import { thingDescription, thingsOf } from "../thing-description.ts";
import type { AgentConfig } from "../config/load.ts";
import type { CliIo } from "./io.ts";
import type { Log } from "../contract/log.ts";
import type { Reply } from "../contract/request.ts";

export interface TdOptions extends AskOptions {
  readonly config?: string;
  readonly offline?: boolean;
}

/** Where a broker would be that the configuration does not name. */
const NO_BROKER = { url: "mqtt://localhost:1883" };

const SILENT: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** `virgo td`: the node as a Thing Description: what is on it by the configuration, functions by the running agent, or by devices opened on a simulated board. */
export async function tdCommand(options: TdOptions, io: CliIo): Promise<number> {
  const file = configFile(options.config);
  if (file === undefined) {
    io.error(`${NO_CONFIG}\n`);
    return EXIT.usage;
  }
  const { config, problems } = loadWhole(file);
  if (config === undefined) {
    for (const problem of problems) io.error(`${problemText(problem)}\n`);
    return EXIT.usage;
  }
  const reply = options.offline === true ? await simulatedDevices(config) : await runningDevices(options, io);
  if (reply.kind !== "value") {
    if (reply.kind === "error") io.error(`${reply.error.code} ${reply.error.message}\n`);
    return EXIT.failure;
  }
  const things = thingsOf(
    reply.value,
    config.devices.map(({ id, driver, options: own, common }) => entityDevice({ id, driver, options: own, policy: common })),
  );
  const { url, base } = config.mqtt ?? mqttOptionsSchema.parse(NO_BROKER);
  const description = thingDescription({ node: config.node, version: packageVersion(), things, mqtt: { url, base } });
  io.out(`${JSON.stringify(description, null, 2)}\n`);
  for (const { id, functions } of things) {
    if (functions.length === 0) io.error(`${id} is not open: its functions are not described\n`);
  }
  return EXIT.ok;
}

async function runningDevices(options: TdOptions, io: CliIo): Promise<Reply> {
  const connection = await connect(options, io);
  try {
    return await connection.call("DEVICES", []);
  } finally {
    connection.close();
  }
}

/** Nothing of this machine is touched. What needs an instrument that answers stays closed. */
async function simulatedDevices({ node, devices, limits }: AgentConfig): Promise<Reply> {
  const clock = createSystemClock();
  const board = createSimBoard({ clock });
  const variables = createVariableStore({ clock, limits, declared: {}, defaultStaleMs: 2000 });
  const specs = devices.map(({ id, driver, options, common }) => ({ id, driver, options, policy: common }));
  const host = await openHost({ node, specs, board, clock, variables, journal: createJournal(clock), log: SILENT });
  try {
    return await host.handle({ verb: "DEVICES", args: [] }, { name: "td", priority: 0, signal: new AbortController().signal });
  } finally {
    await host.stop();
    await board.close();
  }
}
