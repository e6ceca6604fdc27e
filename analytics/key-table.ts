/** Finds the slot of a name by the name's bytes, without making a string of them. */
export interface KeyTable {
  /** The slot of `bytes[start, end)`, or -1. */
  find(bytes: Uint8Array, start: number, end: number): number;
  /** Slots are 0, 1, 2 … in the order of adding; the name must not be there yet. */
  add(name: Uint8Array): void;
}

/** FNV-1a's, http://www.isthe.com/chongo/tech/comp/fnv */
const OFFSET_BASIS = 0x811c9dc5;
const PRIME = 0x01000193;

/** Open addressing over at most half-full cells, names one after the other in one block of bytes. */
export function createKeyTable(capacity: number): KeyTable {
  const mask = 2 ** Math.ceil(Math.log2(capacity * 2)) - 1;
  /** Slot + 1; 0 is a free cell. */
  const cells = new Int32Array(mask + 1);
  /** Name n lies at [starts[n], starts[n + 1]). */
  const starts = new Int32Array(capacity + 1);
  let names = new Uint8Array(1024);
  let count = 0;

  function hashOf(bytes: Uint8Array, start: number, end: number): number {
    let hash = OFFSET_BASIS;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i] as number), PRIME);
    return hash ^ (hash >>> 15);
  }

  function isName(slot: number, bytes: Uint8Array, start: number, end: number): boolean {
    let at = starts[slot] as number;
    if ((starts[slot + 1] as number) - at !== end - start) return false;
    for (let i = start; i < end; i++, at++) if (names[at] !== bytes[i]) return false;
    return true;
  }

  function reserve(byteLength: number): void {
    if (byteLength <= names.length) return;
    const larger = new Uint8Array(Math.max(byteLength, names.length * 2));
    larger.set(names);
    names = larger;
  }

  return {
    find(bytes, start, end) {
      let cell = hashOf(bytes, start, end) & mask;
      for (;;) {
        const slot = (cells[cell] as number) - 1;
        if (slot < 0 || isName(slot, bytes, start, end)) return slot;
        cell = (cell + 1) & mask;
      }
    },
    add(name) {
      const at = starts[count] as number;
      reserve(at + name.length);
      names.set(name, at);
      starts[count + 1] = at + name.length;
      let cell = hashOf(name, 0, name.length) & mask;
      while (cells[cell] !== 0) cell = (cell + 1) & mask;
      count += 1;
      cells[cell] = count;
    },
  };
}
