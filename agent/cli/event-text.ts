import { valueText } from "./print.ts";
import type { Value } from "../contract/value.ts";

export type Fields = { readonly [name: string]: Value };

/** What was answered where a map is expected; an empty one when it is none. */
export function mapOf(value: Value | undefined): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array) ? (value as Fields) : {};
}

export function listOf(value: Value | undefined): readonly Value[] {
  return Array.isArray(value) ? (value as readonly Value[]) : [];
}

export function wordOf(value: Value | undefined): string {
  return value === undefined ? "" : valueText(value).trimEnd();
}

/** Milliseconds since 1970 as ISO 8601, UTC. */
export function timeText(wallMs: Value | undefined): string {
  return typeof wallMs === "number" ? new Date(wallMs).toISOString() : "";
}
