import { AgentError, toAgentError } from "../contract/errors.ts";
import { didYouMean } from "../contract/nearest.ts";
import {
  errorReply,
  OK,
  refusal,
  textOf,
  valueReply,
  type ByteString,
  type Caller,
  type Reply,
  type Request,
  type Service,
  type VerbDoc,
} from "../contract/request.ts";
import { variableToValue, type VariableStore } from "../contract/variable.ts";
import type { Cancel } from "../contract/clock.ts";

/** Patterns one caller may watch at once. */
const MAX_PATTERNS = 64;

const VERBS: readonly VerbDoc[] = [
  { verb: "VAR.SET", usage: "name value [name value …]", summary: "set variables as a stream would: all or none" },
  { verb: "VAR.GET", usage: "name", summary: "the latest value, however old; VAR.LIST name shows its age" },
  {
    verb: "VAR.LIST",
    usage: "[pattern]",
    summary: "variables with value, unit, age, staleness, source and number of updates; * and ? match",
  },
  {
    verb: "VAR.WATCH",
    usage: "[pattern]",
    summary: "push var, name, value, unit at every change of what matches; without a pattern: stop",
  },
  { verb: "VAR.UNWATCH", usage: "[pattern]", summary: "stop pushing what this pattern, or any, matches" },
  { verb: "VAR.SLOTS", usage: "", summary: "name and value of the latest 500 pairs by position, as the original's drivers see them" },
];

export interface VariablesServiceOptions {
  readonly variables: VariableStore;
}

interface Watcher {
  readonly patterns: Set<string>;
  /** Ends watching; listens to the caller's signal. */
  readonly onGone: () => void;
}

/** The VAR verbs: reads and sets variables, and pushes their changes, the latest value once per turn, to who watches. */
export function createVariablesService({ variables }: VariablesServiceOptions): Service {
  const watchers = new Map<Caller, Watcher>();
  let unsubscribe: Cancel | undefined;

  function set(args: readonly ByteString[], caller: Caller): Reply {
    if (args.length === 0 || args.length % 2 !== 0) {
      throw new AgentError("ARGUMENT", `VAR.SET takes pairs of name and value, got ${args.length} words`);
    }
    const texts = args.map(textOf);
    const pairs = Array.from({ length: texts.length / 2 }, (_, i) => ({ name: texts[2 * i] ?? "", text: texts[2 * i + 1] ?? "" }));
    for (const { name } of pairs) mustMay(caller, name);
    variables.setPairs(pairs, caller.name);
    return OK;
  }

  function get(args: readonly ByteString[], caller: Caller): Reply {
    const name = textOf(only(args, "VAR.GET", "name"));
    mustMay(caller, name);
    const variable = variables.get(name);
    if (variable !== undefined) return valueReply(variable.value);
    throw new AgentError("UNKNOWN", `no variable ${name}${didYouMean(name, namesFor(caller))}; VAR.LIST lists them`);
  }

  function list(args: readonly ByteString[], caller: Caller): Reply {
    const pattern = args.length === 0 ? "*" : textOf(only(args, "VAR.LIST", "pattern"));
    const listed = namesFor(caller)
      .filter((name) => matches(pattern, name))
      .sort()
      .map((name) => variables.get(name))
      .filter((variable) => variable !== undefined);
    return valueReply(listed.map(variableToValue));
  }

  /** Positions keep their meaning: what the caller may not see is an empty pair. */
  function slots({ permits }: Caller): Reply {
    const shown = variables.slots().map(({ name, text }) => (permits?.allows("vars", name) === false ? ["", ""] : [name, text]));
    return valueReply(shown);
  }

  function namesFor({ permits }: Caller): readonly string[] {
    return permits === undefined ? variables.names() : variables.names().filter((name) => permits.allows("vars", name));
  }

  function watch(args: readonly ByteString[], caller: Caller): Reply {
    if (args.length === 0) return unwatch(args, caller);
    const pattern = textOf(only(args, "VAR.WATCH", "pattern"));
    if (caller.push === undefined) throw new AgentError("ARGUMENT", "this connection cannot be pushed to; ask with VAR.LIST");
    const { patterns } = watchers.get(caller) ?? begin(caller);
    if (patterns.size === MAX_PATTERNS && !patterns.has(pattern)) {
      throw new AgentError("FULL", `${caller.name} watches ${MAX_PATTERNS} patterns already; VAR.UNWATCH ends some`);
    }
    patterns.add(pattern);
    return OK;
  }

  function begin(caller: Caller): Watcher {
    if (caller.signal.aborted) throw new AgentError("NOT_READY", `${caller.name} is gone`);
    const watcher = {
      patterns: new Set<string>(),
      onGone: () => {
        end(caller);
      },
    };
    watchers.set(caller, watcher);
    caller.signal.addEventListener("abort", watcher.onGone);
    unsubscribe ??= variables.onChange(tell);
    return watcher;
  }

  function end(caller: Caller): void {
    const watcher = watchers.get(caller);
    if (watcher === undefined) return;
    caller.signal.removeEventListener("abort", watcher.onGone);
    watchers.delete(caller);
    if (watchers.size > 0) return;
    unsubscribe?.();
    unsubscribe = undefined;
  }

  function unwatch(args: readonly ByteString[], caller: Caller): Reply {
    const patterns = watchers.get(caller)?.patterns;
    if (args.length > 0) patterns?.delete(textOf(only(args, "VAR.UNWATCH", "pattern")));
    if (args.length === 0 || patterns?.size === 0) end(caller);
    return OK;
  }

  function tell(names: ReadonlySet<string>): void {
    for (const name of names) {
      const variable = variables.get(name);
      if (variable === undefined) continue;
      const message = ["var", name, variable.value, variable.unit ?? null];
      for (const [caller, { patterns }] of watchers) {
        if (caller.permits?.allows("vars", name) === false) continue;
        for (const pattern of patterns) {
          if (!matches(pattern, name)) continue;
          caller.push?.(message);
          break;
        }
      }
    }
  }

  function dispatch({ verb, args }: Request, caller: Caller): Reply {
    switch (verb) {
      case "VAR.SET":
        return set(args, caller);
      case "VAR.GET":
        return get(args, caller);
      case "VAR.LIST":
        return list(args, caller);
      case "VAR.WATCH":
        return watch(args, caller);
      case "VAR.UNWATCH":
        return unwatch(args, caller);
      case "VAR.SLOTS":
        return slots(caller);
      default:
        throw new AgentError("UNKNOWN", `variables have no verb ${verb}`);
    }
  }

  return {
    verbs: VERBS,
    handle(request, caller) {
      try {
        return dispatch(request, caller);
      } catch (error) {
        return errorReply(toAgentError(error));
      }
    },
  };
}

function mustMay(caller: Caller, name: string): void {
  const denied = refusal(caller, "vars", name);
  if (denied !== undefined) throw denied;
}

function only(args: readonly ByteString[], verb: string, what: string): ByteString {
  const [word] = args;
  if (word === undefined || args.length > 1) throw new AgentError("ARGUMENT", `${verb} takes one ${what}, got ${args.length} words`);
  return word;
}

/** Whether `*` (any characters) and `?` (one) in `pattern` make it `name`. In linear space and without backtracking beyond the latest `*`. */
function matches(pattern: string, name: string): boolean {
  let p = 0;
  let n = 0;
  let star = -1;
  let resumeAt = 0;
  while (n < name.length) {
    if (pattern[p] === "*") {
      star = p++;
      resumeAt = n;
    } else if (pattern[p] === "?" || pattern[p] === name[n]) {
      p++;
      n++;
    } else if (star >= 0) {
      p = star + 1;
      n = ++resumeAt;
    } else return false;
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}
