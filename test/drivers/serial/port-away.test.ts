import t from "tap";

import { createFakeClock } from "../../helpers/fake-clock.ts";
import { createFakeLog } from "../../helpers/fake-log.ts";
import { createJournal } from "../../../agent/host/journal.ts";
import { createSimBoard } from "../../../drivers/board/sim/sim-board.ts";
import { createSimLineInstrument } from "../../../drivers/board/sim/instruments/line.ts";
import { createVariableStore } from "../../../analytics/store.ts";
import { limitsSchema } from "../../../agent/contract/limits.ts";
import { openHost } from "../../../agent/host/host.ts";
import { operator, specsOf, type RigDevices } from "../../mqtt/face-rig.ts";

const PATH = "/dev/ttyUSB0";

const INSTRUMENTS: Readonly<Record<string, RigDevices[string]>> = {
  set_volts: {
    driver: "line-device",
    path: PATH,
    silentMs: 0,
    commands: { set_volts: { send: "VOLT {volts}", effect: "actuate", params: { volts: { range: [0, 30] } } } },
    safe: ["VOLT 0"],
  },
  set_speed: {
    driver: "modbus-rtu",
    path: PATH,
    registers: { speed: { kind: "holding", address: 10, range: [0, 3000], pollMs: 0, write: true, safe: 0 } },
  },
};

async function hostWith(device: RigDevices[string]) {
  const clock = createFakeClock();
  const log = createFakeLog();
  const journal = createJournal(clock);
  const variables = createVariableStore({ clock, limits: limitsSchema.parse({}), declared: {}, defaultStaleMs: 2000 });
  const board = createSimBoard({ clock });
  const host = await openHost({ node: "lab", specs: specsOf({ one: device }), board, clock, variables, journal, log });
  const slot = () => host.entries()[0]?.slot;
  return {
    clock,
    world: board.world.serial(PATH),
    order: (fn: string) => Promise.resolve(host.handle({ verb: "CLONE", args: ["LEASE", "800", `one.${fn}`, "12"] }, operator)),
    holder: () => slot()?.current.holder,
    fault: () => slot()?.fault?.message,
    close: async () => {
      await host.stop();
      await board.close();
    },
  };
}

for (const [fn, device] of Object.entries(INSTRUMENTS)) {
  t.test(`${device.driver}: an order that finds no port is refused, holds nothing and is no fault`, async (t) => {
    const lab = await hostWith(device);
    await lab.clock.advance(10);
    const refused = await lab.order(fn);
    t.match(refused, { kind: "error", error: { code: "NOT_READY", message: /ttyUSB0 is not there: the simulated board/ } });
    t.notOk(lab.holder(), "nobody drives what was never driven");
    await lab.clock.advance(2000);
    t.equal(lab.fault(), undefined);
    await lab.close();
  });
}

t.test("a port that is lost while its instrument is driven is a fault at the lease's end", async (t) => {
  const device = INSTRUMENTS["set_volts"];
  if (device === undefined) throw new Error("no device");
  const lab = await hostWith(device);
  lab.world.attach(createSimLineInstrument({}));
  await lab.clock.advance(6000);
  t.match(await lab.order("set_volts"), { kind: "value" });
  lab.world.unplug();
  await lab.clock.advance(1000);
  t.match(lab.fault(), /is not there|lost|gone|unplugged/, "because it could not be made safe");
  await lab.close();
});
