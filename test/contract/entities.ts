import { callsOf, variablesOf, type Entity, type EntityCall } from "../../agent/contract/entity.ts";
import { createBinder } from "../../agent/host/arguments.ts";
import { bytesOf } from "../../agent/contract/request.ts";
import type { Device } from "../../agent/contract/device.ts";

/** Values an entity's call is made with: the ends of what it takes. */
function valuesFor(entity: Entity, call: EntityCall): readonly (string | number)[] {
  if (call.takesValue !== true) return [""];
  if (entity.kind === "number") return entity.range;
  if (entity.kind === "light" && call === entity.calls.effect) return entity.effects ?? [];
  return [0, 100];
}

function argsOf(call: EntityCall, value: string | number): string[] {
  const args = [...(call.args ?? []), ...(call.takesValue === true ? [value] : [])];
  return args.map((arg) => bytesOf(String(arg)));
}

function callMistake(device: Device, entity: Entity, call: EntityCall, value: string | number): string | undefined {
  const fn = device.functions[call.fn];
  if (fn === undefined) return `${entity.key} calls ${call.fn}, which is no function`;
  if (fn.effect !== "actuate") return `${entity.key} calls ${call.fn}, which moves nothing`;
  try {
    createBinder(fn, call.fn)(argsOf(call, value), 0);
    return undefined;
  } catch (error) {
    return `${entity.key}: ${String(error)}`;
  }
}

/** What is wrong with the entities of an open device, one line each. `published`: the variables it publishes, without its name. */
export function entityMistakes(entities: readonly Entity[], device: Device, published: ReadonlySet<string>): readonly string[] {
  const mistakes: string[] = [];
  const keys = entities.map(({ key }) => key);
  if (new Set(keys).size !== keys.length) mistakes.push(`one key twice: ${keys.join(" ")}`);
  if (entities.filter(({ main }) => main).length > 1) mistakes.push("two entities are the main one");
  for (const entity of entities) {
    if (!/^[A-Za-z0-9_-]+$/.test(entity.key)) mistakes.push(`${entity.key} is no key`);
    for (const name of variablesOf(entity)) if (!published.has(name)) mistakes.push(`${entity.key} shows ${name}, which is not published`);
    for (const call of Object.values(callsOf(entity))) {
      for (const value of valuesFor(entity, call)) {
        const mistake = callMistake(device, entity, call, value);
        if (mistake !== undefined) mistakes.push(mistake);
      }
    }
  }
  return mistakes;
}
