import { AgentError } from "../contract/errors.ts";
import { tokenRefusal } from "./claim.ts";
import { keepsOut } from "./lease.ts";
import type { MutableSlot, Order } from "./supervisor-slot.ts";

/** Calls that may wait for one device's call in progress; more are answered FULL. */
const MAX_WAITING_CALLS = 64;

/** What keeps every device from actuating. */
export interface Gate {
  /** Why nothing new is accepted any more. */
  readonly closed: string | undefined;
  /** Who latched the e-stop. */
  readonly eStoppedBy: string | undefined;
}

/** Why `order` may not actuate the device now; undefined when it may. */
export function refusalOf(gate: Gate, slot: MutableSlot, order: Order, nowMs: number): AgentError | undefined {
  if (gate.closed !== undefined) return new AgentError("NOT_READY", `${slot.id}: ${gate.closed}`);
  if (slot.ending) return new AgentError("NOT_READY", `${slot.id} is being closed; DEVICES says what became of it`);
  if (gate.eStoppedBy !== undefined) {
    return new AgentError("FAULTED", `${slot.id}: e-stop is latched by ${gate.eStoppedBy}; ESTOP RESET clears it`);
  }
  if (slot.fault !== undefined) {
    const end = slot.passing ? "it can be used again when that is over" : `RESET ${slot.id} clears it`;
    return new AgentError("FAULTED", `${slot.id} is faulted: ${slot.fault.message}; ${end}`, { cause: slot.fault });
  }
  if (order.token !== undefined) {
    const late = tokenRefusal(slot.id, slot.claim, order.caller, order.token, nowMs);
    if (late !== undefined) return late;
  }
  const { holder, priority, untilMs } = slot.current;
  if (keepsOut(slot.current, order.caller, order.priority, slot.policy.exclusive, nowMs)) {
    const leftMs = Math.ceil(untilMs - nowMs);
    return new AgentError(
      "IN_USE",
      `${slot.id} is held by ${holder} with priority ${priority} for another ${leftMs} ms; ${order.caller} asked with ${order.priority}`,
    );
  }
  if (order.seq !== undefined && slot.seqCaller === order.caller && order.seq <= slot.seq) {
    return new AgentError("STALE", `${slot.id}: command ${order.seq} of ${order.caller} is not newer than ${slot.seq}`);
  }
  return undefined;
}

/** Why no further order may wait for the call in progress. */
export function waitRefusal({ id, waiting }: MutableSlot): AgentError | undefined {
  return waiting < MAX_WAITING_CALLS ? undefined : new AgentError("FULL", `${id}: ${MAX_WAITING_CALLS} calls are waiting already`);
}

/** Why an order that waited while the device had faulted `faults` times is not carried out though the fault is over: it was meant for the state before. */
export function faultRefusal(slot: MutableSlot, faults: number): AgentError | undefined {
  if (slot.fault !== undefined || slot.faults === faults) return undefined;
  return new AgentError("FAULTED", `${slot.id} has faulted while this order waited; give it again`);
}

/** Errors by which a driver says no without having done anything. */
export function isRefusal(error: AgentError): boolean {
  return (
    error.code === "ARGUMENT" || error.code === "LIMIT" || error.code === "DENIED" || error.code === "NOT_READY" || error.code === "UNKNOWN"
  );
}
