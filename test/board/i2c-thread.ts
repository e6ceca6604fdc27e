// What linux-i2c.test.ts runs in a thread of its own: a servo on a board of that thread, moved and left as it is.
import { parentPort, workerData } from "node:worker_threads";
import { z } from "zod";

import { createFakeLog } from "../helpers/fake-log.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { createLinuxBoard } from "../../drivers/board/linux/linux-board.ts";

const { address, sensor } = z.object({ address: z.number(), sensor: z.number() }).parse(workerData);
const board = await createLinuxBoard({ clock: createSystemClock(), log: createFakeLog() });
const servo = await board.openPwm("servo", { pca9685: { bus: 0, address, channel: 7 } }, 20_000_000);
await servo.write(0.5);
const held = await board.openI2c("sensor", { bus: 0, address: sensor }).then(
  () => "opened",
  (error: unknown) => String(error),
);
parentPort?.postMessage(held);
parentPort?.on("message", () => undefined);
