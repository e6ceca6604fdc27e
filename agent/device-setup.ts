import { dirname } from "node:path";

import type { BoardChoice } from "./config/board-file.ts";
import type { AgentConfig } from "./config/load.ts";
import type { DevicePolicy } from "./contract/device.ts";
import type { Limits } from "./contract/limits.ts";
import type { PendingSpec } from "./host/pending.ts";

/** What the devices of a node are opened from. Plain data: it crosses to the device host's process as JSON. */
export interface DeviceSetup {
  readonly node: string;
  /** Where the configuration lies; relative names start there. */
  readonly folder: string;
  readonly board: BoardChoice;
  readonly devices: readonly DeviceOutline[];
  /** Devices of modules that others wrote. */
  readonly pending: readonly PendingSpec[];
  /** Those modules. */
  readonly modules: readonly string[];
  readonly host: AgentConfig["host"];
  readonly link: AgentConfig["link"];
  readonly motion: AgentConfig["motion"];
  readonly rules: AgentConfig["rules"];
  readonly analytics: Pick<AgentConfig["analytics"], "variables" | "staleMs" | "driving">;
  readonly limits: Pick<Limits, "maxVariables" | "maxVariableBytes">;
  readonly logLevel: AgentConfig["log"]["level"];
}

/** One device, its options as the driver's schema left them. */
export interface DeviceOutline {
  readonly id: string;
  /** Name of the driver. */
  readonly driver: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly policy: DevicePolicy;
}

export function deviceSetupOf(config: AgentConfig): DeviceSetup {
  const { node, file, board, devices, pending, modules, host, link, motion, rules, analytics, limits, log } = config;
  return {
    node,
    folder: dirname(file),
    board,
    devices: devices.map(({ id, driver, options, common }) => ({ id, driver: driver.name, options, policy: common })),
    pending: pending.map(({ id, driver, fields, common }) => ({ id, driverName: driver, fields, policy: common })),
    modules,
    host,
    link,
    motion,
    rules,
    analytics: { variables: analytics.variables, staleMs: analytics.staleMs, driving: analytics.driving },
    limits: { maxVariables: limits.maxVariables, maxVariableBytes: limits.maxVariableBytes },
    logLevel: log.level,
  };
}
