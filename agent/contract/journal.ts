import type { Cancel } from "./clock.ts";
import type { EventId } from "./request.ts";

/** `rule`: a rule began to hold, or asks for something else than before. `message`: one from the queue was given to its handler. */
export type EventKind =
  "rule" | "actuate" | "refuse" | "lease-end" | "fault" | "safe" | "reset" | "estop" | "open" | "close" | "clone-test" | "message";

/** One entry: what happened to what, because of what. */
export interface JournalEvent {
  readonly id: EventId;
  readonly wallMs: number;
  readonly kind: EventKind;
  /** The device or the service. */
  readonly subject: string;
  /** Who caused it. */
  readonly caller: string;
  /** Function and arguments, or the reason. */
  readonly detail: string;
  /** The event this one follows from; 0 for none. */
  readonly cause: EventId;
}

/** The record of what moved and why: bounded, newest kept. */
export interface Journal {
  record(kind: EventKind, subject: string, caller: string, detail: string, cause?: EventId): EventId;
  /** The event, its cause, the cause's cause … newest first; empty when it is no longer kept. */
  chain(id: EventId): readonly JournalEvent[];
  /** The newest `count`, oldest first. */
  latest(count: number): readonly JournalEvent[];
  /** Told every event as it is recorded, in order; must be quick. */
  watch(listener: (event: JournalEvent) => void): Cancel;
  /** How many were ever recorded. */
  readonly recorded: number;
}
