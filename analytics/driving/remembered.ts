import type { Points } from "./arc.ts";

/** A place in the vehicle's surroundings that does not move with the vehicle: metres and radians since an arbitrary start. */
export interface Pose {
  readonly x: number;
  readonly y: number;
  readonly yaw: number;
}

/** More things at once are not remembered; those in sight are yielded to all the same. */
const MOST_THINGS = 12;

/** A thing is the same one that was seen within this of it before, metres. */
const SAME_M = 0.8;

/** Places where something moves, each with since when that is known, milliseconds. */
export interface Moved extends Points {
  readonly sinceMs: Float64Array;
}

/** Rays that belong together lie no farther apart, metres. */
const APART_M = 0.6;

/** A thing was seen to move for so long before it is remembered, and is forgotten when it was not seen for so long, milliseconds. */
const YOUNG_MS = 120;
const OLD_MS = 1500;

interface Thing {
  x: number;
  y: number;
  bornMs: number;
  seenMs: number;
}

/** Things that moved and may be out of sight now, behind what is parked. */
export interface Remembered {
  /** The places of rays that moved, in the frame of the rear axle, neighbours one after the other. */
  take(moved: Moved, pose: Pose, nowMs: number): void;
  /** Calls `visit` with each thing that is out of sight: where it was seen last, in the frame of the rear axle, and for how long it is gone. */
  forHidden(pose: Pose, nowMs: number, visit: (x: number, y: number, ageMs: number) => void): void;
}

export function createRemembered(): Remembered {
  const things: Thing[] = Array.from({ length: MOST_THINGS }, () => ({ x: 0, y: 0, bornMs: 0, seenMs: -Infinity }));

  const isKnown = (thing: Thing, nowMs: number): boolean => nowMs - thing.seenMs <= OLD_MS;

  function see(x: number, y: number, sinceMs: number, nowMs: number): void {
    const known = things.find((thing) => isKnown(thing, nowMs) && Math.hypot(thing.x - x, thing.y - y) < SAME_M);
    const thing = known ?? things.find((other) => !isKnown(other, nowMs));
    if (thing === undefined) return;
    thing.bornMs = known === undefined ? sinceMs : Math.min(thing.bornMs, sinceMs);
    thing.x = x;
    thing.y = y;
    thing.seenMs = nowMs;
  }

  /** The middle of the rays `from` up to, not including, `to`, as a place that stays. */
  function seeGroup(moved: Moved, from: number, to: number, pose: Pose, nowMs: number): void {
    let x = 0;
    let y = 0;
    let sinceMs = nowMs;
    for (let i = from; i < to; i++) {
      x += (moved.x[i] as number) / (to - from);
      y += (moved.y[i] as number) / (to - from);
      sinceMs = Math.min(sinceMs, moved.sinceMs[i] as number);
    }
    const cos = Math.cos(pose.yaw);
    const sin = Math.sin(pose.yaw);
    see(pose.x + x * cos - y * sin, pose.y + x * sin + y * cos, sinceMs, nowMs);
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
    },
    forHidden(pose, nowMs, visit) {
      for (const thing of things) {
        const ageMs = nowMs - thing.seenMs;
        if (ageMs <= 0 || ageMs > OLD_MS || thing.seenMs - thing.bornMs < YOUNG_MS) continue;
        const dx = thing.x - pose.x;
        const dy = thing.y - pose.y;
        visit(dx * Math.cos(pose.yaw) + dy * Math.sin(pose.yaw), dy * Math.cos(pose.yaw) - dx * Math.sin(pose.yaw), ageMs);
      }
    },
  };
}
