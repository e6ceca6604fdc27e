/** Finds an edge by its ends. */
export interface EdgeIndex {
  /** The edge's number, or -1. */
  find(from: number, to: number): number;
  /** Remembers an edge that is not there yet. */
  add(from: number, to: number, edge: number): void;
}

/** Small tables grow one at a time: no single addition costs more than one of them takes to rebuild. */
const TABLES = 256;
const FIRST_SLOTS = 16;

interface Table {
  /** Number of the edge, plus one; 0 is free. */
  slots: Int32Array;
  used: number;
}

/** Open addressing over the numbers of the edges; their ends are read where they are. */
export function createEdgeIndex(fromOf: (edge: number) => number, toOf: (edge: number) => number): EdgeIndex {
  const tables: Table[] = Array.from({ length: TABLES }, () => ({ slots: new Int32Array(0), used: 0 }));

  const tableOf = (hash: number): Table => tables[hash & (TABLES - 1)] as Table;

  /** Where the edge is, or where it would go. */
  function slotOf(slots: Int32Array, hash: number, from: number, to: number): number {
    const mask = slots.length - 1;
    let slot = (hash >>> 8) & mask;
    for (let held = slots[slot] as number; held !== 0; held = slots[slot] as number) {
      if (fromOf(held - 1) === from && toOf(held - 1) === to) return slot;
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  function grow(table: Table): void {
    const old = table.slots;
    table.slots = new Int32Array(Math.max(FIRST_SLOTS, 2 * old.length));
    for (const held of old) {
      if (held === 0) continue;
      const from = fromOf(held - 1);
      const to = toOf(held - 1);
      table.slots[slotOf(table.slots, hashOf(from, to), from, to)] = held;
    }
  }

  return {
    find(from, to) {
      const hash = hashOf(from, to);
      const { slots } = tableOf(hash);
      return slots.length === 0 ? -1 : (slots[slotOf(slots, hash, from, to)] as number) - 1;
    },
    add(from, to, edge) {
      const hash = hashOf(from, to);
      const table = tableOf(hash);
      // Three quarters full at most, so that searches stay short.
      if (4 * (table.used + 1) > 3 * table.slots.length) grow(table);
      table.slots[slotOf(table.slots, hash, from, to)] = edge + 1;
      table.used += 1;
    },
  };
}

/** 32 bits in which each bit of both numbers matters (the finalizer of MurmurHash3). */
function hashOf(from: number, to: number): number {
  let hash = Math.imul(from, 0x9e37_79b1) ^ Math.imul(to + 0x7f4a_7c15, 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
