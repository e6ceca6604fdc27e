import { nearest } from "../contract/nearest.ts";
import { leaseProblem } from "./devices.ts";
import { ruleSchema } from "./schema.ts";
import { check } from "./schema-problems.ts";
import type { z } from "zod";
import type { CheckedDevices } from "./devices.ts";
import type { Problem } from "./problem.ts";
import type { Path, YamlSource } from "./yaml-source.ts";

type RuleFields = z.output<typeof ruleSchema>;

/** What a rule says, as far as it can be known before a device is open. */
export interface RuleOutline {
  readonly device: string;
  readonly function: string;
  /** Every variable and device value its two expressions read: `battery_v`, `lights.on`. */
  readonly reads: readonly string[];
}

/** A mistake at a character of one of a rule's expressions, counted from 0. */
export interface RuleMistake {
  readonly field: "when" | "call";
  readonly offset: number;
  readonly message: string;
}

/** Understands the two expressions of a rule, or says what is wrong with them. The analytics' `checkRule` fits. */
export type CheckRule = (name: string, rule: RuleFields) => { readonly rule: RuleOutline } | { readonly problems: readonly RuleMistake[] };

/** What rules may name. */
export interface Known {
  readonly devices: CheckedDevices;
  /** The variables that are declared, and those that the agent makes itself. */
  readonly variables: readonly string[];
}

export interface CheckedRules {
  readonly problems: readonly Problem[];
  /** Variables that nobody declared: a stream may still set them. */
  readonly warnings: readonly Problem[];
}

/** Each rule by itself, then against the devices and the declared variables. */
export function checkRules(source: YamlSource, raw: unknown, known: Known, checkRule: CheckRule): CheckedRules {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const rules = typeof raw === "object" && raw !== null && !Array.isArray(raw) ? Object.entries(raw) : [];
  for (const [name, fields] of rules) {
    const path = ["rules", name];
    const rule = check(source, path, fields, ruleSchema).value;
    // What does not fit the schema was reported with the file's outer shape.
    if (rule === undefined) continue;
    const checked = checkRule(name, rule);
    if ("problems" in checked) {
      problems.push(...mistakes(source, path, checked.problems));
      continue;
    }
    problems.push(...deviceProblems(source, path, rule, checked.rule, known.devices));
    for (const read of checked.rule.reads.filter((variable) => !isKnown(variable, known))) {
      const meant = whatElse(read, known);
      (meant === undefined ? warnings : problems).push(unknownRead(source, path, rule, read, meant));
    }
  }
  return { problems, warnings };
}

/** What to write instead, where the mistake itself does not say so. */
const ADVICE: Readonly<Record<RuleMistake["field"], string>> = {
  when: "write a condition over variables, for example battery_v < 11.5",
  call: 'write device.function(arguments), for example lamp.beam("low")',
};

function mistakes(source: YamlSource, path: Path, found: readonly RuleMistake[]): readonly Problem[] {
  return found.map(({ field, offset, message }) => {
    const advice = message.includes("for example") ? undefined : ADVICE[field];
    return source.problemWithin([...path, field], offset, `${path.join(".")}.${field}: ${message}`, advice);
  });
}

function deviceProblems(
  source: YamlSource,
  path: Path,
  rule: RuleFields,
  outline: RuleOutline,
  devices: CheckedDevices,
): readonly Problem[] {
  const id = outline.device;
  if (!devices.ids.includes(id)) {
    const meant = nearest(id, devices.ids);
    const suggestion = meant === undefined ? "declare it under devices" : `did you mean ${meant}?`;
    const reason = `${path.join(".")} calls ${id}.${outline.function}, and there is no device ${id}`;
    return [source.problemWithin([...path, "call"], offsetOf(rule.call, id), reason, suggestion)];
  }
  const device = devices.devices.find((candidate) => candidate.id === id);
  const problem = device === undefined ? undefined : leaseProblem(source, [...path, "leaseMs"], rule.leaseMs, device.driver);
  return problem === undefined ? [] : [problem];
}

function isKnown(name: string, { devices, variables }: Known): boolean {
  const owner = ownerOf(name);
  return variables.includes(name) || (name !== owner && devices.ids.includes(owner));
}

/** `lights` of `lights.on`, the name itself otherwise. */
function ownerOf(name: string): string {
  return name.split(".", 1)[0] ?? name;
}

function unknownRead(source: YamlSource, path: Path, rule: RuleFields, name: string, meant: string | undefined): Problem {
  const field = rule.when.includes(name) ? "when" : "call";
  const reason = `${path.join(".")} reads ${name}, and there is no such variable`;
  return source.problemWithin([...path, field], offsetOf(rule[field], name), reason, meant ?? "declare it under analytics.variables");
}

/** What a name that nobody declared was probably meant to be; undefined when it is like nothing that is there. */
function whatElse(name: string, { devices: { ids }, variables }: Known): string | undefined {
  const owner = ownerOf(name);
  if (name === owner && ids.includes(name)) return `a device is no value by itself: write for example ${name}.on`;
  const variable = nearest(name, variables);
  if (variable !== undefined) return `did you mean ${variable}?`;
  if (name === owner) return undefined;
  const device = nearest(owner, ids);
  return device === undefined ? `there is no device ${owner}` : `did you mean ${device}${name.slice(owner.length)}?`;
}

/** Where the name stands in the expression, as a whole word. */
function offsetOf(expression: string, name: string): number {
  const word = new RegExp(`(?<![\\w.])${name.replaceAll(/[^\w]/g, String.raw`\$&`)}(?!\\w)`);
  return Math.max(0, expression.search(word));
}
