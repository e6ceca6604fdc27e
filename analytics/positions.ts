import type { VariablePair, VariableValue } from "../agent/contract/variable.ts";
import { valueText } from "./value.ts";

/** MAX_ANALYTICS_CONF of the original, whose drivers know analytics by position: entry 0, entry 1 … */
const POSITIONS = 500;

/** The original's view of what arrived: 500 positions filled in order of arrival, from 0 again after the last. */
export interface Positions {
  takeNumber(slot: number, value: number): void;
  takeValue(slot: number, value: VariableValue): void;
  /** The positions filled so far; `nameOf` names a slot. */
  pairs(nameOf: (slot: number) => string): readonly VariablePair[];
}

export function createPositions(): Positions {
  const slots = new Int32Array(POSITIONS);
  const numbers = new Float64Array(POSITIONS);
  /** Undefined where the value is a number: those cost no object. */
  const others = new Array<VariableValue | undefined>(POSITIONS).fill(undefined);
  let next = 0;
  let filled = 0;

  function advance(): void {
    next = (next + 1) % POSITIONS;
    if (filled < POSITIONS) filled += 1;
  }

  return {
    takeNumber(slot, value) {
      slots[next] = slot;
      numbers[next] = value;
      others[next] = undefined;
      advance();
    },
    takeValue(slot, value) {
      slots[next] = slot;
      others[next] = value;
      advance();
    },
    pairs(nameOf) {
      return Array.from({ length: filled }, (_, i) => ({
        name: nameOf(slots[i] as number),
        text: valueText(others[i] ?? (numbers[i] as number)),
      }));
    },
  };
}
