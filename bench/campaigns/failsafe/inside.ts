// The part of the failsafe campaign that runs inside the virtual board: `node --import tsx bench/campaigns/failsafe/inside.ts TIMES SEED [WAY]`. Every way to
// lose what drives a device, again and again; prints one line of JSON per way, after the word FAILSAFE.
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { addPwmChip, loadI2cBus, locate, sysfsBase } from "../../../test/board/world.ts";
import { changesOf, clearTrace, readTrace, startTrace, type TracedPort } from "./kernel-trace.ts";
import { measure, type Place, type Port } from "./repetitions.ts";
import { pedalChanges } from "./pedal-frames.ts";
import { startCanLog } from "./can-log.ts";
import { WAYS } from "./ways.ts";
import { writeConfiguration } from "./configuration.ts";

const FOLDER = "/tmp/failsafe";
const CAN = "vcan0";
const SERVO_ADDRESS = 0x41;
const MOTOR_ADDRESS = 0x40;

const [timesText = "5", seedText = "1", only = ""] = process.argv.slice(2);

loadI2cBus([MOTOR_ADDRESS, SERVO_ADDRESS]);
const { chip } = addPwmChip(MOTOR_ADDRESS);
execFileSync("ip", ["link", "add", "dev", CAN, "type", "vcan"]);
execFileSync("ip", ["link", "set", CAN, "up"]);
mkdirSync(FOLDER, { recursive: true });
const bus = startCanLog(CAN, join(FOLDER, "can.log"));

function traced(name: string, moves: boolean, port: TracedPort): Port {
  return { name, moves, ramps: false, changes: () => changesOf(readTrace(), port) };
}

function line(name: string): TracedPort {
  const { chip: home, offset } = locate(name);
  return { kind: "line", number: sysfsBase(home.label) + offset };
}

const place: Place = {
  folder: FOLDER,
  environment: {},
  ports: [
    traced("servo", true, { kind: "channel", address: SERVO_ADDRESS, channel: 0 }),
    traced("motor", true, { kind: "channel", address: MOTOR_ADDRESS, channel: 1 }),
    traced("motor's input", true, line("GPIO5")),
    traced("lamp", false, line("GPIO17")),
    { name: "accelerator's frame", moves: true, ramps: false, changes: () => pedalChanges(bus.frames(), "accelerator") },
    { name: "brake's frame", moves: true, ramps: true, changes: () => pedalChanges(bus.frames(), "brake") },
  ],
  goalMs: { running: 100, starting: 1000 },
  clear() {
    clearTrace();
    bus.clear();
  },
  text: () =>
    [
      ...readTrace().split("\n").slice(-30),
      ...bus
        .frames()
        .slice(-30)
        .map(({ atMs, text }) => `${atMs.toFixed(3)} ${text}`),
    ].join("\n"),
  say: (text) => process.stdout.write(`${text}\n`),
};

writeConfiguration(FOLDER, {
  extra: "",
  analytics: "127.0.0.1:64000",
  servo: `{ pca9685: { bus: 0, address: ${SERVO_ADDRESS}, channel: 0 } }`,
  motor: `{ chip: ${chip}, channel: 1 }`,
  can: CAN,
});
startTrace();
for (const way of WAYS.filter(({ name }) => name.startsWith(only))) {
  const measurement = await measure(way, { place, times: Number(timesText), seed: Number(seedText) });
  process.stdout.write(`FAILSAFE ${JSON.stringify(measurement)}\n`);
}
bus.stop();
process.exit(0);
