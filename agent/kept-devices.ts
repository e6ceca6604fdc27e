import { join } from "node:path";

import { shippedBoardFor } from "./config/board-file.ts";
import { messageOf, toAgentError } from "./contract/errors.ts";
import { errorReply, OK, refusal, type Caller, type Reply, type Request, type VerbDoc } from "./contract/request.ts";
import { within } from "./host/time-limit.ts";
import { HOST_VERBS } from "./host/verb-docs.ts";
import { createKeeper, type Keeper, type KeeperState } from "./keeper.ts";
import { createModuleSafety, startCommand } from "./keeper/module-safety.ts";
import { createRemoteHost } from "./link/remote-host.ts";
import { createSafety, SETUP_FILE } from "./safe-state.ts";
import { startDeviceHost } from "./start-device-host.ts";
import { writeWhole } from "./state-folder.ts";
import { openBoard } from "../drivers/board/auto.ts";
import { readProperty, SYSTEM_ROOTS } from "../drivers/board/linux/sysfs-file.ts";
import type { BoardChoice } from "./config/board-file.ts";
import type { Clock } from "./contract/clock.ts";
import type { DeviceSpec } from "./contract/device.ts";
import type { Journal } from "./contract/journal.ts";
import type { Log } from "./contract/log.ts";
import type { MirroredVariables } from "./contract/variable.ts";
import type { Eventually } from "./contract/value.ts";
import type { DeviceSetup } from "./device-setup.ts";
import type { KeeperOptions } from "./keeper/options.ts";
import type { SafeReport } from "./keeper/safe-report.ts";
import type { HostProcess } from "./keeper/process.ts";
import type { DevicesReport, NodeDevices } from "./open-devices.ts";
import type { HostStart } from "./run-device-host.ts";

export interface KeptDevicesOptions {
  readonly setup: DeviceSetup;
  /** Of the configuration, with the drivers themselves: what is made safe from here when the device host is gone. */
  readonly specs: readonly DeviceSpec[];
  readonly stateFolder: string;
  /** The environment of the agent. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The first one, started already. */
  readonly deviceHost?: HostProcess | undefined;
  readonly keeper: KeeperOptions;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Journal;
  readonly variables: MirroredVariables;
  /** The control loop advances, or none is expected to. */
  readonly onAlive?: (() => void) | undefined;
  readonly onState?: ((state: KeeperState, why: string) => void) | undefined;
}

/** The device host is no device, and starting it again is for those who may reset it. */
const RESET_HOST: VerbDoc = {
  verb: "RESET",
  usage: "device|HOST",
  summary: "make a faulted device safe and usable again, try to open a failed one, or start the device host afresh",
};

/** Preparing for the worst keeps nobody waiting longer. */
const PREPARE_LIMIT_MS = 2000;

/** Devices in a process that is on its way. */
export interface KeptDevices {
  readonly devices: NodeDevices;
  /** Resolves when that process is ready or has been given up for now; rejects when the board cannot be opened. */
  readonly started: Promise<void>;
}

/**
 * Starts the device host and keeps it running; what is called goes there. When it dies, every device is made safe from here before it is started again.
 * Resolves as soon as it is on its way.
 */
export async function openKeptDevices(options: KeptDevicesOptions): Promise<KeptDevices> {
  const { setup, specs, stateFolder, clock, log, journal, variables } = options;
  const remote = createRemoteHost<DevicesReport>({ clock, log, journal, variables, limits: setup.link, handOver });
  const board = knownBoard(setup.board);
  const boardOptions = { clock, log: quiet(log) };
  const safety = createSafety({
    specs,
    openBoard: () => openBoard(board, boardOptions),
    clock,
    log,
    limitMs: options.keeper.safeMs,
    variables,
  });

  const foreign = createModuleSafety({
    start: () => startCommand(["safe-state", "--modules", "--state", stateFolder], options.env),
    clock,
    log,
  });

  let waitingHost = options.deviceHost;
  const keeper: Keeper = createKeeper({
    spawn: takeHost,
    attach: (process) => remote.attach(process.stream, JSON.stringify(startOf())),
    makeSafe,
    options: options.keeper,
    clock,
    log,
    journal,
    ...(options.onAlive === undefined ? {} : { onAlive: options.onAlive }),
    onState(state, why) {
      // While it stops it still tells what it closes.
      if (state === "making-safe" || state === "waiting" || state === "safe-mode") remote.detach(why);
      options.onState?.(state, why);
    },
  });
  // Where there is no motion thread, what advances is the device host's own event loop.
  remote.onBeat(({ count, loops }) => keeper.beat(loops["motion"] || count));
  remote.onDoing((text) => keeper.doing(text));

  function takeHost(): HostProcess {
    const first = waitingHost;
    waitingHost = undefined;
    return first ?? startDeviceHost({ env: options.env, onError: (error) => log.error({ err: error }, error.message) });
  }

  function startOf(): HostStart {
    const { heartbeatMs } = options.keeper;
    const quarantine = keeper.quarantine();
    return { setup, stateFolder, heartbeatMs, quarantine, eStoppedBy: remote.status()?.eStoppedBy, afterDeath: keeper.afterDeath() };
  }

  async function leaveSetup(): Promise<void> {
    const { devices: outlines, pending, folder, host } = setup;
    await writeWhole(setupFile, JSON.stringify({ board, devices: outlines, pending, modules: told, folder, host })).catch(
      (error: unknown) => {
        log.error({ file: setupFile, err: error }, "cannot write what virgo safe-state would read; it will read the configuration");
      },
    );
  }

  /** What others wrote is not run in this process, which it might hang or end. */
  async function makeSafe(): Promise<SafeReport> {
    if (setup.pending.length > 0) foreign.begin();
    const report = await safety.write();
    const afterForeign =
      <T>(then: () => Promise<T>) =>
      () =>
        foreign.end().then(then);
    return { ...report, handOver: afterForeign(report.handOver), release: afterForeign(report.release) };
  }

  async function handOver(): Promise<string> {
    return JSON.stringify(await keeper.handOver());
  }

  async function restart(caller: Caller): Promise<Reply> {
    const denied = refusal(caller, "function", "host.reset");
    if (denied !== undefined) return errorReply(denied);
    try {
      await keeper.restart();
      return OK;
    } catch (error) {
      return errorReply(toAgentError(error));
    }
  }

  /** What is called before the device host was ever ready waits for it: the agent listens no earlier, so that is its own work, left over from its last run. */
  function handle(request: Request, caller: Caller): Eventually<Reply> {
    if (starting)
      return started.then(
        () => handle(request, caller),
        (error: unknown) => errorReply(toAgentError(error)),
      );
    if (request.verb === "RESET" && request.args.length === 1 && request.args[0]?.toUpperCase() === "HOST") return restart(caller);
    return remote.handle(request, caller);
  }

  const setupFile = join(stateFolder, SETUP_FILE);
  let told = setup.modules;
  await leaveSetup();
  remote.onStatus(({ modules = [] }) => {
    // What did not load once may do so when it is needed; what came later has to be known then.
    const more = modules.filter((source) => !told.includes(source));
    if (more.length === 0) return;
    told = [...told, ...more];
    void leaveSetup();
  });
  let starting = true;
  const started = Promise.all([keeper.start(), prepare()])
    .then(() => undefined)
    .finally(() => (starting = false));
  // Whoever opens it waits for that, but not at once.
  started.catch(() => undefined);

  /** While the device host starts, because it keeps this process busy for longer than an order may be on its way. */
  async function prepare(): Promise<void> {
    try {
      await within(clock, PREPARE_LIMIT_MS, "preparing to make devices safe", safety.prepare());
    } catch (error) {
      log.warn({}, `making devices safe from outside would be slow or impossible: ${messageOf(error)}`);
    }
  }

  const devices: NodeDevices = {
    verbs: HOST_VERBS.map((doc) => (doc.verb === "RESET" ? RESET_HOST : doc)),
    handle,
    report: () => remote.status() ?? nothingKnown(keeper.why()),
    stopRules: () => undefined,
    async stop() {
      await keeper.stop();
      await safety.close();
      remote.close();
    },
    figures: () => ({ ...keeper.figures(), ...remote.figures() }),
  };
  return { devices, started };
}

function nothingKnown(why: string): DevicesReport {
  return { board: { kind: "unknown", model: "unknown", why, chips: [] }, devices: [], rules: [] };
}

/** Which board a machine is takes time to find out, and stays the same: whoever makes devices safe shall not have to. */
function knownBoard(choice: BoardChoice): BoardChoice {
  const model = choice === "auto" ? readProperty(join(SYSTEM_ROOTS.proc, "device-tree/model"))[0] : undefined;
  return (model === undefined ? undefined : shippedBoardFor(model)) ?? choice;
}

/** The device host has said already what there is to say about the board. */
function quiet(log: Log): Log {
  return {
    debug: () => undefined,
    info: () => undefined,
    warn: (fields, message) => log.warn(fields, message),
    error: (fields, message) => log.error(fields, message),
  };
}
