import { buttonDriver } from "./button.ts";
import { compassDriver } from "./compass.ts";
import { coverDriver } from "./cover.ts";
import { dimmerDriver } from "./dimmer.ts";
import { expanderDriver } from "./expander.ts";
import { ina219Driver } from "./ina219.ts";
import { ultrasonicDriver } from "./ultrasonic.ts";
import { lightDriver } from "./light.ts";
import { motorDriver } from "./motor.ts";
import { panTiltDriver } from "./pan-tilt.ts";
import { relayDriver } from "./relay.ts";
import { servoDriver } from "./servo.ts";
import { switchDriver } from "./switch.ts";
import { MODULE_CONTRACT, type DeviceModule } from "../../agent/contract/device.ts";

/** Devices on lines, PWM channels and I2C chips. */
export const gpio: DeviceModule = {
  name: "gpio",
  contract: MODULE_CONTRACT,
  drivers: [
    lightDriver,
    relayDriver,
    buttonDriver,
    switchDriver,
    servoDriver,
    panTiltDriver,
    motorDriver,
    ultrasonicDriver,
    dimmerDriver,
    expanderDriver,
    ina219Driver,
    compassDriver,
    coverDriver,
  ],
};
