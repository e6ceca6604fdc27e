import { z } from "zod";

export type JsonSchema = z.core.JSONSchema.BaseSchema;

/** Units that end a name, as a person writes them. The longer ending first. */
const UNITS: readonly (readonly [suffix: RegExp, unit: string])[] = [
  [/DegPerS$/, "degrees per second"],
  [/Deg$/, "degrees"],
  [/Mps$/, "m/s"],
  [/Ms$/, "ms"],
  [/Us$/, "µs"],
  [/Ns$/, "ns"],
  [/Hz$/, "Hz"],
  [/[Bb]ytes$/, "bytes"],
  [/[Pp]ercent$/, "percent"],
];

/** The unit a name ends with, or nothing. */
export function unitOf(name: string): string {
  return UNITS.find(([suffix]) => suffix.test(name))?.[1] ?? "";
}

/** `safe, off or hold` */
export function orList(words: readonly string[]): string {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} or ${words.at(-1) ?? ""}`;
}

/** What may be written for `schema` at a key called `name`: `a whole number from 30 to 60000 ms`. */
export function expectation(schema: z.core.$ZodType, name: string): string {
  return describe(toJsonSchema(schema), name);
}

/** What the key is for, where the schema says it; else what may be written. */
export function meaning(schema: z.core.$ZodType, name: string): string {
  const json = toJsonSchema(schema);
  return json.description ?? describe(json, name);
}

/** As it is written in a file: before defaults are filled in. */
export function toJsonSchema(schema: z.core.$ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
}

function describe(schema: JsonSchema, name: string): string {
  const options = schema.anyOf ?? schema.oneOf;
  if (options !== undefined) return orList(options.map((option) => describe(asSchema(option), name)));
  if (schema.enum !== undefined) return orList(schema.enum.map(String));
  if (schema.const !== undefined) return String(schema.const);
  // Two plain types in one, as z.toJSONSchema joins a union of them.
  const types = (Array.isArray(schema.type) ? schema.type : [schema.type]) as readonly (string | undefined)[];
  return orList(types.map((type) => describeType(schema, type, name)));
}

function describeType(schema: JsonSchema, type: string | undefined, name: string): string {
  switch (type) {
    case "integer":
      return `a whole number${range(schema, name)}`;
    case "number":
      return `a number${range(schema, name)}`;
    case "boolean":
      return "true or false";
    case "string":
      return describeText(schema);
    case "array":
      return "a list";
    case "object":
      return describeMap(schema);
    case "null":
      return "nothing";
    default:
      return schema.description ?? "something else";
  }
}

function describeText(schema: JsonSchema): string {
  if (schema.pattern !== undefined && schema.description !== undefined) return schema.description;
  if (schema.maxLength !== undefined) return `text of ${schema.minLength ?? 0} to ${schema.maxLength} characters`;
  return "text";
}

/** Small maps are spelled out, so that the form can be copied. */
function describeMap(schema: JsonSchema): string {
  const keys = Object.keys(schema.properties ?? {});
  const required = keys.filter((key) => schema.required?.includes(key));
  const shown = required.length > 0 ? required : keys;
  if (shown.length === 0 || shown.length > 4) return "a map";
  return `{ ${shown.map((key) => `${key}: ${describe(asSchema(schema.properties?.[key]), key)}`).join(", ")} }`;
}

function range(schema: JsonSchema, name: string): string {
  const unit = unitOf(name) === "" ? "" : ` ${unitOf(name)}`;
  const from = bound(schema.minimum);
  const to = bound(schema.maximum);
  const above = bound(schema.exclusiveMinimum);
  const below = bound(schema.exclusiveMaximum);
  const words = [];
  if (from !== undefined && to !== undefined) words.push(`from ${from} to ${to}`);
  else if (from !== undefined) words.push(`of at least ${from}`);
  else if (to !== undefined) words.push(`of at most ${to}`);
  if (above !== undefined) words.push(`above ${above}`);
  if (below !== undefined) words.push(`below ${below}`);
  if (words.length === 0) return unit === "" ? "" : ` of${unit}`;
  return ` ${words.join(" and ")}${unit}`;
}

/** A whole number's own limits are no limits a person needs to read. */
function bound(limit: number | boolean | undefined): number | undefined {
  return typeof limit !== "number" || Math.abs(limit) >= Number.MAX_SAFE_INTEGER ? undefined : limit;
}

function asSchema(schema: JsonSchema | boolean | undefined): JsonSchema {
  return typeof schema === "object" ? schema : {};
}
