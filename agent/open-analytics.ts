import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { writeWhole } from "./state-folder.ts";
import type { AgentConfig } from "./config/load.ts";
import type { Clock } from "./contract/clock.ts";
import type { Log } from "./contract/log.ts";
import type { DerivedVariables, ModelShelf } from "../analytics/derived.ts";
import type { VariableStore } from "../analytics/store.ts";

export interface OpenAnalyticsOptions {
  readonly config: AgentConfig;
  readonly stateFolder: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** What is made of variables. */
export interface OpenedAnalytics {
  readonly derived: DerivedVariables | undefined;
}

/** Starts what makes something of variables, before any source sets one. What is not configured is not loaded. */
export async function openAnalytics(
  options: OpenAnalyticsOptions,
  variables: VariableStore,
  closers: (() => unknown)[],
): Promise<OpenedAnalytics> {
  return { derived: await openDerived(options, variables, closers) };
}

async function openDerived(
  { config, stateFolder, clock, log }: OpenAnalyticsOptions,
  variables: VariableStore,
  closers: (() => unknown)[],
): Promise<DerivedVariables | undefined> {
  const { derived } = config.analytics;
  if (Object.keys(derived).length === 0) return undefined;
  const { startDerived } = await import("../analytics/derived.ts");
  const started = await startDerived({ derived, variables, shelf: createModelShelf(stateFolder), clock, log });
  closers.push(() => started.close());
  return started;
}

/** `model-NAME.json` in the state folder. */
function createModelShelf(folder: string): ModelShelf {
  const fileOf = (name: string): string => join(folder, `model-${name}.json`);
  return {
    async read(name) {
      try {
        return await readFile(fileOf(name), "utf8");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw error;
      }
    },
    write: (name, text) => writeWhole(fileOf(name), text),
  };
}
