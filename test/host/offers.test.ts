import t from "tap";

import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { createSimArduino } from "../../drivers/board/sim/instruments/firmata.ts";
import { createSimBoard } from "../../drivers/board/sim/sim-board.ts";
import { createVariableStore } from "../../analytics/store.ts";
import { firmataDriver } from "../../drivers/serial/firmata.ts";
import { gcbafDriver } from "../../drivers/vehicle/gcbaf.ts";
import { lightDriver } from "../../drivers/gpio/light.ts";
import { limitsSchema } from "../../agent/contract/limits.ts";
import { openHost } from "../../agent/host/host.ts";
import type { DeviceSpec, Driver } from "../../agent/contract/device.ts";

const PATH = "/dev/serial/by-id/usb-uno";

function specOf(id: string, driver: Driver, options: Readonly<Record<string, unknown>>): DeviceSpec {
  const policy = { enabled: true, onLoss: "safe", onExit: "safe", exclusive: false, callMs: 1000 } as const;
  return { id, driver, options: driver.options.parse(options), policy };
}

const hostOf = async (specs: readonly DeviceSpec[]) => {
  const clock = createFakeClock();
  const board = createSimBoard({ clock });
  const arduino = createSimArduino();
  board.world.serial(PATH).attach(arduino);
  const log = createFakeLog();
  const variables = createVariableStore({ clock, limits: limitsSchema.parse({}), declared: {}, defaultStaleMs: 1000 });
  const opening = openHost({ node: "garage", specs, board, clock, variables, journal: createJournal(clock), log });
  for (let waits = 0; waits < 300; waits++) await clock.advance(10);
  return { host: await opening, arduino, clock };
};

t.test("who offers ports is opened before who uses them, and after everything else, in whatever order they are written", async (t) => {
  const { host, arduino, clock } = await hostOf([
    specOf("lamp", lightDriver, { line: "uno:13", safe: "on" }),
    specOf("uno", firmataDriver, { path: PATH }),
    specOf("own", lightDriver, { line: "GPIO17" }),
  ]);
  t.same(
    host.entries().map(({ spec, outcome }) => `${spec.id} ${outcome}`),
    ["own opened", "uno opened", "lamp opened"],
  );
  t.equal(arduino.pin(13).level, true);
  const stopping = host.stop();
  await clock.advance(2000);
  await stopping;
});

t.test("a device of the motion thread is told that it cannot use another's ports", async (t) => {
  const { host, clock } = await hostOf([
    specOf("uno", firmataDriver, { path: PATH }),
    specOf("car", gcbafDriver, { accelerator: { pwm: { chip: "uno", channel: 9 } }, brake: { pwm: { chip: "sim", channel: 1 } } }),
  ]);
  const car = host.entries().find(({ spec }) => spec.id === "car");
  t.equal(car?.outcome, "failed");
  t.match(car?.reason, /ARGUMENT pwm uno:9 is a port of uno, which car cannot use: a gcbaf needs ports of the board/);
  const stopping = host.stop();
  await clock.advance(2000);
  await stopping;
});
