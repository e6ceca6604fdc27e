import { AgentError, toAgentError } from "../../../agent/contract/errors.ts";
import { createClaims, lineRef, lineText, pwmText } from "../../../agent/contract/board.ts";
import { createFaults, type SimOperation } from "./faults.ts";
import { didYouMean } from "../../../agent/contract/nearest.ts";
import { createPin, type Pin, type PinEvent } from "./pin.ts";
import { createSimPwmChannel, type PwmEvent, type SimPwmChannel } from "./pwm.ts";
import { openSimInput } from "./input.ts";
import { i2cText } from "../../../agent/contract/i2c.ts";
import type { Board, DigitalOutput, DigitalOutputs, LineRef, Pull, PwmRef } from "../../../agent/contract/board.ts";
import type { Cancel, Clock } from "../../../agent/contract/clock.ts";
import type { Eventually } from "../../../agent/contract/value.ts";
import type { History } from "./history.ts";

/** The label of the one chip a simulated board has, for lines and for PWM. */
const CHIP = "sim";

/** The board's other side: what a person with a wire, a meter and a logic analyser would do. Throws UNKNOWN for what is not on the board. */
export interface SimWorld {
  /** Drives a line from outside; an input sees the edge. Takes effect on an output's line once it is given back. */
  drive(line: string, level: boolean): void;
  /** Stops driving it: the pull decides. */
  letGo(line: string): void;
  /** A pull resistor on the board, there whether the line is open or not. */
  resistor(line: string, pull: Pull): void;
  /** Solders a wire between two lines, for good: what one drives as an output the other sees. */
  wire(line: string, otherLine: string): void;
  /** The level on the pin, whoever drives it; low where nobody does and nothing pulls. */
  level(line: string): boolean;
  /** What happened on the pin, the newest `historyLimit` events. */
  history(line: string): History<PinEvent>;
  /** Duty cycle 0–1 of a channel named by its `pwmText`; 0 while it is closed. */
  duty(channel: string): number;
  dutyHistory(channel: string): History<PwmEvent>;
  /** The `nth` operation of its kind from now on fails once, with IO or with `error`: 1 is the next one. A failed close gives back all the same. */
  failNth(operation: SimOperation, nth: number, error?: AgentError): void;
  /** Failures planned and not met yet. */
  pendingFailures(): number;
  /** Every open port and its owner: `line GPIO17 of lamp`. */
  claimed(): readonly string[];
  /** Lets go of every line, takes the resistors off, forgets planned failures and what was recorded. Open ports stay open. */
  reset(): void;
}

export interface SimBoard extends Board {
  readonly world: SimWorld;
}

export interface SimBoardOptions {
  readonly clock: Clock;
  /** Why the agent runs on this board, as `describe` tells it. */
  readonly why?: string;
  /** Line names and their offsets on chip `sim`; GPIO0 to GPIO27 when absent. A line is known by its first name. */
  readonly lines?: Readonly<Record<string, number>>;
  /** Channels 0 to `pwmChannels - 1` on chip `sim`; 4 when absent. */
  readonly pwmChannels?: number;
  /** Events kept per pin and per channel; 1000 when absent. */
  readonly historyLimit?: number;
}

/** The 40-pin header's lines. */
function headerLines(): Record<string, number> {
  const lines: Record<string, number> = {};
  for (let offset = 0; offset <= 27; offset++) lines[`GPIO${offset}`] = offset;
  return lines;
}

/** A board without hardware that behaves as the real ones do, and whose other side a test, a demo or a person at a keyboard can play. */
export function createSimBoard(options: SimBoardOptions): SimBoard {
  const { clock, why = "the configuration asks for it", lines = headerLines(), pwmChannels = 4, historyLimit = 1000 } = options;
  const claims = createClaims();
  const faults = createFaults();
  const pinsByName = new Map<string, Pin>();
  const pinsByOffset = new Map<number, Pin>();
  const channels = new Map<string, SimPwmChannel>();
  const closers = new Map<string, { readonly owner: string; readonly close: () => Eventually<void> }>();
  let closed = false;

  for (const [name, offset] of Object.entries(lines)) {
    // A line may have several names.
    const pin = pinsByOffset.get(offset) ?? createPin(name, clock, historyLimit);
    pinsByName.set(name, pin);
    pinsByOffset.set(offset, pin);
  }
  for (let channel = 0; channel < pwmChannels; channel++) {
    const name = pwmText({ chip: CHIP, channel });
    channels.set(name, createSimPwmChannel(name, clock, faults, historyLimit));
  }

  function pinOf(ref: LineRef): Pin {
    const pin = "name" in ref ? pinsByName.get(ref.name) : ref.chip === CHIP ? pinsByOffset.get(ref.offset) : undefined;
    if (pin !== undefined) return pin;
    const meant = didYouMean(lineText(ref), pinsByName.keys());
    throw new AgentError(
      "UNKNOWN",
      `line ${lineText(ref)} is not on the simulated board, which has ${knownLines()} on chip ${CHIP}${meant}`,
    );
  }

  function knownLines(): string {
    const names = [...pinsByName.keys()];
    return names.length > 6 ? `${names.slice(0, 3).join(", ")} … ${String(names.at(-1))}` : names.join(", ");
  }

  function channelOf(name: string): SimPwmChannel {
    const channel = channels.get(name);
    if (channel !== undefined) return channel;
    throw new AgentError("UNKNOWN", `${name} does not exist; the simulated board has channels 0 to ${pwmChannels - 1} on chip ${CHIP}`);
  }

  function mustBeOpen(): void {
    if (closed) throw new AgentError("IO", "the simulated board is closed");
  }

  /** Claims every key or none. */
  function claimAll(owner: string, keys: readonly string[]): Cancel {
    const releases: Cancel[] = [];
    const releaseAll = (): void => {
      for (const release of releases) release();
    };
    try {
      for (const key of keys) releases.push(claims.claim(key, owner));
    } catch (error) {
      releaseAll();
      throw error;
    }
    return releaseAll;
  }

  /** Claims the port, counts the operation and opens: nothing is kept of a port that does not open. */
  function openPort<Port extends { close(): Eventually<void> }>(
    owner: string,
    keys: readonly string[],
    operation: SimOperation,
    open: (giveBack: Cancel) => Port,
  ): Port {
    const release = claimAll(owner, keys);
    const what = keys.join(", ");
    try {
      faults.meet(operation, what);
      const port = open(() => {
        for (const key of keys) closers.delete(key);
        release();
      });
      for (const key of keys) closers.set(key, { owner, close: () => port.close() });
      return port;
    } catch (error) {
      release();
      throw error;
    }
  }

  function openPins(owner: string, pins: readonly Pin[], initial: readonly boolean[]): DigitalOutputs {
    if (pins.length === 0) throw new AgentError("ARGUMENT", `${owner} asks for no lines; name at least one`);
    if (initial.length !== pins.length)
      throw new AgentError("ARGUMENT", `${pins.length} lines take ${pins.length} initial levels, got ${initial.length}`);
    const keys = pins.map((pin) => `line ${pin.name}`);
    const what = keys.join(", ");
    return openPort(owner, keys, "openOutput", (giveBack) => {
      const driven = [...initial];
      let open = true;
      pins.forEach((pin, i) => pin.openOutput(driven[i] === true));
      return {
        write(levels) {
          if (!open) throw new AgentError("IO", `${what} is closed`);
          if (levels.length !== pins.length)
            throw new AgentError("ARGUMENT", `${what}: ${pins.length} levels are expected, got ${levels.length}`);
          faults.meet("write", what);
          for (let i = 0; i < pins.length; i++) {
            const level = levels[i] === true;
            driven[i] = level;
            pins[i]?.output(level);
          }
        },
        levels: () => driven,
        close() {
          if (!open) return;
          open = false;
          for (const pin of pins) pin.release();
          giveBack();
          faults.meet("close", what);
        },
      };
    });
  }

  function openPin(owner: string, pin: Pin, initial: boolean): DigitalOutput {
    const key = `line ${pin.name}`;
    return openPort(owner, [key], "openOutput", (giveBack) => {
      let driven = initial;
      let open = true;
      pin.openOutput(initial);
      return {
        write(level) {
          if (!open) throw new AgentError("IO", `${key} is closed`);
          faults.meet("write", key);
          driven = level;
          pin.output(level);
        },
        level: () => driven,
        close() {
          if (!open) return;
          open = false;
          pin.release();
          giveBack();
          faults.meet("close", key);
        },
      };
    });
  }

  const pinNamed = (line: string): Pin => pinOf(lineRef(line));

  const world: SimWorld = {
    drive: (line, level) => pinNamed(line).drive(level),
    letGo: (line) => pinNamed(line).drive(undefined),
    resistor: (line, pull) => pinNamed(line).resistor(pull),
    wire(line, otherLine) {
      const pin = pinNamed(line);
      const other = pinNamed(otherLine);
      pin.wire(other);
      other.wire(pin);
    },
    level: (line) => pinNamed(line).level(),
    history: (line) => pinNamed(line).history(),
    duty: (channel) => channelOf(channel).dutyRatio(),
    dutyHistory: (channel) => channelOf(channel).history(),
    failNth: (operation, nth, error) => faults.plan(operation, nth, error),
    pendingFailures: () => faults.pending(),
    claimed: () => [...closers].map(([key, { owner }]) => `${key} of ${owner}`),
    reset() {
      faults.clear();
      for (const pin of pinsByOffset.values()) pin.reset();
      for (const channel of channels.values()) channel.reset();
    },
  };

  return {
    world,
    describe: () => ({
      kind: "sim",
      model: "simulated board",
      why,
      chips: [{ label: CHIP, path: CHIP, lines: pinsByOffset.size }],
    }),
    async openOutput(owner, line, initial) {
      mustBeOpen();
      return openPin(owner, pinOf(line), initial);
    },
    async openOutputs(owner, refs, initial) {
      mustBeOpen();
      return openPins(owner, refs.map(pinOf), initial);
    },
    async openInput(owner, line, inputOptions) {
      mustBeOpen();
      const pin = pinOf(line);
      const open = (giveBack: Cancel) => openSimInput(pin, inputOptions, clock, faults, giveBack);
      return openPort(owner, [`line ${pin.name}`], "openInput", open);
    },
    async openPwm(owner, ref: PwmRef, periodNs) {
      mustBeOpen();
      const name = pwmText(ref);
      const channel = channelOf(name);
      if (!(periodNs > 0 && Number.isFinite(periodNs)))
        throw new AgentError("ARGUMENT", `${name}: a period of ${periodNs} ns is not possible`);
      return openPort(owner, [name], "openPwm", (giveBack) => channel.open(periodNs, giveBack));
    },
    openI2c: (_owner, ref) => Promise.reject(new AgentError("NOT_READY", `${i2cText(ref)}: not there yet`)),
    openCan: (_owner, name) => Promise.reject(new AgentError("NOT_READY", `${name}: not there yet`)),
    async close() {
      closed = true;
      let failure: AgentError | undefined;
      for (const { close } of [...closers.values()]) {
        try {
          await close();
        } catch (error) {
          failure ??= toAgentError(error);
        }
      }
      if (failure !== undefined) throw failure;
    },
  };
}
