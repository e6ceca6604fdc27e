/** A call of one of the device's functions, as CLONE would make it. */
export interface EntityCall {
  /** `on`, without the device. */
  readonly fn: string;
  /** What it is always called with. */
  readonly args?: readonly (string | number)[];
  /** The value that is set follows as one more argument. */
  readonly takesValue?: true;
  /** Nothing that lasts: it is never repeated. */
  readonly once?: true;
  /** States the device is in anyway when nobody drives it: then nobody has to repeat the call. */
  readonly rests?: readonly ("safe" | "off")[];
}

interface Common {
  /** Letters, digits, - and _; unique within the device; stays what it is, because others remember it. */
  readonly key: string;
  /** What the device is about: it is called as the device is. One at the most, and always a light. */
  readonly main?: true;
  /** For people; the key when absent. */
  readonly name?: string;
  /** `diagnostic`: how the device is doing; `config`: how it behaves. */
  readonly category?: "diagnostic" | "config";
  /** Not shown until somebody asks for it. */
  readonly hidden?: true;
}

/** Lit or dark; where there is `level`, in percent as well; where there are `effects`, in one of several ways. */
export interface LightEntity extends Common {
  readonly kind: "light";
  readonly main: true;
  /** Variables are named without the device: `on`. */
  readonly state: { readonly on: string; readonly level?: string; readonly effect?: string };
  readonly effects?: readonly string[];
  readonly calls: { readonly on: EntityCall; readonly off: EntityCall; readonly level?: EntityCall; readonly effect?: EntityCall };
}

export interface SwitchEntity extends Common {
  readonly kind: "switch";
  readonly state: { readonly on: string };
  readonly calls: { readonly on: EntityCall; readonly off: EntityCall };
}

/** A number that is set. */
export interface NumberEntity extends Common {
  readonly kind: "number";
  readonly state: { readonly value: string };
  readonly unit?: string;
  readonly range: readonly [number, number];
  /** The smallest change that makes sense; 1 when absent. */
  readonly step?: number;
  readonly deviceClass?: string;
  readonly calls: { readonly set: EntityCall };
}

/** `state` is one of open, opening, closed, closing and stopped; `position` 0 (closed) to 100 percent. */
export interface CoverEntity extends Common {
  readonly kind: "cover";
  readonly state: { readonly state: string; readonly position?: string };
  readonly deviceClass?: string;
  readonly calls: { readonly open: EntityCall; readonly close: EntityCall; readonly stop: EntityCall; readonly position?: EntityCall };
}

export interface SensorEntity extends Common {
  readonly kind: "sensor";
  readonly state: { readonly value: string };
  readonly unit?: string;
  /** One of Home Assistant's classes of sensors. */
  readonly deviceClass?: string;
  /** Absent for words. `total_increasing`: a count that starts again at 0. */
  readonly stateClass?: "measurement" | "total_increasing";
  /** Digits behind the point that mean something. */
  readonly digits?: number;
}

export interface BinarySensorEntity extends Common {
  readonly kind: "binary_sensor";
  readonly state: { readonly on: string };
  readonly deviceClass?: string;
}

/** Something that is done once. */
export interface ButtonEntity extends Common {
  readonly kind: "button";
  readonly deviceClass?: string;
  readonly calls: { readonly press: EntityCall };
}

/** Something that happens: whenever the variable `count` rises, an event of the only type. */
export interface EventEntity extends Common {
  readonly kind: "event";
  readonly state: { readonly count: string };
  readonly type: string;
  readonly deviceClass?: string;
}

/**
 * What a device is to people and to other systems. Declared by its driver from its options alone, so that it is known before the device is open, and while it
 * cannot be opened; home automation, descriptions for machines and dashboards are made of it.
 */
export type Entity =
  LightEntity | SwitchEntity | NumberEntity | CoverEntity | SensorEntity | BinarySensorEntity | ButtonEntity | EventEntity;

/** Variables of the device that say what the entity is like, without the device's name. */
export function variablesOf(entity: Entity): readonly string[] {
  if (entity.kind === "button") return [];
  return Object.values(entity.state as Readonly<Record<string, string | undefined>>).filter((name) => name !== undefined);
}

/** What can be done with it, by what it is called: `on`, `set`. */
export function callsOf(entity: Entity): Readonly<Record<string, EntityCall>> {
  return "calls" in entity ? entity.calls : {};
}
