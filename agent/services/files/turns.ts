/** First come, first served: what runs alone waits for everything before it, and everything after it waits for it. */
export interface Turns {
  /** Runs beside others that share. */
  shared<T>(run: () => Promise<T>): Promise<T>;
  /** Runs with nothing beside it. */
  alone<T>(run: () => Promise<T>): Promise<T>;
}

interface Waiter {
  readonly alone: boolean;
  readonly start: () => void;
}

/** The order of what is done to one thing. */
export function createTurns(): Turns {
  const waiting: Waiter[] = [];
  let running = 0;
  let taken = false;

  function startNext(): void {
    for (let [first] = waiting; first !== undefined; [first] = waiting) {
      if (taken || (first.alone && running > 0)) return;
      waiting.shift();
      running += 1;
      taken = first.alone;
      first.start();
    }
  }

  async function queue<T>(alone: boolean, run: () => Promise<T>): Promise<T> {
    await new Promise<void>((resolve) => {
      waiting.push({ alone, start: resolve });
      startNext();
    });
    try {
      return await run();
    } finally {
      running -= 1;
      taken = false;
      startNext();
    }
  }

  return { shared: (run) => queue(false, run), alone: (run) => queue(true, run) };
}

/** At most so many at once, the others in the order they came. */
export interface Slots {
  run<T>(work: () => Promise<T>): Promise<T>;
}

export function createSlots(most: number): Slots {
  const waiting: (() => void)[] = [];
  let free = most;

  return {
    async run(work) {
      if (free > 0) free -= 1;
      else {
        await new Promise<void>((resolve) => {
          waiting.push(resolve);
        });
      }
      try {
        return await work();
      } finally {
        // The slot is handed on, so that nobody who comes now overtakes.
        const next = waiting.shift();
        if (next === undefined) free += 1;
        else next();
      }
    },
  };
}
