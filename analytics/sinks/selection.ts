import type { Cancel, Clock } from "../../agent/contract/clock.ts";
import type { Variable, VariableReader, VariableValue } from "../../agent/contract/variable.ts";

/** How often the variables are sent whose names fit one of its patterns. */
export interface SelectionRule {
  /** Names with `*` and `?`; with `!` in front those that do not belong to it all the same. */
  readonly variables: readonly string[];
  /** At most so often; every update when absent. */
  readonly rateHz?: number | undefined;
  /** Numbers, also those of lists, that differ by no more from what was sent last are not sent; every update is when absent. */
  readonly deadband?: number | undefined;
  /** An update within the deadband is sent all the same when the last sending is so long ago, milliseconds. */
  readonly repeatMs?: number | undefined;
  /** Values wait so long for others to be sent with, milliseconds; 0: those of one turn are sent together. */
  readonly batchMs?: number | undefined;
}

export interface SelectionOptions {
  readonly variables: VariableReader;
  /** The first that fits a name decides; names that fit none are not sent. */
  readonly rules: readonly SelectionRule[];
  readonly clock: Clock;
  /** Takes what is due, each variable once with its latest value. */
  readonly emit: (batch: readonly Variable[]) => void;
}

export interface Selection {
  /** Every variable that is selected and may be relied on, whatever its pace: for who has just connected. */
  snapshot(): readonly Variable[];
  /** The current value of a selected variable, undefined when it is stale. */
  latest(name: string): Variable | undefined;
  /** Emits what waits, however long it was to wait. */
  flush(): void;
  /** Emits nothing any more. */
  close(): void;
}

/** One variable that is selected. */
interface Entry {
  readonly name: string;
  readonly rule: SelectionRule;
  readonly periodMs: number;
  waiting: boolean;
  /** When it may be sent. */
  dueMs: number;
  /** When it was to be sent last. */
  sentMs: number;
  sent: VariableValue | undefined;
}

const MS_PER_S = 1000;

/** Timers are no finer: what is due within it of one that fired goes with it. */
const TICK_MS = 1;

/**
 * Chooses from what is set what is sent, and when: by name, rate, deadband and batch. Of a variable that is set several times before it is due only the latest value is
 * sent, and none that has gone stale meanwhile. What is sent was always set since it was sent last: nothing is repeated by itself.
 */
export function createSelection({ variables, rules, clock, emit }: SelectionOptions): Selection {
  const compiled = rules.map((rule) => ({ rule, fits: createMatcher(rule.variables) }));
  /** What was decided about a name is kept: names are bounded by the store. */
  const entries = new Map<string, Entry | undefined>();
  let waiting: Entry[] = [];
  let cancel: Cancel | undefined;
  let timerMs = Infinity;

  function entryOf(name: string): Entry | undefined {
    const known = entries.get(name);
    if (known !== undefined || entries.has(name)) return known;
    const rule = compiled.find(({ fits }) => fits(name))?.rule;
    const made = rule && createEntry(name, rule);
    entries.set(name, made);
    return made;
  }

  function onChange(names: ReadonlySet<string>): void {
    const nowMs = clock.monotonicMs();
    let earliestMs = timerMs;
    for (const name of names) {
      const entry = entryOf(name);
      if (entry === undefined || entry.waiting) continue;
      entry.waiting = true;
      entry.dueMs = Math.max(nowMs + (entry.rule.batchMs ?? 0), entry.sentMs + entry.periodMs);
      waiting.push(entry);
      earliestMs = Math.min(earliestMs, entry.dueMs);
    }
    if (earliestMs <= nowMs) send(nowMs, nowMs);
    else arm(earliestMs, nowMs);
  }

  function arm(atMs: number, nowMs: number): void {
    if (atMs >= timerMs) return;
    cancel?.();
    timerMs = atMs;
    cancel = clock.after(Math.max(TICK_MS, atMs - nowMs), () => {
      timerMs = Infinity;
      const atTimerMs = clock.monotonicMs();
      send(atTimerMs, atTimerMs + TICK_MS);
    });
  }

  /** Emits what is due by `untilMs` and waits for the rest. */
  function send(nowMs: number, untilMs: number): void {
    const batch: Variable[] = [];
    const later: Entry[] = [];
    let earliestMs = Infinity;
    for (const entry of waiting) {
      if (entry.dueMs > untilMs) {
        later.push(entry);
        earliestMs = Math.min(earliestMs, entry.dueMs);
        continue;
      }
      const variable = take(entry, nowMs);
      if (variable !== undefined) batch.push(variable);
    }
    waiting = later;
    if (earliestMs < Infinity) arm(earliestMs, nowMs);
    if (batch.length > 0) emit(batch);
  }

  /** The value to be sent; undefined when it is stale, or too much like the one that was sent. */
  function take(entry: Entry, nowMs: number): Variable | undefined {
    entry.waiting = false;
    const variable = variables.get(entry.name);
    if (variable === undefined || variable.stale) return undefined;
    const { deadband, repeatMs = Infinity } = entry.rule;
    const like = deadband !== undefined && entry.sent !== undefined && isWithin(variable.value, entry.sent, deadband);
    if (like && nowMs - entry.sentMs < repeatMs) return undefined;
    // On the grid of what was due: a timer that is a little late does not lower the rate.
    entry.sentMs = nowMs - entry.dueMs < entry.periodMs ? entry.dueMs : nowMs;
    entry.sent = variable.value;
    return variable;
  }

  function latest(name: string): Variable | undefined {
    const variable = entryOf(name) === undefined ? undefined : variables.get(name);
    return variable === undefined || variable.stale ? undefined : variable;
  }

  const unsubscribe = variables.onChange(onChange);
  return {
    latest,
    snapshot: () => variables.names().flatMap((name) => latest(name) ?? []),
    flush() {
      cancel?.();
      timerMs = Infinity;
      send(clock.monotonicMs(), Infinity);
    },
    close() {
      cancel?.();
      unsubscribe();
      waiting = [];
    },
  };
}

function createEntry(name: string, rule: SelectionRule): Entry {
  const periodMs = rule.rateHz === undefined ? 0 : MS_PER_S / rule.rateHz;
  return { name, rule, periodMs, waiting: false, dueMs: 0, sentMs: -Infinity, sent: undefined };
}

function isWithin(value: VariableValue, sent: VariableValue, deadband: number): boolean {
  if (typeof value === "number" && typeof sent === "number") return Math.abs(value - sent) <= deadband;
  if (typeof value !== "object" || typeof sent !== "object") return value === sent;
  return value.length === sent.length && value.every((number, i) => Math.abs(number - (sent[i] as number)) <= deadband);
}

/** Whether a name fits one of the patterns and none of those with `!`; all names but those where there are only such. */
export function createMatcher(patterns: readonly string[]): (name: string) => boolean {
  const excluded = patterns.filter((pattern) => pattern.startsWith("!")).map((pattern) => pattern.slice(1));
  const included = patterns.filter((pattern) => !pattern.startsWith("!"));
  return (name) =>
    (included.length === 0 || included.some((pattern) => fits(pattern, name))) && !excluded.some((pattern) => fits(pattern, name));
}

/** `*` stands for any characters, `?` for one. Goes back to the last `*` only, so that no pattern takes long. */
function fits(pattern: string, name: string): boolean {
  let [at, from] = [0, 0];
  let starAt = -1;
  let starFrom = 0;
  while (from < name.length) {
    if (pattern[at] === "*") {
      starAt = at++;
      starFrom = from;
    } else if (pattern[at] === "?" || pattern[at] === name[from]) {
      at++;
      from++;
    } else if (starAt >= 0) {
      at = starAt + 1;
      from = ++starFrom;
    } else return false;
  }
  while (pattern[at] === "*") at++;
  return at === pattern.length;
}
