import { AgentError } from "../../../agent/contract/errors.ts";
import { createRecorder, type History } from "./history.ts";
import type { Clock } from "../../../agent/contract/clock.ts";
import type { PwmOutput } from "../../../agent/contract/board.ts";
import type { Faults } from "./faults.ts";

/** What happened on a PWM channel: it was opened, its duty cycle changed, it was given back. `dutyRatio` (0–1) is the one right after it. */
export interface PwmEvent {
  readonly atMs: number;
  readonly event: "open" | "duty" | "release";
  readonly dutyRatio: number;
  readonly periodNs: number;
}

/** What a meter on a channel shows and has shown. */
export interface DutyRecord {
  /** 0–1. */
  dutyRatio(): number;
  history(): History<PwmEvent>;
  opened(periodNs: number): void;
  /** Costs nothing when the duty cycle stays. */
  duty(dutyRatio: number): void;
  released(): void;
  reset(): void;
}

export function createDutyRecord(clock: Clock, historyLimit: number): DutyRecord {
  const recorder = createRecorder<PwmEvent>(historyLimit);
  let periodNs = 0;
  let dutyRatio = 0;

  function record(event: PwmEvent["event"]): void {
    recorder.record({ atMs: clock.monotonicMs(), event, dutyRatio, periodNs });
  }

  return {
    dutyRatio: () => dutyRatio,
    history: () => recorder.history(),
    opened(period) {
      periodNs = period;
      record("open");
    },
    duty(next) {
      if (next === dutyRatio) return;
      dutyRatio = next;
      record("duty");
    },
    released() {
      record("release");
    },
    reset() {
      recorder.clear();
    },
  };
}

/** Opens a channel of the chip `sim`, whose duty cycles are what is recorded. `name` is its `pwmText`. */
export function openSimPwm(name: string, periodNs: number, record: DutyRecord, faults: Faults): PwmOutput {
  let closed = false;
  record.opened(periodNs);
  return {
    write(next) {
      if (closed) throw new AgentError("IO", `${name} is closed`);
      if (!(next >= 0 && next <= 1)) throw new AgentError("ARGUMENT", `${name}: a duty cycle of ${next} is not from 0 to 1`);
      faults.meet("pwmWrite", name);
      record.duty(next);
    },
    close() {
      if (closed) return;
      closed = true;
      record.duty(0);
      record.released();
      faults.meet("close", name);
    },
  };
}
