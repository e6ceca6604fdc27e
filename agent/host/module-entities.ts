import { z } from "zod";

import { entityDevice, type EntityDevice } from "../contract/entity-device.ts";
import { messageOf } from "../contract/errors.ts";
import type { DeviceSpec } from "../contract/device.ts";
import type { Entity } from "../contract/entity.ts";
import type { Log } from "../contract/log.ts";

/** Entities of one device. */
const MAX_ENTITIES = 200;
/** Mistakes shown of one device. */
const MAX_MISTAKES = 5;

const word = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, { error: "up to 64 letters, digits, - and _ are expected" });
const line = z.string().regex(/^[^\r\n]{1,100}$/, { error: "one line of up to 100 characters is expected" });
const functionName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, { error: "the name of a function is expected, without the device" });
const variableName = z.string().regex(/^[^\s*?]{1,128}$/, { error: "the name of a variable is expected, without the device" });

const call = z.strictObject({
  fn: functionName,
  args: z
    .array(z.union([z.string().max(256), z.number()]))
    .max(16)
    .optional(),
  takesValue: z.literal(true).optional(),
  once: z.literal(true).optional(),
  rests: z.array(z.enum(["safe", "off"])).optional(),
});

const common = {
  key: word,
  name: line.optional(),
  category: z.enum(["diagnostic", "config"]).optional(),
  hidden: z.literal(true).optional(),
};
const deviceClass = word.optional();

const entitySchema = z.discriminatedUnion("kind", [
  z.strictObject({
    ...common,
    kind: z.literal("light"),
    main: z.literal(true),
    state: z.strictObject({ on: variableName, level: variableName.optional(), effect: variableName.optional() }),
    effects: z.array(line).max(100).optional(),
    calls: z.strictObject({ on: call, off: call, level: call.optional(), effect: call.optional() }),
  }),
  z.strictObject({
    ...common,
    kind: z.literal("switch"),
    state: z.strictObject({ on: variableName }),
    calls: z.strictObject({ on: call, off: call }),
  }),
  z.strictObject({
    ...common,
    kind: z.literal("number"),
    state: z.strictObject({ value: variableName }),
    unit: line.optional(),
    range: z.tuple([z.number(), z.number()]),
    step: z.number().positive().optional(),
    deviceClass,
    calls: z.strictObject({ set: call }),
  }),
  z.strictObject({
    ...common,
    kind: z.literal("cover"),
    state: z.strictObject({ state: variableName, position: variableName.optional() }),
    deviceClass,
    calls: z.strictObject({ open: call, close: call, stop: call, position: call.optional() }),
  }),
  z.strictObject({
    ...common,
    kind: z.literal("sensor"),
    state: z.strictObject({ value: variableName }),
    unit: line.optional(),
    deviceClass,
    stateClass: z.enum(["measurement", "total_increasing"]).optional(),
    digits: z.int().min(0).max(10).optional(),
  }),
  z.strictObject({ ...common, kind: z.literal("binary_sensor"), state: z.strictObject({ on: variableName }), deviceClass }),
  z.strictObject({ ...common, kind: z.literal("button"), deviceClass, calls: z.strictObject({ press: call }) }),
  z.strictObject({ ...common, kind: z.literal("event"), state: z.strictObject({ count: variableName }), type: word, deviceClass }),
]);

const entitiesSchema = z
  .array(entitySchema, "a list of entities is expected")
  .max(MAX_ENTITIES)
  .refine((entities) => new Set(entities.map(({ key }) => key)).size === entities.length, { error: "each key may be there once" })
  .refine((entities) => entities.filter((entity) => "main" in entity).length <= 1, {
    error: "one entity at the most is what the device is about",
  });

/** What devices of others' modules are to people and other systems. */
export interface ModuleEntities {
  /** The same for the same device; without entities when its driver says nothing, or something else than entities, which is logged. */
  describe(spec: DeviceSpec): EntityDevice;
}

/** A driver somebody else wrote is asked once for each device it opens, and what it says is checked: it is made known to other systems. */
export function createModuleEntities(log: Log): ModuleEntities {
  const described = new WeakMap<DeviceSpec, EntityDevice>();

  function ask(spec: DeviceSpec): EntityDevice {
    const silent = { ...spec.driver, entities: () => [] };
    try {
      const { data, error } = entitiesSchema.safeParse(spec.driver.entities?.(spec.options) ?? []);
      // What is copied is plain data: it may cross to another process.
      if (data !== undefined) return entityDevice({ ...spec, driver: { ...spec.driver, entities: () => data as readonly Entity[] } });
      const mistakes = error.issues.slice(0, MAX_MISTAKES).map(({ path, message }) => `${path.map(String).join(".")}: ${message}`);
      refuse(spec, mistakes.join("; "));
    } catch (thrown) {
      refuse(spec, messageOf(thrown));
    }
    return entityDevice({ ...spec, driver: silent });
  }

  function refuse({ id, driver }: DeviceSpec, why: string): void {
    log.warn(
      { device: id, driver: driver.name },
      `${id}: its entities are left out, driver ${driver.name} does not describe them well: ${why}`,
    );
  }

  return {
    describe(spec) {
      const known = described.get(spec);
      if (known !== undefined) return known;
      const asked = ask(spec);
      described.set(spec, asked);
      return asked;
    },
  };
}
