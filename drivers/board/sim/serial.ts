import { AgentError } from "../../../agent/contract/errors.ts";
import { createRecorder, type History } from "./history.ts";
import { openSerialStream, type RawSerialEvents, type RawSerialPort } from "../serial-stream.ts";
import type { Clock } from "../../../agent/contract/clock.ts";
import type { Faults } from "./faults.ts";
import type { SerialOptions, SerialStream } from "../../../agent/contract/serial.ts";

/** What an instrument gets with its plug: power, and a line to the port. */
export interface SimSerialLine {
  readonly clock: Clock;
  /** Sends to whoever has the port open; lost when nobody has. */
  readonly send: (bytes: Uint8Array) => void;
}

/** An instrument under power. */
export interface PoweredInstrument {
  /** What a device sent; `bytes` are only valid during the call. */
  receive(bytes: Uint8Array): void;
  /** Its plug was pulled: no timer of it may stay armed. */
  stop(): void;
}

/** Something that can hang on a serial port. It starts afresh with every plugging in. */
export interface SimInstrument {
  start(line: SimSerialLine): PoweredInstrument;
}

/** What a device wrote in one piece. */
export interface SentBytes {
  readonly bytes: Uint8Array;
  readonly atMs: number;
}

/** The other side of a serial port: the instrument, its cable, and whoever trips over it. A port is there only while something is plugged in. */
export interface SimSerialWorld {
  /** Plugs in this instrument instead of what was there; without one something that says nothing by itself. */
  attach(instrument?: SimInstrument): void;
  /** Pulls the plug: the port is gone. */
  unplug(): void;
  /** Plugs in again what was there before. */
  plug(): void;
  /** Pulls the plug when so many more bytes have gone to the port: 0 is now. */
  unplugAfter(bytes: number): void;
  /** Sends as the instrument would, and beside it: garbage, half a frame. */
  send(bytes: Uint8Array | string): void;
  /** Bytes arrive in pieces of this many; 0: as they were sent. */
  setChunkBytes(bytes: number): void;
  /** What the instrument sends arrives changed; undefined: as it was sent. */
  alter(change: ((bytes: Uint8Array) => Uint8Array) | undefined): void;
  /** As some USB devices after a reset by the kernel: open, and nothing passes either way until the port is opened again. */
  hang(): void;
  /** What devices sent, the newest `historyLimit` pieces. */
  sent(): History<SentBytes>;
  /** Whether a device has it open now. */
  isOpen(): boolean;
  /** How often it was opened so far. */
  opens(): number;
}

export interface SimSerialPort {
  readonly world: SimSerialWorld;
  open(options: SerialOptions): Promise<SerialStream>;
  /** As it was plugged in last, without tricks, with nothing recorded. */
  reset(): void;
}

const MUTE: SimInstrument = { start: () => ({ receive: () => undefined, stop: () => undefined }) };

interface Session {
  readonly events: RawSerialEvents;
  hung: boolean;
}

export function createSimSerialPort(path: string, clock: Clock, faults: Faults, historyLimit: number): SimSerialPort {
  const recorder = createRecorder<SentBytes>(historyLimit);
  let instrument: SimInstrument | undefined;
  let powered: PoweredInstrument | undefined;
  let session: Session | undefined;
  let opens = 0;
  let chunkBytes = 0;
  let leftBytes = Infinity;
  let change: ((bytes: Uint8Array) => Uint8Array) | undefined;

  function unplug(): void {
    leftBytes = Infinity;
    const was = powered;
    powered = undefined;
    was?.stop();
    const lost = session;
    session = undefined;
    lost?.events.lost(`${path} is gone`);
  }

  function plug(): void {
    if (powered !== undefined) return;
    const started: { current?: PoweredInstrument } = {};
    const line: SimSerialLine = {
      clock,
      send(bytes) {
        // What an instrument without power sends gets nowhere.
        if (started.current === undefined || started.current === powered) deliver(change === undefined ? bytes : change(bytes));
      },
    };
    started.current = (instrument ?? MUTE).start(line);
    powered = started.current;
  }

  function deliverPiece(bytes: Uint8Array): void {
    if (session === undefined || session.hung) return;
    session.events.data(bytes);
  }

  function deliver(bytes: Uint8Array): void {
    const pulled = bytes.length >= leftBytes;
    const passed = pulled ? bytes.subarray(0, leftBytes) : bytes;
    leftBytes -= passed.length;
    const step = chunkBytes > 0 ? chunkBytes : passed.length;
    for (let at = 0; at < passed.length; at += step) deliverPiece(passed.slice(at, at + step));
    if (pulled) unplug();
  }

  function openRaw(events: RawSerialEvents): RawSerialPort {
    faults.meet("openSerial", path);
    if (powered === undefined) throw new AgentError("IO", `${path} is not there: the simulated board has no instrument on it`);
    const own: Session = { events, hung: false };
    session = own;
    opens += 1;
    return {
      write(bytes) {
        faults.meet("serialSend", path);
        if (session !== own) throw new AgentError("IO", `${path} is gone`);
        if (own.hung) return;
        recorder.record({ bytes: Uint8Array.from(bytes), atMs: clock.monotonicMs() });
        powered?.receive(bytes);
      },
      close() {
        if (session === own) session = undefined;
        faults.meet("close", path);
      },
    };
  }

  const world: SimSerialWorld = {
    attach(next) {
      unplug();
      instrument = next;
      plug();
    },
    unplug,
    plug,
    unplugAfter(bytes) {
      leftBytes = bytes;
      if (bytes <= 0) unplug();
    },
    send(bytes) {
      deliver(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
    },
    setChunkBytes(bytes) {
      chunkBytes = bytes;
    },
    alter(next) {
      change = next;
    },
    hang() {
      if (session !== undefined) session.hung = true;
    },
    sent: () => recorder.history(),
    isOpen: () => session !== undefined,
    opens: () => opens,
  };

  return {
    world,
    open: (options) => openSerialStream({ path, options, clock, open: openRaw }),
    reset() {
      chunkBytes = 0;
      leftBytes = Infinity;
      change = undefined;
      if (session !== undefined) session.hung = false;
      recorder.clear();
    },
  };
}
