import { createSystemClock } from "../clock.ts";
import type { Clock } from "../contract/clock.ts";

/** What a command sees of the process it runs in. */
export interface CliIo {
  out(text: string): void;
  error(text: string): void;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Aborted when the command is to end: Ctrl-C, SIGTERM, the terminal closed. A command that never looks at it is ended by the signal itself. */
  readonly stop: AbortSignal;
}

/** The process the program was started as. */
export function createProcessIo(): CliIo {
  let stop: AbortController | undefined;

  function watchSignals(): AbortController {
    const controller = new AbortController();
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => controller.abort());
    return controller;
  }

  return {
    out: (text) => process.stdout.write(text),
    error: (text) => process.stderr.write(text),
    env: process.env,
    clock: createSystemClock(),
    get stop() {
      stop ??= watchSignals();
      return stop.signal;
    },
  };
}
