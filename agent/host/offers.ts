import { AgentError } from "../contract/errors.ts";
import type { Cancel } from "../contract/clock.ts";
import type { OfferedChip } from "../contract/device.ts";

/** The chips that devices offer to others, by the devices' ids. */
export interface Offers {
  offer(label: string, chip: OfferedChip): Cancel;
  find(label: string): OfferedChip | undefined;
}

/** `onReady` is told the label of a chip whose ports can be used after they could not. */
export function createOffers(onReady?: (label: string) => void): Offers {
  const chips = new Map<string, OfferedChip>();
  return {
    offer(label, chip) {
      if (chips.has(label)) throw new AgentError("IN_USE", `${label} offers a chip already`);
      chips.set(label, chip);
      const cancelReady = chip.onReady?.(() => onReady?.(label));
      return () => {
        cancelReady?.();
        if (chips.get(label) === chip) chips.delete(label);
      };
    },
    find: (label) => chips.get(label),
  };
}

/** The chip that a port's text names: `uno` in `line uno:13` and in `pwm uno:9`; undefined for what is no port of a chip. */
export function chipInClaim(claim: string): string | undefined {
  return /^(?:line|pwm) ([^\s:@]+):\d+$/.exec(claim)?.[1];
}
