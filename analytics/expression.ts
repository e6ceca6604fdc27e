import { Environment, type ASTNode, type ParseResult } from "@marcbachmann/cel-js";

import { AgentError } from "../agent/contract/errors.ts";
import type { VariableValue } from "../agent/contract/variable.ts";

/** A mistake at one character of an expression. */
export interface ExpressionMistake {
  /** Characters before it, from 0. */
  readonly offset: number;
  readonly message: string;
}

/** A condition or arguments, understood. */
export interface Expression {
  /** Every variable it reads, each once: `battery_v`, `lights.on`. */
  readonly reads: readonly string[];
  /** What it gives, as far as it is known before variables have values: `bool`, `dyn` (known later), `double` … */
  readonly type: string;
  /** Gives a variable that it reads its value. */
  assign(name: string, value: VariableValue): void;
  /** Throws ARGUMENT when the values do not fit: text where a number is needed. */
  evaluate(): unknown;
}

export type Understood = { readonly expression: Expression } | { readonly mistake: ExpressionMistake };

/** Macros that name a variable of their own: `scan.exists(d, d < 0.5)`, `cel.bind(x, pan + 1, x > 3)`. */
const BINDING_MACROS: ReadonlySet<string> = new Set(["all", "exists", "exists_one", "map", "filter", "bind"]);

/** Parses expressions of the Common Expression Language, https://cel.dev, with what rules over numbers need. Costs a millisecond: make one for all rules. */
export type Language = (text: string) => Understood;

/**
 * CEL with two additions. Variables hold doubles and literals like `11` are integers: arithmetic and comparison take both, in any mixture.
 * `abs(x)`, `min(a, b)`, `max(a, b)`, `clamp(x, low, high)`, and `min(list)`, `max(list)`.
 */
export function createLanguage(): Language {
  const environment = new Environment({ unlistedVariablesAreDyn: true, homogeneousAggregateLiterals: false });
  addMixedArithmetic(environment);
  addFunctions(environment);
  return (text) => understand(environment, text);
}

type CelNumber = number | bigint;

const ARITHMETIC: readonly (readonly [string, (a: number, b: number) => number])[] = [
  ["+", (a, b) => a + b],
  ["-", (a, b) => a - b],
  ["*", (a, b) => a * b],
  ["/", (a, b) => a / b],
  ["%", (a, b) => a % b],
];

function addMixedArithmetic(environment: Environment): void {
  for (const [operator, compute] of ARITHMETIC) {
    const mixed = (a: CelNumber, b: CelNumber): number => compute(Number(a), Number(b));
    environment.registerOperator(`double ${operator} int: double`, mixed);
    environment.registerOperator(`int ${operator} double: double`, mixed);
  }
  environment.registerOperator("double % double: double", (a: number, b: number) => a % b);
  environment.registerOperator("double == int: bool", (a: number, b: bigint) => a === Number(b));
}

function addFunctions(environment: Environment): void {
  environment.registerFunction("abs(dyn): double", (x: unknown) => Math.abs(numberOf(x)));
  environment.registerFunction("min(dyn, dyn): double", (a: unknown, b: unknown) => Math.min(numberOf(a), numberOf(b)));
  environment.registerFunction("max(dyn, dyn): double", (a: unknown, b: unknown) => Math.max(numberOf(a), numberOf(b)));
  environment.registerFunction("min(dyn): double", (list: unknown) => extreme(list, Math.min));
  environment.registerFunction("max(dyn): double", (list: unknown) => extreme(list, Math.max));
  environment.registerFunction("clamp(dyn, dyn, dyn): double", (x: unknown, low: unknown, high: unknown) =>
    Math.min(Math.max(numberOf(x), numberOf(low)), numberOf(high)),
  );
}

function numberOf(value: unknown): number {
  if (typeof value === "number" || typeof value === "bigint") return Number(value);
  throw new AgentError("ARGUMENT", `a number is expected, not ${typeof value === "object" ? "a list" : JSON.stringify(value)}`);
}

function extreme(list: unknown, choose: (a: number, b: number) => number): number {
  if (!Array.isArray(list) || list.length === 0) throw new AgentError("ARGUMENT", "a list of at least one number is expected");
  let found = numberOf(list[0]);
  for (let i = 1; i < list.length; i++) found = choose(found, numberOf(list[i]));
  return found;
}

function understand(environment: Environment, text: string): Understood {
  let parsed: ParseResult;
  try {
    parsed = environment.parse(text);
  } catch (error) {
    return { mistake: mistakeOf(error) };
  }
  const { valid, type, error } = parsed.check();
  if (!valid) return { mistake: mistakeOf(error) };
  const reads = [...readsOf(parsed.ast, environment)];
  const clash = reads.find((name) => reads.some((other) => other.startsWith(`${name}.`)));
  if (clash !== undefined) {
    return { mistake: { offset: text.indexOf(clash), message: `${clash} is read both by itself and as a device with values` } };
  }
  return { expression: createExpression(parsed, reads, type ?? "dyn") };
}

function createExpression(parsed: ParseResult, reads: readonly string[], type: string): Expression {
  /** `lights.on` is the entry `on` of the map `lights`. */
  const context = new Map<string, unknown>();
  const places = new Map(reads.map((name) => [name, placeOf(context, name)]));
  return {
    reads,
    type,
    assign(name, value) {
      const place = places.get(name);
      place?.map.set(place.key, value);
    },
    evaluate() {
      try {
        return parsed(context) as unknown;
      } catch (error) {
        throw new AgentError("ARGUMENT", mistakeOf(error).message, { cause: error });
      }
    },
  };
}

function placeOf(context: Map<string, unknown>, name: string): { readonly map: Map<string, unknown>; readonly key: string } {
  const steps = name.split(".");
  const key = steps.pop() ?? name;
  let map = context;
  for (const step of steps) {
    const inner = map.get(step);
    const next = inner instanceof Map ? (inner as Map<string, unknown>) : new Map<string, unknown>();
    map.set(step, next);
    map = next;
  }
  return { map, key };
}

/** The library's errors carry a summary without the drawing below the line, and the range of characters. */
function mistakeOf(error: unknown): ExpressionMistake {
  const { summary, range, message } = error as { summary?: string; range?: { start: number }; message?: string };
  const text = summary ?? message ?? String(error);
  return { offset: range?.start ?? 0, message: text.charAt(0).toLowerCase() + text.slice(1) };
}

/** Names of variables in the order of first mention. */
function readsOf(ast: ASTNode, environment: Environment): ReadonlySet<string> {
  const reads = new Set<string>();
  visit(ast, new Set());
  return reads;

  function visit(part: unknown, bound: ReadonlySet<string>): void {
    if (Array.isArray(part)) {
      for (const inner of part) visit(inner, bound);
      return;
    }
    if (!isNode(part)) return;
    const name = dottedName(part);
    if (name !== undefined) {
      const root = name.split(".", 1)[0] ?? name;
      // What the language itself defines: type names, the name space of cel.bind.
      if (!bound.has(root) && !environment.hasVariable(root)) reads.add(name);
    } else if (isBinding(part)) {
      const [, receiver, [variable, ...rest]] = part.args;
      visit(receiver, bound);
      visit(rest, new Set([...bound, variable?.op === "id" ? variable.args : ""]));
    } else visit(part.args, bound);
  }
}

function isNode(part: unknown): part is ASTNode {
  return typeof part === "object" && part !== null && "op" in part && "args" in part;
}

/** `a.b.c` as one name; undefined for anything else. */
function dottedName(node: ASTNode): string | undefined {
  if (node.op === "id") return node.args;
  if (node.op !== ".") return undefined;
  const owner = dottedName(node.args[0]);
  return owner === undefined ? undefined : `${owner}.${node.args[1]}`;
}

function isBinding(node: ASTNode): node is Extract<ASTNode, { op: "rcall" }> {
  return node.op === "rcall" && BINDING_MACROS.has(node.args[0]) && node.args[2].length > 1 && node.args[2][0]?.op === "id";
}
