import type { Cancel, Clock } from "../../contract/clock.ts";

/** Often enough that what expired does not take much room, seldom enough to cost nothing. */
const PERIOD_MS = 100;

/** When nothing expires: how soon it is noticed that something does now. */
const IDLE_PERIOD_MS = 1000;

/** Things looked at in one go; a go takes well below a millisecond. */
const LOOKED_AT = 1000;

/** Goes in one period, as long as a quarter of what is looked at has expired. */
const MAX_GOES = 10;

/** Removes what has expired and is not asked for any more: a bounded part of it every 100 ms, until it is cancelled. `mortal`: how much may expire. */
export function startSweeper(clock: Clock, mortal: () => number, sweep: (count: number) => number): Cancel {
  let cancel = clock.after(PERIOD_MS, run);

  function run(): void {
    for (let go = 0; go < MAX_GOES; go++) {
      if (sweep(LOOKED_AT) < LOOKED_AT / 4) break;
    }
    cancel = clock.after(mortal() > 0 ? PERIOD_MS : IDLE_PERIOD_MS, run);
  }

  return () => {
    cancel();
  };
}
