import type { PermitKind, Permits } from "../contract/request.ts";

/** What stands before the colon; a permit without a colon is about functions. */
const PREFIXES: readonly PermitKind[] = ["vars", "files", "queue", "memory", "events"];

/** Decisions remembered per kind; longer names are decided anew each time. */
const MAX_REMEMBERED = 1024;
const MAX_REMEMBERED_NAME = 256;

/** Steps of a pattern beside characters, which stand for themselves. */
const ANY = -1;
const ANY_BUT_SLASH = -2;

const SLASH = 0x2f;

/** What is wrong with a permit, undefined when nothing is: one that can cover nothing would be found out too late. */
export function permitMistake(permit: string): string | undefined {
  const colon = permit.indexOf(":");
  if (colon < 0) {
    const names = permit === "*" || /^[A-Za-z0-9_*]+\.[A-Za-z0-9_*]+$/.test(permit);
    return names ? undefined : `${permit} names no function; write lamp.on, lamp.*, or * for everything`;
  }
  const prefix = permit.slice(0, colon);
  const name = permit.slice(colon + 1);
  if (!PREFIXES.some((kind) => kind === prefix)) {
    return `${permit}: there are no permits for ${prefix}; they start with ${PREFIXES.join(":, ")}:, or name a function as lamp.on does`;
  }
  if (name === "") return `${permit} covers nothing; write ${permit}${prefix === "files" ? "**" : "*"} for all of them`;
  if (prefix === "files" && !isPlainPath(name)) {
    return `${permit}: a path is written from files.root on, without . and .. and not starting with /, for example files:logs/**`;
  }
  return undefined;
}

/**
 * What an `allow` list covers. `*` alone is everything; `lamp.*` is about functions; `vars:`, `files:`, `queue:`, `memory:` and `events:` say what else
 * a permit is about. `*` stands for any characters, none as well; in a path for any but `/`, where `**` stands for any, and `logs/**` covers `logs`
 * itself (`**` the root). Every other character stands for itself, case included.
 */
export function compilePermits(allow: readonly string[]): Permits {
  const everything = allow.includes("*");
  const kinds = new Map(
    (["function", ...PREFIXES] as const).map((kind) => [kind, compileKind(kind === "files", patternsOf(kind, allow))] as const),
  );
  return { allow, allows: (kind, name) => everything || (kinds.get(kind)?.(name) ?? false) };
}

function patternsOf(kind: PermitKind, allow: readonly string[]): readonly string[] {
  if (kind === "function") return allow.filter((permit) => !permit.includes(":"));
  return allow.filter((permit) => permit.startsWith(`${kind}:`)).map((permit) => permit.slice(kind.length + 1));
}

function compileKind(paths: boolean, patterns: readonly string[]): (name: string) => boolean {
  const exact = new Set(patterns.filter((pattern) => !pattern.includes("*")));
  if (paths) for (const folder of patterns.flatMap(foldersCovered)) exact.add(folder);
  const globs = patterns.filter((pattern) => pattern.includes("*")).map((pattern) => stepsOf(pattern, paths));
  if (globs.length === 0) return (name) => exact.has(name);
  const remembered = new Map<string, boolean>();

  function decide(name: string): boolean {
    if (exact.has(name)) return true;
    if (paths && !isPlainPath(name)) return false;
    return globs.some((steps) => matches(steps, name));
  }

  return (name) => {
    const known = remembered.get(name);
    if (known !== undefined) return known;
    const allowed = decide(name);
    if (name.length > MAX_REMEMBERED_NAME) return allowed;
    if (remembered.size >= MAX_REMEMBERED) remembered.clear();
    remembered.set(name, allowed);
    return allowed;
  };
}

/** The folder that everything in it is covered of; files.root itself has two names. */
function foldersCovered(pattern: string): readonly string[] {
  if (pattern === "**") return ["", "."];
  return /^[^*]+\/\*\*$/.test(pattern) ? [pattern.slice(0, -"/**".length)] : [];
}

/** Relative, and going nowhere but down: what is written differently could match one thing and name another. */
function isPlainPath(path: string): boolean {
  return !path.includes("\0") && path.split("/").every((segment) => segment !== "" && segment !== "." && segment !== "..");
}

function stepsOf(pattern: string, paths: boolean): readonly number[] {
  const steps: number[] = [];
  for (let i = 0; i < pattern.length; i++) {
    if (pattern[i] !== "*") {
      steps.push(pattern.charCodeAt(i));
      continue;
    }
    const from = i;
    while (pattern[i + 1] === "*") i++;
    steps.push(!paths || i > from ? ANY : ANY_BUT_SLASH);
  }
  return steps;
}

/**
 * Follows all ways through the pattern at once, one character of the name after the other: the time is bounded by the product of both lengths,
 * whatever the pattern and whatever name somebody makes up for it.
 */
function matches(steps: readonly number[], name: string): boolean {
  // at[i]: the first i steps have matched what was read so far.
  let at = reachable(new Uint8Array(steps.length + 1).fill(1, 0, 1), steps);
  for (let i = 0; i < name.length; i++) at = reachable(advance(at, steps, name.charCodeAt(i)), steps);
  return at[steps.length] === 1;
}

function advance(at: Uint8Array, steps: readonly number[], character: number): Uint8Array {
  const next = new Uint8Array(at.length);
  for (const [i, step] of steps.entries()) {
    if (at[i] !== 1) continue;
    if (step === ANY || (step === ANY_BUT_SLASH && character !== SLASH)) next[i] = 1;
    else if (step === character) next[i + 1] = 1;
  }
  return next;
}

/** A star may stand for nothing. */
function reachable(at: Uint8Array, steps: readonly number[]): Uint8Array {
  for (const [i, step] of steps.entries()) if (at[i] === 1 && step < 0) at[i + 1] = 1;
  return at;
}
