import { Worker } from "node:worker_threads";

import { AgentError, messageOf } from "../contract/errors.ts";
import type { Clock } from "../contract/clock.ts";
import type { ByteString } from "../contract/request.ts";
import type { PluginJob, PluginResult } from "./plugin-thread.ts";

/** Memory of one plugin call; beyond it the worker ends. */
const MAX_HEAP_MIB = 64;

export interface PluginOptions {
  /** File URLs of the modules whose exported functions may be called; nothing else is ever loaded. */
  readonly modules: readonly string[];
  readonly timeLimitMs: number;
  readonly maxRunning: number;
  readonly clock: Clock;
}

/** Mode 0: calls an exported function of a plugin module in a worker of its own. */
export interface PluginRunner {
  /** `_Z16virgo_cloud_testPv` or `virgo_cloud_test`. Resolves when it has returned. Rejects UNKNOWN, FULL, TIMEOUT or IO. */
  call(symbol: ByteString): Promise<void>;
  close(): Promise<void>;
}

export function createPluginRunner({ modules, timeLimitMs, maxRunning, clock }: PluginOptions): PluginRunner {
  const running = new Set<Worker>();

  async function run(symbol: string, name: string): Promise<void> {
    const job: PluginJob = { modules, name, argument: symbol };
    // The same thread runs from source and from the built package, which is one folder.
    const file = import.meta.url.endsWith(".ts") ? "./plugin-thread.ts" : "./plugin-thread.js";
    const worker = new Worker(new URL(file, import.meta.url), {
      workerData: job,
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB },
    });
    running.add(worker);
    try {
      await outcome(worker, symbol);
    } finally {
      running.delete(worker);
      await worker.terminate();
    }
  }

  function outcome(worker: Worker, symbol: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = clock.after(timeLimitMs, () => {
        reject(new AgentError("TIMEOUT", `${symbol} ran longer than ${timeLimitMs} ms (clone.timeLimitMs)`));
      });
      worker.once("message", (result: PluginResult) => {
        cancel();
        if (result.kind === "done") resolve();
        else if (result.kind === "unknown") reject(new AgentError("UNKNOWN", symbol));
        else reject(new AgentError("IO", `${symbol} failed: ${result.message}`));
      });
      worker.once("error", (error) => {
        cancel();
        reject(new AgentError("IO", `${symbol} failed: ${messageOf(error)}`, { cause: error }));
      });
      worker.once("exit", () => {
        cancel();
        reject(new AgentError("IO", `${symbol} ended its thread without returning`));
      });
    });
  }

  return {
    async call(symbol) {
      const name = functionName(symbol);
      if (name === undefined || modules.length === 0) throw new AgentError("UNKNOWN", symbol);
      if (running.size >= maxRunning) throw new AgentError("FULL", `${maxRunning} plugin functions are running already (clone.maxRunning)`);
      await run(symbol, name);
    },
    async close() {
      await Promise.all([...running].map((worker) => worker.terminate()));
    },
  };
}

/**
 * The function a symbol names: as it is, or demangled when it is an unscoped C++ name, `_Z` length name parameters
 * (Itanium C++ ABI, 5.1.2). Undefined when it is neither.
 */
export function functionName(symbol: string): string | undefined {
  const mangled = /^_Z(\d{1,3})(.+)$/.exec(symbol);
  if (mangled === null) return /^[A-Za-z_$][\w$]*$/.test(symbol) ? symbol : undefined;
  const length = Number(mangled[1]);
  const rest = mangled[2] ?? "";
  return length > 0 && rest.length >= length ? functionName(rest.slice(0, length)) : undefined;
}
