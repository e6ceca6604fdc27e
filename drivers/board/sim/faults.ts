import { AgentError } from "../../../agent/contract/errors.ts";

/** What can be made to fail. `write` is a line's or lines' write, `pwmWrite` a duty cycle's; `close` is any port's. */
export type SimOperation = "openOutput" | "openInput" | "openPwm" | "write" | "pwmWrite" | "read" | "close";

interface PlannedFault {
  readonly operation: SimOperation;
  readonly error: AgentError | undefined;
  left: number;
}

/** Failures planned for operations to come, and met by the operations as they happen. */
export interface Faults {
  /** The `nth` operation from now on fails: 1 is the next one. */
  plan(operation: SimOperation, nth: number, error: AgentError | undefined): void;
  /** Counts one operation on `what`; throws when it is one that was to fail. */
  meet(operation: SimOperation, what: string): void;
  /** Planned and not met yet. */
  pending(): number;
  clear(): void;
}

export function createFaults(): Faults {
  let planned: PlannedFault[] = [];
  return {
    plan(operation, nth, error) {
      if (!Number.isInteger(nth) || nth < 1) throw new AgentError("ARGUMENT", `operation ${nth} cannot fail; 1 is the next one`);
      planned.push({ operation, error, left: nth });
    },
    meet(operation, what) {
      if (planned.length === 0) return;
      let due: PlannedFault | undefined;
      for (const fault of planned) {
        if (fault.operation !== operation) continue;
        fault.left -= 1;
        if (fault.left === 0) due = fault;
      }
      if (due === undefined) return;
      planned = planned.filter((fault) => fault.left > 0);
      throw due.error ?? new AgentError("IO", `${operation} of ${what} failed, as the simulated board was told to`);
    },
    pending: () => planned.length,
    clear() {
      planned = [];
    },
  };
}
