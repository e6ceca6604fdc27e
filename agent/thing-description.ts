import type { Entity } from "./contract/entity.ts";
import type { EntityDevice } from "./contract/entity-device.ts";
import { createTopics, type Topics } from "./mqtt/topics.ts";
import { EFFECT_FIELD, fieldOf, LEVEL_FIELD, POSITION_FIELD } from "./mqtt/state.ts";
import type { Value } from "./contract/value.ts";

/** A function as DEVICES describes it: parameters in order, each a JSON Schema with its name. */
interface DescribedFunction {
  readonly name: string;
  readonly summary: string;
  readonly effect: "read" | "actuate";
  readonly params: readonly { readonly name: string; readonly [keyword: string]: Value }[];
}

/** One device: its entities by the configuration, its functions by the device itself. */
export interface Thing {
  readonly id: string;
  readonly summary: string;
  readonly entities: readonly Entity[];
  readonly functions: readonly DescribedFunction[];
}

export interface ThingDescriptionOptions {
  readonly node: string;
  readonly version: string;
  readonly things: readonly Thing[];
  /** The broker the node is reached through. */
  readonly mqtt: { readonly url: string; readonly base: string };
}

type Fields = Readonly<Record<string, Value>>;

/** What DEVICES answers, together with what the drivers say; devices of others' modules have functions alone. */
export function thingsOf(devices: Value, known: readonly EntityDevice[]): readonly Thing[] {
  if (!Array.isArray(devices)) return [];
  const entities = new Map(known.map((device) => [device.id, device.entities] as const));
  return (devices as readonly { id: string; summary: string; functions: readonly DescribedFunction[] }[]).map(
    ({ id, summary, functions }) => ({
      id,
      summary,
      functions,
      entities: entities.get(id) ?? [],
    }),
  );
}

/** A field of what a device is like, and of what it can be told. */
interface Field {
  readonly name: string;
  /** JSON Schema of what it is. */
  readonly is: Fields;
  /** JSON Schema of what it is set to; absent for what only measures. */
  readonly setTo?: Fields | undefined;
}

const ON_OFF: Fields = { type: "string", enum: ["ON", "OFF"] };
const PERCENT: Fields = { type: "number", minimum: 0, maximum: 100, unit: "%" };
const COVER_STATE: Fields = { type: "string", enum: ["open", "opening", "closed", "closing", "stopped", "unknown"] };
const COVER_ORDER: Fields = { type: "string", enum: ["OPEN", "CLOSE", "STOP"] };

function unitOf({ unit }: { readonly unit?: string }): Fields {
  return unit === undefined ? {} : { unit };
}

/** The fields of the device's state that are the entity's. */
function fieldsOf(entity: Entity): readonly Field[] {
  const name = fieldOf(entity);
  switch (entity.kind) {
    case "light":
      return [
        { name, is: ON_OFF, setTo: ON_OFF },
        ...(entity.state.level === undefined ? [] : [{ name: LEVEL_FIELD, is: PERCENT, setTo: entity.calls.level && PERCENT }]),
        ...(entity.effects === undefined ? [] : [effectField(entity.effects, entity.calls.effect !== undefined)]),
      ];
    case "switch":
      return [{ name, is: ON_OFF, setTo: ON_OFF }];
    case "cover":
      return [
        { name, is: COVER_STATE, setTo: COVER_ORDER },
        ...(entity.state.position === undefined ? [] : [{ name: POSITION_FIELD, is: PERCENT, setTo: entity.calls.position && PERCENT }]),
      ];
    case "number": {
      const shape = { type: "number", minimum: entity.range[0], maximum: entity.range[1], ...unitOf(entity) };
      return [{ name, is: { type: "number", ...unitOf(entity) }, setTo: shape }];
    }
    case "sensor":
      return [{ name, is: { type: entity.stateClass === undefined ? "string" : "number", ...unitOf(entity) } }];
    case "binary_sensor":
      return [{ name, is: { type: "boolean" } }];
    default:
      return [];
  }
}

function effectField(effects: readonly string[], settable: boolean): Field {
  const shape: Fields = { type: "string", enum: effects };
  return { name: EFFECT_FIELD, is: shape, setTo: settable ? shape : undefined };
}

/** Terms of the W3C's MQTT binding: `mqv:` says which packet on which topic. */
function form(url: string, op: string | readonly string[], controlPacket: "publish" | "subscribe", topic: string, retain: boolean): Fields {
  const slash = url.endsWith("/") ? "" : "/";
  return {
    href: `${url}${slash}${topic.split("/").map(encodeURIComponent).join("/")}`,
    op,
    contentType: "application/json",
    "mqv:controlPacket": controlPacket,
    ...(controlPacket === "publish" ? { "mqv:topic": topic } : { "mqv:filter": topic }),
    "mqv:qos": "1",
    ...(retain && { "mqv:retain": true }),
  };
}

/** What the device is like, as it is published: one object. What it can be told, by field: whoever writes one field leaves the others. */
function propertiesOf({ id, summary, entities }: Thing, topics: Topics, url: string): readonly (readonly [string, Fields])[] {
  const fields = entities.flatMap(fieldsOf);
  if (fields.length === 0) return [];
  const state: Fields = {
    title: id,
    description: summary,
    type: "object",
    // What is not known, or too old, is null.
    properties: Object.fromEntries(fields.map(({ name, is }) => [name, { oneOf: [is, { type: "null" }] }])),
    readOnly: true,
    observable: true,
    forms: [form(url, ["readproperty", "observeproperty", "unobserveproperty"], "subscribe", topics.state(id), true)],
  };
  const settings = fields.flatMap(({ name, setTo }): (readonly [string, Fields])[] => {
    if (setTo === undefined) return [];
    const forms = [form(url, "writeproperty", "publish", topics.setField(id, name), false)];
    return [[`${id}.${name}`, { title: `${id} ${name}`, ...setTo, readOnly: false, writeOnly: true, observable: false, forms }]];
  });
  return [[id, state], ...settings];
}

/** `call` and `args` of what is published on the node's clone topic; the arguments in their order. */
function actionOf(fn: DescribedFunction, topics: Topics, url: string): readonly [string, Fields] {
  const optional = (param: DescribedFunction["params"][number]): boolean => "default" in param;
  const args = fn.params.map(({ name, ...schema }) => ({ title: name, ...schema }));
  return [
    fn.name,
    {
      title: fn.name,
      description: fn.summary,
      input: {
        type: "object",
        properties: {
          call: { type: "string", const: fn.name },
          ...(args.length > 0 && {
            args: { type: "array", items: args, minItems: fn.params.filter((param) => !optional(param)).length, maxItems: args.length },
          }),
          leaseMs: { type: "integer", minimum: 1, unit: "ms" },
          exp: { type: "integer", description: "milliseconds since 1970 after which it must not be done any more" },
          id: { type: "string" },
          reply: { type: "string", description: "topic of the answer, where MQTT 5's response topic is not used" },
        },
        required: args.length > 0 ? ["call", "args"] : ["call"],
      },
      safe: fn.effect === "read",
      idempotent: fn.effect === "read",
      synchronous: true,
      forms: [form(url, "invokeaction", "publish", topics.clone, false)],
    },
  ];
}

function eventsOf({ id, entities }: Thing, topics: Topics, url: string): readonly (readonly [string, Fields])[] {
  return entities
    .filter((entity) => entity.kind === "event")
    .map((entity) => [
      `${id}.${entity.key}`,
      {
        title: `${id} ${entity.key}`,
        data: { type: "object", properties: { event_type: { type: "string", const: entity.type }, count: { type: "integer" } } },
        forms: [form(url, ["subscribeevent", "unsubscribeevent"], "subscribe", topics.event(id, entity.key), false)],
      },
    ]);
}

/**
 * The node as a Thing Description 1.1 of the W3C: properties are what devices publish, actions their functions by clone, events what happens. Who may connect is up to
 * the broker: its users are not described.
 */
export function thingDescription({ node, version, things, mqtt }: ThingDescriptionOptions): Fields {
  const topics = createTopics(mqtt.base, node);
  const entries = <T>(of: (thing: Thing) => readonly (readonly [string, T])[]): Readonly<Record<string, T>> =>
    Object.fromEntries(things.flatMap(of));
  return {
    "@context": ["https://www.w3.org/2022/wot/td/v1.1", { mqv: "https://www.w3.org/2019/wot/mqtt#", virgo: "urn:virgo:td#" }],
    "@type": "Thing",
    id: `urn:virgo:node:${node}`,
    title: node,
    description: "named functions of real devices, each command under a lease: it has to be repeated, or what it did ends",
    version: { instance: version },
    securityDefinitions: { broker: { scheme: "auto" } },
    security: ["broker"],
    properties: entries((thing) => propertiesOf(thing, topics, mqtt.url)),
    actions: entries((thing) => thing.functions.map((fn) => actionOf(fn, topics, mqtt.url))),
    events: entries((thing) => eventsOf(thing, topics, mqtt.url)),
  };
}
