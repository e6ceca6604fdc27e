import { callsOf, type Entity } from "./contract/entity.ts";
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

/** JSON Schema of a value, in the words of a Thing Description. */
function shapeOf(entity: Entity): Fields {
  switch (entity.kind) {
    case "light":
    case "switch":
      return { type: "string", enum: ["ON", "OFF"] };
    case "cover":
      return { type: "string", enum: ["open", "opening", "closed", "closing", "stopped", "unknown"] };
    case "number":
      return { type: "number", minimum: entity.range[0], maximum: entity.range[1], ...unitOf(entity) };
    case "sensor":
      return { ...(entity.stateClass === undefined ? { type: "string" } : { type: "number" }), ...unitOf(entity) };
    case "binary_sensor":
      return { type: "boolean" };
    default:
      return {};
  }
}

function unitOf({ unit }: { readonly unit?: string }): Fields {
  return unit === undefined ? {} : { unit };
}

const PERCENT: Fields = { type: "number", minimum: 0, maximum: 100, unit: "%" };

/** Fields of the device's state, each with its schema. */
function fieldsOf(entity: Entity): readonly (readonly [field: string, shape: Fields, settable: boolean])[] {
  if (entity.kind === "button" || entity.kind === "event") return [];
  const calls = callsOf(entity);
  const fields: (readonly [string, Fields, boolean])[] = [[fieldOf(entity), shapeOf(entity), Object.keys(calls).length > 0]];
  if (entity.kind === "light" && entity.state.level !== undefined) fields.push([LEVEL_FIELD, PERCENT, calls["level"] !== undefined]);
  if (entity.kind === "light" && entity.effects !== undefined) {
    fields.push([EFFECT_FIELD, { type: "string", enum: entity.effects }, calls["effect"] !== undefined]);
  }
  if (entity.kind === "cover" && entity.state.position !== undefined) {
    fields.push([POSITION_FIELD, PERCENT, calls["position"] !== undefined]);
  }
  return fields;
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

function propertiesOf({ id, entities }: Thing, topics: Topics, url: string): readonly (readonly [string, Fields])[] {
  return entities.flatMap(fieldsOf).map(([field, shape, settable]) => [
    `${id}_${field}`,
    {
      title: `${id} ${field}`,
      ...shape,
      readOnly: !settable,
      observable: true,
      "virgo:field": field,
      forms: [
        form(url, ["readproperty", "observeproperty", "unobserveproperty"], "subscribe", topics.state(id), true),
        ...(settable ? [form(url, "writeproperty", "publish", topics.setField(id, field), false)] : []),
      ],
    },
  ]);
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
      `${id}_${entity.key}`,
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
