import { z } from "zod";

import type { Cancel } from "./clock.ts";

/** How a port is set up, and when it counts as lost. */
export interface SerialOptions {
  readonly baudRate: number;
  readonly dataBits: 5 | 6 | 7 | 8;
  readonly parity: "none" | "even" | "odd";
  readonly stopBits: 1 | 2;
  /** Without a byte for so long an open port is closed and opened again, milliseconds: some stay open and dead after the kernel reset their USB device. 0: never. */
  readonly silentMs: number;
  /** Pause before the first attempt to open it again, doubled from attempt to attempt up to `retryMaxMs`, milliseconds. */
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  /** Bytes that may wait to be sent. */
  readonly sendBytes: number;
}

/** By what a port is named: `/dev/serial/by-id/…` stays the same when the kernel numbers its ports differently. */
export const serialPathSchema = z
  .string()
  .regex(/^\/\S+$/)
  .describe("path of the port; one of /dev/serial/by-id stays the same whatever number the kernel gives it");

/** The options a driver that speaks over a serial port has beside its own; `baudRate` is the instrument's usual one. */
export function serialOptionsShape(baudRate: number) {
  return {
    path: serialPathSchema,
    baudRate: z.int().min(50).max(4_000_000).default(baudRate).describe("bits per second"),
    dataBits: z.union([z.literal(5), z.literal(6), z.literal(7), z.literal(8)]).default(8),
    parity: z.enum(["none", "even", "odd"]).default("none"),
    stopBits: z.union([z.literal(1), z.literal(2)]).default(1),
    silentMs: z
      .int()
      .min(0)
      .max(3_600_000)
      .default(5000)
      .describe("without a byte for so long the port is opened again, milliseconds; 0: never"),
    retryMinMs: z
      .int()
      .min(10)
      .max(60_000)
      .default(250)
      .describe("pause before the first attempt to open a lost port, milliseconds; doubled each time"),
    retryMaxMs: z.int().min(10).max(600_000).default(5000).describe("the longest pause between attempts, milliseconds"),
    sendBytes: z.int().min(16).max(1_048_576).default(4096).describe("bytes that may wait to be sent"),
  } as const;
}

/** `waiting`: there is nothing at the path, or it cannot be opened now; attempts go on. */
export type SerialState = "open" | "waiting";

/**
 * The bytes of one port, through every loss and return of it: unplugged and plugged in again, present late, silent. Whoever decodes them starts afresh with
 * every `open`, because what was under way is lost.
 */
export interface SerialStream {
  state(): SerialState;
  /** Why it is in that state: `/dev/ttyUSB0 is not there; trying again every 5 s`. */
  reason(): string;
  /** Called with every change of state, after `state()` has changed. */
  onState(listener: (state: SerialState, reason: string) => void): Cancel;
  /** Called with what arrived, in order; `bytes` are only valid during the call. */
  onData(listener: (bytes: Uint8Array, atMs: number) => void): Cancel;
  /** Takes a copy to be sent. Throws NOT_READY while waiting, FULL when more than `sendBytes` would wait. */
  write(bytes: Uint8Array): void;
  /** Closes the port and opens it again, for a driver that finds its instrument dead. */
  reopen(reason: string): void;
  close(): Promise<void>;
}
