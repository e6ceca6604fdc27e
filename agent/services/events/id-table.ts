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
const FIRST_SLOTS = 16;

/** FNV-1a. */
const HASH_START = 0x811c_9dc5;
const HASH_PRIME = 0x0100_0193;

interface Table {
  /** Number of the id, plus one; 0 is free. */
  slots: Int32Array;
  used: number;
}

/** Open addressing; 5 to 11 bytes per id beside the id itself, where a Map takes 40. */
export function createIdTable(): IdTable {
  const ids: ByteString[] = [];
  const tables: Table[] = Array.from({ length: TABLES }, () => ({ slots: new Int32Array(0), used: 0 }));

  const tableOf = (hash: number): Table => tables[hash & (TABLES - 1)] as Table;

  function addTo({ slots }: Table, hash: number, number: number): void {
    const mask = slots.length - 1;
    let slot = (hash >>> 8) & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    slots[slot] = number + 1;
  }

  function grow(table: Table): void {
    const old = table.slots;
    table.slots = new Int32Array(Math.max(FIRST_SLOTS, 2 * old.length));
    for (const held of old) if (held !== 0) addTo(table, hashOf(ids[held - 1] as string), held - 1);
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
      for (let slot = (hash >>> 8) & mask; ; slot = (slot + 1) & mask) {
        const number = (slots[slot] ?? 0) - 1;
        if (number < 0 || ids[number] === id) return number;
      }
    },
    findBytes(bytes, start, end) {
      const hash = hashOfBytes(bytes, start, end);
      const { slots } = tableOf(hash);
      const mask = slots.length - 1;
      for (let slot = (hash >>> 8) & mask; ; slot = (slot + 1) & mask) {
        const number = (slots[slot] ?? 0) - 1;
        if (number < 0 || isAt(ids[number] as string, bytes, start, end)) return number;
      }
    },
    add(id) {
      const hash = hashOf(id);
      const table = tableOf(hash);
      // Three quarters full at most, so that searches stay short and end.
      if (4 * (table.used + 1) > 3 * table.slots.length) grow(table);
      addTo(table, hash, ids.length);
      table.used += 1;
      return ids.push(id) - 1;
    },
  };
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

/** FNV's low bits choose the table, and its others say little for short ids. */
function mixed(hash: number): number {
  const once = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  return (once ^ (once >>> 13)) >>> 0;
}

function isAt(id: ByteString, bytes: Uint8Array, start: number, end: number): boolean {
  if (id.length !== end - start) return false;
  for (let i = 0; i < id.length; i++) if (id.charCodeAt(i) !== bytes[start + i]) return false;
  return true;
}
