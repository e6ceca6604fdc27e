import type { Cancel } from "../agent/contract/clock.ts";

/** Tells listeners what was set, at most once per turn. */
export interface Changes {
  mark(slot: number): void;
  onChange(listener: (names: ReadonlySet<string>) => void): Cancel;
}

/**
 * The first change of a turn is told when the code that made it returns, so that a rule answers without waiting for other sockets; further changes
 * of that turn are told together at its end. What listeners set belongs to the next turn: rules that set each other off cannot starve the sockets.
 */
export function createChanges(capacity: number, nameOf: (slot: number) => string): Changes {
  let listeners: readonly ((names: ReadonlySet<string>) => void)[] = [];
  const isDirty = new Uint8Array(capacity);
  const dirty = new Int32Array(capacity);
  let dirtyCount = 0;
  /** Handed to every listener, filled anew each time. */
  const names = new Set<string>();
  let toldThisTurn = false;

  function tell(): void {
    toldThisTurn = true;
    setImmediate(endTurn);
    for (let i = 0; i < dirtyCount; i++) {
      const slot = dirty[i] as number;
      isDirty[slot] = 0;
      names.add(nameOf(slot));
    }
    dirtyCount = 0;
    try {
      for (const listener of listeners) listener(names);
    } finally {
      names.clear();
    }
  }

  function endTurn(): void {
    toldThisTurn = false;
    if (dirtyCount > 0) tell();
  }

  return {
    mark(slot) {
      if (isDirty[slot] === 1 || listeners.length === 0) return;
      isDirty[slot] = 1;
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
