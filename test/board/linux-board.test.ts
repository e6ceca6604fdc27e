// The contract of every board, on the kernel's own drivers: through the GPIO character device, and through sysfs.
import { setTimeout as delay } from "node:timers/promises";
import t from "tap";

import { createSystemClock } from "../../agent/clock.ts";
import { createLinuxBoard } from "../../drivers/board/linux/linux-board.ts";
import { boardDefinitionSchema } from "../../agent/contract/board-definition.ts";
import { boardContract } from "../contract/board.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import * as world from "./world.ts";

const PWM_ADDRESS = 0x40;

world.loadI2cBus([PWM_ADDRESS]);
const pwm = world.addPwmChip(PWM_ADDRESS);

for (const gpio of ["cdev", "sysfs"] as const) {
  t.test(`the board contract through ${gpio}`, async (t) => {
    boardContract(t, {
      async open() {
        for (const line of ["GPIO17", "GPIO22", "GPIO23", "GPIO24"]) world.drive(line, false);
        const definition = boardDefinitionSchema.parse({ name: "virtual", gpio });
        return { board: await createLinuxBoard({ clock: createSystemClock(), definition, log: createFakeLog() }), world };
      },
      lines: { out: ["GPIO17", "GPIO22"], in: ["GPIO23", "GPIO24"], byOffset: "pinctrl-virtual:17" },
      capabilities: {
        pull: gpio === "cdev",
        kernelStamp: gpio === "cdev",
        debounce: gpio === "cdev" ? "hardware" : "software",
        pwm: { ref: { chip: pwm.chip, channel: 3 }, duty: () => pwm.onTicks(3) / 4096 },
      },
      settle: () => delay(20),
    });
  });
}
