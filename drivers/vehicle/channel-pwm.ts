import { AgentError } from "../../agent/contract/errors.ts";
import type { Board, PwmRef } from "../../agent/contract/board.ts";
import type { Channel } from "./channel.ts";

/** Value and pulse in microseconds; values rise. */
type Points = readonly (readonly [number, number])[];

/** The pulse for `value`: on the straight line between the two points around it, or that of the outermost point beyond them. */
export function pulseUsAt(points: Points, value: number): number {
  let before = points[0];
  if (before === undefined) throw new AgentError("ARGUMENT", "a pulse needs points");
  if (value <= before[0]) return before[1];
  for (const point of points) {
    if (value <= point[0]) {
      const share = (value - before[0]) / (point[0] - before[0]);
      return before[1] + share * (point[1] - before[1]);
    }
    before = point;
  }
  return before[1];
}

/** A servo's PWM channel. Without a pulse until the first write. */
export async function openPulseChannel(board: Board, owner: string, pwm: PwmRef, frequencyHz: number, points: Points): Promise<Channel> {
  const output = await board.openPwm(owner, pwm, Math.round(1e9 / frequencyHz));
  const dutyPerUs = frequencyHz / 1e6;
  return {
    write: (value) => output.write(pulseUsAt(points, value) * dutyPerUs),
    silence: () => output.write(0),
    close: () => output.close(),
  };
}
