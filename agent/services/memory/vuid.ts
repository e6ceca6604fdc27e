import { AgentError } from "../../contract/errors.ts";
import type { ByteString } from "../../contract/request.ts";
import { shown } from "./integer.ts";

/** Bits of the addresses a node gives out: 64 as on x86-64, 32 as on i386. */
export type AddressWidth = 32 | 64;

/** A block's name: which node made it, and its address there. */
export interface Vuid {
  /** Undefined when only the address was given: this node. */
  readonly node: string | undefined;
  /** Lower-case hex digits, 16 or 8 of them. */
  readonly address: string;
}

/** `node:ffff88…` or the address alone, of 16 or 8 hex digits. Throws ARGUMENT for anything else. */
export function parseVuid(text: ByteString): Vuid {
  const match = /^(?:([!-9;-~]{1,64}):)?([0-9a-f]{16}|[0-9a-f]{8})$/i.exec(text);
  if (match === null) throw new AgentError("ARGUMENT", `a VUID is node:address or an address of 16 or 8 hex digits, not ${shown(text)}`);
  return { node: match[1], address: canonicalAddress(match[2] as string) };
}

/** As addresses are kept: those of 32 bits with 8 digits, however they were written. */
export function canonicalAddress(digits: string): string {
  const address = digits.toLowerCase().replace(/^0+/, "");
  return address.padStart(address.length <= 8 ? 8 : 16, "0");
}
