// The motion thread of the device host: the drivers that ask for it, on a board of their own, and nothing else.
import { setPriority } from "node:os";
import { parentPort, workerData } from "node:worker_threads";

import { createSystemClock } from "./clock.ts";
import { shippedBoardFor } from "./config/board-file.ts";
import { AgentError, messageOf } from "./contract/errors.ts";
import { loadDrivers } from "./host/motion-drivers.ts";
import { createMotionMemory } from "./host/motion-memory.ts";
import { startMotionWorker } from "./host/motion-worker.ts";
import { takeRealtimePriority } from "./host/realtime.ts";
import { deviceModules } from "./modules.ts";
import { openBoard } from "../drivers/board/auto.ts";
import type { BoardChoice } from "./config/board-file.ts";
import type { Log } from "./contract/log.ts";
import type { FromThread, MotionSetup, ToThread } from "./host/motion-messages.ts";

if (parentPort === null) throw new AgentError("NOT_READY", "this file is run by the device host, as a thread of it");
const port = parentPort;
const { memory: buffer, board: choice, modules, limits } = workerData as MotionSetup;

function post(message: FromThread): void {
  port.postMessage(message);
}

/** Fields that cannot leave the thread are left out. */
function logAt(level: "debug" | "info" | "warn" | "error"): (fields: object, message: string) => void {
  return (fields, message) => {
    try {
      post({ kind: "log", level, fields, message });
    } catch (error) {
      post({ kind: "log", level, fields: { left: messageOf(error) }, message });
    }
  };
}

const log: Log = { debug: logAt("debug"), info: logAt("info"), warn: logAt("warn"), error: logAt("error") };

try {
  // On Linux this is the priority of the calling thread alone.
  setPriority(limits.niceness);
} catch (error) {
  log.debug({ niceness: limits.niceness }, `motion thread keeps the usual priority: ${messageOf(error)}`);
}

// It takes as long as what follows.
const realtime =
  limits.realtimePriority === 0 ? Promise.resolve("motion.realtimePriority is 0") : takeRealtimePriority(limits.realtimePriority);

const clock = createSystemClock();
const worker = startMotionWorker({
  memory: createMotionMemory(buffer),
  board: await openBoard(choice as BoardChoice, { clock, log, definitionFor: shippedBoardFor }),
  clock,
  limits,
  log,
  drivers: await loadDrivers(deviceModules, modules),
  post,
  later(delayMs, run) {
    if (delayMs === 0) {
      const immediate = setImmediate(run);
      return () => clearImmediate(immediate);
    }
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
});
process.on("uncaughtException", (error) => {
  void worker.die(error).then(() => process.exit(1));
});
port.on("message", (message: ToThread) => {
  worker.receive(message);
  if (message.kind === "stop") port.unref();
});
const why = await realtime;
if (why !== undefined) log.info({ realtimePriority: limits.realtimePriority }, `motion thread has no real-time priority: ${why}`);
post({ kind: "ready", realtimePriority: why === undefined ? limits.realtimePriority : 0 });
