import type { ByteString } from "../contract/request.ts";

/** Longer words are rarely said twice. */
const MAX_WORD_BYTES = 32;

/** A power of two: the hash is cut with a mask. */
const SLOTS = 2048;

/** Gives the string for bytes that were seen lately without making it again. */
export interface InternTable {
  /** The bytes from `start` to before `end`, one character per byte, as the table's `form` makes them. */
  text(bytes: Buffer, start: number, end: number): ByteString;
}

/**
 * A table of bounded size (112 KiB) in which a word replaces the one that had its slot: whoever sends ever new words slows down nobody but the
 * words that shared a slot. `form` is applied once per word kept, for instance upper case for verbs.
 */
export function createInternTable(form: (word: ByteString) => ByteString = (word) => word): InternTable {
  const keys = new Uint8Array(SLOTS * MAX_WORD_BYTES);
  const lengths = new Uint8Array(SLOTS);
  const words: ByteString[] = new Array<ByteString>(SLOTS).fill("");

  function holds(slot: number, bytes: Buffer, start: number, length: number): boolean {
    if (lengths[slot] !== length) return false;
    const key = slot * MAX_WORD_BYTES;
    for (let i = 0; i < length; i++) {
      if (keys[key + i] !== bytes[start + i]) return false;
    }
    return true;
  }

  return {
    text(bytes, start, end) {
      const length = end - start;
      if (length > MAX_WORD_BYTES) return form(bytes.toString("latin1", start, end));
      if (length === 0) return "";
      let hash = length;
      for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + (bytes[i] as number)) | 0;
      const slot = (hash ^ (hash >>> 11)) & (SLOTS - 1);
      if (holds(slot, bytes, start, length)) return words[slot] as string;
      const word = form(bytes.toString("latin1", start, end));
      bytes.copy(keys, slot * MAX_WORD_BYTES, start, end);
      lengths[slot] = length;
      words[slot] = word;
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
