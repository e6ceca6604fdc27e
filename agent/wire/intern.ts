import type { ByteString } from "../contract/request.ts";

/** Longer words are rarely said twice. */
const MAX_WORD_BYTES = 32;

const WORDS_PER_SLOT = MAX_WORD_BYTES / 4;

/** A power of two: the hash is cut with a mask. */
const SLOTS = 2048;

/** Gives the string for bytes that were seen lately without making it again. */
export interface InternTable {
  /** The bytes from `start` to before `end`, one character per byte, as the table's `form` makes them. */
  text(bytes: Buffer, start: number, end: number): ByteString;
}

/**
 * A table of bounded size (96 KiB) in which a word that is seen twice in a row takes the slot it shares with others: whoever sends ever new words slows
 * down nobody but the words that shared a slot. `form` is applied once per word kept, for instance upper case for verbs.
 */
export function createInternTable(form: (word: ByteString) => ByteString = (word) => word): InternTable {
  /** The bytes of the words kept, four in one number. */
  const keys = new Int32Array(SLOTS * WORDS_PER_SLOT);
  const lengths = new Uint8Array(SLOTS);
  /** Hashes of what was seen last and not kept. */
  const seen = new Int32Array(SLOTS);
  const words: ByteString[] = new Array<ByteString>(SLOTS).fill("");
  /** The word that is looked for, as `keys` has it. */
  const wanted = new Int32Array(WORDS_PER_SLOT);

  function holds(slot: number, length: number): boolean {
    if (lengths[slot] !== length) return false;
    const count = (length + 3) >> 2;
    const key = slot * WORDS_PER_SLOT;
    for (let i = 0; i < count; i++) {
      if (keys[key + i] !== wanted[i]) return false;
    }
    return true;
  }

  function keep(slot: number, length: number, word: ByteString): void {
    keys.set(wanted, slot * WORDS_PER_SLOT);
    lengths[slot] = length;
    words[slot] = word;
  }

  return {
    text(bytes, start, end) {
      const length = end - start;
      if (length > MAX_WORD_BYTES) return form(bytes.toString("latin1", start, end));
      if (length === 0) return "";
      let hash = length;
      let count = 0;
      let at = start;
      for (; at + 4 <= end; at += 4) {
        const four =
          (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24);
        wanted[count++] = four;
        hash = Math.imul(hash ^ four, 0x9e3779b1);
        hash ^= hash >>> 15;
      }
      if (at < end) {
        let rest = 0;
        for (; at < end; at++) rest = (rest << 8) | (bytes[at] as number);
        wanted[count] = rest;
        hash = Math.imul(hash ^ rest, 0x9e3779b1);
        hash ^= hash >>> 15;
      }
      const slot = hash & (SLOTS - 1);
      if (holds(slot, length)) return words[slot] as string;
      const word = form(bytes.toString("latin1", start, end));
      if (seen[slot] === hash) keep(slot, length, word);
      else seen[slot] = hash;
      return word;
    },
  };
}

/** Upper case for ASCII letters only: every other byte is left as it is. */
export function upperCase(word: ByteString): ByteString {
  let upper = "";
  for (let i = 0; i < word.length; i++) {
    const code = word.charCodeAt(i);
    upper += code >= 0x61 && code <= 0x7a ? String.fromCharCode(code - 0x20) : word.charAt(i);
  }
  return upper;
}
