import type { z } from "zod";

import { AgentError } from "../contract/errors.ts";
import { textOf, type ByteString } from "../contract/request.ts";
import type { DeviceFunction } from "../contract/device.ts";
import type { Arguments } from "./supervisor-slot.ts";

type Kind = "number" | "boolean" | "string" | "json";

interface Parameter {
  readonly name: string;
  readonly kind: Kind;
}

/** Turns the words of a command into a function's named, checked arguments. Throws ARGUMENT naming the parameter and the value. */
export type Binder = (words: readonly ByteString[], from: number) => Arguments;

const NO_ARGUMENTS: Arguments = Object.freeze({});

/** Prepares the binding once, when the device opens, so that a call only converts and checks. */
export function createBinder(fn: DeviceFunction, callName: string): Binder {
  const parameters: readonly Parameter[] = Object.entries(fn.params.shape).map(([name, schema]) => ({ name, kind: kindOf(schema) }));
  if (parameters.length === 0) {
    return (words, from) => {
      if (words.length > from) throw new AgentError("ARGUMENT", `${callName} takes no arguments, got ${words.length - from}`);
      return NO_ARGUMENTS;
    };
  }
  return (words, from) => {
    if (words.length - from > parameters.length) {
      const names = parameters.map(({ name }) => name).join(", ");
      throw new AgentError("ARGUMENT", `${callName} takes ${parameters.length} arguments (${names}), got ${words.length - from}`);
    }
    const named: Arguments = {};
    for (let i = 0; i < words.length - from; i++) {
      const { name, kind } = parameters[i] as Parameter;
      named[name] = convert(textOf(words[from + i] as ByteString), kind);
    }
    const checked = fn.params.safeParse(named);
    if (checked.success) return checked.data;
    throw new AgentError("ARGUMENT", `${callName}: ${explain(checked.error.issues[0], named)}`);
  };
}

/** What a word is converted to before the schema sees it. Optional and defaulted parameters count as what they wrap. */
function kindOf(schema: unknown): Kind {
  const { def } = schema as { readonly def: { readonly type: string; readonly innerType?: unknown } };
  if (def.innerType !== undefined) return kindOf(def.innerType);
  switch (def.type) {
    case "number":
    case "boolean":
    case "string":
      return def.type;
    case "enum":
    case "literal":
      return "string";
    default:
      return "json";
  }
}

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ["true", true],
  ["on", true],
  ["1", true],
  ["false", false],
  ["off", false],
  ["0", false],
]);

/** A word that does not convert stays text, so that the schema's error shows it as it came. */
function convert(text: string, kind: Kind): unknown {
  switch (kind) {
    case "string":
      return text;
    case "number": {
      const number = Number(text);
      return text.trim() === "" || Number.isNaN(number) ? text : number;
    }
    case "boolean":
      return BOOLEANS.get(text.toLowerCase()) ?? text;
    case "json":
      return parsedOr(text);
  }
}

function parsedOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The first thing that does not fit, with the value that was given. */
export function explain(issue: z.core.$ZodIssue | undefined, named: Arguments): string {
  if (issue === undefined) return "the arguments do not fit";
  const name = String(issue.path[0] ?? "");
  if (!(name in named)) return `${name} is missing`;
  const value = JSON.stringify(named[name]);
  switch (issue.code) {
    case "too_small":
      return `${name} is ${value}; ${issue.minimum} or more is expected`;
    case "too_big":
      return `${name} is ${value}; ${issue.maximum} or less is expected`;
    case "invalid_type":
      return `${name} is ${value}; ${issue.expected} is expected`;
    case "invalid_value":
      return `${name} is ${value}; one of ${issue.values.map((allowed) => JSON.stringify(allowed)).join(", ")} is expected`;
    default:
      return `${name} is ${value}: ${issue.message}`;
  }
}
