import { createKicker, createNotifier, type Kicker } from "../keeper/notifier.ts";
import type { Clock } from "../contract/clock.ts";
import type { AgentConfig } from "../config/load.ts";
import type { Log } from "../contract/log.ts";
import type { KeeperState } from "../keeper.ts";

/** Who watches the agent from outside: the service manager and the machine's own watchdog, each only where there is one. */
export interface Watched {
  /** The control loop advances: the watchdogs may be kicked. */
  readonly advance: () => void;
  /** The agent listens. */
  ready(): void;
  readonly state: (state: KeeperState, why: string) => void;
  stopping(): void;
  /** The end. After a `clean` one nobody has to reset the machine. */
  close(clean: boolean): void;
}

export interface WatchedOptions {
  readonly config: Pick<AgentConfig, "watchdog" | "keeper">;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Starting the device host again and making everything safe meanwhile takes part of the time that a start-up has. */
const EXTEND_PARTS = 2;

/** Arms what is configured. Rejects when a configured hardware watchdog cannot be opened. */
export async function beWatched({ config: { watchdog, keeper }, env, clock, log }: WatchedOptions): Promise<Watched> {
  const notifier = await createNotifier({
    env,
    pid: process.pid,
    open: async (address) => (await import("../../drivers/board/linux/unix-datagram.ts")).openUnixDatagram(address),
    clock,
    log,
  });
  const hardware =
    watchdog === undefined
      ? undefined
      : await (await import("../../drivers/board/linux/watchdog.ts")).openHardwareWatchdog(watchdog.device, watchdog.timeoutS);
  let kicker: Kicker | undefined;
  if (hardware !== undefined) {
    const { identity, timeoutS } = hardware;
    log.info(
      { device: watchdog?.device, identity, timeoutS },
      `${identity} resets the machine when the control loop stands still for ${timeoutS} s`,
    );
    kicker = createKicker(clock, (timeoutS * 1000) / 4, () => {
      try {
        hardware.kick();
      } catch (error) {
        log.error({ err: error, device: watchdog?.device }, "the hardware watchdog cannot be kicked; it will reset the machine");
      }
    });
  }
  notifier.extend(keeper.openMs * EXTEND_PARTS);
  return {
    advance() {
      notifier.advance();
      kicker?.advance();
    },
    ready: () => notifier.ready(),
    state: (state, why) => notifier.status(why === "" ? state : why),
    stopping() {
      notifier.stopping();
      notifier.extend(keeper.stopMs * EXTEND_PARTS);
    },
    close(clean) {
      kicker?.close();
      if (clean) hardware?.disarm();
      else hardware?.abandon();
      notifier.close();
    },
  };
}
