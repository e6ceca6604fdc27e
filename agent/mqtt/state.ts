import type { Entity } from "../contract/entity.ts";
import type { EntityDevice } from "../contract/entity-device.ts";
import type { Value } from "../contract/value.ts";
import type { Variable } from "../contract/variable.ts";

/** A device's state as it is published, by field. What is not known, or too old to be relied on, is null. */
export type DeviceState = Readonly<Record<string, Value>>;

export const ON = "ON";
export const OFF = "OFF";

/** The field of the device's state, and of what it is set to, that an entity is about. */
export function fieldOf(entity: Entity): string {
  const switched = entity.kind === "light" || entity.kind === "switch" || entity.kind === "cover";
  return switched && entity.main === true ? "state" : entity.key;
}

/** The percent of a light, 0 to 100. */
export const LEVEL_FIELD = "brightness";
export const EFFECT_FIELD = "effect";
/** Of a cover, 0 (closed) to 100. */
export const POSITION_FIELD = "position";

type Read = (variable: string) => Variable["value"] | null;

function switchState(value: Variable["value"] | null): Value {
  if (value === null) return null;
  return value === true ? ON : OFF;
}

/** As many digits as mean something: fewer messages, and none of them noise. */
function rounded(value: Variable["value"] | null, digits: number | undefined): Value {
  if (typeof value !== "number" || digits === undefined) return value;
  const factor = 10 ** digits;
  return Math.round(value * factor) / factor;
}

function fieldsOf(entity: Entity, read: Read): DeviceState {
  const field = fieldOf(entity);
  switch (entity.kind) {
    case "light": {
      const { on, level, effect } = entity.state;
      return {
        [field]: switchState(read(on)),
        ...(level !== undefined && { [LEVEL_FIELD]: rounded(read(level), 1) }),
        ...(effect !== undefined && { [EFFECT_FIELD]: read(effect) }),
      };
    }
    case "switch":
      return { [field]: switchState(read(entity.state.on)) };
    case "cover": {
      const { state, position } = entity.state;
      return { [field]: read(state), ...(position !== undefined && { [POSITION_FIELD]: rounded(read(position), 0) }) };
    }
    case "number":
      return { [field]: rounded(read(entity.state.value), 2) };
    case "sensor":
      return { [field]: rounded(read(entity.state.value), entity.digits) };
    case "binary_sensor":
      return { [field]: read(entity.state.on) };
    case "button":
    case "event":
      return {};
  }
}

/** What the device is like, by its variables. */
export function deviceState({ id, entities }: EntityDevice, variable: (name: string) => Variable | undefined): DeviceState {
  const read: Read = (name) => {
    const found = variable(`${id}.${name}`);
    return found === undefined || found.stale ? null : found.value;
  };
  return Object.assign({}, ...entities.map((entity) => fieldsOf(entity, read))) as DeviceState;
}
