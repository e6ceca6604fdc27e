import { PassThrough } from "node:stream";

import { createKeeper, type Keeper, type KeeperState } from "../../agent/keeper.ts";
import { AgentError } from "../../agent/contract/errors.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { keeperSchema } from "../../agent/keeper/options.ts";
import { createFakeClock, settled, type FakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog, type FakeLog } from "../helpers/fake-log.ts";
import type { Journal } from "../../agent/contract/journal.ts";
import type { KeeperOptions } from "../../agent/keeper/options.ts";
import type { ExitListener, HostProcess } from "../../agent/keeper/process.ts";
import type { DeviceSafety, SafeReport } from "../../agent/keeper/safe-report.ts";

/** A device host's process that does what a test says. */
export interface ScriptedHost extends HostProcess {
  /** Signals it was sent. */
  readonly signals: NodeJS.Signals[];
  ready(): Promise<void>;
  /** Its connection ends before it is ready. */
  refuse(error: unknown): Promise<void>;
  exit(code: number | null, signal?: NodeJS.Signals): Promise<void>;
}

/** A keeper with such hosts. */
export interface Scene {
  readonly keeper: Keeper;
  readonly clock: FakeClock;
  readonly log: FakeLog;
  readonly journal: Journal;
  readonly hosts: ScriptedHost[];
  /** The newest. */
  host(): ScriptedHost;
  /** What happened, in order: `spawn`, `safe: reason`, `release`. */
  readonly trace: string[];
  readonly states: KeeperState[];
  alive(): number;
}

export interface SceneOptions {
  readonly options?: Partial<KeeperOptions>;
  readonly devices?: readonly DeviceSafety[];
  readonly makeSafe?: (reason: string) => Promise<SafeReport>;
  /** A process that is killed does not go. */
  readonly immortal?: boolean;
  readonly spawn?: () => HostProcess;
}

export function createScene(given: SceneOptions = {}): Scene {
  const clock = createFakeClock();
  const log = createFakeLog();
  const journal = createJournal(clock);
  const hosts: ScriptedHost[] = [];
  const trace: string[] = [];
  const states: KeeperState[] = [];
  const attached = new Map<HostProcess, { resolve: () => void; reject: (error: unknown) => void }>();
  let alive = 0;

  function createHost(): ScriptedHost {
    const listeners: ExitListener[] = [];
    const host: ScriptedHost = {
      pid: 100 + hosts.length,
      stream: new PassThrough(),
      signals: [],
      onExit(listener) {
        listeners.push(listener);
      },
      kill(signal) {
        host.signals.push(signal);
        if (signal === "SIGKILL" && given.immortal !== true) void host.exit(null, "SIGKILL");
      },
      async ready() {
        attached.get(host)?.resolve();
        await settled();
      },
      async refuse(error) {
        attached.get(host)?.reject(error);
        await settled();
      },
      async exit(code, signal) {
        for (const listener of listeners.splice(0)) listener(code, signal ?? null);
        await settled();
      },
    };
    return host;
  }

  function makeSafe(reason: string): Promise<SafeReport> {
    trace.push(`safe: ${reason}`);
    const { devices = [{ id: "pump", outcome: "safe", tookMs: 1, reason: undefined }] } = given;
    return Promise.resolve({
      devices,
      tookMs: 2,
      allSafe: devices.every(({ outcome }) => outcome !== "failed"),
      async handOver() {
        trace.push("hand over");
        return { "pump.duty": 0 };
      },
      letGo: async (id) => void trace.push(`let go of ${id}`),
      release: async () => void trace.push("release"),
    });
  }

  const keeper = createKeeper({
    spawn() {
      trace.push("spawn");
      if (given.spawn !== undefined) return given.spawn();
      const host = createHost();
      hosts.push(host);
      return host;
    },
    attach: (process) => new Promise((resolve, reject) => attached.set(process, { resolve, reject })),
    makeSafe: given.makeSafe ?? makeSafe,
    options: keeperSchema.parse({ ...given.options }),
    clock,
    log,
    journal,
    onAlive() {
      alive += 1;
    },
    onState(state) {
      states.push(state);
    },
  });
  return {
    keeper,
    clock,
    log,
    journal,
    hosts,
    trace,
    states,
    alive: () => alive,
    host() {
      const host = hosts.at(-1);
      if (host === undefined) throw new AgentError("UNKNOWN", "no host was started");
      return host;
    },
  };
}

/** A keeper whose first device host is ready. */
export async function startScene(given: SceneOptions = {}): Promise<Scene> {
  const scene = createScene(given);
  const started = scene.keeper.start();
  await settled();
  await scene.host().ready();
  await started;
  return scene;
}

/** Lets the host beat for a while, its loop advancing. */
export async function beatFor(scene: Scene, ms: number, counter = (beat: number): number => beat): Promise<void> {
  for (let passed = 0, beat = 1; passed < ms; passed += 50, beat++) {
    scene.keeper.beat(counter(beat));
    await scene.clock.advance(50);
  }
}
