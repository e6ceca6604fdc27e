import { AgentError, messageOf } from "../agent/contract/errors.ts";
import { bytesOf, type ByteString } from "../agent/contract/request.ts";
import { createLanguage, type Expression, type ExpressionMistake, type Language, type Understood } from "./expression.ts";
import type { VariableValue } from "../agent/contract/variable.ts";

/** A rule as the configuration has it. */
export interface RuleSource {
  /** A condition over variables and device values: `lights.on && battery_v < 11.5`. */
  readonly when: string;
  /** A device's function; its arguments are expressions too: `lamp.beam("low")`, `pan.to(pan_angle)`. */
  readonly call: string;
  /** Lease of each call, milliseconds; the device's otherwise. */
  readonly leaseMs?: number | undefined;
  readonly priority: number;
}

/** A mistake in one of a rule's two expressions, with its place, so that an editor or the configuration can point at the character. */
export interface RuleProblem extends ExpressionMistake {
  readonly field: "when" | "call";
}

/** A rule that can run. */
export interface CompiledRule extends RuleSource {
  readonly name: string;
  readonly device: string;
  readonly function: string;
  /** Every variable and device value its two expressions read: all must be there and fresh for it to fire. */
  readonly reads: readonly string[];
  /** Gives a variable it reads its value. */
  assign(name: string, value: VariableValue): void;
  /** The condition over the values assigned. Throws ARGUMENT when they do not fit it. */
  holds(): boolean;
  /** The call's arguments over the values assigned, as words of a command. Throws ARGUMENT as well. */
  callWords(): readonly ByteString[];
}

export type RuleCheck = { readonly rule: CompiledRule } | { readonly problems: readonly RuleProblem[] };

interface Call {
  readonly device: string;
  readonly function: string;
  readonly args: Expression;
  /** Worked out once, where the arguments read no variable. */
  readonly constantWords: readonly ByteString[] | undefined;
}

const CALL = /^(\s*([A-Za-z_]\w*)\s*\.\s*([A-Za-z_]\w*)\s*)\((.*)\)\s*$/s;
const CALL_FORM = 'a call is device.function(arguments), for example lamp.beam("low")';

/** Understands a rule or says everything that is wrong with it. */
export function checkRule(name: string, source: RuleSource, language: Language = createLanguage()): RuleCheck {
  const problems: RuleProblem[] = [];
  const when = understood("when", language(source.when), 0, problems);
  if (when !== undefined && when.type !== "bool" && when.type !== "dyn") {
    problems.push({ field: "when", offset: 0, message: `a condition is true or false, this is ${when.type}` });
  }
  const call = checkCall(source.call, language, problems);
  if (when === undefined || call === undefined || problems.length > 0) return { problems };
  return { rule: createRule(name, source, when, call) };
}

/** The same, throwing ARGUMENT with the first mistake: `when, character 12: unexpected token: EOF`. */
export function compileRule(name: string, source: RuleSource, language?: Language): CompiledRule {
  const checked = checkRule(name, source, language);
  if ("rule" in checked) return checked.rule;
  const [first] = checked.problems;
  if (first === undefined) throw new AgentError("ARGUMENT", `rule ${name} cannot be understood`);
  throw new AgentError("ARGUMENT", `rule ${name}: ${first.field}, character ${first.offset + 1}: ${first.message}`);
}

function understood(field: RuleProblem["field"], result: Understood, shift: number, problems: RuleProblem[]): Expression | undefined {
  if ("expression" in result) return result.expression;
  problems.push({ field, offset: result.mistake.offset + shift, message: result.mistake.message });
  return undefined;
}

/** The arguments are understood as one list, so that they are worked out in one go. */
function checkCall(text: string, language: Language, problems: RuleProblem[]): Call | undefined {
  const [, head, device, called, inner] = CALL.exec(text) ?? [];
  if (head === undefined || device === undefined || called === undefined || inner === undefined) {
    problems.push({ field: "call", offset: 0, message: CALL_FORM });
    return undefined;
  }
  const args = understood("call", language(`[${inner}]`), head.length, problems);
  if (args !== undefined && !args.type.startsWith("list")) {
    problems.push({ field: "call", offset: 0, message: CALL_FORM });
    return undefined;
  }
  if (args === undefined) return undefined;
  try {
    return { device, function: called, args, constantWords: args.reads.length === 0 ? wordsOf(args.evaluate()) : undefined };
  } catch (error) {
    problems.push({ field: "call", offset: head.length, message: messageOf(error) });
    return undefined;
  }
}

function createRule(name: string, source: RuleSource, when: Expression, call: Call): CompiledRule {
  const reads = [...new Set([...when.reads, ...call.args.reads])];
  const { args, constantWords } = call;
  return {
    ...source,
    name,
    device: call.device,
    function: call.function,
    reads,
    assign(variable, value) {
      when.assign(variable, value);
      args.assign(variable, value);
    },
    holds() {
      const result = when.evaluate();
      if (typeof result === "boolean") return result;
      throw new AgentError("ARGUMENT", `the condition is ${String(result)}; true or false is expected`);
    },
    callWords: () => constantWords ?? wordsOf(args.evaluate()),
  };
}

function wordsOf(values: unknown): readonly ByteString[] {
  return (values as readonly unknown[]).map(wordOf);
}

/** A value as a word of a command: lists as JSON, as the command line writes them. */
function wordOf(value: unknown, index: number): ByteString {
  switch (typeof value) {
    case "string":
      return bytesOf(value);
    case "number":
      if (Number.isFinite(value)) return String(value);
      break;
    case "bigint":
    case "boolean":
      return String(value);
    case "object":
      if (Array.isArray(value)) return JSON.stringify(value.map((item) => (typeof item === "bigint" ? Number(item) : (item as unknown))));
      break;
    default:
  }
  throw new AgentError(
    "ARGUMENT",
    `argument ${index + 1} of the call is ${String(value)}; a finite number, text, true, false or a list is expected`,
  );
}
