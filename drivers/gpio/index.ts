import { buttonDriver } from "./button.ts";
import { lightDriver } from "./light.ts";
import { relayDriver } from "./relay.ts";
import { switchDriver } from "./switch.ts";
import type { DeviceModule } from "../../agent/contract/device.ts";

/** Devices on lines and PWM channels. */
export const gpio: DeviceModule = { name: "gpio", drivers: [lightDriver, relayDriver, buttonDriver, switchDriver] };
