import { z } from "zod";

import { AgentError, toAgentError } from "../../agent/contract/errors.ts";
import { bitsOf, checksumOf, frameSchema, placeBits, rawOf, type FrameLayout, type Signal } from "./can-layout.ts";
import type { Board } from "../../agent/contract/board.ts";
import type { CanChannel, CanState } from "../../agent/contract/can.ts";
import type { Channel } from "./channel.ts";

export const canSchema = z.strictObject({
  interface: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,15}$/)
    .describe("name of the CAN interface: can0"),
  frames: z.record(z.string().min(1), frameSchema).describe("the frames that are sent, by name"),
  enable: z
    .strictObject({ frame: z.string().min(1), signal: z.string().min(1) })
    .optional()
    .describe("the signal that is 1 while the vehicle is driven or being stopped"),
});

export type CanOptions = z.output<typeof canSchema>;

/** The frames one device sends on one interface: nothing before `start`, then each one every period of its own. */
export interface FrameSet {
  /** The channel that is this signal. Throws ARGUMENT when it is not there, is taken, or cannot hold all of `values`. */
  channel(frame: string, signal: string, what: string, values: readonly number[]): Channel;
  /** Sends what is due. Throws IO, or TIMEOUT when a frame found no room for too long. */
  tick(nowMs: number): void;
  /** Sends every frame at once, whatever is due, unless none is sent yet: values have to reach the vehicle now. Throws as `tick` does. */
  flush(nowMs: number): void;
  start(): void;
  stop(): void;
  close(): void;
}

interface Sender {
  readonly name: string;
  readonly layout: FrameLayout;
  readonly data: Uint8Array;
  readonly counterBits: readonly number[];
  counter: number;
  dueMs: number;
  /** Since when it has found no room. */
  fullMs: number | undefined;
}

const STOPPED: ReadonlySet<CanState> = new Set<CanState>(["bus-off", "down"]);

/** Opens the interface. `fault` is told when the controller no longer takes part in the bus. */
export async function openFrames(board: Board, owner: string, options: CanOptions, fault: (error: AgentError) => void): Promise<FrameSet> {
  const port = await board.openCan(owner, options.interface);
  if (STOPPED.has(port.state())) {
    port.close();
    throw new AgentError("IO", `${options.interface} is ${port.state()}; check wiring, termination and bit rate, then bring it up`);
  }
  return createFrames(port, owner, options, fault);
}

function createFrames(port: CanChannel, owner: string, options: CanOptions, fault: (error: AgentError) => void): FrameSet {
  const senders = new Map<string, Sender>();
  const taken = new Set<string>();
  let sending = false;
  for (const [name, layout] of Object.entries(options.frames)) senders.set(name, createSender(name, layout));
  const cancelState = port.onState((state, reason) => {
    if (STOPPED.has(state))
      fault(new AgentError("IO", `${options.interface} is ${state}: ${reason}; check wiring, termination and bit rate`));
  });

  function send(sender: Sender, nowMs: number): void {
    const { name, layout, data } = sender;
    if (sender.counterBits.length > 0) placeBits(data, sender.counterBits, sender.counter);
    if (layout.checksum !== undefined) {
      data[layout.checksum.byte] = checksumOf(layout.checksum.kind, layout.id, data, layout.checksum.byte);
    }
    try {
      port.send({ id: layout.id, extended: layout.extended, data: data.slice() });
    } catch (thrown) {
      const error = toAgentError(thrown);
      if (error.code !== "FULL") throw error;
      sender.fullMs ??= nowMs;
      if (nowMs - sender.fullMs < layout.timeoutMs) return;
      throw new AgentError("TIMEOUT", `frame ${name} found no room on ${options.interface} for ${layout.timeoutMs} ms: ${error.message}`);
    }
    sender.counter = (sender.counter + 1) % 2 ** sender.counterBits.length;
    sender.fullMs = undefined;
  }

  /** Every frame is tried; the first error is thrown. */
  function sendAll(nowMs: number, always: boolean): void {
    let failure: unknown;
    for (const sender of senders.values()) {
      if (!always && nowMs < sender.dueMs) continue;
      const nextMs = sender.dueMs + sender.layout.periodMs;
      // A late frame does not make the next one early.
      sender.dueMs = always || nextMs <= nowMs ? nowMs + sender.layout.periodMs : nextMs;
      try {
        send(sender, nowMs);
      } catch (error) {
        failure ??= error;
      }
    }
    if (failure !== undefined) throw toAgentError(failure);
  }

  function start(): void {
    if (sending) return;
    sending = true;
    for (const sender of senders.values()) {
      sender.dueMs = -Infinity;
      sender.fullMs = undefined;
    }
  }

  return {
    channel(frameName, signalName, what, values) {
      const sender = senders.get(frameName);
      const signal = sender?.layout.signals[signalName];
      if (sender === undefined || signal === undefined) {
        throw new AgentError("ARGUMENT", `${owner}: ${what} is signal ${signalName} of frame ${frameName}, which can.frames does not have`);
      }
      const key = `${frameName}.${signalName}`;
      if (taken.has(key)) throw new AgentError("ARGUMENT", `${owner}: ${what} is signal ${key}, which another channel drives already`);
      taken.add(key);
      for (const value of values) {
        if (rawOf(signal, value) === undefined) {
          throw new AgentError(
            "ARGUMENT",
            `${owner}: ${what} may be ${value}, which signal ${key} of ${signal.lengthBits} bits cannot hold`,
          );
        }
      }
      return signalOf(sender, signal);
    },
    tick(nowMs) {
      if (sending) sendAll(nowMs, false);
    },
    flush(nowMs) {
      if (sending) sendAll(nowMs, true);
    },
    start,
    stop() {
      sending = false;
    },
    close() {
      sending = false;
      cancelState();
      port.close();
    },
  };
}

function createSender(name: string, layout: FrameLayout): Sender {
  const data = new Uint8Array(layout.length).fill(layout.fill);
  for (const signal of Object.values(layout.signals)) placeBits(data, bitsOf(signal), restOf(signal));
  const counterBits = layout.counter === undefined ? [] : bitsOf(layout.counter);
  return { name, layout, data, counterBits, counter: 0, dueMs: -Infinity, fullMs: undefined };
}

/** The bits of a signal that nothing drives. One that cannot hold its own resting value has all bits 0. */
function restOf(signal: Signal): number {
  return rawOf(signal, signal.rest ?? signal.offset) ?? 0;
}

function signalOf({ data }: Sender, signal: Signal): Channel {
  const bits = bitsOf(signal);
  return {
    write(value) {
      const raw = rawOf(signal, value);
      if (raw !== undefined) placeBits(data, bits, raw);
    },
    silence: () => placeBits(data, bits, restOf(signal)),
    close: () => undefined,
  };
}

/** Two devices cannot send the same frame. */
export function canClaims(options: CanOptions | undefined): readonly string[] {
  if (options === undefined) return [];
  return Object.values(options.frames).map(
    ({ id, extended }) => `can ${options.interface}:0x${id.toString(16)}${extended ? " extended" : ""}`,
  );
}
