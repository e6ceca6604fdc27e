/** Draws numbers that look random and are the same for the same seed. Not for secrets. */
export interface Prg {
  /** A whole number from 0 to below `count`, each as likely as the others. `count` from 1 to 2^32. */
  below(count: number): number;
  /** From 0 to below 1. */
  fraction(): number;
}

const TWO_32 = 0x1_0000_0000;

/** xoshiro128** of Blackman and Vigna, its state filled by splitmix32 from `seed` (32 bits). */
export function createPrg(seed: number): Prg {
  let mixed = seed >>> 0;
  const state = Uint32Array.from({ length: 4 }, () => {
    mixed = (mixed + 0x9e37_79b9) >>> 0;
    let z = mixed;
    z = Math.imul(z ^ (z >>> 16), 0x21f0_aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a_2d97);
    return (z ^ (z >>> 15)) >>> 0;
  });

  function next(): number {
    const [s0, s1, s2, s3] = state as unknown as readonly [number, number, number, number];
    const drawn = Math.imul(rotated(Math.imul(s1, 5), 7), 9) >>> 0;
    const mixed3 = s3 ^ s1;
    const mixed2 = s2 ^ s0;
    state[1] = s1 ^ mixed2;
    state[0] = s0 ^ mixed3;
    state[2] = mixed2 ^ (s1 << 9);
    state[3] = rotated(mixed3, 11);
    return drawn;
  }

  return {
    below(count) {
      // What is left over of 2^32 would make the first numbers likelier; it is drawn again.
      const limit = TWO_32 - (TWO_32 % count);
      let drawn = next();
      while (drawn >= limit) drawn = next();
      return drawn % count;
    },
    fraction: () => next() / TWO_32,
  };
}

function rotated(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}
