import { compilePermits } from "../../agent/access/permits.ts";
import { createFace, type FaceDependencies } from "../../agent/mqtt/face.ts";
import { createFakeBroker } from "./fake-broker.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { createSimBoard } from "../../drivers/board/sim/sim-board.ts";
import { createVariableStore } from "../../analytics/store.ts";
import { deviceCommonSchema } from "../../agent/config/schema.ts";
import { deviceModules } from "../../agent/modules.ts";
import { entityDevice } from "../../agent/contract/entity-device.ts";
import { faceOptionsSchema } from "../../agent/mqtt/face-options.ts";
import { limitsSchema } from "../../agent/contract/limits.ts";
import { openHost } from "../../agent/host/host.ts";
import type { Caller, Reply } from "../../agent/contract/request.ts";
import type { DeviceSpec } from "../../agent/contract/device.ts";

export type RigDevices = Readonly<Record<string, { readonly driver: string; readonly [option: string]: unknown }>>;

const COMMON = Object.keys(deviceCommonSchema.shape);

/** Devices as the configuration has them, with the drivers that come with the agent. */
export function specsOf(devices: RigDevices): readonly DeviceSpec[] {
  const drivers = new Map(deviceModules.flatMap((module) => module.drivers.map((driver) => [driver.name, driver] as const)));
  return Object.entries(devices).map(([id, fields]) => {
    const driver = drivers.get(fields.driver);
    if (driver === undefined) throw new Error(`no driver ${fields.driver}`);
    const common = Object.fromEntries(Object.entries(fields).filter(([name]) => COMMON.includes(name)));
    const own = Object.fromEntries(Object.entries(fields).filter(([name]) => !COMMON.includes(name)));
    return { id, driver, options: driver.options.parse(own), policy: deviceCommonSchema.parse(common) };
  });
}

export const operator: Caller = { name: "operator", priority: 100, signal: new AbortController().signal };

/** Real devices on a simulated board behind a face, and a broker in the test's hands. */
export async function faceRig(announcedFile: string, devices: RigDevices, options: object = {}, over: Partial<FaceDependencies> = {}) {
  const clock = createFakeClock();
  const log = createFakeLog();
  const journal = createJournal(clock);
  const variables = createVariableStore({ clock, limits: limitsSchema.parse({}), declared: {}, defaultStaleMs: 2000 });
  const board = createSimBoard({ clock });
  const specs = specsOf(devices);
  const host = await openHost({ node: "garage", specs, board, clock, variables, journal, log });
  const broker = createFakeBroker();
  const faceOptions = faceOptionsSchema.parse(options);
  const report = () => ({
    devices: host.entries().map(({ spec, outcome, slot }) => ({ id: spec.id, outcome, faulted: slot?.fault !== undefined })),
    eStoppedBy: host.eStoppedBy,
  });
  const face = createFace(faceOptions, {
    broker,
    node: "garage",
    version: "1.2.3",
    base: "virgo",
    service: host,
    devices: specs.map(entityDevice),
    report,
    variables,
    journal,
    clock,
    log,
    permits: faceOptions.allow.includes("*") ? undefined : compilePermits(faceOptions.allow),
    announcedFile,
    random: () => 0.5,
    ...over,
  });

  return {
    clock,
    log,
    journal,
    variables,
    board,
    host,
    broker,
    face,
    ask: async (verb: string, ...args: string[]): Promise<Reply> => host.handle({ verb, args }, operator),
    /** What the device's state topic says. */
    state: (device: string): unknown => JSON.parse(broker.last(`virgo/garage/${device}/state`) ?? "null"),
    /** Who holds the device, by DEVICES. */
    async holder(device: string): Promise<string | undefined> {
      const reply = await host.handle({ verb: "DEVICES", args: [] }, operator);
      if (reply.kind !== "value") throw new Error("DEVICES was refused");
      const found = (reply.value as { id: string; holder: { name: string } | null }[]).find(({ id }) => id === device);
      return found?.holder?.name;
    },
    async close(): Promise<void> {
      await face.close();
      await host.stop();
      await board.close();
    },
  };
}
