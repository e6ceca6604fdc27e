import type { DeviceContext } from "../../agent/contract/device.ts";

export interface PollingOptions {
  readonly periodMs: number;
  /** Readings in a row that may fail before the device does. */
  readonly faultAfter: number;
  /** One reading: asks the chip and publishes. What it rejects with is why there is none. */
  readonly read: () => Promise<void>;
  /** There was no reading. */
  readonly missed: (error: unknown) => void;
}

export interface Polling {
  /** Reads as soon as no reading is under way, without waiting for the period. */
  now(): void;
  stop(): void;
}

/** Reads a chip again and again, one reading at a time: a slow bus makes readings rarer, it does not pile them up. */
export function startPolling(context: DeviceContext, { periodMs, faultAfter, read, missed }: PollingOptions): Polling {
  let underWay = false;
  let again = false;
  let stopped = false;
  let failures = 0;

  async function poll(): Promise<void> {
    underWay = true;
    try {
      await read();
      failures = 0;
    } catch (error) {
      if (!stopped) count(error);
    } finally {
      underWay = false;
    }
    if (again && !stopped) start();
  }

  function count(error: unknown): void {
    failures += 1;
    missed(error);
    if (failures < faultAfter) return;
    failures = 0;
    context.fault(error);
  }

  function start(): void {
    again = false;
    poll().catch((error: unknown) => context.fault(error));
  }

  const cancel = context.every(periodMs, () => {
    if (!underWay) start();
  });
  return {
    now() {
      if (underWay) again = true;
      else start();
    },
    stop() {
      stopped = true;
      cancel();
    },
  };
}
