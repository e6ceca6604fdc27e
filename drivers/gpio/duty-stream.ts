import { isPending, type Eventually } from "../../agent/contract/value.ts";
import type { PwmOutput } from "../../agent/contract/board.ts";

/** One PWM channel that is written again and again. */
export interface DutyStream {
  /** Writes at once, whatever is under way, and forgets what was offered: the last write is what holds. Throws or rejects IO. */
  write(dutyRatio: number): Eventually<void>;
  /** Writes when no offered write is under way any more; the newest of those that wait is the one that is written. Throws IO when that shows at once. */
  offer(dutyRatio: number): void;
  close(): Eventually<void>;
}

/** `failed` is told of offered writes that fail later. */
export function createDutyStream(output: PwmOutput, failed: (error: unknown) => void): DutyStream {
  let underWay = false;
  let waiting: number | undefined;

  function offer(dutyRatio: number): void {
    if (underWay) {
      waiting = dutyRatio;
      return;
    }
    const written = output.write(dutyRatio);
    if (!isPending(written)) return;
    underWay = true;
    written.then(goOn, giveUp).catch(failed);
  }

  function goOn(): void {
    underWay = false;
    if (waiting === undefined) return;
    const next = waiting;
    waiting = undefined;
    offer(next);
  }

  function giveUp(error: unknown): void {
    underWay = false;
    waiting = undefined;
    failed(error);
  }

  return {
    write(dutyRatio) {
      waiting = undefined;
      return output.write(dutyRatio);
    },
    offer,
    close() {
      waiting = undefined;
      return output.close();
    },
  };
}
