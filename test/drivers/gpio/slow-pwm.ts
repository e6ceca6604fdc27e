import type { Board, PwmOutput } from "../../../agent/contract/board.ts";

/** A board whose duty cycles take until the test says so, as over a bus, in the order they were asked for. */
export interface SlowPwm {
  readonly board: Board;
  /** Duty cycles asked for and not written yet, oldest first. */
  readonly waiting: number[];
  /** Duty cycles written, oldest first. */
  readonly written: number[];
  /** Writes the oldest one, or fails it. */
  finish(error?: Error): void;
}

export function slowPwm(board: Board): SlowPwm {
  const waiting: number[] = [];
  const written: number[] = [];
  const settle: ((error?: Error) => void)[] = [];
  const output: PwmOutput = {
    write: (dutyRatio) =>
      new Promise<void>((resolve, reject) => {
        waiting.push(dutyRatio);
        settle.push((error) => {
          if (error !== undefined) {
            reject(error);
            return;
          }
          written.push(dutyRatio);
          resolve();
        });
      }),
    close: () => undefined,
  };
  return {
    board: { ...board, openPwm: async () => output },
    waiting,
    written,
    finish(error) {
      waiting.shift();
      settle.shift()?.(error);
    },
  };
}
