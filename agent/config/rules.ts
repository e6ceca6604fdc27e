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
  /** The declared variables. */
  readonly variables: readonly string[];
}

/** Each rule by itself, then against the devices and the declared variables. */
export function checkRules(source: YamlSource, raw: unknown, known: Known, checkRule: CheckRule): readonly Problem[] {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) return [];
  return Object.entries(raw).flatMap(([name, fields]) => {
    const path = ["rules", name];
    // What does not fit the schema was reported with the file's outer shape.
    const rule = check(source, path, fields, ruleSchema).value;
    return rule === undefined ? [] : checkOne(source, path, rule, known, checkRule(name, rule));
  });
}

function checkOne(source: YamlSource, path: Path, rule: RuleFields, known: Known, checked: ReturnType<CheckRule>): readonly Problem[] {
  if ("problems" in checked) {
    return checked.problems.map(({ field, offset, message }) =>
      source.problemWithin([...path, field], offset, `${path.join(".")}.${field}: ${message}`),
    );
  }
  return [
    ...deviceProblems(source, path, rule, checked.rule, known.devices),
    ...checked.rule.reads.flatMap((name) => readProblems(source, path, rule, name, known)),
  ];
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

/** A name that is neither a declared variable nor a value of a declared device would never have a value, and the rule would never hold. */
function readProblems(source: YamlSource, path: Path, rule: RuleFields, name: string, known: Known): readonly Problem[] {
  const owner = name.split(".", 1)[0] ?? name;
  const isDeviceValue = name !== owner && known.devices.ids.includes(owner);
  if (known.variables.includes(name) || isDeviceValue) return [];
  const field = rule.when.includes(name) ? "when" : "call";
  const reason = `${path.join(".")} reads ${name}, and there is no such variable`;
  return [source.problemWithin([...path, field], offsetOf(rule[field], name), reason, whatElse(name, owner, known))];
}

function whatElse(name: string, owner: string, { devices: { ids }, variables }: Known): string {
  if (name === owner && ids.includes(name)) return `a device is no value by itself: write for example ${name}.on`;
  const variable = nearest(name, variables);
  if (variable !== undefined) return `did you mean ${variable}?`;
  const device = name === owner ? undefined : nearest(owner, ids);
  return device === undefined ? "declare it under analytics.variables" : `did you mean ${device}${name.slice(owner.length)}?`;
}

/** Where the name stands in the expression, as a whole word. */
function offsetOf(expression: string, name: string): number {
  const word = new RegExp(`(?<![\\w.])${name.replaceAll(/[^\w]/g, String.raw`\$&`)}(?!\\w)`);
  return Math.max(0, expression.search(word));
}
