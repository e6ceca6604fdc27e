import { lineText, pwmText, type Board, type LineRef } from "../../../agent/contract/board.ts";
import type { Clock } from "../../../agent/contract/clock.ts";

/** What every line and channel drove after one write: lines 0 or 1, channels their duty cycle. */
export interface Moment {
  readonly atMs: number;
  readonly drives: Readonly<Record<string, number>>;
}

/**
 * The board with a logic analyser on all of its outputs: every write of any port is one moment, in order, also of several at the same time.
 * With `busMs` duty cycles go over a bus that carries one after the other, each for that long.
 */
export function recordingBoard(board: Board, clock: Clock, busMs = 0): { readonly board: Board; readonly moments: Moment[] } {
  const drives: Record<string, number> = {};
  const moments: Moment[] = [];
  let bus = Promise.resolve();

  function note(names: readonly string[], values: readonly number[]): void {
    names.forEach((name, i) => {
      drives[name] = values[i] ?? 0;
    });
    moments.push({ atMs: clock.monotonicMs(), drives: { ...drives } });
  }

  function overBus(run: () => void): Promise<void> {
    const done = bus
      .then(
        () =>
          new Promise<void>((resolve) => {
            clock.after(busMs, resolve);
          }),
      )
      .then(run);
    bus = done.catch(() => undefined);
    return done;
  }

  async function openOutputs(owner: string, lines: readonly LineRef[], initial: readonly boolean[]) {
    const outputs = await board.openOutputs(owner, lines, initial);
    const names = lines.map(lineText);
    note(names, initial.map(Number));
    return {
      ...outputs,
      write(levels: readonly boolean[]) {
        outputs.write(levels);
        note(names, levels.map(Number));
      },
    };
  }

  return {
    moments,
    board: {
      ...board,
      openOutputs,
      async openOutput(owner, line, initial) {
        const outputs = await openOutputs(owner, [line], [initial]);
        return { write: (level) => outputs.write([level]), level: () => outputs.levels()[0] === true, close: () => outputs.close() };
      },
      async openPwm(owner, channel, periodNs) {
        const output = await board.openPwm(owner, channel, periodNs);
        const name = pwmText(channel);
        note([name], [0]);
        async function close(): Promise<void> {
          await output.close();
          note([name], [0]);
        }
        function write(dutyRatio: number): void {
          void output.write(dutyRatio);
          note([name], [dutyRatio]);
        }
        return {
          write: (dutyRatio) => (busMs === 0 ? write(dutyRatio) : overBus(() => write(dutyRatio))),
          close: () => (busMs === 0 ? close() : overBus(() => undefined).then(close)),
        };
      },
    },
  };
}
