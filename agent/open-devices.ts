import { shippedBoardFor } from "./config/board-file.ts";
import { AgentError } from "./contract/errors.ts";
import { openHost, type Host } from "./host/host.ts";
import { createModuleEntities, type ModuleEntities } from "./host/module-entities.ts";
import { createMotion, type Motion, type MotionFigures } from "./host/motion.ts";
import { openBoard } from "../drivers/board/auto.ts";
import type { Board, BoardDescription } from "./contract/board.ts";
import type { Clock } from "./contract/clock.ts";
import type { EntityDevice } from "./contract/entity-device.ts";
import type { DeviceModule, DeviceSpec } from "./contract/device.ts";
import type { Journal } from "./contract/journal.ts";
import type { Log } from "./contract/log.ts";
import type { Figures, Service } from "./contract/request.ts";
import type { Variables } from "./contract/variable.ts";
import type { Eventually } from "./contract/value.ts";
import type { DeviceSetup } from "./device-setup.ts";
import type { Driving, DrivingState } from "../analytics/driving.ts";
import type { Engine, RuleState } from "../analytics/engine.ts";

/** One device, as INFO and the banner see it. */
export interface DeviceReport {
  readonly id: string;
  readonly outcome: "opened" | "skipped" | "failed";
  readonly faulted: boolean;
  /** `lamp.on` */
  readonly functions: readonly string[];
  /** What it is to people and other systems; of devices of modules loaded at run time alone, while they are open: the configuration tells it of the others. */
  readonly described?: EntityDevice | undefined;
}

/** What there is to say about a node's devices. Plain data. */
export interface DevicesReport {
  readonly board: BoardDescription;
  readonly devices: readonly DeviceReport[];
  readonly rules: readonly RuleState[];
  /** Who latched the emergency stop. */
  readonly eStoppedBy?: string | undefined;
  readonly driving?: DrivingState | undefined;
  /** Files and packages of the modules that are loaded now, the configuration's and others. */
  readonly modules?: readonly string[] | undefined;
  /** Of the motion thread, once there is one. */
  readonly motion?: MotionFigures | undefined;
}

/** The devices of a node, wherever they run. */
export interface NodeDevices extends Service {
  report(): DevicesReport;
  /** What is decided from variables ends: no rule calls any more. */
  stopRules(): void;
  /** Every device to its exit state, then closed. */
  stop(): Promise<void>;
  /** How the process they run in is doing, if it is one of its own. */
  readonly figures?: (() => Figures) | undefined;
}

/** The same in the process they run in. */
export interface OpenedDevices extends NodeDevices {
  /** Whether the function only reads. */
  reads(callName: string): boolean;
  /** Rises as long as the control loops run; 0 where they run on the clock. */
  beats(): number;
  /** The front is gone: what moves goes safe at once, and nothing is accepted any more. */
  loseFront(reason: string): void;
}

/** The variables that devices and rules use, and how long each may be relied on. */
export type DeviceVariables = Variables & { staleMsOf(name: string): number };

export interface OpenDevicesOptions {
  readonly setup: DeviceSetup;
  /** The agent's. */
  readonly version: string;
  readonly modules: readonly DeviceModule[];
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Journal;
  readonly variables: DeviceVariables;
  /** Used instead of the configured board. */
  readonly board?: Board | undefined;
  /** Only in a process of its own. */
  readonly own?: OwnProcess | undefined;
}

/** What a process that exists for the devices alone can do more. */
export interface OwnProcess {
  /** Told what is loaded or opened next, in case this process does not survive it, and undefined afterwards. */
  readonly onDoing: (text: string | undefined) => Eventually<void>;
  /** What earlier processes did not survive. */
  readonly quarantine: readonly string[];
  /** Who had latched the emergency stop in an earlier process. */
  readonly eStoppedBy: string | undefined;
  /** An earlier process ended without taking its devices to their exit states. */
  readonly afterDeath: boolean;
  /** Awaited right before the first device is opened. */
  readonly beforeOpening: () => Promise<void>;
  /** The motion thread is lost, and its ports with it: this process must end. */
  readonly onMotionLost: (error: AgentError) => void;
}

/** Opens the board, the devices on it and the rules that call them, in this process. Rejects with AgentError when the board cannot be opened. */
export async function openDevices(options: OpenDevicesOptions): Promise<OpenedDevices> {
  const { setup, modules, clock, log, journal, variables, own } = options;
  const board = options.board ?? (await openBoard(setup.board, { clock, log, definitionFor: shippedBoardFor }));
  log.info({ board: board.describe().kind }, board.describe().why);
  const motion = own === undefined ? undefined : openMotion(options, own);
  const threaded = new Set(modules.flatMap(({ drivers }) => drivers.filter(({ thread }) => thread === "motion").map(({ name }) => name)));
  let driving: Driving | undefined;
  let engine: Engine | undefined;
  let host: Host | undefined;
  const entities = createModuleEntities(log);
  const pending = new Set(setup.pending.map(({ id }) => id));

  function stopRules(): void {
    driving?.close();
    engine?.close();
  }

  async function stop(): Promise<void> {
    stopRules();
    await host?.stop();
    await motion?.close();
    await board.close();
  }

  try {
    const opened = await openHost({
      node: setup.node,
      specs: specsOf(options),
      pending: setup.pending,
      modules: {
        builtIn: modules,
        version: options.version,
        sources: setup.modules,
        folder: setup.folder,
        insmodFrom: setup.host.insmodFrom,
        loadMs: setup.host.loadMs,
      },
      openMs: setup.host.openMs,
      openDevice: motion && ((spec, context) => openWhereItRuns(motion, modules, spec, context)),
      ...own,
      async beforeOpening() {
        // A thread takes its time to start, and then nobody would hold the ports.
        if (setup.devices.some(({ driver }) => threaded.has(driver))) await motion?.prepare();
        await own?.beforeOpening();
      },
      board,
      clock,
      variables,
      journal,
      log,
    });
    host = opened;
    driving = await startDriving(options);
    engine = await startRules(options, opened);
    return {
      verbs: opened.verbs,
      handle: (request, caller) => opened.handle(request, caller),
      report: () => ({
        board: board.describe(),
        devices: reportsOf(opened, pending, entities),
        rules: engine?.state() ?? [],
        eStoppedBy: opened.eStoppedBy,
        driving: driving?.state(),
        modules: opened.moduleSources(),
        motion: motion?.figures(),
      }),
      reads: (callName) => opened.reads(callName),
      beats: () => motion?.beats() ?? 0,
      loseFront(reason) {
        stopRules();
        opened.loseFront(reason);
      },
      stopRules,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function openMotion({ setup, clock, log, variables }: OpenDevicesOptions, { onMotionLost }: OwnProcess): Motion {
  const motion = createMotion({ board: setup.board, limits: setup.motion, clock, log, variables });
  motion.onLost(onMotionLost);
  return motion;
}

/** The motion thread has the agent's own drivers only. */
function openWhereItRuns(
  motion: Motion,
  modules: readonly DeviceModule[],
  spec: DeviceSpec,
  context: Parameters<Motion["openDevice"]>[1],
): ReturnType<DeviceSpec["driver"]["open"]> {
  const threaded = spec.driver.thread === "motion" && modules.some(({ drivers }) => drivers.includes(spec.driver));
  return threaded ? motion.openDevice(spec, context) : spec.driver.open(context, spec.options);
}

function specsOf({ setup, modules }: OpenDevicesOptions): readonly DeviceSpec[] {
  const drivers = new Map(modules.flatMap((module) => module.drivers.map((driver) => [driver.name, driver] as const)));
  return setup.devices.map(({ id, driver: name, options, policy }) => {
    const driver = drivers.get(name);
    if (driver === undefined) throw new AgentError("UNKNOWN", `${id}: no driver is called ${name}`);
    return { id, driver, options, policy };
  });
}

function reportsOf(host: Host, pending: ReadonlySet<string>, entities: ModuleEntities): readonly DeviceReport[] {
  return host.entries().map(({ spec, outcome, slot }) => ({
    id: spec.id,
    outcome,
    faulted: slot?.fault !== undefined,
    functions: Object.keys(slot?.device.functions ?? {}).map((name) => `${spec.id}.${name}`),
    ...(outcome === "opened" && "driver" in spec && pending.has(spec.id) && { described: entities.describe(spec) }),
  }));
}

/** Loaded only where it is configured. */
async function startDriving({ setup, clock, log, variables }: OpenDevicesOptions): Promise<Driving | undefined> {
  const options = setup.analytics.driving;
  if (options === undefined) return undefined;
  const { startDriving: start } = await import("../analytics/driving.ts");
  return start({ options, variables, clock, log });
}

/** The rule language is loaded only where there are rules. */
async function startRules({ setup, clock, log, variables, journal }: OpenDevicesOptions, host: Host): Promise<Engine | undefined> {
  const entries = Object.entries(setup.rules);
  if (entries.length === 0) return undefined;
  const [{ createLanguage }, { compileRule }, { startEngine }] = await Promise.all([
    import("../analytics/expression.ts"),
    import("../analytics/rule.ts"),
    import("../analytics/engine.ts"),
  ]);
  const language = createLanguage();
  const rules = entries.map(([name, rule]) => compileRule(name, rule, language));
  return startEngine({ rules, variables, service: host, leaseMsOf: (device) => host.leaseMsOf(device), journal, clock, log });
}
