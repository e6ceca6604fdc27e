import { AgentError } from "../agent/contract/errors.ts";
import {
  VARIABLE_NAME,
  type MirroredVariables,
  type Variable,
  type VariablePair,
  type VariableStore as ContractStore,
  type VariableValue,
} from "../agent/contract/variable.ts";
import { createChanges } from "./changes.ts";
import { createKeyTable } from "./key-table.ts";
import { createPositions } from "./positions.ts";
import { readValue, textAt } from "./value.ts";
import type { Clock } from "../agent/contract/clock.ts";
import type { Limits } from "../agent/contract/limits.ts";
import type { PairCounts, PairSink } from "./pairs.ts";

/** What the configuration promises about a variable. */
export interface Declaration {
  readonly unit?: string | undefined;
  /** Older than this, nothing may be decided on it, milliseconds. */
  readonly staleMs: number;
  /** With `min` or `max` the variable is a number within them, bounds included; anything else is refused. */
  readonly min?: number | undefined;
  readonly max?: number | undefined;
}

export interface VariableStoreOptions {
  readonly clock: Clock;
  readonly limits: Pick<Limits, "maxVariables" | "maxVariableBytes">;
  /** Declared names always have a slot, however many others come. */
  readonly declared: Readonly<Record<string, Declaration>>;
  /** For names that are not declared, milliseconds. */
  readonly defaultStaleMs: number;
}

/** A source's way in. */
export interface Intake extends PairSink {
  /** Why the latest pair that was refused was refused; names the variable and the value. */
  lastRefusal(): string | undefined;
}

/** Latest values by name, stamped on arrival. Whatever its rate, a stream costs no more than its latest values. */
export interface VariableStore extends ContractStore, MirroredVariables {
  /** For a stream or file called `source`. Counts `pairs` and `refused` in `counts`. */
  intake(source: string, counts: PairCounts): Intake;
  /** How old a value of that name may be before it is stale, milliseconds. */
  staleMsOf(name: string): number;
}

const BYTES_PER_NUMBER = 8;

/** Of one UTF-16 unit. */
const MAX_UTF8_BYTES = 3;

const SHOWN_CHARACTERS = 40;

/**
 * Bounded by `limits.maxVariables`; a name keeps its slot. Numbers are finite: NaN and infinity are refused, so that a sensor that lost its reading
 * lets its variable go stale instead of feeding rules. Ages run on the monotonic clock. Throws ARGUMENT for a declared name that is none.
 */
export function createVariableStore({ clock, limits, declared, defaultStaleMs }: VariableStoreOptions): VariableStore {
  const { maxVariables, maxVariableBytes } = limits;
  const capacity = Math.max(maxVariables, Object.keys(declared).length);
  /** Stands for the slot of a name that has none yet, with nothing declared. */
  const NO_SLOT = capacity;
  const columns = capacity + 1;
  const keys = createKeyTable(capacity);
  const slotByName = new Map<string, number>();
  const names: string[] = [];
  const numbers = new Float64Array(capacity);
  /** Undefined where the value is a number: those cost no object. */
  const others: (VariableValue | undefined)[] = [];
  const sources: string[] = [];
  const arrivedMs = new Float64Array(capacity);
  const updates = new Float64Array(capacity);
  const staleMs = new Float64Array(capacity).fill(defaultStaleMs);
  const units: (string | undefined)[] = [];
  const lowest = new Float64Array(columns).fill(-Number.MAX_VALUE);
  const highest = new Float64Array(columns).fill(Number.MAX_VALUE);
  /** Declared with a range: takes numbers only. */
  const ranged = new Uint8Array(columns);
  const isDeclared = new Uint8Array(columns);
  /** Published by devices, and by nobody else. */
  const owned = new Uint8Array(columns);
  const positions = createPositions();
  const changes = createChanges(capacity, names, (name) => slotByName.get(name));

  for (const [name, declaration] of Object.entries(declared)) declare(name, declaration);

  function declare(name: string, { unit, staleMs: limitMs, min, max }: Declaration): void {
    const slot = addSlot(name);
    units[slot] = unit;
    staleMs[slot] = limitMs;
    isDeclared[slot] = 1;
    if (min !== undefined) lowest[slot] = min;
    if (max !== undefined) highest[slot] = max;
    ranged[slot] = min !== undefined || max !== undefined ? 1 : 0;
  }

  /** Makes the slot of a name that has none. */
  function addSlot(name: string): number {
    checkName(name);
    if (names.length === capacity) throw full(name);
    const slot = names.length;
    names.push(name);
    others.push(undefined);
    sources.push("");
    units.push(undefined);
    slotByName.set(name, slot);
    keys.add(Buffer.from(name, "utf8"));
    return slot;
  }

  function full(name: string): AgentError {
    return new AgentError("FULL", `no slot is free for ${name}: ${capacity} variables are kept; raise limits.maxVariables`);
  }

  /** Whether `value` may be stored in `slot`. Cheap also when not: a sensor may send NaN at its full rate. */
  function fits(slot: number, value: VariableValue): boolean {
    if (typeof value === "number") return value >= (lowest[slot] as number) && value <= (highest[slot] as number);
    if (ranged[slot] === 1) return false;
    if (typeof value === "string") return value.length * MAX_UTF8_BYTES <= maxVariableBytes || Buffer.byteLength(value) <= maxVariableBytes;
    if (typeof value === "boolean") return true;
    return value.length * BYTES_PER_NUMBER <= maxVariableBytes && value.every(Number.isFinite);
  }

  /** Why a stream or client may not store `value` in `slot`. */
  function objection(name: string, slot: number, value: VariableValue): AgentError {
    if (owned[slot] === 0) return misfit(name, slot, value);
    return new AgentError("DENIED", `${name} is published by ${sources[slot] ?? ""}; nothing else can set it`);
  }

  /** Why `value` does not fit. */
  function misfit(name: string, slot: number, value: VariableValue): AgentError {
    if (typeof value === "number") {
      return new AgentError("ARGUMENT", `${name} is ${value}; ${rangeText(lowest[slot] as number, highest[slot] as number)} is expected`);
    }
    if (ranged[slot] === 1) {
      return new AgentError("ARGUMENT", `${name} is ${shown(value)}; it is declared with a range, so a number is expected`);
    }
    const byteLength =
      typeof value === "string" ? Buffer.byteLength(value) : typeof value === "object" ? value.length * BYTES_PER_NUMBER : 1;
    if (byteLength > maxVariableBytes) {
      return new AgentError("LIMIT", `${name} has ${byteLength} bytes; limits.maxVariableBytes allows ${maxVariableBytes}`);
    }
    const list = typeof value === "object" ? value : [];
    const at = list.findIndex((number) => !Number.isFinite(number));
    return new AgentError(
      "ARGUMENT",
      `${name} has ${list.length} numbers and number ${at + 1} is ${String(list[at])}; finite numbers are expected`,
    );
  }

  function stamp(slot: number, source: string, nowMs: number): void {
    sources[slot] = source;
    arrivedMs[slot] = nowMs;
    updates[slot] = (updates[slot] as number) + 1;
    changes.mark(slot);
  }

  function putNumber(slot: number, value: number, source: string, nowMs: number): void {
    numbers[slot] = value;
    others[slot] = undefined;
    stamp(slot, source, nowMs);
  }

  function putOther(slot: number, value: VariableValue, source: string, nowMs: number): void {
    others[slot] = value;
    stamp(slot, source, nowMs);
  }

  function describe(slot: number): Variable {
    const ageMs = clock.monotonicMs() - (arrivedMs[slot] as number);
    return {
      name: names[slot] as string,
      value: others[slot] ?? (numbers[slot] as number),
      unit: units[slot],
      ageMs,
      stale: ageMs > (staleMs[slot] as number),
      source: sources[slot] as string,
      updates: updates[slot] as number,
    };
  }

  function checkPairs(pairs: readonly VariablePair[]): readonly VariableValue[] {
    const fresh = new Set<string>();
    return pairs.map(({ name, text }) => {
      const slot = slotByName.get(name) ?? NO_SLOT;
      if (slot === NO_SLOT) fresh.add(checkName(name));
      const bytes = Buffer.from(text, "utf8");
      const value = readValue(bytes, 0, bytes.length);
      if (owned[slot] === 1 || !fits(slot, value)) throw objection(name, slot, value);
      if (names.length + fresh.size > capacity) throw full(name);
      return value;
    });
  }

  function intake(source: string, counts: PairCounts): Intake {
    let nowMs = 0;
    let refusal: string | undefined;
    /** One refusal of a chunk is worded; the others are only counted. */
    let worded = false;

    /** The slot of a name, made if need be; -1 when there can be none. */
    function slotAt(bytes: Buffer, nameStart: number, nameEnd: number): number {
      const slot = keys.find(bytes, nameStart, nameEnd);
      if (slot >= 0 || names.length === capacity) return slot;
      const name = textAt(bytes, nameStart, nameEnd);
      return VARIABLE_NAME.test(name) ? addSlot(name) : -1;
    }

    function refuse(bytes: Buffer, nameStart: number, nameEnd: number, slot: number, value: VariableValue): void {
      counts.refused += 1;
      if (worded) return;
      worded = true;
      const name = textAt(bytes, nameStart, nameEnd);
      if (slot >= 0) refusal = objection(name, slot, value).message;
      else refusal = VARIABLE_NAME.test(name) ? full(name).message : badName(name).message;
    }

    return {
      begin() {
        nowMs = clock.monotonicMs();
        worded = false;
      },
      takeNumber(bytes, nameStart, nameEnd, value) {
        const slot = slotAt(bytes, nameStart, nameEnd);
        if (slot < 0 || owned[slot] === 1 || !fits(slot, value)) {
          refuse(bytes, nameStart, nameEnd, slot, value);
          return;
        }
        counts.pairs += 1;
        putNumber(slot, value, source, nowMs);
        positions.takeNumber(slot, value);
      },
      takeValue(bytes, nameStart, nameEnd, value) {
        const slot = slotAt(bytes, nameStart, nameEnd);
        if (slot < 0 || owned[slot] === 1 || !fits(slot, value)) {
          refuse(bytes, nameStart, nameEnd, slot, value);
          return;
        }
        counts.pairs += 1;
        putOther(slot, value, source, nowMs);
        positions.takeValue(slot, value);
      },
      lastRefusal: () => refusal,
    };
  }

  function put(
    name: string,
    known: number | undefined,
    value: VariableValue,
    source: string,
    atMs: number,
    freshMs: number | undefined,
  ): void {
    if (!fits(known ?? NO_SLOT, value)) throw misfit(name, known ?? NO_SLOT, value);
    const slot = known ?? addSlot(name);
    if (isDeclared[slot] === 0) staleMs[slot] = freshMs ?? defaultStaleMs;
    if (freshMs !== undefined) owned[slot] = 1;
    if (typeof value === "number") putNumber(slot, value, source, atMs);
    else putOther(slot, typeof value === "object" ? value.slice() : value, source, atMs);
  }

  return {
    get(name) {
      const slot = slotByName.get(name);
      return slot === undefined || updates[slot] === 0 ? undefined : describe(slot);
    },
    names: () => names.filter((_, slot) => updates[slot] !== 0),
    onChange: (listener) => changes.onChange(listener),
    set(name, value, source, freshMs) {
      put(name, slotByName.get(name), value, source, clock.monotonicMs(), freshMs);
    },
    setAt(name, value, source, atMs, freshMs) {
      if (Number.isNaN(atMs)) throw new AgentError("ARGUMENT", `${name} arrived at a time that is no number`);
      const known = slotByName.get(name);
      if (known !== undefined && updates[known] !== 0) {
        if (atMs < (arrivedMs[known] as number)) return;
        if (owned[known] === 1 && freshMs === undefined) throw objection(name, known, value);
      }
      put(name, known, value, source, Math.min(atMs, clock.monotonicMs()), freshMs);
    },
    setPairs(pairs, source) {
      const values = checkPairs(pairs);
      const nowMs = clock.monotonicMs();
      pairs.forEach(({ name }, i) => {
        const slot = slotByName.get(name) ?? addSlot(name);
        const value = values[i] as VariableValue;
        if (typeof value === "number") putNumber(slot, value, source, nowMs);
        else putOther(slot, value, source, nowMs);
        positions.takeValue(slot, value);
      });
    },
    freshMsOf(name) {
      const slot = slotByName.get(name) ?? NO_SLOT;
      return owned[slot] === 1 ? staleMs[slot] : undefined;
    },
    staleMsOf: (name) => staleMs[slotByName.get(name) ?? NO_SLOT] ?? defaultStaleMs,
    slots: () => positions.pairs((slot) => names[slot] as string),
    intake,
  };
}

function badName(name: string): AgentError {
  const reason = "a variable is named by 1 to 128 characters without blanks, = , and quotes";
  return new AgentError("ARGUMENT", `${shown(name)} is no name: ${reason}`);
}

function checkName(name: string): string {
  if (!VARIABLE_NAME.test(name)) throw badName(name);
  return name;
}

function rangeText(min: number, max: number): string {
  if (min === -Number.MAX_VALUE && max === Number.MAX_VALUE) return "a finite number";
  if (max === Number.MAX_VALUE) return `${min} or more`;
  return min === -Number.MAX_VALUE ? `${max} or less` : `${min} to ${max}`;
}

/** A value for an error's text: one line, cut where it gets long. */
function shown(value: VariableValue): string {
  const text = typeof value === "object" ? `[${value.slice(0, SHOWN_CHARACTERS).map(String).join(" ")}]` : String(value);
  return JSON.stringify(text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text);
}
