import type { SimWorld } from "../../../drivers/board/sim/sim-board.ts";

/** What happened on a PWM channel, one word each, pulses in whole microseconds: `open:0 1500 0 release:0`. */
export function pulseTrace(world: SimWorld, channel: string): string {
  return pulses(world, channel)
    .map(({ event, pulseUs }) => (event === "duty" ? String(pulseUs) : `${event}:${pulseUs}`))
    .join(" ");
}

/** The same with times. */
export function pulses(world: SimWorld, channel: string): { event: string; atMs: number; pulseUs: number }[] {
  return world
    .dutyHistory(channel)
    .entries.map(({ event, atMs, dutyRatio, periodNs }) => ({ event, atMs, pulseUs: Math.round((dutyRatio * periodNs) / 1000) }));
}
