import { AgentError } from "../../../agent/contract/errors.ts";
import { createListeners } from "../listeners.ts";
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
  const listeners = createListeners<[edge: Edge]>();
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
    listeners.tell(edge);
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
      return listeners.add(listener);
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
