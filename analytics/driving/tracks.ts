import type { Points } from "./arc.ts";

/** A place in the vehicle's surroundings that does not move with the vehicle: metres and radians since an arbitrary start. */
export interface Pose {
  readonly x: number;
  readonly y: number;
  readonly yaw: number;
}

/** More things at once are not remembered; those in sight are yielded to all the same. */
const MOST_TRACKS = 12;

/** The same thing is found again within this of where it should be, metres. */
const SAME_M = 0.8;

/** Rays that belong together lie no farther apart, metres. */
const APART_M = 0.6;

/** A thing was seen to move for so long before it is remembered, and is forgotten when it was not seen for so long, milliseconds. */
const YOUNG_MS = 120;
const OLD_MS = 1500;

/** Weights of a new place: alpha and beta of the usual filter, for tables every 10 ms. */
const ALPHA = 0.15;
const BETA = 0.02;

interface Track {
  x: number;
  y: number;
  vx: number;
  vy: number;
  bornMs: number;
  seenMs: number;
  live: boolean;
}

/** Things that move, followed from table to table. */
export interface Tracks {
  /** The places of rays that moved, in the frame of the rear axle, neighbours one after the other. */
  take(moved: Points, pose: Pose, nowMs: number): void;
  /** Calls `visit` with each thing that is out of sight, where it was seen last in the frame of the rear axle, and for how long. */
  forHidden(pose: Pose, nowMs: number, visit: (x: number, y: number, ageMs: number) => void): void;
  forget(): void;
}

export function createTracks(): Tracks {
  const tracks: Track[] = Array.from({ length: MOST_TRACKS }, () => ({ x: 0, y: 0, vx: 0, vy: 0, bornMs: 0, seenMs: 0, live: false }));

  function nearest(x: number, y: number, nowMs: number): Track | undefined {
    let best: Track | undefined;
    let bestM = SAME_M;
    for (const track of tracks) {
      if (!track.live) continue;
      const dtS = (nowMs - track.seenMs) / 1000;
      const away = Math.hypot(track.x + track.vx * dtS - x, track.y + track.vy * dtS - y);
      if (away >= bestM) continue;
      best = track;
      bestM = away;
    }
    return best;
  }

  function see(x: number, y: number, nowMs: number): void {
    const track = nearest(x, y, nowMs);
    if (track === undefined) {
      const free = tracks.find(({ live }) => !live);
      if (free !== undefined) Object.assign(free, { x, y, vx: 0, vy: 0, bornMs: nowMs, seenMs: nowMs, live: true });
      return;
    }
    const dtS = (nowMs - track.seenMs) / 1000;
    if (dtS <= 0) return;
    const offX = x - (track.x + track.vx * dtS);
    const offY = y - (track.y + track.vy * dtS);
    track.x = x - (1 - ALPHA) * offX;
    track.y = y - (1 - ALPHA) * offY;
    track.vx += (BETA * offX) / dtS;
    track.vy += (BETA * offY) / dtS;
    track.seenMs = nowMs;
  }

  /** The middle of rays `from` up to, not including, `to`, as a place that stays. */
  function seeGroup(moved: Points, from: number, to: number, pose: Pose, nowMs: number): void {
    let x = 0;
    let y = 0;
    for (let i = from; i < to; i++) {
      x += (moved.x[i] as number) / (to - from);
      y += (moved.y[i] as number) / (to - from);
    }
    see(pose.x + x * Math.cos(pose.yaw) - y * Math.sin(pose.yaw), pose.y + x * Math.sin(pose.yaw) + y * Math.cos(pose.yaw), nowMs);
  }

  return {
    take(moved, pose, nowMs) {
      let from = 0;
      for (let i = 1; i <= moved.count; i++) {
        const apart = Math.hypot((moved.x[i] as number) - (moved.x[i - 1] as number), (moved.y[i] as number) - (moved.y[i - 1] as number));
        if (i < moved.count && apart < APART_M) continue;
        seeGroup(moved, from, i, pose, nowMs);
        from = i;
      }
      for (const track of tracks) if (nowMs - track.seenMs > OLD_MS) track.live = false;
    },
    forHidden(pose, nowMs, visit) {
      for (const track of tracks) {
        const ageMs = nowMs - track.seenMs;
        if (!track.live || ageMs <= 0 || track.seenMs - track.bornMs < YOUNG_MS) continue;
        const dx = track.x - pose.x;
        const dy = track.y - pose.y;
        visit(dx * Math.cos(pose.yaw) + dy * Math.sin(pose.yaw), dy * Math.cos(pose.yaw) - dx * Math.sin(pose.yaw), ageMs);
      }
    },
    forget() {
      for (const track of tracks) track.live = false;
    },
  };
}
