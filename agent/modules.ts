import { gpio } from "../drivers/gpio/index.ts";
import { serial } from "../drivers/serial/index.ts";
import { vehicle } from "../drivers/vehicle/index.ts";
import type { DeviceModule } from "./contract/device.ts";

/** The drivers that come with the agent. */
export const deviceModules: readonly DeviceModule[] = [gpio, vehicle, serial];
