import { createHmac, randomBytes } from "node:crypto";

import { AgentError } from "../../contract/errors.ts";
import type { Log } from "../../contract/log.ts";
import type { Ledger } from "./ledger.ts";
import type { Part } from "./part.ts";
import type { AddressWidth } from "./vuid.ts";

/** Id of the addresses in the ledger. */
export const ADDRESSES_ID = "a";

/** Where the original's x86-64 kernel had all of its memory; the 40 bits below are ours to choose. */
const WIDE_BASE = "ffff88";
const WIDE_HALF_BITS = 20;

/** The upper quarter, where the original's i386 kernel was; 30 bits are ours. */
const NARROW_BASE = 3 * 2 ** 30;
const NARROW_HALF_BITS = 15;

/** Addresses reserved on disk at a time; a restart skips those that were not given out. */
const STEP: Readonly<Record<AddressWidth, number>> = { 64: 65_536, 32: 1024 };

/** Rounds of the cipher; four would do against whoever sees addresses only. */
const ROUNDS = 6;

/** Gives out addresses: never one twice, and none that can be guessed from others. */
export interface Addresses {
  /** Hex digits as `width` has them. Throws FULL when there are no more, or they cannot be reserved on disk. */
  next(width: AddressWidth): string;
  /** For the ledger. */
  capture(): Part;
  restore(part: Part | undefined): boolean;
  /** From now on what is given out is remembered on disk; resolves when it is. */
  keepIn(ledger: Ledger): Promise<void>;
}

interface Counter {
  next: number;
  /** Those before this may be given out. */
  reserved: number;
  readonly end: number;
}

/**
 * Addresses are numbers 0, 1, 2 … in a cipher whose blocks have just that many bits, so that no two are alike and nobody without the key can tell the next.
 * Key and numbers are in the ledger where there is one: then no address is given out again after a restart either.
 */
export function createAddresses(nextRevision: () => number, log: Log): Addresses {
  let secret = randomBytes(32).toString("hex");
  const counters: Readonly<Record<AddressWidth, Counter>> = {
    64: { next: 0, reserved: Infinity, end: 2 ** (2 * WIDE_HALF_BITS) },
    32: { next: 0, reserved: Infinity, end: 2 ** (2 * NARROW_HALF_BITS) },
  };
  let ledger: Ledger | undefined;
  /** What is, or will be, on disk. */
  let asked = [0, 0];
  let revision = 0;
  let reserving = false;

  function capture(): Part {
    return { id: ADDRESSES_ID, revision, untilWallMs: 0, value: `${secret} ${asked.join(" ")}` };
  }

  async function reserve(): Promise<void> {
    if (ledger === undefined) return;
    const wanted = [counters[64].next + STEP[64], counters[32].next + STEP[32]];
    asked = wanted;
    revision = nextRevision();
    await ledger.write([capture()], true);
    counters[64].reserved = wanted[0] as number;
    counters[32].reserved = wanted[1] as number;
  }

  /** Long before the reserved ones are used up. */
  function reserveAhead(): void {
    if (reserving) return;
    reserving = true;
    reserve()
      .catch((thrown: unknown) => log.warn({ err: thrown }, "memory: cannot reserve addresses on disk; it is tried again"))
      .finally(() => {
        reserving = false;
      });
  }

  function take(width: AddressWidth): number {
    const counter = counters[width];
    if (counter.next >= counter.end) {
      throw new AgentError(
        "FULL",
        `all addresses of ${width} bits were given out; restart with another memory folder, or use the other width`,
      );
    }
    if (counter.reserved - counter.next < STEP[width] / 2) reserveAhead();
    if (counter.next >= counter.reserved) throw new AgentError("FULL", "no addresses are reserved on disk yet; try again");
    return counter.next++;
  }

  return {
    next(width) {
      const half = width === 64 ? WIDE_HALF_BITS : NARROW_HALF_BITS;
      const low = encipher(secret, take(width), half);
      return width === 64 ? WIDE_BASE + low.toString(16).padStart(10, "0") : (NARROW_BASE + low).toString(16);
    },
    capture,
    restore(part) {
      const [key = "", wide, narrow] = (part?.value ?? "").split(" ");
      if (part === undefined || wide === undefined || narrow === undefined) return false;
      secret = key;
      counters[64].next = Number(wide);
      counters[32].next = Number(narrow);
      revision = part.revision;
      return true;
    },
    keepIn(kept) {
      ledger = kept;
      return reserve();
    },
  };
}

/** A Feistel network: for every key a permutation of the numbers of twice `halfBits` bits. */
function encipher(key: string, number: number, halfBits: number): number {
  const size = 2 ** halfBits;
  let left = Math.floor(number / size);
  let right = number % size;
  for (let round = 0; round < ROUNDS; round++) {
    const mixed = createHmac("sha256", key).update(`${halfBits} ${round} ${right}`).digest().readUInt32BE(0) % size;
    [left, right] = [right, left ^ mixed];
  }
  return left * size + right;
}
