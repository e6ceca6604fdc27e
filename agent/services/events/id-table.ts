import type { ByteString } from "../../contract/request.ts";

/** Numbers ids in the order in which they come, and finds their numbers. */
export interface IdTable {
  readonly length: number;
  at(number: number): ByteString;
  /** -1 when it is not there. */
  find(id: ByteString): number;
  /** The same for the id in `bytes` from `start` up to `end`, without making a string of it. */
  findBytes(bytes: Uint8Array, start: number, end: number): number;
  /** Numbers an id that is not there yet. */
  add(id: ByteString): number;
}

/** Small tables grow one at a time: no single addition costs more than one of them takes to rebuild. */
const TABLES = 256;
const FIRST_PLACES = 16;

/** FNV-1a. */
const HASH_START = 0x811c_9dc5;
const HASH_PRIME = 0x0100_0193;

interface Table {
  /** Two for each place: the number of the id plus one, 0 where it is free, and the id's hash. */
  slots: Int32Array;
  used: number;
}

/** Open addressing. 11 to 21 bytes per id beside the id itself, where a Map takes 40; an id is only looked at when its hash is right. */
export function createIdTable(): IdTable {
  const ids: ByteString[] = [];
  const tables: Table[] = Array.from({ length: TABLES }, () => ({ slots: new Int32Array(0), used: 0 }));

  const tableOf = (hash: number): Table => tables[hash & (TABLES - 1)] as Table;

  function put(slots: Int32Array, held: number, hash: number): void {
    const mask = slots.length - 1;
    let at = firstPlace(hash, mask);
    while (slots[at] !== 0) at = (at + 2) & mask;
    slots[at] = held;
    slots[at + 1] = hash;
  }

  function grow(table: Table): void {
    const old = table.slots;
    table.slots = new Int32Array(Math.max(2 * FIRST_PLACES, 2 * old.length));
    for (let at = 0; at < old.length; at += 2) if (old[at] !== 0) put(table.slots, old[at] as number, old[at + 1] as number);
  }

  return {
    get length() {
      return ids.length;
    },
    at: (number) => ids[number] as string,
    find(id) {
      const hash = hashOf(id);
      const { slots } = tableOf(hash);
      const mask = slots.length - 1;
      for (let at = firstPlace(hash, mask); ; at = (at + 2) & mask) {
        const number = (slots[at] ?? 0) - 1;
        if (number < 0 || (slots[at + 1] === hash && ids[number] === id)) return number;
      }
    },
    findBytes(bytes, start, end) {
      const hash = hashOfBytes(bytes, start, end);
      const { slots } = tableOf(hash);
      const mask = slots.length - 1;
      for (let at = firstPlace(hash, mask); ; at = (at + 2) & mask) {
        const number = (slots[at] ?? 0) - 1;
        if (number < 0 || (slots[at + 1] === hash && isAt(ids[number] as string, bytes, start, end))) return number;
      }
    },
    add(id) {
      const hash = hashOf(id);
      const table = tableOf(hash);
      // Three quarters full at most, so that searches stay short and end.
      if (8 * (table.used + 1) > 3 * table.slots.length) grow(table);
      table.used += 1;
      const length = ids.push(id);
      put(table.slots, length, hash);
      return length - 1;
    },
  };
}

/** Of a table whose array is a power of two long. The bits that chose the table say nothing more. */
function firstPlace(hash: number, mask: number): number {
  return (hash >>> 7) & mask & ~1;
}

function hashOf(id: ByteString): number {
  let hash = HASH_START;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), HASH_PRIME);
  return mixed(hash);
}

function hashOfBytes(bytes: Uint8Array, start: number, end: number): number {
  let hash = HASH_START;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), HASH_PRIME);
  return mixed(hash);
}

/** So that every bit matters: FNV's low ones choose the table, and say little for short ids (the finalizer of MurmurHash3). */
function mixed(hash: number): number {
  const once = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  const twice = Math.imul(once ^ (once >>> 13), 0xc2b2_ae35);
  return twice ^ (twice >>> 16);
}

function isAt(id: ByteString, bytes: Uint8Array, start: number, end: number): boolean {
  if (id.length !== end - start) return false;
  for (let i = 0; i < id.length; i++) if (id.charCodeAt(i) !== bytes[start + i]) return false;
  return true;
}
