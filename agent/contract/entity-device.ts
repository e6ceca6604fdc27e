import type { DevicePolicy, Driver } from "./device.ts";
import type { Entity } from "./entity.ts";

/** A configured device with its entities. */
export interface EntityDevice {
  readonly id: string;
  /** One line about its kind. */
  readonly summary: string;
  readonly entities: readonly Entity[];
  readonly moves: boolean;
  /** Lease of a command that asks for none. */
  readonly leaseMs: number;
  readonly onLoss: DevicePolicy["onLoss"];
}

/** What is known of a device from its configuration. */
export function entityDevice(spec: {
  readonly id: string;
  readonly driver: Driver;
  readonly options: Readonly<Record<string, unknown>>;
  readonly policy: Pick<DevicePolicy, "leaseMs" | "onLoss">;
}): EntityDevice {
  const { id, driver, options, policy } = spec;
  return {
    id,
    summary: driver.summary,
    entities: driver.entities?.(options) ?? [],
    moves: driver.moves,
    leaseMs: policy.leaseMs ?? driver.lease.defaultMs,
    onLoss: policy.onLoss,
  };
}
