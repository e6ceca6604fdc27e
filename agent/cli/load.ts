import { existsSync } from "node:fs";

import { createLanguage } from "../../analytics/expression.ts";
import { checkRule } from "../../analytics/rule.ts";
import { loadConfig } from "../config/load.ts";
import { deviceModules } from "../modules.ts";
import type { LoadedConfig } from "../config/load.ts";
import type { DeviceModule } from "../contract/device.ts";

/** Where a configuration is looked for when none is named. */
export const DEFAULT_CONFIG_FILES = ["virgo.yaml", "/etc/virgo/virgo.yaml"] as const;

/** The configuration that was named, else the first default one that is there, else undefined. */
export function configFile(asked: string | undefined): string | undefined {
  return asked ?? DEFAULT_CONFIG_FILES.find((file) => existsSync(file));
}

/** What to say where no configuration is named and none is found. */
export const NO_CONFIG = `no configuration: neither ${DEFAULT_CONFIG_FILES.join(" nor ")} is there; name one with --config FILE`;

/** Reads a configuration and checks all of it, rules as well. `board` is used instead of the file's. */
export function loadWhole(file: string, board?: string, modules: readonly DeviceModule[] = deviceModules): LoadedConfig {
  const language = createLanguage();
  return loadConfig(file, modules, {
    checkRule: (name, rule) => checkRule(name, rule, language),
    ...(board !== undefined && { board }),
  });
}
