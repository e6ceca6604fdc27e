import { lineRef, type Board, type DigitalOutput } from "../../agent/contract/board.ts";
import type { BoardWorld } from "./board.ts";

/** A wire between a line that the suite drives and one that it reads. */
export type Jumper = readonly [driven: string, read: string];

/** The outside of a board whose lines are wired to each other: what is driven is read, and what is read driven, at a wire's other end. */
export function createJumperWorld(board: Board, jumpers: readonly Jumper[]): BoardWorld {
  const drivers = new Map<string, DigitalOutput>();

  function otherEnd(line: string, from: 0 | 1): string {
    const jumper = jumpers.find((ends) => ends[from] === line);
    if (jumper === undefined) throw new Error(`no jumper on ${line}`);
    return jumper[from === 0 ? 1 : 0];
  }

  return {
    async level(line) {
      const probe = await board.openInput("jumper", lineRef(otherEnd(line, 0)), {});
      const level = probe.read();
      probe.close();
      return level;
    },
    async drive(line, level) {
      const driver = drivers.get(line);
      if (driver === undefined) drivers.set(line, await board.openOutput("jumper", lineRef(otherEnd(line, 1)), level));
      else driver.write(level);
    },
    close() {
      for (const driver of drivers.values()) driver.close();
      drivers.clear();
    },
  };
}
