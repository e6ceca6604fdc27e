import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { AgentError, messageOf, toAgentError } from "../contract/errors.ts";
import { safetyText } from "../keeper/safe-report.ts";
import { deviceModules } from "../modules.ts";
import { SETUP_FILE, writeSafeStates } from "../safe-state.ts";
import { openBoard } from "../../drivers/board/auto.ts";
import { configFile, NO_CONFIG } from "./config-file.ts";
import { EXIT } from "./exit.ts";
import { stateFolder } from "./target.ts";
import type { DeviceModule, DeviceSpec } from "../contract/device.ts";
import type { Log } from "../contract/log.ts";
import type { BoardDefinition } from "../contract/board-definition.ts";
import type { DeviceSetup } from "../device-setup.ts";
import type { DeviceSafety } from "../keeper/safe-report.ts";
import type { CliIo } from "./io.ts";

export interface SafeStateCommandOptions {
  readonly config?: string;
  readonly state?: string;
  /** Seconds the ports are held afterwards. */
  readonly hold?: number;
  /** Only devices of modules that others wrote: the agent does the rest itself. */
  readonly modules?: boolean;
}

/** What is made safe: as much of the agent's set-up as that needs. */
interface Setup extends Pick<DeviceSetup, "board" | "devices" | "pending" | "modules" | "folder"> {
  readonly host: Partial<Pick<DeviceSetup["host"], "loadMs">>;
  /** For `auto`. An agent has found out already, and reading board files takes time. */
  readonly definitionFor?: (model: string) => BoardDefinition | undefined;
}

/** Time one device has to be made safe, milliseconds. */
const LIMIT_MS = 2000;

/** A port may keep the process alive, and closing it would undo what it was opened for. */
const LINGER_MS = 100;

/**
 * `virgo safe-state`: takes every device to its safe state, for when no agent is there to do it; one line per device. With `hold` it stays that long, for
 * what takes its time to come to a stop. The ports are left as they are then: a PWM channel keeps its duty cycle, a line what its kernel driver leaves it.
 * Devices of modules come last, so that nothing a module does keeps others waiting; one that does not load is named.
 * What is made safe is what the agent was last started with, as its state folder tells, unless a configuration is named.
 * As `ExecStopPost` of a service that ended in order it does nothing: every device is in its exit state.
 */
export async function safeStateCommand(
  options: SafeStateCommandOptions,
  io: CliIo,
  modules: readonly DeviceModule[] = deviceModules,
  exit: (code: number) => void = (code) => process.exit(code),
): Promise<number> {
  // systemd.exec(5), "Environment Variables Set or Propagated by the Service Manager".
  if (io.env["SERVICE_RESULT"] === "success") {
    io.out("the agent ended in order: every device is in its exit state\n");
    return EXIT.ok;
  }
  const setup = readSetup(options, io) ?? (await configuredSetup(options, io, modules));
  if (setup === undefined) return EXIT.usage;
  // The clock's own timers keep no process alive, and a port that hangs does not either.
  const alive = setInterval(() => undefined, LIMIT_MS);
  try {
    const code = await makeSafe(setup, io, modules, options.modules === true);
    await untilOver((options.hold ?? 0) * 1000, io);
    setTimeout(() => exit(code), LINGER_MS).unref();
    return code;
  } finally {
    clearInterval(alive);
  }
}

function untilOver(holdMs: number, { clock, stop }: CliIo): Promise<void> {
  if (holdMs === 0) return Promise.resolve();
  return new Promise((resolve) => {
    stop.addEventListener("abort", () => resolve());
    clock.after(holdMs, resolve);
  });
}

async function makeSafe(setup: Setup, io: CliIo, modules: readonly DeviceModule[], onlyModules: boolean): Promise<number> {
  const { clock } = io;
  const { definitionFor } = setup;
  const log = createErrorLog(io);
  const opening = openBoard(setup.board, { clock, log, ...(definitionFor === undefined ? {} : { definitionFor }) });

  async function write({ specs, unknown }: Found): Promise<boolean> {
    const report = await writeSafeStates({ specs, openBoard: () => opening, clock, log, limitMs: LIMIT_MS });
    for (const device of [...report.devices, ...unknown]) io.out(`${safetyText(device)}\n`);
    return report.allSafe && unknown.length === 0;
  }

  const safe = onlyModules || (await write(specsOf(setup, modules)));
  const foreignSafe = setup.pending.length === 0 || (await write(await foreignSpecsOf(setup, io, modules, log)));
  return safe && foreignSafe ? EXIT.ok : EXIT.failure;
}

/** What the agent left in its state folder; undefined when a configuration was named or there is nothing. */
function readSetup({ config, state }: SafeStateCommandOptions, io: CliIo): Setup | undefined {
  const file = join(stateFolder(state, io.env), SETUP_FILE);
  if (config !== undefined || !existsSync(file)) return undefined;
  try {
    const setup = JSON.parse(readFileSync(file, "utf8")) as Partial<Setup> | null;
    if (setup?.board === undefined || !Array.isArray(setup.devices)) throw new Error("it is not what an agent writes");
    const { board, devices, pending = [], modules = [], folder = ".", host = {} } = setup;
    return { board, devices, pending, modules, folder, host };
  } catch (error) {
    io.error(`cannot read ${file}: ${messageOf(error)}; the configuration is read instead\n`);
    return undefined;
  }
}

/** From the configuration. The parts that only a running agent needs are not checked: a mistake there must not keep a device from being safe. */
async function configuredSetup(options: SafeStateCommandOptions, io: CliIo, modules: readonly DeviceModule[]): Promise<Setup | undefined> {
  const [{ shippedBoardFor }, { loadConfig }, { deviceSetupOf }, { problemText }] = await Promise.all([
    import("../config/board-file.ts"),
    import("../config/load.ts"),
    import("../device-setup.ts"),
    import("../config/problem.ts"),
  ]);
  const file = configFile(options.config);
  if (file === undefined) {
    io.error(`${NO_CONFIG}\n`);
    return undefined;
  }
  const { config, problems } = loadConfig(file, modules);
  for (const problem of problems) io.error(`${problemText(problem)}\n`);
  return config === undefined ? undefined : { ...deviceSetupOf(config), definitionFor: shippedBoardFor };
}

/** The devices with their drivers, and those whose driver is not there. */
interface Found {
  readonly specs: readonly DeviceSpec[];
  readonly unknown: readonly DeviceSafety[];
}

function specsOf(setup: Setup, modules: readonly DeviceModule[]): Found {
  const drivers = new Map(modules.flatMap((module) => module.drivers.map((driver) => [driver.name, driver] as const)));
  const specs: DeviceSpec[] = [];
  const unknown: DeviceSafety[] = [];
  for (const { id, driver: name, options, policy } of setup.devices) {
    const driver = drivers.get(name);
    if (driver !== undefined) specs.push({ id, driver, options, policy });
    else unknown.push({ id, outcome: "failed", tookMs: 0, reason: `UNKNOWN no driver is called ${name}` });
  }
  return { specs, unknown };
}

/** Those of modules, which are loaded now; each has the time a module has for that. */
async function foreignSpecsOf(
  { pending, modules: sources, folder, host }: Setup,
  { clock }: CliIo,
  modules: readonly DeviceModule[],
  log: Log,
): Promise<Found> {
  const [{ createModuleTable }, { specOf }] = await Promise.all([import("../host/modules.ts"), import("../host/pending.ts")]);
  const table = createModuleTable({ builtIn: modules, sources, folder, loadMs: host.loadMs, clock, log });
  await table.loadAll();
  const specs: DeviceSpec[] = [];
  const unknown: DeviceSafety[] = [];
  for (const device of pending.filter(({ policy }) => policy.enabled)) {
    const { id, driverName } = device;
    try {
      const driver = table.find(driverName);
      if (driver === undefined) throw new AgentError("UNKNOWN", `no driver is called ${driverName}${table.whyMissing(driverName)}`);
      specs.push(specOf(device, driver));
    } catch (thrown) {
      const { code, message } = toAgentError(thrown);
      unknown.push({ id, outcome: "failed", tookMs: 0, reason: `${code} ${message}` });
    }
  }
  return { specs, unknown };
}

function createErrorLog(io: CliIo): Log {
  const say = (_fields: object, message: string): void => io.error(`${message}\n`);
  const ignore = (): void => undefined;
  return { debug: ignore, info: ignore, warn: say, error: say };
}
