import { AgentError } from "../../contract/errors.ts";
import type { Cancel, Clock } from "../../contract/clock.ts";
import type { Caller, Reply } from "../../contract/request.ts";

/** Where requests wait for something that has not come yet. */
export interface WaitingRoom {
  /**
   * Resolves with what is given, or with `otherwise` after `waitMs`, when the caller is gone and when the room is closed: `enlist` is cancelled then.
   * Throws FULL when too many wait.
   */
  wait(caller: Caller, waitMs: number, otherwise: Reply, enlist: (give: (reply: Reply) => void) => Cancel): Promise<Reply>;
  readonly size: number;
  close(): void;
}

export function createWaitingRoom(clock: Clock, most: number): WaitingRoom {
  const waiting = new Set<() => void>();
  return {
    wait(caller, waitMs, otherwise, enlist) {
      if (waiting.size >= most) throw new AgentError("FULL", `${most} requests wait already (queue.maxWaiting); ask without WAIT`);
      return new Promise((resolve) => {
        const { signal } = caller;
        const end = (reply: Reply): void => {
          if (!waiting.delete(giveUp)) return;
          cancelTimer();
          cancel();
          signal.removeEventListener("abort", giveUp);
          resolve(reply);
        };
        const giveUp = (): void => {
          end(otherwise);
        };
        waiting.add(giveUp);
        const cancelTimer = clock.after(waitMs, giveUp);
        const cancel = enlist(end);
        signal.addEventListener("abort", giveUp);
        if (signal.aborted) giveUp();
      });
    },
    get size() {
      return waiting.size;
    },
    close() {
      for (const giveUp of waiting) giveUp();
    },
  };
}
