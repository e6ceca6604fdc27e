import { AgentError, messageOf } from "./contract/errors.ts";
import { startLife, type Ending, type Life } from "./keeper/life.ts";
import { createRestartPolicy } from "./keeper/policy.ts";
import { safetyText, type SafeReport } from "./keeper/safe-report.ts";
import type { Cancel, Clock } from "./contract/clock.ts";
import type { Journal } from "./contract/journal.ts";
import type { Log } from "./contract/log.ts";
import type { Figures } from "./contract/request.ts";
import type { KeeperOptions } from "./keeper/options.ts";
import type { HostProcess } from "./keeper/process.ts";
import type { VariableValue } from "./contract/variable.ts";

export type KeeperState = "stopped" | "starting" | "running" | "making-safe" | "waiting" | "safe-mode" | "stopping";

export interface KeeperDependencies {
  /** Starts a process of the device host. */
  readonly spawn: () => HostProcess;
  /**
   * Connects to it and has it open everything; resolves when it is ready. Rejects IO when it ended meanwhile, and with another code when it said itself
   * why it cannot start: at the first start that is final.
   */
  readonly attach: (process: HostProcess) => Promise<void>;
  /** Makes every device safe through fresh ports, which stay held so until `release`. */
  readonly makeSafe: (reason: string) => Promise<SafeReport>;
  readonly options: KeeperOptions;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Journal;
  /**
   * Called whenever the control loop advanced, and regularly while no device host is expected to run: what a watchdog is kicked for. It is not called while
   * a device host runs whose loop stands still.
   */
  readonly onAlive?: () => void;
  /** Called at every change, with the reason as `why` tells it. */
  readonly onState?: (state: KeeperState, why: string) => void;
}

/** Keeps the device host running, and its devices safe while it does not. */
export interface Keeper {
  /**
   * Resolves when the device host is ready, or is given up for now (`state` is `safe-mode`). Rejects with what the device host says when it cannot start
   * at all, and with NOT_READY when it is stopped meanwhile.
   */
  start(): Promise<void>;
  /** A sign of life, with the control loop's counter. */
  beat(loops: number): void;
  /** What the device host loads or opens now: what it is left out for next time if that ends it. */
  doing(text: string | undefined): void;
  /**
   * The device host is about to open its devices. Gives back what is held of them, but for what several processes can drive at a time: that goes on until
   * `doing` tells that its device is open. Resolves with what was driven last. Never rejects.
   */
  handOver(): Promise<Readonly<Record<string, VariableValue>>>;
  /** The device host that starts now takes the place of one that did not take its devices to their exit states. */
  afterDeath(): boolean;
  /** What ended a device host while it was loaded or opened: to be left out. */
  quarantine(): readonly string[];
  /** Starts it afresh, with nothing left out: out of safe mode, or in place of the running one. Settles as `start` does, but never for good. */
  restart(): Promise<void>;
  /** The device host ends with everything in its exit state; one that does not is killed and everything made safe. */
  stop(): Promise<void>;
  state(): KeeperState;
  /** Why nothing can be called, and what to do; empty while it runs. */
  why(): string;
  figures(): Figures;
}

/** How `doing` names a device. */
const DEVICE = "device ";

interface Waiter {
  resolve(): void;
  reject(error: AgentError): void;
}

export function createKeeper(dependencies: KeeperDependencies): Keeper {
  const { options, clock, log, journal } = dependencies;
  const policy = createRestartPolicy(options);
  let afterDeath = false;
  let opening: string | undefined;
  const quarantined = new Set<string>();
  let waiters: Waiter[] = [];
  let state: KeeperState = "stopped";
  let why = "the device host is not started";
  let life: Life | undefined;
  let held: SafeReport | undefined;
  let running: Promise<void> | undefined;
  let stopping = false;
  let restarting = false;
  let everReady = false;
  /** Ends a wait early. */
  let wake: () => void = () => undefined;
  let cancelExcuse: Cancel | undefined;
  let loops: number | undefined;
  let starts = 0;
  let ends = 0;
  let lastEnd = "";
  let lastSafeMs = 0;

  function become(next: KeeperState, reason: string): void {
    state = next;
    why = reason;
    dependencies.onState?.(next, reason);
  }

  function settle(error?: AgentError): void {
    const settled = waiters;
    waiters = [];
    for (const waiter of settled) {
      if (error === undefined) waiter.resolve();
      else waiter.reject(error);
    }
  }

  /** While no device host is expected to run, its silence is no reason for a watchdog. */
  function excuseSilence(): void {
    if (state !== "running") dependencies.onAlive?.();
    cancelExcuse = clock.after(options.heartbeatMs, excuseSilence);
  }

  function onReady(): void {
    if (stopping) return;
    everReady = true;
    become("running", "");
    journal.record("open", "host", "keeper", `pid ${life?.pid ?? 0}, start ${starts}`);
    log.info({ pid: life?.pid, starts }, "the device host is ready");
    settle();
    release().catch((error: unknown) => log.error({ err: error }, `not everything was given back: ${messageOf(error)}`));
  }

  async function release(): Promise<void> {
    const report = held;
    held = undefined;
    await report?.release();
  }

  /** One process, from start to end. */
  async function live(): Promise<Ending> {
    become("starting", "the device host is starting; try again in a moment");
    restarting = false;
    opening = undefined;
    loops = undefined;
    starts += 1;
    try {
      life = startLife({ process: dependencies.spawn(), attach: dependencies.attach, options, clock, onReady });
    } catch (error) {
      const gone = Promise.resolve();
      return { text: messageOf(error), clean: false, healthyForMs: 0, doing: undefined, refused: undefined, gone, stuck: false };
    }
    if (stopping) life.end();
    const ending = await life.ended;
    life = undefined;
    return ending;
  }

  async function makeSafe(text: string): Promise<void> {
    const cause = journal.record("fault", "host", "keeper", text);
    log.error({ ends }, `the device host ended: ${text}; every device is made safe`);
    await release();
    try {
      held = await dependencies.makeSafe(text);
    } catch (error) {
      log.error({ err: error }, `nothing could be made safe: ${messageOf(error)}`);
      return;
    }
    lastSafeMs = held.tookMs;
    for (const device of held.devices) {
      if (device.outcome === "left") continue;
      journal.record(device.outcome === "safe" ? "safe" : "fault", device.id, "keeper", safetyText(device), cause);
      if (device.outcome === "failed") log.error({ device: device.id }, safetyText(device));
    }
    log.warn({ tookMs: held.tookMs, allSafe: held.allSafe }, held.allSafe ? "every device is safe" : "NOT every device is safe");
  }

  async function cleanUpAfter(ending: Ending): Promise<void> {
    if (ending.doing !== undefined) quarantined.add(ending.doing);
    become("making-safe", `the device host ended (${ending.text}); every device is being made safe`);
    await makeSafe(ending.text);
    if (!ending.stuck) return;
    log.error({}, "the device host was killed and does not go: something in the kernel holds it; nothing can be driven until it has");
    const woken = new Promise<void>((resolve) => (wake = resolve));
    if (!stopping) await Promise.race([ending.gone, woken]);
    await makeSafe("what held the device host's process has let go");
  }

  /** Until the time is over, or somebody wants it started or stopped. */
  function wait(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = waitMs === Infinity ? undefined : clock.after(waitMs, resolve);
      wake = () => {
        cancel?.();
        resolve();
      };
    });
  }

  /** What follows an end that nobody asked for. */
  async function recover(ending: Ending): Promise<void> {
    ends += 1;
    lastEnd = ending.text;
    if (ending.refused !== undefined && !everReady) {
      // Nothing was driven, and trying again does not help: whoever starts the agent is told.
      stopping = true;
      settle(ending.refused);
      return;
    }
    await cleanUpAfter(ending);
    if (stopping || restarting) return;
    const verdict = policy.ended(clock.monotonicMs(), ending.healthyForMs);
    if (verdict.kind === "restart") {
      become("waiting", `the device host ended (${ending.text}); it is started again in ${verdict.waitMs} ms`);
      await wait(verdict.waitMs);
      return;
    }
    const reason =
      `the device host ended ${verdict.ends} times within ${options.crashWindowMs} ms, last: ${ending.text}; ` +
      "it stays down with every device safe until RESET HOST or a restart of the agent";
    become("safe-mode", reason);
    log.error({ quarantine: [...quarantined] }, reason);
    settle();
    await wait(Infinity);
  }

  async function run(): Promise<void> {
    excuseSilence();
    while (!stopping) {
      const ending = await live();
      afterDeath = !ending.clean;
      if (ending.clean) continue;
      await recover(ending);
    }
    cancelExcuse?.();
    await release();
    become("stopped", "the device host is stopped");
    settle(new AgentError("NOT_READY", "the device host was stopped before it was ready"));
  }

  function untilReady(): Promise<void> {
    return new Promise((resolve, reject) => waiters.push({ resolve, reject }));
  }

  return {
    start() {
      const ready = untilReady();
      running ??= run();
      return ready;
    },
    beat(counter) {
      life?.beat();
      if (counter === loops) return;
      loops = counter;
      if (state === "running") dependencies.onAlive?.();
    },
    doing(text) {
      life?.doing(text);
      // What was being opened is open, in its safe state, or never will be.
      if (opening !== undefined) void held?.letGo(opening);
      opening = text?.startsWith(DEVICE) === true ? text.slice(DEVICE.length) : undefined;
    },
    handOver: () => held?.handOver() ?? Promise.resolve({}),
    afterDeath: () => afterDeath,
    quarantine: () => [...quarantined],
    async restart() {
      if (running === undefined || stopping) throw new AgentError("NOT_READY", `${why}; it cannot be started again`);
      policy.forgive();
      quarantined.clear();
      restarting = true;
      const ready = untilReady();
      journal.record("reset", "host", "keeper", "started afresh");
      life?.end();
      wake();
      await ready;
      if (state === "safe-mode") throw new AgentError("NOT_READY", why);
    },
    async stop() {
      stopping = true;
      if (running === undefined) return;
      if (state !== "stopped") become("stopping", "the agent is stopping");
      life?.end();
      wake();
      await running;
    },
    state: () => state,
    why: () => why,
    figures: () => ({
      state,
      pid: life?.pid ?? 0,
      starts,
      ends,
      recentEnds: policy.recentEnds(clock.monotonicMs()),
      lastEnd,
      lastSafeMs: Math.round(lastSafeMs * 10) / 10,
      quarantine: [...quarantined].join(", "),
    }),
  };
}
