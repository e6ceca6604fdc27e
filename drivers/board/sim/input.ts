import { AgentError } from "../../../agent/contract/errors.ts";
import type { Cancel, Clock } from "../../../agent/contract/clock.ts";
import type { DigitalInput, Edge, InputOptions } from "../../../agent/contract/board.ts";
import type { Faults } from "./faults.ts";
import type { Pin } from "./pin.ts";

/**
 * Opens a pin as an input. As with a kernel that debounces, both `read` and the edges show the debounced level, and an edge is stamped
 * when its level has lasted long enough. Stamps rise even while the clock stands still.
 */
export function openSimInput(pin: Pin, options: InputOptions, clock: Clock, faults: Faults): DigitalInput {
  const debounceMs = (options.debounceUs ?? 0) / 1000;
  const listeners = new Set<(edge: Edge) => void>();
  let cancelDebounce: Cancel | undefined;
  let lastStampNs = 0n;
  let debounced = false;
  let closed = false;

  function accept(level: boolean): void {
    cancelDebounce = undefined;
    debounced = level;
    const nowNs = BigInt(Math.round(clock.monotonicMs() * 1e6));
    lastStampNs = nowNs > lastStampNs ? nowNs : lastStampNs + 1n;
    const edge: Edge = { rising: level, timestampNs: lastStampNs, kernelStamp: true };
    // A listener may cancel or close from within: those it ends are not called any more.
    for (const listener of [...listeners]) {
      if (listeners.has(listener)) listener(edge);
    }
  }

  function onLevel(level: boolean): void {
    cancelDebounce?.();
    cancelDebounce = undefined;
    if (level === debounced) return;
    if (debounceMs === 0) accept(level);
    else cancelDebounce = clock.after(debounceMs, () => accept(level));
  }

  pin.openInput(options.pull ?? "none", onLevel);
  debounced = pin.level();

  function mustBeOpen(): void {
    if (closed) throw new AgentError("IO", `line ${pin.name} is closed`);
  }

  return {
    read() {
      mustBeOpen();
      faults.meet("read", `line ${pin.name}`);
      return debounced;
    },
    onEdge(listener) {
      mustBeOpen();
      // Subscribed twice, called twice, cancelled one by one.
      const subscription = (edge: Edge): void => listener(edge);
      listeners.add(subscription);
      return () => {
        listeners.delete(subscription);
      };
    },
    close() {
      if (closed) return;
      closed = true;
      listeners.clear();
      cancelDebounce?.();
      pin.release();
      faults.meet("close", `line ${pin.name}`);
    },
  };
}
