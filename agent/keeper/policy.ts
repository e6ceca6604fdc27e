import type { KeeperOptions } from "./options.ts";

/** What to do after the device host has ended. */
export type Verdict =
  | { readonly kind: "restart"; readonly waitMs: number }
  /** It ended too often: it stays down until somebody says otherwise. */
  | { readonly kind: "stay-down"; readonly ends: number };

/** Decides on restarts. Pure: time comes in, decisions come out. */
export interface RestartPolicy {
  /** It ended at `nowMs`, unasked; `healthyForMs` after it was ready, 0 when it never was. */
  ended(nowMs: number, healthyForMs: number): Verdict;
  /** Somebody wants it started again: what was before does not count any more. */
  forgive(): void;
  /** Ends within the window that reaches back from `nowMs`. */
  recentEnds(nowMs: number): number;
}

export function createRestartPolicy(options: KeeperOptions): RestartPolicy {
  const { restartMinMs, restartMaxMs, healthyMs, crashes, crashWindowMs } = options;
  let ends: number[] = [];
  let waitMs = restartMinMs;

  function withinWindow(nowMs: number): number[] {
    return ends.filter((endMs) => nowMs - endMs < crashWindowMs);
  }

  return {
    ended(nowMs, healthyForMs) {
      ends = [...withinWindow(nowMs), nowMs];
      if (ends.length >= crashes) return { kind: "stay-down", ends: ends.length };
      if (healthyForMs >= healthyMs) waitMs = restartMinMs;
      const verdict = { kind: "restart", waitMs } as const;
      // From 0 it could not double.
      waitMs = Math.min(restartMaxMs, Math.max(1, waitMs * 2));
      return verdict;
    },
    forgive() {
      ends = [];
      waitMs = restartMinMs;
    },
    recentEnds: (nowMs) => withinWindow(nowMs).length,
  };
}

/** Decides whether the device host is alive. Pure: time comes in, decisions come out. */
export interface BeatWatch {
  /** A sign of life at `nowMs`. */
  beat(nowMs: number): void;
  /** Asked at `nowMs`, `lateMs` after that was due: in how many milliseconds to ask again, or 0 when the device host is to be killed. */
  check(nowMs: number, lateMs: number): number;
}

/**
 * Silence counts only when the check is on time: after a standstill of this process the beats of that time lie unread in the socket, and a healthy device host
 * must not be killed for it. A period later it counts, however late that check is as well, since the socket was read in between: a process that is always
 * late still notices. The silence begins at `startMs`.
 */
export function createBeatWatch(
  { heartbeatMs, missedBeats }: Pick<KeeperOptions, "heartbeatMs" | "missedBeats">,
  startMs: number,
): BeatWatch {
  const limitMs = heartbeatMs * missedBeats;
  let beatMs = startMs;
  let excused = false;
  return {
    beat(nowMs) {
      beatMs = nowMs;
      excused = false;
    },
    check(nowMs, lateMs) {
      const leftMs = beatMs + limitMs - nowMs;
      if (leftMs > 0) return leftMs;
      if (excused || lateMs <= heartbeatMs / 2) return 0;
      excused = true;
      return heartbeatMs;
    },
  };
}
