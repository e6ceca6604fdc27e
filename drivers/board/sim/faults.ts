import { AgentError } from "../../../agent/contract/errors.ts";

/**
 * What can be made to fail. `write` is a line's or lines' write, `pwmWrite` a duty cycle's of chip `sim`; `close` is any port's. `i2cRead` and `i2cWrite` are
 * transfers as the bus sees them, those of PCA9685 channels too; `i2cData` is a read that answers, and answers every bit wrong. `openSerial` is each attempt
 * to open a serial port, `serialSend` what is sent to it: when they fail the port waits for the next attempt.
 */
export type SimOperation =
  | "openOutput"
  | "openInput"
  | "openPwm"
  | "openI2c"
  | "openCan"
  | "write"
  | "pwmWrite"
  | "i2cRead"
  | "i2cWrite"
  | "i2cData"
  | "canSend"
  | "openSerial"
  | "serialSend"
  | "read"
  | "close";

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
  /** Counts one operation; whether it is one that was to fail, for failures that are no errors. */
  due(operation: SimOperation): boolean;
  /** Planned and not met yet. */
  pending(): number;
  clear(): void;
}

export function createFaults(): Faults {
  let planned: PlannedFault[] = [];

  function count(operation: SimOperation): PlannedFault | undefined {
    if (planned.length === 0) return undefined;
    let due: PlannedFault | undefined;
    for (const fault of planned) {
      if (fault.operation !== operation) continue;
      fault.left -= 1;
      if (fault.left === 0) due = fault;
    }
    if (due !== undefined) planned = planned.filter((fault) => fault.left > 0);
    return due;
  }

  return {
    plan(operation, nth, error) {
      if (!Number.isInteger(nth) || nth < 1) throw new AgentError("ARGUMENT", `operation ${nth} cannot fail; 1 is the next one`);
      planned.push({ operation, error, left: nth });
    },
    meet(operation, what) {
      const due = count(operation);
      if (due === undefined) return;
      throw due.error ?? new AgentError("IO", `${operation} of ${what} failed, as the simulated board was told to`);
    },
    due: (operation) => count(operation) !== undefined,
    pending: () => planned.length,
    clear() {
      planned = [];
    },
  };
}
