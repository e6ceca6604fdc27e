import type { Duplex } from "node:stream";

import { compilePermits } from "./access/permits.ts";
import { AgentError, messageOf, toAgentError } from "./contract/errors.ts";
import { createJournal } from "./host/journal.ts";
import { LINK_LIMITS } from "./link/limits.ts";
import { serveHost } from "./link/serve-host.ts";
import { openDevices, type OpenedDevices } from "./open-devices.ts";
import { lockStateFolder } from "./state-folder.ts";
import { createVariableStore, type VariableStore } from "../analytics/store.ts";
import type { Clock } from "./contract/clock.ts";
import type { DeviceModule } from "./contract/device.ts";
import type { Log } from "./contract/log.ts";
import type { MirroredVariables, VariableValue } from "./contract/variable.ts";
import type { DeviceSetup } from "./device-setup.ts";

/** What the front starts a device host with. Plain data. */
export interface HostStart {
  readonly setup: DeviceSetup;
  readonly stateFolder: string;
  /** From one sign of life to the next, milliseconds. */
  readonly heartbeatMs: number;
  /** What earlier device hosts did not survive. */
  readonly quarantine: readonly string[];
  /** Who had latched the emergency stop. */
  readonly eStoppedBy: string | undefined;
  /** An earlier device host ended without taking its devices to their exit states: what moves goes to its safe state before anything can be called. */
  readonly afterDeath: boolean;
}

export interface DeviceHostOptions {
  /** To the front, and to nobody else. */
  readonly stream: Duplex;
  readonly clock: Clock;
  readonly version: string;
  readonly modules: readonly DeviceModule[];
  /** A log of that level. */
  readonly createLog: (level: DeviceSetup["logLevel"]) => Log;
  /** Ends the process. */
  readonly exit: (code: number) => void;
}

/** What ends a device host from outside. */
export interface DeviceHost {
  /** Every device to its exit state, then the process ends with `code`. Calling it again changes nothing. */
  end(code: number, reason: string): void;
}

/** After the front is gone: what does not move keeps its leases so long, which is the usual lease of lights; then everything goes to its exit state. */
const ORPHAN_MS = 2000;

/** How long the devices of an agent that was killed are waited for. */
const HANDOVER_MS = ORPHAN_MS + 1000;
const HANDOVER_LOOK_MS = 20;

/** Devices have time limits of their own to become safe; what has not ended by then never will. */
const STOP_MS = 5000;

/** Runs the devices of a node for the front at the other end of the stream, until that is gone or `end` is called. */
export function runDeviceHost(options: DeviceHostOptions): DeviceHost {
  const { stream, clock, version, modules } = options;
  let log = options.createLog("info");
  let heartbeatMs = 0;
  let limits = LINK_LIMITS;
  let devices: OpenedDevices | undefined;
  let store: VariableStore | undefined;
  let ending = false;
  const journal = createJournal(clock);
  const link = serveHost({
    stream,
    clock,
    get log() {
      return log;
    },
    journal,
    variables: laterStore(() => store),
    permitsFor: compilePermits,
    onStart: (text) => start(JSON.parse(text) as HostStart),
    status: () => devices?.report() ?? {},
    reads: (callName) => devices?.reads(callName) ?? false,
    onFrontLost(reason) {
      log.error({ code: reason.code }, `${reason.message}: what moves goes safe`);
      devices?.loseFront("the front is gone");
      clock.after(devices === undefined ? 0 : ORPHAN_MS, () => end(0, "the front is gone"));
    },
    limits: () => limits,
    beatMs: () => heartbeatMs,
    loops: () => ({ motion: devices?.beats() ?? 0 }),
  });

  async function start({ setup, stateFolder, quarantine, eStoppedBy, afterDeath, ...more }: HostStart): Promise<OpenedDevices> {
    log = options.createLog(setup.logLevel);
    heartbeatMs = more.heartbeatMs;
    limits = setup.link;
    const { analytics, limits: storeLimits } = setup;
    const variables = createVariableStore({ clock, limits: storeLimits, declared: analytics.variables, defaultStaleMs: analytics.staleMs });
    store = variables;
    await takeOver(stateFolder, clock);
    devices = await openDevices({
      setup,
      version,
      modules,
      clock,
      log,
      journal,
      variables: { ...link.variables, staleMsOf: (name) => variables.staleMsOf(name) },
      own: {
        onDoing: (text) => link.doing(text),
        quarantine,
        eStoppedBy,
        afterDeath,
        async beforeOpening() {
          rememberDriven(variables, await link.takePorts(), log);
        },
        onMotionLost(error) {
          // Its ports are open in this process and nobody drives them: the kernel closes them now, and the front makes the devices safe.
          log.error({ code: error.code }, `${error.message}; the device host ends`);
          options.exit(EXIT_LOST);
        },
      },
    });
    return devices;
  }

  function end(code: number, reason: string): void {
    if (ending) return;
    ending = true;
    log.info({}, `the device host ends: ${reason}`);
    clock.after(STOP_MS, () => {
      log.error({ limitMs: STOP_MS }, "stopping takes too long: ended with something still open");
      options.exit(code === 0 ? 1 : code);
    });
    Promise.resolve(devices?.stop()).then(
      () => options.exit(code),
      (error: unknown) => {
        log.error({ err: error }, `not everything stopped: ${toAgentError(error).message}`);
        options.exit(code === 0 ? 1 : code);
      },
    );
  }

  return { end };
}

/** Who set what was driven by whoever made the devices safe. */
const LAST_DRIVEN = "safe state";

/** For the devices that go on from there. One that is not taken is said: its device begins as at any other start. */
function rememberDriven(variables: VariableStore, text: string, log: Log): void {
  for (const [name, value] of Object.entries(JSON.parse(text) as Readonly<Record<string, VariableValue>>)) {
    try {
      variables.set(name, value, LAST_DRIVEN, Infinity);
    } catch (error) {
      log.warn({ variable: name }, `${name} is not known any more: ${messageOf(error)}`);
    }
  }
}

/** As after an error that nobody caught. */
const EXIT_LOST = 70;

/** The devices of an agent that was killed are in the hands of its device host for a moment longer. Rejects IN_USE when they stay there. */
async function takeOver(stateFolder: string, clock: Clock): Promise<void> {
  const untilMs = clock.monotonicMs() + HANDOVER_MS;
  for (;;) {
    try {
      await lockStateFolder(stateFolder, "devices");
      return;
    } catch (error) {
      if (!(error instanceof AgentError) || error.code !== "IN_USE" || clock.monotonicMs() > untilMs) throw error;
      await new Promise<void>((resolve) => {
        clock.after(HANDOVER_LOOK_MS, resolve);
      });
    }
  }
}

/** The store that is made when the front has said what is declared; nothing asks for it before. */
function laterStore(find: () => VariableStore | undefined): MirroredVariables {
  function made(): VariableStore {
    const store = find();
    if (store === undefined) throw new AgentError("NOT_READY", "variables came before the device host was started");
    return store;
  }
  return {
    get: (name) => made().get(name),
    names: () => made().names(),
    onChange: (listener) => made().onChange(listener),
    set: (name, value, source, freshMs) => made().set(name, value, source, freshMs),
    setAt: (name, value, source, arrivedMs, freshMs) => made().setAt(name, value, source, arrivedMs, freshMs),
    freshMsOf: (name) => made().freshMsOf(name),
  };
}
