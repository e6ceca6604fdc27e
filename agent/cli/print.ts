import type { Value } from "../contract/value.ts";

/** A value as a person reads it: text as it is, lists and maps indented. Ends with a line break. */
export function valueText(value: Value): string {
  return `${block(value, "")}\n`;
}

/** A value as JSON in one line. What JSON has no form for: bytes are `{"base64": …}`, whole numbers beyond 2^53 and numbers that are none are text. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, jsonForm)}\n`;
}

/** Rows under their headings, each column as wide as its widest cell. */
export function tableText(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

function jsonForm(_name: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (value instanceof Uint8Array) return { base64: Buffer.from(value).toString("base64") };
  return value;
}

function block(value: Value, indent: string): string {
  if (isScalar(value)) return scalarText(value);
  const inner = `${indent}  `;
  if (isList(value)) {
    if (value.length === 0) return "(none)";
    if (value.every(isScalar)) return value.map(scalarText).join(", ");
    return value.map((part) => `- ${block(part, inner)}`).join(`\n${indent}`);
  }
  const entries = Object.entries(value);
  if (entries.length === 0) return "(none)";
  return entries.map(([name, part]) => `${name}:${isNested(part) ? `\n${inner}` : " "}${block(part, inner)}`).join(`\n${indent}`);
}

type Scalar = Exclude<Value, readonly Value[] | { readonly [name: string]: Value }>;

function isScalar(value: Value): value is Scalar {
  return typeof value !== "object" || value === null || value instanceof Uint8Array;
}

function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

/** Whether it takes lines of its own. */
function isNested(value: Value): boolean {
  if (isScalar(value)) return false;
  return isList(value) ? !value.every(isScalar) : Object.keys(value).length > 0;
}

function scalarText(value: Scalar): string {
  if (value === null) return "-";
  return value instanceof Uint8Array ? `0x${Buffer.from(value).toString("hex")}` : String(value);
}
