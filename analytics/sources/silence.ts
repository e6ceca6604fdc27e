import type { Cancel, Clock } from "../../agent/contract/clock.ts";

/** Watches one connection for silence. */
export interface SilenceWatch {
  /** Something arrived. */
  heard(): void;
  cancel: Cancel;
}

/** Calls `onSilence` once, when nothing was heard for `idleMs`. Its one timer is not moved by what is heard: it looks when it fires. */
export function watchSilence(clock: Clock, idleMs: number, onSilence: () => void): SilenceWatch {
  let heardMs = clock.monotonicMs();
  let cancel = clock.after(idleMs, look);

  function look(): void {
    const leftMs = heardMs + idleMs - clock.monotonicMs();
    if (leftMs <= 0) onSilence();
    else cancel = clock.after(leftMs, look);
  }

  return {
    heard() {
      heardMs = clock.monotonicMs();
    },
    cancel() {
      cancel();
    },
  };
}
