import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { messageOf } from "../contract/errors.ts";
import { hostEnvironment, type HostProcessOptions } from "./process.ts";
import type { Clock } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";

/** Loading modules and opening their devices have limits of their own; what takes longer than this hangs, milliseconds. */
const LIMIT_MS = 30_000;

export interface ModuleSafetyOptions {
  /** Starts a process that makes the devices of modules safe, says what became of each in one line, and ends. */
  readonly start: () => ChildProcess;
  readonly clock: Clock;
  readonly log: Log;
}

/** Makes the devices of modules that others wrote safe, in a process of its own. */
export interface ModuleSafety {
  /** Starts the process, in place of one that still runs. Waits for nothing; what becomes of it is in the log. */
  begin(): void;
  /** It holds no port any more: one that still runs is killed. Never rejects. */
  end(): Promise<void>;
}

interface Running {
  readonly gone: Promise<void>;
  kill(): void;
}

/** This program again, with one of its commands. What it prints on standard output can be read; errors go where those of this process do. */
export function startCommand(args: readonly string[], env: HostProcessOptions["env"]): ChildProcess {
  // From source, and from the built package, which is one folder.
  const script = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "../main.ts" : "./main.js", import.meta.url));
  return spawn(process.execPath, [...process.execArgv, script, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: hostEnvironment(env),
  });
}

export function createModuleSafety({ start, clock, log }: ModuleSafetyOptions): ModuleSafety {
  let running: Running | undefined;

  function watch(child: ChildProcess): Running {
    if (child.stdout !== null) {
      createInterface({ input: child.stdout }).on("line", (line) => {
        if (line.includes(" is NOT safe: ")) log.error({}, line);
        else log.warn({}, line);
      });
    }
    const cancel = clock.after(LIMIT_MS, () => {
      log.error({ limitMs: LIMIT_MS }, "making the devices of modules safe takes too long: it is given up");
      child.kill("SIGKILL");
    });
    const gone = new Promise<void>((resolve) => {
      child.once("error", (error) => {
        log.error({ err: error }, `the devices of modules cannot be made safe: ${messageOf(error)}`);
        resolve();
      });
      child.once("exit", (code, signal) => {
        cancel();
        if (signal !== null) log.error({ signal }, `what makes the devices of modules safe was ended by ${signal}`);
        else if (code !== 0) log.error({ code }, `NOT every device of a module is safe: exit code ${code ?? "unknown"}`);
        resolve();
      });
    });
    return { gone, kill: () => void child.kill("SIGKILL") };
  }

  return {
    begin() {
      running?.kill();
      try {
        running = watch(start());
      } catch (error) {
        running = undefined;
        log.error({ err: error }, `the devices of modules cannot be made safe: ${messageOf(error)}`);
      }
    },
    async end() {
      const ending = running;
      running = undefined;
      ending?.kill();
      await ending?.gone;
    },
  };
}
