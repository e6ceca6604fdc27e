import { AgentError } from "../../agent/contract/errors.ts";
import type { SerialStream } from "../../agent/contract/serial.ts";

/**
 * Throws NOT_READY while the port is not open. Orders are refused with it before anything is waited for: one that is refused later has a lease already, and at the
 * lease's end there is no port either to make the instrument safe through, which is a fault, though nothing was ever driven.
 */
export function requireOpen(id: string, stream: Pick<SerialStream, "state" | "reason">): void {
  if (stream.state() !== "open") throw new AgentError("NOT_READY", `${id}: ${stream.reason()}`);
}
