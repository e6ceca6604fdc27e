// The device host: the agent starts it as a process of its own, with itself at the other end of descriptor 3.
import { Socket } from "node:net";

import { pino } from "pino";

import { createSystemClock } from "./clock.ts";
import { deviceModules } from "./modules.ts";
import { runDeviceHost } from "./run-device-host.ts";
import { packageVersion } from "./version.ts";

const host = runDeviceHost({
  stream: new Socket({ fd: 3 }),
  clock: createSystemClock(),
  version: packageVersion(),
  modules: deviceModules,
  createLog: (level) => pino({ level }).child({ process: "devices" }),
  exit: (code) => process.exit(code),
});
// The clock's timers keep no process alive: without the front there would be nothing left to wait for, and nobody to take the devices to their exit states.
setInterval(() => undefined, 60_000);
process.on("SIGTERM", () => host.end(0, "SIGTERM"));
// From a terminal these come to both processes, and the agent decides.
process.on("SIGINT", () => undefined);
process.on("SIGHUP", () => undefined);
for (const event of ["uncaughtException", "unhandledRejection"]) {
  process.on(event, (error: unknown) => {
    pino().error({ err: error }, "an error that nobody caught in the device host: everything goes to its exit state");
    host.end(70, "an error that nobody caught");
  });
}
