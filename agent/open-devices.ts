import { shippedBoardFor } from "./config/board-file.ts";
import { AgentError } from "./contract/errors.ts";
import { openHost, type Host } from "./host/host.ts";
import { openBoard } from "../drivers/board/auto.ts";
import type { Board, BoardDescription } from "./contract/board.ts";
import type { Clock } from "./contract/clock.ts";
import type { DeviceModule, DeviceSpec } from "./contract/device.ts";
import type { Journal } from "./contract/journal.ts";
import type { Log } from "./contract/log.ts";
import type { Service } from "./contract/request.ts";
import type { Eventually } from "./contract/value.ts";
import type { DeviceSetup } from "./device-setup.ts";
import type { Engine, RuleState } from "../analytics/engine.ts";
import type { VariableStore } from "../analytics/store.ts";

/** One device, as INFO and the banner see it. */
export interface DeviceReport {
  readonly id: string;
  readonly outcome: "opened" | "skipped" | "failed";
  readonly faulted: boolean;
  /** `lamp.on` */
  readonly functions: readonly string[];
}

/** What there is to say about a node's devices. Plain data. */
export interface DevicesReport {
  readonly board: BoardDescription;
  readonly devices: readonly DeviceReport[];
  readonly rules: readonly RuleState[];
}

/** The devices of a node, wherever they run. */
export interface NodeDevices extends Service {
  report(): Eventually<DevicesReport>;
  /** No rule calls any more. */
  stopRules(): void;
  /** Every device to its exit state, then closed. */
  stop(): Promise<void>;
}

export interface OpenDevicesOptions {
  readonly setup: DeviceSetup;
  readonly modules: readonly DeviceModule[];
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Journal;
  readonly variables: VariableStore;
  /** Used instead of the configured board. */
  readonly board?: Board | undefined;
}

/** Opens the board, the devices on it and the rules that call them, in this process. Rejects with AgentError when the board cannot be opened. */
export async function openDevices(options: OpenDevicesOptions): Promise<NodeDevices> {
  const { setup, clock, log, journal, variables } = options;
  const board = options.board ?? (await openBoard(setup.board, { clock, log, definitionFor: shippedBoardFor }));
  log.info({ board: board.describe().kind }, board.describe().why);
  const specs = specsOf(options);
  let engine: Engine | undefined;
  let host: Host | undefined;
  async function stop(): Promise<void> {
    engine?.close();
    await host?.stop();
    await board.close();
  }
  try {
    const opened = await openHost({ node: setup.node, specs, board, clock, variables, journal, log });
    host = opened;
    engine = await startRules(options, specs, opened);
    return {
      verbs: opened.verbs,
      handle: (request, caller) => opened.handle(request, caller),
      report: () => ({ board: board.describe(), devices: reportsOf(opened), rules: engine?.state() ?? [] }),
      stopRules: () => engine?.close(),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function specsOf({ setup, modules }: OpenDevicesOptions): readonly DeviceSpec[] {
  const drivers = new Map(modules.flatMap((module) => module.drivers.map((driver) => [driver.name, driver] as const)));
  return setup.devices.map(({ id, driver: name, options, policy }) => {
    const driver = drivers.get(name);
    if (driver === undefined) throw new AgentError("UNKNOWN", `${id}: no driver is called ${name}`);
    return { id, driver, options, policy };
  });
}

function reportsOf(host: Host): readonly DeviceReport[] {
  return host.entries().map(({ spec, outcome, slot }) => ({
    id: spec.id,
    outcome,
    faulted: slot?.fault !== undefined,
    functions: Object.keys(slot?.device.functions ?? {}).map((name) => `${spec.id}.${name}`),
  }));
}

/** The rule language is loaded only where there are rules. */
async function startRules(
  { setup, clock, log, variables, journal }: OpenDevicesOptions,
  specs: readonly DeviceSpec[],
  service: Service,
): Promise<Engine | undefined> {
  const entries = Object.entries(setup.rules);
  if (entries.length === 0) return undefined;
  const [{ createLanguage }, { compileRule }, { startEngine }] = await Promise.all([
    import("../analytics/expression.ts"),
    import("../analytics/rule.ts"),
    import("../analytics/engine.ts"),
  ]);
  const language = createLanguage();
  const leases = new Map(specs.map(({ id, driver, policy }) => [id, policy.leaseMs ?? driver.lease.defaultMs]));
  const rules = entries.map(([name, rule]) => compileRule(name, rule, language));
  return startEngine({ rules, variables, service, leaseMsOf: (device) => leases.get(device) ?? 0, journal, clock, log });
}
