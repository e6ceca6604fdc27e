import { parentPort, workerData } from "node:worker_threads";

import { messageOf } from "../contract/errors.ts";

/** What the thread is started with. */
export interface PluginJob {
  /** File URLs, tried in order. */
  readonly modules: readonly string[];
  readonly name: string;
  /** What the function is called with: the symbol as it came. */
  readonly argument: string;
}

/** What the thread answers, once. */
export type PluginResult = { readonly kind: "done" } | { readonly kind: "unknown" } | { readonly kind: "failed"; readonly message: string };

async function run({ modules, name, argument }: PluginJob): Promise<PluginResult> {
  for (const url of modules) {
    const module = (await import(url)) as Record<string, unknown>;
    const exported = module[name];
    if (typeof exported !== "function") continue;
    await (exported as (argument: string) => unknown)(argument);
    return { kind: "done" };
  }
  return { kind: "unknown" };
}

const result = await run(workerData as PluginJob).catch((error: unknown): PluginResult => ({ kind: "failed", message: messageOf(error) }));
parentPort?.postMessage(result);
