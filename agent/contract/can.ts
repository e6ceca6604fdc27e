import type { Cancel } from "./clock.ts";

/** One classical CAN data frame. */
export interface CanFrame {
  /** Arbitration ID: 11 bits, or 29 when `extended`. */
  readonly id: number;
  readonly extended: boolean;
  /** 0 to 8 bytes. */
  readonly data: Uint8Array;
}

/** Frames with `(frame.id & mask) === (id & mask)` and the same length of ID pass. */
export interface CanFilter {
  readonly id: number;
  readonly mask: number;
  readonly extended: boolean;
}

/** Error state of the controller (ISO 11898-1: error active, warning level, error passive, bus off); `down`: the interface is not up. */
export type CanState = "active" | "warning" | "passive" | "bus-off" | "down";

/** One socket on one interface. Several devices may have one each on the same interface; they do not see each other's frames as their own. */
export interface CanChannel {
  /** Hands the frame to the interface's queue. Throws FULL when the queue is full, IO when the interface is down or bus-off, ARGUMENT for a frame that is none. */
  send(frame: CanFrame): void;
  /** Called with every frame that passes one of the filters, in order; `frame.data` is only valid during the call. */
  onFrame(filters: readonly CanFilter[], listener: (frame: CanFrame) => void): Cancel;
  state(): CanState;
  /** Called with every new state, with the kernel's reason in words. */
  onState(listener: (state: CanState, reason: string) => void): Cancel;
  close(): void;
}
