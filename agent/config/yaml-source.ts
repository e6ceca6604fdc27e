import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from "yaml";
import type { Document, Node, Pair, YAMLMap } from "yaml";

import { messageOf } from "../contract/errors.ts";
import type { Position, Problem } from "./problem.ts";

export type Path = readonly (string | number)[];

/** A YAML text as data, with the way back from every part of the data to its place in the text. */
export interface YamlSource {
  readonly file: string;
  readonly data: unknown;
  /** Mistakes of the YAML itself. */
  readonly problems: readonly Problem[];
  /** The text is no YAML: what the rest of it means is not known, and `data` is empty. */
  readonly broken: boolean;
  /** Where the value at `path` is written, or its key; of what is not there, the nearest thing around it. */
  position(path: Path, part: "key" | "value"): Position;
  problem(path: Path, part: "key" | "value", reason: string, suggestion?: string): Problem;
  /** The same at a character of the text that stands at `path`, counted from 0; at its beginning where it is folded or escaped. */
  problemWithin(path: Path, character: number, reason: string, suggestion?: string): Problem;
}

/** `devices.lamp.leaseMs`, `analytics.sources[0].tcp` */
export function pathText(path: Path): string {
  let text = "";
  for (const step of path) text += typeof step === "number" ? `[${step}]` : `${text === "" ? "" : "."}${step}`;
  return text === "" ? "the file" : text;
}

/** An empty text is an empty map. */
export function readYaml(text: string, file: string): YamlSource {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: false });
  const problems: Problem[] = [];
  let data: unknown = {};
  let broken = document.errors.length > 0;

  function at(offset: number): Position {
    // An empty text has no line yet.
    const { line, col } = lineCounter.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  }

  function position(path: Path, part: "key" | "value"): Position {
    return at(offsetOf(document, path, part));
  }

  function positionWithin(path: Path, character: number): Position {
    const offset = offsetOf(document, path, "value");
    const value = document.getIn(path);
    const quote = text.charAt(offset) === '"' || text.charAt(offset) === "'" ? 1 : 0;
    const asWritten = typeof value === "string" && text.startsWith(value, offset + quote);
    return at(asWritten ? offset + quote + Math.min(character, value.length) : offset);
  }

  function problemAt(place: Position, reason: string, suggestion?: string): Problem {
    const problem = { file, ...place, reason };
    return suggestion === undefined ? problem : { ...problem, suggestion };
  }

  for (const mistake of [...document.errors, ...document.warnings]) {
    const place = at(mistake.pos[0]);
    // The first on a line is the mistake; what the parser says after it follows from it.
    if (problems.some((problem) => problem.line === place.line)) continue;
    const reason = mistake.message.charAt(0).toLowerCase() + mistake.message.slice(1);
    problems.push({
      file,
      ...place,
      reason,
      suggestion: "look at the indentation, colons, quotes and brackets here and on the line before",
    });
  }
  for (const { key, first } of repeatedKeys(document)) {
    const earlier = at(first);
    problems.push({
      file,
      ...at(key.offset),
      reason: `${key.name} is here twice, first at ${file}:${earlier.line}:${earlier.column}`,
      suggestion: "keep one of the two",
    });
  }
  try {
    if (!broken) data = document.toJS() ?? {};
  } catch (thrown) {
    // Aliases that lead nowhere, or multiply beyond all measure.
    broken = true;
    problems.push({ file, line: 1, column: 1, reason: messageOf(thrown) });
  }
  return {
    file,
    data,
    problems,
    broken,
    position,
    problem: (path, part, reason, suggestion) => problemAt(position(path, part), reason, suggestion),
    problemWithin: (path, character, reason, suggestion) => problemAt(positionWithin(path, character), reason, suggestion),
  };
}

interface KeyPlace {
  readonly name: string;
  readonly offset: number;
}

function repeatedKeys(document: Document.Parsed): { readonly key: KeyPlace; readonly first: number }[] {
  const repeated: { key: KeyPlace; first: number }[] = [];
  visit(document, {
    Map(_, map) {
      const seen = new Map<string, number>();
      for (const pair of map.items) {
        const key = keyPlace(pair);
        if (key === undefined) continue;
        const first = seen.get(key.name);
        if (first === undefined) seen.set(key.name, key.offset);
        else repeated.push({ key, first });
      }
    },
  });
  return repeated;
}

function keyPlace(pair: Pair): KeyPlace | undefined {
  const offset = startOf(pair.key);
  return isScalar(pair.key) && offset !== undefined ? { name: String(pair.key.value), offset } : undefined;
}

/** The last step that leads somewhere decides. */
function offsetOf(document: Document.Parsed, path: Path, part: "key" | "value"): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [index, step] of path.entries()) {
    const container = isAlias(node) ? node.resolve(document) : node;
    const pair = isMap(container) ? pairOf(container, step) : undefined;
    if (pair !== undefined) {
      const last = index === path.length - 1;
      const key = startOf(pair.key) ?? offset;
      offset = last && part === "key" ? key : (startOf(pair.value) ?? key);
      node = pair.value;
    } else if (isSeq(container) && typeof step === "number" && container.items[step] !== undefined) {
      node = container.items[step];
      offset = startOf(node) ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}

function pairOf(map: YAMLMap, step: string | number): Pair | undefined {
  // Of a repeated key, the last is the one whose value the data have.
  return map.items.findLast((pair) => keyPlace(pair)?.name === String(step));
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}
