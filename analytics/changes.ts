import type { Cancel } from "../agent/contract/clock.ts";

/** Tells listeners what was set, at most once per turn. */
export interface Changes {
  mark(slot: number): void;
  onChange(listener: (names: ReadonlySet<string>) => void): Cancel;
}

/** Set and not told yet. */
const DIRTY = 1;
/** Among the names the listeners are being told. */
const TOLD = 2;

/**
 * The first change of a turn is told when the code that made it returns, so that a rule answers without waiting for other sockets; further changes
 * of that turn are told together at its end. What listeners set belongs to the next turn: rules that set each other off cannot starve the sockets.
 */
export function createChanges(capacity: number, names: readonly string[], slotOf: (name: string) => number | undefined): Changes {
  let listeners: readonly ((names: ReadonlySet<string>) => void)[] = [];
  const marks = new Uint8Array(capacity);
  let dirty = new Int32Array(capacity);
  let dirtyCount = 0;
  let told = new Int32Array(capacity);
  let toldCount = 0;
  let toldThisTurn = false;

  function* toldNames(): Generator<string, undefined> {
    for (let i = 0; i < toldCount; i++) yield names[told[i] as number] as string;
    return undefined;
  }

  /** A view, not a copy: a listener that looks for a few names in a stream's hundreds pays for those few. */
  const view: ReadonlySet<string> = {
    get size() {
      return toldCount;
    },
    has(name) {
      const slot = slotOf(name);
      return slot !== undefined && ((marks[slot] as number) & TOLD) !== 0;
    },
    forEach(visit) {
      for (const name of toldNames()) visit(name, name, view);
    },
    *entries() {
      for (const name of toldNames()) yield [name, name];
      return undefined;
    },
    keys: toldNames,
    values: toldNames,
    [Symbol.iterator]: toldNames,
  };

  function tell(): void {
    toldThisTurn = true;
    setImmediate(endTurn);
    [dirty, told] = [told, dirty];
    toldCount = dirtyCount;
    dirtyCount = 0;
    for (let i = 0; i < toldCount; i++) marks[told[i] as number] = TOLD;
    try {
      for (const listener of listeners) listener(view);
    } finally {
      for (let i = 0; i < toldCount; i++) {
        const slot = told[i] as number;
        marks[slot] = (marks[slot] as number) & DIRTY;
      }
      toldCount = 0;
    }
  }

  function endTurn(): void {
    toldThisTurn = false;
    if (dirtyCount > 0) tell();
  }

  return {
    mark(slot) {
      const mark = marks[slot] as number;
      if ((mark & DIRTY) !== 0 || listeners.length === 0) return;
      marks[slot] = mark | DIRTY;
      dirty[dirtyCount] = slot;
      dirtyCount += 1;
      if (dirtyCount === 1 && !toldThisTurn) queueMicrotask(tell);
    },
    onChange(listener) {
      listeners = [...listeners, listener];
      return () => {
        listeners = listeners.filter((other) => other !== listener);
      };
    },
  };
}
