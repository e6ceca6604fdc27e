import { AgentError } from "../../../agent/contract/errors.ts";
import { didYouMean } from "../../../agent/contract/nearest.ts";
import { lineText, type DigitalOutput, type DigitalOutputs, type LineRef } from "../../../agent/contract/board.ts";
import { createPin, type Pin } from "./pin.ts";
import type { Clock } from "../../../agent/contract/clock.ts";
import type { Faults } from "./faults.ts";

/** The label of the one chip a simulated board has, for lines and for PWM. */
export const CHIP = "sim";

/** The lines of the simulated board, by name and by offset. */
export interface SimLines {
  /** Throws UNKNOWN naming what there is. */
  find(ref: LineRef): Pin;
  all(): Iterable<Pin>;
  readonly count: number;
}

/** `offsets`: names and their offsets on the chip; a line may have several names and is known by its first. */
export function createSimLines(offsets: Readonly<Record<string, number>>, clock: Clock, historyLimit: number): SimLines {
  const byName = new Map<string, Pin>();
  const byOffset = new Map<number, Pin>();
  for (const [name, offset] of Object.entries(offsets)) {
    const pin = byOffset.get(offset) ?? createPin(name, clock, historyLimit);
    byName.set(name, pin);
    byOffset.set(offset, pin);
  }

  function known(): string {
    const names = [...byName.keys()];
    return names.length > 6 ? `${names.slice(0, 3).join(", ")} … ${String(names.at(-1))}` : names.join(", ");
  }

  return {
    find(ref) {
      const pin = "name" in ref ? byName.get(ref.name) : ref.chip === CHIP ? byOffset.get(ref.offset) : undefined;
      if (pin !== undefined) return pin;
      const meant = didYouMean(lineText(ref), byName.keys());
      throw new AgentError("UNKNOWN", `line ${lineText(ref)} is not on the simulated board, which has ${known()} on chip ${CHIP}${meant}`);
    },
    all: () => byOffset.values(),
    count: byOffset.size,
  };
}

export function openSimOutputs(pins: readonly Pin[], initial: readonly boolean[], faults: Faults): DigitalOutputs {
  const what = pins.map((pin) => `line ${pin.name}`).join(", ");
  const driven = [...initial];
  let open = true;
  pins.forEach((pin, i) => pin.openOutput(driven[i] === true));
  return {
    write(levels) {
      if (!open) throw new AgentError("IO", `${what} is closed`);
      if (levels.length !== pins.length) {
        throw new AgentError("ARGUMENT", `${what}: ${pins.length} levels are expected, got ${levels.length}`);
      }
      faults.meet("write", what);
      for (let i = 0; i < pins.length; i++) {
        const level = levels[i] === true;
        driven[i] = level;
        pins[i]?.output(level);
      }
    },
    levels: () => driven,
    close() {
      if (!open) return;
      open = false;
      for (const pin of pins) pin.release();
      faults.meet("close", what);
    },
  };
}

export function openSimOutput(pin: Pin, initial: boolean, faults: Faults): DigitalOutput {
  const key = `line ${pin.name}`;
  let driven = initial;
  let open = true;
  pin.openOutput(initial);
  return {
    write(level) {
      if (!open) throw new AgentError("IO", `${key} is closed`);
      faults.meet("write", key);
      driven = level;
      pin.output(level);
    },
    level: () => driven,
    close() {
      if (!open) return;
      open = false;
      pin.release();
      faults.meet("close", key);
    },
  };
}
