import { compilePermits, permitMistake } from "./access/permits.ts";
import { AgentError } from "./contract/errors.ts";
import type { AgentConfig } from "./config/load.ts";
import type { Broker } from "./contract/broker.ts";
import type { Clock } from "./contract/clock.ts";
import type { Log } from "./contract/log.ts";
import type { Service } from "./contract/request.ts";
import type { OtherNodes } from "./fleet/nodes.ts";

export interface OpenBrokerFleetOptions {
  readonly config: AgentConfig;
  readonly version: string;
  readonly broker: Broker | undefined;
  /** The devices of this node alone. */
  readonly devices: Service;
  readonly load: () => number;
  readonly clock: Clock;
  readonly log: Log;
}

/** The nodes found through the broker; undefined, and nothing loaded, where that is not wanted. Throws ARGUMENT where there is no broker, and for a permit that covers nothing. */
export async function openBrokerFleet(setup: OpenBrokerFleetOptions): Promise<OtherNodes | undefined> {
  const { config, broker, ...parts } = setup;
  const { mqtt: options } = config.fleet;
  if (!options.enabled) return undefined;
  if (broker === undefined || config.mqtt === undefined) {
    throw new AgentError("ARGUMENT", "fleet.mqtt is enabled, and there is no broker: configure mqtt");
  }
  for (const permit of options.allow) {
    const mistake = permitMistake(permit);
    if (mistake !== undefined) throw new AgentError("ARGUMENT", `fleet.mqtt.allow: ${mistake}`);
  }
  const permits = options.allow.includes("*") ? undefined : compilePermits(options.allow);
  const { openBrokerFleet: open } = await import("./fleet/mqtt.ts");
  return open({ ...parts, broker, base: config.mqtt.base, options, node: config.node, permits });
}
