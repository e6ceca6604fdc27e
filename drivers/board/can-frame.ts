import { AgentError } from "../../agent/contract/errors.ts";
import type { CanFilter, CanFrame } from "../../agent/contract/can.ts";

/** Highest arbitration IDs, 11 and 29 bits (ISO 11898-1). */
export const MAX_STANDARD_ID = 0x7ff;
export const MAX_EXTENDED_ID = 0x1fffffff;

/** Bytes of one classical frame. */
export const MAX_DATA_BYTES = 8;

/** Throws ARGUMENT for what is no frame. */
export function checkFrame(bus: string, { id, extended, data }: CanFrame): void {
  const most = extended ? MAX_EXTENDED_ID : MAX_STANDARD_ID;
  if (!Number.isInteger(id) || id < 0 || id > most) {
    const kind = extended ? "an extended one" : "a standard one; longer ones are extended";
    throw new AgentError("ARGUMENT", `${bus}: arbitration ID ${id}; it is a whole number from 0 to 0x${most.toString(16)}, ${kind}`);
  }
  if (data.length > MAX_DATA_BYTES) {
    throw new AgentError("ARGUMENT", `${bus}: a frame of ${data.length} bytes; it carries 0 to ${MAX_DATA_BYTES}`);
  }
}

/** Whether one of the filters lets the frame through. */
export function passes(filters: readonly CanFilter[], id: number, extended: boolean): boolean {
  for (const filter of filters) {
    if (filter.extended === extended && ((id ^ filter.id) & filter.mask) === 0) return true;
  }
  return false;
}
