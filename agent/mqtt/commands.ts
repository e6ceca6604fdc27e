import { AgentError } from "../contract/errors.ts";
import { bytesOf, type ByteString } from "../contract/request.ts";
import { didYouMean } from "../contract/nearest.ts";
import { EFFECT_FIELD, fieldOf, LEVEL_FIELD, OFF, ON, POSITION_FIELD } from "./state.ts";
import type { CoverEntity, Entity, EntityCall, LightEntity } from "../contract/entity.ts";
import type { EntityDevice } from "../contract/entity-device.ts";

/** One call that follows from a command. */
export interface PlannedCall {
  /** Of the entity: another command for the same one takes this one's place. */
  readonly key: string;
  readonly call: EntityCall;
  /** As CLONE takes them: function, then arguments. */
  readonly words: readonly ByteString[];
  /** It says where the whole device goes: what was asked of its other entities is over. */
  readonly whole: boolean;
}

/** What was asked, and what of it is no setting. */
export interface ParsedCommand {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly meta: CommandMeta;
}

export interface CommandMeta {
  /** Unix time in milliseconds after which it must not be done any more. */
  readonly exp?: number | undefined;
  /** Whose second coming is ignored. */
  readonly id?: string | undefined;
  /** Comes back with the answer. */
  readonly transaction?: string | number | undefined;
  /** Where the answer goes, for those without MQTT 5. */
  readonly reply?: string | undefined;
}

const META = ["exp", "id", "transaction", "reply"] as const;

/** Lets `exp`, `id`, `transaction` and `reply` out of `fields`. Throws ARGUMENT for one of another type. */
export function metaOf(fields: Readonly<Record<string, unknown>>): CommandMeta {
  const { exp, id, transaction, reply } = fields;
  if (exp !== undefined && !(typeof exp === "number" && Number.isFinite(exp))) {
    throw new AgentError("ARGUMENT", `exp is ${JSON.stringify(exp)}; milliseconds since 1970 are expected`);
  }
  if (reply !== undefined && typeof reply !== "string") throw new AgentError("ARGUMENT", "reply is the topic of the answer, a text");
  return {
    exp,
    reply,
    id: wordOr(id, "id"),
    transaction: typeof transaction === "number" ? transaction : wordOr(transaction, "transaction"),
  };
}

function wordOr(value: unknown, name: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string" && typeof value !== "number") throw new AgentError("ARGUMENT", `${name} is a text or a number`);
  return String(value);
}

/** The JSON object in `text`; undefined when it is something else. Throws SYNTAX for what begins like one and is none. */
export function objectIn(text: string): Readonly<Record<string, unknown>> | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch (error) {
    throw new AgentError("SYNTAX", `that is no JSON: ${text.slice(0, 80)}`, { cause: error });
  }
}

/** Reads what came on a device's `set`, or for one field of it. Throws SYNTAX or ARGUMENT. */
export function parseCommand(device: EntityDevice, text: string, field: string | undefined): ParsedCommand {
  if (field !== undefined) return { fields: { [field]: wordIn(text) }, meta: {} };
  const object = objectIn(text);
  if (object === undefined) return { fields: { [mainField(device)]: wordIn(text) }, meta: {} };
  const fields = Object.fromEntries(Object.entries(object).filter(([name]) => !META.includes(name as (typeof META)[number])));
  return { fields, meta: metaOf(object) };
}

/** `ON`, and `"ON"` as whoever writes JSON has it. */
function wordIn(text: string): string {
  const word = text.trim();
  return /^"[^"\\]*"$/.test(word) ? word.slice(1, -1) : word;
}

/** What one plain word is about: the main entity, else the only one that can be told something. */
function mainField({ id, entities }: EntityDevice): string {
  const settable = entities.filter((entity) => "calls" in entity);
  const found = settable.find(({ main }) => main) ?? (settable.length === 1 ? settable[0] : undefined);
  if (found !== undefined) return fieldOf(found);
  const fields = settable.map(fieldOf).join(", ");
  throw new AgentError("ARGUMENT", fields === "" ? `${id} cannot be set` : `${id} takes a JSON object with some of ${fields}`);
}

/**
 * The calls that bring about what `fields` say, in their order. Throws ARGUMENT for a field there is none of, for a value it cannot have, and when nothing is
 * asked at all; then none of it is done.
 */
export function planCommand(device: EntityDevice, fields: Readonly<Record<string, unknown>>): readonly PlannedCall[] {
  const left = new Map(Object.entries(fields));
  const planned = device.entities.flatMap((entity) => planEntity(device, entity, left));
  const unknown = [...left.keys()][0];
  if (unknown !== undefined) {
    const known = settableFields(device);
    if (known.length === 0) throw new AgentError("ARGUMENT", `${device.id} cannot be set`);
    throw new AgentError(
      "ARGUMENT",
      `${device.id} has no ${unknown} that can be set${didYouMean(unknown, known)}; it takes ${known.join(", ")}`,
    );
  }
  if (planned.length === 0)
    throw new AgentError("ARGUMENT", `nothing is asked of ${device.id}; it takes ${settableFields(device).join(", ")}`);
  return planned;
}

/** The fields that can be set. */
export function settableFields({ entities }: EntityDevice): readonly string[] {
  return entities.flatMap((entity) => {
    if (!("calls" in entity)) return [];
    const fields = [fieldOf(entity)];
    if (entity.kind === "light" && entity.calls.level !== undefined) fields.push(LEVEL_FIELD);
    if (entity.kind === "light" && entity.calls.effect !== undefined) fields.push(EFFECT_FIELD);
    if (entity.kind === "cover" && entity.calls.position !== undefined) fields.push(POSITION_FIELD);
    return fields;
  });
}

type Left = Map<string, unknown>;

function take(left: Left, field: string): unknown {
  const value = left.get(field);
  left.delete(field);
  return value;
}

function planEntity(device: EntityDevice, entity: Entity, left: Left): readonly PlannedCall[] {
  const plan = (call: EntityCall, value?: string | number): readonly PlannedCall[] => [plannedCall(device.id, entity, call, value)];
  const field = fieldOf(entity);
  switch (entity.kind) {
    case "light":
      return planLight(device.id, entity, left, plan);
    case "cover":
      return planCover(device.id, entity, left, plan);
    case "switch": {
      const value = take(left, field);
      return value === undefined ? [] : plan(onOrOff(device.id, field, value) ? entity.calls.on : entity.calls.off);
    }
    case "number": {
      const value = take(left, field);
      return value === undefined ? [] : plan(entity.calls.set, numberOf(device.id, field, value));
    }
    case "button": {
      const value = take(left, field);
      if (value === undefined) return [];
      // An empty message comes when somebody takes a retained one back.
      if (value !== "PRESS") throw mistake(device.id, field, value, "PRESS");
      return plan(entity.calls.press);
    }
    default:
      return [];
  }
}

type Plan = (call: EntityCall, value?: string | number) => readonly PlannedCall[];

/** How a light is to change, in seconds. Home Assistant offers both for every light of its JSON schema; what it is to become is worth doing without them. */
const MANNER_FIELDS = ["transition", "flash"] as const;

/** One call: dark if that is asked, else as bright, or in the way, that is asked, else lit. */
function planLight(id: string, entity: LightEntity, left: Left, plan: Plan): readonly PlannedCall[] {
  const { calls } = entity;
  const state = take(left, fieldOf(entity));
  for (const field of MANNER_FIELDS) left.delete(field);
  const level = calls.level === undefined ? undefined : take(left, LEVEL_FIELD);
  const effect = calls.effect === undefined ? undefined : take(left, EFFECT_FIELD);
  const lit = state === undefined ? undefined : onOrOff(id, fieldOf(entity), state);
  if (lit === false) return plan(calls.off);
  if (level !== undefined && calls.level !== undefined) return plan(calls.level, numberOf(id, LEVEL_FIELD, level));
  if (effect !== undefined && calls.effect !== undefined) return plan(calls.effect, effectOf(id, entity, effect));
  return lit === undefined ? [] : plan(calls.on);
}

function effectOf(id: string, { effects = [] }: LightEntity, value: unknown): string {
  if (typeof value === "string" && effects.includes(value)) return value;
  throw mistake(id, EFFECT_FIELD, value, `one of ${effects.join(", ")}`);
}

function planCover(id: string, entity: CoverEntity, left: Left, plan: Plan): readonly PlannedCall[] {
  const { open, close, stop, position } = entity.calls;
  const state = take(left, fieldOf(entity));
  const wanted = position === undefined ? undefined : take(left, POSITION_FIELD);
  if (state === undefined) {
    return wanted === undefined || position === undefined ? [] : plan(position, numberOf(id, POSITION_FIELD, wanted));
  }
  const call = { OPEN: open, CLOSE: close, STOP: stop }[typeof state === "string" ? state.toUpperCase() : ""];
  if (call === undefined) throw mistake(id, fieldOf(entity), state, "OPEN, CLOSE or STOP");
  return plan(call);
}

function mistake(id: string, field: string, value: unknown, expected: string): AgentError {
  return new AgentError("ARGUMENT", `${field} of ${id} is ${JSON.stringify(value)}; ${expected} is expected`);
}

const SWITCHED: ReadonlyMap<string, boolean> = new Map([
  [ON, true],
  ["TRUE", true],
  [OFF, false],
  ["FALSE", false],
]);

function onOrOff(id: string, field: string, value: unknown): boolean {
  const found = SWITCHED.get(String(value).toUpperCase());
  if (found === undefined) throw mistake(id, field, value, "ON or OFF");
  return found;
}

function numberOf(id: string, field: string, value: unknown): number {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (typeof number === "number" && Number.isFinite(number)) return number;
  throw mistake(id, field, value, "a number");
}

function plannedCall(id: string, entity: Entity, call: EntityCall, value: string | number | undefined): PlannedCall {
  const args = [...(call.args ?? []), ...(call.takesValue === true && value !== undefined ? [value] : [])];
  return {
    key: entity.key,
    call,
    words: [`${id}.${call.fn}`, ...args.map((arg) => bytesOf(String(arg)))],
    whole: entity.kind === "button",
  };
}
