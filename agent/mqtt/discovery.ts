import type { Entity } from "../contract/entity.ts";
import type { EntityDevice } from "../contract/entity-device.ts";
import { EFFECT_FIELD, fieldOf, LEVEL_FIELD, POSITION_FIELD } from "./state.ts";
import type { Value } from "../contract/value.ts";
import type { Topics } from "./topics.ts";

/** One entity as Home Assistant is told of it. */
export interface Component {
  /** The platform: `light`. */
  readonly p: string;
  readonly [option: string]: Value;
}

export interface Discovery {
  readonly topic: string;
  /** By the name the component has within the device. */
  readonly components: Readonly<Record<string, Component>>;
  /** The whole payload; with `removed`, components Home Assistant forgets by it. */
  payload(removed?: Readonly<Record<string, string>>): string;
}

export interface DiscoveryOptions {
  readonly prefix: string;
  readonly node: string;
  readonly version: string;
  readonly topics: Topics;
  readonly devices: readonly EntityDevice[];
  /** How old a state may become without being published again, seconds. */
  readonly expireS: number;
}

const PROJECT = "https://github.com/virgo-os/virgo";

/** Home Assistant's ids have letters, digits, - and _. */
export function idOf(...parts: readonly string[]): string {
  return parts.join("_").replaceAll(/[^A-Za-z0-9_-]/g, "_");
}

/** Events of the node that are shown as such. */
export const NODE_EVENTS = ["fault", "lease-end", "estop", "reset"] as const;

/** One Home Assistant device for the node, with a component for every entity (MQTT discovery, device based: `homeassistant/device/<id>/config`). */
export function createDiscovery(options: DiscoveryOptions): Discovery {
  const { prefix, node, version, topics, devices } = options;
  const id = idOf("virgo", node);
  const components: Record<string, Component> = { ...nodeComponents(options) };
  for (const device of devices) {
    for (const entity of device.entities) {
      let name = entity.main === true ? idOf(device.id) : idOf(device.id, entity.key);
      // The entity of a device may be called like another device: bell has pressed, and there is a bell_pressed.
      while (name in components) name += "_";
      components[name] = componentOf(options, device, entity, name);
    }
  }
  return {
    topic: `${prefix}/device/${id}/config`,
    components,
    payload: (removed = {}) =>
      JSON.stringify({
        dev: { ids: [id], name: node, mf: "VIRGO", mdl: "edge agent", sw: version },
        o: { name: "virgo", sw: version, url: PROJECT },
        availability: [{ topic: topics.status }],
        availability_mode: "all",
        qos: 1,
        cmps: { ...components, ...Object.fromEntries(Object.entries(removed).map(([name, platform]) => [name, { p: platform }])) },
      }),
  };
}

type Fields = Readonly<Record<string, Value>>;

function commonOf({ node, topics }: DiscoveryOptions, device: EntityDevice, entity: Entity, name: string): Component {
  return {
    p: entity.kind,
    unique_id: idOf(node, name),
    default_entity_id: `${entity.kind}.${idOf(node, name).toLowerCase()}`,
    name: entity.main === true ? device.id : `${device.id} ${entity.name ?? entity.key}`,
    availability: [{ topic: topics.status }, { topic: topics.availability(device.id) }],
    availability_mode: "all",
    ...(entity.category !== undefined && { entity_category: entity.category }),
    ...(entity.hidden === true && { enabled_by_default: false }),
    ...("deviceClass" in entity && { device_class: entity.deviceClass }),
  };
}

function componentOf(options: DiscoveryOptions, device: EntityDevice, entity: Entity, name: string): Component {
  const { topics, expireS } = options;
  const common = commonOf(options, device, entity, name);
  const field = fieldOf(entity);
  const state_topic = topics.state(device.id);
  const command_topic = topics.setField(device.id, field);
  const value_template = templateOf(field);
  const expire_after = expireS;
  switch (entity.kind) {
    case "light":
      return { ...common, schema: "json", state_topic, command_topic: topics.set(device.id), ...lightOptions(entity) };
    case "switch":
      return { ...common, state_topic, command_topic, value_template, payload_on: "ON", payload_off: "OFF" };
    case "number": {
      const [min, max] = entity.range;
      return { ...common, state_topic, command_topic, value_template, min, max, step: entity.step ?? 1, mode: "slider", ...unitOf(entity) };
    }
    case "cover": {
      const position = entity.calls.position === undefined ? {} : { set_position_topic: topics.setField(device.id, POSITION_FIELD) };
      const shown =
        entity.state.position === undefined ? {} : { position_topic: state_topic, position_template: numberTemplateOf(POSITION_FIELD) };
      return { ...common, state_topic, command_topic, value_template: coverTemplateOf(field), ...shown, ...position };
    }
    case "sensor": {
      const { stateClass, digits } = entity;
      return {
        ...common,
        state_topic,
        value_template,
        expire_after,
        ...unitOf(entity),
        ...(stateClass !== undefined && { state_class: stateClass }),
        ...(digits !== undefined && { suggested_display_precision: digits }),
      };
    }
    case "binary_sensor":
      // What a template makes of true and false.
      return { ...common, state_topic, value_template, expire_after, payload_on: "True", payload_off: "False" };
    case "button":
      return { ...common, command_topic, payload_press: "PRESS" };
    case "event":
      return { ...common, state_topic: topics.event(device.id, entity.key), event_types: [entity.type] };
  }
}

function templateOf(field: string): string {
  return `{{ value_json[${JSON.stringify(field)}] }}`;
}

/** Home Assistant takes None for "not known" of a cover, and complains of any other word that is none of its states. */
function coverTemplateOf(field: string): string {
  const value = `value_json[${JSON.stringify(field)}]`;
  return `{{ None if ${value} == "unknown" else ${value} }}`;
}

/** Nothing where there is no number: a cover's position has no other form of "not known". */
function numberTemplateOf(field: string): string {
  const value = `value_json[${JSON.stringify(field)}]`;
  return `{% if ${value} is number %}{{ ${value} }}{% endif %}`;
}

function unitOf({ unit }: { readonly unit?: string }): Fields {
  return unit === undefined ? {} : { unit_of_measurement: unit };
}

/** `brightness` is in percent, as everywhere else: brightness_scale says so. */
function lightOptions({ calls, effects }: Extract<Entity, { kind: "light" }>): Fields {
  const dims = calls.level !== undefined;
  return {
    ...(dims && { [LEVEL_FIELD]: true, brightness_scale: 100 }),
    supported_color_modes: [dims ? "brightness" : "onoff"],
    // Said to be possible where this is not (Home Assistant 2025.5).
    flash: false,
    transition: false,
    ...(calls.effect !== undefined && effects !== undefined && { [EFFECT_FIELD]: true, effect_list: effects }),
  };
}

/** The e-stop and how the node is doing. */
function nodeComponents({ node, topics, expireS }: DiscoveryOptions): Readonly<Record<string, Component>> {
  const component = (p: string, key: string, name: string, rest: Fields): Component => ({
    p,
    unique_id: idOf(node, "node", key),
    default_entity_id: `${p}.${idOf(node, key).toLowerCase()}`,
    name,
    ...rest,
  });
  const health = (key: string, name: string, p: string, rest: Fields): Component =>
    component(p, key, name, {
      state_topic: topics.bridge("health"),
      value_template: templateOf(key),
      expire_after: expireS,
      entity_category: "diagnostic",
      ...rest,
    });
  return {
    node_estop: component("button", "estop", "emergency stop", { command_topic: topics.request("estop"), payload_press: "PRESS" }),
    node_estop_reset: component("button", "estop_reset", "reset emergency stop", {
      command_topic: topics.request("estop_reset"),
      payload_press: "PRESS",
      entity_category: "config",
      enabled_by_default: false,
    }),
    node_stopped: health("stopped", "emergency stop latched", "binary_sensor", {
      payload_on: "True",
      payload_off: "False",
      device_class: "safety",
    }),
    node_faulted: health("faulted", "faulted devices", "sensor", { state_class: "measurement" }),
    node_unopened: health("unopened", "devices that did not open", "sensor", { state_class: "measurement" }),
    node_uptime: health("uptime_s", "uptime", "sensor", {
      device_class: "duration",
      unit_of_measurement: "s",
      state_class: "total_increasing",
      enabled_by_default: false,
    }),
    node_event: component("event", "event", "event", { state_topic: topics.bridge("event"), event_types: [...NODE_EVENTS] }),
  };
}
