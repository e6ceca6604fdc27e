import { valueText } from "../value.ts";
import type { Variable, VariableValue } from "../../agent/contract/variable.ts";

/** What needs quotes, so that a reader of pairs takes it for the text it is: separators, brackets, quotes, blanks at the ends, nothing, and what looks like another value. */
const NEEDS_QUOTES = /[,[\]{}"']|^\s|\s$|^$|^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$|^(?:true|false|nan|[+-]?inf(?:inity)?)$/i;

/** Line breaks and NUL end a pair even in quotes. */
const BREAKS = /[\n\r\0]/g;

/**
 * `name=value`, as analytics take it in: `speed=1.5`, `lit=true`, `scan=[1 2 3]` (a table of distances in one short line), `gear=D`, `text="a, b"`. A line break within
 * text becomes a blank, and where it has both kinds of quotes its double ones become single.
 */
export function pairText(name: string, value: VariableValue): string {
  return `${name}=${typeof value === "string" ? quoted(value) : valueText(value)}`;
}

/** One line for each. */
export function linesText(batch: readonly Variable[]): string {
  let text = "";
  for (const { name, value } of batch) text += `${pairText(name, value)}\n`;
  return text;
}

function quoted(text: string): string {
  const line = text.replace(BREAKS, " ");
  if (!NEEDS_QUOTES.test(line)) return line;
  if (!line.includes('"')) return `"${line}"`;
  return line.includes("'") ? `"${line.replaceAll('"', "'")}"` : `'${line}'`;
}
