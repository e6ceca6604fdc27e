import { messageOf } from "../contract/errors.ts";
import { nearest } from "../contract/nearest.ts";
import { leaseProblem } from "./devices.ts";
import { ruleSchema } from "./schema.ts";
import { check } from "./schema-problems.ts";
import type { CheckedDevices } from "./devices.ts";
import type { Problem } from "./problem.ts";
import type { Path, YamlSource } from "./yaml-source.ts";

/** What a rule says, as far as it can be known before a device is open. */
export interface RuleOutline {
  readonly device: string;
  readonly function: string;
  /** Every variable and device value its two expressions read: `battery_v`, `lights.on`. */
  readonly reads: readonly string[];
}

/** Understands the two expressions of a rule. Throws AgentError when they are none; the message names the expression. */
export type OutlineRule = (name: string, when: string, call: string) => RuleOutline;

/** Each rule by itself, then against the devices and the declared variables. */
export function checkRules(
  source: YamlSource,
  raw: unknown,
  devices: CheckedDevices,
  variables: readonly string[],
  outline: OutlineRule,
): readonly Problem[] {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) return [];
  return Object.entries(raw).flatMap(([name, fields]) => checkRule(source, name, fields, devices, variables, outline));
}

function checkRule(
  source: YamlSource,
  name: string,
  fields: unknown,
  devices: CheckedDevices,
  variables: readonly string[],
  outlineRule: OutlineRule,
): readonly Problem[] {
  const path = ["rules", name];
  // What does not fit the schema was reported with the file's outer shape.
  const rule = check(source, path, fields, ruleSchema).value;
  if (rule === undefined) return [];
  let outline: RuleOutline;
  try {
    outline = outlineRule(name, rule.when, rule.call);
  } catch (thrown) {
    return [source.problem([...path, mistakenPart(rule, outlineRule)], "value", messageOf(thrown))];
  }
  return [
    ...deviceProblems(source, path, outline.device, rule.leaseMs, devices),
    ...readProblems(source, path, rule.when, outline, devices.ids, variables),
  ];
}

/** The condition is at fault if it fails beside a call that is certainly right. */
function mistakenPart(rule: { readonly when: string }, outlineRule: OutlineRule): "when" | "call" {
  try {
    outlineRule("probe", rule.when, "device.call()");
    return "call";
  } catch (thrown) {
    return messageOf(thrown) === "" ? "call" : "when";
  }
}

function deviceProblems(
  source: YamlSource,
  path: Path,
  id: string,
  leaseMs: number | undefined,
  devices: CheckedDevices,
): readonly Problem[] {
  if (!devices.ids.includes(id)) {
    const meant = nearest(id, devices.ids);
    const suggestion = meant === undefined ? "declare it under devices" : `did you mean ${meant}?`;
    return [source.problem([...path, "call"], "value", `${path.join(".")} calls ${id}, and there is no such device`, suggestion)];
  }
  const device = devices.devices.find((candidate) => candidate.id === id);
  const problem = device === undefined ? undefined : leaseProblem(source, [...path, "leaseMs"], leaseMs, device.driver);
  return problem === undefined ? [] : [problem];
}

/** A name that is neither a declared variable nor a value of a declared device would never have a value, and the rule would never hold. */
function readProblems(
  source: YamlSource,
  path: Path,
  when: string,
  outline: RuleOutline,
  ids: readonly string[],
  variables: readonly string[],
): readonly Problem[] {
  const problems: Problem[] = [];
  for (const name of new Set(outline.reads)) {
    const owner = name.split(".", 1)[0] ?? name;
    if (variables.includes(name) || (name !== owner && ids.includes(owner))) continue;
    const part = mentions(when, name) ? "when" : "call";
    problems.push(
      source.problem(
        [...path, part],
        "value",
        `${path.join(".")} reads ${name}, and there is no such variable`,
        whatElse(name, owner, ids, variables),
      ),
    );
  }
  return problems;
}

function whatElse(name: string, owner: string, ids: readonly string[], variables: readonly string[]): string {
  if (name === owner && ids.includes(name)) return `a device is no value by itself: write for example ${name}.on`;
  const variable = nearest(name, variables);
  if (variable !== undefined) return `did you mean ${variable}?`;
  const device = name === owner ? undefined : nearest(owner, ids);
  return device === undefined ? "declare it under analytics.variables" : `did you mean ${device}${name.slice(owner.length)}?`;
}

function mentions(expression: string, name: string): boolean {
  return expression.includes(name);
}
