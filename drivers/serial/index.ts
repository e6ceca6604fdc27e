import { elm327Driver } from "./elm327.ts";
import { firmataDriver } from "./firmata.ts";
import { lidarDriver } from "./lidar.ts";
import { lineDeviceDriver } from "./line-device.ts";
import { MODULE_CONTRACT, type DeviceModule } from "../../agent/contract/device.ts";
import { modbusRtuDriver } from "./modbus-rtu.ts";
import { nmeaGpsDriver } from "./nmea-gps.ts";

/** Instruments on serial ports. */
export const serial: DeviceModule = {
  name: "serial",
  contract: MODULE_CONTRACT,
  drivers: [nmeaGpsDriver, modbusRtuDriver, lineDeviceDriver, lidarDriver, elm327Driver, firmataDriver],
};
