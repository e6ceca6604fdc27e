import { gcbafDriver } from "./gcbaf.ts";
import { steeringDriver } from "./steering.ts";
import { MODULE_CONTRACT, type DeviceModule } from "../../agent/contract/device.ts";

/** What drives a vehicle. */
export const vehicle: DeviceModule = {
  name: "vehicle",
  contract: MODULE_CONTRACT,
  drivers: [gcbafDriver, steeringDriver],
};
