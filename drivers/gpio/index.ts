import { buttonDriver } from "./button.ts";
import { lightDriver } from "./light.ts";
import { relayDriver } from "./relay.ts";
import { switchDriver } from "./switch.ts";
import { MODULE_CONTRACT, type DeviceModule } from "../../agent/contract/device.ts";

/** Devices on lines and PWM channels. */
export const gpio: DeviceModule = {
  name: "gpio",
  contract: MODULE_CONTRACT,
  drivers: [lightDriver, relayDriver, buttonDriver, switchDriver],
};
