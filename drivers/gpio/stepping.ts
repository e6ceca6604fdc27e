import type { Cancel } from "../../agent/contract/clock.ts";
import type { DeviceContext } from "../../agent/contract/device.ts";

/** Work in steps of one period each, for as long as there is some. */
export interface Stepping {
  /** The first step is now, or when the period since the last one is over. Does nothing while steps are being taken. Throws what the first step throws. */
  start(): void;
  stop(): void;
}

/** `step` is one period's work, never more, however late it comes; it returns whether there is more. What it throws later is the device's fault. */
export function createStepping(context: DeviceContext, periodMs: number, step: (nowMs: number) => boolean): Stepping {
  let lastMs = -Infinity;
  let cancel: Cancel | undefined;

  function run(nowMs: number): boolean {
    lastMs = nowMs;
    return step(nowMs);
  }

  function stop(): void {
    cancel?.();
    cancel = undefined;
  }

  function tick(nowMs: number): void {
    try {
      if (!run(nowMs)) stop();
    } catch (error) {
      stop();
      context.fault(error);
    }
  }

  return {
    start() {
      if (cancel !== undefined) return;
      const nowMs = context.clock.monotonicMs();
      if (nowMs - lastMs >= periodMs && !run(nowMs)) return;
      cancel = context.every(periodMs, tick);
    },
    stop,
  };
}
