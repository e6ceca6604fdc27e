import type { SimI2cChip } from "../../../drivers/board/sim/i2c.ts";

/** A chip of 16-bit registers, the high byte first, as Texas Instruments builds them. */
export interface WordChip extends SimI2cChip {
  readonly words: Map<number, number>;
  /** Registers in the order they were read. */
  readonly reads: number[];
}

/** `stored` says what the register holds after it was written. */
export function createWordChip(stored: (register: number, word: number) => number = (_, word) => word): WordChip {
  const words = new Map<number, number>();
  const reads: number[] = [];
  return {
    words,
    reads,
    read(register) {
      reads.push(register);
      const word = words.get(register) ?? 0;
      return Uint8Array.of(word >> 8, word & 0xff);
    },
    write(register, bytes) {
      words.set(register, stored(register, ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0)));
    },
  };
}
