import { AgentError } from "../../../agent/contract/errors.ts";
import { createRecorder, type History } from "./history.ts";
import type { Cancel, Clock } from "../../../agent/contract/clock.ts";
import type { PwmOutput } from "../../../agent/contract/board.ts";
import type { Faults } from "./faults.ts";

/** What happened on a PWM channel: it was opened, its duty cycle changed, it was given back. `dutyRatio` (0–1) is the one right after it. */
export interface PwmEvent {
  readonly atMs: number;
  readonly event: "open" | "duty" | "release";
  readonly dutyRatio: number;
  readonly periodNs: number;
}

export interface SimPwmChannel {
  /** 0 while the channel is closed. */
  dutyRatio(): number;
  history(): History<PwmEvent>;
  open(periodNs: number, giveBack: Cancel): PwmOutput;
  reset(): void;
}

/** `name` is the channel's `pwmText`. */
export function createSimPwmChannel(name: string, clock: Clock, faults: Faults, historyLimit: number): SimPwmChannel {
  const recorder = createRecorder<PwmEvent>(historyLimit);
  let periodNs = 0;
  let dutyRatio = 0;

  function record(event: PwmEvent["event"]): void {
    recorder.record({ atMs: clock.monotonicMs(), event, dutyRatio, periodNs });
  }

  function set(next: number): void {
    if (next === dutyRatio) return;
    dutyRatio = next;
    record("duty");
  }

  return {
    dutyRatio: () => dutyRatio,
    history: () => recorder.history(),
    open(period, giveBack) {
      let closed = false;
      periodNs = period;
      record("open");
      return {
        write(next) {
          if (closed) throw new AgentError("IO", `${name} is closed`);
          if (!(next >= 0 && next <= 1)) throw new AgentError("ARGUMENT", `${name}: a duty cycle of ${next} is not from 0 to 1`);
          faults.meet("pwmWrite", name);
          set(next);
        },
        close() {
          if (closed) return;
          closed = true;
          set(0);
          record("release");
          giveBack();
          faults.meet("close", name);
        },
      };
    },
    reset() {
      recorder.clear();
    },
  };
}
