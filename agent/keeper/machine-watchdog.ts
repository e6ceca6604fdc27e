import { messageOf } from "../contract/errors.ts";
import { createKicker } from "./notifier.ts";
import type { Clock } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";
import type { WatchdogOptions } from "./options.ts";

/** The machine's watchdog, opened and thereby armed. */
export interface WatchdogPort {
  readonly identity: string;
  /** What it was set to, seconds. */
  readonly timeoutS: number;
  /** Throws IO. */
  kick(): void;
  disarm(): void;
}

/** Restarts the machine when the control loop stands still. */
export interface MachineWatchdog {
  /** The control loop advanced. */
  advance(): void;
  /** A clean end: the machine goes on without it. However else the agent ends, the machine restarts unless it is started again in time. */
  stop(): void;
}

export interface MachineWatchdogOptions {
  readonly options: WatchdogOptions;
  readonly open: (device: string, timeoutS: number) => Promise<WatchdogPort>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Kicked this often within its time: a kick that comes late is not the last. */
const KICKS_PER_TIMEOUT = 3;

/** Rejects as `open` does: an agent that was told to have a watchdog does not run without. */
export async function startMachineWatchdog({ options, open, clock, log }: MachineWatchdogOptions): Promise<MachineWatchdog> {
  const { device, timeoutS } = options;
  const port = await open(device, timeoutS);
  log.info(
    { device, timeoutS: port.timeoutS },
    `${device} (${port.identity}) restarts the machine when nothing moves for ${port.timeoutS} s`,
  );
  let failed = false;
  const kicker = createKicker(clock, (port.timeoutS * 1000) / KICKS_PER_TIMEOUT, () => {
    try {
      port.kick();
    } catch (error) {
      if (!failed) log.error({ device }, `the machine will restart: ${messageOf(error)}`);
      failed = true;
    }
  });
  return {
    advance: () => kicker.advance(),
    stop() {
      kicker.close();
      try {
        port.disarm();
      } catch (error) {
        log.error({ device }, `the machine may restart: ${messageOf(error)}`);
      }
    },
  };
}
