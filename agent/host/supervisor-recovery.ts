import { AgentError } from "../contract/errors.ts";
import { errorReply, OK, type Reply } from "../contract/request.ts";
import type { EventKind } from "../contract/journal.ts";
import type { Log } from "../contract/log.ts";
import type { SafeTarget } from "../contract/device.ts";
import type { Eventually } from "../contract/value.ts";
import type { MutableSlot } from "./supervisor-slot.ts";

/** How faults end. */
export interface Recovery {
  /** See `Supervisor.reset`. */
  reset(slot: MutableSlot, caller: string): Promise<Reply>;
  /** See `Supervisor.regain`. */
  regain(slot: MutableSlot): Promise<void>;
}

export interface RecoveryOptions {
  /** Answers what went wrong. */
  readonly makeSafe: (slot: MutableSlot, to: SafeTarget, caller: string) => Eventually<AgentError | undefined>;
  readonly matesOf: (slot: MutableSlot) => readonly MutableSlot[];
  readonly record: (slot: MutableSlot, kind: EventKind, caller: string, detail: string) => void;
  readonly log: Log;
}

/** Who made a device safe whose port was lost and is back. */
const PORT_BACK = "port back";

export function createRecovery({ makeSafe, matesOf, record, log }: RecoveryOptions): Recovery {
  /** All of them, or it counts for none. */
  async function makeAllSafe(members: readonly MutableSlot[], caller: string): Promise<AgentError | undefined> {
    const failures = await Promise.all(members.map(async (member) => makeSafe(member, "safe", caller)));
    for (const [index, member] of members.entries()) {
      const failure = failures[index];
      if (failure !== undefined) {
        return new AgentError("FAULTED", `${member.id} could not be made safe: ${failure.message}; it stays faulted`);
      }
    }
    return undefined;
  }

  function clear(members: readonly MutableSlot[], caller: string): void {
    for (const member of members) {
      member.fault = undefined;
      record(member, "reset", caller, "");
    }
  }

  return {
    async reset(slot, caller) {
      const members = [slot, ...matesOf(slot)];
      const failure = await makeAllSafe(members, caller);
      if (failure !== undefined) return errorReply(failure);
      clear(members, caller);
      return OK;
    },
    async regain(slot) {
      slot.portsLost = false;
      const members = [slot, ...matesOf(slot)];
      if (slot.ending || slot.fault === undefined || members.some(staysFaulted)) return;
      const failure = await makeAllSafe(members, PORT_BACK);
      if (failure !== undefined) log.error({ device: slot.id, code: failure.code }, failure.message);
      // It may have been lost again meanwhile.
      else if (!members.some(staysFaulted)) clear(members, PORT_BACK);
    },
  };
}

function staysFaulted({ portsLost, fault, passing }: MutableSlot): boolean {
  return portsLost || (fault !== undefined && !passing);
}
