import { messageOf, type AgentError, type ErrorCode } from "../agent/contract/errors.ts";
import { isPending } from "../agent/contract/value.ts";
import { valueText } from "./value.ts";
import type { CompiledRule } from "./rule.ts";
import type { Cancel, Clock } from "../agent/contract/clock.ts";
import type { Journal } from "../agent/contract/journal.ts";
import type { Log } from "../agent/contract/log.ts";
import type { ByteString, Caller, Reply, Request, Service } from "../agent/contract/request.ts";
import type { VariableReader, VariableValue } from "../agent/contract/variable.ts";

export interface EngineOptions {
  /** In the order of the configuration: of several rules that hold for one device, the first one calls. */
  readonly rules: readonly CompiledRule[];
  readonly variables: VariableReader;
  /** Answers CLONE; rules are callers like any other. */
  readonly service: Service;
  /** The lease of a call that asks for none, milliseconds. */
  readonly leaseMsOf: (device: string) => number;
  /** Where it says what it decided on, so that each movement leads back to the values behind it. */
  readonly journal: Pick<Journal, "record">;
  readonly clock: Clock;
  readonly log: Log;
}

/** One rule now, as `virgo vars` and the metrics show it. */
export interface RuleState {
  readonly name: string;
  /** All it reads is fresh and its condition is true. */
  readonly holding: boolean;
  /** It is the one that calls its device. */
  readonly calling: boolean;
  /** Why it does not call: what is missing or stale, what the condition lacks, which rule comes first, who refused. */
  readonly blocked: string | undefined;
  /** Calls that were carried out. */
  readonly fired: number;
  /** Calls that were answered with an error. */
  readonly refused: number;
  readonly lastError: string | undefined;
}

export interface Engine {
  state(): readonly RuleState[];
  /** Stops calling; leases in force run out. */
  close(): void;
}

/** A call is repeated this often within its lease, so that one late repetition does not end it. */
const REPEATS_PER_LEASE = 3;
const SHORTEST_PERIOD_MS = 10;

/** A longer list is told by its length where reasons are told. */
const MOST_SHOWN_NUMBERS = 8;

/** A rule at work. */
interface Run {
  readonly rule: CompiledRule;
  readonly caller: { -readonly [key in keyof Caller]: Caller[key] };
  readonly options: readonly ByteString[];
  readonly periodMs: number;
  /** What it would ask now; the same object while the arguments stay the same. */
  request: Request | undefined;
  /** The words of `request`. */
  words: readonly ByteString[];
  fired: number;
  refused: number;
  lastError: AgentError | undefined;
  /** The refusal logged last: one line per kind of refusal, not one per repetition. */
  refusalCode: ErrorCode | undefined;
  /** Why condition or arguments could not be worked out. */
  mistake: string | undefined;
  /** The mistake logged last. */
  loggedMistake: string | undefined;
}

/** The rules of one device. */
interface Lane {
  readonly runs: readonly Run[];
  /** The rule that calls. */
  calling: Run | undefined;
  /** What it asked last. */
  asked: Request | undefined;
  /** The request whose reasons stand in the journal: repeating it needs no new entry. */
  explained: Request | undefined;
  /** A call is not answered yet: the next one waits for the answer. */
  waiting: boolean;
  askAgain: boolean;
  cancelRepeat: Cancel | undefined;
}

/**
 * Runs rules. A rule calls when all it reads is fresh and its condition is true: at once when that begins or its arguments change, and again every third
 * of the lease while it lasts. When it ends nothing is called: the lease runs out and the device makes itself safe. A call that is refused is repeated
 * like any other, so that a rule takes over when an operator lets go.
 */
export function startEngine({ rules, variables, service, leaseMsOf, journal, clock, log }: EngineOptions): Engine {
  const ending = new AbortController();
  const runs = rules.map(createRun);
  const lanes = createLanes();
  const lanesByVariable = new Map<string, Lane[]>();
  for (const lane of lanes) {
    for (const name of new Set(lane.runs.flatMap(({ rule }) => rule.reads))) {
      lanesByVariable.set(name, [...(lanesByVariable.get(name) ?? []), lane]);
    }
  }
  /** Filled anew with every change. */
  const touched = new Set<Lane>();

  function createLanes(): readonly Lane[] {
    const byDevice = new Map<string, Run[]>();
    for (const run of runs) byDevice.set(run.rule.device, [...(byDevice.get(run.rule.device) ?? []), run]);
    return [...byDevice.values()].map((runsOfDevice) => ({
      runs: runsOfDevice,
      calling: undefined,
      asked: undefined,
      explained: undefined,
      waiting: false,
      askAgain: false,
      cancelRepeat: undefined,
    }));
  }

  function createRun(rule: CompiledRule): Run {
    const leaseMs = rule.leaseMs ?? leaseMsOf(rule.device);
    return {
      rule,
      caller: { name: `rule ${rule.name}`, priority: rule.priority, signal: ending.signal },
      options: [...(rule.leaseMs === undefined ? [] : ["LEASE", String(rule.leaseMs)]), "PRIORITY", String(rule.priority)],
      periodMs: Math.max(SHORTEST_PERIOD_MS, Math.floor(leaseMs / REPEATS_PER_LEASE)),
      request: undefined,
      words: [],
      fired: 0,
      refused: 0,
      lastError: undefined,
      refusalCode: undefined,
      mistake: undefined,
      loggedMistake: undefined,
    };
  }

  /** Hands the rule what it reads; the name of what is missing or stale, if anything is. */
  function assign({ rule }: Run): string | undefined {
    for (const name of rule.reads) {
      const variable = variables.get(name);
      if (variable === undefined || variable.stale) return name;
      rule.assign(name, variable.value);
    }
    return undefined;
  }

  /** `battery_v=11.2 (tcp 127.0.0.1:64000, 3 ms old), lights.on=true (lights, 250 ms old)` */
  function reasonsOf({ reads }: CompiledRule): string {
    return reads
      .flatMap((name) => variables.get(name) ?? [])
      .map(({ name, value, source, ageMs }) => `${name}=${shortText(value)} (${source}, ${Math.round(ageMs)} ms old)`)
      .join(", ");
  }

  /** Whether the rule holds now; if so `run.request` is what it asks. */
  function evaluate(run: Run): boolean {
    run.mistake = undefined;
    if (assign(run) !== undefined) return false;
    try {
      if (!run.rule.holds()) return false;
      const words = run.rule.callWords();
      if (run.request === undefined || !sameWords(words, run.words)) {
        run.words = words;
        run.request = { verb: "CLONE", args: [...run.options, `${run.rule.device}.${run.rule.function}`, ...words] };
      }
      return true;
    } catch (error) {
      run.mistake = messageOf(error);
      reportMistake(run, run.mistake);
      return false;
    }
  }

  function reportMistake(run: Run, mistake: string): void {
    if (run.loggedMistake === mistake) return;
    run.loggedMistake = mistake;
    log.warn({ rule: run.rule.name }, `rule ${run.rule.name} cannot be worked out: ${mistake}`);
  }

  /** Looks at all rules of a device and calls if there is something new to say. */
  function review(lane: Lane): void {
    const run = lane.runs.find(evaluate);
    const changed = run !== lane.calling || run?.request !== lane.asked;
    lane.calling = run;
    if (run === undefined) stop(lane);
    else if (changed) ask(lane, run);
  }

  function stop(lane: Lane): void {
    lane.cancelRepeat?.();
    lane.cancelRepeat = undefined;
    lane.asked = undefined;
    lane.explained = undefined;
    lane.askAgain = false;
  }

  /** The time to repeat has come: the call is made again only if the rule still holds. */
  function repeat(lane: Lane): void {
    lane.asked = undefined;
    review(lane);
  }

  function ask(lane: Lane, run: Run): void {
    const { request } = run;
    if (request === undefined) return;
    lane.asked = request;
    if (lane.explained !== request) {
      lane.explained = request;
      run.caller.cause = journal.record("rule", run.rule.name, run.caller.name, reasonsOf(run.rule));
    }
    lane.cancelRepeat?.();
    lane.cancelRepeat = clock.after(run.periodMs, () => {
      repeat(lane);
    });
    if (lane.waiting) {
      lane.askAgain = true;
      return;
    }
    const reply = service.handle(request, run.caller);
    if (!isPending(reply)) {
      settle(run, reply);
      return;
    }
    lane.waiting = true;
    void reply.then((late) => {
      settle(run, late);
      lane.waiting = false;
      if (!lane.askAgain || ending.signal.aborted) return;
      lane.askAgain = false;
      repeat(lane);
    });
  }

  function settle(run: Run, reply: Reply): void {
    if (reply.kind !== "error") {
      run.fired += 1;
      run.refusalCode = undefined;
      return;
    }
    const { code, message } = reply.error;
    run.refused += 1;
    run.lastError = reply.error;
    if (run.refusalCode === code) return;
    run.refusalCode = code;
    const fields = { rule: run.rule.name, code };
    // Somebody more important holds the device: nothing is wrong.
    if (code === "IN_USE") log.info(fields, `rule ${run.rule.name} waits: ${message}`);
    else log.warn(fields, `rule ${run.rule.name} was refused: ${code} ${message}`);
  }

  function onChange(names: ReadonlySet<string>): void {
    if (names.size < lanesByVariable.size) {
      for (const name of names) touch(lanesByVariable.get(name));
    } else {
      for (const [name, lanesOfName] of lanesByVariable) if (names.has(name)) touch(lanesOfName);
    }
    for (const lane of touched) review(lane);
    touched.clear();
  }

  function touch(lanesOfName: readonly Lane[] | undefined): void {
    if (lanesOfName !== undefined) for (const lane of lanesOfName) touched.add(lane);
  }

  function stateOf(run: Run): RuleState {
    const holding = evaluate(run);
    const first = lanes.find((lane) => lane.runs.includes(run))?.calling;
    const calling = holding && first === run;
    return {
      name: run.rule.name,
      holding,
      calling,
      blocked: holding ? blockedWhileHolding(run, first) : blockedBefore(run),
      fired: run.fired,
      refused: run.refused,
      lastError: run.lastError === undefined ? undefined : `${run.lastError.code} ${run.lastError.message}`,
    };
  }

  function blockedBefore(run: Run): string {
    const missing = assign(run);
    if (missing === undefined) return run.mistake ?? "the condition is false";
    const variable = variables.get(missing);
    return variable === undefined ? `${missing} has not been set` : `${missing} is stale: set ${Math.round(variable.ageMs)} ms ago`;
  }

  function blockedWhileHolding(run: Run, first: Run | undefined): string | undefined {
    if (first !== run) return first === undefined ? undefined : `rule ${first.rule.name} comes first`;
    return run.refusalCode === undefined || run.lastError === undefined ? undefined : `${run.refusalCode} ${run.lastError.message}`;
  }

  const unsubscribe = variables.onChange(onChange);
  for (const lane of lanes) review(lane);

  return {
    state: () => runs.map(stateOf),
    close() {
      unsubscribe();
      for (const lane of lanes) stop(lane);
      ending.abort();
    },
  };
}

function shortText(value: VariableValue): string {
  return typeof value === "object" && value.length > MOST_SHOWN_NUMBERS ? `${value.length} numbers` : valueText(value);
}

function sameWords(a: readonly ByteString[], b: readonly ByteString[]): boolean {
  if (a === b) return true;
  return a.length === b.length && a.every((word, i) => word === b[i]);
}
