import { lineRef } from "../../agent/contract/board.ts";
import { startOn } from "./start-on.ts";
import type { Board, PwmRef } from "../../agent/contract/board.ts";
import type { Eventually } from "../../agent/contract/value.ts";

/** Percent of full brightness each beam stands for; `low` is less than `high`. */
export interface Beams {
  readonly low: number;
  readonly high: number;
}

/** What lights the lamp. `percent` is 0–100 of full brightness; 0 is dark, the beams are what the wiring makes of the rest. */
export interface LightPort {
  write(percent: number): Eventually<void>;
  /** The percent the lamp gives when `percent` is asked for. */
  drivenPercent(percent: number): number;
  close(): Eventually<void>;
}

/** A plain line: anything above 0 is full. */
export async function openLinePort(board: Board, owner: string, line: string, activeLow: boolean, percent: number): Promise<LightPort> {
  const output = await board.openOutput(owner, lineRef(line), percent > 0 !== activeLow);
  return {
    write: (next) => output.write(next > 0 !== activeLow),
    drivenPercent: (asked) => (asked > 0 ? 100 : 0),
    close: () => output.close(),
  };
}

/** Two filaments, never both: the low one up to the low beam's percent, the high one above. Both lines change in one kernel call. */
export async function openFilamentPort(
  board: Board,
  owner: string,
  lines: { readonly low: string; readonly high: string },
  activeLow: boolean,
  beams: Beams,
  percent: number,
): Promise<LightPort> {
  const dark = [activeLow, activeLow];
  const low = [!activeLow, activeLow];
  const high = [activeLow, !activeLow];
  const levels = (asked: number): readonly boolean[] => (asked <= 0 ? dark : asked <= beams.low ? low : high);
  const outputs = await board.openOutputs(owner, [lineRef(lines.low), lineRef(lines.high)], levels(percent));
  return {
    write: (next) => outputs.write(levels(next)),
    drivenPercent: (asked) => (asked <= 0 ? 0 : asked <= beams.low ? beams.low : beams.high),
    close: () => outputs.close(),
  };
}

/** A PWM channel: the duty cycle is the percent. It is dark while it opens and after it closes. */
export async function openPwmPort(board: Board, owner: string, channel: PwmRef, frequencyHz: number, percent: number): Promise<LightPort> {
  const output = await board.openPwm(owner, channel, Math.round(1e9 / frequencyHz));
  return startOn(output, async () => {
    await output.write(percent / 100);
    return {
      write: (next) => output.write(next / 100),
      drivenPercent: (asked) => asked,
      close: () => output.close(),
    };
  });
}
