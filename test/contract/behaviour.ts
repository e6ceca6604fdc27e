import type { Eventually } from "../../agent/contract/value.ts";
import type { Test } from "tap";

/** What is tested, and what is on its other side. */
export interface Opened<Tested, World> {
  readonly board: Tested;
  readonly world: World;
}

interface Closable {
  close?(): Eventually<void>;
}

/** One behaviour: a subtest on what was opened for it alone. */
export type Behaviour<Tested, World> = (title: string, run: (t: Test, board: Tested, world: World) => Promise<void>) => void;

/** Subtests of `t`, each on what `open` gives it. The world is closed first: it may have lines of the board. */
export function behavioursOf<Tested extends Closable, World extends Closable>(
  t: Test,
  open: () => Promise<Opened<Tested, World>>,
): Behaviour<Tested, World> {
  return (title, run) => {
    t.test(title, async (t) => {
      const { board, world } = await open();
      try {
        await run(t, board, world);
      } finally {
        await world.close?.();
        await board.close?.();
      }
    });
  };
}

const SETTLES = 300;

/** Whether `condition` is met after as many turns of `settle`, some 20 ms each, as that takes: a few seconds of them at the most. */
export async function metBy(settle: () => Promise<void>, condition: () => Eventually<boolean>): Promise<boolean> {
  for (let i = 0; i < SETTLES; i++) {
    if (await condition()) return true;
    await settle();
  }
  return condition();
}
