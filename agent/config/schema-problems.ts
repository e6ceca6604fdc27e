import type { z } from "zod";

import { nearest } from "../contract/nearest.ts";
import { expectation, meaning, orList, unitOf } from "./expectation.ts";
import { pathText } from "./yaml-source.ts";
import type { Problem } from "./problem.ts";
import type { Path, YamlSource } from "./yaml-source.ts";

type Issue = z.core.$ZodIssue;
type Schema = z.core.$ZodType;

/** Stands where a schema says nothing of its own about a mistake. */
const UNSAID = "";

/** Names of what must not be repeated on a screen or in a log. */
const SECRET = /token|password|secret/i;

export type Checked<T> =
  { readonly value: T; readonly problems?: undefined } | { readonly value?: undefined; readonly problems: readonly Problem[] };

/** Checks the part of the source that stands at `path`; `known` are keys that are allowed there beside the schema's, for suggestions. */
export function check<T extends z.ZodType>(
  source: YamlSource,
  path: Path,
  data: unknown,
  schema: T,
  known: readonly string[] = [],
): Checked<z.output<T>> {
  // Each schema meets one value, so compiling it would cost more than it saves.
  const result = schema.safeParse(data, { error: () => UNSAID, jitless: true });
  if (result.success) return { value: result.data };
  return { problems: problemsOf({ source, path, data, schema, known }, result.error.issues) };
}

/** What the issues are about. Their paths start here. */
interface Subject {
  readonly source: YamlSource;
  readonly path: Path;
  readonly data: unknown;
  readonly schema: Schema;
  readonly known: readonly string[];
}

function problemsOf(subject: Subject, issues: readonly Issue[]): readonly Problem[] {
  const misspelt = misspeltIn(subject, issues);
  return issues.filter((issue) => !follows(subject, issue, misspelt)).flatMap((issue) => problemsOfIssue(subject, issue));
}

function pathOf(subject: Subject, issue: Issue): Path {
  return [...subject.path, ...issue.path.map((step) => (typeof step === "number" ? step : String(step)))];
}

/** Keys that are absent because a key beside them is misspelt, and the maps that hold both: what else is wrong with these follows from that. */
interface Misspelt {
  readonly keys: ReadonlySet<string>;
  readonly maps: ReadonlySet<string>;
}

function misspeltIn(subject: Subject, issues: readonly Issue[]): Misspelt {
  const keys = new Set<string>();
  const maps = new Set<string>();
  for (const issue of issues) {
    if (issue.code !== "unrecognized_keys") continue;
    const known = knownKeys(schemaAt(subject.schema, issue.path)).filter(
      (key) => valueAt(subject.data, [...issue.path, key]) === undefined,
    );
    for (const key of issue.keys) {
      const meant = nearest(key, known);
      if (meant === undefined) continue;
      keys.add(pathText([...pathOf(subject, issue), meant]));
      maps.add(pathText(pathOf(subject, issue)));
    }
  }
  return { keys, maps };
}

/** Whether the issue would go away with the misspelling. */
function follows(subject: Subject, issue: Issue, misspelt: Misspelt): boolean {
  const path = pathText(pathOf(subject, issue));
  return issue.code === "custom" ? misspelt.maps.has(path) : misspelt.keys.has(path);
}

function problemsOfIssue(subject: Subject, issue: Issue): readonly Problem[] {
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => unknownKey(subject, issue, key));
    case "invalid_key":
      return [invalidKey(subject, issue)];
    case "invalid_union":
      return unionProblems(subject, issue);
    default:
      return [wrongValue(subject, issue)];
  }
}

function unknownKey(subject: Subject, issue: Issue, key: string): Problem {
  const path = pathOf(subject, issue);
  const known = [...knownKeys(schemaAt(subject.schema, issue.path)), ...(issue.path.length === 0 ? subject.known : [])];
  const meant = nearest(key, known);
  const suggestion = meant === undefined ? `it may hold ${orList(known)}` : `did you mean ${meant}?`;
  return subject.source.problem([...path, key], "key", `unknown key ${key} in ${pathText(path)}`, suggestion);
}

function invalidKey(subject: Subject, issue: Extract<Issue, { code: "invalid_key" }>): Problem {
  const path = pathOf(subject, issue);
  const said = issue.issues.find((inner) => inner.message !== UNSAID)?.message ?? `${String(path.at(-1))} is no name for it`;
  return subject.source.problem(path, "key", `${pathText(path.slice(0, -1))} cannot hold the name ${found(path.at(-1))}`, said);
}

/** Of the forms a value may have, the one the author was most likely writing decides what is wrong with it. */
function unionProblems(subject: Subject, issue: Extract<Issue, { code: "invalid_union" }>): readonly Problem[] {
  const options = optionsOf(schemaAt(subject.schema, issue.path));
  const data = valueAt(subject.data, issue.path);
  const path = pathOf(subject, issue);
  const candidates: (readonly Problem[])[] = [];
  for (const [index, issues] of issue.errors.entries()) {
    const schema = options[index];
    const otherForm = issues.some((inner) => inner.path.length === 0 && (inner.code === "invalid_type" || inner.code === "invalid_value"));
    if (schema !== undefined && !otherForm) candidates.push(problemsOf({ source: subject.source, path, data, schema, known: [] }, issues));
  }
  const fewest = Math.min(...candidates.map((problems) => problems.length));
  const best = candidates.filter((problems) => problems.length === fewest);
  // A key that is nearly right in one form is better than one that is merely wrong in another.
  const near = best.find((problems) => problems.some((problem) => problem.suggestion?.startsWith("did you mean") === true));
  return near ?? (best.length === 1 ? (best[0] ?? []) : [wrongValue(subject, issue)]);
}

function wrongValue(subject: Subject, issue: Issue): Problem {
  const path = pathOf(subject, issue);
  const data = valueAt(subject.data, issue.path);
  if (data === undefined && issue.code !== "custom") return missingValue(subject, issue, path);
  const said = issue.message === UNSAID ? undefined : issue.message;
  // What is wrong with a whole map is no matter of one value in it.
  if (issue.code === "custom" && (data === undefined || typeof data === "object")) {
    return subject.source.problem(path, "key", `${pathText(path)}: ${said ?? "this is not accepted"}`);
  }
  const name = nameOf(path);
  const reason = `${pathText(path)} is ${SECRET.test(name) ? "not what it should be" : found(data)}${why(issue, name)}`;
  return subject.source.problem(path, "value", reason, said ?? rightValue(schemaAt(subject.schema, issue.path), data, name));
}

function missingValue(subject: Subject, issue: Issue, path: Path): Problem {
  const holder = path.slice(0, -1);
  const name = nameOf(path);
  const schema = schemaAt(subject.schema, issue.path);
  const suggestion = issue.message === UNSAID && schema !== undefined ? `add ${name}: ${meaning(schema, name)}` : issue.message;
  return subject.source.problem(holder, "key", `${pathText(holder)} needs ${name}`, suggestion);
}

function rightValue(schema: Schema | undefined, data: unknown, name: string): string {
  if (schema === undefined) return "write something else";
  const meant = typeof data === "string" ? nearest(data, wordsOf(schema)) : undefined;
  return meant === undefined ? `write ${expectation(schema, name)}` : `did you mean ${meant}?`;
}

/** The last name on the way; positions in lists have none. */
function nameOf(path: Path): string {
  return path.findLast((step) => typeof step === "string") ?? "";
}

/** What a bound the value ran into was. */
function why(issue: Issue, name: string): string {
  const unit = unitOf(name) === "" ? "" : ` ${unitOf(name)}`;
  switch (issue.code) {
    case "too_big":
      if (issue.origin !== "number" && issue.origin !== "int") return `, longer than ${issue.maximum}`;
      return issue.inclusive === false ? `, not below ${issue.maximum}${unit}` : `, above ${issue.maximum}${unit}`;
    case "too_small":
      if (issue.origin !== "number" && issue.origin !== "int") return `, shorter than ${issue.minimum}`;
      return issue.inclusive === false ? `, not above ${issue.minimum}${unit}` : `, below ${issue.minimum}${unit}`;
    case "not_multiple_of":
      return `, not a multiple of ${issue.divisor}`;
    default:
      return "";
  }
}

/** A value as it stands in the file, cut short. */
export function found(data: unknown): string {
  if (data === null || data === undefined) return "empty";
  if (Array.isArray(data)) return "a list";
  if (typeof data === "object") return "a map";
  if (typeof data === "number") return String(data);
  const text = JSON.stringify(data);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function valueAt(data: unknown, path: readonly PropertyKey[]): unknown {
  let value = data;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Readonly<Record<PropertyKey, unknown>>)[step];
  }
  return value;
}

/** The schema without what only says that it may be absent. */
function bare(schema: Schema): z.core.$ZodTypes {
  let current = schema as z.core.$ZodTypes;
  for (;;) {
    const def = current._zod.def;
    if ("innerType" in def) current = def.innerType as z.core.$ZodTypes;
    else if (def.type === "pipe") current = def.in as z.core.$ZodTypes;
    else return current;
  }
}

/** The schema of what stands at `path` in what `schema` describes. */
function schemaAt(schema: Schema, path: readonly PropertyKey[]): Schema | undefined {
  const [step, ...rest] = path;
  if (step === undefined) return schema;
  const inner = innerSchemas(bare(schema), step);
  for (const candidate of inner) {
    const there = schemaAt(candidate, rest);
    if (there !== undefined) return there;
  }
  return undefined;
}

function innerSchemas(schema: z.core.$ZodTypes, step: PropertyKey): readonly Schema[] {
  const def = schema._zod.def;
  switch (def.type) {
    case "object": {
      const inner = def.shape[String(step)];
      return inner === undefined ? [] : [inner];
    }
    case "record":
      return [def.valueType];
    case "array":
      return [def.element];
    case "tuple": {
      const inner = def.items[Number(step)];
      return inner === undefined ? [] : [inner];
    }
    case "union":
      return def.options.flatMap((option) => innerSchemas(bare(option), step));
    default:
      return [];
  }
}

function optionsOf(schema: Schema | undefined): readonly Schema[] {
  if (schema === undefined) return [];
  const def = bare(schema)._zod.def;
  return def.type === "union" ? def.options : [];
}

function knownKeys(schema: Schema | undefined): readonly string[] {
  if (schema === undefined) return [];
  const def = bare(schema)._zod.def;
  if (def.type === "object") return Object.keys(def.shape);
  return def.type === "union" ? def.options.flatMap((option) => knownKeys(option)) : [];
}

/** The words that may stand for `schema`. */
function wordsOf(schema: Schema): readonly string[] {
  const def = bare(schema)._zod.def;
  switch (def.type) {
    case "enum":
      return Object.values(def.entries).map(String);
    case "literal":
      return def.values.map(String);
    case "union":
      return def.options.flatMap((option) => wordsOf(option));
    default:
      return [];
  }
}
