import { createLanguage } from "../../analytics/expression.ts";
import { checkRule } from "../../analytics/rule.ts";
import { loadConfig } from "../config/load.ts";
import { deviceModules } from "../modules.ts";
import type { LoadedConfig } from "../config/load.ts";
import type { DeviceModule } from "../contract/device.ts";

/** Reads a configuration and checks all of it, rules as well. `board` is used instead of the file's. */
export function loadWhole(file: string, board?: string, modules: readonly DeviceModule[] = deviceModules): LoadedConfig {
  const language = createLanguage();
  return loadConfig(file, modules, {
    checkRule: (name, rule) => checkRule(name, rule, language),
    ...(board !== undefined && { board }),
  });
}
