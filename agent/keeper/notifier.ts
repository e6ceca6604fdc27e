import type { Cancel, Clock } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";

/** Does something regularly as long as something else goes on. */
export interface Kicker {
  /** It went on. */
  advance(): void;
  close(): void;
}

/** Calls `kick` every `intervalMs`, unless `advance` was not called since the last time. */
export function createKicker(clock: Clock, intervalMs: number, kick: () => void): Kicker {
  let advanced = false;
  let cancel: Cancel | undefined;

  function arm(): void {
    cancel = clock.after(intervalMs, () => {
      arm();
      if (!advanced) return;
      advanced = false;
      kick();
    });
  }

  arm();
  return {
    advance() {
      advanced = true;
    },
    close: () => cancel?.(),
  };
}

/** Tells the service manager how it goes: systemd's protocol of `$NOTIFY_SOCKET`, sd_notify(3). Does nothing where there is none. */
export interface Notifier {
  /** Start-up is over. From here on the watchdog of the unit runs, if it has one. */
  ready(): void;
  /** One line for `systemctl status`. */
  status(text: string): void;
  /** The end has begun. */
  stopping(): void;
  /** What is going on, start or end, takes up to `ms` longer than the unit says. */
  extend(ms: number): void;
  /** The control loop advanced: the watchdog is kicked at its next time, otherwise not. */
  advance(): void;
  close(): void;
}

/** A connection to the service manager. */
export interface NotifySocket {
  /** False when its queue is full and this must be said again. Throws IO. */
  send(text: string): boolean;
  close(): void;
}

export interface NotifierOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** This process: a watchdog meant for another one is not kicked. */
  readonly pid: number;
  /** Called only when there is a NOTIFY_SOCKET; `address` is a path, or begins with @ for an abstract name. */
  readonly open: (address: string) => Promise<NotifySocket>;
  readonly clock: Clock;
  readonly log: Log;
}

/** From one attempt to the next while the service manager's queue is full. */
const RETRY_MS = 50;

const NO_NOTIFIER: Notifier = {
  ready: () => undefined,
  status: () => undefined,
  stopping: () => undefined,
  extend: () => undefined,
  advance: () => undefined,
  close: () => undefined,
};

/** The interval the service manager expects to hear from this process in, milliseconds; undefined without one: sd_watchdog_enabled(3). */
export function watchdogMs(env: NotifierOptions["env"], pid: number): number | undefined {
  const usec = Number(env["WATCHDOG_USEC"]);
  const meant = env["WATCHDOG_PID"];
  if (!(usec > 0) || (meant !== undefined && Number(meant) !== pid)) return undefined;
  return usec / 1000;
}

/** Never rejects: an agent that cannot speak to the service manager says so in its log, and is then ended by it. */
export async function createNotifier(options: NotifierOptions): Promise<Notifier> {
  const address = options.env["NOTIFY_SOCKET"];
  if (address === undefined || address === "") return NO_NOTIFIER;
  try {
    return startNotifier(await options.open(address), options);
  } catch (error) {
    options.log.error({ err: error, address }, "the service manager cannot be reached; it will end this process when its time is over");
    return NO_NOTIFIER;
  }
}

function startNotifier(socket: NotifySocket, { env, pid, clock, log }: NotifierOptions): Notifier {
  const unsent: string[] = [];
  let cancelRetry: Cancel | undefined;
  let failed = false;
  let kicker: Kicker | undefined;

  function sendNow(text: string): boolean {
    try {
      return socket.send(text);
    } catch (error) {
      // Said once: it fails again with every kick.
      if (!failed) log.error({ err: error }, "the service manager does not hear this process");
      failed = true;
      return true;
    }
  }

  function retry(): void {
    cancelRetry = undefined;
    for (let text = unsent[0]; text !== undefined; text = unsent[0]) {
      if (!sendNow(text)) {
        cancelRetry = clock.after(RETRY_MS, retry);
        return;
      }
      unsent.shift();
    }
  }

  /** What cannot be sent now is sent later, in order, only the newest of each kind. */
  function send(text: string): void {
    const kind = text.slice(0, text.indexOf("="));
    const older = unsent.findIndex((waiting) => waiting.startsWith(`${kind}=`));
    if (older >= 0) unsent.splice(older, 1);
    unsent.push(text);
    if (cancelRetry === undefined) retry();
  }

  const intervalMs = watchdogMs(env, pid);
  return {
    ready() {
      send("READY=1");
      // Half of the interval: sd_watchdog_enabled(3).
      if (intervalMs !== undefined) kicker ??= createKicker(clock, intervalMs / 2, () => send("WATCHDOG=1"));
    },
    status(text) {
      send(`STATUS=${text.replaceAll(/\s*[\r\n]+\s*/g, " ")}`);
    },
    stopping() {
      send("STOPPING=1");
    },
    extend(ms) {
      send(`EXTEND_TIMEOUT_USEC=${Math.ceil(ms * 1000)}`);
    },
    advance: () => kicker?.advance(),
    close() {
      kicker?.close();
      cancelRetry?.();
      socket.close();
    },
  };
}
