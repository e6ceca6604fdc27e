import { buttonDriver } from "../../../drivers/gpio/button.ts";
import { createSimArduino } from "../../../drivers/board/sim/instruments/firmata.ts";
import { createSimElm327 } from "../../../drivers/board/sim/instruments/elm327.ts";
import { createSimGps } from "../../../drivers/board/sim/instruments/gps.ts";
import { createSimLineInstrument } from "../../../drivers/board/sim/instruments/line.ts";
import { createSimModbus } from "../../../drivers/board/sim/instruments/modbus.ts";
import { createSimRplidar } from "../../../drivers/board/sim/instruments/rplidar.ts";
import { createSimTfmini } from "../../../drivers/board/sim/instruments/tfmini.ts";
import { elm327Driver } from "../../../drivers/serial/elm327.ts";
import { firmataDriver } from "../../../drivers/serial/firmata.ts";
import { lidarDriver } from "../../../drivers/serial/lidar.ts";
import { lineDeviceDriver } from "../../../drivers/serial/line-device.ts";
import { modbusRtuDriver } from "../../../drivers/serial/modbus-rtu.ts";
import { nmeaGpsDriver } from "../../../drivers/serial/nmea-gps.ts";
import type { Driver } from "../../../agent/contract/device.ts";
import type { SimInstrument } from "../../../drivers/board/sim/serial.ts";

/** One driver with its instrument, which measures the same all the time: whatever else is published was invented. */
export interface Subject {
  readonly name: string;
  readonly driver: Driver;
  /** Beside the path. */
  readonly options: Readonly<Record<string, unknown>>;
  /** A device that uses its ports. */
  readonly onPins?: { readonly driver: Driver; readonly options: Readonly<Record<string, unknown>> };
  instrument(): SimInstrument;
  /** Bytes from plugging in within which the plug is pulled, at each of them. */
  readonly cutBytes: number;
  /** By when everything was published at least once, milliseconds. */
  readonly settleMs: number;
  /** Variables that say whether there is a value, and may say no. */
  readonly flags: readonly string[];
  /** The function that tells counters, and those that count what was wrong; absent where the protocol has no checksum. */
  readonly errors?: { readonly read: string; readonly counters: readonly string[] };
}

const GPS_BODIES = [
  "GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,",
  "GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W",
];

function modbusOptions(pollMs: number, timeoutMs: number): Subject["options"] {
  return {
    timeoutMs,
    registers: {
      temperature: { kind: "input", address: 0, type: "i16", scale: 0.1, pollMs },
      flow: { kind: "holding", address: 10, type: "f32", pollMs },
      pump: { unitId: 2, kind: "coil", address: 3, type: "bool", pollMs, write: true, safe: "keep" },
    },
  };
}

function lineOptions(pollMs: number, timeoutMs: number): Subject["options"] {
  return {
    timeoutMs,
    lines: [String.raw`T=(?<temperature>-?\d+\.\d) H=(?<humidity>\d+)%`],
    values: { temperature: {}, humidity: {}, volts: {} },
    commands: { volts: { send: "MEAS?", effect: "read", reply: String.raw`V=(?<volts>\d+\.\d+)V`, pollMs } },
  };
}

function lineInstrument(periodMs: number): SimInstrument {
  const instrument = createSimLineInstrument({ periodMs, answer: (line) => (line === "MEAS?" ? "V=12.345V" : undefined) });
  instrument.say("T=-13.5 H=47%");
  return instrument;
}

function adapter(replyMs: number): SimInstrument {
  const elm = createSimElm327(replyMs);
  elm.answer("00", "4100183B8013");
  elm.answer("0D", "410D3C");
  elm.answer("0C", "410C1AF8");
  return elm;
}

/** What is different where time cannot be moved, by the subjects' names. */
const FASTER: Readonly<Record<string, Partial<Subject>>> = {
  "nmea-gps": {
    instrument() {
      const gps = createSimGps(20);
      gps.say(GPS_BODIES);
      return gps;
    },
    cutBytes: 140,
  },
  "modbus-rtu": { options: modbusOptions(10, 500), cutBytes: 60 },
  "line-device": {
    options: lineOptions(20, 100),
    instrument: () => lineInstrument(20),
    cutBytes: 60,
  },
  "lidar tfmini": { cutBytes: 40 },
  elm327: { instrument: () => adapter(1), cutBytes: 150 },
  "lidar rplidar": { cutBytes: 140 },
  firmata: { cutBytes: 300 },
};

/** Every driver on serial ports; a new one gets its row here. */
export const SUBJECTS: readonly Subject[] = [
  {
    name: "nmea-gps",
    driver: nmeaGpsDriver,
    options: {},
    instrument() {
      const gps = createSimGps();
      gps.say(GPS_BODIES);
      return gps;
    },
    cutBytes: 420,
    settleMs: 2500,
    flags: ["fix"],
    errors: { read: "status", counters: ["badChecksums", "garbageBytes", "malformed", "ignored"] },
  },
  {
    name: "modbus-rtu",
    driver: modbusRtuDriver,
    options: modbusOptions(100, 50),
    instrument() {
      const line = createSimModbus();
      for (const [place, value] of [
        ["1/input/0", 0xff9c],
        ["1/holding/10", 0x4148],
        ["1/holding/11", 0x1234],
        ["2/coil/3", 1],
      ] as const) {
        line.values.set(place, value);
      }
      return line;
    },
    cutBytes: 110,
    settleMs: 1000,
    flags: ["ok"],
    errors: { read: "status", counters: ["crcErrors", "timeouts"] },
  },
  {
    name: "line-device",
    driver: lineDeviceDriver,
    options: lineOptions(700, 1000),
    instrument: () => lineInstrument(1000),
    cutBytes: 120,
    settleMs: 4000,
    flags: [],
  },
  {
    name: "lidar tfmini",
    driver: lidarDriver,
    options: { model: "tfmini" },
    instrument() {
      const lidar = createSimTfmini();
      lidar.measure(1234, 4321);
      return lidar;
    },
    cutBytes: 100,
    settleMs: 500,
    flags: ["ok"],
    errors: { read: "state", counters: ["badFrames"] },
  },
  {
    name: "elm327",
    driver: elm327Driver,
    options: {},
    instrument: () => adapter(40),
    cutBytes: 200,
    settleMs: 8000,
    flags: ["ok"],
  },
  {
    name: "lidar rplidar",
    driver: lidarDriver,
    options: { model: "rplidar-a" },
    instrument() {
      const scanner = createSimRplidar({ turnHz: 20, nodesPerTurn: 90 });
      scanner.see((angleDeg) => 1 + angleDeg / 100);
      return scanner;
    },
    cutBytes: 540,
    settleMs: 1000,
    flags: ["ok"],
  },
  {
    name: "firmata",
    driver: firmataDriver,
    options: { analog: { light: { channel: 2 }, battery: { channel: 0, scale: 5 / 1024 } }, samplingMs: 20, replyMs: 50 },
    onPins: { driver: buttonDriver, options: { line: "x:2" } },
    instrument() {
      const arduino = createSimArduino(20);
      arduino.measure(0, 512);
      arduino.measure(2, 697);
      // Held down all the time: whatever else is heard of it was invented.
      arduino.drive(2, false);
      return arduino;
    },
    cutBytes: 320,
    settleMs: 1000,
    flags: ["connected"],
  },
];

/** The same where time cannot be moved: instruments and drivers that do not wait for long. */
export const FAST_SUBJECTS: readonly Subject[] = SUBJECTS.map((subject) => ({ ...subject, ...FASTER[subject.name] }));
