import { Worker } from "node:worker_threads";

import { AgentError, messageOf } from "../contract/errors.ts";
import type { FromThread, MotionSetup, ToThread } from "./motion-messages.ts";

/** The thread as this side sees it. */
export interface MotionThread {
  post(message: ToThread): void;
  /** Resolves when it has ended; a thread that has not ended by itself within `limitMs` is ended. */
  stop(limitMs: number): Promise<void>;
}

export interface MotionThreadEvents {
  readonly receive: (message: FromThread) => void;
  /** It ended by itself. */
  readonly lost: (error: AgentError) => void;
}

export type StartThread = (setup: MotionSetup, events: MotionThreadEvents) => MotionThread;

/** Starts the motion thread as a worker thread of this process: from the file at `entry`, with Node's `execArgv`; the agent's own and the process's when absent. */
export function createThreadStart(entry: URL = ownEntry(), execArgv?: readonly string[]): StartThread {
  return (setup, { receive, lost }) => {
    const worker = new Worker(entry, {
      workerData: setup,
      name: "virgo-motion",
      // Sockets and event files are opened by native code, which Node does not see: it would warn of each that is closed.
      trackUnmanagedFds: false,
      ...(execArgv && { execArgv: [...execArgv] }),
    });
    const exited = new Promise<void>((resolve) => {
      worker.once("exit", () => resolve());
    });
    worker.on("message", receive);
    worker.on("error", (error) => lost(new AgentError("FAULTED", `motion thread failed: ${messageOf(error)}`, { cause: error })));
    worker.on("exit", (code) => lost(new AgentError("FAULTED", `motion thread ended with ${code}`)));
    return {
      post: (message) => worker.postMessage(message),
      async stop(limitMs) {
        const limit = setTimeout(() => void worker.terminate(), limitMs);
        await exited;
        clearTimeout(limit);
      },
    };
  };
}

/** The same thread runs from source and from the built package, which is one folder. */
function ownEntry(): URL {
  return new URL(import.meta.url.endsWith(".ts") ? "../motion-thread.ts" : "./motion-thread.js", import.meta.url);
}
